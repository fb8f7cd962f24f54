//! What masters send, as far as it is read. Unknown keys are skipped, also those that come twice; whatever may be absent may be
//! `null`, too.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The answer to `POST /hosts/statuses`: what each host is to run, and what runs there.
pub(super) type HostStatuses = BTreeMap<Box<str>, Option<HostStatus>>;

#[derive(Debug, Default, Deserialize)]
pub(super) struct HostStatus {
    /// By the job's id: what is wanted.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) jobs: BTreeMap<Box<str>, Option<Deployment>>,
    /// By the job's id: what is.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) statuses: BTreeMap<Box<str>, Option<TaskStatus>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: HostState,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Deployment {
    #[serde(default)]
    pub(super) goal: Option<Goal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskStatus {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) job: Job,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) state: State,
    #[serde(default)]
    pub(super) container_id: Option<Box<str>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) throttled: Throttled,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ports: BTreeMap<Box<str>, Option<PortMapping>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Job {
    /// By `service/protocol`.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) registration: BTreeMap<Box<str>, Option<ServicePorts>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ServicePorts {
    /// By the port's name.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ports: BTreeMap<Box<str>, Option<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortMapping {
    #[serde(default)]
    pub(super) ip: Option<Box<str>>,
    /// `null` as long as the agent has picked none.
    #[serde(default)]
    pub(super) external_port: Option<i64>,
    #[serde(default)]
    pub(super) protocol: Option<Box<str>>,
}

/// What is wanted of a job on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Goal {
    Start,
    #[serde(other)]
    Otherwise,
}

/// Whether the agent of a host is in touch with Helios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum HostState {
    Up,
    /// Down, or not said.
    #[default]
    #[serde(other)]
    Down,
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum State {
    PullingImage,
    Creating,
    Starting,
    #[serde(rename = "HEALTHCHECKING")]
    HealthChecking,
    Running,
    Exited,
    Stopping,
    Stopped,
    Failed,
    /// Helios' own word, and whatever else it may say.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Why an agent takes its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Throttled {
    /// It restarts again and again.
    Flapping,
    #[default]
    #[serde(other)]
    Otherwise,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
