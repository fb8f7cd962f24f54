//! Switchback.
pub mod clock;
pub mod model;
pub mod rollout;
pub mod splitter;
pub mod verdict;
