//! What the ledger of migrations says, as metrics.

use std::collections::BTreeMap;

use crate::telemetry::{Recorder, names};

use super::super::steering::MigrationRow;
use super::super::views::ServiceStatus;
use super::current::Current;
use super::flag;

pub(super) fn follow(current: &mut Current, recorder: &Recorder, rows: &[(ServiceStatus, MigrationRow)]) {
    let mut services: BTreeMap<[&str; 3], usize> = BTreeMap::new();
    for (status, row) in rows {
        *services.entry([&row.team, &row.phase, &row.stage]).or_default() += 1;
        one(current, recorder, status, row);
    }
    for ([team, phase, stage], count) in services {
        let labels = [("team", team), ("phase", phase), ("stage", stage)];
        current.set(recorder, names::MIGRATION_SERVICES, &labels, count as f64);
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
