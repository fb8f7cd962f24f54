//! The program as a value: [`build()`] opens every socket and spawns nothing, [`Bound::start`] starts the
//! threads, [`Running::stop`] ends them. Tests and the demo run the real program in process this way, on
//! port 0.
//!
//! Order at start: configuration, state directory (and with it every hold), sockets, control with its first
//! snapshot, workers, admin. Order at the end: workers finish what they have, control writes what it has,
//! admin goes last.

mod bind;
mod build;
mod run;

pub use crate::admin::calls;
pub use build::{Bound, BuildError, build};
pub use run::{Ending, Running};
