mod current;
mod migration;

use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram};

use crate::model::{Cause, Millis, PerSide, ServiceName, Side};
use crate::snapshot::{ServiceId, Snapshot};
use crate::tally::{Report, ServiceTally};
use crate::telemetry::{AccessLogCounts, Recorded, Recorder, names};

use super::capacity::Fit;
use super::discovery::Standing;
use super::event::{Announcement, CertificateNews, Command, Happening};
use super::journal::ActorRecord;
use super::lineup::Lineup;
use super::roster::Roster;
use super::steering::MigrationRow;
use super::views::ServiceStatus;

use current::Current;

/// Keeps the metrics. Requests cost nothing here: what workers have counted anyway is added once a tick.
pub(super) struct Meters {
    recorder: Recorder,
    services: HashMap<ServiceId, ServiceMeters>,
    connections: Vec<Gauge>,
    accepts_paused: Counter,
    handshakes_failed: Counter,
    refused: HashMap<Cause, Counter>,
    generation: Gauge,
    configuration_good: Gauge,
    configuration_loaded: Gauge,
    login_failures: Counter,
    write_failures: Counter,
    votes_lost: Counter,
    access_log_dropped: Counter,
    access_log_write_failures: Counter,
    fleet_guard: Gauge,
    unwritten_records: Gauge,
    unwritten_history: Gauge,
    /// What the ledger of migrations says.
    migration: Current,
}

