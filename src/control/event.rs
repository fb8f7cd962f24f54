use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Fault, Loaded};
use crate::model::{Caller, Millis, Role, ServiceName, UnixMillis, Weight};
use crate::rollout::{Plan, Record, Refusal};
use crate::snapshot::Snapshot;
use crate::tally::Report;
use crate::tls::Expiry;

use super::calibration::{CalibrationStatus, Objection};
use super::discovery::Look;
use super::health::Opinion;
use super::history::Draft;
use super::journal::{
    ActorRecord, AppliedRecord, CalibrationsRecord, EndpointsRecord, LedgerRecord, ReceiptRecord,
};
use super::steering::{ApprovalStatus, MigrationStatus, PreviewStatus, ReadinessStatus};
use super::views::{ProcessStatus, SensitivityStatus, ServiceStatus};
use super::vocabulary::{Percent, WeightFrom};

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
    Asked(Ask, Box<Caller>, Box<Command>),
}

/// What became of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateNews {
    /// This one is in use.
    InUse(Expiry),
    /// Their files have changed, and new connections go by them.
    Renewed(Vec<PathBuf>),
    /// What lay there could not be used, and the last good ones lie there again.
    Restored,
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
    /// How goes a service's calibration, and what did the last one come to?
    Calibration(ServiceName),
    /// What would come of a change?
    Preview(Intent),
    /// How far is the migration?
    Migration,
    /// Is a service ready to be migrated?
    Readiness(ServiceName),
    /// May this be seen that is not of control's making?
    MayLook(Looking),
    /// Change something.
    Change(Intent, Why),
    /// Somebody could not be told from a stranger, so often since this was told last.
    LoginFailed { from: Arc<str>, details: Arc<str>, times: u64 },
    /// Who may do what is different now, in words.
    RightsChanged(Arc<str>),
    /// It was to be different and stays as it is, for this reason.
    RightsRefused(Arc<str>),
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    /// The weight of one service, now or by and by.
    Move(ServiceName, Wish),
    /// Compare a service's Helios with itself for so long.
    Calibrate(ServiceName, Duration),
    /// End that before its time.
    StopCalibration(ServiceName),
    /// Agree to what another person wants of a service: to what they asked for at this moment, if it is said.
    Approve(ServiceName, Option<UnixMillis>),
    /// Do not agree, or want it no more.
    Reject(ServiceName),
    /// Send somebody a message, to see whether it arrives.
    TestWebhook(Arc<str>),
    /// Take services back.
    Revert(Reach),
    /// Pause ramps.
    PauseRamps(Reach),
    /// Resume ramps.
    ResumeRamps(Reach),
}

/// What somebody wants of one service's weight.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Set it.
    SetWeight { weight: Weight, lasts: Option<Duration>, room: RoomAsked },
    /// End its override.
    Clear,
    /// End its hold.
    Release {
        to: Weight,
        /// Whether the revert was called for.
        cause: CauseOfRevert,
        room: RoomAsked,
    },
    /// Start its ramp.
    StartRamp {
        /// Its own plan; `None` for that of the file.
        plan: Option<Arc<Plan>>,
        /// The step to begin at.
        from: Option<Weight>,
        room: RoomAsked,
    },
    /// End its ramp.
    StopRamp,
    /// Begin its migration: start its ramp, if it is ready.
    Migrate { room: RoomAsked },
}

/// Which services something is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Services(Vec<ServiceName>),
    Team(Arc<str>),
    Cluster(Arc<str>),
    All,
}

/// Whether a weight is raised also where Helios could not take everything back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomAsked {
    Needed,
    NotNeeded,
}

/// What a person makes of a revert that they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CauseOfRevert {
    /// They do not say.
    Unsaid,
    /// Kubernetes was fine: the judge was wrong.
    FalseAlarm,
}

/// Why somebody wants something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) reason: Arc<str>,
    pub(crate) ticket: Option<Arc<str>>,
}

/// Something to look at that others than control know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    /// The history of a service, or all that somebody may see.
    History(Option<ServiceName>),
    /// The history as a whole.
    WholeHistory,
    /// What happens.
    Events,
    /// The metrics.
    Metrics,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Process(Box<ProcessStatus>),
    Status(Vec<ServiceStatus>),
    Receipt(Box<Option<ReceiptRecord>>),
    Sensitivity(SensitivityStatus),
    Calibration(Box<CalibrationStatus>),
    Preview(Vec<PreviewStatus>),
    Migration(Box<MigrationStatus>),
    Readiness(ReadinessStatus),
    /// The services that may be seen.
    Visible(Arc<BTreeSet<String>>),
    /// The weights that changed, how far the change has come, and whether it is on disk.
    Changed {
        changes: Vec<Change>,
        applied: Option<AppliedRecord>,
        /// `None` where nobody has waited for it.
        written: Option<bool>,
    },
    /// It waits for a second person.
    Waits(Box<ApprovalStatus>),
    Noted,
    Refused(Refused),
}

