//! The HTTP API by which people and programs look and steer, over TCP, with TLS or without, and on a Unix socket.
//!
//! `routes` is the one list of its calls, by which they are answered and of which its OpenAPI document is made; each handler
//! says beside its code what it takes and what it answers. The guide's table is for people, and a test compares it.
//!
//! What is refused is answered with Problem Details (RFC 9457). Who asks is found out in `access`, before anything of a
//! request is read but its head; what they may is decided by control. Without TLS only requests are served whose `Host` is a
//! loopback name: a web page that a person happens to have open cannot reach it by having a name of its own resolve to
//! 127.0.0.1.
//!
//! ```text
//! listen: socket, TLS ─▶ refuse_strangers ─▶ authenticate ─▶ take_in: the body ─▶ a place ─▶ handler ─▶ control
//! ```

mod access;
mod address;
mod calibration;
mod caller;
mod calls;
mod change;
pub(crate) mod client;
mod csv;
pub(crate) mod document;
mod events;
mod history;
mod ledger;
mod listen;
mod look;
mod peer;
mod probes;
mod problem;
mod ramps;
mod read;
mod receipts;
mod routes;
mod scope;
mod serve;
mod texts;
mod webhooks;
pub(crate) mod wire;

pub use routes::calls;
pub(crate) use serve::{AdminSeed, start};
