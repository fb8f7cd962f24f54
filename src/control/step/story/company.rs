use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::date;
use serde_json::json;

use crate::config::{Loaded, load, render};
use crate::model::{Caller, Grant, Rights, Role, Scope, ServiceName, UnixMillis, Via};

use super::super::super::journal::{CalibrationRecord, CalibrationsRecord};

pub(super) const SERVICES: usize = 200;
pub(super) const DAYS: usize = 30;
pub(super) const ZONE: &str = "Europe/Stockholm";
const TEAMS: usize = 10;
const PHASES: [&str; 4] = ["experiment", "alpha", "beta", "general"];
const CLUSTERS: [&str; 3] = ["gew1", "lon3", "sto1"];
/// Days of the month on which no ramp takes a step, for anybody.
pub(super) const FROZEN: [usize; 3] = [19, 20, 21];
/// When the new files of what happens in the month are read: at noon of these days.
pub(super) const KUBERNETES_FOR_ALL: usize = 2;
pub(super) const OWNERS_FOR_ALL: usize = 3;
pub(super) const HELIOS_OFF: usize = 29;

/// How the month should come out, as far as it does not depend on chance.
pub(super) struct Month {
    pub(super) helios_off: u64,
    /// Services that the judge takes back because they do degrade, one by one.
    pub(super) degraded: usize,
    pub(super) on_the_cluster: usize,
}

impl Month {
    pub(super) fn expected() -> Self {
        Self {
            helios_off: (0..SERVICES).map(|service| u64::from(ends(service))).sum(),
            degraded: super::days::DEGRADED.len(),
            on_the_cluster: (0..SERVICES).filter(|service| cluster(*service) == "lon3").count(),
        }
    }
}

pub(super) fn name(service: usize) -> ServiceName {
    ServiceName::parse(&format!("service-{service:03}")).unwrap()
}

pub(super) fn number(name: &str) -> usize {
    name.trim_start_matches("service-").parse().unwrap()
}

pub(super) fn team(service: usize) -> String {
    format!("team-{}", service % TEAMS)
}

pub(super) fn phase(service: usize) -> &'static str {
    PHASES[service / TEAMS % PHASES.len()]
}

pub(super) fn cluster(service: usize) -> &'static str {
    CLUSTERS[service % CLUSTERS.len()]
}

/// At first these have no kubernetes side.
pub(super) fn starts_on_helios(service: usize) -> bool {
    service % 10 == 9
}

/// At first nobody answers for these.
pub(super) fn is_orphan(service: usize) -> bool {
    service % 40 == 17
}

/// These have no Helios any more at the end.
pub(super) fn ends(service: usize) -> bool {
    service % 20 == 4
}

/// Ramps of these start again by themselves after a revert.
pub(super) fn starts_again(service: usize) -> bool {
    service % 5 == 1
}

/// How long each step of its ramp lasts.
pub(super) fn hold_hours(service: usize) -> u64 {
    [44, 68, 92][service / 2 % 3]
}

/// How many requests a second it gets.
pub(super) fn per_second(service: usize) -> f64 {
    [2.0, 5.0, 12.0, 30.0][service % 4]
}

/// Midnight of a day of the month, where the company is.
pub(super) fn midnight(day: usize) -> UnixMillis {
    let day = date(2026, 3, 2).checked_add(jiff::Span::new().days(i64::try_from(day).unwrap())).unwrap();
    at(day.to_zoned(jiff::tz::TimeZone::get(ZONE).unwrap()).unwrap().timestamp())
}

/// The hour of the day where the company is, and whether it is a working day.
pub(super) fn hour(now: UnixMillis) -> (i8, bool) {
    let zoned = Timestamp::from_millisecond(i64::try_from(now.0).unwrap()).unwrap().in_tz(ZONE).unwrap();
    (zoned.hour(), zoned.weekday().to_monday_one_offset() <= 5)
}

fn at(timestamp: Timestamp) -> UnixMillis {
    UnixMillis(u64::try_from(timestamp.as_millisecond()).unwrap())
}

