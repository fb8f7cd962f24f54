use std::sync::Arc;

use crate::model::{UnixMillis, Weight};

use super::word::{Actor, Hold, Override, Word};

/// One service's weight and why it is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    state: State,
    file: Weight,
    revision: u64,
}

/// Where a service's word stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// This word is in force.
    Settled(Word),
    /// `to` gives Kubernetes more than `from`: it is being written down, and until that has succeeded `from`
    /// stays in force.
    Rising {
        /// In force.
        from: Word,
        /// In force once written.
        to: Word,
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
    /// A person ends an override: the file decides again.
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

/// What is kept of a service's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Rises with each change.
    pub revision: u64,
    /// The word.
    pub word: Word,
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
    #[error("the weight is not overridden: the file decides already")]
    NotOverridden,
}

impl Rollout {
    /// A service with the word that was kept of it, if one was.
    pub fn new(file: Weight, kept: Option<Record>) -> Self {
        let Record { revision, word } = kept.unwrap_or(Record { revision: 0, word: Word::File });
        Self { state: State::Settled(word), file, revision }
    }

    /// The weight in force.
    pub fn weight(&self) -> Weight {
        self.word().weight(self.file)
    }

    /// The word in force.
    pub fn word(&self) -> &Word {
        match &self.state {
            State::Settled(word) | State::Rising { from: word, .. } => word,
        }
    }

    /// Where the word stands.
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
            State::Settled(Word::Override(over)) => over.until,
            State::Settled(Word::File | Word::Held(_)) | State::Rising { .. } => None,
        }
    }

    /// Takes in what has happened; says what is to be done.
    #[must_use]
    pub fn step(self, event: Event, now: UnixMillis) -> (Self, Vec<Effect>) {
        match event {
            Event::Revert { by, reason } => self.revert(by, reason, now),
            Event::SetWeight { weight, until, by, reason } => match self.word() {
                Word::Held(hold) => {
                    let refusal = Refusal::Held { by: hold.by.clone(), reason: hold.reason.clone() };
                    (self, vec![Effect::Refuse(refusal)])
                }
                Word::File | Word::Override(_) => {
                    self.turn_to(Word::Override(Override { weight, by, reason, since: now, until }))
                }
            },
            Event::Clear => match self.word() {
                Word::Override(_) => self.turn_to(Word::File),
                Word::File | Word::Held(_) => (self, vec![Effect::Refuse(Refusal::NotOverridden)]),
            },
            Event::Release { to, by, reason } => match self.word() {
                Word::Held(_) => {
                    let over = Override { weight: to, by, reason, since: now, until: None };
                    self.rise_to(Word::Override(over))
                }
                Word::File | Word::Override(_) => (self, vec![Effect::Refuse(Refusal::NotHeld)]),
            },
            Event::File(file) => {
                let changed = self.word().weight(file) != self.weight();
                (Self { file, ..self }, if changed { vec![Effect::Publish] } else { vec![] })
            }
            Event::Written { revision, ok } => self.written(revision, ok),
            Event::Tick => match self.next_change() {
                Some(until) if until <= now => self.turn_to(Word::File),
                Some(_) | None => (self, vec![]),
            },
        }
    }

    fn revert(self, by: Actor, reason: Arc<str>, now: UnixMillis) -> (Self, Vec<Effect>) {
        let before = self.weight();
        let hold = Word::Held(Hold { by, reason, since: now, before });
        match self.state {
            // A second revert adds nothing; but one that overtakes a release ends that.
            State::Settled(Word::Held(_)) => {
                let done = Effect::Done(self.revision);
                (self, vec![done])
            }
            State::Settled(Word::File | Word::Override(_)) | State::Rising { .. } => self.fall_to(hold),
        }
    }

    /// Lets a word come into force in the order that its direction asks for.
    fn turn_to(self, word: Word) -> (Self, Vec<Effect>) {
        if word.weight(self.file) > self.weight() { self.rise_to(word) } else { self.fall_to(word) }
    }

    /// Toward Helios: act, then write it down.
    fn fall_to(self, word: Word) -> (Self, Vec<Effect>) {
        let revision = self.revision + 1;
        let mut effects = vec![Effect::Publish];
        effects.extend(self.overtaken());
        effects.push(Effect::Write(Record { revision, word: word.clone() }));
        effects.push(Effect::Done(revision));
        (Self { state: State::Settled(word), revision, ..self }, effects)
    }

    /// Toward Kubernetes: write it down, then act.
    fn rise_to(self, word: Word) -> (Self, Vec<Effect>) {
        let revision = self.revision + 1;
        let mut effects: Vec<_> = self.overtaken().into_iter().collect();
        effects.push(Effect::Write(Record { revision, word: word.clone() }));
        let from = match self.state {
            State::Settled(from) | State::Rising { from, .. } => from,
        };
        (Self { state: State::Rising { from, to: word, revision }, revision, ..self }, effects)
    }

    fn overtaken(&self) -> Option<Effect> {
        match &self.state {
            State::Rising { revision, .. } => Some(Effect::Overtaken(*revision)),
            State::Settled(_) => None,
        }
    }

    fn written(self, written: u64, ok: bool) -> (Self, Vec<Effect>) {
        match self.state {
            State::Rising { to, revision, .. } if revision == written && ok => {
                let next = Self { state: State::Settled(to), ..self };
                (next, vec![Effect::Publish, Effect::Done(revision)])
            }
            // Whether the disk has the new record or the old one is not known: write what is in force.
            State::Rising { from, revision, .. } if revision == written => {
                let again = Record { revision: revision + 1, word: from.clone() };
                let next = Self { state: State::Settled(from), revision: revision + 1, ..self };
                (next, vec![Effect::Failed(revision), Effect::Write(again)])
            }
            State::Settled(ref word) if self.revision == written && !ok => {
                let again = Record { revision: written, word: word.clone() };
                (self, vec![Effect::Write(again)])
            }
            // An older record, overtaken meanwhile by the one that is being written now.
            State::Rising { .. } | State::Settled(_) => (self, vec![]),
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
        assert_eq!(record.word, Word::File, "the disk may hold either: what is in force is written again");
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
        for event in [release(5.0), Event::Clear] {
            let (after, effects) = service(50.0).step(event, NOW);
            assert_eq!(kinds(&effects), ["refuse"]);
            assert_eq!(after, service(50.0));
        }
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
            let event = match self.rng.u8(0..9) {
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
                (Event::Release { .. }, Word::Held(_)) => self.released = true,
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
                let written = self.disk.as_ref().map(|record| &record.word);
                assert_eq!(written, Some(next.word()), "toward Kubernetes before it was written: {event:?}");
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
