use super::block::Votes;
use super::question::Question;
use super::reference::MUTE;

/// How strongly Kubernetes' votes on one question speak *against* its being worse, since a moment that somebody chose:
/// when a ramp took its last step.
///
/// Silence is no proof: a judge that has found nothing may have had too little to find. So the opposite is put to the test.
/// That Kubernetes is worse is said to mean: the odds of a bad vote are [`RULED_OUT`] times those that are tolerated.
/// Against that, each vote is weighed with the odds that Helios has. If Kubernetes is that much worse, the exponential of
/// the sum has mean at most 1 at every moment, so it ever reaches 1/α with a chance of at most α (J. Ville, 1939): the
/// judge may look after every vote, and its certainty is 1 − α. Clumps of votes count as on the other side of the
/// question: divided by Helios' noise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assurance {
    nats: f64,
    votes: u64,
    weighed: Option<Weighed>,
}

/// What a vote counts, for one tolerated share and one share of Helios.
#[derive(Clone, Copy, Debug)]
struct Weighed {
    bound: f64,
    expected: f64,
    bad: f64,
    good: f64,
}

/// What the judge makes of Kubernetes since a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assured {
    /// The question of which it is least sure.
    pub question: Question,
    /// How strongly what was seen speaks against Kubernetes being worse, in nats: it is not, with certainty 1 − e^−nats.
    pub nats: f64,
    /// How much of it comes in a second at the present rate, if Kubernetes is as good as Helios.
    pub nats_per_second: f64,
}

/// How many times the tolerated odds Kubernetes would have if it were worse. More is ruled out sooner; less than this
/// the judge itself takes long to see.
const RULED_OUT: f64 = 2.5;
/// The same for the median: nearly half of all votes are bad ones anyway.
const RULED_OUT_AT_MEDIAN: f64 = 1.5;

/// What has moved by less than this is weighed as before: logarithms cost more than counting.
const MOVED: f64 = 0.02;

/// No share is less than this: of one that has never failed nobody knows that it never will.
const LEAST: f64 = 1e-6;

impl Assurance {
    /// Weighs Kubernetes' votes of one tick. `bound` is the tolerated share of bad votes and `expected` that of Helios, both
    /// as known before.
    pub(super) fn observe(
        &mut self,
        question: Question,
        votes: Votes,
        (bound, expected): (f64, f64),
        noise: f64,
    ) {
        if votes.cast == 0 || bound >= MUTE {
            return;
        }
        let weighed = match self.weighed {
            Some(weighed) if weighed.holds(bound, expected) => weighed,
            Some(_) | None => Weighed::of(question, bound, expected),
        };
        self.weighed = Some(weighed);
        self.votes += u64::from(votes.cast);
        let good = f64::from(votes.cast - votes.bad);
        self.nats += (f64::from(votes.bad) * weighed.bad + good * weighed.good) / noise;
    }

    /// In nats.
    pub(super) fn nats(&self) -> f64 {
        self.nats
    }

    /// Votes of Kubernetes that were weighed.
    pub(super) fn votes(&self) -> u64 {
        self.votes
    }

    /// What a vote adds on average if Kubernetes is as good as Helios, in nats.
    pub(super) fn growth(&self, noise: f64) -> f64 {
        let of = |weighed: Weighed| weighed.expected * weighed.bad + (1.0 - weighed.expected) * weighed.good;
        self.weighed.map_or(0.0, of) / noise
    }
}

impl Weighed {
    fn of(question: Question, bound: f64, expected: f64) -> Self {
        let times = if question == Question::Slow50 { RULED_OUT_AT_MEDIAN } else { RULED_OUT };
        let odds = times * bound / (1.0 - bound);
        let worse = odds / (1.0 + odds);
        // A Helios that is itself above what is tolerated a moment later is no alternative to it.
        let alternative = expected.clamp(LEAST, bound.max(LEAST));
        let (bad, good) = ((alternative / worse).ln(), ((1.0 - alternative) / (1.0 - worse)).ln());
        Self { bound, expected: alternative, bad, good }
    }

    fn holds(&self, bound: f64, expected: f64) -> bool {
        let near = |one: f64, other: f64| (one - other).abs() <= MOVED * other.max(LEAST);
        near(self.bound, bound) && near(self.expected, expected.clamp(LEAST, bound.max(LEAST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: f64 = 0.0017;
    const HELIOS: f64 = 0.001;

    fn votes(rng: &mut fastrand::Rng, cast: u32, share: f64) -> Votes {
        Votes { cast, bad: (0..cast).map(|_| u32::from(rng.f64() < share)).sum() }
    }

    #[test]
    fn a_side_that_is_worse_passes_as_rarely_as_its_certainty_says() {
        let worse = RULED_OUT * BOUND / (1.0 - BOUND + RULED_OUT * BOUND);
        let mut passed = 0;
        for seed in 0..2_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut assurance = Assurance::default();
            // Looked at after every tick.
            passed += u32::from((0..400).any(|_| {
                let votes = votes(&mut rng, 50, worse);
                assurance.observe(Question::Failure, votes, (BOUND, HELIOS), 1.0);
                assurance.nats() >= -(0.05_f64).ln()
            }));
        }
        // 100 are allowed on average: by chance hardly ever more than 130.
        assert!(passed <= 130, "{passed} of 2000 at 95 %");
    }

    #[test]
    fn a_side_like_helios_passes_after_about_as_many_votes_as_is_told() {
        let mut rng = fastrand::Rng::with_seed(7);
        let needed = -(0.01_f64).ln();
        let mut after = Vec::new();
        for _ in 0..50 {
            let mut assurance = Assurance::default();
            while assurance.nats() < needed {
                let votes = votes(&mut rng, 50, HELIOS);
                assurance.observe(Question::Failure, votes, (BOUND, HELIOS), 1.0);
            }
            after.push(assurance.votes() as f64 * assurance.growth(1.0) / needed);
        }
        let mean = after.iter().sum::<f64>() / 50.0;
        assert!((0.8..1.3).contains(&mean), "{mean} times what was told");
    }

    #[test]
    fn clumps_count_less_and_where_helios_is_down_nothing_counts() {
        let with = |noise| {
            let mut assurance = Assurance::default();
            assurance.observe(Question::Failure, Votes { cast: 1_000, bad: 0 }, (BOUND, HELIOS), noise);
            assurance.nats()
        };
        assert!((with(1.0) / with(4.0) - 4.0).abs() < 1e-9);
        let mut mute = Assurance::default();
        mute.observe(Question::Failure, Votes { cast: 1_000, bad: 0 }, (0.97, 0.9), 1.0);
        assert_eq!((mute.votes(), mute.nats().to_bits()), (0, 0));
    }
}
