use std::collections::BTreeMap;

use crate::model::{Micros, Millis, PerSide};
use crate::verdict::{Latency, Standing};

use super::hearing::Decision;
use super::svg;
use super::trace::Request;

/// A trace second by second, to be drawn. A long one is drawn by twice as many seconds, and twice as many again,
/// so that the picture of a month is no larger than that of an hour.
#[derive(Debug, Default)]
pub struct Picture {
    /// When the first bin begins: a whole second.
    pub(super) from: Option<Micros>,
    /// Each bin covers so many seconds: a power of two.
    seconds: Seconds,
    pub(super) bins: Vec<Bin>,
    pub(super) decisions: Vec<Decision>,
}

/// What happened in one bin.
#[derive(Clone, Debug, Default)]
pub(super) struct Bin {
    pub(super) sides: PerSide<SideBin>,
    /// The most evidence that there was, 0 to 1; `None` if it was not asked for.
    pub(super) evidence: Option<f64>,
    /// There was enough of it, but Helios was degraded too.
    pub(super) is_shared: bool,
}

/// What one side did in one bin.
#[derive(Clone, Debug, Default)]
pub(super) struct SideBin {
    pub(super) asked: u64,
    pub(super) failed: u64,
    answers: BTreeMap<Latency, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Seconds(u64);

impl Default for Seconds {
    fn default() -> Self {
        Self(1)
    }
}

/// More points than this are not seen on a screen.
const MOST_BINS: usize = 1_000;
const SECOND: u64 = 1_000_000;

impl Picture {
    /// Takes in a request, which comes no earlier than the first.
    pub fn add(&mut self, request: &Request) {
        let side = &mut self.bin(request.start).sides[request.side];
        side.asked += 1;
        side.failed += u64::from(request.failed);
        if let Some(latency) = request.latency.filter(|_| !request.failed) {
            *side.answers.entry(Latency::of(latency)).or_default() += 1;
        }
    }

    /// Takes in what there was to say at the end of a tick.
    pub fn judge(&mut self, at: Millis, standing: &Standing) {
        self.note(at, standing.evidence).is_shared |= standing.shared;
    }

    /// Takes in a decision.
    pub fn decide(&mut self, decision: &Decision) {
        self.note(decision.finding.at, 1.0);
        self.decisions.push(decision.clone());
    }

    /// The picture as an SVG file.
    pub fn draw(&self, title: &str) -> String {
        svg::draw(self, title)
    }

    /// The seconds that a bin covers.
    pub(super) fn bin_s(&self) -> u64 {
        self.seconds.0
    }

    fn note(&mut self, at: Millis, evidence: f64) -> &mut Bin {
        let bin = self.bin(Micros(at.0 * 1_000));
        bin.evidence = Some(bin.evidence.map_or(evidence, |most| most.max(evidence)));
        bin
    }

    fn bin(&mut self, at: Micros) -> &mut Bin {
        let from = *self.from.get_or_insert(Micros(at.0 - at.0 % SECOND));
        let second = usize::try_from(at.since(from).0 / SECOND).unwrap_or(usize::MAX);
        let mut place = second / self.seconds.of();
        while place >= MOST_BINS {
            self.halve();
            place = second / self.seconds.of();
        }
        if self.bins.len() <= place {
            self.bins.resize_with(place + 1, Bin::default);
        }
        &mut self.bins[place]
    }

    /// Makes one bin of two.
    fn halve(&mut self) {
        self.seconds.0 *= 2;
        let mut bins = std::mem::take(&mut self.bins).into_iter();
        while let Some(mut bin) = bins.next() {
            if let Some(next) = bins.next() {
                bin.merge(next);
            }
            self.bins.push(bin);
        }
    }
}

impl Seconds {
    fn of(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Bin {
    fn merge(&mut self, next: Bin) {
        let Bin { sides: PerSide { helios, kubernetes }, evidence, is_shared } = next;
        self.is_shared |= is_shared;
        self.sides.helios.merge(helios);
        self.sides.kubernetes.merge(kubernetes);
        self.evidence = match (self.evidence, evidence) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
}

impl SideBin {
    fn merge(&mut self, next: SideBin) {
        self.asked += next.asked;
        self.failed += next.failed;
        for (latency, count) in next.answers {
            *self.answers.entry(latency).or_default() += count;
        }
    }

    /// This share of the answers took at most so many milliseconds; `None` without answers.
    pub(super) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let count: u64 = self.answers.values().sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let rank = ((share * count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.answers.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        found.map(|(latency, _)| latency.longest().0 as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Side;

    fn request(second: u64, ms: u64) -> Request {
        Request {
            start: Micros(second * SECOND),
            side: Side::Kubernetes,
            failed: ms == 0,
            latency: Some(Micros(ms * 1_000)),
            route: 0,
        }
    }

    #[test]
    fn a_long_trace_has_no_more_bins_than_a_short_one_and_loses_nothing() {
        let mut picture = Picture::default();
        for second in 100..10_100 {
            picture.add(&request(second, second % 2));
            picture.note(Millis(second * 1_000), if second == 5_000 { 0.5 } else { 0.1 });
        }
        assert_eq!((picture.bin_s(), picture.bins.len()), (16, 625));
        let sums = picture.bins.iter().fold((0, 0), |(asked, failed), bin| {
            let side = &bin.sides.kubernetes;
            (asked + side.asked, failed + side.failed)
        });
        assert_eq!(sums, (10_000, 5_000));
        let most = picture.bins.iter().filter_map(|bin| bin.evidence).fold(0.0, f64::max);
        assert!((most - 0.5).abs() < 1e-9);
        picture.add(&request(1 << 40, 1));
        assert!(picture.bins.len() <= MOST_BINS);
    }

    #[test]
    fn quantiles_are_of_answers_alone() {
        let mut picture = Picture::default();
        for ms in 0..=100 {
            picture.add(&request(7, ms));
        }
        let side = &picture.bins[0].sides.kubernetes;
        for (share, ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let told = side.quantile_ms(share).unwrap();
            assert!((told / ms - 1.0).abs() < 0.01, "{share}: {told}");
        }
        assert_eq!(picture.bins[0].sides.helios.quantile_ms(0.5), None);
    }
}
