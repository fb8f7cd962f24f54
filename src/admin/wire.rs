//! What is sent over the admin API, where it is not one of control's own views.

use serde::{Deserialize, Serialize};

use crate::control::{ActorRecord, AppliedRecord, ApprovalStatus};

/// Why something is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// One line of text.
    pub(crate) reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as `INC-4711`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
}

/// Sets a weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetWeight {
    /// 0 to 100 in steps of 0.01.
    pub(crate) percent: f64,
    /// Why.
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    /// How long, as in `2h`; for good if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<String>,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Ends a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The weight from here on: 0 to 100 in steps of 0.01.
    pub(crate) to_percent: f64,
    /// Why.
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    /// Kubernetes was fine: the judge was wrong. It is counted against its promise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) false_alarm: bool,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Compares a service's Helios with itself. It changes nothing for anybody, and needs no reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibrate {
    /// How long, as in `30m`; the usual time if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Ends that before its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopCalibration {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Starts a ramp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRamp {
    /// Why.
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    /// The step to begin at, in percent. Default: the one that the service is at, or the first. After a revert it must be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from_percent: Option<f64>,
    /// A plan in place of that of the service's file, with the same keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<serde_json::Value>,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Which services something is about: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// These services …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    /// … or those of this team …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<String>,
    /// … or those that are on this cluster …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// … or every service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) all: bool,
}

/// Takes services back, or has their ramps paused or resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfScope {
    /// These services …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    /// … or those of this team …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<String>,
    /// … or those that are on this cluster …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// … or every service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) all: bool,
    /// Why.
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
}

impl OfScope {
    pub(crate) fn new(scope: Scope, reason: String, ticket: Option<String>) -> Self {
        let Scope { services, team, cluster, all } = scope;
        Self { services, team, cluster, all, reason, ticket }
    }

    pub(crate) fn scope(&self) -> Scope {
        let Self { services, team, cluster, all, .. } = self.clone();
        Scope { services, team, cluster, all }
    }
}

/// What is only to be foreseen: one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Preview {
    /// A weight.
    Weight { service: String, percent: f64 },
    /// The end of an override.
    Clear { service: String },
    /// The end of a hold.
    Release { service: String, to_percent: f64 },
    /// A ramp.
    StartRamp {
        service: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_percent: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<serde_json::Value>,
    },
    /// The end of a ramp.
    StopRamp { service: String },
    /// A migration.
    Migrate { service: String },
    /// An approval.
    Approve { service: String },
    /// A revert.
    Revert(Scope),
}

/// Tries a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestWebhook {
    pub(crate) reason: String,
}

/// What came of trying a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tested {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// A URI for the kind of problem: there is none beside the status.
    #[serde(rename = "type", default = "about_blank")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: String,
    /// The status.
    pub(crate) status: u16,
    /// Why, and what can be done about it.
    pub(crate) detail: String,
}

pub(crate) fn about_blank() -> String {
    "about:blank".to_owned()
}

/// A line in place of announcements that a slow reader has missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Missed {
    pub(crate) missed: u64,
}

/// Who somebody is, and what they may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhoAmI {
    /// The name under which records have them.
    pub(crate) name: String,
    /// By what they are known: `word`, `token`, `certificate`, `oidc` or `user`.
    pub(crate) via: String,
    /// What they may do.
    pub(crate) grants: Vec<GrantStatus>,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GrantStatus {
    /// `viewer`, `operator` or `admin`.
    pub(crate) role: String,
    /// Whether it holds everywhere.
    pub(crate) everything: bool,
    /// Else over the services of these teams, …
    pub(crate) teams: Vec<String>,
    /// … and over these services.
    pub(crate) services: Vec<String>,
}
