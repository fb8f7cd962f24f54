use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::ServiceName;
use crate::verdict::Question;

use super::super::views::DegradationStatus;
use super::super::vocabulary::Percent;
use super::receipt::ActorRecord;
use super::record::Unreadable;

/// What a calibration came to, as it is kept, sent and shown: Helios against Helios, by the judge that watches
/// Kubernetes. Of one that still runs, what it has come to so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationRecord {
    /// The service.
    pub service: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub begun_unix_ms: u64,
    /// Who began it.
    pub by: ActorRecord,
    /// Why, if they said so.
    #[serde(default)]
    pub reason: Option<String>,
    /// How long it was to last, in seconds.
    pub lasts_s: f64,
    /// When it ended, in milliseconds since 1970 UTC; if it still runs, the moment of this record.
    pub ended_unix_ms: u64,
    /// How long it ran, in seconds.
    pub ran_s: f64,
    /// Whether it ran to its end.
    pub ending: EndingRecord,
    /// Who stopped it or what changed, if it did not run to its end.
    #[serde(default)]
    pub ending_why: Option<String>,
    /// What it says of the promise.
    pub judgement: JudgementRecord,
    /// The same in a sentence.
    pub told: String,
    /// By the service's own promise.
    pub own: TrialRecord,
    /// By a promise that is short enough to be put to the test in the time that there was.
    pub short: TrialRecord,
    /// The half that stood for Helios.
    pub a: HalfRecord,
    /// The half that stood for Kubernetes.
    pub b: HalfRecord,
    /// Half of Helios' last answers took at most this long, in milliseconds.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// 99 in 100 of them took at most this long, in milliseconds.
    #[serde(default)]
    pub p99_ms: Option<f64>,
    /// Each question that the judge asks.
    pub questions: Vec<QuestionRecord>,
    /// Votes that were lost because too many waited.
    #[serde(default)]
    pub votes_lost: u64,
    /// How soon trouble on Kubernetes would be seen: at the weight that there was at the end, and at others. Empty while
    /// it runs.
    #[serde(default)]
    pub sensitivity: Vec<SensitivityRecord>,
}

/// How a calibration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndingRecord {
    /// It has not.
    Running,
    /// Its time was over.
    Finished,
    /// A person stopped it.
    Stopped,
    /// What the service is judged by has changed.
    Changed,
}

/// What a calibration says of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum JudgementRecord {
    /// There were no more false reverts than may come by chance.
    #[serde(rename = "within the promise")]
    Within,
    /// There were more.
    #[serde(rename = "broken")]
    Broken,
    /// The judge could hardly have found anything.
    #[serde(rename = "too short to say")]
    TooShort,
}

/// A promise, put to the test on Helios against itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialRecord {
    /// The promise: one false revert in so many seconds.
    pub promise_s: f64,
    /// The most false reverts that it allows in the time that there was, on average.
    pub expected: f64,
    /// How often the judge would have reverted.
    pub found: u32,
    /// The chance of so many or more if they come as often as is promised.
    #[schema(minimum = 0, maximum = 1)]
    pub chance: f64,
    /// The most evidence that there was, from 0 to 1 on the scale on which it grows evenly.
    pub most_evidence: f64,
    /// The same with what the gate held back as a shared event, as `evidence` in a service's status is.
    pub most_with_gated: f64,
}

/// One half of Helios' requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HalfRecord {
    /// Requests that were dealt to it.
    pub requests: u64,
    /// The same a second.
    pub per_second: f64,
    /// The share of them that failed by Helios' fault, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub failed: f64,
}

/// One question of the judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuestionRecord {
    /// `failure`, `stall`, `slow50`, `slower`, `slow99`, `far` or `farther`.
    #[schema(value_type = Question)]
    pub question: String,
    /// How much more than independent votes Helios' own vary, all of them together; 1 is no more. Evidence is divided by
    /// it.
    pub noise: f64,
    /// Votes of the half that stood for Helios.
    pub a_votes: u64,
    /// Bad ones among them.
    pub a_bad: u64,
    /// Votes of the half that stood for Kubernetes.
    pub b_votes: u64,
    /// Bad ones among them; as to latency, they were allowed to be later.
    pub b_bad: u64,
    /// Findings under the short promise that this question led to.
    pub found: u32,
}

/// How soon trouble on Kubernetes would be seen at one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SensitivityRecord {
    /// The weight, in percent.
    #[schema(value_type = Percent)]
    pub weight_percent: f64,
    /// Whether it was the weight in force.
    pub in_force: bool,
    /// Requests a second on Helios.
    pub helios_per_second: f64,
    /// Requests a second on Kubernetes.
    pub kubernetes_per_second: f64,
    /// What may happen.
    pub degradations: Vec<DegradationStatus>,
}

/// A calibration that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BegunRecord {
    /// When, in milliseconds since 1970 UTC.
    pub begun_unix_ms: u64,
    /// Who began it.
    pub by: ActorRecord,
    /// Why, if they said so.
    #[serde(default)]
    pub reason: Option<String>,
    /// How long it was to last, in seconds.
    pub lasts_s: f64,
}

/// What is kept of a service's calibrations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalibrationsRecord {
    version: u32,
    service: String,
    /// The last that has ended.
    #[serde(default)]
    pub(in crate::control) last: Option<CalibrationRecord>,
    /// One that had begun and had not ended. To whoever reads this it was cut short.
    #[serde(default)]
    pub(in crate::control) begun: Option<BegunRecord>,
}

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

impl CalibrationsRecord {
    pub(in crate::control) fn of(
        service: &ServiceName,
        last: Option<CalibrationRecord>,
        begun: Option<BegunRecord>,
    ) -> Self {
        Self { version: VERSION, service: service.to_string(), last, begun }
    }

    /// Reads a kept record.
    pub(super) fn decode(service: &ServiceName, bytes: &[u8]) -> Result<Self, Unreadable> {
        let record: Self = serde_json::from_slice(bytes)?;
        if record.version != VERSION {
            return Err(Unreadable::Version(record.version));
        }
        if record.service != service.as_str() {
            return Err(Unreadable::OtherService(record.service));
        }
        Ok(record)
    }
}
