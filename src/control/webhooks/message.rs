use serde::{Deserialize, Serialize};

use crate::config::Topic;
use crate::model::UnixMillis;

use super::super::event::{Announcement, Happening};
use super::super::journal::{ActorRecord, ReceiptRecord};

/// Something that is told, before it has the shape that its receiver wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// Stays the same however often it is sent, and by whichever process.
    pub(super) id: String,
    pub(super) topic: Topic,
    pub(super) at: UnixMillis,
    /// As the event stream has it; `None` if nothing has happened, and a webhook is tried.
    pub(super) happening: Option<Happening>,
    pub(super) service: Option<String>,
    pub(super) team: Option<String>,
    pub(super) by: Option<ActorRecord>,
    pub(super) text: String,
    /// The fleet guard tells of it too.
    pub(super) of_alarm: bool,
    pub(super) revert: Option<RevertRecord>,
}

/// What a receipt says in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RevertRecord {
    pub(super) weight_before_percent: f64,
    pub(super) weight_after_percent: f64,
    /// What the judge found, by the name of its question; absent if it was not the judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) question: Option<String>,
    /// The route that it was found on; absent if it was the whole service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<String>,
    /// Seconds that the counts cover, up to the revert.
    pub(super) window_s: f64,
    pub(super) helios: CountsRecord,
    pub(super) kubernetes: CountsRecord,
    pub(super) rescued: u64,
    pub(super) unrescued: u64,
}

/// One side of a revert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountsRecord {
    /// Bad votes on the question; without one, tries that failed.
    pub(super) bad: u64,
    /// All votes; without a question, all tries.
    pub(super) of: u64,
}

/// A message as a file keeps it. Later versions may add fields, which this one passes over.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    id: String,
    topic: String,
    at_unix_ms: u64,
    happening: Option<Happening>,
    service: Option<String>,
    team: Option<String>,
    by: Option<ActorRecord>,
    text: String,
    #[serde(default)]
    of_alarm: bool,
    revert: Option<RevertRecord>,
}

const VERSION: u32 = 1;

/// The longest text that is told: more than anything that control says, and what every receiver takes.
const LONGEST_TEXT: usize = 2_000;

/// Why a file is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("is not a message: {0}")]
    Json(#[from] serde_json::Error),
    #[error("has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    #[error("is about {0:?}, which this program does not know")]
    Topic(String),
}

impl Message {
    /// What is told of an announcement, with the receipt of the service if it was reverted.
    pub(super) fn of(
        id: String,
        topic: Topic,
        announcement: &Announcement,
        receipt: Option<&ReceiptRecord>,
    ) -> Self {
        Self {
            id,
            topic,
            at: UnixMillis(announcement.at_unix_ms),
            happening: Some(announcement.happening),
            service: announcement.service.clone(),
            team: announcement.team.clone(),
            by: announcement.by.clone(),
            text: cut(&announcement.text, LONGEST_TEXT),
            of_alarm: announcement.of_alarm,
            revert: receipt.map(RevertRecord::of),
        }
    }

    /// What is told to try a webhook.
    pub(super) fn test(id: String, at: UnixMillis, by: ActorRecord, webhook: &str, reason: &str) -> Self {
        Self {
            id,
            topic: Topic::Test,
            at,
            happening: None,
            service: None,
            team: None,
            text: cut(&format!("{by} tries the webhook {webhook}: {reason}"), LONGEST_TEXT),
            by: Some(by),
            of_alarm: false,
            revert: None,
        }
    }

    /// As the bytes of a file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let kept = Kept {
            version: VERSION,
            id: self.id.clone(),
            topic: self.topic.as_str().to_owned(),
            at_unix_ms: self.at.0,
            happening: self.happening,
            service: self.service.clone(),
            team: self.team.clone(),
            by: self.by.clone(),
            text: self.text.clone(),
            of_alarm: self.of_alarm,
            revert: self.revert.clone(),
        };
        // Texts and numbers: serde_json has nothing to refuse here.
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// From the bytes of a file.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let kept: Kept = serde_json::from_slice(bytes)?;
        if kept.version != VERSION {
            return Err(Unreadable::Version(kept.version));
        }
        let topic = Topic::parse(&kept.topic).ok_or(Unreadable::Topic(kept.topic))?;
        Ok(Self {
            id: kept.id,
            topic,
            at: UnixMillis(kept.at_unix_ms),
            happening: kept.happening,
            service: kept.service,
            team: kept.team,
            by: kept.by,
            text: kept.text,
            of_alarm: kept.of_alarm,
            revert: kept.revert,
        })
    }
}

