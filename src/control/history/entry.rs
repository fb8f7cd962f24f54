use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Via;

use super::super::journal::ActorRecord;
use super::super::vocabulary::Percent;

/// One line of the history: who did what, from where, when, what was before and after, and why; or what was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Rises by one with each entry.
    pub seq: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: Draft,
    /// The hash of the entry before: SHA-256, in hexadecimal digits.
    pub prev: String,
}

/// What goes into an entry, before it has its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = HistoryDetails)]
pub struct Draft {
    /// What was done, or was to be.
    pub deed: Deed,
    /// What became of it.
    pub outcome: DeedOutcome,
    /// The service that it concerns, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorRecord>,
    /// By what they were known: `token`, `certificate`, `oidc`, `user`, or `word` if nobody has checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Via>)]
    pub via: Option<String>,
    /// From where: an address, or `unix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The second person, where it took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The weight before, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Percent>)]
    pub before_percent: Option<f64>,
    /// The weight after, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Percent>)]
    pub after_percent: Option<f64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// More of it, in words: why it was refused, what has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The configuration in force, as 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub configuration: Option<String>,
    /// The receipt that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptSeal>,
}

/// By what it is seen that a receipt is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptSeal {
    /// When the service was reverted: the name of the receipt's file.
    pub reverted_unix_ms: u64,
    /// The file's SHA-256, in hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Switchback has started.
    Started,
    /// Switchback has ended in order.
    Stopped,
    /// A person has set a weight.
    WeightSet,
    /// A person has ended an override.
    OverrideCleared,
    /// An override has ended by itself.
    OverrideEnded,
    /// A file gives a service another weight.
    FileWeight,
    /// A service was taken back.
    Reverted,
    /// A hold was ended.
    Released,
    /// A ramp was started.
    RampStarted,
    /// A ramp was paused.
    RampPaused,
    /// A ramp was resumed.
    RampResumed,
    /// A ramp was stopped.
    RampStopped,
    /// A ramp is over.
    RampEnded,
    /// A ramp has taken a step.
    RampStepped,
    /// A ramp that the judge had ended has started again by itself.
    RampAgain,
    /// A change waits for a second person.
    ApprovalAsked,
    /// A second person has agreed.
    Approved,
    /// A second person has not agreed, or none came in time.
    ApprovalEnded,
    /// A migration was begun.
    Migrated,
    /// A calibration was begun.
    CalibrationStarted,
    /// A calibration was ended before its time.
    CalibrationStopped,
    /// A message was sent to see whether it arrives.
    WebhookTested,
    /// Several services were taken back at once.
    FleetGuard,
    /// A receipt was kept.
    ReceiptKept,
    /// A new configuration is in force.
    ConfigLoaded,
    /// A new configuration has faults, and is not in force.
    ConfigRefused,
    /// Who may do what has changed.
    RightsChanged,
    /// Something was asked for that changes nothing.
    Looked,
    /// Somebody could not be told from a stranger.
    LoginFailed,
    /// The history itself: what was found when it was opened.
    HistoryOpened,
}

/// What became of a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeedOutcome {
    /// It is in force.
    Done,
    /// It was refused, and nothing has changed.
    Refused,
    /// It could not be written down, and is not in force.
    NotWritten,
    /// It was overtaken by another change, and is not in force.
    Overtaken,
}

impl Draft {
    /// A deed that is done.
    pub(crate) fn done(deed: Deed) -> Self {
        Self {
            deed,
            outcome: DeedOutcome::Done,
            service: None,
            by: None,
            via: None,
            from: None,
            approved_by: None,
            before_percent: None,
            after_percent: None,
            reason: None,
            ticket: None,
            details: None,
            configuration: None,
            receipt: None,
        }
    }
}
