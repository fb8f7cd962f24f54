//! A service's ramp, as control follows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{FleetConfig, JudgeMode, Source};
use crate::model::{Millis, UnixMillis, Weight};
use crate::rollout::{
    Actor, Event, Going, Hold, Judged, Plan, Ramp, Room, Said, Says, Seen, State, Wait, Word, waits,
};
use crate::verdict::Verdict;

use super::entry::Entry;
use super::event::Now;
use super::steering::RampStatus;

/// How long a ramp waits after what it did could not be written.
const AFTER_FAILURE: Millis = Millis(60_000);

impl Entry {
    /// Time is counted at a ramp's step from when it was taken, and so are requests and what makes the judge sure.
    pub(super) fn follow_ramp(&mut self, now: Now) {
        let is_kept = std::mem::take(&mut self.is_kept);
        let said = self.rollout.said();
        let step = said.ramp.as_ref().map(|ramp| ramp.since);
        let held = match &said.word {
            Word::Held(hold) => Some(hold.since),
            Word::File | Word::Override(_) => None,
        };
        self.held_for.follow(held, now, is_kept);
        if self.at_step.follow(step, now, is_kept) {
            self.requests_at_step = 0;
            self.watch.judge_mut().assure_anew();
        }
    }

    /// How its ramp climbs, or would.
    pub(super) fn plan(&self) -> &Plan {
        let own = self.rollout.said().ramp.as_ref().and_then(|ramp| ramp.plan.as_ref());
        own.unwrap_or(&self.config.plan)
    }

    /// Whether its ramp may come to a step by itself, start again, or be over.
    pub(super) fn may_climb(&self) -> bool {
        let State::Settled(said) = self.rollout.state() else { return false };
        let ramp = said.deciding_ramp();
        ramp.is_some_and(|ramp| ramp.going == Going::On || self.is_over(ramp)) || self.again(said).is_some()
    }

    /// Whether it would climb by itself, now or when what is being written is, or an override ends.
    pub(super) fn would_climb(&self) -> bool {
        let rises = match self.rollout.state() {
            State::Rising { to, .. } => to.climbs(),
            State::Settled(_) => false,
        };
        let said = self.rollout.said();
        rises || said.climbs() || self.again(said).is_some()
    }

    /// Whether a ramp is done, and the file says what it has reached: it can take its place.
    fn is_over(&self, ramp: &Ramp) -> bool {
        ramp.going == Going::Done && ramp.weight == self.rollout.file()
    }

    /// The ramp's next step, or its new start after a revert, if nothing speaks against it, and why, in words; or its end.
    pub(super) fn climb(&self, fleet: &FleetConfig, now: Now) -> Option<(Event, String)> {
        let State::Settled(said) = self.rollout.state() else { return None };
        // A disk that is full is not written to in a circle.
        if self.failed_at.is_some_and(|at| now.mono.since(at) < AFTER_FAILURE) {
            return None;
        }
        if let Some((at, delay)) = self.again(said) {
            let is_time = self.held_for.lasts(now.mono) >= delay;
            let is_free = is_time && self.waits_to_begin(fleet, now).is_empty();
            let climbs = self.cut_plan(said).next(at).is_some();
            return is_free
                .then(|| (Event::Again { at, climbs }, "it was its time to start again".to_owned()));
        }
        let ramp = said.deciding_ramp()?;
        if self.is_over(ramp) {
            return Some((Event::File(self.rollout.file()), "its file says what it has reached".to_owned()));
        }
        if ramp.going != Going::On {
            return None;
        }
        let Some(next) = self.plan().next(ramp.weight) else {
            return Some((
                Event::Step { to: ramp.weight, climbs: false },
                "its plan leads no further".to_owned(),
            ));
        };
        let to = next.to;
        // What is cheap to know first: there may be thousands of them.
        if self.plan().step(ramp.weight).is_some_and(|step| self.at_step.lasts(now.mono) < step.hold) {
            return None;
        }
        let seen = self.seen(now);
        if !waits(ramp, self.plan(), &fleet.freezes, &seen, false).is_empty() {
            return None;
        }
        let climbs = self.plan().next(to).is_some();
        Some((Event::Step { to, climbs }, content(&seen)))
    }

