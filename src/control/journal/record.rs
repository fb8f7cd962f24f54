use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{ServiceName, UnixMillis, Weight};
use crate::rollout::{Hold, Override, Record, Said, Word};

use super::kept_ramp::{KeptCut, KeptRamp};
use super::receipt::ActorRecord;

/// What was said of a service, as it is kept. A reader that does not know every field refuses the file: what it does not
/// understand may be a hold.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    service: String,
    revision: u64,
    word: KeptWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ramp: Option<KeptRamp>,
    /// The last ramp, if a revert has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<KeptCut>,
}

/// The version that this program writes. Version 1 knew no ramps, and is what a record without one still is: a program that knows
/// no other holds what it cannot read.
const VERSION: u32 = 2;
/// The oldest version that it reads.
const OLDEST: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KeptWord {
    File,
    Override {
        weight_percent: f64,
        by: ActorRecord,
        reason: String,
        since_unix_ms: u64,
        until_unix_ms: Option<u64>,
    },
    Held {
        by: ActorRecord,
        reason: String,
        since_unix_ms: u64,
        weight_before_percent: f64,
    },
}

/// Why a record cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is not a record: {0}")]
    Json(#[from] serde_json::Error),
    #[error("has version {0}, and this program knows versions {OLDEST} to {VERSION}")]
    Version(u32),
    #[error("belongs to service {0:?}")]
    OtherService(String),
    #[error("has a weight of {0} percent")]
    Weight(f64),
    #[error("has a plan that is none")]
    Plan,
}

