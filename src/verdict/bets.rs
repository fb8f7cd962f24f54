use crate::model::PerSide;

use super::block::Votes;
use super::rule::Tolerance;

/// How many times the tolerated odds each bet says that Kubernetes' bad votes have.
///
/// A mixture over a fixed ladder costs at most ln 6 = 1.8 nats and needs no learning after a change, which is
/// when there is no time to learn.
pub const LADDER: [f64; 6] = [1.5, 2.5, 5.0, 15.0, 60.0, 600.0];

/// No bet says more than this: a bet on certainty would be lost for good by a single good vote.
const SUREST: f64 = 0.995;

/// Bets are kept while they are above the bound by at most this, …
const HIGHEST_KEPT: f64 = 1.02;
/// … or below it by next to nothing.
const LOWEST_KEPT: f64 = 0.999;

/// Standard deviations above its own mean that a bet is credited with in one tick.
const CREDIT_SIGMAS: f64 = 3.0;

/// The alternatives that are played against one tolerated share of bad votes.
#[derive(Clone, Copy, Debug)]
pub struct Bets {
    rungs: Rungs,
    gains: [Gain; LADDER.len()],
}

/// A tolerated share of bad votes, and the share that each bet says there is instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rungs {
    bound: f64,
    rates: [f64; LADDER.len()],
}

/// What a bet gains from one vote against history, in nats.
#[derive(Clone, Copy, Debug)]
struct Gain {
    bad: f64,
    good: f64,
}

impl Bets {
    /// The ladder over this bound, between 0 and 1 (both excluded).
    pub fn against(bound: f64) -> Self {
        let rungs = Rungs::over(bound);
        let gains = rungs.rates.map(|rate| {
            let says = rate > bound;
            Gain {
                bad: if says { (rate / bound).ln() } else { 0.0 },
                good: if says { ((1.0 - rate) / (1.0 - bound)).ln() } else { 0.0 },
            }
        });
        Self { rungs, gains }
    }

    /// The ladder over a bound that has moved since. Logarithms cost more than all that is done with them, so what
    /// is nearly the same is kept, and rather too high than too low.
    pub(super) fn moved_to(self, bound: f64) -> Self {
        if (bound * LOWEST_KEPT..=bound * HIGHEST_KEPT).contains(&self.bound()) {
            self
        } else {
            Self::against(bound)
        }
    }

    /// The share of bad votes that is tolerated.
    pub fn bound(&self) -> f64 {
        self.rungs.bound
    }

    /// The tolerated share, and those that the bets say there are instead.
    pub(super) fn rungs(&self) -> &Rungs {
        &self.rungs
    }

    /// The share of bad votes that a bet says Kubernetes has.
    pub fn rate(&self, bet: usize) -> f64 {
        self.rungs.rates[bet]
    }

    /// The evidence against history in nats that a bet gains from a vote on average, if this share of
    /// Kubernetes' votes is bad.
    pub fn growth(&self, bet: usize, share: f64) -> f64 {
        share * self.gains[bet].bad + (1.0 - share) * self.gains[bet].good
    }

    /// The evidence in nats that a bet gains from Kubernetes' votes of one tick, of which it is credited with
    /// `bad` as bad, against a rate at the bound. Its exponential has mean at most 1 while Kubernetes' rate is at
    /// most the bound.
    pub fn history(&self, bet: usize, cast: u32, bad: f64) -> f64 {
        bad * self.gains[bet].bad + (f64::from(cast) - bad) * self.gains[bet].good
    }

    /// The evidence in nats that a bet gains from a block in which both sides voted, against *every* pair of
    /// rates in which Kubernetes is within its tolerance of Helios. `expected` is Helios' share of bad votes
    /// as known before the block.
    pub fn right_now(&self, bet: usize, votes: PerSide<Votes>, expected: f64, tolerated: Tolerance) -> f64 {
        self.rungs.right_now(bet, votes, expected, tolerated)
    }
}

impl Rungs {
    pub(super) fn over(bound: f64) -> Self {
        let odds = bound / (1.0 - bound);
        let rates = LADDER.map(|multiple| (multiple * odds / (1.0 + multiple * odds)).min(SUREST));
        Self { bound, rates }
    }

