use std::fmt;

/// The share of a service's requests that go to Kubernetes: 0 to 100 percent in steps of 0.01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// Steps in the whole: one step is 0.01 %.
    pub const STEPS: u16 = 10_000;
    /// Everything goes to Helios.
    pub const ZERO: Weight = Weight(0);
    /// Everything goes to Kubernetes.
    pub const FULL: Weight = Weight(Self::STEPS);

    /// From percent, rounded to the nearest step; `None` outside of 0 to 100.
    pub fn from_percent(percent: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000 fits")]
        (0.0..=100.0).contains(&percent).then(|| Self((percent * 100.0).round() as u16))
    }

    /// From steps of 0.01 %; `None` over 10,000.
    pub fn from_steps(steps: u16) -> Option<Self> {
        (steps <= Self::STEPS).then_some(Self(steps))
    }

    /// In steps of 0.01 %.
    pub const fn steps(self) -> u16 {
        self.0
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether everything goes to Helios.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Weight {
    /// Percent with two digits: `25.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:02}", self.0 / 100, self.0 % 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_survives_percent_and_text() {
        for steps in 0..=Weight::STEPS {
            let weight = Weight::from_steps(steps).unwrap();
            assert_eq!(Weight::from_percent(weight.percent()), Some(weight));
            assert_eq!(Weight::from_percent(weight.to_string().parse().unwrap()), Some(weight));
        }
    }

    #[test]
    fn what_is_not_a_percentage_is_refused() {
        for bad in [-0.01, 100.01, f64::NAN, f64::INFINITY, -f64::INFINITY] {
            assert_eq!(Weight::from_percent(bad), None, "{bad}");
        }
        assert_eq!(Weight::from_steps(10_001), None);
    }
}