/// A weight that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Change {
    /// The service.
    pub(crate) service: String,
    /// The weight before, in percent.
    #[schema(value_type = Percent)]
    pub(crate) before_percent: f64,
    /// The weight now, in percent.
    #[schema(value_type = Percent)]
    pub(crate) after_percent: f64,
    /// What it comes from: `held`, `override`, `ramp` or `file`.
    #[schema(value_type = WeightFrom)]
    pub(crate) why: String,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no service {0}")]
    NoService(ServiceName),
    #[error("there is no service of team {0}")]
    NoTeam(Arc<str>),
    #[error("no service is on cluster {0}")]
    NoCluster(Arc<str>),
    #[error("there is no webhook {0}")]
    NoWebhook(Arc<str>),
    #[error("that takes the role {role} over {over}, which {name} does not have")]
    NoRight { name: Arc<str>, role: Role, over: String },
    #[error("{service}: {refusal}")]
    NotNow { service: ServiceName, refusal: Refusal },
    #[error("{0} has no {1} side: it can get no weight there")]
    NoSide(ServiceName, crate::model::Side),
    #[error("{service}: {why}; --force raises it all the same")]
    NoRoom { service: ServiceName, why: String },
    #[error("{service}: {step} is no step of its ramp: {steps}")]
    NoStep { service: ServiceName, step: Weight, steps: String },
    #[error("{service} is not ready to be migrated: {}", missing.join("; "))]
    NotReady { service: ServiceName, missing: Vec<String> },
    #[error("{0}: nothing waits for a second person")]
    NothingToApprove(ServiceName),
    #[error("{service}: {name} has asked for something else meanwhile, {what}: look at it, and approve that")]
    AskedAnew { service: ServiceName, name: Arc<str>, what: String },
    #[error("{service}: {name} has asked for it, and cannot agree to it too: it takes a second person")]
    SamePerson { service: ServiceName, name: Arc<str> },
    #[error(
        "{0}: raising its weight takes a second person, so people must be known: by a token, a certificate, or the admin socket"
    )]
    Unproven(ServiceName),
    #[error("{service}: {name} has asked for something already that waits for a second person: {what}")]
    WaitsAlready { service: ServiceName, name: Arc<str>, what: String },
    #[error("{service}: {by} has taken it back, and not the judge: it is no false alarm of the judge's")]
    NotTheJudge { service: ServiceName, by: crate::rollout::Actor },
    #[error("{service}: {objection}")]
    Calibration { service: ServiceName, objection: Objection },
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
    /// Write a record down, and in the history why.
    WriteRecord {
        service: ServiceName,
        record: Record,
        history: Behind,
    },
    /// Add this to the history.
    History(Draft),
    WriteReceipt(ServiceName, Box<ReceiptRecord>),
    WriteEndpoints(ServiceName, Box<EndpointsRecord>),
    WriteLedger(ServiceName, Box<LedgerRecord>),
    WriteCalibrations(ServiceName, Box<CalibrationsRecord>),
    /// Tell when every worker goes by what was published last.
    WatchApplied {
        service: ServiceName,
        reverted: UnixMillis,
    },
    Announce(Announcement),
    Answer(Ask, Answer),
    /// As `Answer`, once every worker goes by what was published last, and these records are on disk.
    AnswerWhenApplied(Ask, Vec<Change>, Vec<(ServiceName, u64)>),
}

/// Where the history has a record's reason.
#[derive(Debug)]
pub(super) enum Behind {
    /// Before the record: it is toward Kubernetes.
    First(Option<Box<Draft>>),
    /// Behind it: it is in force already.
    Then(Option<Box<Draft>>),
}

/// Something that people may want to know at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Whether it is part of what the fleet guard tells of: nobody need be woken for it once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_alarm: bool,
}

/// Kinds of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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
    /// A ramp was started, paused, resumed or stopped.
    RampChanged,
    /// A ramp has taken a step.
    RampStepped,
    /// A ramp has taken its last step, or a revert has ended it.
    RampEnded,
    /// A change waits for a second person.
    ApprovalWanted,
    /// Several services were taken back at once: what they have in common is likelier the cause.
    FleetGuard,
    /// The judge was wrong more often than it had promised.
    PromiseBroken,
    /// The judge would take a service back, but may only say so.
    Advised,
    /// Helios was compared with itself, and what that came to is known.
    Calibrated,
    /// A new configuration is in force.
    ConfigLoaded,
    /// A new configuration has faults; the last good one stays.
    ConfigRefused,
    /// Who may do what is different now.
    RightsChanged,
    /// A new rights file has faults; the last good one stays.
    RightsRefused,
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
