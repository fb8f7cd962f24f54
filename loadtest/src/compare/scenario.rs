use anyhow::bail;

use crate::generate::Speaks;
use crate::peers::Peer::{self, Envoy, Haproxy, Nginx, Relay, Switchback};
use crate::report::Outcome;

use super::load::Load;
use super::{Setting, flips, idle, judge_cost, saturation, services, sidecar, workers};

/// Something that is measured.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) peers: &'static [Peer],
    /// Why not others.
    pub(crate) others: &'static str,
    /// Whether it is measured in a hurry, too.
    pub(crate) is_quick: bool,
    how: How,
}

enum How {
    /// Load, as much as each takes, and then at a steady rate.
    Load(Load),
    Other(fn(&Setting, &mut Outcome) -> anyhow::Result<()>),
}

const PROXIES: &[Peer] = &[Switchback, Haproxy, Nginx, Envoy];
const NO_RELAY: &str = "the relay reads no TLS and no requests";
const OWN: &str = "others: its bounds are Switchback's own";

const fn load(name: &'static str, about: &'static str, load: Load) -> Scenario {
    let (peers, others) = (PROXIES, NO_RELAY);
    Scenario { name, about, peers, others, is_quick: true, how: How::Load(load) }
}

const fn own(
    name: &'static str,
    about: &'static str,
    how: fn(&Setting, &mut Outcome) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { name, about, peers: &[Switchback], others: OWN, is_quick: true, how: How::Other(how) }
}

const TLS: Load = Load { speaks: Speaks::TlsHttp1, ..Load::PLAIN };
pub(super) const STREAMS: Load =
    Load { speaks: Speaks::TlsHttp2, connections: 16, streams: 8, ..Load::PLAIN };

/// Everything that is measured, in this order.
pub(crate) const SCENARIOS: [Scenario; 15] = [
    Scenario {
        peers: &[Switchback, Haproxy, Nginx, Envoy, Relay],
        others: "",
        ..load("h1-64", "HTTP/1.1, 64 keep-alive connections, answers of 125 bytes", Load::PLAIN)
    },
    load("h1-512", "the same over 512 connections", Load { connections: 512, ..Load::PLAIN }),
    load("tls-h1", "TLS 1.3, HTTP/1.1, 64 keep-alive connections", TLS),
    load("tls-h2", "TLS 1.3, HTTP/2, 16 connections of 8 streams", STREAMS),
    load(
        "grpc",
        "gRPC, unary calls, HTTP/2 on both legs, 16 connections of 8 streams",
        Load { speaks: Speaks::Grpc, ..STREAMS },
    ),
    load("connect", "a new connection each request", Load { anew: true, ..Load::PLAIN }),
    load("connect-tls", "the same over TLS: a full handshake each", Load { anew: true, ..TLS }),
    load("post-64k", "POST of 64 KiB", Load { body: 64 << 10, ..Load::PLAIN }),
    load("answers-1m", "answers of 1 MiB", Load { path: "/1m", ..Load::PLAIN }),
    Scenario {
        peers: PROXIES,
        others: "the relay keeps a connection to an endpoint for each",
        ..own("idle-10000", "memory that connections take which have carried a request and wait", idle::run)
    },
    own("services-5000", "5,000 services of 20 endpoints: start, reload, routing", services::run),
    own("flips", "the weight is changed 100 times a second by the admin API", flips::run),
    Scenario {
        peers: PROXIES,
        others: "the relay is no sidecar",
        ..own("sidecar", "nearly idle: 10 requests a second", sidecar::run)
    },
    own("workers-2", "two workers on two cores", workers::run),
    Scenario {
        // It needs a build of its own, and valgrind's patience.
        is_quick: false,
        ..own(
            "judge-cost",
            "instructions that judge, tallies and metrics take, and a tick over 5,000 services",
            judge_cost::run,
        )
    },
];

/// What all scenarios ask that are about what a request takes.
pub(crate) fn loads() -> impl Iterator<Item = (&'static str, Load)> {
    SCENARIOS.iter().filter_map(|scenario| match &scenario.how {
        How::Load(load) => Some((scenario.name, *load)),
        How::Other(_) => None,
    })
}

/// What a scenario asks, if it is one that asks.
pub(crate) fn load_of(name: &str) -> anyhow::Result<Load> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    match found.map(|scenario| &scenario.how) {
        Some(How::Load(load)) => Ok(*load),
        Some(How::Other(_)) => bail!("{name} is not about what a request takes"),
        None => bail!("there is no scenario {name}: see loadtest/compare --list"),
    }
}

impl Scenario {
    /// Measures. What breaks it off is told with what was found before.
    pub(crate) fn run(&self, setting: &Setting) -> Outcome {
        let mut outcome = Outcome { scenario: self.name, about: self.about, ..Outcome::default() };
        let setting = Setting { peers: setting.among(self.peers), ..setting.clone() };
        let done = match &self.how {
            How::Load(load) => saturation::run(&setting, load, &mut outcome),
            How::Other(run) => run(&setting, &mut outcome),
        };
        if let Err(error) = done {
            outcome.broken_off = Some(format!("{error:#}"));
        }
        outcome
    }
}
