use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::UnixMillis;
use crate::rollout::{Again, Cut, Freeze, Going, Hours, Plan, Ramp, Span, Step, Zone};

use super::receipt::ActorRecord;
use super::record::{Unreadable, weight};

/// A ramp as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptRamp {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<KeptPlan>,
    weight_percent: f64,
    since_unix_ms: u64,
    by: ActorRecord,
    reason: String,
    started_unix_ms: u64,
    going: KeptGoing,
    cut_at_percent: f64,
    agains: u32,
}

/// A ramp that a revert has ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptCut {
    at_percent: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<KeptPlan>,
    agains: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KeptGoing {
    On,
    Paused { by: ActorRecord, reason: String, since_unix_ms: u64 },
    Done,
}

/// A plan that is not the file's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptPlan {
    steps: Vec<KeptStep>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<String>,
    zone: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    freezes: Vec<KeptFreeze>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<KeptAgain>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptStep {
    to_percent: f64,
    hold_ms: u64,
    requests: u64,
    certainty: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFreeze {
    from_unix_ms: u64,
    to_unix_ms: u64,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptAgain {
    after_ms: u64,
    most: u32,
}

impl KeptRamp {
    pub(super) fn of(ramp: &Ramp) -> Self {
        Self {
            plan: ramp.plan.as_deref().map(KeptPlan::of),
            weight_percent: ramp.weight.percent(),
            since_unix_ms: ramp.since.0,
            by: (&ramp.by).into(),
            reason: ramp.reason.to_string(),
            started_unix_ms: ramp.started.0,
            going: match &ramp.going {
                Going::On => KeptGoing::On,
                Going::Paused { by, reason, since } => {
                    KeptGoing::Paused { by: by.into(), reason: reason.to_string(), since_unix_ms: since.0 }
                }
                Going::Done => KeptGoing::Done,
            },
            cut_at_percent: ramp.cut_at.percent(),
            agains: ramp.agains,
        }
    }

    pub(super) fn read(self) -> Result<Ramp, Unreadable> {
        Ok(Ramp {
            plan: self.plan.map(KeptPlan::read).transpose()?,
            weight: weight(self.weight_percent)?,
            since: UnixMillis(self.since_unix_ms),
            by: self.by.into(),
            reason: self.reason.into(),
            started: UnixMillis(self.started_unix_ms),
            going: match self.going {
                KeptGoing::On => Going::On,
                KeptGoing::Paused { by, reason, since_unix_ms } => {
                    Going::Paused { by: by.into(), reason: reason.into(), since: UnixMillis(since_unix_ms) }
                }
                KeptGoing::Done => Going::Done,
            },
            cut_at: weight(self.cut_at_percent)?,
            agains: self.agains,
        })
    }
}

impl KeptCut {
    pub(super) fn of(cut: &Cut) -> Self {
        let plan = cut.plan.as_deref().map(KeptPlan::of);
        Self { at_percent: cut.at.percent(), plan, agains: cut.agains }
    }

    pub(super) fn read(self) -> Result<Cut, Unreadable> {
        let plan = self.plan.map(KeptPlan::read).transpose()?;
        Ok(Cut { at: weight(self.at_percent)?, plan, agains: self.agains })
    }
}

impl KeptPlan {
    fn of(plan: &Plan) -> Self {
        let step = |step: &Step| KeptStep {
            to_percent: step.to.percent(),
            hold_ms: ms(step.hold),
            requests: step.requests,
            certainty: step.certainty,
        };
        let freeze = |freeze: &Freeze| KeptFreeze {
            from_unix_ms: freeze.from.0,
            to_unix_ms: freeze.to.0,
            text: freeze.text.to_string(),
        };
        Self {
            steps: plan.steps.iter().map(step).collect(),
            hours: plan.hours.spans.iter().map(ToString::to_string).collect(),
            zone: plan.hours.zone.to_string(),
            freezes: plan.freezes.iter().map(freeze).collect(),
            again: plan.again.map(|again| KeptAgain { after_ms: ms(again.after), most: again.most }),
        }
    }

    fn read(self) -> Result<Arc<Plan>, Unreadable> {
        let step = |step: KeptStep| {
            Ok(Step {
                to: weight(step.to_percent)?,
                hold: Duration::from_millis(step.hold_ms),
                requests: step.requests,
                certainty: Some(step.certainty)
                    .filter(|share| (0.0..1.0).contains(share))
                    .ok_or(Unreadable::Plan)?,
            })
        };
        let freeze = |freeze: KeptFreeze| Freeze {
            from: UnixMillis(freeze.from_unix_ms),
            to: UnixMillis(freeze.to_unix_ms),
            text: freeze.text.into(),
        };
        let steps = self.steps.into_iter().map(step).collect::<Result<Vec<_>, Unreadable>>()?;
        if steps.is_empty() || !steps.is_sorted_by(|one, next| one.to < next.to) {
            return Err(Unreadable::Plan);
        }
        let spans = self.hours.iter().map(|text| Span::parse(text).ok_or(Unreadable::Plan));
        let zone = TimeZone::get(&self.zone).map_err(|_| Unreadable::Plan)?;
        Ok(Arc::new(Plan {
            steps,
            hours: Hours { spans: spans.collect::<Result<_, _>>()?, zone: Zone(zone) },
            freezes: self.freezes.into_iter().map(freeze).collect(),
            again: self
                .again
                .map(|again| Again { after: Duration::from_millis(again.after_ms), most: again.most }),
        }))
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
