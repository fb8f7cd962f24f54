use std::ops::AddAssign;

use crate::model::{Millis, PerSide};

use super::bets::LADDER;
use super::block::Votes;
use super::inquiry::{Alone, LONELY_AGE, LONELY_VOTES};
use super::noise::Noise;
use super::panel::{Damping, Measure, News, Panel, Played};
use super::question::Question;
use super::reference::{self, wilson};
use super::rule::Rule;

/// Classes of age into which answers fall. The cuts between them are quantiles of Helios'.
pub const CLASSES: usize = 6;

/// The shares of Helios' answers that come before each cut.
pub(super) const CUTS: [f64; CLASSES - 1] = [0.25, 0.5, 0.75, 0.9, 0.99];

/// How many requests fell into each class of age, the fastest first. Those of the last had no answer by the last
/// cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages(pub [u32; CLASSES]);

/// The shares of requests that come after each cut.
pub(super) type Later = [f64; CLASSES - 1];

/// Bets on all ages together: that the odds of coming after a cut are so many times the tolerated ones, at every
/// cut. One cut alone would see two thirds of what a shift of all latencies shows.
///
/// The further back a class lies the more it speaks for a bet. So of all laws that are nowhere later than the
/// tolerated one, that one is the most favourable to the bet, and under it the mean of the likelihood ratio is 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AgeBets {
    /// The logarithm of the likelihood ratio, by bet and class.
    gains: [[f64; CLASSES]; LADDER.len()],
}

/// Ages in one stratum: what Helios' are like, and the evidence that Kubernetes' are later.
#[derive(Clone, Debug)]
pub(super) struct AgeInquiry {
    history: Forgetting,
    lately: Forgetting,
    base: Forgetting,
    faded: Option<Millis>,
    noise: PerCut<Noise>,
    open: Option<Open>,
    /// The block that has closed in this tick.
    closed: Option<Open>,
    /// Helios' ages of a block that has ended in this tick.
    ended: Ages,
    /// Kubernetes' votes in the last seconds: the stratum's part of the mix.
    pub(super) lately_asked: f64,
    bets: Standing,
    pub(super) panel: Panel,
}

/// Bets that are made anew now and then, and the share of answers later than the median that they tolerate.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    made: Option<Millis>,
    pub(super) bound: f64,
    pub(super) bets: AgeBets,
}

/// A block that waits until both sides have voted.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Millis,
    ages: PerSide<Ages>,
    expected: Later,
    noise: f64,
    /// The same of the whole service, to whose evidence the block adds.
    noise_of_whole: f64,
}

/// Counts of ages, of which half are forgotten in a half-life.
#[derive(Clone, Copy, Debug, Default)]
struct Forgetting {
    ages: [f64; CLASSES],
}

/// Helios' shares later than each cut, as far as they are known, and the votes behind them.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgeEstimate {
    pub(super) later: Later,
    pub(super) votes: f64,
}

/// Noise is measured at the median, and where one answer in ten comes later.
type PerCut<T> = [T; 2];
const NOISE_CUTS: PerCut<usize> = [MEDIAN, 3];
/// The cut by which people are told of an episode.
pub(super) const MEDIAN: usize = 1;
/// For so long bets stand: their logarithms cost more than all that is done with them, and what moves the bound
/// takes seconds.
const BETS_STAND: Millis = Millis(1_000);
/// No class is taken to be rarer than this.
const RAREST: f64 = 1e-6;

impl Ages {
    /// All of them.
    pub fn cast(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Those that came after this cut.
    fn later_than(&self, cut: usize) -> u32 {
        self.0[cut + 1..].iter().sum()
    }

    /// As votes on coming after a cut.
    pub(super) fn votes(&self, cut: usize) -> Votes {
        Votes { cast: self.cast(), bad: self.later_than(cut) }
    }
}

impl AddAssign for Ages {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

impl AgeBets {
    /// Against what is known of Helios.
    pub(super) fn against(estimate: &AgeEstimate) -> Self {
        let later = estimate.bound();
        let tolerated = shares(&later);
        Self {
            gains: LADDER.map(|multiple| {
                let bet = shares(&tilted(&later, multiple));
                std::array::from_fn(|class| (bet[class] / tolerated[class]).ln())
            }),
        }
    }

    /// Evidence against history, in nats.
    pub(super) fn history(&self, bet: usize, ages: &Ages) -> f64 {
        self.gains[bet].iter().zip(ages.0).map(|(gain, count)| gain * f64::from(count)).sum()
    }

