//! Other ways to judge, on the same traces.
//!
//! Each is a small judge *in the manner of* a known one, by its documented method and defaults; none is that
//! product. They were made for releases that last minutes to hours and are compared here at another task, to
//! watch all the time. They count a request when it ends, as metrics do. A request that gets no answer ends
//! when the proxy gives it up.

mod every_tick;
mod kayenta;
mod sequential;
mod thresholds;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use switchback::model::{Micros, Side};
use switchback::rehearsal::Request;

use every_tick::EveryTick;
use kayenta::Kayenta;
use sequential::Sequential;
use thresholds::Thresholds;

/// What is compared, in the order of [`Field::new`].
pub(crate) const NAMES: [&str; 5] =
    ["sequential test", "Kayenta-like", "Flagger-like", "Argo-like", "z-test every tick"];

/// When a request that gets no answer is given up, as in the judge's replay.
const GIVEN_UP: Micros = Micros(15_000_000);

/// A way to judge.
trait Reference {
    /// Seconds between two looks.
    fn every_s(&self) -> f64;

    /// A request has ended.
    fn take(&mut self, ended: &Ended);

    /// Whether Kubernetes is to be left.
    fn look(&mut self, now_s: f64) -> bool;
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at_s: f64,
    side: Side,
    failed: bool,
    latency_ms: f64,
}

/// All of them, over one trace.
pub(crate) struct Field {
    judges: Vec<Runner>,
    /// Requests under way, by when they end.
    coming: BinaryHeap<Coming>,
}

/// A request under way; the greatest is the one that ends first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Coming {
    end: Reverse<Micros>,
    latency: Micros,
    failed: bool,
    kubernetes: bool,
}

struct Runner {
    judge: Box<dyn Reference>,
    next_s: f64,
    found_s: Option<f64>,
}

impl Field {
    /// Judges of a service with this weight, as rarely wrong as was promised where they can be told to be.
    pub(crate) fn new(weight: f64, promise_s: f64) -> Self {
        let judges: [Box<dyn Reference>; NAMES.len()] = [
            Box::new(Sequential::new(weight, promise_s)),
            Box::<Kayenta>::default(),
            Box::new(Thresholds::flagger()),
            Box::new(Thresholds::argo()),
            Box::<EveryTick>::default(),
        ];
        let runner = |judge: Box<dyn Reference>| Runner { next_s: judge.every_s(), judge, found_s: None };
        Self { judges: judges.map(runner).into(), coming: BinaryHeap::new() }
    }

    /// A request has come.
    pub(crate) fn take(&mut self, request: &Request) {
        self.pass(request.start);
        let latency = request.latency.filter(|latency| *latency <= GIVEN_UP);
        let failed = request.failed || latency.is_none();
        let latency = latency.unwrap_or(GIVEN_UP);
        let end = Reverse(Micros(request.start.0 + latency.0));
        self.coming.push(Coming { end, latency, failed, kubernetes: request.side == Side::Kubernetes });
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, now: Micros) {
        while self.coming.peek().is_some_and(|first| first.end.0 <= now)
            && let Some(coming) = self.coming.pop()
        {
            let at_s = coming.end.0.0 as f64 / 1e6;
            self.look(at_s);
            let side = if coming.kubernetes { Side::Kubernetes } else { Side::Helios };
            let ended =
                Ended { at_s, side, failed: coming.failed, latency_ms: coming.latency.0 as f64 / 1e3 };
            for runner in &mut self.judges {
                runner.judge.take(&ended);
            }
        }
        self.look(now.0 as f64 / 1e6);
    }

    /// When each first said that Kubernetes is to be left, in seconds since the trace began.
    pub(crate) fn found_s(&self) -> Vec<Option<f64>> {
        self.judges.iter().map(|runner| runner.found_s).collect()
    }

    fn look(&mut self, now_s: f64) {
        for runner in self.judges.iter_mut().filter(|runner| runner.found_s.is_none()) {
            while runner.next_s <= now_s && runner.found_s.is_none() {
                if runner.judge.look(runner.next_s) {
                    runner.found_s = Some(runner.next_s);
                }
                runner.next_s += runner.judge.every_s();
            }
        }
    }
}
