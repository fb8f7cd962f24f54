//! Made-up traffic on which nothing is to be found, straight as blocks of votes: weeks of it in seconds.
//!
//! A request is one draw from a table of everything that it can be: its stratum, its side, whether it fails,
//! and between which two ages its answer comes. So the votes of a request on different questions hang together
//! as those of real ones do. All votes of a request are cast in one tick. Ticks without requests are skipped by
//! drawing how many there are.
//!
//! The ages at which requests vote are not those of the true law: they are drawn as the quantiles of as many
//! answers as a watch remembers, and drawn anew when it would have forgotten those.

use switchback::model::{Millis, PerSide, Side};
use switchback::verdict::{Ages, Block, Question, Slower, Stratum, TICK_MS, Votes};

use crate::alias::Alias;
use crate::statistics::{draw_exponential, draw_gamma, draw_normal, normal, normal_quantile};
use crate::weather::{Weather, Whims};

/// The quantiles of Helios' answers that are cuts between ages; two cuts lie beyond the last, …
const QUANTILES: [f64; 5] = [0.25, 0.5, 0.75, 0.9, 0.99];
/// … at so many times its age.
const BEYOND: [f64; 2] = [1.5, 3.0];
const CUTS: usize = QUANTILES.len() + BEYOND.len();
const SLOWEST: usize = 4;
/// What a request of one stratum and side can be: to come between two cuts, and to succeed or to fail.
const FATES: usize = 2 * (CUTS + 1);

/// Answers that a watch remembers, and for how long.
const REMEMBERED: f64 = 2_000.0;
const REMEMBERED_S: f64 = 3_600.0;
/// How often it looks.
const LEARN_EVERY_S: f64 = 5.0;
/// Answers that the median takes, and the 99 % quantile.
const NEEDED: [f64; 2] = [20.0, 500.0];

pub(crate) const TICKS_A_SECOND: f64 = 1_000.0 / TICK_MS as f64;

/// What a service is like.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) per_second: f64,
    pub(crate) weight: f64,
    pub(crate) routes: Vec<Route>,
    /// How much of a day's swing there is.
    pub(crate) swing: f64,
}

/// What one of its strata is like.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) stratum: Stratum,
    /// Its part of a side's requests; they need not add up to one.
    pub(crate) share: PerSide<f64>,
    pub(crate) failing: PerSide<f64>,
    pub(crate) median_ms: f64,
    /// The standard deviation of the logarithm of latencies.
    pub(crate) spread: f64,
    /// Kubernetes' latencies are so many times as long.
    pub(crate) slower: f64,
}

/// A service's traffic over time.
pub(crate) struct Traffic {
    rng: fastrand::Rng,
    service: Service,
    ages: Vec<Learned>,
    whims: Whims,
    tick: u64,
    /// Nothing changes before this tick.
    steady_until: u64,
    end: u64,
    /// The mean number of requests in a tick.
    mean: f64,
    counts: Alias,
    fates: Alias,
    tally: Vec<[u32; FATES]>,
    chances: Vec<f64>,
}

/// The ages at which one stratum's requests vote, and how many answers they are known from.
#[derive(Clone, Debug)]
struct Learned {
    ms: [f64; CUTS],
    answers: f64,
    fresh_until: u64,
}

impl Traffic {
    /// The traffic of a service for so many ticks.
    pub(crate) fn new(service: Service, whims: Whims, ticks: u64, mut rng: fastrand::Rng) -> Self {
        let learned = Learned { ms: [0.0; CUTS], answers: 0.0, fresh_until: 0 };
        Self {
            ages: vec![learned; service.routes.len()],
            tally: vec![[0; FATES]; 2 * service.routes.len()],
            rng: rng.fork(),
            service,
            whims,
            tick: 0,
            steady_until: 0,
            end: ticks,
            mean: 0.0,
            counts: Alias::default(),
            fates: Alias::default(),
            chances: Vec::new(),
        }
    }