    /// The evidence that a bet gains from a vote on average, if Kubernetes' ages have these shares.
    pub(super) fn growth(&self, bet: usize, truth: &Later) -> f64 {
        self.gains[bet].iter().zip(shares(truth)).map(|(gain, share)| gain * share).sum()
    }
}

/// The evidence in nats that a bet gains from a block in which both sides voted, against *every* pair of laws in
/// which Kubernetes is nowhere later than Helios. The tolerated pair that is nearest to the bet is one law for
/// both, the mixture of the two (T. Robertson, F. Wright, R. Dykstra, *Order Restricted Statistical Inference*,
/// 1988, on the order of likelihood ratios).
pub(super) fn right_now(bet: usize, ages: &PerSide<Ages>, expected: &Later) -> f64 {
    let counts = ages.map(|ages| ages.0.map(f64::from));
    right_now_of(bet, &counts, expected)
}

/// The same, of counts that are expected.
pub(super) fn right_now_of(bet: usize, counts: &PerSide<[f64; CLASSES]>, expected: &Later) -> f64 {
    let p = shares(expected);
    let q = shares(&tilted(expected, LADDER[bet]));
    let sizes = counts.map(|counts| counts.iter().sum::<f64>());
    let mut evidence = 0.0;
    for class in 0..CLASSES {
        let (helios, kubernetes) = (counts.helios[class], counts.kubernetes[class]);
        if helios + kubernetes > 0.0 {
            let both =
                (sizes.helios * p[class] + sizes.kubernetes * q[class]) / (sizes.helios + sizes.kubernetes);
            evidence += helios * (p[class] / both).ln() + kubernetes * (q[class] / both).ln();
        }
    }
    evidence
}

/// The share of each class, none of them rarer than a trifle.
pub(super) fn shares(later: &Later) -> [f64; CLASSES] {
    let shares: [f64; CLASSES] = std::array::from_fn(|class| {
        let from = if class == 0 { 1.0 } else { later[class - 1] };
        let to = if class == CLASSES - 1 { 0.0 } else { later[class] };
        (from - to).max(RAREST)
    });
    let all: f64 = shares.iter().sum();
    shares.map(|share| share / all)
}

/// The law whose odds of coming after each cut are so many times as high.
fn tilted(later: &Later, multiple: f64) -> Later {
    later.map(|share| multiple * share / (1.0 - share + multiple * share))
}

impl AgeEstimate {
    /// The latest that is tolerated.
    pub(super) fn bound(&self) -> Later {
        self.later.map(|later| wilson(later * self.votes, self.votes, reference::HISTORY_Z))
    }
}

impl AgeInquiry {
    pub(super) fn new(rule: &Rule, weight: f64) -> Self {
        Self {
            history: Forgetting::default(),
            lately: Forgetting::default(),
            base: Forgetting::default(),
            faded: None,
            noise: PerCut::default(),
            open: None,
            closed: None,
            ended: Ages::default(),
            lately_asked: 0.0,
            bets: Standing::default(),
            panel: Panel::new(weight, rule.promise_s()),
        }
    }

    /// Takes in the ages of one tick. `noise_of_whole` is Helios' noise in the whole service.
    pub(super) fn observe(&mut self, news: News, ages: &PerSide<Ages>, noise_of_whole: f64, alone: Alone) {
        self.closed = None;
        if news.is_silent() {
            return;
        }
        self.fade(news.now);
        let noise = self.noise();
        let noise_of_whole = if alone == Alone::Yes { noise_of_whole.max(noise) } else { noise_of_whole };
        self.closed = self.fill(news.now, ages, noise, noise_of_whole);
        self.lately_asked += f64::from(ages.kubernetes.cast());
        if alone == Alone::Yes {
            return;
        }
        if self.bets.are_old(news.now) {
            self.bets.renew(news.now, &self.estimate());
        }
        let measure = Measure { bound: self.bets.bound, damping: Damping::of_noise(noise) };
        let right_now = self
            .closed
            .as_ref()
            .map(|open| move |bet, _| right_now(bet, &open.ages, &open.expected) / open.noise);
        self.panel.weigh(news, measure, &Played::Ages(&self.bets.bets, ages.kubernetes), right_now);
    }

    /// Learns from Helios' ages of a tick, after it has been judged.
    pub(super) fn learn(&mut self, now: Millis, ages: &Ages) {
        if ages.cast() > 0 {
            let expected = self.expected();
            for (noise, cut) in self.noise.iter_mut().zip(NOISE_CUTS) {
                noise.learn(now, ages.votes(cut), f64::from(ages.cast()) * expected[cut]);
            }
            self.history.add(ages);
            self.lately.add(ages);
        }
        self.base.add(&std::mem::take(&mut self.ended));
    }

    /// Forgets all evidence, and keeps what was learned about Helios.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.closed = None;
        self.panel.clear();
    }

