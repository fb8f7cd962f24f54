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

mod capacity;
mod certificates;
mod discovery;
mod ejection;
mod entry;
mod event;
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
mod webhooks;

pub use event::{Announcement, Happening};
pub use journal::{
    ActorRecord, AppliedRecord, BlamedRecord, CourseRecord, FindingRecord, ReceiptRecord, SideRecord,
};
pub use views::{
    DegradationStatus, FitStatus, ProcessStatus, SensitivityStatus, ServiceStatus, SideStatus, SourceStatus,
};
pub use webhooks::WebhookStatus;

pub(crate) use event::{Answer, Change, Command, Refused};
pub(crate) use journal::{Kept, OpenError, Store};
pub(crate) use run::{Handle, Seed, start};
pub(crate) use webhooks::{NotTested, TestResult, Tested};