    /// Fills in the next block that is not empty, and tells its time. `None` at the end.
    pub(crate) fn next(&mut self, block: &mut Block) -> Option<Millis> {
        loop {
            if self.tick >= self.steady_until {
                if self.tick >= self.end {
                    return None;
                }
                self.change();
            }
            // Empty ticks before the next that is not: geometrically distributed.
            let empty = draw_exponential(&mut self.rng, 1.0 / self.mean).floor();
            if empty >= (self.steady_until - self.tick) as f64 {
                self.tick = self.steady_until;
                continue;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "less than what is left"
            )]
            let empty = empty as u64;
            self.tick += empty + 1;
            for _ in 0..=self.counts.draw(&mut self.rng) {
                let fate = self.fates.draw(&mut self.rng);
                self.tally[fate / FATES][fate % FATES] += 1;
            }
            self.fill(block);
            return Some(Millis(self.tick * TICK_MS));
        }
    }

    /// How many ticks have passed.
    pub(crate) fn ticks(&self) -> u64 {
        self.tick.min(self.end)
    }

    /// Draws up the tables for what holds from this tick on.
    fn change(&mut self) {
        let (weather, mut until) = self.whims.at(self.tick);
        let hours = self.tick as f64 / TICKS_A_SECOND / 3_600.0;
        let swing = 1.0 + self.service.swing * (hours / 24.0 * std::f64::consts::TAU).sin();
        let mean = self.service.per_second * swing * weather.load / TICKS_A_SECOND;
        // Noon is not midnight, but ten minutes of it are alike.
        until = until.min((self.tick / 6_000 + 1) * 6_000).min(self.end);
        if (mean - self.mean).abs() > 1e-9 * mean {
            self.mean = mean;
            self.counts.set(&truncated_poisson(mean));
        }
        for (route, ages) in self.service.routes.iter().zip(&mut self.ages) {
            if ages.fresh_until <= self.tick {
                let per_second = route.share.helios / total(&self.service.routes, Side::Helios)
                    * self.service.per_second
                    * (1.0 - self.service.weight);
                ages.learn(route, per_second, weather.sides.helios.slower, self.tick, &mut self.rng);
            }
            until = until.min(ages.fresh_until);
        }
        self.steady_until = until.max(self.tick + 1);
        self.lay_out(&weather);
    }

    /// The chance of everything that a request can be.
    fn lay_out(&mut self, weather: &Weather) {
        self.chances.clear();
        let Service { routes, weight, .. } = &self.service;
        for (place, (route, ages)) in routes.iter().zip(&self.ages).enumerate() {
            for side in Side::ALL {
                let dealt = if side == Side::Kubernetes { *weight } else { 1.0 - weight };
                let mixed = if place % 2 == 1 { weather.mix } else { 1.0 };
                let share = dealt * route.share[side] * mixed / total(routes, side);
                let of_side = &weather.sides[side];
                let fails = 1.0 - (1.0 - route.failing[side]) * (1.0 - of_side.fails);
                let answered = share * (1.0 - of_side.refuses);
                let mut before = 1.0;
                let later: [f64; CUTS] = std::array::from_fn(|cut| {
                    let ms = route.later(side, ages.ms[cut], of_side.slower);
                    let waited = route.later(side, ages.ms[cut] - of_side.waits_ms, of_side.slower);
                    ms + of_side.waiting * (waited - ms)
                });
                for cut in 0..=CUTS {
                    let after = later.get(cut).copied().unwrap_or(0.0);
                    let within = (std::mem::replace(&mut before, after) - after).max(0.0);
                    let refused = if cut == 0 { share * of_side.refuses } else { 0.0 };
                    self.chances.push(answered * (1.0 - fails) * within);
                    self.chances.push(answered * fails * within + refused);
                }
            }
        }
        self.fates.set(&self.chances);
    }

    /// Moves what was counted into a block.
    fn fill(&mut self, block: &mut Block) {
        block.clear();
        for (place, route) in self.service.routes.iter().enumerate() {
            for side in Side::ALL {
                let fates = std::mem::take(&mut self.tally[2 * place + side as usize]);
                if fates == [0; FATES] {
                    continue;
                }
                let part = block.part(route.stratum);
                part.asked[side] += fates.iter().sum::<u32>();
                let answers = self.ages[place].answers;
                for question in Question::SHARES {
                    part.votes[side][question] += votes(question, &fates, answers);
                }
                if answers >= NEEDED[1] {
                    part.ages[side] += ages(&fates);
                }
            }
        }
    }
}

impl Route {
    /// The share of a side's answers that take longer than Helios' age, or what is tolerated of it.
    fn later(&self, side: Side, ms: f64, times: f64) -> f64 {
        let Slower { ratio, add } = Slower::default();
        let (ms, times) = match side {
            Side::Helios => (ms, times),
            Side::Kubernetes => ((ms * ratio).max(ms + add.as_secs_f64() * 1e3), times * self.slower),
        };
        if ms <= 0.0 { 1.0 } else { normal(-(ms / (self.median_ms * times)).ln() / self.spread) }
    }
}

