use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rollout::Actor;

/// The full record of one revert, as it is kept, sent and shown: what was seen, when, how sure, what changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// The service.
    pub service: String,
    /// When it was reverted, in milliseconds since 1970 UTC.
    pub reverted_unix_ms: u64,
    /// Who reverted it.
    pub by: ActorRecord,
    /// Why, in one line.
    pub reason: String,
    /// The weight before …
    pub weight_before_percent: f64,
    /// … and after.
    #[serde(default)]
    pub weight_after_percent: f64,
    /// The evidence, if the judge reverted.
    pub finding: Option<FindingRecord>,
    /// What each question had to say, whether or not that is enough. Receipts of version 0.1 have none, nor `timeline` and
    /// `cited`.
    #[serde(default)]
    pub evidence: Vec<EvidenceRecord>,
    /// Seconds that `helios`, `kubernetes`, `blamed`, `rescued` and `unrescued` cover, up to the revert.
    pub window_s: f64,
    /// What Helios did meanwhile.
    pub helios: SideRecord,
    /// What Kubernetes did meanwhile.
    pub kubernetes: SideRecord,
    /// Where Kubernetes' failures happened, the worst first.
    pub blamed: Vec<BlamedRecord>,
    /// What happened second by second, from ten seconds before the window, at most a minute; seconds without requests are
    /// left out.
    #[serde(default)]
    pub timeline: Vec<SecondRecord>,
    /// A few requests that failed on Kubernetes, the latest first, if the service gives its requests identifiers.
    #[serde(default)]
    pub cited: Vec<CitedRecord>,
    /// Requests that failed on Kubernetes and were answered by Helios.
    pub rescued: u64,
    /// Requests that failed on Kubernetes, and whose clients were told so.
    pub unrescued: u64,
    /// Requests that hung on Kubernetes when it was reverted. Those that can be asked again are answered by
    /// Helios from then on.
    #[serde(default)]
    pub hanging: u64,
    /// The configuration in force, as 16 hexadecimal digits.
    pub configuration: String,
    /// When every worker went by the new weight; absent if some had not within a second.
    pub applied: Option<AppliedRecord>,
    /// When the hold was safe on disk, in milliseconds since 1970 UTC; absent until it is.
    pub hold_written_unix_ms: Option<u64>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorRecord {
    /// The judge, on evidence.
    Judge,
    /// Switchback itself, in doubt.
    Caution,
    /// A ramp, by its plan.
    Ramp,
    /// The fleet guard.
    Guard,
    /// A person.
    Person(String),
}

/// The evidence of a revert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// `failure`, `stall`, `slow50`, `slower`, `slow99`, `far` or `farther`.
    pub question: String,
    /// The route that it was answered for; absent if it was the whole service.
    #[serde(default)]
    pub route: Option<String>,
    /// How long the evidence took to grow, in seconds.
    pub took_s: f64,
    /// Votes of Helios in that time.
    pub helios_votes: u64,
    /// Bad ones among them.
    pub helios_bad: u64,
    /// Votes of Kubernetes in that time.
    pub kubernetes_votes: u64,
    /// Bad ones among them.
    pub kubernetes_bad: u64,
    /// The share of bad votes that was tolerated from Kubernetes, 0 to 1.
    pub tolerated: f64,
    /// The evidence, in seconds.
    pub evidence_s: f64,
    /// What it had to reach: one false revert in so many seconds.
    pub promise_s: f64,
    /// Evidence that this was not a shared event, in nats.
    pub gate_nats: f64,
    /// What that had to reach.
    pub gate_needed_nats: f64,
    /// How much more than independent votes Helios' own votes vary.
    pub noise: f64,
    /// How the evidence grew, second by second; the last minute of it.
    #[serde(default)]
    pub course: Vec<CourseRecord>,
}

/// The evidence at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourseRecord {
    /// Seconds before the revert.
    pub before_s: f64,
    /// The evidence, in seconds.
    pub evidence_s: f64,
    /// The same, whether or not it may be a shared event.
    pub ungated_s: f64,
}

/// What one side did in a receipt's window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideRecord {
    /// Tries that ended.
    pub tries: u64,
    /// Failed ones among them that were the side's fault.
    pub failed: u64,
    /// Half of the answers took at most this long, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 in 100 of them took at most this long, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// What went wrong at one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlamedRecord {
    /// Its address.
    pub endpoint: String,
    /// What: `connect_refused`, `status`, ….
    pub cause: String,
    /// How often.
    pub count: u64,
}

/// What one question had to say: the most that it had on any route, or on the whole service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// `failure`, `stall`, `slow50`, `slower`, `slow99`, `far` or `farther`.
    pub question: String,
    /// The route; absent if it is the whole service.
    pub route: Option<String>,
    /// The evidence, in seconds. What all questions have together is compared with the promise.
    pub evidence_s: f64,
    /// The same, whether or not it may be a shared event.
    pub ungated_s: f64,
    /// Votes of Helios while it grew.
    pub helios_votes: u64,
    /// Bad ones among them.
    pub helios_bad: u64,
    /// Votes of Kubernetes while it grew.
    pub kubernetes_votes: u64,
    /// Bad ones among them.
    pub kubernetes_bad: u64,
    /// The share of bad votes that was tolerated from Kubernetes, 0 to 1.
    pub tolerated: f64,
    /// After so many milliseconds a request on Helios votes bad, if its age is asked.
    pub helios_after_ms: Option<f64>,
    /// After so many milliseconds a request on Kubernetes votes bad: later by what is tolerated.
    pub kubernetes_after_ms: Option<f64>,
}

/// What happened in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondRecord {
    /// When it began, in milliseconds since 1970 UTC.
    pub from_unix_ms: u64,
    /// Tries on Helios that ended.
    pub helios_tries: u64,
    /// Failed ones among them that were Helios' fault.
    pub helios_failed: u64,
    /// Tries on Kubernetes that ended.
    pub kubernetes_tries: u64,
    /// Failed ones among them that were Kubernetes' fault.
    pub kubernetes_failed: u64,
    /// Requests that failed on Kubernetes and were answered by Helios.
    pub rescued: u64,
    /// Requests that failed on Kubernetes, and whose clients were told so.
    pub unrescued: u64,
}

/// A request that failed on Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CitedRecord {
    /// Its identifier, or the trace that it is part of.
    pub id: String,
    /// The endpoint that was asked.
    pub endpoint: String,
    /// What went wrong: `connect_refused`, `status`, ….
    pub cause: String,
}

/// When a change had reached the workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedRecord {
    /// Workers that go by it.
    pub workers: usize,
    /// Workers that there are.
    pub of: usize,
    /// How long that took, in microseconds.
    pub took_us: u64,
}

impl From<&Actor> for ActorRecord {
    fn from(actor: &Actor) -> Self {
        match actor {
            Actor::Judge => Self::Judge,
            Actor::Caution => Self::Caution,
            Actor::Ramp => Self::Ramp,
            Actor::Guard => Self::Guard,
            Actor::Person(name) => Self::Person(name.to_string()),
        }
    }
}

impl From<ActorRecord> for Actor {
    fn from(record: ActorRecord) -> Self {
        match record {
            ActorRecord::Judge => Self::Judge,
            ActorRecord::Caution => Self::Caution,
            ActorRecord::Ramp => Self::Ramp,
            ActorRecord::Guard => Self::Guard,
            ActorRecord::Person(name) => Self::Person(Arc::from(name)),
        }
    }
}

impl std::fmt::Display for ActorRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Actor::from(self.clone()).fmt(f)
    }
}
