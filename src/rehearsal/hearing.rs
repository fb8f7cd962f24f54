use crate::model::{Micros, Millis};
use crate::verdict::{Finding, Rule, Standing, Stratum, Watch};

use super::replay::Replay;
use super::routes::Routes;
use super::trace::Request;

/// A trace before the judge, and what a running service would make of its word.
pub struct Hearing {
    replay: Replay,
    conduct: Conduct,
    /// When advice was given last.
    advised: Option<Millis>,
    ended: Option<Ended>,
    rows: u64,
    first: Option<Micros>,
    last: Micros,
    decisions: u64,
}

/// What the judge's word leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// The service is taken back: what the trace says of Kubernetes from then on would not have happened.
    Revert,
    /// As if somebody released it at once, to the weight that it had: the judge keeps what it has learned of
    /// Helios, has no evidence against Kubernetes, and grants it the grace of a side that has just come.
    RevertAndRelease,
    /// People are told, at most this often. The evidence has then been heard, and is gathered anew.
    Advise {
        /// The least time from one advice to the next.
        every: Millis,
    },
    /// Nothing is judged.
    Off,
}

/// What has been decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is done.
    pub word: Word,
    /// Why.
    pub finding: Finding,
    /// The route that it was found on; `None` if it was the whole service.
    pub route: Option<String>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The service is taken back to Helios.
    Revert,
    /// People are told that it should be.
    Advise,
}

/// A trace in a few words.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its rows.
    pub rows: u64,
    /// When the first and the last of them came; `None` without any.
    pub span: Option<(Micros, Micros)>,
    /// Decisions that were taken.
    pub decisions: u64,
    /// The end of the last tick that was judged, and what there was to say then; `None` if nothing was judged.
    pub judged: Option<(Millis, Standing)>,
    /// The route with the most evidence; `None` if it is the whole service.
    pub route: Option<String>,
}

/// The judge has spoken, and is not asked again.
struct Ended {
    at: Millis,
    standing: Standing,
}

impl Hearing {
    /// Nothing has been heard yet.
    pub fn new(rule: Rule, conduct: Conduct) -> Self {
        Self {
            replay: Replay::new(rule),
            conduct,
            advised: None,
            ended: None,
            rows: 0,
            first: None,
            last: Micros(0),
            decisions: 0,
        }
    }

    /// Takes in a request, which comes no earlier than those before it. What is decided in the ticks that have
    /// passed by then is told.
    pub fn take(&mut self, request: &Request, routes: &Routes, decided: &mut impl FnMut(&Decision)) {
        self.rows += 1;
        self.first.get_or_insert(request.start);
        self.last = request.start;
        while !self.is_over() {
            let mut found = None;
            if self.replay.take(request, routes, &mut |watch, finding| hear(watch, finding, &mut found)) {
                return;
            }
            self.decide(found, decided);
        }
    }

    /// Ends the trace: what has not voted yet does.
    pub fn end(&mut self, routes: &Routes, decided: &mut impl FnMut(&Decision)) -> Summary {
        while !self.is_over() {
            let mut found = None;
            if self.replay.end(routes, &mut |watch, finding| hear(watch, finding, &mut found)) {
                break;
            }
            self.decide(found, decided);
        }
        let judged = (self.conduct != Conduct::Off).then(|| (self.now(), self.standing()));
        let stratum = judged.and_then(|(_, standing)| standing.stratum);
        Summary {
            rows: self.rows,
            span: self.first.map(|first| (first, self.last)),
            decisions: self.decisions,
            judged,
            route: stratum.map(|stratum| route(self.replay.watch(), stratum)),
        }
    }

    /// Whether the judge is asked no more.
    pub fn is_over(&self) -> bool {
        self.conduct == Conduct::Off || self.ended.is_some()
    }

    /// The end of the last tick that was judged.
    pub fn now(&self) -> Millis {
        self.ended.as_ref().map_or_else(|| self.replay.now(), |ended| ended.at)
    }

    /// What there is to say at that moment.
    pub fn standing(&self) -> Standing {
        self.ended.as_ref().map_or_else(|| self.replay.standing(), |ended| ended.standing)
    }

    fn decide(&mut self, found: Option<(Finding, Option<String>)>, decided: &mut impl FnMut(&Decision)) {
        let Some((finding, route)) = found else { return };
        let word = match self.conduct {
            Conduct::Revert => {
                self.ended = Some(Ended { at: finding.at, standing: self.replay.standing() });
                Word::Revert
            }
            Conduct::RevertAndRelease => {
                self.replay.watch_mut().judge_mut().rearm();
                Word::Revert
            }
            Conduct::Advise { every } => {
                self.replay.watch_mut().judge_mut().clear();
                if self.advised.is_some_and(|at| finding.at.since(at) < every) {
                    return;
                }
                self.advised = Some(finding.at);
                Word::Advise
            }
            Conduct::Off => return,
        };
        self.decisions += 1;
        decided(&Decision { word, finding, route });
    }
}

/// Notes what was found, and stops there: what to do about it changes the judge.
fn hear(watch: &Watch, finding: Finding, found: &mut Option<(Finding, Option<String>)>) -> bool {
    *found = Some((finding, finding.stratum.map(|stratum| route(watch, stratum))));
    false
}

/// The name of a stratum's route.
fn route(watch: &Watch, stratum: Stratum) -> String {
    watch.strata().name(stratum).unwrap_or(Routes::OTHERS).to_owned()
}
