use crate::model::Side;

use super::scenario::{ENDPOINTS, Law, ROUTES, Scenario, Trouble, What};
use super::simulate::{REFUSED_MS, normal_quantile};

/// How one side answers requests for one route at one time: the law that a scenario draws its answers from,
/// apart from its troubles. What is drawn and what is said here agree; a test holds them together.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// By what share of the endpoints: all of them alike, or one of them different.
    endpoints: Vec<(f64, Endpoint)>,
}

/// How one endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Endpoint {
    /// The share of failures among requests that it answers.
    fails: f64,
    hangs: f64,
    refuses: bool,
    /// Latencies are log-normal, …
    median_ms: f64,
    spread: f64,
    /// … but for this share of them, the slowest, which take so many times as long.
    tail: Option<(f64, f64)>,
}

impl Scenario {
    /// How a side answers requests for the route with this place, so many seconds after the start.
    pub fn answers(&self, side: Side, route: usize, at_s: f64) -> Answers {
        let (since_s, law) = self.law(side, at_s);
        let drift = law.slower_a_minute * (at_s - since_s) / 60.0;
        let endpoint = |(errors, times): (f64, f64)| {
            let of_route = law.route_errors.filter(|(at, _)| *at == route).map_or(0.0, |(_, errors)| errors);
            Endpoint {
                fails: 1.0 - (1.0 - law.errors) * (1.0 - errors) * (1.0 - of_route),
                hangs: law.hangs,
                refuses: law.refuses,
                median_ms: ROUTES[route].2 * (law.slower + drift) * times,
                spread: law.spread,
                tail: law.tail,
            }
        };
        let alike = endpoint((0.0, 1.0));
        let endpoints = match law.one_bad {
            Some(bad) => {
                let share = 1.0 / ENDPOINTS as f64;
                vec![(1.0 - share, alike), (share, endpoint(bad))]
            }
            None => vec![(1.0, alike)],
        };
        Answers { endpoints }
    }

    /// The share of a side's requests that each route has.
    pub fn routes(&self, side: Side) -> [f64; ROUTES.len()] {
        let skew = if side == Side::Kubernetes { self.skew } else { 1.0 };
        // The last two routes are the heavier ones.
        let mut shares = [0.0; ROUTES.len()];
        for (place, share) in shares.iter_mut().enumerate() {
            *share = ROUTES[place].1 * if place >= 2 { skew } else { 1.0 };
        }
        let total: f64 = shares.iter().sum();
        shares.map(|share| share / total)
    }

    /// Whether things happen now and then that [`Scenario::answers`] does not tell of. More requests do not
    /// count: they are answered like others.
    pub fn is_troubled(&self) -> bool {
        self.troubles.iter().any(|trouble| !matches!(trouble.what, What::Load(_)))
    }

    /// Requests a second on average, rushes included.
    pub fn mean_per_second(&self) -> f64 {
        let more = |trouble: &Trouble| match trouble.what {
            What::Load(times) => (times - 1.0) * trouble.lasts_s / (trouble.lasts_s + trouble.every_s),
            _ => 0.0,
        };
        self.per_second * (1.0 + self.troubles.iter().map(more).sum::<f64>())
    }

    /// The law of a side at this time, and since when it holds.
    pub(super) fn law(&self, side: Side, at_s: f64) -> (f64, Law) {
        let laws = match side {
            Side::Helios => &self.helios,
            Side::Kubernetes => &self.kubernetes,
        };
        let (since_s, law) =
            laws.iter().rev().find(|(from_s, _)| *from_s <= at_s).copied().unwrap_or((0.0, Law::fine()));
        let rests = law.only.is_some_and(|(on_s, each_s)| (at_s - since_s) % each_s >= on_s);
        (since_s, if rests { Law::fine() } else { law })
    }
}

impl Answers {
    /// The share of requests that fail. Those that get no answer do.
    pub fn failing(&self) -> f64 {
        self.sum(|endpoint| {
            if endpoint.refuses { 1.0 } else { endpoint.hangs + (1.0 - endpoint.hangs) * endpoint.fails }
        })
    }

    /// The share of requests that have succeeded within so many milliseconds.
    pub fn succeeded_within(&self, ms: f64) -> f64 {
        self.sum(|endpoint| endpoint.answers() * (1.0 - endpoint.fails) * endpoint.within(ms))
    }

