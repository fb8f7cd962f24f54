use std::ops::{AddAssign, Sub};

use crate::model::{PerSide, Side};

use super::ages::{Ages, MEDIAN};
use super::question::{PerQuestion, Question};

/// A group of a service's requests whose two sides are compared with each other: those of one route, or all
/// that have no group of their own. Like is compared with like, so that a shift of the mix of routes is harmless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stratum(u8);

/// Votes on one question: how many were cast, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Votes cast.
    pub cast: u32,
    /// Bad ones among them.
    pub bad: u32,
}

/// What all workers counted for one service in one tick.
///
/// Blocks add up: the sum over workers is the process', the sum over processes is the fleet's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// In the order of their strata; those in which nothing happened may be missing.
    parts: Vec<(Stratum, Part)>,
}

/// One stratum's part of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Requests that were dealt to each side, whether or not they have voted yet.
    pub asked: PerSide<u32>,
    /// The votes cast on each side.
    pub votes: PerSide<PerQuestion<Votes>>,
    /// The ages of each side's answers.
    pub ages: PerSide<Ages>,
    /// Requests that have stalled, and voted so, and still have no answer at the end of the tick.
    pub hanging: PerSide<u32>,
}

impl Stratum {
    /// All that have no stratum of their own.
    pub const OTHER: Stratum = Stratum(0);

    /// The most strata that a service has beside [`Stratum::OTHER`].
    pub const MOST_ROUTES: usize = 32;

    /// Every stratum of a service with the most routes.
    pub const MOST: usize = Self::MOST_ROUTES + 1;

    /// The stratum with this place: 0 is [`Stratum::OTHER`]. `None` past the bound.
    pub fn at(place: usize) -> Option<Self> {
        u8::try_from(place).ok().filter(|_| place < Self::MOST).map(Self)
    }

    /// The stratum's place.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl Votes {
    /// Adds one vote.
    pub fn cast(&mut self, bad: bool) {
        self.cast += 1;
        self.bad += u32::from(bad);
    }
}

impl AddAssign for Votes {
    fn add_assign(&mut self, other: Self) {
        self.cast = self.cast.saturating_add(other.cast);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

impl Part {
    /// A side's votes on a question, as people count them: those on ages by whether they came later than the median.
    pub fn votes_on(&self, question: Question, side: Side) -> Votes {
        match question {
            Question::Slower => self.ages[side].votes(MEDIAN),
            _ => self.votes[side][question],
        }
    }

    /// Whether nothing was asked, nobody voted and nobody hangs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign<&Part> for Part {
    fn add_assign(&mut self, other: &Part) {
        for side in Side::ALL {
            self.asked[side] = self.asked[side].saturating_add(other.asked[side]);
            self.hanging[side] = self.hanging[side].saturating_add(other.hanging[side]);
            for (mine, theirs) in self.votes[side].0.iter_mut().zip(other.votes[side].0) {
                *mine += theirs;
            }
            self.ages[side] += other.ages[side];
        }
    }
}

impl Block {
    /// The part of this stratum, which is made if it is not there.
    pub fn part(&mut self, stratum: Stratum) -> &mut Part {
        let place = match self.parts.binary_search_by_key(&stratum, |(at, _)| *at) {
            Ok(place) => place,
            Err(place) => {
                self.parts.insert(place, (stratum, Part::default()));
                place
            }
        };
        &mut self.parts[place].1
    }

    /// The parts, in the order of their strata.
    pub fn parts(&self) -> impl Iterator<Item = (Stratum, &Part)> + Clone {
        self.parts.iter().map(|(stratum, part)| (*stratum, part))
    }

    /// All parts together.
    pub fn whole(&self) -> Part {
        let mut whole = Part::default();
        for (_, part) in self.parts() {
            whole += part;
        }
        whole
    }

    /// Whether nothing was asked, nobody voted and nobody hangs.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|(_, part)| part.is_empty())
    }

    /// Takes out what hangs: who adds blocks of the same source up counts it by itself.
    pub fn forget_hanging(&mut self) {
        for (_, part) in &mut self.parts {
            part.hanging = PerSide::default();
        }
    }

    /// Empties the block, and keeps its memory.
    pub fn clear(&mut self) {
        self.parts.clear();
    }
}

impl AddAssign<&Block> for Block {
    fn add_assign(&mut self, other: &Block) {
        for (stratum, part) in other.parts() {
            *self.part(stratum) += part;
        }
    }
}

/// Votes of both sides counted over a longer time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Votes cast.
    pub cast: PerSide<u64>,
    /// Bad ones among them.
    pub bad: PerSide<u64>,
}

impl AddAssign<PerSide<Votes>> for Counts {
    fn add_assign(&mut self, votes: PerSide<Votes>) {
        for (side, votes) in votes.iter() {
            self.cast[side] += u64::from(votes.cast);
            self.bad[side] += u64::from(votes.bad);
        }
    }
}

impl Sub for Counts {
    type Output = Counts;

    fn sub(self, earlier: Self) -> Counts {
        Counts {
            cast: PerSide::from_fn(|side| self.cast[side] - earlier.cast[side]),
            bad: PerSide::from_fn(|side| self.bad[side] - earlier.bad[side]),
        }
    }
}
