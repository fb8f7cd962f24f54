//! Switchback.
mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
mod dataplane;
pub mod model;
pub mod rollout;
mod snapshot;
pub mod splitter;
mod tally;
pub mod telemetry;
pub mod verdict;
