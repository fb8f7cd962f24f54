use crate::model::{Micros, Millis};

use super::block::{Block, Stratum};
use super::finding::Finding;
use super::groups::Groups;
use super::judge::Judge;
use super::latency::{Latency, Recent};
use super::rule::Rule;
use super::strata::{Change, Strata};
use super::thresholds::Thresholds;

/// One service under watch: its judge, its strata, and the ages at which its requests vote. A running process
/// and a replay watch by this same code.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(super) judge: Judge,
    strata: Strata,
    /// Helios' last answers, by stratum.
    pub(super) answers: Vec<Recent>,
    /// By stratum; that of [`Stratum::OTHER`] is always there.
    pub(super) thresholds: Vec<Thresholds>,
    /// Answers of Helios since thresholds were learned.
    news: usize,
    learned: Option<Millis>,
    sorted: Option<Millis>,
}

/// How often thresholds are learned anew …
const LEARN_EVERY: Millis = Millis(5_000);
/// … and sooner while there is a quantile that nothing is known of: until then a stall takes long to be one.
const LEARN_AT_FIRST: Millis = Millis(500);
/// How often routes are counted, and strata given to those that have enough requests.
const SORT_EVERY: Millis = Millis(5_000);

impl Watch {
    /// A watch that has seen nothing.
    pub fn new(rule: Rule) -> Self {
        Self {
            judge: Judge::new(rule),
            strata: Strata::default(),
            answers: vec![Recent::default()],
            thresholds: vec![Thresholds::default()],
            news: 0,
            learned: None,
            sorted: None,
        }
    }

    /// The judge.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The judge, to change its rule or to begin anew.
    pub fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    /// Routes and their strata.
    pub fn strata(&self) -> &Strata {
        &self.strata
    }

    /// How requests are grouped, and the ages at which they vote.
    pub fn groups(&self) -> Groups {
        Groups::new(self.strata.iter(), &self.thresholds)
    }

    /// Requests of a route have come. Its name is asked for when it is new; without one it is not known yet.
    pub fn came(&mut self, now: Millis, route: u64, requests: u32, name: impl FnOnce() -> Option<Box<str>>) {
        self.strata.count(now, route, requests, name);
    }

    /// Helios has answered, in this time.
    pub fn answered(&mut self, now: Millis, stratum: Stratum, latency: Latency) {
        let place = stratum.place();
        if self.answers.len() <= place {
            self.answers.resize_with(place + 1, Recent::default);
        }
        self.answers[place].add(now, latency);
        self.news += 1;
    }

    /// Takes in what was counted since the last call, and says so if Kubernetes is worse.
    pub fn observe(&mut self, now: Millis, block: &Block) -> Option<Finding> {
        for (stratum, part) in block.parts() {
            self.strata.count_of(stratum, part.asked.helios.saturating_add(part.asked.kubernetes));
        }
        self.judge.observe(now, block)
    }

    /// Learns thresholds from Helios' last answers and gives strata to routes, where it is time; tells whether
    /// anything has changed that requests go by.
    pub fn learn(&mut self, now: Millis) -> bool {
        let sorted = self.sort(now);
        let complete = self.thresholds.iter().any(Thresholds::is_complete);
        let every = if complete { LEARN_EVERY } else { LEARN_AT_FIRST };
        let due = self.learned.is_none_or(|at| now.since(at) >= every);
        if self.news == 0 || !due {
            return sorted;
        }
        (self.news, self.learned) = (0, Some(now));
        let slower = self.judge.rule().slower;
        let mut changed = sorted;
        self.thresholds.resize_with(self.answers.len(), Thresholds::default);
        for (answers, thresholds) in self.answers.iter_mut().zip(&mut self.thresholds) {
            let learned = Thresholds::learned(answers, slower, now);
            changed |= std::mem::replace(thresholds, learned) != learned;
        }
        changed
    }

