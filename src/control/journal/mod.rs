//! What must survive a restart: each service's word (hold or override), the receipts of its reverts, its endpoints, and what
//! its last calibration came to.
//!
//! One file a service, so that a damaged one costs that service only, and a service whose configuration is
//! gone keeps its hold for when it comes back. A file is written aside, synced, renamed over the old one, and
//! the folder synced: at every moment the disk has the old record or the new one, whole.
//!
//! A thread of its own writes, so that a slow disk delays neither reverts nor the judge.

mod calibration;
mod endpoints;
mod receipt;
mod record;
mod store;
mod writer;

pub(crate) use calibration::CalibrationsRecord;
pub use calibration::{
    BegunRecord, CalibrationRecord, EndingRecord, HalfRecord, JudgementRecord, QuestionRecord,
    SensitivityRecord, TrialRecord,
};
pub(crate) use endpoints::EndpointsRecord;
pub use receipt::{
    ActorRecord, AppliedRecord, BlamedRecord, CourseRecord, FindingRecord, ReceiptRecord, SideRecord,
};
pub(crate) use store::{Kept, OpenError, Store};
pub(crate) use writer::{Writer, Written};
