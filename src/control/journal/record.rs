use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{ServiceName, UnixMillis, Weight};
use crate::rollout::{Hold, Override, Record, Word};

use super::receipt::ActorRecord;

/// A service's word as it is kept. A reader that does not know every field refuses the file: what it does not
/// understand may be a hold.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    service: String,
    revision: u64,
    word: KeptWord,
}

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

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
    #[error("has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    #[error("belongs to service {0:?}")]
    OtherService(String),
    #[error("has a weight of {0} percent")]
    Weight(f64),
}

/// A record as the bytes of a file.
pub(super) fn encode(service: &ServiceName, record: &Record) -> Vec<u8> {
    let word = match &record.word {
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
    let kept = Kept { version: VERSION, service: service.to_string(), revision: record.revision, word };
    // Numbers, texts and one finite weight: serde_json has nothing to refuse here.
    let mut bytes = serde_json::to_vec_pretty(&kept).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A record from the bytes of a file.
pub(super) fn decode(service: &ServiceName, bytes: &[u8]) -> Result<Record, Unreadable> {
    let kept: Kept = serde_json::from_slice(bytes)?;
    if kept.version != VERSION {
        return Err(Unreadable::Version(kept.version));
    }
    if kept.service != service.as_str() {
        return Err(Unreadable::OtherService(kept.service));
    }
    let weight = |percent| Weight::from_percent(percent).ok_or(Unreadable::Weight(percent));
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
    Ok(Record { revision: kept.revision, word })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Actor;

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
            let record = Record { revision: 7, word };
            assert_eq!(decode(&name(), &encode(&name(), &record)).unwrap(), record);
        }
    }

    #[test]
    fn what_is_not_understood_whole_is_not_believed() {
        let good = String::from_utf8(encode(&name(), &Record { revision: 1, word: Word::File })).unwrap();
        assert!(decode(&name(), good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace("playlist", "search"),
            good.replace("\"revision\"", "\"extra\": 1, \"revision\""),
            good.replace("\"file\"", "\"held\""),
        ] {
            assert!(decode(&name(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