    /// The share of requests that have failed within so many milliseconds.
    pub fn failed_within(&self, ms: f64) -> f64 {
        self.sum(|endpoint| {
            let refused = if endpoint.refuses && ms >= REFUSED_MS { 1.0 } else { 0.0 };
            refused + endpoint.answers() * endpoint.fails * endpoint.within(ms)
        })
    }

    fn sum(&self, of: impl Fn(&Endpoint) -> f64) -> f64 {
        self.endpoints.iter().map(|(share, endpoint)| share * of(endpoint)).sum()
    }
}

impl Endpoint {
    /// The share of requests that get an answer, good or bad.
    fn answers(&self) -> f64 {
        if self.refuses { 0.0 } else { 1.0 - self.hangs }
    }

    /// The share of answers that take no longer than this.
    fn within(&self, ms: f64) -> f64 {
        let deviations = |ms: f64| (ms / self.median_ms).ln() / self.spread;
        let body = deviations(ms);
        let Some((share, times)) = self.tail else { return normal(body) };
        let border = normal_quantile(1.0 - share);
        let tail = deviations(ms / times);
        normal(body.min(border)) + (normal(tail) - normal(border)).max(0.0)
    }
}

/// The standard normal distribution function.
fn normal(deviations: f64) -> f64 {
    let upper = upper_tail(deviations.abs());
    if deviations < 0.0 { upper } else { 1.0 - upper }
}

/// One minus the standard normal distribution function, for z ≥ 0; relative error below 1e-7. Laplace's
/// continued fraction from 2.5 on, its power series before (Abramowitz and Stegun, 26.2.14 and 26.2.11).
fn upper_tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if z > 2.5 {
        return density / (1..=40).rev().fold(z, |below, k| z + f64::from(k) / below);
    }
    let (mut term, mut sum) = (z, z);
    for k in 1..40 {
        term *= z * z / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 - density * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{Request, Simulation, Truth, scenarios};

    #[test]
    fn the_normal_distribution_is_right_far_into_its_tail() {
        for (z, upper) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457),
            (2.4, 0.008_197_535_924_596),
            (2.6, 0.004_661_188_023_719),
            (6.0, 9.865_876_450_377e-10),
        ] {
            assert!((upper_tail(z) / upper - 1.0).abs() < 1e-7, "{z}: {}", upper_tail(z));
        }
    }

    /// Each scenario's law and its draws, on each route: shares of failures and of answers within some times.
    #[test]
    fn what_is_said_of_a_scenario_is_what_it_draws() {
        for mut scenario in scenarios() {
            let Truth::Worse { from_s } = scenario.truth else { continue };
            if scenario.is_troubled() || scenario.name == "drifts" {
                continue;
            }
            scenario.per_second = 2_000.0;
            let until_s = (from_s + 1.0).min(scenario.lasts_s);
            let requests: Vec<Request> = Simulation::new(scenario.clone(), 1)
                .starting_at(from_s)
                .take_while(|request| (request.start.0 as f64) < until_s * 1e6)
                .filter(|request| request.side == Side::Kubernetes)
                .collect();
            for route in 0..ROUTES.len() {
                let answers = scenario.answers(Side::Kubernetes, route, from_s);
                let of_route: Vec<&Request> = requests.iter().filter(|r| r.route as usize == route).collect();
                for ms in [1.0, 20.0, 40.0, 80.0, 160.0, 500.0] {
                    let within =
                        |r: &&&Request| r.latency.is_some_and(|latency| latency.0 as f64 <= ms * 1e3);
                    for (failed, said) in
                        [(false, answers.succeeded_within(ms)), (true, answers.failed_within(ms))]
                    {
                        let drawn = of_route.iter().filter(|r| r.failed == failed).filter(within).count();
                        let count = of_route.len() as f64;
                        let slack = 5.0 * (said * (1.0 - said) / count).sqrt() + 3.0 / count.max(1.0);
                        let drawn = drawn as f64 / count.max(1.0);
                        assert!(
                            (drawn - said).abs() < slack,
                            "{} {route} {ms} {drawn} {said}",
                            scenario.name
                        );
                    }
                }
            }
        }
    }
}
