//! Switchback.
pub mod clock;
pub mod model;
pub mod splitter;
pub mod verdict;
