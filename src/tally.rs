//! UP: the counts that workers write and control reads.
//!
//! A worker counts for itself, without sharing, and sends what it has counted once a tick. Reports add up: the
//! sum over workers is the process'. Where control does not keep up, a worker keeps counting and sends later.

use std::collections::HashMap;

use tokio::sync::mpsc;

use crate::model::{Cause, Endpoint, PerSide, RouteKey};
use crate::snapshot::ServiceId;
use crate::splitter::Halves;
use crate::verdict::{Block, Latency, Stratum};

/// Reports that wait for control. A worker sends ten a second, so this is seconds of a control that is busy;
/// past it workers keep what they have counted.
const WAITING_REPORTS: usize = 256;

/// Latencies that one service's report carries for a side. A worker serves some 5,000 requests in a tick; past
/// this the rest is left out, and only quantiles and histograms notice.
const MOST_LATENCIES: usize = 8_192;

/// Endpoints that a report names with what failed on them.
const MOST_BLAMED: usize = 64;

/// Failures on Kubernetes of which a report says which requests they were.
const MOST_CITED: usize = 4;

/// Whether requests are counted and judged. They always are, but in a build that measures what that costs.
pub(crate) const IS_COUNTED: bool = !cfg!(feature = "measure-without-judge");

/// What one worker counted since its last report.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) worker: usize,
    pub(crate) services: Vec<ServiceReport>,
    /// Connections of clients at this moment.
    pub(crate) connections: usize,
    /// Connections that had to wait because the worker had as many as it may.
    pub(crate) accepts_paused: u64,
    /// Clients with whom TLS could not be agreed on.
    pub(crate) handshakes_failed: u64,
    /// Votes that were lost because too many waited.
    pub(crate) votes_lost: u64,
    /// Requests that belong to no service, by cause.
    pub(crate) refused: Causes,
}

/// What one worker counted for one service.
#[derive(Debug)]
pub(crate) struct ServiceReport {
    pub(crate) id: ServiceId,
    pub(crate) block: Block,
    pub(crate) tally: ServiceTally,
    /// Requests of routes that have no stratum of their own.
    pub(crate) routes: Vec<RouteReport>,
    /// Votes of Helios' halves, while it is compared with itself. Nothing else here knows of halves.
    pub(crate) calibration: Option<Box<HalvesReport>>,
}

/// How Helios' two halves voted.
#[derive(Debug)]
pub(crate) struct HalvesReport {
    /// Those of this calibration, and of no other.
    pub(crate) halves: Halves,
    pub(crate) block: Block,
    /// Votes that were lost because too many waited.
    pub(crate) lost: u64,
}

/// Requests of one route.
#[derive(Debug)]
pub(crate) struct RouteReport {
    pub(crate) key: RouteKey,
    pub(crate) requests: u32,
    /// Its name, once in a while: people are told of routes by name, and workers count by number.
    pub(crate) name: Option<Box<str>>,
}

/// Requests of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceTally {
    /// Tries by the side that was asked; the second try of a rescue among Helios'.
    pub(crate) sides: PerSide<SideTally>,
    /// Requests whose first try failed on Kubernetes and which Helios answered.
    pub(crate) rescued: u64,
    /// Requests whose failure on Kubernetes reached the client.
    pub(crate) unrescued: u64,
    /// Requests that Kubernetes was slow to answer, and Helios answered first.
    pub(crate) hedged: u64,
    /// Failures that could have been rescued but for the budget.
    pub(crate) over_budget: u64,
    /// Requests that no side was asked, by cause.
    pub(crate) refused: Causes,
    /// What clients got, by the answer's class: 1xx … 5xx.
    pub(crate) answers: [u64; 5],
    /// Where failures happened.
    pub(crate) blamed: HashMap<(Endpoint, Cause), u64>,
    /// A few requests that failed on Kubernetes.
    pub(crate) cited: Vec<Cited>,
    /// How each endpoint did that was asked.
    pub(crate) endpoints: PerSide<Vec<EndpointTally>>,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub(crate) struct Cited {
    /// Its identifier, or the trace that it is part of.
    pub(crate) id: Box<str>,
    pub(crate) endpoint: Endpoint,
    pub(crate) cause: Cause,
}

