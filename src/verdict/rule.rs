use std::time::Duration;

/// A year as people write it in files and arguments, `1y`: a quarter of a day longer than 365 days.
pub const YEAR: Duration = Duration::from_hours(365 * 24 + 6);

/// What a service's judge promises and tolerates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The promise: the mean time between reverts that were not called for is at least this long.
    pub false_revert_every: Duration,
    /// How much more Kubernetes may fail.
    pub failures: Tolerance,
    /// How much slower Kubernetes may be.
    pub slower: Slower,
}

/// How large Kubernetes' share of bad votes may be: `ratio`·(Helios' share) + `delta`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// At least 1.
    pub ratio: f64,
    /// A share: 0.0005 is 0.05 %.
    pub delta: f64,
}

/// How much later than Helios Kubernetes may answer: a threshold T becomes max(`ratio`·T, T + `add`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// At least 1.
    pub ratio: f64,
    /// What is tolerated however fast Helios is.
    pub add: Duration,
}

impl Rule {
    /// The promise in seconds.
    pub fn promise_s(&self) -> f64 {
        self.false_revert_every.as_secs_f64()
    }
}

impl Default for Rule {
    /// One false revert a year, 1.2 times + 0.05 % more failures, 1.15 times or 2 ms slower.
    fn default() -> Self {
        Self { false_revert_every: YEAR, failures: Tolerance::default(), slower: Slower::default() }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { ratio: 1.2, delta: 0.0005 }
    }
}

impl Default for Slower {
    fn default() -> Self {
        Self { ratio: 1.15, add: Duration::from_millis(2) }
    }
}
