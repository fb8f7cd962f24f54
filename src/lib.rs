//! Switchback.
pub mod clock;
pub mod config;
mod dataplane;
pub mod model;
pub mod rollout;
mod snapshot;
pub mod splitter;
mod tally;
pub mod verdict;
