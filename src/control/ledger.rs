use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{ServiceConfig, in_words};
use crate::model::{ServiceName, Side, UnixMillis, Weight};
use crate::rollout::Actor;

use super::journal::LedgerRecord;
use super::steering::{MigrationRow, MigrationStatus, MigrationSum, RampStatus};
use super::views::ServiceStatus;

/// Where a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no kubernetes side.
    HeliosOnly,
    /// It has both.
    DualRun,
    /// It has no Helios side.
    KubernetesOnly,
}

/// What the ledger of migrations knows of one service. Pure.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    record: LedgerRecord,
    /// Whether that is not on disk yet.
    pub(super) unsaved: bool,
}

/// Reverts that were said to be false and are remembered.
const MOST_FALSE: usize = 100;

const DAY_MS: f64 = 86_400_000.0;

impl Stage {
    /// Every stage.
    pub(super) const ALL: [Stage; 3] = [Stage::HeliosOnly, Stage::DualRun, Stage::KubernetesOnly];

    pub(super) fn of(config: &ServiceConfig) -> Self {
        match (config.is_on(Side::Helios), config.is_on(Side::Kubernetes)) {
            (true, true) => Stage::DualRun,
            (false, true) => Stage::KubernetesOnly,
            (_, false) => Stage::HeliosOnly,
        }
    }

    /// As people and programs read it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Stage::HeliosOnly => "helios only",
            Stage::DualRun => "dual run",
            Stage::KubernetesOnly => "kubernetes only",
        }
    }
}

impl Ledger {
    /// Of a service, with what was kept of it.
    pub(super) fn new(
        name: &ServiceName,
        stage: Stage,
        weight: Weight,
        kept: Option<LedgerRecord>,
        now: UnixMillis,
    ) -> Self {
        let is_new = kept.is_none();
        let record = kept.unwrap_or_else(|| LedgerRecord::new(name, stage.as_str(), weight.percent(), now.0));
        let mut ledger = Self { record, unsaved: is_new };
        ledger.follow(stage, weight, now);
        ledger
    }

    /// What is to be kept.
    pub(super) fn record(&self) -> &LedgerRecord {
        &self.record
    }

    /// The service is at this stage and this weight.
    pub(super) fn follow(&mut self, stage: Stage, weight: Weight, now: UnixMillis) {
        let record = &mut self.record;
        if record.stage != stage.as_str() {
            stage.as_str().clone_into(&mut record.stage);
            record.stage_since_unix_ms = now.0;
            self.unsaved = true;
        }
        let percent = weight.percent();
        if (record.weight_percent - percent).abs() > 1e-9 {
            (record.weight_percent, record.weight_since_unix_ms) = (percent, now.0);
            record.highest_percent = record.highest_percent.max(percent);
            self.unsaved = true;
        }
    }

    /// It was taken back.
    pub(super) fn reverted(&mut self, by: &Actor, now: UnixMillis) {
        let count = match by {
            Actor::Judge => &mut self.record.reverts_by_judge,
            Actor::Person(_) | Actor::Guard | Actor::Ramp | Actor::Caution => {
                &mut self.record.reverts_by_others
            }
        };
        *count += 1;
        self.record.last_revert_unix_ms = Some(now.0);
        self.unsaved = true;
    }

    /// Its migration was begun.
    pub(super) fn migrated(&mut self, now: UnixMillis) {
        self.record.migrated_unix_ms.get_or_insert(now.0);
        self.unsaved = true;
    }

    /// The judge's last revert was false. Tells how many were in the time for which one is promised.
    pub(super) fn false_alarm(&mut self, promise: Duration, now: UnixMillis) -> usize {
        let times = &mut self.record.false_reverts_unix_ms;
        if times.len() == MOST_FALSE {
            times.remove(0);
        }
        times.push(now.0);
        self.unsaved = true;
        times.iter().filter(|at| UnixMillis(**at).after(promise) > now).count()
    }

