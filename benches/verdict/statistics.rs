//! Small statistics.

/// The middle value; of an even number of them the lower of the two in the middle. Infinity is allowed.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The exact 95 % interval for the mean of a Poisson distribution of which one count is known (F. Garwood, 1936).
pub(crate) fn poisson_interval(count: u32) -> (f64, f64) {
    let most = f64::from(count) * 2.0 + 20.0;
    let low = if count == 0 { 0.0 } else { bisect(most, |mean| 1.0 - at_most(count - 1, mean) < 0.025) };
    (low, bisect(most, |mean| at_most(count, mean) > 0.025))
}

/// The chance of so many or fewer.
fn at_most(count: u32, mean: f64) -> f64 {
    let mut log = -mean;
    let mut sum = log.exp();
    for k in 1..=count {
        log += (mean / f64::from(k)).ln();
        sum += log.exp();
    }
    sum
}

/// Where a condition that holds at first stops to.
fn bisect(most: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        *if holds(middle) { &mut low } else { &mut high } = middle;
    }
    low
}

/// The standard normal distribution function, to 1e-7 of what is left of one (W. Press et al., *Numerical
/// Recipes*, 1992, section 6.2).
pub(crate) fn normal(deviations: f64) -> f64 {
    let z = deviations.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let series = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let upper = 0.5 * t * (-z * z + series.iter().rev().fold(0.0, |sum, c| sum * t + c)).exp();
    if deviations < 0.0 { upper } else { 1.0 - upper }
}

/// The quantile of the standard normal distribution, to 4.5e-4 (Abramowitz and Stegun, 26.2.23).
pub(crate) fn normal_quantile(share: f64) -> f64 {
    if share < 0.5 {
        return -normal_quantile(1.0 - share);
    }
    let t = (-2.0 * (1.0 - share).max(1e-12).ln()).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

/// A draw from the standard normal distribution (Box and Muller).
pub(crate) fn draw_normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (rng.f64() * std::f64::consts::TAU).cos()
}

/// A draw from the exponential distribution.
pub(crate) fn draw_exponential(rng: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - rng.f64()).ln() * mean
}

/// A draw from the Gamma distribution with this shape, of 10 or more (E. Wilson and M. Hilferty, 1931).
pub(crate) fn draw_gamma(rng: &mut fastrand::Rng, shape: f64) -> f64 {
    let cube = 1.0 - 1.0 / (9.0 * shape) + draw_normal(rng) / (3.0 * shape.sqrt());
    shape * cube.max(0.0).powi(3)
}
