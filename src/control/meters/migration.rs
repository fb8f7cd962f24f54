//! What the ledger of migrations says, as metrics.

use std::collections::BTreeMap;

use crate::telemetry::{Recorder, names};

use super::super::steering::MigrationRow;
use super::super::views::ServiceStatus;
use super::current::Current;
use super::{Round, flag};

#[derive(Default)]
pub(super) struct Migration {
    current: Current,
    /// Services of this round, by team, phase and stage.
    counted: BTreeMap<[String; 3], usize>,
    is_under_way: bool,
}

impl Migration {
    pub(super) fn follow(
        &mut self,
        recorder: &Recorder,
        rows: &[(ServiceStatus, MigrationRow)],
        round: Round,
    ) {
        if !self.is_under_way {
            self.current.begin();
        }
        for (status, row) in rows {
            let of = [row.team.clone(), row.phase.clone(), row.stage.clone()];
            *self.counted.entry(of).or_default() += 1;
            one(&mut self.current, recorder, status, row);
        }
        self.is_under_way = round == Round::GoesOn;
        if self.is_under_way {
            return;
        }
        for ([team, phase, stage], count) in std::mem::take(&mut self.counted) {
            let labels = [("team", team.as_str()), ("phase", phase.as_str()), ("stage", stage.as_str())];
            self.current.set(recorder, names::MIGRATION_SERVICES, &labels, count as f64);
        }
        self.current.end();
    }
}

fn one(current: &mut Current, recorder: &Recorder, status: &ServiceStatus, row: &MigrationRow) {
    let service = ("service", row.service.as_str());
    let owner = row.owner.as_deref().unwrap_or_default();
    let mut set = |name, labels: &[(&'static str, &str)], value| current.set(recorder, name, labels, value);
    set(names::SERVICE, &[service, ("team", &row.team), ("phase", &row.phase), ("owner", owner)], 1.0);
    set(names::STAGE, &[service, ("stage", &row.stage)], 1.0);
    set(names::STAGE_DAYS, &[service], row.days_at_stage);
    set(names::WEIGHT_DAYS, &[service], row.days_at_weight);
    set(names::HIGHEST_WEIGHT, &[service], row.highest_percent);
    set(names::LEDGER_REVERTS, &[service, ("by", "judge")], row.reverts_by_judge as f64);
    set(names::LEDGER_REVERTS, &[service, ("by", "others")], row.reverts_by_others as f64);
    set(names::FALSE_REVERTS, &[service], row.false_reverts as f64);
    set(names::VERDICT, &[service, ("verdict", &row.verdict)], 1.0);
    set(names::EVIDENCE, &[service], status.evidence);
    set(names::APPROVAL_WANTED, &[service], flag(status.approval.is_some()));
    // A ramp under a hold or an override decides nothing.
    let ramp = status.ramp.as_ref();
    set(names::RAMP_STEP, &[service], ramp.map_or(0.0, |ramp| ramp.step as f64));
    set(names::RAMP_STEPS, &[service], ramp.map_or(0.0, |ramp| ramp.steps.len() as f64));
    set(names::RAMP_PAUSED, &[service], flag(ramp.is_some_and(|ramp| ramp.going == "paused")));
    for wait in ramp.iter().flat_map(|ramp| &ramp.waits) {
        set(names::RAMP_WAITS, &[service, ("kind", &wait.kind)], 1.0);
    }
}
