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

mod approval;
mod calibration;
mod capacity;
mod certificates;
mod discovery;
mod ejection;
mod entry;
mod event;
mod gathering;
mod guard;
mod health;
mod history;
mod journal;
mod lasting;
mod ledger;
mod lineup;
mod meters;
mod note;
mod on_disk;
mod ramping;
mod readiness;
mod receipt;
mod refusals;
mod roster;
mod run;
mod shed;
mod state;
mod steering;
mod step;
mod traffic;
mod views;
mod vocabulary;
mod watch;
mod webhooks;

pub use calibration::CalibrationStatus;
pub use event::{Announcement, Happening};
pub use history::{Deed, DeedOutcome, Draft, HistoryEntry, HistoryFault, ReceiptSeal, Verification};
pub use journal::{
    ActorRecord, AppliedRecord, BegunRecord, BlamedRecord, CalibrationRecord, CitedRecord, CourseRecord,
    EndingRecord, EvidenceRecord, FindingRecord, HalfRecord, JudgementRecord, QuestionRecord, ReceiptRecord,
    SecondRecord, SensitivityRecord, SideRecord, TrialRecord,
};
pub use steering::{
    ApprovalStatus, MigrationRow, MigrationStatus, MigrationSum, PreviewStatus, RampStatus, ReadinessCheck,
    ReadinessStatus, StepStatus, WaitStatus,
};
pub use views::{
    CalibratingStatus, DegradationStatus, FitStatus, ProcessStatus, SensitivityStatus, ServiceStatus,
    SideStatus, SourceStatus,
};
pub(crate) use vocabulary::Percent;
pub use webhooks::WebhookStatus;

pub(crate) use calibration::CalibrationOrder;
pub(crate) use event::{
    Answer, CauseOfRevert, Change, Command, Intent, Looking, Reach, Refused, RoomAsked, Why, Wish,
};
pub(crate) use history::{Page, Reader};
pub(crate) use journal::{Kept, OpenError, Store};
pub(crate) use run::{Handle, Seed, start};
pub(crate) use webhooks::{NotTested, TestResult, Tested};
