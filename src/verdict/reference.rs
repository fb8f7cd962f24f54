use crate::model::Millis;

use super::block::Votes;
use super::question::Question;
use super::rule::Tolerance;

/// Above this tolerated share of bad votes nothing can be said: Helios is down too.
pub(super) const MUTE: f64 = 0.95;

/// What Helios is like on one question: exponentially forgotten counts, each read before the tick's own votes
/// are added.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    prior: f64,
    faded: Option<Millis>,
    /// What evidence against history compares with.
    history: Forgetting,
    /// The last seconds, by which it is noticed that Helios itself just became worse.
    lately: Forgetting,
    /// Helios' rate in the alternative of evidence against right now.
    base: Forgetting,
}

/// What Helios' share of bad votes is estimated to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    /// The votes behind it.
    pub(super) votes: f64,
    /// It is at least this in the last seconds.
    pub(super) late: f64,
}

/// Sums up Helios' shares of bad votes in several strata, each with its part of Kubernetes' votes: what Helios'
/// share would be if it were asked what Kubernetes is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standardised {
    mean: f64,
    /// One over the votes behind the mean.
    scarcity: f64,
}

impl Standardised {
    /// Adds a stratum that has this part of Kubernetes' votes.
    pub(super) fn add(&mut self, part: f64, estimate: &Estimate) {
        self.mean += part * estimate.mean.max(estimate.late);
        self.scarcity += part * part / estimate.votes;
    }

    /// Helios' share of bad votes.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The largest share of bad votes that is tolerated from Kubernetes.
    pub(super) fn bound(&self, tolerated: Tolerance) -> f64 {
        let votes = 1.0 / self.scarcity.max(f64::MIN_POSITIVE);
        tolerated.of(wilson(self.mean * votes, votes, HISTORY_Z))
    }
}

impl Estimate {
    /// The largest share of bad votes that is tolerated from Kubernetes.
    pub(super) fn bound(&self, tolerated: Tolerance) -> f64 {
        tolerated.of(wilson(self.mean * self.votes, self.votes, HISTORY_Z).max(self.late))
    }
}

impl Tolerance {
    fn of(self, rate: f64) -> f64 {
        (self.ratio * rate + self.delta).min(MUTE)
    }
}

/// Votes, of which half are forgotten in a half-life.
#[derive(Clone, Copy, Debug, Default)]
struct Forgetting {
    cast: f64,
    bad: f64,
}

/// Half an hour follows the day's changes; what is left of them is the gate's to see.
pub(super) const HISTORY_HALF_LIFE_S: f64 = 1_800.0;
/// A quiet service keeps as many votes as a rate of one in a thousand needs.
pub(super) const HISTORY_KEPT: f64 = 5_000.0;
/// Short enough that a shared outage moves the bound within seconds.
pub(super) const LATELY_HALF_LIFE_S: f64 = 15.0;
/// The alternative may follow faster: it cannot harm validity.
pub(super) const BASE_HALF_LIFE_S: f64 = 60.0;
pub(super) const BASE_KEPT: f64 = 200.0;
/// Votes that the prior rate counts for in the base …
pub(super) const BASE_PRIOR_VOTES: f64 = 50.0;
/// … and in history.
pub(super) const HISTORY_PRIOR_VOTES: f64 = 100.0;
/// Standard deviations that history's rate is taken to be above its estimate.
pub(super) const HISTORY_Z: f64 = 1.0;
/// Standard deviations below its estimate that the last seconds' rate is taken to be at least.
pub(super) const LATELY_Z: f64 = 2.0;

/// Time passes in steps of this: powers of two cost more than the counting.
const FADES_EVERY: Millis = Millis(1_000);

/// The seconds that have passed, if they are enough for a step.
pub(super) fn time_to_fade(faded: &mut Option<Millis>, now: Millis) -> Option<f64> {
    let since = *faded.get_or_insert(now);
    let passed = now.since(since);
    (passed >= FADES_EVERY).then(|| {
        *faded = Some(now);
        passed.seconds()
    })
}

impl Reference {
    pub(super) fn new(question: Question) -> Self {
        let prior = question.prior_rate();
        Self {
            prior,
            faded: None,
            history: Forgetting::default(),
            lately: Forgetting::default(),
            base: Forgetting { cast: BASE_PRIOR_VOTES, bad: BASE_PRIOR_VOTES * prior },
        }
    }