/// How one endpoint did.
#[derive(Clone, Debug)]
pub(crate) struct EndpointTally {
    pub(crate) endpoint: Endpoint,
    /// Tries that ended well.
    pub(crate) ok: u32,
    /// Tries that failed by its fault.
    pub(crate) failed: u32,
    /// Tries that wait for an answer at this moment, if it has given none for strangely long.
    pub(crate) silent: u32,
    /// Answers whose time is known, …
    pub(crate) timed: u32,
    /// … the sum of the logarithms to base 2 of their microseconds, …
    pub(crate) logs: f32,
    /// … and of the logarithms' squares.
    pub(crate) squares: f32,
}

/// Tries on one side.
#[derive(Debug, Default)]
pub(crate) struct SideTally {
    /// Tries that ended well.
    pub(crate) ok: u64,
    /// Tries that did not, by cause, whosever fault it was.
    pub(crate) failed: Causes,
    /// Times to the head of an answer.
    pub(crate) latencies: Vec<(Stratum, Latency)>,
}

/// A count for each cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Causes([u64; Cause::ALL.len()]);

impl Default for Causes {
    fn default() -> Self {
        Self([0; Cause::ALL.len()])
    }
}

/// A channel for reports.
pub(crate) fn channel() -> (mpsc::Sender<Report>, mpsc::Receiver<Report>) {
    mpsc::channel(WAITING_REPORTS)
}

impl ServiceTally {
    /// Notes where a failure happened.
    pub(crate) fn blame(&mut self, endpoint: &Endpoint, cause: Cause) {
        let what = (endpoint.clone(), cause);
        if self.blamed.len() < MOST_BLAMED || self.blamed.contains_key(&what) {
            *self.blamed.entry(what).or_default() += 1;
        }
    }

    /// Notes which request it was that failed.
    pub(crate) fn cite(&mut self, id: &str, endpoint: &Endpoint, cause: Cause) {
        if self.cited.len() < MOST_CITED {
            self.cited.push(Cited { id: id.into(), endpoint: endpoint.clone(), cause });
        }
    }

    /// Notes what a client got.
    pub(crate) fn answer(&mut self, status: http::StatusCode) {
        if IS_COUNTED {
            let class = usize::from(status.as_u16() / 100).clamp(1, 5);
            self.answers[class - 1] += 1;
        }
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        let quiet = |side: &SideTally| side.ok == 0 && side.failed.total() == 0 && side.latencies.is_empty();
        quiet(&self.sides.helios)
            && quiet(&self.sides.kubernetes)
            && self.refused.total() == 0
            && self.rescued + self.unrescued + self.over_budget + self.answers.iter().sum::<u64>() == 0
    }
}

impl EndpointTally {
    pub(crate) const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, ok: 0, failed: 0, silent: 0, timed: 0, logs: 0.0, squares: 0.0 }
    }

    pub(crate) fn ended_well(&mut self) {
        self.ok = self.ok.saturating_add(1);
    }

    pub(crate) fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// An answer took so many microseconds.
    pub(crate) fn took(&mut self, micros: f32) {
        let log = micros.max(1.0).log2();
        self.timed += 1;
        self.logs += log;
        self.squares += log * log;
    }

    /// Whether nothing was counted.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ok == 0 && self.failed == 0 && self.silent == 0 && self.timed == 0
    }
}

impl SideTally {
    /// Notes how long an answer took.
    pub(crate) fn answered_in(&mut self, stratum: Stratum, latency: Latency) {
        if IS_COUNTED && self.latencies.len() < MOST_LATENCIES {
            self.latencies.push((stratum, latency));
        }
    }
}

impl Causes {
    /// Counts one.
    pub(crate) fn count(&mut self, cause: Cause) {
        self.0[cause.index()] += 1;
    }

    /// How often this happened.
    pub(crate) fn of(&self, cause: Cause) -> u64 {
        self.0[cause.index()]
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every cause that happened, and how often.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().map(|cause| (cause, self.of(cause))).filter(|(_, count)| *count > 0)
    }
}
