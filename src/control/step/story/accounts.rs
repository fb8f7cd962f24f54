//! Whether all who tell of the migration say the same.

use std::collections::BTreeMap;

use crate::model::{ServiceName, UnixMillis};
use crate::rollout::Word;

use super::super::super::event::{Answer, Command, Happening};
use super::super::super::history::{Deed, DeedOutcome};
use super::super::super::journal::{ActorRecord, decode};
use super::super::super::meters::Round;
use super::super::super::steering::{MigrationRow, MigrationStatus, MigrationSum};
use super::company::{
    FROZEN, HELIOS_OFF, KUBERNETES_FOR_ALL, Month, admin, ends, hour, midnight, number, phase,
    starts_on_helios, team,
};
use super::days::{DEGRADED, OUTAGE};
use super::world::World;

const DAY_MS: f64 = 86_400_000.0;

impl World {
    /// At the end of a day.
    pub(super) fn look(&mut self) {
        let Answer::Migration(ledger) = self.answer(admin(), Command::Migration) else {
            panic!("the ledger is not answered")
        };
        let names: Vec<_> = ledger.services.iter().map(|row| row.service.as_str()).collect();
        assert!(Self::names().iter().map(ServiceName::as_str).eq(names), "each service has its row");
        for row in &ledger.services {
            self.look_at_row(row);
        }
        Self::look_at_sums(&ledger);
        self.look_at_metrics(&ledger);
        self.look_at_steps();
    }

    fn look_at_row(&self, row: &MigrationRow) {
        let service = ServiceName::parse(&row.service).unwrap();
        let number = number(&row.service);
        let at = format!("{service} at the end of day {}: {row:?}", self.day);
        assert_eq!((row.team.as_str(), row.phase.as_str()), (team(number).as_str(), phase(number)), "{at}");
        let stage = if starts_on_helios(number) && self.day < KUBERNETES_FOR_ALL {
            "helios only"
        } else if ends(number) && self.day >= HELIOS_OFF {
            "kubernetes only"
        } else {
            "dual run"
        };
        assert_eq!(row.stage, stage, "{at}");

        // What workers go by, what the ledger says, and what the disk allows.
        let published = self.published[&service];
        assert!((row.weight_percent - published.percent()).abs() < 1e-9, "{at}: workers go by {published}");
        let record = self.records.get(&service).map(|bytes| decode(&service, bytes).unwrap());
        let entry = self.state.entries().find(|entry| entry.config.name == service).unwrap();
        let recorded = record.as_ref().map_or(entry.config.weight, |record| entry.weight_under(&record.said));
        assert_eq!(recorded, published, "{at}: the record");
        let held = record.is_some_and(|record| matches!(record.said.word, Word::Held(_)));
        assert_eq!(row.why == "held", held, "{at}");
        assert_eq!(row.why == "held", self.held_on.contains_key(&number), "{at}: what was announced");
        let days = days_since(self.since[&service], self.now.wall);
        assert!((row.days_at_weight - days).abs() < 1e-6, "{at}: {days}");
        assert!((row.highest_percent - self.highest[&service].percent()).abs() < 1e-9, "{at}");

        // Who took it back, by three accounts.
        let told = self.told(Happening::Reverted);
        let told = |judge: bool| {
            let of = told.iter().filter(|told| told.service.as_deref() == Some(service.as_str()));
            of.filter(|told| (told.by == Some(ActorRecord::Judge)) == judge).count() as u64
        };
        let noted = |judge: bool| {
            let of = self.history.iter().filter(|draft| draft.service.as_deref() == Some(service.as_str()));
            let of = of.filter(|draft| draft.deed == Deed::Reverted && draft.outcome == DeedOutcome::Done);
            // One that does not start again by itself after all is noted once more, and goes from 0 to 0.
            let of = of.filter(|draft| draft.before_percent != Some(0.0));
            of.filter(|draft| (draft.by == Some(ActorRecord::Judge)) == judge).count() as u64
        };
        assert_eq!(
            (row.reverts_by_judge, row.reverts_by_others),
            (told(true), told(false)),
            "{at}: announced"
        );
        assert_eq!((noted(true), noted(false)), (told(true), told(false)), "{at}: the history");
    }

    fn look_at_sums(ledger: &MigrationStatus) {
        let mut teams: BTreeMap<&str, Vec<&MigrationRow>> = BTreeMap::new();
        let mut phases: BTreeMap<&str, Vec<&MigrationRow>> = BTreeMap::new();
        for row in &ledger.services {
            teams.entry(&row.team).or_default().push(row);
            phases.entry(&row.phase).or_default().push(row);
        }
        assert_eq!((teams.len(), phases.len()), (ledger.teams.len(), ledger.phases.len()));
        for (sum, (name, rows)) in ledger.teams.iter().zip(&teams).chain(ledger.phases.iter().zip(&phases)) {
            assert_eq!(&sum.name, name);
            is_sum_of(sum, rows);
        }
        is_sum_of(&ledger.all, &ledger.services.iter().collect::<Vec<_>>());
    }

