use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Topic;

use super::super::vocabulary::WebhookKind;

/// One webhook as people and programs see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookStatus {
    /// Its name.
    pub webhook: String,
    /// `cloudevents`, `slack` or `pagerduty`.
    #[schema(value_type = WebhookKind)]
    pub kind: String,
    /// Where messages are sent, without the path, which may be a secret.
    pub to: String,
    /// What it is told of.
    #[schema(value_type = Vec<Topic>)]
    pub events: Vec<String>,
    /// Whose services it is told about; absent if everybody's.
    #[serde(default)]
    pub teams: Option<Vec<String>>,
    /// Messages that wait.
    pub waiting: usize,
    /// What the oldest of them tells of happened then, in milliseconds since 1970 UTC.
    pub oldest_unix_ms: Option<u64>,
    /// When it is tried again, in milliseconds since 1970 UTC; absent unless a try has failed.
    pub next_try_unix_ms: Option<u64>,
    /// Messages that have arrived, since the start.
    pub delivered: u64,
    /// Tries that have failed, since the start.
    pub failed_tries: u64,
    /// Messages that were given up, since the start: the receiver refused them, or could not take them while it
    /// took others, or they were a day old.
    pub given_up: u64,
    /// Messages that there was no room for, or that could not be read, since the start.
    pub dropped: u64,
    /// When a message has arrived last, in milliseconds since 1970 UTC.
    pub delivered_unix_ms: Option<u64>,
    /// What has gone wrong last.
    pub trouble: Option<String>,
    /// When, in milliseconds since 1970 UTC.
    pub trouble_unix_ms: Option<u64>,
    /// Nothing has arrived since.
    pub troubled: bool,
}

/// What has become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has arrived, and was answered with this status.
    Delivered(u16),
    /// It was given up, for this reason.
    GivenUp(String),
    /// It had to make room for others.
    Dropped,
}