    /// Its row.
    pub(super) fn row(
        &self,
        config: &ServiceConfig,
        status: &ServiceStatus,
        now: UnixMillis,
    ) -> MigrationRow {
        let days = |since: u64| now.0.saturating_sub(since) as f64 / DAY_MS;
        let record = &self.record;
        MigrationRow {
            service: config.name.to_string(),
            team: config.team.to_string(),
            owner: config.owner.as_deref().map(str::to_owned),
            phase: config.phase.as_str().to_owned(),
            stage: record.stage.clone(),
            days_at_stage: days(record.stage_since_unix_ms),
            weight_percent: status.weight_percent,
            why: status.why.clone(),
            days_at_weight: days(record.weight_since_unix_ms),
            highest_percent: record.highest_percent,
            reverts_by_judge: record.reverts_by_judge,
            reverts_by_others: record.reverts_by_others,
            false_reverts: record.false_reverts_unix_ms.len() as u64,
            last_revert_unix_ms: record.last_revert_unix_ms,
            verdict: status.verdict.clone(),
            next_gate: next_gate(status),
            migrated_unix_ms: record.migrated_unix_ms,
        }
    }
}

/// What a service's next step waits for, in words.
fn next_gate(status: &ServiceStatus) -> String {
    match (status.why.as_str(), &status.ramp) {
        ("held", _) => match status.again_unix_ms {
            Some(_) => "its ramp to start again by itself, or a person to release it".to_owned(),
            None => "a person to release it".to_owned(),
        },
        (_, Some(ramp)) => gate_of(ramp),
        _ if status.weight_percent >= 100.0 => "nothing: it is at full weight".to_owned(),
        _ => "a person to raise it".to_owned(),
    }
}

fn gate_of(ramp: &RampStatus) -> String {
    if ramp.going == "done" {
        return format!("the file to say {:.2}: its ramp is done", ramp.weight_percent);
    }
    // The one that lasts longest; who waits for nobody knows how long waits longest.
    let slowest = ramp.waits.iter().max_by(|one, other| {
        let left = |wait: &super::steering::WaitStatus| wait.left_s.unwrap_or(f64::INFINITY);
        left(one).total_cmp(&left(other))
    });
    match slowest {
        Some(wait) => match wait.left_s {
            Some(left_s) => format!("{}, {} more", wait.text, in_words(Duration::from_secs_f64(left_s))),
            None => wait.text.clone(),
        },
        None => "nothing: the next step is being taken".to_owned(),
    }
}

/// Sums the rows up.
pub(super) fn sum_up(services: Vec<MigrationRow>, now: UnixMillis) -> MigrationStatus {
    let (mut teams, mut phases) = (BTreeMap::new(), BTreeMap::new());
    let mut all = MigrationSum { name: "all".to_owned(), ..MigrationSum::default() };
    for row in &services {
        for (sums, name) in [(&mut teams, &row.team), (&mut phases, &row.phase)] {
            let sum = sums
                .entry(name.clone())
                .or_insert_with(|| MigrationSum { name: name.clone(), ..MigrationSum::default() });
            add(sum, row);
        }
        add(&mut all, row);
    }
    let finished = |sums: BTreeMap<String, MigrationSum>| sums.into_values().map(mean).collect();
    MigrationStatus {
        at_unix_ms: now.0,
        services,
        teams: finished(teams),
        phases: finished(phases),
        all: mean(all),
    }
}

fn add(sum: &mut MigrationSum, row: &MigrationRow) {
    sum.services += 1;
    let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == row.stage);
    match stage {
        Some(Stage::HeliosOnly) => sum.helios_only += 1,
        Some(Stage::DualRun) => sum.dual_run += 1,
        Some(Stage::KubernetesOnly) => sum.kubernetes_only += 1,
        None => {}
    }
    sum.held += u64::from(row.why == "held");
    sum.ramping += u64::from(row.why == "ramp");
    sum.at_full_weight += u64::from(row.weight_percent >= 100.0);
    sum.mean_weight_percent += row.weight_percent;
    sum.reverts_by_judge += row.reverts_by_judge;
}

fn mean(mut sum: MigrationSum) -> MigrationSum {
    sum.mean_weight_percent /= sum.services.max(1) as f64;
    sum
}