    /// Lets time pass until now.
    pub(super) fn fade(&mut self, now: Millis) {
        let Some(seconds) = time_to_fade(&mut self.faded, now) else { return };
        self.history.fade(seconds, HISTORY_HALF_LIFE_S, HISTORY_KEPT);
        self.lately.fade(seconds, LATELY_HALF_LIFE_S, 0.0);
        self.base.fade(seconds, BASE_HALF_LIFE_S, BASE_KEPT);
    }

    /// Learns from votes of Helios.
    pub(super) fn learn(&mut self, votes: Votes) {
        self.history.add(votes);
        self.lately.add(votes);
    }

    /// Learns from a block whose evidence has been taken.
    pub(super) fn learn_base(&mut self, votes: Votes) {
        self.base.add(votes);
    }

    /// Helios' share of bad votes in these minutes.
    pub(super) fn expected(&self) -> f64 {
        (self.base.bad + self.prior) / (self.base.cast + 1.0)
    }

    /// Helios' votes and bad votes that are remembered.
    pub(super) fn history(&self) -> (f64, f64) {
        (self.history.cast, self.history.bad)
    }

    /// Helios' share of bad votes, as far as it is known. `rate` is that in the whole service, to which that of a
    /// stratum with few votes is drawn.
    pub(super) fn estimate(&self, rate: f64) -> Estimate {
        let Forgetting { cast, bad } = self.history;
        let votes = cast + HISTORY_PRIOR_VOTES;
        let mean = (bad + HISTORY_PRIOR_VOTES * rate) / votes;
        Estimate { mean, votes, late: wilson(self.lately.bad, self.lately.cast, -LATELY_Z) }
    }
}

impl Forgetting {
    fn fade(&mut self, seconds: f64, half_life_s: f64, kept: f64) {
        if self.cast <= kept {
            return;
        }
        let share = (-seconds / half_life_s).exp2().max(kept / self.cast);
        self.cast *= share;
        self.bad *= share;
    }

    fn add(&mut self, votes: Votes) {
        self.cast += f64::from(votes.cast);
        self.bad += f64::from(votes.bad);
    }
}

/// Wilson's bound of a proportion, `z` standard deviations above the estimate (below it for a negative `z`).
/// Nothing is known of no votes: 0 below, 1 above. (E. B. Wilson, JASA 22, 1927.)
pub(super) fn wilson(bad: f64, cast: f64, z: f64) -> f64 {
    if cast <= 0.0 {
        return if z < 0.0 { 0.0 } else { 1.0 };
    }
    let (rate, z2) = (bad / cast, z * z / cast);
    let half = z * (rate * (1.0 - rate) / cast + z2 / (4.0 * cast)).sqrt();
    ((rate + z2 / 2.0 + half) / (1.0 + z2)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_bounds_agree_with_a_worked_example() {
        // 10 of 100 at z = 1.96: 0.0552 to 0.1744 (R: prop.test(10, 100, correct = FALSE)).
        assert!((wilson(10.0, 100.0, -1.959_964) - 0.055_229).abs() < 1e-4);
        assert!((wilson(10.0, 100.0, 1.959_964) - 0.174_366).abs() < 1e-4);
        assert!((wilson(0.0, 0.0, -2.0) - 0.0).abs() < 1e-12);
    }

    #[test]
    fn the_bound_starts_at_the_prior_and_follows_helios() {
        let tolerated = Tolerance::default();
        let mut reference = Reference::new(Question::Failure);
        let unseen = reference.estimate(0.001).bound(tolerated);
        assert!((0.001..0.02).contains(&unseen), "{unseen}");
        reference.learn(Votes { cast: 10_000, bad: 1_000 });
        let failing = reference.estimate(0.001).bound(tolerated);
        assert!((0.12..0.13).contains(&failing), "{failing}");
    }

    #[test]
    fn a_helios_that_just_failed_moves_the_bound_within_seconds() {
        let mut reference = Reference::new(Question::Failure);
        reference.learn(Votes { cast: 100_000, bad: 100 });
        reference.fade(Millis(0));
        for tick in 0..150 {
            reference.fade(Millis(600_000 + tick * 100));
            reference.learn(Votes { cast: 10, bad: 5 });
        }
        assert!(reference.estimate(0.001).bound(Tolerance::default()) > 0.5);
    }

    #[test]
    fn a_quiet_service_forgets_nothing_that_it_needs() {
        let mut reference = Reference::new(Question::Failure);
        reference.learn(Votes { cast: 6_000, bad: 60 });
        reference.fade(Millis(0));
        reference.fade(Millis(1_000_000_000));
        assert!((reference.history.cast - 5_000.0).abs() < 1e-6);
        assert!((reference.history.bad - 50.0).abs() < 1e-6);
    }
}
