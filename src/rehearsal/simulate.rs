use crate::model::{Micros, Side};

use super::routes::Routes;
use super::scenario::{ENDPOINTS, ROUTES, Scenario, What, Whom};
use super::trace::Request;

/// A scenario played out: its requests in their order. The same seed gives the same requests.
pub struct Simulation {
    scenario: Scenario,
    rng: fastrand::Rng,
    now_s: f64,
    troubles: Vec<Happening>,
    /// Those before this one are over.
    first: usize,
    routes: Routes,
}

/// One trouble at one time, on one side or both.
#[derive(Clone, Copy, Debug)]
struct Happening {
    from_s: f64,
    until_s: f64,
    side: Option<Side>,
    what: What,
    /// The first of the endpoints that it hits.
    endpoint: usize,
}

/// Refusals come back in this time.
pub(super) const REFUSED_MS: f64 = 0.5;

impl Simulation {
    /// Plays a scenario.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut troubles = Vec::new();
        for trouble in &scenario.troubles {
            let sides: &[Option<Side>] = match trouble.whom {
                Whom::Only(side) => &[Some(side)],
                Whom::Each => &[Some(Side::Helios), Some(Side::Kubernetes)],
                Whom::Both => &[None],
            };
            for side in sides {
                let mut at = trouble.first_s.unwrap_or_else(|| exponential(&mut rng, trouble.every_s));
                while at < scenario.lasts_s {
                    let endpoint = rng.usize(0..ENDPOINTS);
                    let until_s = at + trouble.lasts_s;
                    troubles.push(Happening {
                        from_s: at,
                        until_s,
                        side: *side,
                        what: trouble.what,
                        endpoint,
                    });
                    at += trouble.lasts_s + exponential(&mut rng, trouble.every_s);
                }
            }
        }
        troubles.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
        let mut routes = Routes::default();
        for (name, ..) in ROUTES {
            routes.number(name);
        }
        Self { scenario, rng, now_s: 0.0, troubles, first: 0, routes }
    }

    /// Begins at this second of the scenario.
    #[must_use]
    pub fn starting_at(mut self, start_s: f64) -> Self {
        self.now_s = start_s;
        self
    }

    /// The routes that its requests name.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    fn rate(&self) -> f64 {
        let Scenario { per_second, swing, .. } = &self.scenario;
        let swing = swing
            .map_or(1.0, |(size, period)| 1.0 + size * (self.now_s / period * std::f64::consts::TAU).sin());
        let load: f64 = self
            .happening()
            .map(|happening| if let What::Load(times) = happening.what { times } else { 1.0 })
            .product();
        per_second * swing * load
    }

    fn happening(&self) -> impl Iterator<Item = &Happening> {
        let now_s = self.now_s;
        self.troubles[self.first..]
            .iter()
            .take_while(move |happening| happening.from_s <= now_s)
            .filter(move |happening| happening.until_s > now_s)
    }

    fn route(&mut self, side: Side) -> usize {
        let mut draw = self.rng.f64();
        for (place, share) in self.scenario.routes(side).into_iter().enumerate() {
            draw -= share;
            if draw < 0.0 {
                return place;
            }
        }
        0
    }

    fn request(&mut self) -> Request {
        let side = if self.rng.f64() < self.scenario.weight { Side::Kubernetes } else { Side::Helios };
        let route = self.route(side);
        let start = micros(self.now_s);
        let number = u32::try_from(route).unwrap_or(0);
        let (failed, latency) = self.answer(side, route);
        Request { start, side, failed, latency, route: number }
    }

    /// Whether a request fails, and how long its answer takes.
    fn answer(&mut self, side: Side, route: usize) -> (bool, Option<Micros>) {
        let (since_s, law) = self.scenario.law(side, self.now_s);
        let endpoint = self.rng.usize(0..ENDPOINTS);
        let mut survives = 1.0 - law.errors;
        let mut slower = law.slower + law.slower_a_minute * (self.now_s - since_s) / 60.0;
        if let Some((errors, times)) = law.one_bad.filter(|_| endpoint == 0) {
            survives *= 1.0 - errors;
            slower *= times;
        }
        if let Some((_, errors)) = law.route_errors.filter(|(at, _)| *at == route) {
            survives *= 1.0 - errors;
        }
        let mut refuses = law.refuses;
        let mut waits_s: f64 = 0.0;
        for happening in self.happening().filter(|happening| happening.side.is_none_or(|only| only == side)) {
            let hit = |count: usize| (endpoint + ENDPOINTS - happening.endpoint) % ENDPOINTS < count;
            match happening.what {
                What::Fails(share) => survives *= 1.0 - share,
                What::Refuses(count) => refuses |= hit(count),
                What::Pauses(count) if hit(count) => waits_s = waits_s.max(happening.until_s - self.now_s),
                What::Slows(times) => slower *= times,
                What::Pauses(_) | What::Load(_) => {}
            }
        }
        let (normal, hangs, fails) = (normal(&mut self.rng), self.rng.f64(), self.rng.f64());
        if refuses {
            return (true, Some(micros(REFUSED_MS / 1e3)));
        }
        if hangs < law.hangs {
            return (true, None);
        }
        let mut ms = ROUTES[route].2 * (law.spread * normal).exp() * slower;
        if let Some((share, times)) = law.tail
            && normal > normal_quantile(1.0 - share)
        {
            ms *= times;
        }
        (fails >= survives, Some(Micros(micros(ms / 1e3).0 + micros(waits_s).0)))
    }
}

impl Iterator for Simulation {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        // Thinning: draws at the highest rate that there may be, and keeps its share.
        let most = self.scenario.per_second
            * self.scenario.swing.map_or(1.0, |(size, _)| 1.0 + size)
            * self
                .scenario
                .troubles
                .iter()
                .map(|trouble| if let What::Load(times) = trouble.what { times.max(1.0) } else { 1.0 })
                .product::<f64>();
        loop {
            self.now_s += exponential(&mut self.rng, 1.0 / most);
            if self.now_s >= self.scenario.lasts_s {
                return None;
            }
            while self
                .troubles
                .get(self.first)
                .is_some_and(|happening| happening.until_s + 600.0 < self.now_s)
            {
                self.first += 1;
            }
            if self.rng.f64() * most < self.rate() {
                return Some(self.request());
            }
        }
    }
}

fn exponential(rng: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - rng.f64()).ln() * mean
}

/// A draw from the standard normal distribution (Box and Muller).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (rng.f64() * std::f64::consts::TAU).cos()
}

/// The quantile of the standard normal distribution, to 4.5e-4 (Abramowitz and Stegun, 26.2.23).
pub(super) fn normal_quantile(share: f64) -> f64 {
    if share < 0.5 {
        return -normal_quantile(1.0 - share);
    }
    let t = (-2.0 * (1.0 - share).ln()).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

fn micros(seconds: f64) -> Micros {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a scenario")]
    return Micros((seconds * 1e6).round().max(0.0) as u64);
}
