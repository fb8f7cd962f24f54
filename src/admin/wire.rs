//! What is sent over the admin API, where it is not one of control's own views.

use serde::{Deserialize, Serialize};

use crate::control::{ActorRecord, AppliedRecord};

/// Sets a weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetWeight {
    /// 0 to 100 in steps of 0.01.
    pub(crate) percent: f64,
    /// Why.
    pub(crate) reason: String,
    /// How long, as in `2h`; for good if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<String>,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Ends an override.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clear {
    pub(crate) reason: String,
}

/// Ends a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The weight from here on: 0 to 100 in steps of 0.01.
    pub(crate) to_percent: f64,
    pub(crate) reason: String,
    /// Also if Helios could not take everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
}

/// Takes services back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    /// These services …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    /// … or every service that Kubernetes has a share of.
    #[serde(default)]
    pub(crate) all: bool,
    pub(crate) reason: String,
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
    pub(crate) by: ActorRecord,
    pub(crate) changes: Vec<crate::control::Change>,
    pub(crate) applied: Option<AppliedRecord>,
}

/// Why something was refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type", default = "about_blank")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
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
