//! The judge in rehearsal: over requests that were recorded, or made up, in virtual time.
//!
//! ```text
//! CSV ─Rows─┐
//! log ──────┼─▶ Request ─▶ Hearing (what a service would do) ─▶ Replay (the judge, tick by tick) ─▶ Decision
//! Simulation┘       └────▶ Picture ─▶ SVG
//! ```
//!
//! Nothing here reads a clock: a trace is judged as fast as it can be read, and the same trace gives the same
//! decisions, byte for byte. No decision depends on a row that comes after it, nor on the order of rows with the
//! same time.

mod hearing;
mod law;
mod lines;
mod log;
mod picture;
mod record;
mod replay;
mod routes;
mod rows;
mod scenario;
mod simulate;
mod svg;
mod trace;
mod what_if;

pub use hearing::{Conduct, Decision, Hearing, Summary, Word};
pub use law::Answers;
pub use lines::TraceError;
pub use log::{Log, LogError, read_log};
pub use picture::Picture;
pub use record::{DecisionRecord, SummaryRecord};
pub use replay::Replay;
pub use routes::Routes;
pub use rows::Rows;
pub use scenario::{Scenario, Truth, all as scenarios};
pub use simulate::Simulation;
pub use trace::{HEADER, Malformed, Request};
