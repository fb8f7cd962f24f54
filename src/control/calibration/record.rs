use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{PerSide, Side};
use crate::verdict::{Foresight, Question};

use super::super::entry::Entry;
use super::super::event::Now;
use super::super::journal::{
    BegunRecord, CalibrationRecord, EndingRecord, QuestionRecord, SensitivityRecord, TrialRecord,
};
use super::super::views::DegradationStatus;
use super::running::Running;
use super::trial::Trial;

/// A service's calibrations as people and programs see them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationStatus {
    /// The service.
    pub service: String,
    /// What the running one has come to so far; absent if none runs.
    pub running: Option<CalibrationRecord>,
    /// What the last that has ended came to; absent if there was none.
    pub last: Option<CalibrationRecord>,
    /// One that a restart has cut short, if none has begun since.
    pub interrupted: Option<BegunRecord>,
}

/// How a calibration ends.
pub(super) struct Ending {
    pub(super) ending: EndingRecord,
    pub(super) why: Option<String>,
}

/// Weights at which people are told how soon trouble would be seen: the steps of a careful ramp.
const WEIGHTS: [f64; 4] = [1.0, 5.0, 25.0, 50.0];

/// What there is to see of a service's calibrations.
pub(super) fn status(entry: &mut Entry, now: Now) -> CalibrationStatus {
    let running = entry.calibrations.running.take();
    let so_far = running.as_ref().map(|running| {
        let ending = Ending { ending: EndingRecord::Running, why: None };
        record(entry, running, ending, now)
    });
    entry.calibrations.running = running;
    CalibrationStatus {
        service: entry.config.name.to_string(),
        running: so_far,
        last: entry.calibration().cloned(),
        interrupted: entry.calibrations.interrupted.clone(),
    }
}

/// What a calibration has come to.
pub(super) fn record(entry: &mut Entry, running: &Running, ending: Ending, now: Now) -> CalibrationRecord {
    let ran = running.ran(now.mono);
    let judgement = running.judgement(now.mono);
    let latency = entry.watch.quantiles(now.mono).map(|quantiles| quantiles.map(|us| us.0 as f64 / 1e3));
    let question = |question: Question| {
        let votes = running.votes(question);
        QuestionRecord {
            question: question.as_str().to_owned(),
            noise: entry.watch.judge().noise(question),
            a_votes: votes.cast.helios,
            a_bad: votes.bad.helios,
            b_votes: votes.cast.kubernetes,
            b_bad: votes.bad.kubernetes,
            found: running.short.found_by()[question],
        }
    };
    let trial = |trial: &Trial| TrialRecord {
        promise_s: trial.promise().as_secs_f64(),
        expected: trial.expected(ran),
        found: trial.found(),
        chance: trial.chance(ran),
        most_evidence: trial.most.0,
        most_with_gated: trial.most.1,
    };
    let BegunRecord { begun_unix_ms, by, reason, lasts_s } = running.begun_record();
    CalibrationRecord {
        service: entry.config.name.to_string(),
        begun_unix_ms,
        by,
        reason,
        lasts_s,
        ended_unix_ms: now.wall.0,
        ran_s: ran.as_secs_f64(),
        ending: ending.ending,
        ending_why: ending.why,
        judgement: judgement.word,
        told: judgement.told,
        own: trial(&running.own),
        short: trial(&running.short),
        a: running.half(Side::Helios, now.mono),
        b: running.half(Side::Kubernetes, now.mono),
        p50_ms: latency.map(|[p50, _]| p50),
        p99_ms: latency.map(|[_, p99]| p99),
        questions: Question::ALL.into_iter().map(question).collect(),
        votes_lost: running.votes_lost,
        // Progress is asked for again and again, and this costs a millisecond or two.
        sensitivity: match ending.ending {
            EndingRecord::Running => Vec::new(),
            EndingRecord::Finished | EndingRecord::Stopped | EndingRecord::Changed => sensitivity(entry, now),
        },
    }
}

/// By the service's own judge: what it knows of Helios holds at any weight, and only the rates are others.
fn sensitivity(entry: &Entry, now: Now) -> Vec<SensitivityRecord> {
    let (watch, weight) = (&entry.watch, entry.weight().percent());
    let asked = watch.judge().rates(now.mono);
    let row = |weight_percent, in_force, asked: PerSide<f64>, foresight: Foresight| SensitivityRecord {
        weight_percent,
        in_force,
        helios_per_second: asked.helios,
        kubernetes_per_second: asked.kubernetes,
        degradations: foresight.into_iter().map(DegradationStatus::from).collect(),
    };
    let at_others = watch.sensitivity_at(now.mono, WEIGHTS.map(|weight| weight / 100.0));
    let others = WEIGHTS.into_iter().zip(at_others).map(|(weight, foresight)| {
        let kubernetes = (asked.helios + asked.kubernetes) * weight / 100.0;
        let helios = asked.helios + asked.kubernetes - kubernetes;
        row(weight, false, PerSide { helios, kubernetes }, foresight)
    });
    std::iter::once(row(weight, true, asked, watch.sensitivity(now.mono))).chain(others).collect()
}
