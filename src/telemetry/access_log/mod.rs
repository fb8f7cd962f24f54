//! The access log: one line of JSON for every request that belonged to a service, written when the end of its
//! answer is known.
//!
//! Workers put what they know into a bounded queue, and one thread makes lines of it and writes them. A worker
//! never waits: past the bound records are dropped, and counted. The file may be renamed and removed under the
//! writer's feet, as log rotation does, and the disk may be full: lines are then tried again, whole.

mod file;
mod queue;
mod record;
mod writer;

pub(crate) use file::LogFile;
pub(crate) use queue::{AccessLog, Counts};
pub use record::{AccessOutcome, AccessRecord};
pub(crate) use record::{Finished, FirstTry};
pub(crate) use writer::{AccessLogWriter, start};
