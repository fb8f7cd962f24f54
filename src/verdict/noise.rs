use crate::model::Millis;

use super::block::Votes;

/// How much more Helios' bad votes vary from second to second than independent ones would.
///
/// Garbage collections and restarts make failures come in clumps on both sides, and the clumps of the two
/// sides need not coincide. Evidence is divided by this factor: with E[e^x] ≤ 1 and φ ≥ 1, E[e^(x/φ)] ≤ 1
/// too (Jensen), so it is valid for any φ read before the tick; with independent votes φ is 1 and nothing
/// is lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Noise {
    window: Option<Window>,
    seen: f64,
    plain: f64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Millis,
    cast: f64,
    bad: f64,
    expected: f64,
}

/// Long enough for a pause to fall into one window, short enough that several windows show it.
const WINDOW: Millis = Millis(1_000);
const HALF_LIFE_S: f64 = 600.0;
/// How much a single window may count, in units of what is expected of it: one outage is not noise.
const WORST_WINDOW: f64 = 25.0;
const WORST_WINDOW_LEAST: f64 = 4.0;
/// Weight of the belief that Helios is as quiet as independent votes, in units of variance.
const PRIOR: f64 = 5.0;

impl Noise {
    /// Adds Helios' votes of a tick, of which `expected` were expected to be bad.
    pub(super) fn learn(&mut self, now: Millis, votes: Votes, expected: f64) {
        if let Some(window) = self.window.take_if(|window| now.since(window.since) >= WINDOW) {
            self.close(window, now.since(window.since).seconds());
        }
        if votes.cast > 0 {
            let cast = f64::from(votes.cast);
            let window = self.window.get_or_insert(Window { since: now, cast: 0.0, bad: 0.0, expected: 0.0 });
            window.cast += cast;
            window.bad += f64::from(votes.bad);
            window.expected += expected;
        }
    }

    /// φ: 1 or more.
    pub(super) fn factor(&self) -> f64 {
        ((self.seen + PRIOR) / (self.plain + PRIOR)).max(1.0)
    }

    fn close(&mut self, window: Window, seconds: f64) {
        let keep = (-seconds / HALF_LIFE_S).exp2();
        let variance = window.expected * (1.0 - window.expected / window.cast);
        let surprise = (window.bad - window.expected).powi(2);
        self.seen = self.seen * keep + surprise.min((WORST_WINDOW * variance).max(WORST_WINDOW_LEAST));
        self.plain = self.plain * keep + variance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, mut bad: impl FnMut(u64) -> u32) -> f64 {
        let mut noise = Noise::default();
        for second in 0..seconds {
            for tick in 0..10 {
                let bad = if tick == 0 { bad(second) } else { 0 };
                noise.learn(Millis(second * 1_000 + tick * 100), Votes { cast: 10, bad }, 0.1);
            }
        }
        noise.factor()
    }

    #[test]
    fn independent_votes_are_not_noise() {
        let mut rng = fastrand::Rng::with_seed(4);
        let factor = after(1_200, |_| (0..100).map(|_| u32::from(rng.f64() < 0.01)).sum());
        assert!(factor < 1.15, "{factor}");
    }

    #[test]
    fn votes_that_come_in_clumps_are() {
        let factor = after(1_200, |second| if second % 10 == 0 { 10 } else { 0 });
        assert!(factor > 3.0, "{factor}");
    }
}
