use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::JudgeMode;
use crate::model::Millis;
use crate::verdict::{Degradation, Hindrance, Question};

use super::capacity::Fit;
use super::journal::{ActorRecord, FindingRecord, JudgementRecord};
use super::lineup::{Lineup, PartState};
use super::steering::{ApprovalStatus, RampStatus};
use super::vocabulary::{DegradationKind, Percent, SourceKind, Verdict, WeightFrom};
use super::webhooks::WebhookStatus;

/// One service as people and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// The team that owns it.
    pub team: String,
    /// The weight in force, in percent.
    #[schema(value_type = Percent)]
    pub weight_percent: f64,
    /// What the weight comes from: `held`, `override`, `ramp` or `file`.
    #[schema(value_type = WeightFrom)]
    pub why: String,
    /// Who said so, for a hold, an override or a ramp.
    pub by: Option<ActorRecord>,
    /// Why they said so.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: Option<u64>,
    /// Until when an override lasts, in milliseconds since 1970 UTC.
    pub until_unix_ms: Option<u64>,
    /// What the file says, in percent.
    #[schema(value_type = Percent)]
    pub file_percent: f64,
    /// A weight that is being written down and comes into force when it is.
    #[schema(value_type = Option<Percent>)]
    pub rising_to_percent: Option<f64>,
    /// Helios over the last ten seconds.
    pub helios: SideStatus,
    /// Kubernetes over the last ten seconds.
    pub kubernetes: SideStatus,
    /// `revert`, `advise` or `off`.
    #[schema(value_type = JudgeMode)]
    pub judge: String,
    /// `worse`, `not worse`, `too little evidence`, `blind`, or `off`.
    #[schema(value_type = Verdict)]
    pub verdict: String,
    /// How long failures of 5 % would take to be seen, in seconds; absent if they never would.
    pub seen_in_s: Option<f64>,
    /// The evidence that Kubernetes is worse: 0 is none, 1 reverts.
    pub evidence: f64,
    /// The question with the most evidence.
    #[schema(value_type = Question)]
    pub leading: String,
    /// The route that it was asked of; absent if it was the whole service.
    #[serde(default)]
    pub leading_route: Option<String>,
    /// There is evidence, but Helios is degraded too.
    pub shared: bool,
    /// Whether Helios can take everything back; absent while too little is known, or nothing is to be taken back.
    #[serde(default)]
    pub fit: Option<FitStatus>,
    /// More goes to Helios than it can take: what is too much is refused.
    #[serde(default)]
    pub sheds: bool,
    /// What speaks most against Kubernetes at this moment, counted as in a receipt; absent while that is next to
    /// nothing.
    #[serde(default)]
    pub case: Option<FindingRecord>,
    /// Its ramp, whether or not that is what decides.
    #[serde(default)]
    pub ramp: Option<RampStatus>,
    /// Where a revert has ended its last ramp, in percent.
    #[serde(default)]
    #[schema(value_type = Option<Percent>)]
    pub ramp_cut_at_percent: Option<f64>,
    /// When that ramp starts again by itself, in milliseconds since 1970 UTC, if nothing else speaks against it then.
    #[serde(default)]
    pub again_unix_ms: Option<u64>,
    /// What waits for a second person.
    #[serde(default)]
    pub approval: Option<ApprovalStatus>,
    /// The calibration that runs.
    #[serde(default)]
    pub calibrating: Option<CalibratingStatus>,
}

/// A calibration that runs, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibratingStatus {
    /// How long it has run, in seconds.
    pub ran_s: f64,
    /// How long it is to last, in seconds.
    pub lasts_s: f64,
    /// What it says of the promise so far.
    pub judgement: JudgementRecord,
}

/// Whether Helios can take everything back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FitStatus {
    /// It can.
    pub fits: bool,
    /// Requests a second that it can take.
    pub able_per_second: f64,
    /// When it has served so many, in milliseconds since 1970 UTC; absent if the configuration says so.
    pub at_unix_ms: Option<u64>,
    /// Requests a second on both sides.
    pub needed_per_second: f64,
}

impl From<Fit> for FitStatus {
    fn from(fit: Fit) -> Self {
        Self {
            fits: fit.fits(),
            able_per_second: fit.able,
            at_unix_ms: fit.at.map(|at| at.0),
            needed_per_second: fit.needed,
        }
    }
}

