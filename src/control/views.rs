use serde::{Deserialize, Serialize};

use super::journal::ActorRecord;

/// One service as people and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// The team that owns it.
    pub team: String,
    /// The weight in force, in percent.
    pub weight_percent: f64,
    /// What the weight comes from: `held`, `override` or `file`.
    pub why: String,
    /// Who said so, for a hold or an override.
    pub by: Option<ActorRecord>,
    /// Why they said so.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: Option<u64>,
    /// Until when an override lasts, in milliseconds since 1970 UTC.
    pub until_unix_ms: Option<u64>,
    /// What the file says, in percent.
    pub file_percent: f64,
    /// A weight that is being written down and comes into force when it is.
    pub rising_to_percent: Option<f64>,
    /// Helios over the last ten seconds.
    pub helios: SideStatus,
    /// Kubernetes over the last ten seconds.
    pub kubernetes: SideStatus,
    /// `revert`, `advise` or `off`.
    pub judge: String,
    /// `worse`, `not worse`, `too little evidence`, `blind`, or `off`.
    pub verdict: String,
    /// How long failures of 5 % would take to be seen, in seconds; absent if they never would.
    pub seen_in_s: Option<f64>,
    /// The evidence that Kubernetes is worse: 0 is none, 1 reverts.
    pub evidence: f64,
    /// The question with the most evidence.
    pub leading: String,
    /// There is evidence, but Helios is degraded too.
    pub shared: bool,
}

/// One side of a service over the last ten seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideStatus {
    /// Endpoints that are known.
    pub endpoints: usize,
    /// Tries a second.
    pub per_second: f64,
    /// The share of them that failed by the side's fault, 0 to 1.
    pub failed: f64,
    /// Half of the last answers took at most this long, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 in 100 of them took at most this long, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// The process as people and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The program's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: f64,
    /// Threads that serve requests.
    pub workers: usize,
    /// Workers that go by the latest snapshot.
    pub workers_current: usize,
    /// The latest snapshot.
    pub generation: u64,
    /// The configuration in force, as 16 hexadecimal digits.
    pub configuration: String,
    /// When it was loaded, in milliseconds since 1970 UTC.
    pub configuration_unix_ms: u64,
    /// Why the configuration that was read last is not in force; empty if it is.
    pub configuration_faults: Vec<String>,
    /// Sections of `switchback.toml` that have changed since the start and ask for a restart.
    pub needs_restart: Vec<String>,
    /// Connections of clients.
    pub connections: usize,
    /// Services that are configured.
    pub services: usize,
    /// Services that are held.
    pub held: usize,
    /// Services whose record is not on disk yet.
    pub unwritten: usize,
    /// The service names of all holds in the state directory whose services are not configured.
    pub held_elsewhere: Vec<String>,
}
