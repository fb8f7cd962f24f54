use crate::model::Millis;

use super::block::Votes;

/// How much more Kubernetes' bad votes differ from one second to the next than those of a steady rate would.
///
/// An endpoint that restarts each minute makes clumps that Helios' noise does not show. Only differences count (the
/// ratio of J. von Neumann, *Annals of Mathematical Statistics* 12, 1941), so a rate that has risen and stays is no
/// unrest, and only what is over for a while, so trouble that has just begun does not hide itself. It is read before
/// a tick, as noise is, so evidence that is divided by it stays valid.
#[derive(Clone, Debug, Default)]
pub(super) struct Unrest {
    window: Option<Window>,
    /// The window that the next one is compared with.
    before: Option<Window>,
    filling: Sums,
    since: Option<Millis>,
    /// What waits until it counts.
    resting: Sums,
    counted: Sums,
    rests: u32,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Millis,
    cast: f64,
    bad: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    seen: f64,
    plain: f64,
}

const WINDOW: Millis = Millis(1_000);
/// Pairs of windows are gathered for so long, and rest for as long again before they count: longer than what is
/// urgent takes to be found.
const REST: Millis = Millis(30_000);
const HALF_LIFE_S: f64 = 1_200.0;
/// Weight of the belief that there is none, in units of variance.
const PRIOR: f64 = 5.0;
/// The judge is never slower by more than this.
const MOST: f64 = 2.0;
/// What it is taken to be …
const UNKNOWN: f64 = 1.5;
/// … before so many gatherings, a minute and a half: the first restarts of a noisy service are no finding either.
const KNOWN_AFTER: u32 = 3;

impl Unrest {
    /// Adds Kubernetes' votes of a tick.
    pub(super) fn learn(&mut self, now: Millis, votes: Votes) {
        if let Some(window) = self.window.take_if(|window| now.since(window.since) >= WINDOW) {
            match self.before.take() {
                Some(before) => self.filling.add(before, window),
                None => self.before = Some(window),
            }
        }
        if votes.cast > 0 {
            let window = self.window.get_or_insert(Window { since: now, cast: 0.0, bad: 0.0 });
            window.cast += f64::from(votes.cast);
            window.bad += f64::from(votes.bad);
        }
        let since = *self.since.get_or_insert(now);
        if now.since(since) >= REST {
            self.since = Some(now);
            let keep = (-now.since(since).seconds() / HALF_LIFE_S).exp2();
            let resting = std::mem::replace(&mut self.resting, std::mem::take(&mut self.filling));
            self.counted.seen = self.counted.seen * keep + resting.seen;
            self.counted.plain = self.counted.plain * keep + resting.plain;
            self.rests = self.rests.saturating_add(1);
        }
    }

    /// 1 or more.
    pub(super) fn factor(&self) -> f64 {
        let least = if self.rests < KNOWN_AFTER { UNKNOWN } else { 1.0 };
        ((self.counted.seen + PRIOR) / (self.counted.plain + PRIOR)).clamp(least, MOST)
    }
}

impl Sums {
    fn add(&mut self, a: Window, b: Window) {
        let cast = a.cast + b.cast;
        let rate = (a.bad + b.bad) / cast;
        self.seen += (a.bad * b.cast - b.bad * a.cast).powi(2) / (a.cast * b.cast);
        self.plain += cast * cast / (cast - 1.0) * rate * (1.0 - rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, mut bad: impl FnMut(u64) -> u32) -> f64 {
        let mut unrest = Unrest::default();
        for second in 0..seconds {
            for tick in 0..10 {
                let bad = if tick == 0 { bad(second) } else { 0 };
                unrest.learn(Millis(second * 1_000 + tick * 100), Votes { cast: 10, bad });
            }
        }
        unrest.factor()
    }

    fn drawn(rng: &mut fastrand::Rng, share: f64) -> u32 {
        (0..100).map(|_| u32::from(rng.f64() < share)).sum()
    }

    #[test]
    fn a_rate_that_has_risen_and_stays_is_none() {
        for (seed, share) in [(1, 0.01), (2, 0.1), (3, 0.5)] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let factor = after(600, |second| drawn(&mut rng, if second < 300 { 0.001 } else { share }));
            assert!(factor < 1.35, "{share}: {factor}");
        }
    }

    #[test]
    fn restarts_each_minute_are() {
        let mut rng = fastrand::Rng::with_seed(4);
        let factor = after(600, |second| if second % 60 == 7 { 8 } else { drawn(&mut rng, 0.001) });
        assert!((factor - MOST).abs() < 1e-9, "{factor}");
    }

    #[test]
    fn what_has_just_begun_does_not_count() {
        let factor = after(330, |second| if second >= 300 { 30 * u32::from(second % 2 == 0) } else { 0 });
        assert!((factor - 1.0).abs() < 1e-9, "{factor}");
    }
}