    fn sort(&mut self, now: Millis) -> bool {
        if self.sorted.is_some_and(|at| now.since(at) < SORT_EVERY) {
            return false;
        }
        self.sorted = Some(now);
        let mut changed = false;
        for change in self.strata.sort(now) {
            changed = true;
            if let Change::Left(stratum) = change {
                self.judge.dismiss(stratum);
                if let Some(answers) = self.answers.get_mut(stratum.place()) {
                    *answers = Recent::default();
                }
                if let Some(thresholds) = self.thresholds.get_mut(stratum.place()) {
                    *thresholds = Thresholds::default();
                }
            }
        }
        let strata = &self.strata;
        self.judge.keep_strata(|stratum| strata.name(stratum).is_some());
        changed
    }

    /// Half of Helios' last answers, and 99 in 100 of them, took at most this long, over all strata together.
    pub fn quantiles(&mut self, now: Millis) -> Option<[Micros; 2]> {
        for answers in &mut self.answers {
            answers.count(now);
        }
        Recent::quantiles_of(&self.answers, [0.5, 0.99])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::PerSide;
    use crate::model::Side;
    use crate::verdict::{Question, Votes};

    /// Half a minute at ten requests a tick on these sides, answered by Helios in 20 ms.
    pub(in super::super) fn watched(helios: u32, kubernetes: u32, answered: bool) -> (Watch, Millis) {
        let mut watch = Watch::new(Rule::default());
        let mut now = Millis(0);
        for _ in 0..300 {
            now = Millis(now.0 + 100);
            let mut block = Block::default();
            let part = block.part(Stratum::OTHER);
            part.asked = PerSide { helios, kubernetes };
            part.votes.helios[Question::Failure] = Votes { cast: helios, bad: 0 };
            part.votes.kubernetes[Question::Failure] = Votes { cast: kubernetes, bad: 0 };
            for _ in 0..if answered { helios } else { 0 } {
                watch.answered(now, Stratum::OTHER, Latency::of(Micros(20_000)));
            }
            watch.observe(now, &block);
            watch.learn(now);
        }
        (watch, now)
    }

    #[test]
    fn a_late_vote_does_not_bring_a_stratum_back_that_its_route_has_left() {
        let mut watch = Watch::new(Rule::default());
        let mut at = Millis(0);
        let tick = |watch: &mut Watch, at: &mut Millis, requests: u32, late: Option<Stratum>| {
            *at = Millis(at.0 + 100);
            watch.came(*at, 7, requests, || Some("/orders".into()));
            watch.came(*at, 8, 10, || Some("/carts".into()));
            let mut block = Block::default();
            if let Some(late) = late {
                block.part(late).votes.kubernetes[Question::Failure].cast(true);
            }
            watch.observe(*at, &block);
            watch.learn(*at);
        };
        for _ in 0..600 {
            tick(&mut watch, &mut at, 10, None);
        }
        let stratum = watch.groups().of(7).expect("it has enough requests");
        tick(&mut watch, &mut at, 10, Some(stratum));
        assert!(watch.judge().knows(stratum));
        while watch.groups().of(7).is_some() {
            tick(&mut watch, &mut at, 0, None);
        }
        tick(&mut watch, &mut at, 0, Some(stratum));
        for _ in 0..60 {
            tick(&mut watch, &mut at, 0, None);
        }
        assert!(!watch.judge().knows(stratum), "its votes would be another route's");
    }

    #[test]
    fn a_stratum_of_which_nothing_is_known_yet_does_not_vote_by_the_ages_of_others() {
        let (watch, _) = watched(10, 10, true);
        let groups = watch.groups();
        let newcomer = Stratum::at(5).expect("a stratum");
        assert!(groups.thresholds(Stratum::OTHER).age(Side::Kubernetes, Question::Slow50).is_some());
        assert_eq!(groups.thresholds(newcomer), &Thresholds::default());
    }
}
