use std::sync::Arc;
use std::time::Duration;

use crate::model::{Millis, PerSide, Side};
use crate::rollout::Actor;
use crate::splitter::Halves;
use crate::tally::HalvesReport;
use crate::verdict::{Counts, Judge, PerQuestion, Question, Strata, Stratum};

use super::super::event::Now;
use super::super::gathering::Gathering;
use super::super::journal::{BegunRecord, HalfRecord};
use super::judgement::Judgement;
use super::trial::Trial;

/// A calibration that runs: two judges look at Helios' halves, in the same ticks and by the same code as the service's own
/// looks at its sides. They know what that one knows of Helios when this begins, and it never hears of them.
pub(super) struct Running {
    pub(super) halves: Halves,
    order: CalibrationOrder,
    pub(super) begun: Now,
    /// By the service's own promise. In a year's promise nothing is found in an hour, unless something is badly wrong.
    pub(super) own: Trial,
    /// By a promise that is short enough to be put to the test meanwhile.
    pub(super) short: Trial,
    gathering: Gathering,
    asked: PerSide<u64>,
    votes: PerQuestion<Counts>,
    pub(super) votes_lost: u64,
}

/// What a person asks for.
#[derive(Clone, Debug)]
pub(crate) struct CalibrationOrder {
    pub(crate) lasts: Duration,
    pub(crate) by: Actor,
    pub(crate) reason: Option<Arc<str>>,
}

impl CalibrationOrder {
    /// How long a calibration may last, at least: next to nothing, to try it out …
    pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
    /// … and at most.
    pub(crate) const LONGEST: Duration = Duration::from_hours(7 * 24);
    /// How long it lasts unless told.
    pub(crate) const USUAL: Duration = Duration::from_mins(30);
}

/// False reverts that the short promise allows in a calibration: enough that some more than chance has are told from none
/// too many, few enough that the judge has time to find each.
pub(super) const ALLOWED: u32 = 20;

/// No promise is shorter: it is the shortest that a service may have.
const SHORTEST: Duration = Duration::from_mins(1);

impl Running {
    /// Begins with what the service's judge knows of Helios.
    pub(super) fn new(now: Now, judge: &Judge, order: CalibrationOrder) -> Self {
        let own = judge.rule().false_revert_every;
        let short = (order.lasts / ALLOWED).max(SHORTEST).min(own);
        Self {
            halves: Halves::new(now.wall.0),
            begun: now,
            own: Trial::new(now.mono, judge, own),
            short: Trial::new(now.mono, judge, short),
            order,
            gathering: Gathering::default(),
            asked: PerSide::default(),
            votes: PerQuestion::default(),
            votes_lost: 0,
        }
    }

    /// Adds what a worker counted. What still comes of a calibration before is not of this one.
    pub(super) fn add(&mut self, worker: usize, report: &HalvesReport) {
        if report.halves == self.halves {
            self.gathering.add(worker, &report.block);
            self.votes_lost += report.lost;
        }
    }

    /// Judges what was counted since the last tick.
    pub(super) fn tick(&mut self, now: Millis) {
        let block = self.gathering.of_tick();
        if block.is_empty() {
            return;
        }
        let whole = block.whole();
        for side in Side::ALL {
            self.asked[side] += u64::from(whole.asked[side]);
        }
        for question in Question::ALL {
            self.votes[question] += PerSide::from_fn(|side| whole.votes_on(question, side));
        }
        self.own.observe(now, block);
        self.short.observe(now, block);
        self.gathering.clear();
    }

    /// Goes by these strata: those that have lost their route may soon be another's.
    pub(super) fn follow(&mut self, strata: &Strata) {
        for stratum in (1..Stratum::MOST).filter_map(Stratum::at) {
            if strata.name(stratum).is_none() {
                self.own.judge_mut().dismiss(stratum);
                self.short.judge_mut().dismiss(stratum);
            }
        }
    }

    pub(super) fn ran(&self, now: Millis) -> Duration {
        Duration::from_millis(now.since(self.begun.mono).0)
    }

    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.ran(now) >= self.order.lasts
    }

    /// What it says of the promise so far.
    pub(super) fn judgement(&self, now: Millis) -> Judgement {
        let ran = self.ran(now);
        Judgement::of(&self.own, &self.short, ran, self.per_second(ran))
    }

    /// What was voted on a question.
    pub(super) fn votes(&self, question: Question) -> Counts {
        self.votes[question]
    }

    /// The half that stands for this side.
    pub(super) fn half(&self, side: Side, now: Millis) -> HalfRecord {
        let failures = self.votes[Question::Failure];
        let (cast, bad) = (failures.cast[side], failures.bad[side]);
        HalfRecord {
            requests: self.asked[side],
            per_second: self.per_second(self.ran(now))[side],
            failed: if cast > 0 { bad as f64 / cast as f64 } else { 0.0 },
        }
    }

    pub(super) fn begun_record(&self) -> BegunRecord {
        BegunRecord {
            begun_unix_ms: self.begun.wall.0,
            by: (&self.order.by).into(),
            reason: self.order.reason.as_deref().map(str::to_owned),
            lasts_s: self.order.lasts.as_secs_f64(),
        }
    }

    fn per_second(&self, ran: Duration) -> PerSide<f64> {
        self.asked.map(|asked| asked as f64 / ran.as_secs_f64().max(1e-3))
    }
}
