//! Is Kubernetes worse than Helios, by more than was agreed to be tolerated, right now?
//!
//! The judge watches all the time, for months, and looks ten times a second. It promises one thing: how rarely
//! it may be wrong ([`Rule::false_revert_every`]). Everything here is pure and deterministic: blocks of votes
//! go in, in order, with their time; the same blocks give the same findings on every machine and in replay.
//!
//! ```text
//! request ─▶ Ballot: a vote for each Question, cast at a fixed age ─▶ Block (votes a side, a tick)
//!                                                                       │
//!    Helios' history ──▶ evidence against history,   h  ┐               │
//!    the same seconds ─▶ evidence against right now, p  ┘◀──────────────┘
//!                                   │ divided by Helios' own noise, capped
//!                     R ← (R + Δ)·e^h  (seconds)      G ← G + p  (nats)
//!                                   │
//!            worse  when  Σ weight·R·[G ≥ 7]  ≥  false_revert_every  (seconds)
//! ```
//!
//! Two kinds of evidence are needed because they fail differently. Against *history* ("Kubernetes fails more
//! than Helios has been failing") has almost the full power of an oracle, but a shared outage breaks its
//! assumption at once. Against *right now* ("more than Helios fails in the same moments") holds however the
//! shared rate moves, but is slow where Helios has little traffic. The first must reach the whole threshold,
//! the second a small one, [`GATE`]: odds of a thousand to one that this is not a shared event.
//!
//! R is a Shiryaev–Roberts e-detector in seconds (J. Shin, A. Ramdas, A. Rinaldo, *E-detectors*, 2023): every
//! second is a possible start of trouble. Σ weight·R − time is a supermartingale while Kubernetes is within
//! its tolerance, so the mean time to a false finding is at least `false_revert_every`, at any traffic and
//! however often one looks.
//!
//! A tick adds at most a twelfth of what a finding takes, so that the burst of a restart is not enough. What it
//! has beyond that is lost, unless the requests that it came from hang on: then it counts in the ticks that
//! follow. Otherwise a side that hangs would silence the judge, because clients that wait ask nothing more.
//!
//! What is here judges each service as a whole. Reading order: [`Question`], [`Ballot`], [`Judge`], then
//! `inquiry`, `reference`, `bets` and `detector` for the mathematics.

mod ballot;
mod bets;
mod block;
mod detector;
mod inquiry;
mod judge;
mod latency;
mod noise;
mod question;
mod reference;
mod rule;
mod sensitivity;
mod thresholds;

pub use ballot::{Ballot, Ticket};
pub use bets::{Bets, LADDER, right_now_projection};
pub use block::{Block, Counts, Votes};
pub use detector::GATE;
pub use inquiry::Finding;
pub use judge::{Judge, Standing, Verdict};
pub use latency::{Latency, Recent};
pub use question::{PerQuestion, Question};
pub use rule::{Rule, Slower, Tolerance};
pub use thresholds::Thresholds;

/// The tick: how often the judge looks, in milliseconds. Shorter ticks gain nothing, because a restart of one
/// endpoint lasts longer than the twelve ticks that a finding needs; longer ones delay every finding.
pub const TICK_MS: u64 = 100;
