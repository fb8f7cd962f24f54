use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Fault, Loaded};
use crate::model::{Millis, ServiceName, UnixMillis, Weight};
use crate::rollout::{Actor, Record, Refusal};
use crate::snapshot::Snapshot;
use crate::tally::Report;
use crate::tls::Expiry;

use super::discovery::Look;
use super::health::Opinion;
use super::journal::{ActorRecord, AppliedRecord, EndpointsRecord, ReceiptRecord};
use super::views::{ProcessStatus, SensitivityStatus, ServiceStatus};

/// Everything that can happen to control.
#[derive(Debug)]
pub(super) enum Event {
    /// A tick has passed.
    Tick,
    /// A worker has counted.
    Report(Report),
    /// The configuration was read again.
    Config(Result<Loaded, Vec<Fault>>),
    /// A record is on disk, or could not be written.
    Written { service: ServiceName, revision: u64, ok: bool },
    /// Workers go by a revert.
    Applied { service: ServiceName, reverted: UnixMillis, applied: AppliedRecord },
    /// Certificates were read again, or will end.
    Certificates(Vec<CertificateNews>),
    /// Sources have said where endpoints are, or that they cannot.
    Looked(Vec<Look>),
    /// Endpoints were checked.
    Checked(Vec<Opinion>),
    /// Somebody asks for something.
    Asked(Ask, Command),
}

/// What became of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateNews {
    /// This one is in use.
    InUse(Expiry),
    /// Their files have changed, and new connections go by them.
    Renewed(Vec<PathBuf>),
    /// What lies there cannot be used; the last good ones stay in use.
    Refused(String),
    /// It ends in so many days, or has ended.
    Ending(PathBuf, i64),
}

/// The number of a question, by which its answer finds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask(pub(super) u64);

/// The time of an event, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) mono: Millis,
    pub(super) wall: UnixMillis,
}

/// What people and programs ask for.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// How is everything?
    Process,
    /// How are the services, or this one?
    Status(Option<ServiceName>),
    /// The latest receipt of a service.
    Receipt(ServiceName),
    /// How soon would trouble with a service be seen?
    Sensitivity(ServiceName),
    /// Set a service's weight.
    SetWeight {
        service: ServiceName,
        weight: Weight,
        lasts: Option<Duration>,
        /// Also if Helios could not take everything back.
        force: bool,
        by: Actor,
        reason: Arc<str>,
    },
    /// End a service's override.
    Clear { service: ServiceName, by: Actor, reason: Arc<str> },
    /// Take services back; all of them for `None`.
    Revert { services: Option<Vec<ServiceName>>, by: Actor, reason: Arc<str> },
    /// End a service's hold.
    Release {
        service: ServiceName,
        to: Weight,
        /// Also if Helios could not take everything back.
        force: bool,
        by: Actor,
        reason: Arc<str>,
    },
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Process(Box<ProcessStatus>),
    Status(Vec<ServiceStatus>),
    Receipt(Box<Option<ReceiptRecord>>),
    Sensitivity(SensitivityStatus),
    /// The weights that changed, and how far the change has come.
    Changed {
        changes: Vec<Change>,
        applied: Option<AppliedRecord>,
    },
    Refused(Refused),
}

/// A weight that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) service: String,
    pub(crate) before_percent: f64,
    pub(crate) after_percent: f64,
    /// `held`, `override` or `file`.
    pub(crate) why: String,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no service {0}")]
    NoService(ServiceName),
    #[error("{service}: {refusal}")]
    NotNow { service: ServiceName, refusal: Refusal },
    #[error("{0} has no {1} side: it can get no weight there")]
    NoSide(ServiceName, crate::model::Side),
    #[error("{service}: {why}; --force raises it all the same")]
    NoRoom { service: ServiceName, why: String },
    #[error("{0}: the change could not be written to the state directory, and is not in force")]
    NotWritten(ServiceName),
    #[error("{0}: the service was reverted or changed meanwhile; this change is not in force")]
    Overtaken(ServiceName),
    #[error("Switchback is stopping")]
    Stopping,
}

/// What control asks the loop to do, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    Publish(Snapshot),
    WriteRecord(ServiceName, Record),
    WriteReceipt(ServiceName, Box<ReceiptRecord>),
    WriteEndpoints(ServiceName, Box<EndpointsRecord>),
    /// Tell when every worker goes by what was published last.
    WatchApplied {
        service: ServiceName,
        reverted: UnixMillis,
    },
    Announce(Announcement),
    Answer(Ask, Answer),
    /// As `Answer`, once every worker goes by what was published last.
    AnswerWhenApplied(Ask, Vec<Change>),
}

/// Something that people may want to know at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
    /// What kind of thing happened.
    pub happening: Happening,
    /// The service that it happened to, if it was one.
    pub service: Option<String>,
    /// The team that owns the service.
    #[serde(default)]
    pub team: Option<String>,
    /// Who did it, if somebody did.
    pub by: Option<ActorRecord>,
    /// What happened, in a sentence.
    pub text: String,
}

/// Kinds of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// Switchback has started.
    Started,
    /// A service was taken back, by the judge or a person.
    Reverted,
    /// A hold was ended.
    Released,
    /// A weight was changed by a person, or an override ended.
    WeightChanged,
    /// A ramp has come to its next step.
    RampStepped,
    /// A ramp has come to its end, or was ended.
    RampEnded,
    /// The judge is wrong more often than it promises.
    PromiseBroken,
    /// So much goes wrong at once that it is not one service's trouble.
    FleetGuard,
    /// The judge would take a service back, but may only say so.
    Advised,
    /// A new configuration is in force.
    ConfigLoaded,
    /// A new configuration has faults; the last good one stays.
    ConfigRefused,
    /// Certificates have changed, and new connections go by them.
    CertificateRenewed,
    /// Certificates have changed, and cannot be used; the last good ones stay.
    CertificateRefused,
    /// A certificate ends soon, or has ended.
    CertificateEnding,
    /// It cannot be said where endpoints are; those that are known are kept.
    SourceFailing,
    /// It can be said again.
    SourceBack,
    /// A source suddenly knows much less than there was, and is not believed yet.
    SourceDoubted,
    /// An endpoint does much worse than its side's others, and is not asked for a while.
    Ejected,
    /// A cluster does much worse than its side's others, and is not asked for a while.
    ClusterOut,
    /// An endpoint fails its checks, and is not asked.
    Ill,
    /// It passes them again.
    Well,
    /// So many endpoints of a side fail their checks that all are asked all the same.
    Panicking,
    /// Helios could not take everything back that goes to Kubernetes.
    NoRoom,
    /// It could again.
    Room,
    /// More goes to Helios than it can take, and what is too much is refused.
    Shedding,
    /// A record could not be written.
    NotWritten,
    /// A record could not be read: the service is held.
    Unreadable,
}