struct ServiceMeters {
    name: ServiceName,
    ok: PerSide<Counter>,
    failed: PerSide<HashMap<Cause, Counter>>,
    answer_seconds: PerSide<Histogram>,
    answers: [Counter; 5],
    refused: HashMap<Cause, Counter>,
    rescued: Counter,
    unrescued: Counter,
    over_budget: Counter,
    hedged: Counter,
    weight: Gauge,
    held: Gauge,
    calibrating: Gauge,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Meters {
    pub(super) fn new(workers: usize) -> Self {
        let recorder = Recorder::new();
        recorder.gauge(names::BUILD, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        let connections =
            (0..workers).map(|worker| recorder.gauge(names::CONNECTIONS, &[("worker", &worker.to_string())]));
        Self {
            connections: connections.collect(),
            accepts_paused: recorder.counter(names::ACCEPTS_PAUSED, &[]),
            handshakes_failed: recorder.counter(names::HANDSHAKES_FAILED, &[]),
            refused: HashMap::new(),
            generation: recorder.gauge(names::GENERATION, &[]),
            configuration_good: recorder.gauge(names::CONFIGURATION_GOOD, &[]),
            configuration_loaded: recorder.gauge(names::CONFIGURATION_LOADED, &[]),
            login_failures: recorder.counter(names::LOGIN_FAILURES, &[]),
            write_failures: recorder.counter(names::WRITE_FAILURES, &[]),
            votes_lost: recorder.counter(names::VOTES_LOST, &[]),
            access_log_dropped: recorder.counter(names::ACCESS_LOG_DROPPED, &[]),
            access_log_write_failures: recorder.counter(names::ACCESS_LOG_WRITE_FAILURES, &[]),
            fleet_guard: recorder.gauge(names::FLEET_GUARD, &[]),
            unwritten_records: recorder.gauge(names::UNWRITTEN, &[("what", "records")]),
            unwritten_history: recorder.gauge(names::UNWRITTEN, &[("what", "history")]),
            migration: Current::default(),
            services: HashMap::new(),
            recorder,
        }
    }

    pub(super) fn recorded(&self) -> Recorded {
        self.recorder.recorded()
    }

    /// Makes metrics beside these.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Adds what a worker counted.
    pub(super) fn count(&mut self, report: &Report) {
        if let Some(gauge) = self.connections.get(report.worker) {
            gauge.set(report.connections as f64);
        }
        self.accepts_paused.increment(report.accepts_paused);
        self.handshakes_failed.increment(report.handshakes_failed);
        self.votes_lost.increment(report.votes_lost);
        for (cause, count) in report.refused.iter() {
            let recorder = &self.recorder;
            let make = || recorder.counter(names::REFUSED, &[("reason", cause.as_str())]);
            self.refused.entry(cause).or_insert_with(make).increment(count);
        }
        for service in &report.services {
            if let Some(meters) = self.services.get_mut(&service.id) {
                meters.count(&service.tally, &self.recorder);
            }
        }
    }

    /// Counts who could not be told from a stranger.
    pub(super) fn asked(&self, command: &Command) {
        if let Command::LoginFailed { times, .. } = command {
            self.login_failures.increment(*times);
        }
    }

    /// Follows when certificates end.
    pub(super) fn certificates(&mut self, news: &[CertificateNews]) {
        for news in news {
            if let CertificateNews::InUse(expiry) = news {
                let file = expiry.file.display().to_string();
                self.recorder.gauge(names::CERTIFICATE_ENDS, &[("file", &file)]).set(expiry.unix_s as f64);
            }
        }
    }

    /// Follows what the access log has lost.
    pub(super) fn follow(&self, access_log: &AccessLogCounts) {
        self.access_log_dropped.absolute(access_log.dropped());
        self.access_log_write_failures.absolute(access_log.write_failures());
    }

    /// Follows what is published: weights, holds, and which services there are.
    pub(super) fn publish(&mut self, snapshot: &Snapshot) {
        self.generation.set(snapshot.generation as f64);
        // Before the others: one that has come back has the gauges that it had.
        self.services.retain(|id, meters| {
            let view = snapshot.services.get(id.slot as usize).and_then(Option::as_ref);
            let stays = view.is_some_and(|view| view.id == *id);
            if !stays {
                meters.weight.set(0.0);
                meters.held.set(0.0);
                meters.calibrating.set(0.0);
            }
            stays
        });
        for view in snapshot.services.iter().flatten() {
            let recorder = &self.recorder;
            let make = || ServiceMeters::new(&view.config.name, recorder);
            let meters = self.services.entry(view.id).or_insert_with(make);
            meters.weight.set(view.plan.weight.percent());
            meters.held.set(flag(view.held));
            meters.calibrating.set(flag(view.calibrating.is_some()));
        }
    }

    /// Follows what sources know, at times: ages grow by themselves.
    pub(super) fn sources<'a>(
        &self,
        lineups: impl Iterator<Item = (ServiceId, Side, &'a Lineup)>,
        now: Millis,
    ) {
        for (id, side, lineup) in lineups.filter(|(_, _, lineup)| !lineup.parts().is_empty()) {
            let Some(meters) = self.services.get(&id) else { continue };
            let labels = [("service", meters.name.as_str()), ("side", side.as_str())];
            self.recorder.gauge(names::ENDPOINTS_OUT, &labels).set(lineup.out() as f64);
            self.recorder.gauge(names::ENDPOINTS_ILL, &labels).set(lineup.ill().len() as f64);
            for part in lineup.parts() {
                let labels = [labels[0], labels[1], ("cluster", part.cluster.as_deref().unwrap_or_default())];
                self.source(&part.roster, &labels, now);
                if part.cluster.is_some() {
                    let out = flag(lineup.is_out(part));
                    self.recorder.gauge(names::CLUSTER_OUT, &labels).set(out);
                }
            }
        }
    }

    /// Follows what Helios can take.
    pub(super) fn fits(&self, fits: impl Iterator<Item = (ServiceId, Option<Fit>, bool)>) {
        for (id, fit, sheds) in fits {
            let Some(meters) = self.services.get(&id) else { continue };
            let labels = [("service", meters.name.as_str())];
            self.recorder.gauge(names::SHEDDING, &labels).set(flag(sheds));
            if let Some(fit) = fit {
                self.recorder.gauge(names::HELIOS_CAPACITY, &labels).set(fit.able);
                self.recorder.gauge(names::REVERT_FITS, &labels).set(flag(fit.fits()));
            }
        }
    }

    /// Follows what the ledger of migrations says, and the judge.
    pub(super) fn migration(&mut self, rows: &[(ServiceStatus, MigrationRow)]) {
        self.migration.begin();
        migration::follow(&mut self.migration, &self.recorder, rows);
        self.migration.end();
    }

    /// Follows what is about no one service.
    pub(super) fn process(&self, fleet_guard: bool, unwritten_records: usize, unwritten_history: usize) {
        self.fleet_guard.set(flag(fleet_guard));
        self.unwritten_records.set(unwritten_records as f64);
        self.unwritten_history.set(unwritten_history as f64);
    }

    fn source(&self, roster: &Roster, labels: &[(&'static str, &str); 3], now: Millis) {
        let (standing, _) = roster.counts();
        for kind in Standing::ALL {
            let labels = [labels[0], labels[1], labels[2], ("standing", kind.as_str())];
            let count = standing.get(&kind).copied().unwrap_or(0);
            self.recorder.gauge(names::ENDPOINTS, &labels).set(count as f64);
        }
        if roster.source().is_fixed() {
            return;
        }
        if let Some(spoke) = roster.spoke() {
            self.recorder.gauge(names::SOURCE_AGE, labels).set(now.since(spoke).seconds());
        }
        let troubled = roster.trouble().is_some() || roster.doubted().is_some();
        self.recorder.gauge(names::SOURCE_TROUBLED, labels).set(flag(troubled));
    }

    /// Counts what is announced.
    pub(super) fn announce(&mut self, announcement: &Announcement) {
        match announcement.happening {
            Happening::Started | Happening::ConfigLoaded => {
                self.configuration_good.set(1.0);
                self.configuration_loaded.set(announcement.at_unix_ms as f64 / 1e3);
            }
            Happening::ConfigRefused => self.configuration_good.set(0.0),
            // Not there where there are no rights.
            Happening::RightsChanged => self.recorder.gauge(names::RIGHTS_GOOD, &[]).set(1.0),
            Happening::RightsRefused => self.recorder.gauge(names::RIGHTS_GOOD, &[]).set(0.0),
            Happening::NotWritten => self.write_failures.increment(1),
            Happening::Reverted => {
                let service = announcement.service.as_deref().unwrap_or_default();
                let by = match announcement.by {
                    Some(ActorRecord::Judge) => "judge",
                    Some(ActorRecord::Guard) => "guard",
                    _ => "person",
                };
                self.recorder.counter(names::REVERTS, &[("service", service), ("by", by)]).increment(1);
            }
            Happening::PromiseBroken => {
                let service = announcement.service.as_deref().unwrap_or_default();
                self.recorder.counter(names::PROMISES_BROKEN, &[("service", service)]).increment(1);
            }
            Happening::Released
            | Happening::RampChanged
            | Happening::RampStepped
            | Happening::RampEnded
            | Happening::ApprovalWanted
            | Happening::FleetGuard
            | Happening::WeightChanged
            | Happening::Advised
            | Happening::Calibrated
            | Happening::CertificateRenewed
            | Happening::CertificateRefused
            | Happening::CertificateEnding
            | Happening::SourceFailing
            | Happening::SourceBack
            | Happening::SourceDoubted
            | Happening::Ejected
            | Happening::ClusterOut
            | Happening::Ill
            | Happening::Well
            | Happening::Panicking
            | Happening::NoRoom
            | Happening::Room
            | Happening::Shedding
            | Happening::Unreadable => {}
        }
    }
}

impl ServiceMeters {
    fn new(name: &ServiceName, recorder: &Recorder) -> Self {
        let service = ("service", name.as_str());
        let rescues = |result| recorder.counter(names::RESCUES, &[service, ("result", result)]);
        let ok = |side: Side| {
            let labels = [service, ("side", side.as_str()), ("outcome", "ok"), ("fault", "none")];
            recorder.counter(names::TRIES, &labels)
        };
        let seconds =
            |side: Side| recorder.histogram(names::ANSWER_SECONDS, &[service, ("side", side.as_str())]);
        Self {
            name: name.clone(),
            ok: PerSide::from_fn(ok),
            failed: PerSide::default(),
            answer_seconds: PerSide::from_fn(seconds),
            answers: CLASSES.map(|class| recorder.counter(names::ANSWERS, &[service, ("class", class)])),
            refused: HashMap::new(),
            rescued: rescues("rescued"),
            unrescued: rescues("unrescued"),
            over_budget: rescues("over_budget"),
            hedged: rescues("hedged"),
            weight: recorder.gauge(names::WEIGHT, &[service]),
            held: recorder.gauge(names::HELD, &[service]),
            calibrating: recorder.gauge(names::CALIBRATING, &[service]),
        }
    }

    fn count(&mut self, tally: &ServiceTally, recorder: &Recorder) {
        for (side, counted) in tally.sides.iter() {
            self.ok[side].increment(counted.ok);
            for (cause, count) in counted.failed.iter() {
                let name = &self.name;
                let make = || {
                    let labels = [
                        ("service", name.as_str()),
                        ("side", side.as_str()),
                        ("outcome", cause.as_str()),
                        ("fault", cause.fault().as_str()),
                    ];
                    recorder.counter(names::TRIES, &labels)
                };
                self.failed[side].entry(cause).or_insert_with(make).increment(count);
            }
            for (_, latency) in &counted.latencies {
                self.answer_seconds[side].record(latency.longest().0 as f64 / 1e6);
            }
        }
        for (cause, count) in tally.refused.iter() {
            let labels = [("reason", cause.as_str()), ("service", self.name.as_str())];
            let make = || recorder.counter(names::REFUSED, &labels);
            self.refused.entry(cause).or_insert_with(make).increment(count);
        }
        for (counter, count) in self.answers.iter().zip(tally.answers) {
            counter.increment(count);
        }
        self.rescued.increment(tally.rescued);
        self.unrescued.increment(tally.unrescued);
        self.over_budget.increment(tally.over_budget);
        self.hedged.increment(tally.hedged);
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
