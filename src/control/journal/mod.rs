//! What must survive a restart: what was said of each service (a hold or an override, a ramp), the receipts of its reverts,
//! the history of who did what, its endpoints, what the ledger of migrations knows of it, and what its last calibration came to.
//!
//! One file a service, so that a damaged one costs that service only, and a service whose configuration is
//! gone keeps its hold for when it comes back. A file is written aside, synced, renamed over the old one, and
//! the folder synced: at every moment the disk has the old record or the new one, whole.
//!
//! A thread of its own writes, so that a slow disk delays neither reverts nor the judge.

mod calibration;
mod endpoints;
mod kept_ramp;
mod ledger;
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
pub(crate) use ledger::LedgerRecord;
pub use receipt::{
    ActorRecord, AppliedRecord, BlamedRecord, CitedRecord, CourseRecord, EvidenceRecord, FindingRecord,
    ReceiptRecord, SecondRecord, SideRecord,
};
#[cfg(test)]
pub(in crate::control) use record::{decode, encode};
pub(crate) use store::{Kept, OpenError, Store};
pub(crate) use writer::{Writer, Written, WrittenWhat};
