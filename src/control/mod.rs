//! The control plane: one thread, one loop.
//!
//! Everything that can happen is one [`event::Event`]; [`step`] is pure, and says what is to be done as a list of
//! [`event::Effect`]s; [`run`] performs them. Only it publishes snapshots.
//!
//! ```text
//! files · workers' reports · the disk · people · time ──Event──▶ step ──Effect──▶ run
//!                                                                  │
//!            reports ─ each tick ─▶ Block ─▶ Judge ─▶ Finding ─▶ Rollout ─▶ Snapshot ──swap──▶ every worker
//! ```

mod calibration;
mod capacity;
mod certificates;
mod discovery;
mod ejection;
mod entry;
mod event;
mod gathering;
mod health;
mod journal;
mod lineup;
mod meters;
mod receipt;
mod roster;
mod run;
mod shed;
mod state;
mod step;
mod traffic;
mod views;
mod watch;

pub use calibration::CalibrationStatus;
pub use event::{Announcement, Happening};
pub use journal::{
    ActorRecord, AppliedRecord, BegunRecord, BlamedRecord, CalibrationRecord, CourseRecord, EndingRecord,
    FindingRecord, HalfRecord, JudgementRecord, QuestionRecord, ReceiptRecord, SensitivityRecord, SideRecord,
    TrialRecord,
};
pub use views::{
    DegradationStatus, FitStatus, ProcessStatus, SensitivityStatus, ServiceStatus, SideStatus, SourceStatus,
};

pub(crate) use calibration::CalibrationOrder;
pub(crate) use event::{Answer, Change, Command, Refused};
pub(crate) use journal::{Kept, OpenError, Store};
pub(crate) use run::{Handle, Seed, start};
