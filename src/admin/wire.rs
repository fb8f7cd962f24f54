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

/// Compares a service's Helios with itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibrate {
    /// How long, as in `30m`; the usual time if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Ends that before its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopCalibration {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
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