/// One side of a service over the last ten seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SideStatus {
    /// Endpoints that are asked.
    pub endpoints: usize,
    /// Endpoints that are not asked for a while, because they did much worse than the others.
    #[serde(default)]
    pub ejected: usize,
    /// Endpoints that fail their checks, …
    #[serde(default)]
    pub ill: usize,
    /// … and are asked all the same, as too few others are left.
    #[serde(default)]
    pub panics: bool,
    /// Where they come from: one source, or one for each cluster; none if the service is not on this side.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// Tries a second.
    pub per_second: f64,
    /// The share of them that failed by the side's fault, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub failed: f64,
    /// Half of the last answers took at most this long, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 in 100 of them took at most this long, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// Where a side's endpoints come from, and how far that is believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceStatus {
    /// `addresses`, `srv`, `helios` or `kubernetes`.
    #[schema(value_type = SourceKind)]
    pub kind: String,
    /// The cluster, on a side that is on several.
    #[serde(default)]
    pub cluster: Option<String>,
    /// How large its share of the side is, beside the others'.
    pub weight: u16,
    /// For how many more seconds it gets nothing, because it did much worse than the others; absent if it gets its share.
    #[serde(default)]
    pub out_s: Option<f64>,
    /// How many endpoints requests are meant for.
    pub endpoints: usize,
    /// How long ago it said something, in seconds; absent if it has not since the start.
    pub age_s: Option<f64>,
    /// Why it says nothing; absent while it does.
    pub trouble: Option<String>,
    /// Since how many seconds it says nothing.
    pub trouble_s: Option<f64>,
    /// Since how many seconds it knows much less than there was, and is not believed.
    pub doubted_s: Option<f64>,
    /// Endpoints by how they stand: `live`, `suspect`, `unknown`, `draining`, `not-ready`.
    pub standing: BTreeMap<String, usize>,
    /// Endpoints that it does not vouch for any more, and that are asked all the same.
    pub kept: usize,
}

impl SourceStatus {
    pub(super) fn of(lineup: &Lineup, part: &PartState, now: Millis) -> Self {
        let roster = &part.roster;
        let (standing, kept) = roster.counts();
        let since = |at: Millis| now.since(at).seconds();
        let (trouble, spoke) = (roster.trouble(), roster.spoke());
        Self {
            kind: roster.source().kind().to_owned(),
            cluster: part.cluster.as_deref().map(str::to_owned),
            weight: part.weight,
            out_s: lineup.out_until(part).map(|until| until.since(now).seconds()),
            endpoints: roster.offered().len(),
            // What the configuration lists is as fresh as can be.
            age_s: if roster.source().is_fixed() { Some(0.0) } else { spoke.map(since) },
            trouble: trouble.map(|trouble| trouble.why.to_string()),
            trouble_s: trouble.map(|trouble| since(trouble.since)),
            doubted_s: roster.doubted().map(since),
            standing: standing
                .into_iter()
                .map(|(standing, count)| (standing.as_str().to_owned(), count))
                .collect(),
            kept,
        }
    }
}

/// How soon a service's judge would see what may happen to Kubernetes, at the present rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SensitivityStatus {
    /// The service.
    pub service: String,
    /// `revert`, `advise` or `off`.
    #[schema(value_type = JudgeMode)]
    pub judge: String,
    /// The promise: one false revert in so many seconds.
    pub promise_s: f64,
    /// Tries a second on Helios over the last ten seconds.
    pub helios_per_second: f64,
    /// Tries a second on Kubernetes over the last ten seconds.
    pub kubernetes_per_second: f64,
    /// What may happen.
    pub degradations: Vec<DegradationStatus>,
}

/// What may happen to Kubernetes, and how soon it would be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DegradationStatus {
    /// `fails`, `slower` or `tail-slower`.
    #[schema(value_type = DegradationKind)]
    pub kind: String,
    /// The share of requests that fail; or how many times as long all answers, or the slowest, take.
    pub amount: f64,
    /// The same in words.
    pub text: String,
    /// How long it would take to be seen, in seconds; absent if it never would.
    pub seen_in_s: Option<f64>,
    /// Why it never would, in words.
    #[serde(default)]
    pub why_never: Option<String>,
}

impl From<(Degradation, Result<Duration, Hindrance>)> for DegradationStatus {
    fn from((degradation, seen_in): (Degradation, Result<Duration, Hindrance>)) -> Self {
        let (kind, amount, text) = match degradation {
            Degradation::Fails(share) => ("fails", share, format!("{}% of requests fail", share * 100.0)),
            Degradation::Slower(times) => ("slower", times, format!("answers take {times} times as long")),
            Degradation::TailSlower(times) => {
                ("tail-slower", times, format!("the slowest answers take {times} times as long"))
            }
        };
        let why_never = seen_in.err().map(|hindrance| hindrance.in_words().to_owned());
        let seen_in_s = seen_in.ok().map(|seen_in| seen_in.as_secs_f64());
        Self { kind: kind.to_owned(), amount, text, seen_in_s, why_never }
    }
}

/// The process as people and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub configuration: String,
    /// When it was loaded, in milliseconds since 1970 UTC.
    pub configuration_unix_ms: u64,
    /// Why the configuration that was read last is not in force; empty if it is.
    pub configuration_faults: Vec<String>,
    /// What is wrong with the rights file as it is on disk, and with what it names; the last good ones are in force.
    #[serde(default)]
    pub rights_faults: Vec<String>,
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
    /// Entries of the history that are not on disk yet.
    #[serde(default)]
    pub unwritten_history: usize,
    /// Services whose ramp is paused.
    #[serde(default)]
    pub paused_ramps: usize,
    /// What the fleet guard has found, while that goes on.
    #[serde(default)]
    pub fleet_guard: Option<String>,
    /// The service names of all holds in the state directory whose services are not configured.
    pub held_elsewhere: Vec<String>,
    /// Who is told what happens.
    #[serde(default)]
    pub webhooks: Vec<WebhookStatus>,
}