impl Learned {
    /// Draws the quantiles of as many answers of Helios as are remembered, as sums of the gaps between them.
    fn learn(&mut self, route: &Route, per_second: f64, times: f64, tick: u64, rng: &mut fastrand::Rng) {
        self.answers = (per_second * REMEMBERED_S).min(REMEMBERED).floor();
        let lasts_s = (self.answers / per_second).max(LEARN_EVERY_S);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour at most")]
        let lasts = (lasts_s * TICKS_A_SECOND) as u64;
        self.fresh_until = tick + lasts;
        let mut before = 0.0;
        let sums: [f64; QUANTILES.len()] = std::array::from_fn(|place| {
            let gaps = (QUANTILES[place] - if place > 0 { QUANTILES[place - 1] } else { 0.0 }) * self.answers;
            before += draw_gamma(rng, gaps.max(1.0));
            before
        });
        let all = before + draw_gamma(rng, (1.0 - QUANTILES[SLOWEST]) * self.answers + 1.0);
        for (cut, ms) in self.ms.iter_mut().enumerate() {
            let (place, beyond) = match cut.checked_sub(QUANTILES.len()) {
                Some(place) => (SLOWEST, BEYOND[place]),
                None => (cut, 1.0),
            };
            let deviations = normal_quantile(sums[place] / all);
            *ms = route.median_ms * times * (route.spread * deviations).exp() * beyond;
        }
    }
}

/// The votes on a question.
fn votes(question: Question, fates: &[u32; FATES], answers: f64) -> Votes {
    let sum = |from: usize, outcome: usize| fates[2 * from + outcome..].iter().step_by(2).sum::<u32>();
    let (cut, needed) = match question {
        Question::Failure => return Votes { cast: fates.iter().sum(), bad: sum(0, 1) },
        Question::Stall => return Votes { cast: fates.iter().sum(), bad: 0 },
        Question::Slow50 => (1, NEEDED[0]),
        Question::Slow99 => (SLOWEST, NEEDED[1]),
        Question::Far => (SLOWEST + 1, NEEDED[1]),
        Question::Farther => (SLOWEST + 2, NEEDED[1]),
        Question::Slower => return Votes::default(),
    };
    if answers < needed {
        return Votes::default();
    }
    // Who failed before an age says nothing about it.
    let (good, failed) = (sum(cut + 1, 0), sum(cut + 1, 1));
    Votes { cast: sum(0, 0) + failed, bad: good + failed }
}

fn ages(fates: &[u32; FATES]) -> Ages {
    let mut ages = Ages::default();
    for cut in 0..=SLOWEST {
        ages.0[cut] = fates[2 * cut];
    }
    ages.0[SLOWEST + 1] = fates[2 * (SLOWEST + 1)..].iter().sum();
    ages
}

/// The chances of 1, 2, 3 … requests in a tick that has any.
fn truncated_poisson(mean: f64) -> Vec<f64> {
    let most = mean + 10.0 * mean.sqrt() + 12.0;
    let mut log = -mean;
    let chances = (1_u32..).take_while(|count| f64::from(*count) <= most).map(|count| {
        log += (mean / f64::from(count)).ln();
        log.exp()
    });
    chances.collect()
}

fn total(routes: &[Route], side: Side) -> f64 {
    routes.iter().map(|route| route.share[side]).sum()
}

impl Service {
    /// A service as there may be one: requests a second and weight from the whole range, and a Kubernetes that is
    /// as good as Helios, better, or worse by less than is tolerated.
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let per_second = 10_f64.powf(rng.f64() * 4.0 - 1.0);
        // Even in its odds, from 1 to 99 %.
        let odds = 99_f64.powf(2.0 * rng.f64() - 1.0);
        let count = rng.usize(1..=8);
        let mut shares: Vec<f64> = (0..count).map(|_| draw_normal(rng).exp()).collect();
        let all: f64 = shares.iter().sum();
        // Who has too few requests has no stratum of its own.
        shares.retain(|share| share / all * per_second >= 1.0);
        let own: f64 = shares.iter().sum();
        let mut routes = Vec::new();
        if own < all * 0.999 {
            routes.push(Route::draw(Stratum::OTHER, all - own, rng));
        }
        for (place, share) in shares.into_iter().enumerate() {
            routes.extend(Stratum::at(place + 1).map(|stratum| Route::draw(stratum, share, rng)));
        }
        Self { per_second, weight: odds / (1.0 + odds), routes, swing: 0.0 }
    }
}

impl Route {
    fn draw(stratum: Stratum, share: f64, rng: &mut fastrand::Rng) -> Self {
        let helios = 10_f64.powf(rng.f64() * 2.5 - 4.5);
        let most = 1.2 * helios + 0.0005;
        let (failing, slower) = match rng.u32(0..4) {
            0 | 1 => (helios, 1.0),
            2 => (helios * rng.f64(), 0.7 + 0.3 * rng.f64()),
            _ => (helios + (most - helios) * rng.f64(), 1.0 + 0.15 * rng.f64()),
        };
        Self {
            stratum,
            share: PerSide { helios: share, kubernetes: share },
            failing: PerSide { helios, kubernetes: failing },
            median_ms: 3.0 * 100_f64.powf(rng.f64()),
            spread: 0.3 + 0.6 * rng.f64(),
            slower,
        }
    }
}
