use std::ops::{AddAssign, Sub};

use crate::model::PerSide;

use super::question::PerQuestion;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Requests that were dealt to each side, whether or not they have voted yet.
    pub asked: PerSide<u32>,
    /// The votes cast on each side.
    pub votes: PerSide<PerQuestion<Votes>>,
    /// Requests that have stalled, and voted so, and still have no answer at the end of the tick.
    pub hanging: PerSide<u32>,
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

impl Block {
    /// Whether nothing was asked and nobody voted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign<&Block> for Block {
    fn add_assign(&mut self, other: &Block) {
        for side in crate::model::Side::ALL {
            self.asked[side] = self.asked[side].saturating_add(other.asked[side]);
            self.hanging[side] = self.hanging[side].saturating_add(other.hanging[side]);
            for (mine, theirs) in self.votes[side].0.iter_mut().zip(other.votes[side].0) {
                *mine += theirs;
            }
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
