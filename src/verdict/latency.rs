use std::collections::VecDeque;

use crate::model::{Micros, Millis};

/// A latency kept in two bytes, to within 0.8 %: seven bits of mantissa above an exponent, as in HDR
/// histograms. The order of latencies is the order of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Latency(u16);

/// Bits of mantissa. 2^-7 is 0.8 %, finer than any threshold needs.
const MANTISSA_BITS: u32 = 7;

impl Latency {
    /// The class of a latency.
    pub fn of(time: Micros) -> Self {
        let us = time.0.max(1);
        let top = us.ilog2();
        if top <= MANTISSA_BITS {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            return Self(us as u16);
        }
        let shift = top - MANTISSA_BITS;
        let mantissa = us >> shift; // 128..=255
        #[expect(clippy::cast_possible_truncation, reason = "57 × 128 + 255 fits")]
        Self(((u64::from(shift) << MANTISSA_BITS) + mantissa) as u16)
    }

    /// The longest latency of this class.
    pub fn longest(self) -> Micros {
        let code = u64::from(self.0);
        if code < 2 << MANTISSA_BITS {
            return Micros(code);
        }
        let shift = (code >> MANTISSA_BITS) - 1;
        let mantissa = (code & ((1 << MANTISSA_BITS) - 1)) + (1 << MANTISSA_BITS);
        Micros(((mantissa + 1) << shift) - 1)
    }
}

/// Answers that are remembered. A quantile at 99 % then has twenty answers beyond it.
const REMEMBERED: usize = 2_000;

/// Minutes after which an answer says nothing about the present.
const OLDEST_MINUTES: u16 = 60;

/// The latencies of the last 2,000 answers that are not older than an hour, in four bytes each.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    answers: VecDeque<(Minute, Latency)>,
}

/// Minutes since the start, wrapping after 45 days: only ever compared with others of the same hour.
type Minute = u16;

impl Recent {
    /// Remembers one answer.
    pub fn add(&mut self, now: Millis, latency: Latency) {
        if self.answers.len() == REMEMBERED {
            self.answers.pop_front();
        }
        self.answers.push_back((minute(now), latency));
    }

    /// How many answers are remembered, after dropping what is too old.
    pub fn count(&mut self, now: Millis) -> usize {
        let now = minute(now);
        while self.answers.front().is_some_and(|(at, _)| now.wrapping_sub(*at) > OLDEST_MINUTES) {
            self.answers.pop_front();
        }
        self.answers.len()
    }

    /// How many answers are remembered.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// The answers that would come later than this if those that are slower than `slower_than` took so many times
    /// as long.
    pub(super) fn later(&self, than: Micros, times: f64, slower_than: Micros) -> usize {
        let late = |latency: &Latency| {
            let us = latency.longest();
            let times = if us > slower_than { times } else { 1.0 };
            us.0 as f64 * times > than.0 as f64
        };
        self.answers.iter().filter(|(_, latency)| late(latency)).count()
    }

    /// The latencies that these shares of the answers do not exceed; `None` without answers.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[Micros; N]> {
        Self::quantiles_of(std::slice::from_ref(self), shares)
    }

    /// The same, of several together.
    pub fn quantiles_of<const N: usize>(all: &[Self], shares: [f64; N]) -> Option<[Micros; N]> {
        let answers = all.iter().flat_map(|recent| &recent.answers);
        let mut latencies: Vec<Latency> = answers.map(|(_, latency)| *latency).collect();
        let count = latencies.len();
        (count > 0).then(|| {
            shares.map(|share| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within count")]
                let rank = ((share * count as f64).ceil() as usize).clamp(1, count) - 1;
                latencies.select_nth_unstable(rank).1.longest()
            })
        })
    }
}

fn minute(now: Millis) -> Minute {
    #[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
    return (now.0 / 60_000) as Minute;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_within_one_percent_and_keeps_the_order() {
        let mut last = Latency::of(Micros(0));
        for exponent in 0..40 {
            for us in [1_u64 << exponent, (1_u64 << exponent) + (1 << exponent) / 3] {
                let class = Latency::of(Micros(us));
                assert!(class >= last, "{us}");
                last = class;
                let longest = class.longest().0;
                assert!(longest >= us && longest as f64 <= us as f64 * 1.008 + 1.0, "{us} → {longest}");
                assert_eq!(Latency::of(Micros(longest)), class, "{us}");
                assert_ne!(Latency::of(Micros(longest + 1)), class, "{us}");
            }
        }
        assert!(Latency::of(Micros(u64::MAX)) > last);
    }

    #[test]
    fn quantiles_are_those_of_the_last_answers() {
        let mut recent = Recent::default();
        assert_eq!(recent.quantiles([0.5]), None);
        for _ in 0..5_000 {
            recent.add(Millis(0), Latency::of(Micros(9_000_000)));
        }
        for us in 1..=2_000 {
            recent.add(Millis(10), Latency::of(Micros(us)));
        }
        let [p50, p99] = recent.quantiles([0.5, 0.99]).unwrap();
        assert!(p50.0.abs_diff(1_000) <= 8 && p99.0.abs_diff(1_980) <= 16, "{p50:?} {p99:?}");
        assert_eq!(recent.count(Millis(10)), 2_000);
        assert_eq!(recent.count(Millis(61 * 60_000)), 0);
    }
}
