//! The data plane: once per worker, sharing nothing.
//!
//! A worker is one OS thread with its own runtime, listeners, pools, timers and tallies. Between workers, and
//! between a worker and control, there are a snapshot (down) and a report (up), and nothing else: no lock,
//! and nothing that is waited for.
//!
//! ```text
//! listener ─▶ connection ─▶ serve ─▶ route ─▶ splitter::choose ─▶ exchange ─▶ answer
//!                                                                   │  attempt (endpoints: pick, pool, connect)
//!                                                                   ├─ rescue: the same on Helios
//!                                                                   └─ relay: what was upgraded, to its end
//! ```
//!
//! Invariants: no `RefCell` is borrowed over an `.await`. A [`attempt::Try`] that was begun ends exactly once,
//! with whose fault it was, also when it is dropped. What waits for a peer waits in [`waits::Waits`], with a
//! limit, and without a timer of its own.

mod answer;
mod asking;
mod attempt;
mod beat;
mod body;
mod broken;
mod calibration;
mod connection;
mod core;
mod crowd;
mod drain;
mod endpoints;
mod exchange;
mod forwarded;
mod handshake;
mod headers;
mod hedge;
mod held;
mod http1;
mod http2;
mod incoming;
mod lifetime;
mod listener;
mod listening;
mod origin;
mod pace;
mod relay;
mod rescue;
mod respond;
mod room;
mod routes;
mod rules;
mod serve;
mod service;
mod serving;
mod told;
mod trace;
mod trace_context;
mod turns;
mod upgrade;
mod waits;
mod websocket;
mod wire;
mod worker;

pub(crate) use listening::Listening;
pub(crate) use worker::{DoorSeed, Stop, WorkerSeed, start};
