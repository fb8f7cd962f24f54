//! Calibration: Helios against Helios, by the judge that watches Kubernetes. How noisy is a service, do false reverts stay
//! within the promise, and how soon would trouble be seen?
//!
//! Workers label what they send to Helios as one of two halves ([`Halves`](crate::splitter::Halves)), which moves nobody, and
//! send up the halves' votes beside the sides'. A [`Running`](running::Running) calibration judges them. What is found is
//! false by construction, and is counted.
//!
//! It begins with what the service's judge knows of Helios, and grants B no grace: B is as warm as A. So it says what the
//! service's judge would do now, and not what a new one would do in its first minute. The service's judge hears nothing of
//! all this: another block, other judges.
//!
//! A promise of a year cannot be put to the test in an hour. So a second judge promises so little that some false reverts
//! would be allowed, and it is counted whether there are more. This tests all that a promise rests on but for its size: that
//! halves that are alike are not told apart, with the service's own clumps, routes, latencies and users. Where it errs, it
//! errs toward `broken`: the gate of a short promise is lower, and lets more of what hits both halves through.

mod judgement;
mod poisson;
mod record;
mod running;
mod service;
mod steps;
mod trial;

pub(super) use service::{Calibrations, Objection};
pub(super) use steps::{begin, reconsider, stop, tell, tick};

pub use record::CalibrationStatus;
pub(crate) use running::CalibrationOrder;

#[cfg(test)]
mod tests;