/// The files as they are on a day.
pub(super) fn files(day: usize, folder: &Path) -> Loaded {
    let services = folder.join("services");
    std::fs::create_dir_all(&services).unwrap();
    let mut process = format!(
        "workers = 1\n[listeners.http]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = \"/nowhere\"\n\
         [ramps]\nzone = \"{ZONE}\"\n[ramps.freezes]\n\"the great sale\" = \"2026-03-21 to 2026-03-23\"\n\
         [fleet-guard]\nservices = 3\nwithin = \"1m\"\nrevert-cluster = true\n"
    );
    for cluster in CLUSTERS {
        let _ = writeln!(process, "[clusters.{cluster}]");
    }
    std::fs::write(folder.join("switchback.toml"), process).unwrap();
    for service in 0..SERVICES {
        std::fs::write(services.join(format!("{}.toml", name(service))), file(service, day)).unwrap();
    }
    load(folder).unwrap_or_else(|faults| panic!("{}", render(&faults, false)))
}

fn file(service: usize, day: usize) -> String {
    let (name, team, phase, cluster) = (name(service), team(service), phase(service), cluster(service));
    let owner = if is_orphan(service) && day < OWNERS_FOR_ALL { "" } else { "owner = \"anna\"\n" };
    let ended = ends(service) && day >= HELIOS_OFF;
    let again = if starts_again(service) { "again-after = \"12h\"\n" } else { "" };
    let mut text = format!(
        "team = \"{team}\"\nphase = \"{phase}\"\n{owner}contact = \"#{team}\"\n[match]\nhosts = [\"{name}.test\"]\n\
         [split]\nkubernetes = {}.0\n",
        if ended { 100 } else { 0 },
    );
    if !ended {
        text += "[helios]\nsource = { addresses = [\"127.0.0.1:1\"] }\ncapacity = 100000\n";
    }
    if !starts_on_helios(service) || day >= KUBERNETES_FOR_ALL {
        let _ = write!(
            text,
            "[kubernetes]\nsource = {{ namespace = \"{team}\", service = \"{name}\", cluster = \"{cluster}\" }}\n"
        );
    }
    let _ = write!(
        text,
        "[ramp]\nsteps = [1, 5, 25, 50, 95, 100]\nhold = \"{}h\"\nrequests = 500\nhours = [\"Mon-Fri 09:00-17:00\"]\n{again}",
        hold_hours(service)
    );
    text
}

/// Every service was calibrated before.
pub(super) fn calibrated(service: usize) -> CalibrationsRecord {
    let name = name(service);
    let trial = json!({ "promise_s": 1e7, "expected": 0.1, "found": 0, "chance": 1.0, "most_evidence": 0.1, "most_with_gated": 0.1 });
    let half = json!({ "requests": 10_000, "per_second": 5.0, "failed": 0.001 });
    let record: CalibrationRecord = serde_json::from_value(json!({
        "service": name.as_str(), "begun_unix_ms": 1, "by": { "person": "anna" }, "lasts_s": 3600.0, "ended_unix_ms": 3_600_001,
        "ran_s": 3600.0, "ending": "finished", "judgement": "within the promise", "told": "it keeps the promise",
        "own": trial, "short": trial, "a": half, "b": half, "questions": [],
    }))
    .unwrap();
    CalibrationsRecord::of(&name, Some(record), None)
}

/// Somebody of a team, who may do what there is to do for it.
pub(super) fn operator_of(service: usize) -> Caller {
    caller(
        &format!("operator of {}", team(service)),
        Role::Operator,
        Scope::Of { teams: vec![team(service).into()], services: Vec::new() },
    )
}

/// Who answers for the platform.
pub(super) fn admin() -> Caller {
    caller("the platform's admin", Role::Admin, Scope::Everything)
}

fn caller(name: &str, role: Role, scope: Scope) -> Caller {
    let name: Arc<str> = name.into();
    Caller { name, via: Via::Token, from: "unix".into(), rights: Rights(vec![Grant { role, scope }]) }
}
