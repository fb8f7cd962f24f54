//! Who asks: what a caller shows is held against the rights file, and becomes a name and rights. What they may do with those is
//! decided in control.
//!
//! ```text
//! certificate · token · user of the machine ──Proof──▶ Standing ──▶ Caller ──▶ control: may they?
//!                                    the rights file ─────┘
//! ```
//!
//! A proof is held against the rights in force anew with each request, and with each line of what is followed: whoever is
//! taken off the list is out within a second, also where a connection stays open. Without a rights file everybody is believed.

mod attempts;
mod authenticate;
mod denied;
mod diary;
mod fetch;
mod follow;
mod gate;
mod keyring;
mod proof;
mod schedule;
mod users;

pub(super) use attempts::network;
pub(super) use authenticate::authenticate;
pub(super) use follow::Follower;
pub(super) use gate::{Gate, Known};