    /// Where and after how long a ramp starts again that the judge has ended, if it does.
    fn again(&self, said: &Said) -> Option<(Weight, std::time::Duration)> {
        let Said { word: Word::Held(Hold { by: Actor::Judge, .. }), cut: Some(cut), .. } = said else {
            return None;
        };
        let plan = cut.plan.as_deref().unwrap_or(&self.config.plan);
        let again = plan.again.filter(|again| cut.agains < again.most)?;
        Some((plan.steps.first()?.to, again.delay(cut.agains)))
    }

    fn cut_plan<'a>(&'a self, said: &'a Said) -> &'a Plan {
        said.cut.as_ref().and_then(|cut| cut.plan.as_deref()).unwrap_or(&self.config.plan)
    }

    /// When its ramp starts again by itself, as far as time goes.
    pub(super) fn starts_again(&self, now: Now) -> Option<UnixMillis> {
        let (_, delay) = self.again(self.rollout.said())?;
        Some(now.wall.after(delay.saturating_sub(self.held_for.lasts(now.mono))))
    }

    /// What a ramp waits for that begins: there is nothing yet that the judge could be sure of.
    fn waits_to_begin(&self, fleet: &FleetConfig, now: Now) -> Vec<Wait> {
        let said = self.rollout.said();
        let nothing = Ramp {
            plan: None,
            weight: Weight::ZERO,
            since: now.wall,
            by: Actor::Ramp,
            reason: Arc::default(),
            started: now.wall,
            going: Going::On,
            cut_at: Weight::ZERO,
            agains: 0,
        };
        waits(&nothing, self.cut_plan(said), &fleet.freezes, &self.seen(now), false)
    }

    /// What people see of its ramp.
    pub(super) fn ramp_status(&self, fleet: &FleetConfig, now: Now) -> Option<RampStatus> {
        let said = self.rollout.said();
        let ramp = said.ramp.as_ref()?;
        let waits = match ramp.going {
            Going::Done => Vec::new(),
            Going::On | Going::Paused { .. } => {
                let word_stands = said.word != Word::File;
                waits(ramp, self.plan(), &fleet.freezes, &self.seen(now), word_stands)
            }
        };
        Some(RampStatus::of(ramp, self.plan(), &waits, now.wall))
    }

    fn seen(&self, now: Now) -> Seen {
        Seen {
            now: now.wall,
            at_step: self.at_step.lasts(now.mono),
            requests: self.requests_at_step,
            per_second: self.traffic.rates(now.mono).kubernetes.0,
            judged: self.judged(now.mono),
            room: match self.fit(now) {
                Some(fit) if fit.fits() => Room::Fits,
                Some(fit) => Room::DoesNotFit(fit.to_string().into()),
                None => Room::Unknown,
            },
        }
    }

    fn judged(&self, now: Millis) -> Judged {
        let judge = self.watch.judge();
        let says = match (self.config.judge.mode, judge.standing(now).verdict) {
            (JudgeMode::Off, _) => Says::Nothing,
            (_, Verdict::Worse(_)) => Says::Worse,
            (_, Verdict::NotWorse) => Says::NotWorse,
            (_, Verdict::TooLittleEvidence) => Says::TooLittleEvidence,
            (_, Verdict::Blind) => Says::Blind,
        };
        let assured = judge.assured(now);
        Judged {
            says,
            nats: assured.nats,
            nats_per_second: assured.nats_per_second,
            question: assured.question.in_words(),
        }
    }

    /// The clusters that its kubernetes side is on.
    pub(super) fn clusters(&self) -> BTreeSet<Arc<str>> {
        let parts = self.config.sides.kubernetes.parts.iter();
        let names = parts.filter_map(|part| match (&part.cluster, &part.source) {
            (Some(cluster), _) => Some(cluster.clone()),
            (None, Source::Kubernetes(cluster, _)) => Some(cluster.name.clone()),
            (None, Source::Listed(_) | Source::Srv(_) | Source::Helios(..)) => None,
        });
        // Where there is only one it has no name.
        names.filter(|name| !name.is_empty()).collect()
    }
}

/// Why a step was taken, in words.
fn content(seen: &Seen) -> String {
    let certainty = 1.0 - (-seen.judged.nats.max(0.0)).exp();
    format!(
        "{} requests on Kubernetes at the step before, and it is {:.2}% sure that it is not worse",
        seen.requests,
        (certainty * 1e4).floor() / 1e2
    )
}
