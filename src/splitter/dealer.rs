use crate::model::{Side, Weight};

/// Deals requests to the two sides so that every short run has its exact share.
///
/// The minority side gets exactly one request of every block, at a place drawn at random; blocks are as long
/// as the weight says on average (at 5 % every block has 20 requests, at 30 % three or four). So a weight of
/// 5 gives 5 ± 1 of each 100 requests, and yet nothing about a request predicts its side: a caller that
/// alternates reads and writes does not send all writes to Kubernetes, as a plain counter would.
///
/// One dealer belongs to one service on one worker.
#[derive(Clone, Debug)]
pub struct Dealer {
    weight: Weight,
    /// Requests left in this block; 0 before the first.
    left: u32,
    /// How many will be left when the minority side's turn comes.
    turn: u32,
    /// What the last block's length was rounded down by, in units of 1/share of a request.
    carry: u32,
}

impl Dealer {
    /// A dealer that has dealt nothing yet.
    pub fn new(weight: Weight) -> Self {
        Self { weight, left: 0, turn: 0, carry: 0 }
    }

    /// The side of the next request. `draw` gives an even number below its argument, and is asked once a block.
    pub fn deal(&mut self, weight: Weight, draw: impl FnOnce(u32) -> u32) -> Side {
        if weight != self.weight {
            *self = Self::new(weight);
        }
        let steps = u32::from(weight.steps());
        let whole = u32::from(Weight::STEPS);
        let (minority, share) =
            if steps * 2 <= whole { (Side::Kubernetes, steps) } else { (Side::Helios, whole - steps) };
        if share == 0 {
            return other(minority);
        }
        if self.left == 0 {
            self.left = (whole + self.carry) / share;
            self.carry = (whole + self.carry) % share;
            self.turn = draw(self.left);
        }
        self.left -= 1;
        if self.left == self.turn { minority } else { other(minority) }
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Helios => Side::Kubernetes,
        Side::Kubernetes => Side::Helios,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(weight: Weight, requests: usize, seed: u64) -> Vec<bool> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut dealer = Dealer::new(weight);
        (0..requests).map(|_| dealer.deal(weight, |n| rng.u32(..n)) == Side::Kubernetes).collect()
    }

    #[test]
    fn a_weight_of_5_gives_5_of_each_100_requests_give_or_take_one() {
        for seed in 0..50 {
            let run = dealt(Weight::from_percent(5.0).unwrap(), 5_000, seed);
            for window in run.windows(100) {
                let on = window.iter().filter(|k| **k).count();
                assert!((4..=6).contains(&on), "{on} of 100, seed {seed}");
            }
        }
    }

    #[test]
    fn every_weight_is_exact_over_ten_thousand_requests() {
        for steps in (0..=Weight::STEPS).step_by(7).chain([1, 3_333, 6_667, 9_999]) {
            let weight = Weight::from_steps(steps).unwrap();
            let on = dealt(weight, 10_000, u64::from(steps)).into_iter().filter(|k| *k).count();
            assert!(on.abs_diff(usize::from(steps)) <= 1, "{on} at {weight}");
        }
    }

    #[test]
    fn every_weight_is_within_two_over_any_run() {
        for steps in (0..=Weight::STEPS).step_by(111) {
            let weight = Weight::from_steps(steps).unwrap();
            let run = dealt(weight, 4_000, 1);
            for length in [10_usize, 100, 1_000] {
                for window in run.windows(length) {
                    let on = window.iter().filter(|k| **k).count() as f64;
                    let due = weight.percent() / 100.0 * length as f64;
                    assert!((on - due).abs() <= 2.0, "{on} of {length} at {weight}");
                }
            }
        }
    }

    #[test]
    fn a_pattern_in_the_requests_does_not_choose_the_side() {
        // Every other request is a write; a counter at 50 percent would send all of them to one side.
        let run = dealt(Weight::from_percent(50.0).unwrap(), 20_000, 3);
        let writes = run.iter().step_by(2).filter(|k| **k).count();
        assert!((4_600..5_400).contains(&writes), "{writes} of 10,000 writes on Kubernetes");
    }

    #[test]
    fn a_changed_weight_holds_from_the_next_request() {
        let mut dealer = Dealer::new(Weight::FULL);
        assert_eq!(dealer.deal(Weight::FULL, |_| 0), Side::Kubernetes);
        for _ in 0..1_000 {
            assert_eq!(dealer.deal(Weight::ZERO, |_| 0), Side::Helios);
        }
    }

    #[test]
    fn weights_that_flip_all_the_time_are_still_right_on_average() {
        let (mut rng, mut dealer) = (fastrand::Rng::with_seed(9), Dealer::new(Weight::ZERO));
        let (mut on, runs) = (0, 100_000);
        for i in 0..runs {
            // Fewer requests than a block between two flips.
            let weight = Weight::from_percent(if i / 3 % 2 == 0 { 10.0 } else { 20.0 }).unwrap();
            on += u32::from(dealer.deal(weight, |n| rng.u32(..n)) == Side::Kubernetes);
        }
        let share = f64::from(on) / f64::from(runs);
        assert!((share - 0.15).abs() < 0.01, "{share}");
    }
}
