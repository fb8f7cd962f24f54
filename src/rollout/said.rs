use std::sync::Arc;

use crate::model::{UnixMillis, Weight};

use super::machine::{Chosen, Refusal};
use super::plan::Plan;
use super::word::{Actor, Word};

/// All that is kept of what was said of a service, in the order in which it counts: a hold or an override, a ramp, and,
/// where there is neither, the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What stands above the ramp and the file.
    pub word: Word,
    /// The ramp, whether or not it is the one that decides.
    pub ramp: Option<Ramp>,
    /// The last ramp, if a revert has ended it and none was started since.
    pub cut: Option<Cut>,
}

/// A plan that raises the weight step by step, on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Its own plan; that of the service's file if there is none.
    pub plan: Option<Arc<Plan>>,
    /// The weight of the step that was taken last. It is kept, so that an edited plan moves nobody.
    pub weight: Weight,
    /// Since when time counts at this step.
    pub since: UnixMillis,
    /// Who started it.
    pub by: Actor,
    /// Why.
    pub reason: Arc<str>,
    /// When.
    pub started: UnixMillis,
    /// Whether it goes on.
    pub going: Going,
    /// Where the judge had ended it before it was started again by itself; 0 if it was not.
    pub cut_at: Weight,
    /// How often it was started again by itself without having come further than that.
    pub agains: u32,
}

/// Whether a ramp goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Going {
    /// It takes its next step as soon as nothing speaks against it.
    On,
    /// It stays where it is until a person resumes it.
    Paused {
        /// Who paused it.
        by: Actor,
        /// Why.
        reason: Arc<str>,
        /// Since when.
        since: UnixMillis,
    },
    /// Its last step was taken.
    Done,
}

/// A ramp that a revert has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The step at which it was.
    pub at: Weight,
    /// Its own plan, if it had one.
    pub plan: Option<Arc<Plan>>,
    /// How often it had been started again by itself without having come further.
    pub agains: u32,
}

impl Said {
    /// Nothing was said: the file decides.
    pub const NOTHING: Said = Said { word: Word::File, ramp: None, cut: None };

    /// The weight under all this.
    pub fn weight(&self, file: Weight) -> Weight {
        self.decided().unwrap_or(file)
    }

    /// The weight, if it is not the file that decides.
    pub(super) fn decided(&self) -> Option<Weight> {
        match &self.word {
            Word::Held(_) => Some(Weight::ZERO),
            Word::Override(over) => Some(over.weight),
            Word::File => self.ramp.as_ref().map(|ramp| ramp.weight),
        }
    }

    /// The ramp, if it is the one that decides.
    pub fn deciding_ramp(&self) -> Option<&Ramp> {
        self.ramp.as_ref().filter(|_| self.word == Word::File)
    }

    /// The same with another word.
    pub(super) fn with(&self, word: Word) -> Self {
        Self { word, ..self.clone() }
    }

    /// The same without its override. What a ramp has waited for beneath it counts no more.
    pub(super) fn without_override(&self, now: UnixMillis) -> Self {
        let ramp = self.ramp.clone().map(|ramp| Ramp { since: now, ..ramp });
        Self { word: Word::File, ramp, cut: self.cut.clone() }
    }

    /// The same with a ramp, in place of an override and of a ramp that is done.
    pub(super) fn start(&self, ramp: Ramp, chosen: Chosen) -> Result<Self, Refusal> {
        match (&self.ramp, &self.cut) {
            (Some(runs), _) if runs.going != Going::Done => Err(Refusal::RampRuns(runs.weight)),
            (_, Some(cut)) if chosen == Chosen::ByPlan => Err(Refusal::NameAStep(cut.at)),
            _ => Ok(Self { word: Word::File, ramp: Some(ramp), cut: None }),
        }
    }

    /// The same with its ramp going on, or not.
    pub(super) fn go(&self, going: Going, now: UnixMillis) -> Result<Self, Refusal> {
        let ramp = self.ramp.as_ref().ok_or(Refusal::NoRamp)?;
        match (&ramp.going, &going) {
            (Going::Done, _) => return Err(Refusal::NoRamp),
            (Going::Paused { by, .. }, Going::Paused { .. }) => return Err(Refusal::RampPaused(by.clone())),
            (Going::On, Going::On) => return Err(Refusal::RampNotPaused),
            (Going::On | Going::Paused { .. }, _) => {}
        }
        Ok(Self { ramp: Some(Ramp { going, since: now, ..ramp.clone() }), ..self.clone() })
    }

    /// Whether a ramp may raise the weight by itself.
    pub fn climbs(&self) -> bool {
        self.ramp.as_ref().is_some_and(|ramp| ramp.going == Going::On)
    }
}

impl Ramp {
    /// A ramp at its first step.
    pub(super) fn begin(
        plan: Option<Arc<Plan>>,
        at: Weight,
        climbs: bool,
        by: Actor,
        reason: Arc<str>,
        now: UnixMillis,
    ) -> Self {
        let going = Going::at(climbs);
        Self {
            plan,
            weight: at,
            since: now,
            by,
            reason,
            started: now,
            going,
            cut_at: Weight::ZERO,
            agains: 0,
        }
    }

    /// The same one step further.
    pub(super) fn climb(&self, to: Weight, climbs: bool, now: UnixMillis) -> Self {
        let agains = if to > self.cut_at { 0 } else { self.agains };
        Self { weight: to, since: now, going: Going::at(climbs), agains, ..self.clone() }
    }
}

impl Cut {
    /// What is remembered of a ramp that a revert ends.
    pub(super) fn of(ramp: &Ramp) -> Self {
        Self { at: ramp.weight, plan: ramp.plan.clone(), agains: ramp.agains }
    }

    /// The ramp, started again by itself.
    pub(super) fn again(&self, at: Weight, climbs: bool, now: UnixMillis) -> Ramp {
        let agains = self.agains + 1;
        let reason = format!("again, for the {}. time, after a revert at {}", agains, self.at);
        let ramp = Ramp::begin(self.plan.clone(), at, climbs, Actor::Ramp, reason.into(), now);
        Ramp { cut_at: self.at, agains, ..ramp }
    }
}

impl Going {
    fn at(climbs: bool) -> Self {
        if climbs { Self::On } else { Self::Done }
    }
}

impl From<Word> for Said {
    fn from(word: Word) -> Self {
        Self { word, ..Self::NOTHING }
    }
}
