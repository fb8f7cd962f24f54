use std::time::Duration;

use crate::model::{Micros, Millis, PerSide, Side};

use super::ages::CLASSES;
use super::judge::Judge;
use super::question::Question;
use super::thresholds::Thresholds;
use super::watch::Watch;

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

/// How long each kind of degradation would take to be seen, or why it never would.
pub type Foresight = [(Degradation, Result<Duration, Hindrance>); 5];

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

/// How a degradation would show in the votes of Kubernetes. It does not depend on how many requests there are.
enum Sign {
    /// This share of bad votes on a question.
    Share(Question, f64),
    /// Answers that come after the cuts with these shares.
    Ages([f64; CLASSES - 1]),
}

/// The share of answers that lie beyond the 99 % quantile. As many again must become slower to move it.
const SLOWEST: f64 = 0.01;

impl Watch {
    /// How long each kind of degradation would take to be seen, at the present rates; or why it never would.
    pub fn sensitivity(&self, now: Millis) -> Foresight {
        let (judge, signs) = (&self.judge, self.signs());
        foresee(self, &signs, judge.rates(now), judge.unasked(now))
    }

    /// The same for each of these shares of all requests, at the present rate of both sides together: what was learned of
    /// Helios holds at any weight.
    pub fn sensitivity_at<const N: usize>(&self, now: Millis, shares: [f64; N]) -> [Foresight; N] {
        let (PerSide { helios, kubernetes }, signs) = (self.judge.rates(now), self.signs());
        let all = helios + kubernetes;
        shares.map(|share| {
            let asked = PerSide { helios: all * (1.0 - share), kubernetes: all * share };
            foresee(self, &signs, asked, unasked(asked))
        })
    }

    fn signs(&self) -> [(Degradation, Vec<Sign>); 5] {
        Degradation::ALL.map(|degradation| {
            let signs = match degradation {
                Degradation::Fails(share) => vec![Sign::Share(Question::Failure, share)],
                Degradation::Slower(times) => {
                    self.ages_if_slower(times).map(Sign::Ages).into_iter().collect()
                }
                Degradation::TailSlower(times) => [Question::Slow99, Question::Far, Question::Farther]
                    .into_iter()
                    .filter_map(|question| Some(Sign::Share(question, self.late_if_slower(question, times)?)))
                    .collect(),
            };
            (degradation, signs)
        })
    }

    fn ages_if_slower(&self, times: f64) -> Option<[f64; CLASSES - 1]> {
        let (mut later, mut answers) = ([0.0; CLASSES - 1], 0.0);
        for (recent, thresholds) in self.answers.iter().zip(&self.thresholds) {
            let Some(last) = thresholds.age(Side::Kubernetes, Question::Slow99) else { continue };
            let [a, b, c, d] = thresholds.cuts(Side::Kubernetes).map(|cut| Micros(u64::from(cut)));
            for (sum, cut) in later.iter_mut().zip([a, b, c, d, last]) {
                *sum += recent.later(cut, times, Micros(0)) as f64;
            }
            answers += recent.len() as f64;
        }
        (answers > 0.0).then(|| later.map(|later| later / answers))
    }

    /// The share of bad votes on a question, if the slowest answers took so many times as long.
    fn late_if_slower(&self, question: Question, times: f64) -> Option<f64> {
        let (mut late, mut answers) = (0.0, 0.0);
        for (recent, thresholds) in self.answers.iter().zip(&self.thresholds) {
            let Some(age) = thresholds.age(Side::Kubernetes, question) else { continue };
            let [tail] = recent.quantiles([1.0 - 2.0 * SLOWEST])?;
            late += recent.later(age, times, tail) as f64;
            answers += recent.len() as f64;
        }
        (answers > 0.0).then(|| late / answers)
    }
}

/// The side that gets nothing at these rates.
pub(super) fn unasked(asked: PerSide<f64>) -> Option<Side> {
    [Side::Kubernetes, Side::Helios].into_iter().find(|side| asked[*side] <= 0.0)
}

fn foresee(
    watch: &Watch,
    signs: &[(Degradation, Vec<Sign>); 5],
    asked: PerSide<f64>,
    unasked: Option<Side>,
) -> Foresight {
    std::array::from_fn(|place| {
        let (degradation, signs) = &signs[place];
        let seen_in = signs.iter().filter_map(|sign| sign.seen_in(&watch.judge, asked)).min();
        (*degradation, seen_in.ok_or_else(|| hindrance(watch, *degradation, unasked)))
    })
}

