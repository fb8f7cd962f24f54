//! What happens to a service now and then that is no reason to revert.

use switchback::model::{PerSide, Side};

use crate::statistics::draw_exponential;
use crate::traffic::TICKS_A_SECOND;

/// What holds in one tick.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// So many times the requests.
    pub(crate) load: f64,
    /// So many times the share of every other route.
    pub(crate) mix: f64,
    pub(crate) sides: PerSide<OfSide>,
}

/// What holds on one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfSide {
    /// The share of requests that are refused.
    pub(crate) refuses: f64,
    /// The share that fails, of those that are not.
    pub(crate) fails: f64,
    /// Answers take so many times as long.
    pub(crate) slower: f64,
    /// The share of requests that first wait, …
    pub(crate) waiting: f64,
    /// … and for how long.
    pub(crate) waits_ms: f64,
}

/// What is yet to happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whims {
    rng: fastrand::Rng,
    next: Vec<(u64, Kind)>,
    now: Vec<Happening>,
    mix: f64,
}

/// Something that happens again and again.
#[derive(Clone, Copy, Debug)]
struct Kind {
    what: What,
    side: Option<Side>,
    every_s: f64,
    /// It lasts between this and that.
    lasts_s: (f64, f64),
}

#[derive(Clone, Copy, Debug)]
struct Happening {
    what: What,
    side: Option<Side>,
    until: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// This share of the endpoints refuses.
    Refuses(f64),
    /// This share of the requests fails.
    Fails(f64),
    /// This share of the endpoints stands still.
    Pauses(f64),
    Slows(f64),
    Load(f64),
    /// Another mix of routes, from here on.
    Mixes,
    /// Ten endpoints restart, one after the other.
    Deploys,
}

/// Seconds from one restart to the next of a deployment.
const STEP_S: f64 = 20.0;
const STEPS: u64 = 10;

impl Whims {
    /// Nothing ever happens.
    pub(crate) fn none() -> Self {
        Self { mix: 1.0, ..Self::default() }
    }

    /// Everything that may happen does, some services more often than others. What hits one side alone lasts less
    /// than a second.
    pub(crate) fn of_all_kinds(rng: &mut fastrand::Rng) -> Self {
        let kind = |what, every_s, lasts_s| Kind { what, side: None, every_s, lasts_s };
        let shared = [
            kind(What::Fails(0.3), 1_800.0, (1.0, 5.0)),
            kind(What::Refuses(1.0), 43_200.0, (2.0, 20.0)),
            kind(What::Slows(2.0), 7_200.0, (10.0, 60.0)),
            kind(What::Load(5.0), 7_200.0, (10.0, 60.0)),
            kind(What::Mixes, 14_400.0, (0.1, 0.1)),
        ];
        let one_sided = [
            kind(What::Refuses(0.1), 300.0, (0.3, 0.9)),
            kind(What::Refuses(1.0), 3_600.0, (0.2, 0.8)),
            kind(What::Pauses(0.1), 20.0, (0.1, 0.4)),
            kind(What::Deploys, 86_400.0, (0.1, 0.1)),
        ];
        let mut whims = Self { rng: rng.fork(), mix: 1.0, ..Self::default() };
        let mut begin = |kind: Kind| {
            let first = ticks(draw_exponential(&mut whims.rng, kind.every_s));
            whims.next.push((first, kind));
        };
        let mut often = |kind: Kind| Kind { every_s: kind.every_s * 10_f64.powf(rng.f64() - 0.5), ..kind };
        for kind in shared {
            begin(often(kind));
        }
        for kind in one_sided {
            // As often on either side: else one would be the worse one.
            let kind = often(kind);
            for side in Side::ALL {
                begin(Kind { side: Some(side), ..kind });
            }
        }
        whims
    }

    /// The weather in this tick, and the tick before which it does not change.
    pub(crate) fn at(&mut self, tick: u64) -> (Weather, u64) {
        self.now.retain(|happening| happening.until > tick);
        for place in 0..self.next.len() {
            let (at, kind) = self.next[place];
            if at <= tick {
                let pause = ticks(draw_exponential(&mut self.rng, kind.every_s));
                self.next[place].0 = pause.saturating_add(tick + 1);
                self.begin(kind, tick);
            }
        }
        self.next.retain(|(at, _)| *at < u64::MAX);
        let mut until = self.next.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let fine = OfSide { refuses: 0.0, fails: 0.0, slower: 1.0, waiting: 0.0, waits_ms: 0.0 };
        let mut weather =
            Weather { load: 1.0, mix: self.mix, sides: PerSide { helios: fine, kubernetes: fine } };
        for happening in &self.now {
            // Who pauses waits a tick less with each tick.
            let pauses = matches!(happening.what, What::Pauses(_));
            until = until.min(if pauses { tick + 1 } else { happening.until });
            weather.suffer(happening, tick);
        }
        (weather, until)
    }

    fn begin(&mut self, kind: Kind, tick: u64) {
        let Kind { what, side, lasts_s: (least, most), .. } = kind;
        let lasts = ticks(least + (most - least) * self.rng.f64()).max(1);
        match what {
            What::Mixes => self.mix = 3_f64.powf(2.0 * self.rng.f64() - 1.0),
            What::Deploys => {
                let restart =
                    Kind { what: What::Refuses(0.1), side, every_s: f64::INFINITY, lasts_s: (0.3, 0.9) };
                for step in 0..STEPS {
                    self.next.push((tick + 1 + step * ticks(STEP_S), restart));
                }
            }
            _ => self.now.push(Happening { what, side, until: tick + lasts }),
        }
    }
}

impl Weather {
    fn suffer(&mut self, happening: &Happening, tick: u64) {
        if let What::Load(times) = happening.what {
            self.load *= times;
        }
        for side in Side::ALL {
            if happening.side.is_some_and(|only| only != side) {
                continue;
            }
            let of_side = &mut self.sides[side];
            match happening.what {
                What::Refuses(share) => of_side.refuses = 1.0 - (1.0 - of_side.refuses) * (1.0 - share),
                What::Fails(share) => of_side.fails = 1.0 - (1.0 - of_side.fails) * (1.0 - share),
                What::Slows(times) => of_side.slower *= times,
                What::Pauses(share) => {
                    of_side.waiting = share;
                    of_side.waits_ms = ((happening.until - tick) as f64 - 0.5) * 1_000.0 / TICKS_A_SECOND;
                }
                What::Load(_) | What::Mixes | What::Deploys => {}
            }
        }
    }
}

fn ticks(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    return (seconds * TICKS_A_SECOND).round() as u64;
}
