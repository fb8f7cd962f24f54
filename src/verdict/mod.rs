//! Is Kubernetes worse than Helios, by more than was agreed to be tolerated, right now?
//!
//! The judge watches all the time, for months, and looks ten times a second. It promises one thing: how rarely
//! it may be wrong ([`Rule::false_revert_every`]). Everything here is pure and deterministic: blocks of votes
//! go in, in order, with their time; the same blocks give the same findings on every machine and in replay.
//!
//! ```text
//! request ─▶ Ballot: a vote for each Question, cast at a fixed age ─▶ Block (votes a side, stratum and tick)
//!                                                                       │
//!    Helios' history ──▶ evidence against history,   h  ┐               │
//!    the same seconds ─▶ evidence against right now, p  ┘◀──────────────┘
//!                                   │ divided by Helios' own noise, credited, capped
//!                     R ← (R + Δ)·e^h  (seconds)      G ← G + p   (nats)
//!                                   │
//!            worse  when  Σ weight·R·[G ≥ gate]  ≥  false_revert_every  (seconds)
//! ```
//!
//! Two kinds of evidence are needed because they fail differently. Against *history* ("Kubernetes fails more
//! than Helios has been failing") has almost the full power of an oracle, but a shared outage breaks its
//! assumption at once. Against *right now* ("more than Helios fails in the same moments") holds however the
//! shared rate moves, but is slow where Helios has little traffic. The first must reach the whole threshold,
//! the second a small one, the [`gate`]: for failures of a service of several routes some 6 nats at a promise of a month,
//! and 8.5 at one of a year; more for questions with a smaller share of the promise. So a shared event each day does
//! not break it.
//!
//! R is a Shiryaev–Roberts e-detector in seconds (J. Shin, A. Ramdas, A. Rinaldo, *E-detectors*, 2023): every
//! second is a possible start of trouble. Σ weight·R − time is a supermartingale while Kubernetes is within
//! its tolerance, so the mean time to a false finding is at least `false_revert_every`, at any traffic and
//! however often one looks.
//!
//! # Who is compared with whom
//!
//! Requests are compared within their [`Stratum`]: that of their route if it has enough requests ([`Strata`]), else that
//! of all others. Each has its own Helios and its own ages. The whole service is judged too: the evidence of all
//! strata together, against what Helios would do if it were asked what Kubernetes is asked. So a shift of the
//! mix of routes is no evidence (Simpson's paradox).
//!
//! # What keeps a burst from being a finding
//!
//! - A tick adds at most a thirteenth of what a finding takes, so a restart of under a second is not enough. What an
//!   episode lacks in one tick it may make up for in the next, by little: failures of one in ten do not come in every
//!   tick. Nothing is saved before an episode begins, so an outage gains nothing by that.
//! - A bet is *credited* only with bad votes as often as it can explain. Otherwise one restart fills the bet on
//!   "0.3 % instead of 0.1 %" for a minute, and a few restarts add up. A bad vote more never lowers evidence when it
//!   comes, but it may cost some later: it uses up credit, and adds to the unrest that is told of below.
//! - Evidence is divided by how much more than chance Helios' own votes vary.
//! - Where Kubernetes' own bad votes come in clumps again and again, as when its endpoints restart each minute, bets on
//!   small shares gain at most half as fast (`unrest`). Trouble that has just begun does not hide itself: only what is
//!   over for half a minute counts. Bets on an outage are as fast as ever.
//! - In Helios' first minute nothing is known of that yet, and ticks count less.
//! - Requests that hang take their evidence along: what a tick's cap keeps back counts in the ticks that follow while
//!   they hang. Otherwise a side that hangs would silence the judge, because clients that wait ask nothing more.
//!
//! # What is assumed, and not proven
//!
//! Helios' rate is estimated, one standard deviation too high; the tolerance covers the error. Clumps of trouble on
//! Kubernetes alone, of which Helios shows nothing alike, are outside of what is promised: two restarts of one endpoint
//! within seconds may be found. How many chances a shared event has to open a gate is measured. That evidence of
//! either kind is no more than it may be is tested by enumeration of every result of small blocks, with credit,
//! caps, noise and what is withheld.
//!
//! Reading order: [`Question`], [`Ballot`], [`Watch`], [`Judge`], then `inquiry`, `ages`, `reference`, `bets`, `panel`
//! and `detector` for the mathematics.

mod ages;
mod assurance;
mod ballot;
mod bets;
mod block;
mod detector;
mod finding;
mod foresight;
mod groups;
mod inquiry;
mod judge;
mod latency;
mod noise;
mod panel;
mod presence;
mod question;
mod reference;
mod rule;
mod sensitivity;
mod strata;
mod thresholds;
mod unrest;
mod watch;

pub use ages::{Ages, CLASSES};
pub use assurance::Assured;
pub use ballot::{Ballot, Ticket};
pub use bets::{Bets, LADDER, right_now_projection};
pub use block::{Block, Counts, Part, Stratum, Votes};
pub use detector::gate;
pub use finding::{Finding, Moment, Weighed};
pub use foresight::{Degradation, Foresight, Hindrance};
pub use groups::Groups;
pub use judge::{Judge, Standing, Verdict};
pub use latency::{Latency, Recent};
pub use question::{PerQuestion, Question};
pub use rule::{Rule, Slower, Tolerance, YEAR};
pub use strata::{Change, Strata};
pub use thresholds::Thresholds;
pub use watch::Watch;

/// The tick: how often the judge looks, in milliseconds. Shorter ticks gain nothing, because a restart of one
/// endpoint lasts longer than the ticks that a finding needs; longer ones delay every finding.
pub const TICK_MS: u64 = 100;
