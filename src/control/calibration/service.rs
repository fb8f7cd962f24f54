use crate::config::{JudgeMode, ServiceConfig};
use crate::model::{Millis, ServiceName, Side};
use crate::splitter::Halves;
use crate::tally::HalvesReport;
use crate::verdict::Strata;

use super::super::journal::{BegunRecord, CalibrationRecord, CalibrationsRecord};
use super::super::views::CalibratingStatus;
use super::running::Running;

/// What control knows of one service's calibrations.
#[derive(Default)]
pub(in crate::control) struct Calibrations {
    pub(super) running: Option<Box<Running>>,
    /// The last that has ended.
    pub(super) last: Option<CalibrationRecord>,
    /// One that a restart has cut short, if none has begun since.
    pub(super) interrupted: Option<BegunRecord>,
}

/// Why a service cannot be calibrated, or its calibration not be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Objection {
    #[error("it is being calibrated already")]
    Running,
    #[error("it is not being calibrated")]
    NotRunning,
    #[error("{MOST_AT_ONCE} services are being calibrated, and no more can be at once")]
    TooMany,
    #[error("it has no Helios side that could be compared with itself")]
    NoHelios,
    #[error("its weight is 100: Helios gets no requests that could be compared")]
    NothingOnHelios,
    #[error("its judge is off, and there is nothing to calibrate; mode = \"advise\" is enough")]
    JudgeOff,
}

/// Calibrations that run at once. Each costs as much as two more judges, some tenths of a millisecond a tick where there
/// are many routes.
pub(super) const MOST_AT_ONCE: usize = 64;

impl Calibrations {
    /// With what was kept. What had begun then was cut short.
    pub(in crate::control) fn remembered(kept: CalibrationsRecord) -> Self {
        Self { running: None, last: kept.last, interrupted: kept.begun }
    }

    /// What is to be kept for the next process.
    pub(in crate::control) fn to_keep(&self, service: &ServiceName) -> CalibrationsRecord {
        let begun = self.running.as_ref().map(|running| running.begun_record());
        CalibrationsRecord::of(service, self.last.clone(), begun.or_else(|| self.interrupted.clone()))
    }

    /// The halves that workers are to label requests of, if any.
    pub(in crate::control) fn halves(&self) -> Option<Halves> {
        self.running.as_ref().map(|running| running.halves)
    }

    /// Adds what a worker counted.
    pub(in crate::control) fn add(&mut self, worker: usize, report: Option<&HalvesReport>) {
        if let (Some(running), Some(report)) = (&mut self.running, report) {
            running.add(worker, report);
        }
    }

    /// Goes by these strata from here on.
    pub(in crate::control) fn follow(&mut self, strata: &Strata) {
        if let Some(running) = &mut self.running {
            running.follow(strata);
        }
    }

    /// The one that runs, in short.
    pub(in crate::control) fn status(&self, now: Millis) -> Option<CalibratingStatus> {
        self.running.as_ref().map(|running| CalibratingStatus {
            ran_s: running.ran(now).as_secs_f64(),
            lasts_s: running.begun_record().lasts_s,
            judgement: running.judgement(now).word,
        })
    }

    /// The last that has ended.
    pub(in crate::control) fn last(&self) -> Option<&CalibrationRecord> {
        self.last.as_ref()
    }
}

/// Why a service cannot be calibrated as it is configured.
pub(super) fn objection(config: &ServiceConfig) -> Option<Objection> {
    if !config.is_on(Side::Helios) {
        Some(Objection::NoHelios)
    } else if config.judge.mode == JudgeMode::Off {
        Some(Objection::JudgeOff)
    } else {
        None
    }
}

/// Why a calibration does not go on under a changed configuration, if it does not: half of what it counted would be of
/// another service.
pub(super) fn upset(before: &ServiceConfig, after: &ServiceConfig) -> Option<String> {
    if let Some(objection) = objection(after) {
        return Some(objection.to_string());
    }
    let changed = if before.judge.rule != after.judge.rule {
        "what the judge promises and tolerates"
    } else if before.failures != after.failures {
        "what is a failure"
    } else if before.sticky != after.sticky {
        "what keeps users on a side"
    } else {
        return None;
    };
    Some(format!("{changed} was changed in its file"))
}
