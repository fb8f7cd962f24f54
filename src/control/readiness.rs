//! Whether a service is ready to be migrated.

use crate::config::JudgeMode;
use crate::model::{ServiceName, Side};

use super::entry::Entry;
use super::event::Now;
use super::journal::{EndingRecord, JudgementRecord};
use super::steering::{ReadinessCheck, ReadinessStatus};

impl ReadinessStatus {
    pub(super) fn of(service: &ServiceName, checks: Vec<ReadinessCheck>) -> Self {
        let ready = checks.iter().all(|check| check.ok);
        Self { service: service.to_string(), ready, checks }
    }
}

impl Entry {
    /// What must be so before the service is migrated, and whether it is.
    pub(super) fn readiness(&self, now: Now) -> Vec<ReadinessCheck> {
        let config = &self.config;
        let named = |what: &str, name: Option<&str>, key: &str| match name {
            Some(name) => check(what, true, name.to_owned()),
            None => check(what, false, format!("nobody is named: add {key} = \"…\" to its file")),
        };
        let fit = self.fit(now);
        vec![
            self.side_is_ready(Side::Helios),
            self.side_is_ready(Side::Kubernetes),
            match fit {
                Some(fit) => check("capacity", fit.fits(), fit.to_string()),
                None => check(
                    "capacity",
                    false,
                    "it is not known what Helios can take: wait for an hour of traffic, or add capacity to [helios]".to_owned(),
                ),
            },
            match config.judge.mode {
                JudgeMode::Revert => check("judge", true, "reverts".to_owned()),
                JudgeMode::Advise | JudgeMode::Off => {
                    check("judge", false, format!("its mode is {}: nothing would be taken back", config.judge.mode.as_str()))
                }
            },
            self.is_calibrated(),
            named("owner", config.owner.as_deref(), "owner"),
            named("contact", config.contact.as_deref(), "contact"),
            check(
                "hold",
                !self.is_held(),
                if self.is_held() { "it is held: release it first" } else { "none" }.to_owned(),
            ),
        ]
    }

    /// Whether it is known that the judge keeps its promise with this service.
    fn is_calibrated(&self) -> ReadinessCheck {
        let how = format!("switchback calibrate {}", self.config.name);
        match self.calibration() {
            None => check("calibration", false, format!("Helios was never compared with itself: {how}")),
            Some(last) => {
                let ok = last.ending == EndingRecord::Finished && last.judgement == JudgementRecord::Within;
                let again = if ok { String::new() } else { format!(": {how}") };
                check("calibration", ok, format!("{}{again}", last.told))
            }
        }
    }

    /// Whether a side has endpoints, and most of them are well.
    fn side_is_ready(&self, side: Side) -> ReadinessCheck {
        let what = side.title();
        if !self.config.is_on(side) {
            return check(what, false, format!("the service has no [{side}] side"));
        }
        let lineup = &self.lineups[side];
        let (found, ill) = (lineup.offered.len(), lineup.ill().len());
        if found == 0 {
            return check(what, false, "no endpoint was found".to_owned());
        }
        if lineup.panics() {
            return check(
                what,
                false,
                format!("{ill} endpoints fail their checks: too many to leave them out"),
            );
        }
        check(what, true, format!("{found} endpoints are asked, {ill} fail their checks"))
    }
}

fn check(what: &str, ok: bool, details: String) -> ReadinessCheck {
    ReadinessCheck { what: what.to_owned(), ok, details }
}
