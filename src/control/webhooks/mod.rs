//! Tells people and programs what happens, by webhooks.
//!
//! Control hands each announcement over and goes on; a thread of its own keeps it on disk until it has arrived, was refused, or is
//! a day old. Nothing that a receiver does, or does not do, is felt by anybody but itself.
//!
//! ```text
//! control ─ announcement ─▶ Post: who wants to know? ─ Parcel ─▶ Office ─▶ Desk ⇄ Queue on disk      one for each webhook
//!    ▲                                                                      │ courier: shape, sign, send, wait
//!    └───────────────────────────── status ◀───────────────────────────────┘
//! ```
//!
//! - *A message is kept before it has a shape.* What its receiver is, and which key is good, is looked up anew for each try.
//! - *At least once*: a process that ends between an answer and the disk sends the message again, with the same id.
//! - *One at a time, those of one service in order*: a release that overtook its revert would leave an incident open for ever. One that
//!   its receiver cannot take, and others that it can, is set aside.
//! - *The disk is written on the thread that sends.* It serves nobody; while a disk hangs nothing is told, and control loses no time.
//! - *What is lost is the oldest*: what is true now is worth more than what was.

mod complaint;
mod courier;
mod desk;
mod keys;
mod message;
mod meters;
mod post;
mod queue;
mod run;
mod schedule;
mod send;
mod shape;
mod sign;
mod status;
mod topic;
mod turn;

pub(crate) use post::{Letterbox, NotTested, TestResult, Tested};
pub(super) use post::{Post, start};
pub use status::WebhookStatus;
