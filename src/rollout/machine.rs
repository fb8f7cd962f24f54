use std::sync::Arc;

use crate::model::{UnixMillis, Weight};

use super::allowance::Allowance;
use super::plan::Plan;
use super::said::{Cut, Going, Ramp, Said};
use super::word::{Actor, Hold, Override, Word};

/// One service's weight and why it is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    state: State,
    file: Weight,
    revision: u64,
    /// What the disk allows, whichever of the records it has that were to be written since it was last known.
    disk: Allowance,
}

/// Where what was said of a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// This is in force.
    Settled(Said),
    /// `to` gives Kubernetes more than `from`, or lets it get more by and by: it is being written down, and until that
    /// has succeeded `from` stays in force.
    Rising {
        /// In force.
        from: Box<Said>,
        /// In force once written.
        to: Box<Said>,
        /// The record that carries `to`.
        revision: u64,
    },
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The judge or a person takes the service back.
    Revert {
        /// Who.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// A person sets the weight.
    SetWeight {
        /// To what.
        weight: Weight,
        /// Until when; for good if `None`.
        until: Option<UnixMillis>,
        /// Who.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// A person ends an override: the ramp or the file decides again.
    Clear,
    /// A person ends a hold.
    Release {
        /// The weight from here on.
        to: Weight,
        /// Who.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// A person starts a ramp.
    StartRamp {
        /// Its own plan; `None` for that of the file.
        plan: Option<Arc<Plan>>,
        /// The step that it begins at.
        at: Weight,
        /// Who says so of that step.
        chosen: Chosen,
        /// Whether there is a step above.
        climbs: bool,
        /// Who.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// A person, or the fleet guard, pauses the ramp.
    PauseRamp {
        /// Who.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// A person resumes the ramp.
    ResumeRamp,
    /// A person ends the ramp: the file decides again.
    StopRamp,
    /// Nothing speaks against the ramp's next step.
    Step {
        /// The weight at it.
        to: Weight,
        /// Whether there is a step above.
        climbs: bool,
    },
    /// It is time to start a ramp again that the judge has ended.
    Again {
        /// The step that it begins at.
        at: Weight,
        /// Whether there is a step above.
        climbs: bool,
    },
    /// The configuration file says this now.
    File(Weight),
    /// A record was written, or could not be.
    Written {
        /// Which.
        revision: u64,
        /// Whether it is safe on disk.
        ok: bool,
    },
    /// Time has passed.
    Tick,
}

/// How the step was chosen that a ramp begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// A person has named it.
    ByName,
    /// It follows from the plan and the present weight.
    ByPlan,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the weight in force known to every worker.
    Publish,
    /// Write this down, and report [`Event::Written`].
    Write(Record),
    /// The change that carries this revision is in force.
    Done(u64),
    /// The change that carries this revision could not be written, and is not in force.
    Failed(u64),
    /// The change that carries this revision was overtaken by another.
    Overtaken(u64),
    /// The event does not apply here, and nothing has changed.
    Refuse(Refusal),
}

/// What is kept of what was said of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Rises with each change.
    pub revision: u64,
    /// What was said.
    pub said: Said,
}

/// Why an event does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only a release changes the weight of a held service.
    #[error("the service is held since it was reverted by {by}: {reason}")]
    Held {
        /// Who took it back.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// There is no hold to end.
    #[error("the service is not held")]
    NotHeld,
    /// There is no override to end.
    #[error("the weight is not overridden: the ramp or the file decides already")]
    NotOverridden,
    /// There is one already.
    #[error("a ramp is under way, at {0}: stop it first, or let it go on")]
    RampRuns(Weight),
    /// There is none.
    #[error("there is no ramp")]
    NoRamp,
    /// It waits already for somebody to resume it.
    #[error("the ramp is paused already, by {0}")]
    RampPaused(Actor),
    /// It goes on already.
    #[error("the ramp is not paused")]
    RampNotPaused,
    /// A ramp that a revert has ended begins again where a person says.
    #[error("the last ramp was ended by a revert at {0}: name the step to begin at")]
    NameAStep(Weight),
}

impl Rollout {
    /// A service with what was kept of it, if something was.
    pub fn new(file: Weight, kept: Option<Record>) -> Self {
        let Record { revision, said } = kept.unwrap_or(Record { revision: 0, said: Said::NOTHING });
        let disk = Allowance::of(&said);
        Self { state: State::Settled(said), file, revision, disk }
    }

    /// The weight in force: what was said, and never more than the disk allows. They differ while a record is under way and
    /// the file changes.
    pub fn weight(&self) -> Weight {
        self.said().weight(self.file).min(self.disk.under(self.file))
    }

    /// What is in force.
    pub fn said(&self) -> &Said {
        match &self.state {
            State::Settled(said) => said,
            State::Rising { from, .. } => from,
        }
    }

    /// The word in force.
    pub fn word(&self) -> &Word {
        &self.said().word
    }

    /// Where what was said stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What the file says.
    pub fn file(&self) -> Weight {
        self.file
    }

    /// When the word in force changes by itself, if it does.
    pub fn next_change(&self) -> Option<UnixMillis> {
        match &self.state {
            State::Settled(Said { word: Word::Override(over), .. }) => over.until,
            State::Settled(Said { word: Word::File | Word::Held(_), .. }) | State::Rising { .. } => None,
        }
    }

    /// The same, with a file that says this.
    #[must_use]
    pub fn with_file(self, file: Weight) -> Self {
        Self { file, ..self }
    }

    /// The service is not configured any more: a change that is under way will not come into force. Gives back what is to be
    /// written for that.
    #[must_use]
    pub fn leave(mut self) -> (Self, Option<Record>) {
        let State::Rising { from, .. } = self.state else { return (self, None) };
        self.disk.may_be(&from);
        let record = Record { revision: self.revision + 1, said: (*from).clone() };
        (Self { state: State::Settled(*from), revision: record.revision, ..self }, Some(record))
    }

    /// Takes in what has happened; says what is to be done.
    #[must_use]
    pub fn step(self, event: Event, now: UnixMillis) -> (Self, Vec<Effect>) {
        match event {
            Event::Revert { by, reason } => self.revert(&by, reason, now),
            Event::SetWeight { weight, until, by, reason } => {
                let over = Override { weight, by, reason, since: now, until };
                self.unless_held(|said| Ok(said.with(Word::Override(over))))
            }
            Event::Clear => self.unless_held(|said| match said.word {
                Word::Override(_) => Ok(said.without_override(now)),
                Word::File | Word::Held(_) => Err(Refusal::NotOverridden),
            }),
            Event::Release { to, by, reason } => self.release(to, by, reason, now),
            Event::StartRamp { plan, at, chosen, climbs, by, reason } => {
                let ramp = Ramp::begin(plan, at, climbs, by, reason, now);
                self.unless_held(|said| said.start(ramp, chosen))
            }
            Event::PauseRamp { by, reason } => self.pause(by, reason, now),
            Event::ResumeRamp => self.unless_held(|said| said.go(Going::On, now)),
            Event::StopRamp => self.unless_held(|said| match said.ramp {
                Some(_) => Ok(Said { ramp: None, ..said.clone() }),
                None => Err(Refusal::NoRamp),
            }),
            Event::Step { to, climbs } => self.climb(to, climbs, now),
            Event::Again { at, climbs } => self.again(at, climbs, now),
            Event::File(file) => self.follow_file(file),
            Event::Written { revision, ok } => self.written(revision, ok),
            Event::Tick => match self.next_change() {
                Some(until) if until <= now => {
                    let said = self.said().without_override(now);
                    self.turn_to(said)
                }
                Some(_) | None => (self, vec![]),
            },
        }
    }

    fn revert(self, by: &Actor, reason: Arc<str>, now: UnixMillis) -> (Self, Vec<Effect>) {
        let taken_back = |before| Word::Held(Hold { by: by.clone(), reason, since: now, before });
        match &self.state {
            State::Settled(said @ Said { word: Word::Held(held), .. }) => {
                // A second revert adds nothing; but that of a person is not lifted by a plan.
                if held.by != Actor::Judge || *by == Actor::Judge {
                    let done = Effect::Done(self.revision);
                    return (self, vec![done]);
                }
                let said = said.with(taken_back(held.before));
                self.fall_to(said)
            }
            // A revert that overtakes a release, or a ramp's step, ends that.
            State::Settled(_) | State::Rising { .. } => {
                let said = self.said();
                let cut = said.ramp.as_ref().map(Cut::of).or_else(|| said.cut.clone());
                let word = match &said.word {
                    Word::Held(held) => taken_back(held.before),
                    Word::File | Word::Override(_) => taken_back(self.weight()),
                };
                self.fall_to(Said { word, ramp: None, cut })
            }
        }
    }

    fn release(self, to: Weight, by: Actor, reason: Arc<str>, now: UnixMillis) -> (Self, Vec<Effect>) {
        match self.word() {
            Word::Held(_) => {
                let over = Override { weight: to, by, reason, since: now, until: None };
                let said = self.said().with(Word::Override(over));
                self.rise_to(said)
            }
            Word::File | Word::Override(_) => (self, vec![Effect::Refuse(Refusal::NotHeld)]),
        }
    }

    fn pause(self, by: Actor, reason: Arc<str>, now: UnixMillis) -> (Self, Vec<Effect>) {
        if let State::Rising { from, to, .. } = &self.state
            && from.ramp.is_none()
            && to.climbs()
            && !matches!(from.word, Word::Held(_))
        {
            // A ramp whose start is being written does not begin.
            let from = (**from).clone();
            return self.fall_to(from);
        }
        self.unless_held(|said| said.go(Going::Paused { by, reason, since: now }, now))
    }

    /// A ramp's step, if the ramp still is the one that decides; or its end, where its plan leads no further any more.
    fn climb(self, to: Weight, climbs: bool, now: UnixMillis) -> (Self, Vec<Effect>) {
        match &self.state {
            State::Settled(said) => match said.deciding_ramp() {
                Some(ramp) if ramp.going == Going::On && to > ramp.weight => {
                    let said = Said { ramp: Some(ramp.climb(to, climbs, now)), ..said.clone() };
                    self.rise_to(said)
                }
                Some(ramp) if ramp.going == Going::On && to == ramp.weight && !climbs => {
                    let said = Said { ramp: Some(ramp.climb(to, climbs, now)), ..said.clone() };
                    self.fall_to(said)
                }
                Some(_) | None => (self, vec![]),
            },
            State::Rising { .. } => (self, vec![]),
        }
    }

    /// A ramp's new start, if the service still is held for what the judge has found.
    fn again(self, at: Weight, climbs: bool, now: UnixMillis) -> (Self, Vec<Effect>) {
        match &self.state {
            State::Settled(Said {
                word: Word::Held(Hold { by: Actor::Judge, .. }), cut: Some(cut), ..
            }) => {
                let ramp = cut.again(at, climbs, now);
                self.rise_to(Said { word: Word::File, ramp: Some(ramp), cut: None })
            }
            State::Settled(_) | State::Rising { .. } => (self, vec![]),
        }
    }

    /// The file decides where nothing stands above it. One that says what a finished ramp has reached takes its place.
    fn follow_file(self, file: Weight) -> (Self, Vec<Effect>) {
        let before = self.weight();
        let next = Self { file, ..self };
        let changed = next.weight() != before;
        if let State::Settled(said) = &next.state
            && said.deciding_ramp().is_some_and(|ramp| ramp.going == Going::Done && ramp.weight == file)
        {
            let said = Said { ramp: None, ..said.clone() };
            return next.fall_to(said);
        }
        (next, if changed { vec![Effect::Publish] } else { vec![] })
    }

    /// What a person says, which changes nothing while the service is held.
    fn unless_held(self, say: impl FnOnce(&Said) -> Result<Said, Refusal>) -> (Self, Vec<Effect>) {
        let said = match self.word() {
            Word::Held(hold) => Err(Refusal::Held { by: hold.by.clone(), reason: hold.reason.clone() }),
            Word::File | Word::Override(_) => say(self.said()),
        };
        match said {
            Ok(said) => self.turn_to(said),
            Err(refusal) => (self, vec![Effect::Refuse(refusal)]),
        }
    }

    /// Lets something come into force in the order that its direction asks for.
    fn turn_to(self, said: Said) -> (Self, Vec<Effect>) {
        let (weight, now) = (said.weight(self.file), self.weight());
        let lets_climb = said.climbs() && !self.said().climbs();
        if weight > now || weight == now && lets_climb { self.rise_to(said) } else { self.fall_to(said) }
    }

    /// Toward Helios: act, then write it down.
    fn fall_to(mut self, said: Said) -> (Self, Vec<Effect>) {
        let revision = self.revision + 1;
        self.disk.may_be(&said);
        let mut effects = vec![Effect::Publish];
        effects.extend(self.overtaken());
        effects.push(Effect::Write(Record { revision, said: said.clone() }));
        effects.push(Effect::Done(revision));
        (Self { state: State::Settled(said), revision, ..self }, effects)
    }

    /// Toward Kubernetes: write it down, then act.
    fn rise_to(mut self, said: Said) -> (Self, Vec<Effect>) {
        let revision = self.revision + 1;
        self.disk.may_be(&said);
        let mut effects: Vec<_> = self.overtaken().into_iter().collect();
        effects.push(Effect::Write(Record { revision, said: said.clone() }));
        let from = match self.state {
            State::Settled(from) => Box::new(from),
            State::Rising { from, .. } => from,
        };
        (Self { state: State::Rising { from, to: Box::new(said), revision }, revision, ..self }, effects)
    }

    fn overtaken(&self) -> Option<Effect> {
        match &self.state {
            State::Rising { revision, .. } => Some(Effect::Overtaken(*revision)),
            State::Settled(_) => None,
        }
    }

    fn written(self, written: u64, ok: bool) -> (Self, Vec<Effect>) {
        // An older record, overtaken meanwhile by the one that is being written now.
        if written != self.revision {
            return (self, vec![]);
        }
        let before = self.weight();
        match self.state {
            State::Rising { to, revision, .. } if ok => {
                let next = Self { disk: Allowance::of(&to), state: State::Settled(*to), ..self };
                (next, vec![Effect::Publish, Effect::Done(revision)])
            }
            // Whether the disk has the new record or the old one is not known: write what is in force.
            State::Rising { from, revision, .. } => {
                let again = Record { revision: revision + 1, said: (*from).clone() };
                let next = Self { state: State::Settled(*from), revision: revision + 1, ..self };
                (next, vec![Effect::Failed(revision), Effect::Write(again)])
            }
            State::Settled(said) if ok => {
                let next = Self { disk: Allowance::of(&said), state: State::Settled(said), ..self };
                let changed = next.weight() != before;
                (next, if changed { vec![Effect::Publish] } else { vec![] })
            }
            State::Settled(said) => {
                let again = Record { revision: written, said: said.clone() };
                (Self { state: State::Settled(said), ..self }, vec![Effect::Write(again)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn percent(percent: f64) -> Weight {
        Weight::from_percent(percent).unwrap()
    }

    fn person() -> Actor {
        Actor::Person("oncall".into())
    }

    fn set(weight: f64) -> Event {
        Event::SetWeight { weight: percent(weight), until: None, by: person(), reason: "test".into() }
    }

    fn revert() -> Event {
        Event::Revert { by: Actor::Judge, reason: "failures".into() }
    }

    fn release(to: f64) -> Event {
        Event::Release { to: percent(to), by: person(), reason: "mended".into() }
    }

    fn kinds(effects: &[Effect]) -> Vec<&'static str> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Publish => "publish",
                Effect::Write(_) => "write",
                Effect::Done(_) => "done",
                Effect::Failed(_) => "failed",
                Effect::Overtaken(_) => "overtaken",
                Effect::Refuse(_) => "refuse",
            })
            .collect()
    }

    fn service(file: f64) -> Rollout {
        Rollout::new(percent(file), None)
    }

    #[test]
    fn toward_helios_it_acts_and_then_writes() {
        let (lower, effects) = service(50.0).step(set(5.0), NOW);
        assert_eq!(kinds(&effects), ["publish", "write", "done"]);
        assert_eq!(lower.weight(), percent(5.0));
        let (held, effects) = service(50.0).step(revert(), NOW);
        assert_eq!(kinds(&effects), ["publish", "write", "done"]);
        assert_eq!(held.weight(), Weight::ZERO);
    }

    #[test]
    fn toward_kubernetes_it_writes_and_then_acts() {
        let (rising, effects) = service(5.0).step(set(50.0), NOW);
        assert_eq!(kinds(&effects), ["write"]);
        assert_eq!(rising.weight(), percent(5.0), "not before it is written");
        let revision = rising.revision();
        let (risen, effects) = rising.step(Event::Written { revision, ok: true }, NOW);
        assert_eq!(kinds(&effects), ["publish", "done"]);
        assert_eq!(risen.weight(), percent(50.0));
    }

    #[test]
    fn what_cannot_be_written_gives_kubernetes_nothing() {
        let (rising, _) = service(5.0).step(set(50.0), NOW);
        let revision = rising.revision();
        let (still, effects) = rising.step(Event::Written { revision, ok: false }, NOW);
        assert_eq!(kinds(&effects), ["failed", "write"]);
        assert_eq!(still.weight(), percent(5.0));
        let Effect::Write(record) = &effects[1] else { panic!("{effects:?}") };
        assert_eq!(record.said, Said::NOTHING, "the disk may hold either: what is in force is written again");
    }

    #[test]
    fn a_hold_that_cannot_be_written_stands_and_is_written_again() {
        let (held, _) = service(50.0).step(revert(), NOW);
        let revision = held.revision();
        let (held, effects) = held.step(Event::Written { revision, ok: false }, NOW);
        assert_eq!(kinds(&effects), ["write"]);
        assert_eq!(held.weight(), Weight::ZERO);
    }

    #[test]
    fn only_a_release_ends_a_hold() {
        let (held, _) = service(50.0).step(revert(), NOW);
        for event in [set(10.0), set(0.0), Event::Clear, Event::File(percent(80.0)), Event::Tick, revert()] {
            let (after, _) = held.clone().step(event.clone(), UnixMillis(u64::MAX));
            assert_eq!(after.weight(), Weight::ZERO, "{event:?}");
            assert!(matches!(after.word(), Word::Held(_)), "{event:?}");
        }
        let (releasing, effects) = held.step(release(5.0), NOW);
        assert_eq!(kinds(&effects), ["write"]);
        let revision = releasing.revision();
        let (released, _) = releasing.step(Event::Written { revision, ok: true }, NOW);
        assert_eq!(released.weight(), percent(5.0));
    }

    #[test]
    fn a_revert_overtakes_a_release_that_is_being_written() {
        let (held, _) = service(50.0).step(revert(), NOW);
        let (releasing, _) = held.step(release(50.0), NOW);
        let releasing_revision = releasing.revision();
        let (held, effects) = releasing.step(revert(), NOW);
        assert_eq!(kinds(&effects), ["publish", "overtaken", "write", "done"]);
        let (held, effects) = held.step(Event::Written { revision: releasing_revision, ok: true }, NOW);
        assert_eq!(kinds(&effects), Vec::<&str>::new());
        assert_eq!(held.weight(), Weight::ZERO);
    }

    #[test]
    fn an_override_stands_above_the_file_until_it_ends() {
        let until = Some(UnixMillis(2_000));
        let event = Event::SetWeight { weight: percent(10.0), until, by: person(), reason: "x".into() };
        let (over, _) = service(50.0).step(event, NOW);
        let (over, effects) = over.step(Event::File(percent(60.0)), NOW);
        assert_eq!((over.weight(), kinds(&effects).len()), (percent(10.0), 0));
        let (over, _) = over.step(Event::Tick, UnixMillis(1_999));
        assert_eq!(over.weight(), percent(10.0));
        let (ending, effects) = over.step(Event::Tick, UnixMillis(2_000));
        assert_eq!(kinds(&effects), ["write"], "the file gives Kubernetes more: written first");
        let revision = ending.revision();
        let (ended, _) = ending.step(Event::Written { revision, ok: true }, NOW);
        assert_eq!(ended.weight(), percent(60.0));
    }

    #[test]
    fn what_does_not_apply_is_refused_and_changes_nothing() {
        for event in [release(5.0), Event::Clear, pause(), Event::ResumeRamp, Event::StopRamp] {
            let (after, effects) = service(50.0).step(event, NOW);
            assert_eq!(kinds(&effects), ["refuse"]);
            assert_eq!(after, service(50.0));
        }
        let (held, _) = service(50.0).step(revert(), NOW);
        for event in [start(5.0), pause(), Event::ResumeRamp, Event::StopRamp] {
            let (after, effects) = held.clone().step(event, NOW);
            assert!(matches!(effects.as_slice(), [Effect::Refuse(Refusal::Held { .. })]), "{effects:?}");
            assert_eq!(after, held);
        }
    }

    fn start(at: f64) -> Event {
        let (by, reason) = (person(), "go".into());
        Event::StartRamp { plan: None, at: percent(at), chosen: Chosen::ByPlan, climbs: true, by, reason }
    }

    fn pause() -> Event {
        Event::PauseRamp { by: person(), reason: "lunch".into() }
    }

    fn step_to(to: f64) -> Event {
        Event::Step { to: percent(to), climbs: to < 100.0 }
    }

    /// Lets an event come into force, with a disk that works.
    fn settle(rollout: Rollout, event: Event, now: UnixMillis) -> Rollout {
        let (next, effects) = rollout.step(event, now);
        assert!(!matches!(effects.as_slice(), [Effect::Refuse(_)]), "{effects:?}");
        let revision = next.revision();
        next.step(Event::Written { revision, ok: true }, now).0
    }

    #[test]
    fn a_ramp_climbs_above_the_file_and_each_step_is_written_first() {
        let (starting, effects) = service(0.0).step(start(1.0), NOW);
        assert_eq!((kinds(&effects), starting.weight()), (vec!["write"], Weight::ZERO));
        let ramp = settle(service(0.0), start(1.0), NOW);
        assert_eq!(ramp.weight(), percent(1.0));
        let (climbing, effects) = ramp.clone().step(step_to(5.0), NOW);
        assert_eq!((kinds(&effects), climbing.weight()), (vec!["write"], percent(1.0)));
        let revision = climbing.revision();
        let (failed, _) = climbing.step(Event::Written { revision, ok: false }, NOW);
        assert_eq!(failed.weight(), percent(1.0));
        let (after, effects) = ramp.clone().step(Event::File(percent(80.0)), NOW);
        assert_eq!((kinds(&effects).len(), after.weight()), (0, percent(1.0)), "the file moves nobody");
        let done = settle(ramp, step_to(100.0), NOW);
        let said = done.said().ramp.as_ref().unwrap();
        assert_eq!((&said.going, said.weight), (&Going::Done, Weight::FULL));
        let (taken_over, effects) = done.step(Event::File(Weight::FULL), NOW);
        assert_eq!(kinds(&effects), ["publish", "write", "done"], "the file takes its place");
        assert_eq!(taken_over.said(), &Said::NOTHING);
    }

    #[test]
    fn a_paused_ramp_takes_no_step_and_begins_its_time_anew_when_it_is_resumed() {
        let ramp = settle(service(0.0), start(5.0), NOW);
        let (paused, effects) = ramp.step(pause(), NOW);
        assert_eq!(kinds(&effects), ["publish", "write", "done"]);
        let (still, effects) = paused.clone().step(step_to(25.0), NOW);
        assert_eq!((kinds(&effects).len(), &still), (0, &paused));
        let later = UnixMillis(9_000);
        let (resuming, effects) = paused.step(Event::ResumeRamp, later);
        assert_eq!(kinds(&effects), ["write"], "it may climb from then on");
        let revision = resuming.revision();
        let (resumed, _) = resuming.step(Event::Written { revision, ok: true }, later);
        assert_eq!(resumed.said().ramp.as_ref().unwrap().since, later);
    }

    #[test]
    fn an_override_stands_above_a_ramp_and_a_stopped_ramp_leaves_the_file() {
        let ramp = settle(service(2.0), start(5.0), NOW);
        let (over, _) = ramp.step(set(3.0), NOW);
        assert_eq!(over.weight(), percent(3.0));
        let (same, effects) = over.clone().step(step_to(25.0), NOW);
        assert_eq!((kinds(&effects).len(), &same), (0, &over), "no step beneath an override");
        let back = settle(over, Event::Clear, UnixMillis(9_000));
        assert_eq!(back.weight(), percent(5.0));
        assert_eq!(back.said().ramp.as_ref().unwrap().since, UnixMillis(9_000));
        let (stopped, effects) = back.step(Event::StopRamp, NOW);
        assert_eq!((kinds(&effects).len(), stopped.weight()), (3, percent(2.0)));
    }

    #[test]
    fn a_revert_ends_a_ramp_which_begins_again_only_where_a_person_says() {
        let ramp = settle(settle(service(0.0), start(5.0), NOW), step_to(25.0), NOW);
        let (held, _) = ramp.step(revert(), NOW);
        let cut = held.said().cut.as_ref().unwrap();
        assert_eq!((cut.at, &held.said().ramp), (percent(25.0), &None));
        let released = settle(held, release(1.0), NOW);
        let (_, effects) = released.clone().step(start(1.0), NOW);
        assert_eq!(effects, [Effect::Refuse(Refusal::NameAStep(percent(25.0)))]);
        let Event::StartRamp { plan, at, climbs, by, reason, .. } = start(5.0) else { panic!() };
        let named = Event::StartRamp { plan, at, chosen: Chosen::ByName, climbs, by, reason };
        let ramp = settle(released, named, NOW);
        assert_eq!((ramp.weight(), &ramp.said().cut, ramp.word()), (percent(5.0), &None, &Word::File));
    }

    #[test]
    fn only_what_the_judge_has_ended_starts_again_by_itself_and_it_is_counted_until_it_comes_further() {
        let again = Event::Again { at: percent(5.0), climbs: true };
        let ramp = settle(settle(service(0.0), start(5.0), NOW), step_to(25.0), NOW);
        let (held, _) = ramp.step(revert(), NOW);
        let (theirs, _) = held.clone().step(Event::Revert { by: person(), reason: "keep it".into() }, NOW);
        let (same, effects) = theirs.clone().step(again.clone(), NOW);
        assert_eq!((kinds(&effects).len(), &same), (0, &theirs), "a person's revert holds");
        let agains = |rollout: &Rollout| rollout.said().ramp.as_ref().unwrap().agains;
        let ramp = settle(held, again.clone(), NOW);
        assert_eq!((ramp.weight(), agains(&ramp)), (percent(5.0), 1));
        let ramp = settle(ramp, step_to(25.0), NOW);
        assert_eq!(agains(&ramp), 1, "as far as before, and no further");
        let (held, _) = ramp.clone().step(revert(), NOW);
        assert_eq!(agains(&settle(held, again, NOW)), 2);
        assert_eq!(agains(&settle(ramp, step_to(50.0), NOW)), 0);
    }

    /// People, the judge, the file, a failing disk and crashes, in any order.
    struct World {
        rng: fastrand::Rng,
        rollout: Rollout,
        now: UnixMillis,
        disk: Option<Record>,
        writing: Vec<Record>,
        released: bool,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let rollout = Rollout::new(percent(25.0), None);
            let rng = fastrand::Rng::with_seed(seed);
            Self { rng, rollout, now: NOW, disk: None, writing: Vec::new(), released: false }
        }

        fn percent(&mut self) -> f64 {
            f64::from(self.rng.u8(0..=100))
        }

        fn step(&mut self) {
            self.now = UnixMillis(self.now.0 + self.rng.u64(0..500));
            let event = match self.rng.u8(0..15) {
                9 => start(self.percent()),
                10 => pause(),
                11 => Event::ResumeRamp,
                12 => Event::StopRamp,
                13 => step_to(self.percent()),
                14 => Event::Again { at: percent(self.percent()), climbs: true },
                0 => revert(),
                1 => set(self.percent()),
                2 => Event::SetWeight {
                    weight: percent(self.percent()),
                    until: Some(UnixMillis(self.now.0 + self.rng.u64(0..2_000))),
                    by: person(),
                    reason: "for a while".into(),
                },
                3 => Event::Clear,
                4 => release(self.percent()),
                5 => Event::File(percent(self.percent())),
                6 if !self.writing.is_empty() => self.write(),
                7 if self.rng.u8(0..10) == 0 => return self.crash(),
                _ => Event::Tick,
            };
            match (&event, self.rollout.word()) {
                (Event::Release { .. } | Event::Again { .. }, Word::Held(_)) => self.released = true,
                (Event::Revert { .. }, _) => self.released = false,
                _ => {}
            }
            let (next, effects) = self.rollout.clone().step(event.clone(), self.now);
            self.check(&next, &event);
            self.rollout = next;
            for effect in effects {
                if let Effect::Write(record) = effect {
                    self.writing.push(record);
                }
            }
        }

        fn write(&mut self) -> Event {
            let record = self.writing.remove(0);
            let (revision, ok) = (record.revision, self.rng.u8(0..4) > 0);
            if ok || self.rng.bool() {
                self.disk = Some(record);
            }
            Event::Written { revision, ok }
        }

        fn crash(&mut self) {
            if !self.writing.is_empty() && self.rng.bool() {
                self.disk = Some(self.writing.remove(0));
            }
            self.writing.clear();
            self.rollout = Rollout::new(self.rollout.file(), self.disk.clone());
        }

        fn check(&mut self, next: &Rollout, event: &Event) {
            let by_file = matches!(event, Event::File(_));
            if next.weight() > self.rollout.weight() && !by_file {
                let written = self.disk.as_ref().map(|record| &record.said);
                assert_eq!(written, Some(next.said()), "toward Kubernetes before it was written: {event:?}");
            }
            let ends = matches!(self.rollout.word(), Word::Held(_)) && !matches!(next.word(), Word::Held(_));
            if ends {
                assert!(self.released, "a hold ended without a release: {event:?}");
                self.released = false;
            }
        }
    }

    #[test]
    fn whatever_happens_kubernetes_gets_nothing_unwritten_and_no_hold_is_lost() {
        for seed in 0..500 {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.step();
            }
        }
    }
}