    /// The share of bad votes that is tolerated.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// The evidence in nats that a bet gains from a block in which both sides voted, against *every* pair of
    /// rates in which Kubernetes is within its tolerance of Helios. `expected` is Helios' share of bad votes
    /// as known before the block. (The e-value of R. Turner, A. Ly, P. Grünwald, *Generic E-variables for
    /// exact sequential k-sample tests*, 2024, arXiv 2106.02693.)
    pub(super) fn right_now(
        &self,
        bet: usize,
        votes: PerSide<Votes>,
        expected: f64,
        tolerated: Tolerance,
    ) -> f64 {
        let rate = self.rates[bet];
        let p = expected.min(self.bound);
        if rate <= tolerated.ratio * p + tolerated.delta {
            return 0.0;
        }
        let sizes =
            PerSide { helios: f64::from(votes.helios.cast), kubernetes: f64::from(votes.kubernetes.cast) };
        let a = right_now_projection(sizes, p, rate, tolerated);
        let b = tolerated.ratio * a + tolerated.delta;
        let helios_bad = f64::from(votes.helios.bad);
        let (bad, good) = self.credited(bet, votes.kubernetes);
        helios_bad * (p / a).ln()
            + (sizes.helios - helios_bad) * ((1.0 - p) / (1.0 - a)).ln()
            + bad * (rate / b).ln()
            + good * ((1.0 - rate) / (1.0 - b)).ln()
    }

    /// Bad and good votes that a bet is credited with: no more bad ones than it can explain (Huber's clipped
    /// likelihood ratio, 1965). Otherwise the burst of one restart fills a small bet, which then loses it so
    /// slowly that a few restarts add up to a verdict. Crediting less is always valid.
    fn credited(&self, bet: usize, votes: Votes) -> (f64, f64) {
        let (cast, rate) = (f64::from(votes.cast), self.rates[bet]);
        let most = cast * rate + CREDIT_SIGMAS * (cast * rate * (1.0 - rate)).sqrt() + 1.0;
        let bad = f64::from(votes.bad).min(most);
        (bad, cast - bad)
    }
}

/// Helios' rate in the tolerated pair (a, ratio·a + delta) that is nearest to the alternative (`p`, `rate`):
/// the `a` that minimises `n_H·KL(p‖a) + n_K·KL(rate‖ratio·a + delta)`. Needs rate > ratio·p + delta.
///
/// Newton's method, kept within a bracket that shrinks as bisection would.
pub fn right_now_projection(sizes: PerSide<f64>, p: f64, rate: f64, tolerated: Tolerance) -> f64 {
    let Tolerance { ratio, delta } = tolerated;
    #[expect(clippy::float_cmp, reason = "a tolerance that says nothing is written so")]
    if ratio == 1.0 && delta == 0.0 {
        return (sizes.helios * p + sizes.kubernetes * rate) / (sizes.helios + sizes.kubernetes);
    }
    let slope = |a: f64| {
        let b = ratio * a + delta;
        sizes.helios * (a - p) / (a * (1.0 - a)) + sizes.kubernetes * ratio * (b - rate) / (b * (1.0 - b))
    };
    // The slope's derivative, term by term: d/da (a−p)/(a(1−a)) = (a(1−a) − (a−p)(1−2a)) / (a(1−a))².
    let curvature = |a: f64| {
        let b = ratio * a + delta;
        let term = |x: f64, mean: f64| {
            let spread = x * (1.0 - x);
            (spread - (x - mean) * (1.0 - 2.0 * x)) / (spread * spread)
        };
        sizes.helios * term(a, p) + sizes.kubernetes * ratio * ratio * term(b, rate)
    };
    let (mut low, mut high) = (p, (rate - delta) / ratio);
    let mut a = f64::midpoint(low, high);
    for _ in 0..STEPS {
        let at = slope(a);
        if at > 0.0 {
            high = a;
        } else {
            low = a;
        }
        let newton = a - at / curvature(a);
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - a).abs() <= a * 1e-9 {
            return next;
        }
        a = next;
    }
    a
}

