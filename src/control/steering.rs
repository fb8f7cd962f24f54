//! What people see of steering: ramps, approvals, previews, the ledger of migrations.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Phase;
use crate::model::UnixMillis;
use crate::rollout::{Going, Plan, Ramp, Wait};

use super::journal::ActorRecord;
use super::ledger::Stage;
use super::views::FitStatus;
use super::vocabulary::{Percent, RampGoing, Verdict, WaitKind, WeightFrom};

/// A ramp on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RampStatus {
    /// The number of the step that was taken last, from 1.
    pub step: usize,
    /// Its steps.
    pub steps: Vec<StepStatus>,
    /// The weight of the step that was taken last, in percent.
    #[schema(value_type = Percent)]
    pub weight_percent: f64,
    /// That of the next, if there is one.
    #[schema(value_type = Option<Percent>)]
    pub next_percent: Option<f64>,
    /// `on`, `paused` or `done`.
    #[schema(value_type = RampGoing)]
    pub going: String,
    /// Who started it.
    pub by: ActorRecord,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// Since when time counts at this step, in milliseconds since 1970 UTC.
    pub since_unix_ms: u64,
    /// What it waits for before it takes the next.
    pub waits: Vec<WaitStatus>,
    /// How long that will last at the present rate, in seconds; absent if nobody can say.
    pub left_s: Option<f64>,
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepStatus {
    /// The weight, in percent.
    #[schema(value_type = Percent)]
    pub to_percent: f64,
    /// How long it lasts at least, in seconds.
    pub hold_s: f64,
    /// Requests that Kubernetes has answered at it, at least.
    pub requests: u64,
    /// How sure the judge must be that Kubernetes is not worse, in percent.
    #[schema(minimum = 0, maximum = 100)]
    pub certainty_percent: f64,
}

/// Something that a ramp waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitStatus {
    /// `paused`, `override`, `time`, `requests`, `certainty`, `verdict`, `room`, `hours` or `freeze`.
    #[schema(value_type = WaitKind)]
    pub kind: String,
    /// The same in words, as the end of a sentence that begins with "waits for".
    pub text: String,
    /// How long it will last at the present rate, in seconds; absent if nobody can say.
    pub left_s: Option<f64>,
}

impl RampStatus {
    pub(super) fn of(ramp: &Ramp, plan: &Plan, waits: &[Wait], now: UnixMillis) -> Self {
        let next = plan.next(ramp.weight);
        // A plan that was cut short leads no further.
        let going = if next.is_none() { "done" } else { going(&ramp.going) };
        let lefts: Option<Vec<Duration>> = waits.iter().map(|wait| wait.left(now)).collect();
        let left = lefts.map(|lefts| lefts.into_iter().max().unwrap_or_default());
        Self {
            step: plan.number(ramp.weight),
            steps: plan.steps.iter().map(StepStatus::from).collect(),
            weight_percent: ramp.weight.percent(),
            next_percent: next.map(|step| step.to.percent()),
            going: going.to_owned(),
            by: (&ramp.by).into(),
            reason: ramp.reason.to_string(),
            started_unix_ms: ramp.started.0,
            since_unix_ms: ramp.since.0,
            left_s: left.filter(|_| going == "on").map(|left| left.as_secs_f64()),
            waits: waits.iter().map(|wait| WaitStatus::of(wait, now)).collect(),
        }
    }
}

impl From<&crate::rollout::Step> for StepStatus {
    fn from(step: &crate::rollout::Step) -> Self {
        Self {
            to_percent: step.to.percent(),
            hold_s: step.hold.as_secs_f64(),
            requests: step.requests,
            certainty_percent: step.certainty * 100.0,
        }
    }
}

impl WaitStatus {
    fn of(wait: &Wait, now: UnixMillis) -> Self {
        Self {
            kind: wait.as_str().to_owned(),
            text: wait.to_string(),
            left_s: wait.left(now).map(|left| left.as_secs_f64()),
        }
    }
}

fn going(going: &Going) -> &'static str {
    match going {
        Going::On => "on",
        Going::Paused { .. } => "paused",
        Going::Done => "done",
    }
}

