use std::time::Duration;

use crate::model::{Micros, Millis, Side};

use super::ages::CLASSES;
use super::block::{Block, Stratum};
use super::finding::Finding;
use super::groups::Groups;
use super::judge::Judge;
use super::latency::{Latency, Recent};
use super::question::Question;
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
    answers: Vec<Recent>,
    /// By stratum; that of [`Stratum::OTHER`] is always there.
    thresholds: Vec<Thresholds>,
    /// Answers of Helios since thresholds were learned.
    news: usize,
    learned: Option<Millis>,
    sorted: Option<Millis>,
}

/// A way in which Kubernetes may become worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Degradation {
    /// This share of its requests fails.
    Fails(f64),
    /// All answers take so many times as long.
    Slower(f64),
    /// The slowest take so many times as long, so that 99 in 100 do.
    TailSlower(f64),
}

/// Why a degradation would never be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Kubernetes gets no requests.
    NothingOnKubernetes,
    /// Helios gets none: there is nothing to compare with.
    Blind,
    /// Helios has not answered often enough for its latency to be known.
    HeliosUnknown,
    /// It is no worse than the service's rule allows.
    Tolerated,
}

impl Hindrance {
    /// As people and programs read it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Hindrance::NothingOnKubernetes => "nothing on Kubernetes",
            Hindrance::Blind => "blind: nothing on Helios",
            Hindrance::HeliosUnknown => "Helios is not known well enough yet",
            Hindrance::Tolerated => "within what is tolerated",
        }
    }
}

impl Degradation {
    /// Those that people are told of.
    pub const ALL: [Degradation; 5] = [
        Degradation::Fails(1.0),
        Degradation::Fails(0.1),
        Degradation::Fails(0.01),
        Degradation::Slower(1.3),
        Degradation::TailSlower(2.0),
    ];
}

/// The share of answers that lie beyond the 99 % quantile. As many again must become slower to move it.
const SLOWEST: f64 = 0.01;

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

    /// How long each kind of degradation would take to be seen, at the present rates; or why it never would.
    pub fn sensitivity(&self, now: Millis) -> [(Degradation, Result<Duration, Hindrance>); 5] {
        Degradation::ALL.map(|degradation| {
            let seen_in = match degradation {
                Degradation::Fails(share) => self.judge.seen_in(now, share),
                Degradation::Slower(times) => self.slower_seen_in(now, times),
                Degradation::TailSlower(times) => self.tail_seen_in(now, times),
            };
            (degradation, seen_in.ok_or_else(|| self.hindrance(now, degradation)))
        })
    }

    fn hindrance(&self, now: Millis, degradation: Degradation) -> Hindrance {
        let is_known = self.thresholds.iter().any(Thresholds::is_complete);
        match (self.judge.unasked(now), degradation) {
            (Some(Side::Kubernetes), _) => Hindrance::NothingOnKubernetes,
            (Some(Side::Helios), _) => Hindrance::Blind,
            (None, Degradation::Slower(_) | Degradation::TailSlower(_)) if !is_known => {
                Hindrance::HeliosUnknown
            }
            (None, _) => Hindrance::Tolerated,
        }
    }

    fn slower_seen_in(&self, now: Millis, times: f64) -> Option<Duration> {
        let (mut later, mut answers) = ([0.0; CLASSES - 1], 0.0);
        for (recent, thresholds) in self.answers.iter().zip(&self.thresholds) {
            let Some(last) = thresholds.age(Side::Kubernetes, Question::Slow99) else { continue };
            let [a, b, c, d] = thresholds.cuts(Side::Kubernetes).map(|cut| Micros(u64::from(cut)));
            for (sum, cut) in later.iter_mut().zip([a, b, c, d, last]) {
                *sum += recent.later(cut, times, Micros(0)) as f64;
            }
            answers += recent.len() as f64;
        }
        if answers == 0.0 {
            return None;
        }
        self.judge.ages_seen_in(now, &later.map(|later| later / answers))
    }

    fn tail_seen_in(&self, now: Millis, times: f64) -> Option<Duration> {
        let seen_in = |question: Question| {
            let (mut late, mut answers) = (0.0, 0.0);
            for (recent, thresholds) in self.answers.iter().zip(&self.thresholds) {
                let Some(age) = thresholds.age(Side::Kubernetes, question) else { continue };
                let [tail] = recent.quantiles([1.0 - 2.0 * SLOWEST])?;
                late += recent.later(age, times, tail) as f64;
                answers += recent.len() as f64;
            }
            if answers == 0.0 { None } else { self.judge.shares_seen_in(now, question, late / answers) }
        };
        [Question::Slow99, Question::Far, Question::Farther].into_iter().filter_map(seen_in).min()
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
mod tests {
    use super::*;
    use crate::model::PerSide;
    use crate::verdict::{Question, Votes};

    /// Half a minute at ten requests a tick on these sides, answered by Helios in 20 ms.
    fn watched(helios: u32, kubernetes: u32, answered: bool) -> (Watch, Millis) {
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

    fn hindrances(helios: u32, kubernetes: u32, answered: bool) -> Vec<Option<Hindrance>> {
        let (watch, now) = watched(helios, kubernetes, answered);
        watch.sensitivity(now).into_iter().map(|(_, seen_in)| seen_in.err()).collect()
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

    #[test]
    fn what_would_never_be_seen_has_its_reason() {
        assert_eq!(hindrances(10, 0, true), [Some(Hindrance::NothingOnKubernetes); 5]);
        assert_eq!(hindrances(0, 10, true), [Some(Hindrance::Blind); 5]);
        let unknown = Some(Hindrance::HeliosUnknown);
        assert_eq!(hindrances(10, 10, false), [None, None, None, unknown, unknown]);
        let (mut watch, now) = watched(10, 10, true);
        let failures = super::super::Tolerance { ratio: 1.0, delta: 0.3 };
        watch.judge_mut().adopt(Rule { failures, ..Rule::default() });
        let [(_, all), (_, tenth), ..] = watch.sensitivity(now);
        assert!(all.is_ok(), "{all:?}");
        assert_eq!(tenth, Err(Hindrance::Tolerated));
    }
}
