//! What is told to the outside: the vocabulary of metrics, and the log.

mod log;
pub(crate) mod names;
mod recorder;

pub use log::{LogFormat, init as init_log};
pub(crate) use recorder::{Recorded, Recorder};