impl RevertRecord {
    fn of(receipt: &ReceiptRecord) -> Self {
        let finding = receipt.finding.as_ref();
        let counts = |bad, of| CountsRecord { bad, of };
        let (helios, kubernetes) = match finding {
            Some(found) => (
                counts(found.helios_bad, found.helios_votes),
                counts(found.kubernetes_bad, found.kubernetes_votes),
            ),
            None => (
                counts(receipt.helios.failed, receipt.helios.tries),
                counts(receipt.kubernetes.failed, receipt.kubernetes.tries),
            ),
        };
        Self {
            weight_before_percent: receipt.weight_before_percent,
            weight_after_percent: 0.0,
            question: finding.map(|found| found.question.clone()),
            route: finding.and_then(|found| found.route.clone()),
            window_s: finding.map_or(receipt.window_s, |found| found.took_s),
            helios,
            kubernetes,
            rescued: receipt.rescued,
            unrescued: receipt.unrescued,
        }
    }
}

/// A text of at most so many characters; what is left out shows.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn reverted() -> Message {
        Message {
            id: "00112233445566778899aabbccddeeff".to_owned(),
            topic: Topic::Reverted,
            at: UnixMillis(1_795_317_247_312),
            happening: Some(Happening::Reverted),
            service: Some("search".to_owned()),
            team: Some("search-squad".to_owned()),
            by: Some(ActorRecord::Judge),
            text: "search was reverted by judge: weight 25.00 → 0.00, held; failures on Kubernetes, \
                   GET /v1/a&b<c>: 61 of 118 in 1.0 s, on Helios 0 of 121"
                .to_owned(),
            of_alarm: false,
            revert: Some(RevertRecord {
                weight_before_percent: 25.0,
                weight_after_percent: 0.0,
                question: Some("failure".to_owned()),
                route: Some("GET /v1/a&b<c>".to_owned()),
                window_s: 1.0,
                helios: CountsRecord { bad: 0, of: 121 },
                kubernetes: CountsRecord { bad: 61, of: 118 },
                rescued: 57,
                unrescued: 4,
            }),
        }
    }

    pub(in super::super) fn released() -> Message {
        Message {
            id: "ffeeddccbbaa99887766554433221100".to_owned(),
            topic: Topic::Released,
            at: UnixMillis(1_795_320_000_000),
            happening: Some(Happening::Released),
            by: Some(ActorRecord::Person("jo".to_owned())),
            text: "search: jo released it to 1.00: fixed in 3f2a".to_owned(),
            revert: None,
            ..reverted()
        }
    }

    pub(in super::super) fn refused() -> Message {
        Message {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            topic: Topic::ConfigRefused,
            at: UnixMillis(1_795_317_247_000),
            happening: Some(Happening::ConfigRefused),
            service: None,
            team: None,
            by: None,
            text:
                "the new configuration is refused, the last good one stays: b.toml:3:14: weight is over 100"
                    .to_owned(),
            of_alarm: false,
            revert: None,
        }
    }

    pub(in super::super) fn loaded() -> Message {
        Message {
            at: UnixMillis(1_795_317_300_000),
            happening: Some(Happening::ConfigLoaded),
            text: "configuration loaded: 0 services added, 1 changed, 0 removed".to_owned(),
            ..refused()
        }
    }

    pub(in super::super) fn guarded() -> Message {
        Message {
            topic: Topic::FleetGuard,
            happening: Some(Happening::FleetGuard),
            by: Some(ActorRecord::Guard),
            text: "3 services were taken back at once, a, b, c: look at cluster gew1 and the way to it; 0 ramps are paused"
                .to_owned(),
            ..refused()
        }
    }

    pub(in super::super) fn test() -> Message {
        let by = ActorRecord::Person("jo".to_owned());
        Message::test("0".repeat(32), UnixMillis(1_795_317_247_000), by, "oncall", "does it work?")
    }

    #[test]
    fn every_message_reads_back() {
        let of_alarm = Message { of_alarm: true, ..reverted() };
        for message in [reverted(), of_alarm, released(), refused(), loaded(), test()] {
            assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        }
    }

    #[test]
    fn what_is_not_understood_is_no_message_and_what_is_new_in_it_is_passed_over() {
        let good = String::from_utf8(reverted().encode()).unwrap();
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("\"topic\":\"reverted\"", "\"topic\":\"nonsense\""),
            good.replace("\"happening\":\"reverted\"", "\"happening\":\"nonsense\""),
        ] {
            assert!(Message::decode(bad.as_bytes()).is_err(), "{bad}");
        }
        let newer = good.replace("\"version\":1", "\"version\":1,\"later\":{}");
        assert_eq!(Message::decode(newer.as_bytes()).unwrap(), reverted());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöüß", 3, "äö…"),
            ("äöü", 3, "äöü"),
            ("", 1, ""),
            ("ab", 1, "…"),
        ] {
            assert_eq!(cut(text, most), expected);
        }
    }
}