impl Sign {
    fn seen_in(&self, judge: &Judge, asked: PerSide<f64>) -> Option<Duration> {
        match self {
            Sign::Share(question, bad) => judge.shares_seen_in(asked, *question, *bad),
            Sign::Ages(later) => judge.ages_seen_in(asked, later),
        }
    }
}

fn hindrance(watch: &Watch, degradation: Degradation, unasked: Option<Side>) -> Hindrance {
    let is_known = watch.thresholds.iter().any(Thresholds::is_complete);
    match (unasked, degradation) {
        (Some(Side::Kubernetes), _) => Hindrance::NothingOnKubernetes,
        (Some(Side::Helios), _) => Hindrance::Blind,
        (None, Degradation::Slower(_) | Degradation::TailSlower(_)) if !is_known => Hindrance::HeliosUnknown,
        (None, _) => Hindrance::Tolerated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::watch::tests::watched;
    use crate::verdict::{Rule, Tolerance};

    fn hindrances(helios: u32, kubernetes: u32, answered: bool) -> Vec<Option<Hindrance>> {
        let (watch, now) = watched(helios, kubernetes, answered);
        watch.sensitivity(now).into_iter().map(|(_, seen_in)| seen_in.err()).collect()
    }

    #[test]
    fn what_would_never_be_seen_has_its_reason() {
        assert_eq!(hindrances(10, 0, true), [Some(Hindrance::NothingOnKubernetes); 5]);
        assert_eq!(hindrances(0, 10, true), [Some(Hindrance::Blind); 5]);
        let unknown = Some(Hindrance::HeliosUnknown);
        assert_eq!(hindrances(10, 10, false), [None, None, None, unknown, unknown]);
        let (mut watch, now) = watched(10, 10, true);
        let failures = Tolerance { ratio: 1.0, delta: 0.3 };
        watch.judge_mut().adopt(Rule { failures, ..Rule::default() });
        let [(_, all), (_, tenth), ..] = watch.sensitivity(now);
        assert!(all.is_ok(), "{all:?}");
        assert_eq!(tenth, Err(Hindrance::Tolerated));
    }

    /// How much longer one takes than the other; both are seen, or neither is, for the same reason.
    fn ratio(one: Result<Duration, Hindrance>, other: Result<Duration, Hindrance>) -> f64 {
        match (one, other) {
            (Ok(one), Ok(other)) => one.as_secs_f64() / other.as_secs_f64(),
            (one, other) => {
                assert_eq!(one, other);
                1.0
            }
        }
    }

    #[test]
    fn at_the_weight_that_there_is_another_weight_says_the_same() {
        let (watch, now) = watched(15, 5, true);
        let [at_present] = watch.sensitivity_at(now, [0.25]);
        assert!(at_present.iter().filter(|(_, seen_in)| seen_in.is_ok()).count() >= 3, "{at_present:?}");
        for ((degradation, told), (_, asked)) in at_present.into_iter().zip(watch.sensitivity(now)) {
            assert!((ratio(told, asked) - 1.0).abs() < 1e-6, "{degradation:?}: {told:?} {asked:?}");
        }
    }

    #[test]
    fn before_kubernetes_gets_anything_it_is_known_what_would_be_seen_if_it_did() {
        let (watch, now) = watched(20, 0, true);
        let [nothing, little, half, all] = watch.sensitivity_at(now, [0.0, 0.01, 0.5, 1.0]);
        assert_eq!(nothing[0].1, Err(Hindrance::NothingOnKubernetes));
        assert_eq!(all[0].1, Err(Hindrance::Blind));
        let (watch, now) = watched(10, 10, true);
        for (((degradation, little), (_, half)), (_, really)) in
            little.into_iter().zip(half).zip(watch.sensitivity(now))
        {
            assert!(ratio(little, half) >= 1.0, "{degradation:?}: {little:?} {half:?}");
            assert!((0.8..1.25).contains(&ratio(half, really)), "{degradation:?}: {half:?} {really:?}");
        }
        assert!(ratio(little[1].1, half[1].1) > 2.0, "{little:?} {half:?}");
    }
}
