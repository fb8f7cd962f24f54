//! What is sent over the admin API, where it is not one of control's own views.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::{ActorRecord, Announcement, AppliedRecord, ApprovalStatus, Percent};
use crate::model::{Role, ServiceName, Via};

pub(crate) use super::scope::{OfScope, Scope};
use super::texts::{Lasting, RampPlan, ReasonText, Ticket};

/// Why something is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// One line of text.
    #[schema(value_type = ReasonText)]
    pub(crate) reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as `INC-4711`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Ticket>)]
    pub(crate) ticket: Option<String>,
}

/// Agrees to what another person wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// One line of text.
    #[schema(value_type = ReasonText)]
    pub(crate) reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as `INC-4711`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Ticket>)]
    pub(crate) ticket: Option<String>,
    /// To what was asked for at this moment, as the service's `approval` says, and to nothing else. Default: to what waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked_unix_ms: Option<u64>,
}

/// Sets a weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetWeight {
    /// 0 to 100 in steps of 0.01.
    #[schema(value_type = Percent)]
    pub(crate) percent: f64,
    /// Why.
    #[schema(value_type = ReasonText)]
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Ticket>)]
    pub(crate) ticket: Option<String>,
    /// How long, as in `2h`; for good if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Lasting>)]
    pub(crate) lasts: Option<String>,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Ends a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The weight from here on: 0 to 100 in steps of 0.01.
    #[schema(value_type = Percent)]
    pub(crate) to_percent: f64,
    /// Why.
    #[schema(value_type = ReasonText)]
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Ticket>)]
    pub(crate) ticket: Option<String>,
    /// Kubernetes was fine: the judge was wrong. It is counted against its promise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) false_alarm: bool,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Compares a service's Helios with itself. It changes nothing for anybody, and needs no reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibrate {
    /// How long, as in `30m`; the usual time if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Lasting>)]
    pub(crate) lasts: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonText>)]
    pub(crate) reason: Option<String>,
}

/// Ends that before its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopCalibration {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonText>)]
    pub(crate) reason: Option<String>,
}

/// Starts a ramp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRamp {
    /// Why.
    #[schema(value_type = ReasonText)]
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Ticket>)]
    pub(crate) ticket: Option<String>,
    /// The step to begin at, in percent. Default: the one that the service is at, or the first. After a revert it must be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Percent>)]
    pub(crate) from_percent: Option<f64>,
    /// A plan in place of that of the service's file, with the same keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RampPlan>)]
    pub(crate) plan: Option<serde_json::Value>,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// What is only to be foreseen: one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Preview {
    /// A weight.
    Weight {
        #[schema(value_type = ServiceName)]
        service: String,
        #[schema(value_type = Percent)]
        percent: f64,
    },
    /// The end of an override.
    Clear {
        #[schema(value_type = ServiceName)]
        service: String,
    },
    /// The end of a hold.
    Release {
        #[schema(value_type = ServiceName)]
        service: String,
        #[schema(value_type = Percent)]
        to_percent: f64,
    },
    /// A ramp.
    StartRamp {
        #[schema(value_type = ServiceName)]
        service: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Percent>)]
        from_percent: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<RampPlan>)]
        plan: Option<serde_json::Value>,
    },
    /// The end of a ramp.
    StopRamp {
        #[schema(value_type = ServiceName)]
        service: String,
    },
    /// A migration.
    Migrate {
        #[schema(value_type = ServiceName)]
        service: String,
    },
    /// An approval.
    Approve {
        #[schema(value_type = ServiceName)]
        service: String,
    },
    /// A revert.
    Revert(Scope),
}

/// What came of trying a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Tested {
    /// The webhook.
    pub(crate) webhook: String,
    /// The message, by which its receiver knows it.
    pub(crate) id: String,
    pub(crate) result: TestResult,
    /// What it was answered with, if it has arrived.
    pub(crate) status: Option<u16>,
    /// Why it has not arrived, if that is known.
    pub(crate) trouble: Option<String>,
    /// Messages that wait now.
    pub(crate) waiting: usize,
}

/// Whether a webhook that is tried was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TestResult {
    /// It was.
    Delivered,
    /// It will not be.
    GivenUp,
    /// It may still be.
    Waiting,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Changed {
    /// Who changed it.
    pub(crate) by: ActorRecord,
    /// The weights that changed.
    pub(crate) changes: Vec<crate::control::Change>,
    /// How far it has come.
    pub(crate) applied: Option<AppliedRecord>,
    /// Whether the hold is on disk; absent where there is none. It is in force in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) written: Option<bool>,
    /// Nothing has changed yet: it waits for a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<ApprovalStatus>,
}

/// Why something was refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Problem {
    /// A URI for the kind of problem: there is none beside the status.
    #[serde(rename = "type", default = "about_blank")]
    #[schema(format = "uri-reference", examples("about:blank"))]
    pub(crate) kind: String,
    /// The status in words.
    #[schema(examples("Not Found"))]
    pub(crate) title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599, examples(404))]
    pub(crate) status: u16,
    /// Why, and what can be done about it.
    #[schema(examples("there is no service playlist"))]
    pub(crate) detail: String,
}

pub(crate) fn about_blank() -> String {
    "about:blank".to_owned()
}

/// A line of what is followed.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used: who follows tells the two apart by what they have")]
pub(crate) enum Event {
    /// What is announced.
    Announced(Announcement),
    /// How much a slow reader has missed.
    Missed(Missed),
}

/// A line in place of announcements that a slow reader has missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Missed {
    /// How many.
    pub(crate) missed: u64,
}

/// Who somebody is, and what they may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The name under which records have them.
    pub(crate) name: String,
    /// By what they are known: `word`, `token`, `certificate`, `oidc` or `user`.
    #[schema(value_type = Via)]
    pub(crate) via: String,
    /// What they may do.
    pub(crate) grants: Vec<GrantStatus>,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantStatus {
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = Role)]
    pub(crate) role: String,
    /// Whether it holds everywhere.
    pub(crate) everything: bool,
    /// Else over the services of these teams, …
    pub(crate) teams: Vec<String>,
    /// … and over these services.
    pub(crate) services: Vec<String>,
}