/// More than bisection alone needs to exhaust an f64; Newton takes five or six.
const STEPS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERATED: [Tolerance; 2] =
        [Tolerance { ratio: 1.0, delta: 0.0 }, Tolerance { ratio: 1.2, delta: 0.0005 }];

    fn binomial(n: u32, p: f64) -> Vec<f64> {
        let mut mass = vec![0.0; n as usize + 1];
        mass[0] = 1.0;
        for _ in 0..n {
            for k in (0..=n as usize).rev() {
                mass[k] = mass[k] * (1.0 - p) + if k > 0 { mass[k - 1] * p } else { 0.0 };
            }
        }
        mass
    }

    #[test]
    fn at_equal_sizes_and_no_tolerance_the_projection_is_halfway() {
        for (p, rate) in [(0.001, 0.01), (0.1, 0.9), (0.3, 0.31)] {
            let sizes = PerSide { helios: 7.0, kubernetes: 7.0 };
            let a = right_now_projection(sizes, p, rate, TOLERATED[0]);
            assert!((a - f64::midpoint(p, rate)).abs() < 1e-12, "{a}");
        }
    }

    #[test]
    fn the_projection_is_the_minimum() {
        let kl = |x: f64, y: f64| x * (x / y).ln() + (1.0 - x) * ((1.0 - x) / (1.0 - y)).ln();
        for tolerated in TOLERATED {
            for (n_h, n_k) in [(1.0, 1.0), (1.0, 500.0), (500.0, 1.0), (90.0, 30.0)] {
                for (p, rate) in [(0.001, 0.05), (0.01, 0.6), (0.2, 0.5), (0.000_1, 0.995)] {
                    let at = |a: f64| n_h * kl(p, a) + n_k * kl(rate, tolerated.ratio * a + tolerated.delta);
                    let sizes = PerSide { helios: n_h, kubernetes: n_k };
                    let a = right_now_projection(sizes, p, rate, tolerated);
                    let nearby = at(a * 1.001).min(at(a * 0.999));
                    assert!(at(a) <= nearby + 1e-12, "p {p} rate {rate} a {a}");
                }
            }
        }
    }

    /// The promise rests on this: evidence has mean at most one, whatever tolerated pair of rates is true.
    /// Exact, by enumeration of every result of every small block.
    #[test]
    fn evidence_against_right_now_has_mean_at_most_one_for_every_tolerated_pair() {
        let mut worst: f64 = 0.0;
        for tolerated in TOLERATED {
            for (n_h, n_k) in [(1, 1), (1, 12), (12, 1), (3, 7), (12, 12)] {
                for expected in [0.001, 0.05, 0.5] {
                    let bets = Bets::against((tolerated.ratio * expected + tolerated.delta).min(0.95));
                    for theta in [0.0, 0.000_5, 0.01, 0.05, 0.2, 0.5, 0.79] {
                        for share in [0.0, 0.5, 1.0] {
                            let theta_k = share * (tolerated.ratio * theta + tolerated.delta);
                            let (mass_h, mass_k) = (binomial(n_h, theta), binomial(n_k, theta_k.min(1.0)));
                            for bet in 0..LADDER.len() {
                                let mut mean = 0.0;
                                for (x_h, m_h) in (0..).zip(&mass_h) {
                                    for (x_k, m_k) in (0..).zip(&mass_k) {
                                        let votes = PerSide {
                                            helios: Votes { cast: n_h, bad: x_h },
                                            kubernetes: Votes { cast: n_k, bad: x_k },
                                        };
                                        mean +=
                                            m_h * m_k * bets.right_now(bet, votes, expected, tolerated).exp();
                                    }
                                }
                                worst = worst.max(mean);
                            }
                        }
                    }
                }
            }
        }
        assert!(worst <= 1.0 + 1e-9, "{worst}");
        assert!(worst > 0.99, "the bound is reached: {worst}");
    }

    #[test]
    fn evidence_against_history_has_mean_at_most_one_up_to_the_bound() {
        for bound in [0.000_5, 0.0017, 0.06, 0.5, 0.94] {
            let bets = Bets::against(bound);
            for n in [1, 5, 12] {
                for theta in [0.0, bound / 3.0, bound] {
                    for bet in 0..LADDER.len() {
                        let mean: f64 = (0..)
                            .zip(binomial(n, theta))
                            .map(|(bad, mass)| mass * bets.history(bet, n, f64::from(bad)).exp())
                            .sum();
                        assert!(mean <= 1.0 + 1e-9, "bound {bound} n {n} theta {theta} bet {bet}: {mean}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_more_bad_vote_never_lowers_the_evidence() {
        let bets = Bets::against(0.002);
        for bet in 0..LADDER.len() {
            for bad in 0..50 {
                let of = |bad| Votes { cast: 50, bad };
                let history = |bad| bets.history(bet, 50, f64::from(bad));
                assert!(history(bad + 1) >= history(bad) - 1e-12);
                let now = |x_h, x_k| {
                    bets.right_now(bet, PerSide { helios: of(x_h), kubernetes: of(x_k) }, 0.001, TOLERATED[1])
                };
                assert!(now(2, bad + 1) >= now(2, bad) - 1e-12, "bad votes of Kubernetes speak against it");
                assert!(now(bad + 1, 9) <= now(bad, 9) + 1e-12, "bad votes of Helios speak for Kubernetes");
            }
        }
    }
}
