//! What is told to the outside: the vocabulary of metrics, the log, and the access log.

mod access_log;
mod log;
pub(crate) mod names;
mod recorder;

pub(crate) use access_log::{
    AccessLog, AccessLogWriter, Counts as AccessLogCounts, Finished, FirstTry, LogFile,
    start as start_access_log,
};
pub use access_log::{AccessOutcome, AccessRecord};
pub use log::{LogFormat, init as init_log};
pub(crate) use recorder::{Recorded, Recorder};