/// A change that waits for a second person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalStatus {
    /// The service.
    pub service: String,
    /// Who wants it.
    pub by: String,
    /// What, in words.
    pub what: String,
    /// The weight that it leads to, in percent.
    #[schema(value_type = Percent)]
    pub to_percent: f64,
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub asked_unix_ms: u64,
    /// Until when it waits.
    pub until_unix_ms: u64,
}

/// What would come of a change of one service's weight, at the present rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewStatus {
    /// The service.
    pub service: String,
    /// The weight in force, in percent.
    #[schema(value_type = Percent)]
    pub before_percent: f64,
    /// The weight that would be.
    #[schema(value_type = Percent)]
    pub after_percent: f64,
    /// Requests a second that Helios gets.
    pub helios_per_second: f64,
    /// Requests a second that it would get.
    pub helios_then_per_second: f64,
    /// Requests a second that Kubernetes gets.
    pub kubernetes_per_second: f64,
    /// Requests a second that it would get.
    pub kubernetes_then_per_second: f64,
    /// How many times its present load the side would get that gets more; absent if it gets nothing at present.
    pub times: Option<f64>,
    /// Whether that is much: people are asked once more.
    pub much: bool,
    /// Whether Helios can take everything; absent while too little is known.
    pub fit: Option<FitStatus>,
    /// Whether it takes a second person.
    pub approval: bool,
}

/// How far the migration is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationStatus {
    /// When this was so, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
    /// Each service, by name.
    pub services: Vec<MigrationRow>,
    /// Sums by team.
    pub teams: Vec<MigrationSum>,
    /// Sums by phase: `experiment`, `alpha`, `beta`, `general`.
    pub phases: Vec<MigrationSum>,
    /// All together.
    pub all: MigrationSum,
}

/// How far one service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationRow {
    /// The service.
    pub service: String,
    /// The team that owns it.
    pub team: String,
    /// Who answers for its migration.
    pub owner: Option<String>,
    /// `experiment`, `alpha`, `beta` or `general`.
    #[schema(value_type = Phase)]
    pub phase: String,
    /// `helios only`, `dual run` or `kubernetes only`.
    #[schema(value_type = Stage)]
    pub stage: String,
    /// Days at this stage.
    pub days_at_stage: f64,
    /// The weight in force, in percent.
    #[schema(value_type = Percent)]
    pub weight_percent: f64,
    /// What it comes from: `held`, `override`, `ramp` or `file`.
    #[schema(value_type = WeightFrom)]
    pub why: String,
    /// Days at this weight.
    pub days_at_weight: f64,
    /// The highest weight that it ever had, in percent.
    #[schema(value_type = Percent)]
    pub highest_percent: f64,
    /// How often the judge has taken it back.
    pub reverts_by_judge: u64,
    /// How often somebody else has.
    pub reverts_by_others: u64,
    /// How many of the judge's reverts were said to be false.
    pub false_reverts: u64,
    /// When it was taken back last, in milliseconds since 1970 UTC.
    pub last_revert_unix_ms: Option<u64>,
    /// The judge's word.
    #[schema(value_type = Verdict)]
    pub verdict: String,
    /// What its next step waits for.
    pub next_gate: String,
    /// When its migration was begun, in milliseconds since 1970 UTC.
    pub migrated_unix_ms: Option<u64>,
}

/// How far several services are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationSum {
    /// What they have in common.
    pub name: String,
    /// How many there are.
    pub services: u64,
    /// Of those, on Helios only.
    pub helios_only: u64,
    /// On both sides.
    pub dual_run: u64,
    /// On Kubernetes only.
    pub kubernetes_only: u64,
    /// Held.
    pub held: u64,
    /// With a ramp that decides.
    pub ramping: u64,
    /// At a weight of 100.
    pub at_full_weight: u64,
    /// The mean of their weights, in percent.
    #[schema(minimum = 0, maximum = 100)]
    pub mean_weight_percent: f64,
    /// Reverts by the judge.
    pub reverts_by_judge: u64,
}

/// Whether a service is ready to be migrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessStatus {
    /// The service.
    pub service: String,
    /// Whether it is.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<ReadinessCheck>,
}

/// One thing that must be so before a service is migrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessCheck {
    /// What.
    pub what: String,
    /// Whether it is so.
    pub ok: bool,
    /// How it is, or how to mend it.
    pub details: String,
}
