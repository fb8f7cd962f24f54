use std::time::Duration;

use crate::model::Weight;

use super::calendar::{Freeze, Hours};

/// How a ramp climbs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// At least one, each higher than the one before.
    pub steps: Vec<Step>,
    /// When steps may be taken; at any time if empty.
    pub hours: Hours,
    /// When none is.
    pub freezes: Vec<Freeze>,
    /// Whether it starts again by itself after the judge has ended it.
    pub again: Option<Again>,
}

/// One step, and what must be so before the next is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The weight at this step.
    pub to: Weight,
    /// How long it lasts at least.
    pub hold: Duration,
    /// Requests that Kubernetes has answered at it, at least.
    pub requests: u64,
    /// How sure the judge must be that Kubernetes is not worse, 0 to 1 (excluded).
    pub certainty: f64,
}

/// A ramp that the judge has ended is started again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// After so long; twice as long after each time without having come further.
    pub after: Duration,
    /// So often at most, without having come further.
    pub most: u32,
}

// The certainty is never NaN: it is checked where it is read.
impl Eq for Plan {}

impl Plan {
    /// The step that a weight is at: the highest that is not above it.
    pub fn step(&self, weight: Weight) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.to <= weight)
    }

    /// The number of that step, from 1; 0 below the first.
    pub fn number(&self, weight: Weight) -> usize {
        self.steps.iter().take_while(|step| step.to <= weight).count()
    }

    /// The step above a weight.
    pub fn next(&self, weight: Weight) -> Option<&Step> {
        self.steps.iter().find(|step| step.to > weight)
    }

    /// Where a ramp begins at a weight: at the step that it is at, or the first.
    pub fn start(&self, weight: Weight) -> Option<Weight> {
        self.step(weight).or(self.steps.first()).map(|step| step.to)
    }
}

impl Again {
    /// How long it waits after it has been started again so often.
    pub fn delay(&self, agains: u32) -> Duration {
        self.after.saturating_mul(2_u32.saturating_pow(agains))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: &[f64]) -> Plan {
        let step = |to: &f64| Step {
            to: Weight::from_percent(*to).unwrap(),
            hold: Duration::from_hours(1),
            requests: 0,
            certainty: 0.95,
        };
        Plan {
            steps: steps.iter().map(step).collect(),
            hours: Hours::default(),
            freezes: Vec::new(),
            again: None,
        }
    }

    #[test]
    fn a_weight_between_two_steps_is_at_the_lower_one() {
        let plan = plan(&[1.0, 5.0, 25.0]);
        for (weight, number, next, start) in [
            (0.0, 0, Some(1.0), Some(1.0)),
            (1.0, 1, Some(5.0), Some(1.0)),
            (7.0, 2, Some(25.0), Some(5.0)),
            (25.0, 3, None, Some(25.0)),
            (100.0, 3, None, Some(25.0)),
        ] {
            let weight = Weight::from_percent(weight).unwrap();
            assert_eq!(plan.number(weight), number, "{weight}");
            assert_eq!(plan.next(weight).map(|step| step.to.percent()), next, "{weight}");
            assert_eq!(plan.start(weight).map(Weight::percent), start, "{weight}");
        }
    }

    #[test]
    fn each_time_it_waits_twice_as_long() {
        let again = Again { after: Duration::from_hours(1), most: 3 };
        assert_eq!([0, 1, 2].map(|agains| again.delay(agains).as_secs() / 3_600), [1, 2, 4]);
        assert_eq!(again.delay(1_000), Duration::from_hours(1).saturating_mul(u32::MAX));
    }
}