/// A record as the bytes of a file.
pub(in crate::control) fn encode(service: &ServiceName, record: &Record) -> Vec<u8> {
    let Said { word, ramp, cut } = &record.said;
    let word = match word {
        Word::File => KeptWord::File,
        Word::Override(over) => KeptWord::Override {
            weight_percent: over.weight.percent(),
            by: (&over.by).into(),
            reason: over.reason.to_string(),
            since_unix_ms: over.since.0,
            until_unix_ms: over.until.map(|until| until.0),
        },
        Word::Held(hold) => KeptWord::Held {
            by: (&hold.by).into(),
            reason: hold.reason.to_string(),
            since_unix_ms: hold.since.0,
            weight_before_percent: hold.before.percent(),
        },
    };
    let kept = Kept {
        version: if ramp.is_none() && cut.is_none() { OLDEST } else { VERSION },
        service: service.to_string(),
        revision: record.revision,
        word,
        ramp: ramp.as_ref().map(KeptRamp::of),
        cut: cut.as_ref().map(KeptCut::of),
    };
    // Numbers, texts and finite weights: serde_json has nothing to refuse here.
    let mut bytes = serde_json::to_vec_pretty(&kept).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A record from the bytes of a file.
pub(in crate::control) fn decode(service: &ServiceName, bytes: &[u8]) -> Result<Record, Unreadable> {
    let kept: Kept = serde_json::from_slice(bytes)?;
    if !(OLDEST..=VERSION).contains(&kept.version) {
        return Err(Unreadable::Version(kept.version));
    }
    if kept.service != service.as_str() {
        return Err(Unreadable::OtherService(kept.service));
    }
    let word = match kept.word {
        KeptWord::File => Word::File,
        KeptWord::Override { weight_percent, by, reason, since_unix_ms, until_unix_ms } => {
            Word::Override(Override {
                weight: weight(weight_percent)?,
                by: by.into(),
                reason: Arc::from(reason),
                since: UnixMillis(since_unix_ms),
                until: until_unix_ms.map(UnixMillis),
            })
        }
        KeptWord::Held { by, reason, since_unix_ms, weight_before_percent } => Word::Held(Hold {
            by: by.into(),
            reason: Arc::from(reason),
            since: UnixMillis(since_unix_ms),
            before: weight(weight_before_percent)?,
        }),
    };
    let ramp = kept.ramp.map(KeptRamp::read).transpose()?;
    let cut = kept.cut.map(KeptCut::read).transpose()?;
    Ok(Record { revision: kept.revision, said: Said { word, ramp, cut } })
}

pub(super) fn weight(percent: f64) -> Result<Weight, Unreadable> {
    Weight::from_percent(percent).ok_or(Unreadable::Weight(percent))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::rollout::{Actor, Again, Cut, Freeze, Going, Hours, Plan, Ramp, Span, Step, Zone};

    fn name() -> ServiceName {
        ServiceName::parse("playlist").unwrap()
    }

    #[test]
    fn every_word_reads_back() {
        let weight = Weight::from_percent(12.34).unwrap();
        let by = Actor::Person("on\"call".into());
        for word in [
            Word::File,
            Word::Override(Override {
                weight,
                by: by.clone(),
                reason: "INC-1\n".into(),
                since: UnixMillis(5),
                until: Some(UnixMillis(9)),
            }),
            Word::Held(Hold { by: Actor::Judge, reason: "x".into(), since: UnixMillis(5), before: weight }),
            Word::Held(Hold { by, reason: "".into(), since: UnixMillis(0), before: Weight::FULL }),
        ] {
            reads_back(word.into());
        }
    }

    fn reads_back(said: Said) {
        let record = Record { revision: 7, said };
        assert_eq!(decode(&name(), &encode(&name(), &record)).unwrap(), record);
    }

    #[test]
    fn every_ramp_reads_back() {
        let step = Step {
            to: Weight::from_percent(5.0).unwrap(),
            hold: Duration::from_mins(90),
            requests: 1_000,
            certainty: 0.99,
        };
        let plan = Plan {
            steps: vec![step, Step { to: Weight::FULL, ..step }],
            hours: Hours {
                spans: vec![Span::parse("Mon-Fri 09:00-24:00").unwrap()],
                zone: Zone(TimeZone::get("Europe/Stockholm").unwrap()),
            },
            freezes: vec![Freeze { from: UnixMillis(1), to: UnixMillis(2), text: "x".into() }],
            again: Some(Again { after: Duration::from_hours(1), most: 3 }),
        };
        let paused = Going::Paused { by: Actor::Guard, reason: "several".into(), since: UnixMillis(9) };
        for plan in [None, Some(Arc::new(plan))] {
            for going in [Going::On, paused.clone(), Going::Done] {
                let ramp = Ramp {
                    plan: plan.clone(),
                    weight: step.to,
                    since: UnixMillis(5),
                    by: Actor::Ramp,
                    reason: "go".into(),
                    started: UnixMillis(4),
                    going,
                    cut_at: Weight::FULL,
                    agains: 2,
                };
                reads_back(Said { ramp: Some(ramp), ..Said::NOTHING });
            }
            let cut = Cut { at: step.to, plan, agains: 1 };
            reads_back(Said { cut: Some(cut), ..Said::NOTHING });
        }
    }

    #[test]
    fn a_record_of_version_1_is_read() {
        let text = r#"{"version":1,"service":"playlist","revision":3,"word":{"held":{"by":"judge","reason":"x",
            "since_unix_ms":5,"weight_before_percent":50.0}}}"#;
        let record = decode(&name(), text.as_bytes()).unwrap();
        assert!(matches!(record.said, Said { word: Word::Held(_), ramp: None, cut: None }));
    }

    #[test]
    fn what_is_not_understood_whole_is_not_believed() {
        let good = String::from_utf8(encode(&name(), &Record { revision: 1, said: Said::NOTHING })).unwrap();
        assert!(decode(&name(), good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\": 1", "\"version\": 3"),
            good.replace("\"version\": 1", "\"version\": 0"),
            good.replace("playlist", "search"),
            good.replace("\"revision\"", "\"extra\": 1, \"revision\""),
            good.replace("\"file\"", "\"held\""),
        ] {
            assert!(decode(&name(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