    fn look_at_metrics(&mut self, ledger: &MigrationStatus) {
        self.meters.migration(&self.state.ledger(self.now, |_| true), Round::IsOver);
        let text = self.meters.recorded().render();
        let metrics: BTreeMap<&str, f64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        let of = |name: String| {
            metrics.get(name.as_str()).copied().unwrap_or_else(|| panic!("{name} is not there"))
        };
        for row in &ledger.services {
            let service = &row.service;
            let gauges = [
                (format!("switchback_weight_percent{{service=\"{service}\"}}"), row.weight_percent),
                (format!("switchback_held{{service=\"{service}\"}}"), f64::from(u8::from(row.why == "held"))),
                (
                    format!("switchback_migration_reverts{{service=\"{service}\",by=\"judge\"}}"),
                    row.reverts_by_judge as f64,
                ),
                (
                    format!("switchback_migration_highest_weight_percent{{service=\"{service}\"}}"),
                    row.highest_percent,
                ),
                (format!("switchback_migration_stage{{service=\"{service}\",stage=\"{}\"}}", row.stage), 1.0),
            ];
            for (name, wanted) in gauges {
                assert!((of(name.clone()) - wanted).abs() < 1e-9, "{name} is not {wanted}");
            }
        }
        let sum = |begins: &str| -> f64 {
            metrics.iter().filter(|(name, _)| name.starts_with(begins)).map(|(_, value)| value).sum()
        };
        assert!((sum("switchback_migration_services{") - ledger.all.services as f64).abs() < 1e-9);
        // This process counts what it has seen itself.
        let told = self.announced[self.before_restart..].iter();
        let reverted = told.filter(|told| told.happening == Happening::Reverted).count();
        assert!((sum("switchback_reverts_total{") - reverted as f64).abs() < 1e-9);
    }

    /// Steps are taken at work, and not in a freeze; and each that was announced is in the history.
    fn look_at_steps(&self) {
        let steps = self.told(Happening::RampStepped);
        for step in &steps {
            let at = UnixMillis(step.at_unix_ms);
            let (hour, is_working_day) = hour(at);
            assert!((9..17).contains(&hour) && is_working_day, "at {hour}: {step:?}");
            let frozen = FROZEN.iter().any(|day| (midnight(*day).0..midnight(day + 1).0).contains(&at.0));
            assert!(!frozen, "in the freeze: {step:?}");
        }
        let noted = self.history.iter().filter(|draft| draft.deed == Deed::RampStepped);
        assert_eq!(noted.count(), steps.len(), "by day {}", self.day);
    }

    /// At the end of all days.
    pub(super) fn look_at_the_month(&mut self, month: &Month) {
        let alarms = self.told(Happening::FleetGuard);
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        assert!(alarms[0].text.contains("lon3"), "{:?}", alarms[0]);
        assert!((midnight(OUTAGE).0..midnight(OUTAGE + 1).0).contains(&alarms[0].at_unix_ms));

        let reverts = self.told(Happening::Reverted);
        let alone = reverts.iter().filter(|told| !told.of_alarm && !is_on(told.at_unix_ms, OUTAGE));
        let (called_for, false_ones): (Vec<&&_>, Vec<&&_>) = alone.partition(|told| {
            let service = number(told.service.as_deref().unwrap());
            DEGRADED.iter().any(|(day, degraded)| *degraded == service && is_on(told.at_unix_ms, *day))
        });
        assert_eq!(called_for.len(), month.degraded, "{called_for:#?}");
        // One a year and service is promised: sixteen in a month of two hundred, and hardly ever more than twice as many.
        assert!(false_ones.len() <= 32, "{false_ones:#?}");
        let of_alarm = reverts.iter().filter(|told| is_on(told.at_unix_ms, OUTAGE)).count();
        assert!(of_alarm <= month.on_the_cluster && of_alarm > month.on_the_cluster / 2, "{of_alarm}");

        let Answer::Migration(ledger) = self.answer(admin(), Command::Migration) else { panic!() };
        assert_eq!(ledger.all.kubernetes_only, month.helios_off);
        assert_eq!(ledger.services.iter().map(|row| row.false_reverts).sum::<u64>(), 1);
        assert!(ledger.all.at_full_weight > 120, "{:?}", ledger.all);
    }
}

fn is_on(at_unix_ms: u64, day: usize) -> bool {
    (midnight(day).0..midnight(day + 1).0).contains(&at_unix_ms)
}

fn is_sum_of(sum: &MigrationSum, rows: &[&MigrationRow]) {
    let count = |what: &dyn Fn(&MigrationRow) -> bool| rows.iter().filter(|row| what(row)).count() as u64;
    assert_eq!(sum.services, rows.len() as u64);
    assert_eq!(sum.helios_only, count(&|row| row.stage == "helios only"));
    assert_eq!(sum.dual_run, count(&|row| row.stage == "dual run"));
    assert_eq!(sum.kubernetes_only, count(&|row| row.stage == "kubernetes only"));
    assert_eq!(sum.held, count(&|row| row.why == "held"));
    assert_eq!(sum.ramping, count(&|row| row.why == "ramp"));
    assert_eq!(sum.at_full_weight, count(&|row| row.weight_percent >= 100.0));
    assert_eq!(sum.reverts_by_judge, rows.iter().map(|row| row.reverts_by_judge).sum::<u64>());
    let mean = rows.iter().map(|row| row.weight_percent).sum::<f64>() / rows.len() as f64;
    assert!((sum.mean_weight_percent - mean).abs() < 1e-9, "{sum:?}: {mean}");
}

fn days_since(since: UnixMillis, now: UnixMillis) -> f64 {
    (now.0 - since.0) as f64 / DAY_MS
}