    /// Whether a block has closed in this tick.
    pub(super) fn has_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// What the block that has closed in this tick adds to the evidence against right now of the whole service.
    pub(super) fn right_now_of_whole(&self, bet: usize) -> f64 {
        let of = |open: &Open| right_now(bet, &open.ages, &open.expected) / open.noise_of_whole;
        self.closed.as_ref().map_or(0.0, of)
    }

    /// Helios' noise: the greater of that at its cuts.
    pub(super) fn noise(&self) -> f64 {
        self.noise.iter().map(Noise::factor).fold(1.0, f64::max)
    }

    /// What Helios is like.
    pub(super) fn estimate(&self) -> AgeEstimate {
        let prior = reference::HISTORY_PRIOR_VOTES;
        let votes = self.history.cast() + prior;
        let later = std::array::from_fn(|cut| {
            let mean = (self.history.later_than(cut) + prior * (1.0 - CUTS[cut])) / votes;
            mean.max(wilson(self.lately.later_than(cut), self.lately.cast(), -reference::LATELY_Z))
        });
        AgeEstimate { later, votes }
    }

    /// Helios' shares later than each cut in these minutes.
    pub(super) fn expected(&self) -> Later {
        let prior = reference::BASE_PRIOR_VOTES;
        let votes = self.base.cast() + prior;
        std::array::from_fn(|cut| (self.base.later_than(cut) + prior * (1.0 - CUTS[cut])) / votes)
    }

    /// Helios' votes that are remembered.
    pub(super) fn votes(&self) -> f64 {
        self.history.cast()
    }

    fn fade(&mut self, now: Millis) {
        let Some(seconds) = reference::time_to_fade(&mut self.faded, now) else { return };
        self.history.fade(seconds, reference::HISTORY_HALF_LIFE_S, reference::HISTORY_KEPT);
        self.lately.fade(seconds, reference::LATELY_HALF_LIFE_S, 0.0);
        self.base.fade(seconds, reference::BASE_HALF_LIFE_S, reference::BASE_KEPT);
    }

    fn fill(&mut self, now: Millis, ages: &PerSide<Ages>, noise: f64, noise_of_whole: f64) -> Option<Open> {
        if self.open.is_none() {
            let (ages, expected) = (PerSide::default(), self.expected());
            self.open = Some(Open { since: now, ages, expected, noise, noise_of_whole });
        }
        let open = self.open.as_mut()?;
        open.ages.helios += ages.helios;
        open.ages.kubernetes += ages.kubernetes;
        let (helios, kubernetes) = (open.ages.helios.cast(), open.ages.kubernetes.cast());
        let both = helios > 0 && kubernetes > 0;
        let lonely = kubernetes == 0 && helios >= LONELY_VOTES && now.since(open.since) >= LONELY_AGE;
        if !both && !lonely {
            return None;
        }
        self.ended = open.ages.helios;
        self.open.take().filter(|_| both)
    }
}

impl Standing {
    pub(super) fn are_old(&self, now: Millis) -> bool {
        self.made.is_none_or(|made| now.since(made) >= BETS_STAND)
    }

    pub(super) fn renew(&mut self, now: Millis, estimate: &AgeEstimate) {
        *self = Self { made: Some(now), bound: estimate.bound()[MEDIAN], bets: AgeBets::against(estimate) };
    }

    /// When they were made.
    pub(super) fn made(&self) -> Option<Millis> {
        self.made
    }
}

/// The ages of a tick as votes on coming after the median: what is told of an episode.
pub(super) fn news(now: Millis, ages: &PerSide<Ages>, haste: f64) -> News {
    News { now, votes: ages.as_ref().map(|ages| ages.votes(MEDIAN)), hanging: 0, haste }
}

/// The cut by which the noise of the whole service is measured.
pub(super) const WHOLE_NOISE_CUT: usize = NOISE_CUTS[1];

/// The question that ages answer.
pub(super) const QUESTION: Question = Question::Slower;

impl Forgetting {
    fn fade(&mut self, seconds: f64, half_life_s: f64, kept: f64) {
        let cast = self.cast();
        if cast <= kept {
            return;
        }
        let share = (-seconds / half_life_s).exp2().max(kept / cast);
        for age in &mut self.ages {
            *age *= share;
        }
    }

    fn add(&mut self, ages: &Ages) {
        for (mine, theirs) in self.ages.iter_mut().zip(ages.0) {
            *mine += f64::from(theirs);
        }
    }

    fn cast(&self) -> f64 {
        self.ages.iter().sum()
    }

