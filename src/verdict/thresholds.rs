use std::time::Duration;

use crate::model::{Micros, Millis, PerSide, Side};

use super::ages::{CLASSES, CUTS};
use super::latency::Recent;
use super::question::{PerAge, Question};
use super::rule::Slower;

/// A request without any answer after this time is stalled, while Helios' latency is not known.
const STALL_UNKNOWN: Micros = Micros(5_000_000);
/// A request is stalled after ten times Helios' 99 % quantile …
const STALL_RATIO: u64 = 10;
/// … but never before one second, which a garbage collection may take, …
const STALL_LEAST: u64 = 1_000_000;
/// … and always after ten.
const STALL_MOST: u64 = 10_000_000;

/// Answers of Helios behind a quantile before it is used: enough that its error is small against what the
/// tolerance allows.
const NEEDED_FOR_P50: usize = 20;
const NEEDED_FOR_P99: usize = 500;

/// The age of a question that is not asked.
pub(super) const NEVER: Micros = Micros(u64::MAX);

/// The ages at which a request votes, by side and question. They come from Helios' own quantiles, so a slow
/// drift of Kubernetes cannot drag them along; for Kubernetes they are later by what is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    ages: PerSide<PerAge<Micros>>,
    /// The cuts between classes of age, but for the last, which is the age of the question about the slowest 1 %.
    cuts: PerSide<[u32; CLASSES - 2]>,
}

impl Thresholds {
    /// Before anything is known about Helios: only stalls.
    pub const UNKNOWN: Self = {
        let ages = [STALL_UNKNOWN, NEVER, NEVER, NEVER, NEVER];
        let cuts = [0; CLASSES - 2];
        Self {
            ages: PerSide { helios: ages, kubernetes: ages },
            cuts: PerSide { helios: cuts, kubernetes: cuts },
        }
    };

    /// From Helios' recent answers. A quantile with too few answers behind it gives no threshold.
    pub fn learned(recent: &mut Recent, slower: Slower, now: Millis) -> Self {
        let count = recent.count(now);
        let quantiles = recent.quantiles(CUTS).unwrap_or_default();
        let [p50, p99] = [(1, NEEDED_FOR_P50), (4, NEEDED_FOR_P99)]
            .map(|(place, needed)| (count >= needed).then(|| quantiles[place]));
        let stall = p99.map_or(STALL_UNKNOWN, |p99| {
            Micros((p99.0.saturating_mul(STALL_RATIO)).clamp(STALL_LEAST, STALL_MOST))
        });
        let far = p99.map(|p99| Micros(p99.0 + p99.0 / 2));
        let farther = p99.map(|p99| Micros(p99.0 * 3));
        let latencies = [p50, p99, far, farther];
        let ages = |later: &dyn Fn(Micros) -> Micros| {
            let [p50, p99, far, farther] = latencies.map(|age| age.map_or(NEVER, later));
            [stall, p50, p99, far, farther] // a stall is the same on either side
        };
        let ages = PerSide { helios: ages(&|age| age), kubernetes: ages(&|age| tolerated(age, slower)) };
        let cuts: [Micros; CLASSES - 2] = std::array::from_fn(|cut| quantiles[cut]);
        let short = |age: Micros| u32::try_from(age.0).unwrap_or(u32::MAX);
        let cuts =
            PerSide { helios: cuts.map(short), kubernetes: cuts.map(|age| short(tolerated(age, slower))) };
        Self { ages, cuts }
    }

    /// Whether enough answers are behind every quantile.
    pub fn is_complete(&self) -> bool {
        self.age(Side::Helios, Question::Slow99).is_some()
    }

    /// The cuts between classes of age on this side, in microseconds.
    pub(super) fn cuts(&self, side: Side) -> [u32; CLASSES - 2] {
        self.cuts[side]
    }

    /// The age at which a request on this side votes on this question, if it does.
    pub fn age(&self, side: Side, question: Question) -> Option<Micros> {
        let age = self.ages[side][question.aged()?];
        (age != NEVER).then_some(age)
    }

    /// The ages at which a request on this side votes; [`NEVER`] where it does not.
    pub(super) fn ages(&self, side: Side) -> &PerAge<Micros> {
        &self.ages[side]
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

fn tolerated(age: Micros, slower: Slower) -> Micros {
    let age = Duration::from_micros(age.0);
    let later = age.mul_f64(slower.ratio).max(age + slower.add);
    Micros(u64::try_from(later.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Latency;

    fn learned(answers: usize, us: u64) -> Thresholds {
        let mut recent = Recent::default();
        for _ in 0..answers {
            recent.add(Millis(0), Latency::of(Micros(us)));
        }
        Thresholds::learned(&mut recent, Slower::default(), Millis(0))
    }

    #[test]
    fn a_quantile_is_used_once_enough_answers_are_behind_it() {
        let known = |answers| {
            let thresholds = learned(answers, 1_000);
            Question::ALL.map(|question| thresholds.age(Side::Helios, question).is_some())
        };
        assert_eq!(known(0), [false, true, false, false, false, false, false]);
        assert_eq!(known(20), [false, true, true, false, false, false, false]);
        // How answers fare all in all is voted on with the slowest: it has no age of its own.
        assert_eq!(known(500), [false, true, true, false, true, true, true]);
    }

    #[test]
    fn kubernetes_may_be_slower_by_what_is_tolerated() {
        let fast = learned(500, 1_000);
        let helios = fast.age(Side::Helios, Question::Slow50).unwrap();
        assert_eq!(fast.age(Side::Kubernetes, Question::Slow50).unwrap().0, helios.0 + 2_000);
        let slow = learned(500, 1_000_000);
        let helios = slow.age(Side::Helios, Question::Slow50).unwrap();
        let ratio = slow.age(Side::Kubernetes, Question::Slow50).unwrap().0 as f64 / helios.0 as f64;
        assert!((ratio - 1.15).abs() < 1e-6, "{ratio}");
    }

    #[test]
    fn a_stall_is_the_same_on_both_sides_and_between_one_and_ten_seconds() {
        for (us, stall) in [(1_000, 1_000_000), (60_000_000, 10_000_000)] {
            let thresholds = learned(500, us);
            for side in Side::ALL {
                assert_eq!(thresholds.age(side, Question::Stall), Some(Micros(stall)));
            }
        }
        assert_eq!(learned(0, 0).age(Side::Helios, Question::Stall), Some(Micros(5_000_000)));
    }
}
