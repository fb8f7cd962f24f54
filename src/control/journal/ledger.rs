use serde::{Deserialize, Serialize};

use crate::model::ServiceName;

/// What the ledger of migrations keeps of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LedgerRecord {
    version: u32,
    service: String,
    /// On which sides it is: see [`Stage`](super::super::ledger::Stage).
    pub(in crate::control) stage: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub(in crate::control) stage_since_unix_ms: u64,
    /// The weight in force when it was looked at last, in percent.
    pub(in crate::control) weight_percent: f64,
    /// Since when it is in force.
    pub(in crate::control) weight_since_unix_ms: u64,
    /// The highest weight that was ever in force.
    pub(in crate::control) highest_percent: f64,
    /// How often the judge has taken it back.
    pub(in crate::control) reverts_by_judge: u64,
    /// How often somebody else has.
    pub(in crate::control) reverts_by_others: u64,
    /// When it was taken back last.
    pub(in crate::control) last_revert_unix_ms: Option<u64>,
    /// When reverts of the judge were said to be false, the last of them.
    pub(in crate::control) false_reverts_unix_ms: Vec<u64>,
    /// When its migration was begun.
    pub(in crate::control) migrated_unix_ms: Option<u64>,
}

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

impl LedgerRecord {
    /// Of a service of which nothing is known yet.
    pub(in crate::control) fn new(service: &ServiceName, stage: &str, weight_percent: f64, now: u64) -> Self {
        Self {
            version: VERSION,
            service: service.to_string(),
            stage: stage.to_owned(),
            stage_since_unix_ms: now,
            weight_percent,
            weight_since_unix_ms: now,
            highest_percent: weight_percent,
            reverts_by_judge: 0,
            reverts_by_others: 0,
            last_revert_unix_ms: None,
            false_reverts_unix_ms: Vec::new(),
            migrated_unix_ms: None,
        }
    }

    /// Reads a kept record. Nothing is decided by it: one that cannot be read is as none.
    pub(super) fn decode(service: &ServiceName, bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.version == VERSION && record.service == service.as_str()).then_some(record)
    }
}
