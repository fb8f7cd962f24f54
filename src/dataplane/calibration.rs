//! Helios against Helios: while a service is calibrated, each request that was dealt to Helios as evidence votes once
//! more, as one of two halves, on a ballot of its own.
//!
//! The halves vote by the service's ordinary thresholds, those that come from the answers of both. A request's
//! thresholds are fixed when it begins, by answers that came before, and its half is drawn without looking at them: so
//! whatever the thresholds are, the two halves have the same chances, and what B is allowed beyond A is what Kubernetes
//! is allowed beyond Helios. Thresholds only say where the judge looks. They need not be learned from A alone, and with
//! the ordinary ones the judge looks where the service's own does.
//!
//! Nobody who is not calibrated pays for this: there is a label or there is none, and without one nothing is done.

use std::cell::RefCell;
use std::rc::Rc;

use crate::model::Micros;
use crate::splitter::{Half, Halves};
use crate::tally::HalvesReport;
use crate::verdict::{Ballot, Block, Stratum, Thresholds, Ticket};

/// A worker's part of one calibration.
pub(super) struct Calibration {
    halves: Halves,
    ballot: Rc<RefCell<Ballot>>,
}

/// A try's place on the ballot of its calibration. It votes there also when the next one has begun, or none.
pub(super) struct Labelled {
    ballot: Rc<RefCell<Ballot>>,
    ticket: Ticket,
}

impl Calibration {
    pub(super) fn new(halves: Halves) -> Self {
        Self { halves, ballot: Rc::default() }
    }

    /// Whether it is the one of these halves.
    pub(super) fn is_of(&self, halves: Halves) -> bool {
        self.halves == halves
    }

    /// A request of one half has begun.
    pub(super) fn enter(
        &self,
        half: Half,
        stratum: Stratum,
        now: Micros,
        thresholds: &Thresholds,
    ) -> Labelled {
        let ticket = self.ballot.borrow_mut().enter(stratum, half.side(), now, thresholds);
        Labelled { ballot: self.ballot.clone(), ticket }
    }

    /// What was voted since the last report. It goes with every report of the service, also when nobody has voted: whoever
    /// hung and has left votes no more, and control must know that nobody hangs.
    pub(super) fn report(&self, now: Micros) -> HalvesReport {
        let mut ballot = self.ballot.borrow_mut();
        let mut block = Block::default();
        ballot.collect(now, &mut block);
        HalvesReport { halves: self.halves, block, lost: ballot.take_lost() }
    }

    /// As [`Ballot::abstain`].
    pub(super) fn abstain(&self, stood_still: Micros) {
        self.ballot.borrow_mut().abstain(stood_still);
    }

    /// Whether nobody waits to vote.
    pub(super) fn is_idle(&self) -> bool {
        self.ballot.borrow().is_idle()
    }
}

impl Labelled {
    /// As [`Ballot::answer`].
    pub(super) fn answer(&mut self, now: Micros, failed: bool) {
        self.ballot.borrow_mut().answer(&mut self.ticket, now, failed);
    }

    /// As [`Ballot::finish`].
    pub(super) fn finish(self, now: Micros, failed: bool) {
        self.ballot.borrow_mut().finish(self.ticket, now, failed);
    }

    /// As [`Ballot::withdraw`].
    pub(super) fn withdraw(self) {
        self.ballot.borrow_mut().withdraw(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PerSide, Side};
    use crate::verdict::Question;

    fn failures(calibration: &Calibration) -> PerSide<(u32, u32)> {
        let votes = calibration.report(Micros(1)).block.whole().votes;
        PerSide::from_fn(|side: Side| {
            let votes = votes[side][Question::Failure];
            (votes.cast, votes.bad)
        })
    }

    #[test]
    fn a_half_votes_in_place_of_the_side_that_it_stands_for() {
        let calibration = Calibration::new(Halves::new(1));
        let enter = |half| calibration.enter(half, Stratum::OTHER, Micros(0), &Thresholds::default());
        enter(Half::A).finish(Micros(1), false);
        enter(Half::B).finish(Micros(1), true);
        enter(Half::B).finish(Micros(1), false);
        enter(Half::B).withdraw();
        assert_eq!(failures(&calibration), PerSide { helios: (1, 0), kubernetes: (2, 1) });
    }

    #[test]
    fn who_began_in_one_calibration_does_not_vote_in_the_next() {
        let before = Calibration::new(Halves::new(1));
        let mut late = before.enter(Half::B, Stratum::OTHER, Micros(0), &Thresholds::default());
        let next = Calibration::new(Halves::new(2));
        assert!(next.is_of(Halves::new(2)) && !next.is_of(Halves::new(1)));
        drop(before);
        late.answer(Micros(1), false);
        late.finish(Micros(1), true);
        assert!(next.is_idle() && next.report(Micros(1)).block.is_empty());
    }

    #[test]
    fn who_hung_and_has_left_is_told_of_though_nobody_votes() {
        let calibration = Calibration::new(Halves::new(1));
        let hung = calibration.enter(Half::B, Stratum::OTHER, Micros(0), &Thresholds::default());
        let after = |seconds: u64| calibration.report(Micros(seconds * 1_000_000)).block;
        assert_eq!(after(6).whole().hanging.kubernetes, 1);
        hung.withdraw();
        assert!(after(7).is_empty() && calibration.is_idle());
    }
}