    fn later_than(&self, cut: usize) -> f64 {
        self.ages[cut + 1..].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(rng: &mut fastrand::Rng) -> Later {
        let mut later = [0.0; CLASSES - 1].map(|_: f64| rng.f64().powi(1 + i32::from(rng.bool())));
        later.sort_by(|a, b| b.total_cmp(a));
        later
    }

    /// A law that is nowhere later than another.
    fn no_later(than: &Later, rng: &mut fastrand::Rng) -> Later {
        let mut later = than.map(|share| share * (1.0 - rng.f64() * rng.f64()));
        for cut in 1..later.len() {
            later[cut] = later[cut].min(later[cut - 1]);
        }
        later
    }

    fn quantiles() -> Later {
        CUTS.map(|cut| 1.0 - cut)
    }

    /// The shares later than each cut under a law.
    fn later_of(shares: [f64; CLASSES]) -> Later {
        std::array::from_fn(|cut| shares[cut + 1..].iter().sum())
    }

    /// The share of each class, however rare.
    fn exact(later: &Later) -> [f64; CLASSES] {
        std::array::from_fn(|class| {
            let from = if class == 0 { 1.0 } else { later[class - 1] };
            from - later.get(class).copied().unwrap_or(0.0)
        })
    }

    #[test]
    fn evidence_against_history_has_mean_at_most_one_for_every_law_that_is_nowhere_later() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut worst: f64 = 0.0;
        for _ in 0..2_000 {
            let estimate = AgeEstimate { later: draw(&mut rng), votes: 1e9 };
            let bets = AgeBets::against(&estimate);
            let bound = later_of(shares(&estimate.bound()));
            for truth in [bound, no_later(&bound, &mut rng)] {
                for gains in bets.gains {
                    worst = worst.max(exact(&truth).iter().zip(gains).map(|(p, gain)| p * gain.exp()).sum());
                }
            }
        }
        assert!(worst <= 1.0 + 1e-9, "{worst}");
        assert!(worst > 0.999, "the bound is reached: {worst}");
    }

    /// Every way in which so many answers can fall into the classes, with its chance.
    fn results(answers: u32, law: &[f64; CLASSES]) -> Vec<(Ages, f64)> {
        let mut all = vec![(Ages::default(), 1.0, answers)];
        for (class, share) in law.iter().enumerate() {
            let last = class == CLASSES - 1;
            all = all
                .into_iter()
                .flat_map(|(ages, chance, left)| {
                    let mut weight = chance;
                    (0..=left).filter_map(move |count| {
                        // Multinomial, class by class: n! / (k₀! k₁! …) · p₀^k₀ p₁^k₁ …
                        if count > 0 {
                            weight *= share * f64::from(left - count + 1) / f64::from(count);
                        }
                        let mut ages = ages;
                        ages.0[class] = count;
                        (!last || count == left).then_some((ages, weight, left - count))
                    })
                })
                .collect();
        }
        all.into_iter().map(|(ages, chance, _)| (ages, chance)).collect()
    }

    /// The promise rests on this, as on its twin about shares. Exact, by enumeration of every result.
    #[test]
    fn evidence_against_right_now_has_mean_at_most_one_for_every_pair_of_which_kubernetes_is_nowhere_later() {
        let mut rng = fastrand::Rng::with_seed(12);
        let mut worst: f64 = 0.0;
        for (round, (n_h, n_k)) in
            [(1, 1), (1, 2), (2, 1), (3, 3), (1, 8), (8, 1), (1, 12), (12, 1), (4, 4), (2, 6)]
                .into_iter()
                .cycle()
                .take(60)
                .enumerate()
        {
            let expected = if round % 2 == 0 { quantiles() } else { draw(&mut rng) };
            let helios = if round % 3 == 0 { later_of(shares(&expected)) } else { draw(&mut rng) };
            let kubernetes = if round % 4 == 0 { helios } else { no_later(&helios, &mut rng) };
            let (of_helios, of_kubernetes) =
                (results(n_h, &exact(&helios)), results(n_k, &exact(&kubernetes)));
            for bet in 0..LADDER.len() {
                let mut mean = 0.0;
                for (helios, chance) in &of_helios {
                    for (kubernetes, of_both) in &of_kubernetes {
                        let ages = PerSide { helios: *helios, kubernetes: *kubernetes };
                        mean += chance * of_both * right_now(bet, &ages, &expected).exp();
                    }
                }
                worst = worst.max(mean);
            }
        }
        assert!(worst <= 1.0 + 1e-9, "{worst}");
        assert!(worst > 0.99, "the bound is reached: {worst}");
    }

    #[test]
    fn the_later_a_request_the_more_it_speaks_against_kubernetes() {
        let bets = AgeBets::against(&AgeEstimate { later: quantiles(), votes: 10_000.0 });
        for bet in 0..LADDER.len() {
            for class in 1..CLASSES {
                assert!(bets.gains[bet][class] >= bets.gains[bet][class - 1] - 1e-9, "{bet} {class}");
            }
        }
    }
}
