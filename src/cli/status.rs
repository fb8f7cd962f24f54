use std::time::Duration;

use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::config::in_words;
use crate::control::{ActorRecord, FitStatus, ProcessStatus, ServiceStatus, SideStatus, SourceStatus};

use super::calibrate::in_a_word;
use super::complete::services;
use super::explain::{how_sure, on_helios, what};
use super::print::{Cell, Column, Screen, Tone, ago, ahead, clock, percent, say, table};
use super::{Failure, block_on};

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    /// Only this service, in full.
    #[arg(add = services())]
    service: Option<String>,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

/// Evidence below this is everyday noise, and not shown in the table.
const NOTEWORTHY: f64 = 0.3;

impl Status {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = match &self.service {
            Some(service) => client::service(service),
            None => "/v1/services".to_owned(),
        };
        if self.json {
            say(&block_on(client::ask_text(admin, Method::GET, &path, None::<&()>))?);
            return Ok(());
        }
        let services: Vec<ServiceStatus> = match &self.service {
            Some(_) => vec![block_on(client::ask(admin, Method::GET, &path, None::<&()>))?],
            None => block_on(client::ask(admin, Method::GET, &path, None::<&()>))?,
        };
        let process: ProcessStatus = block_on(client::ask(admin, Method::GET, "/v1/process", None::<&()>))?;
        let screen = Screen::of_output();
        for line in warnings(&process).into_iter().chain(services.iter().flat_map(source_warnings)) {
            say(&screen.paint(Tone::Waiting, &line));
        }
        let rows: Vec<_> = services.iter().map(row).collect();
        say(&table(&columns(), &rows, &screen));
        for line in services.iter().filter_map(calibrating) {
            say(&line);
        }
        if let (Some(_), [service]) = (&self.service, services.as_slice()) {
            for line in details(service) {
                say(&line);
            }
        }
        Ok(())
    }
}

fn warnings(process: &ProcessStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = process.configuration_faults.first() {
        let more = process.configuration_faults.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!(
            "! the configuration on disk is refused, the last good one is in force: {first}{more}"
        ));
    }
    if let Some(first) = process.rights_faults.first() {
        let more = process.rights_faults.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!(
            "! who may do what cannot be brought up to date, the last good is in force: {first}{more}"
        ));
    }
    if !process.needs_restart.is_empty() {
        let sections = process.needs_restart.join(", ");
        lines.push(format!("! restart Switchback for the changes to {sections} in switchback.toml"));
    }
    if process.unwritten > 0 {
        lines.push(format!("! {} records are not on disk yet: is the disk full?", process.unwritten));
    }
    if process.unwritten_history > 0 {
        let waiting = process.unwritten_history;
        lines.push(format!("! {waiting} entries of the history are not on disk yet: is the disk full?"));
    }
    if let Some(alarm) = &process.fleet_guard {
        lines.push(format!("! {alarm}"));
    }
    if process.paused_ramps > 0 {
        lines.push(format!("! {} ramps are paused: switchback ramp resume --all …", process.paused_ramps));
    }
    if process.workers_current < process.workers {
        lines.push(format!(
            "! {} of {} workers go by the latest weights",
            process.workers_current, process.workers
        ));
    }
    lines.extend(super::webhooks::warnings(&process.webhooks));
    lines
}

/// What is wrong with where a service's endpoints come from.
fn source_warnings(service: &ServiceStatus) -> Vec<String> {
    let sides = [("Helios", &service.helios), ("Kubernetes", &service.kubernetes)];
    let warning = |title: &str, source: &SourceStatus| {
        let since = |s: Option<f64>| in_words(Duration::from_secs_f64(s.unwrap_or(0.0).max(0.0)));
        let (name, kept) = (&service.service, source.endpoints);
        let cluster = source.cluster.as_ref().map(|cluster| format!(", {cluster},")).unwrap_or_default();
        if let (Some(cluster), Some(_)) = (&source.cluster, source.out_s) {
            let left = since(source.out_s);
            return Some(format!(
                "! {name}: cluster {cluster} does much worse than the others, and is not asked for {left}"
            ));
        }
        if let Some(trouble) = &source.trouble {
            let since = since(source.trouble_s);
            return Some(format!(
                "! {name}: endpoints on {title}{cluster} cannot be looked for since {since}: {trouble}; {kept} are kept"
            ));
        }
        let since = since(Some(source.doubted_s?));
        let lost = source.kept;
        Some(format!(
            "! {name}: {} of {kept} endpoints on {title}{cluster} are not known to {} any more since {since}, and kept",
            lost, source.kind
        ))
    };
    let sources =
        sides.into_iter().flat_map(|(title, side)| side.sources.iter().map(move |source| (title, source)));
    let mut warnings: Vec<_> = sources.filter_map(|(title, source)| warning(title, source)).collect();
    let name = &service.service;
    for (title, _) in sides.iter().filter(|(_, side)| side.panics) {
        warnings.push(format!(
            "! {name}: so many endpoints on {title} fail their checks that all are asked all the same"
        ));
    }
    if service.sheds {
        warnings.push(format!("! {name}: Helios gets more than it can take; what is too much is refused"));
    } else if let Some(fit) = service.fit.as_ref().filter(|fit| !fit.fits && service.weight_percent > 0.0) {
        warnings.push(format!("! {name}: a revert {}", fits(fit)));
    }
    warnings
}

/// At three in the morning: which service, at what weight, and is it worse?
fn columns() -> [Column; 6] {
    [
        Column::stays("SERVICE"),
        Column::stays("WEIGHT"),
        Column::shortens(2, "WHY"),
        Column::goes(3, "HELIOS"),
        Column::goes(4, "KUBERNETES"),
        Column::shortens(1, "VERDICT"),
    ]
}

fn row(service: &ServiceStatus) -> Vec<Cell> {
    let why_tone = match &service.ramp {
        _ if service.why == "held" => Tone::Bad,
        _ if service.rising_to_percent.is_some() || service.approval.is_some() => Tone::Waiting,
        Some(ramp) if service.why == "ramp" && ramp.going == "paused" => Tone::Waiting,
        Some(_) | None => Tone::Plain,
    };
    let verdict_tone = if service.verdict == "worse" { Tone::Bad } else { Tone::Plain };
    vec![
        service.service.as_str().into(),
        format!("{:.2}", service.weight_percent).into(),
        Cell::toned(why_tone, why(service)),
        side(&service.helios).into(),
        side(&service.kubernetes).into(),
        Cell::toned(verdict_tone, verdict(service)),
    ]
}

/// How a calibration goes that is under way.
fn calibrating(service: &ServiceStatus) -> Option<String> {
    let calibrating = service.calibrating.as_ref()?;
    let [ran, lasts] = [calibrating.ran_s, calibrating.lasts_s].map(|s| in_words(Duration::from_secs_f64(s)));
    Some(format!(
        "{} is being calibrated: Helios has been compared with itself for {ran} of {lasts}; {} so far",
        service.service,
        in_a_word(calibrating.judgement)
    ))
}

fn why(service: &ServiceStatus) -> String {
    if let Some(to) = service.rising_to_percent {
        return format!("being written: {to:.2}");
    }
    let by = service.by.as_ref().map(ActorRecord::to_string).unwrap_or_default();
    match (service.why.as_str(), service.since_unix_ms, service.until_unix_ms) {
        ("held", Some(since), _) => format!("held {}: {by}", ago(since)),
        ("override", _, Some(until)) => format!("override: {by}, {} left", ahead(until)),
        ("override", _, None) => format!("override: {by}"),
        ("ramp", Some(since), _) => match &service.ramp {
            Some(ramp) => {
                let (step, steps) = (ramp.step, ramp.steps.len());
                let going = if ramp.going == "on" { ago(since) } else { ramp.going.clone() };
                format!("ramp {step} of {steps}, {going}")
            }
            None => "ramp".to_owned(),
        },
        (other, _, _) => other.to_owned(),
    }
}

fn side(side: &SideStatus) -> String {
    if side.endpoints == 0 {
        return if side.sources.is_empty() { "–" } else { "no endpoint" }.to_owned();
    }
    let rate = if side.per_second >= 10.0 || side.per_second == 0.0 {
        format!("{:.0}/s", side.per_second)
    } else {
        format!("{:.1}/s", side.per_second)
    };
    if side.per_second == 0.0 {
        return rate;
    }
    let latency = side.p50_ms.map(milliseconds).unwrap_or_default();
    format!("{rate} {} {latency}", percent(side.failed))
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1}ms") } else { format!("{ms:.0}ms") }
}

fn verdict(service: &ServiceStatus) -> String {
    let word = word(service);
    if service.shared {
        return format!("{word}; Helios is degraded too");
    }
    if service.evidence >= NOTEWORTHY {
        return format!("{word}; evidence {}", evidence(service));
    }
    word
}

/// The evidence, and what it is about: `34% (failure on GET /v1/users/*)`.
pub(super) fn evidence(service: &ServiceStatus) -> String {
    if service.evidence <= 0.0 {
        return "none".to_owned();
    }
    let route = service.leading_route.as_ref().map(|route| format!(" on {route}")).unwrap_or_default();
    format!("{:.0}% ({}{route})", service.evidence * 100.0, service.leading)
}

/// The verdict, with how long one would take.
pub(super) fn word(service: &ServiceStatus) -> String {
    match (service.verdict.as_str(), service.seen_in_s) {
        ("too little evidence", Some(s)) => {
            format!("too little evidence, 5% failures seen in {}", in_words(Duration::from_secs_f64(s)))
        }
        ("too little evidence", None) => {
            "too little evidence, 5% failures never seen at these rates".to_owned()
        }
        ("blind", _) => "blind: no Helios share".to_owned(),
        (word, _) => word.to_owned(),
    }
}

/// Whether everything can be taken back: `fits: Helios has served 1240/s at 14:05 UTC; all traffic is 980/s`.
fn fits(fit: &FitStatus) -> String {
    let whether = if fit.fits { "fits" } else { "does not fit" };
    let (able, needed) = (fit.able_per_second, fit.needed_per_second);
    let known = match fit.at_unix_ms {
        Some(at) => format!("Helios has served {able:.0}/s at {}", clock(at)),
        None => format!("Helios can serve {able:.0}/s by its capacity"),
    };
    format!("{whether}: {known}; all traffic is {needed:.0}/s")
}

/// How many endpoints there are, from where, and how old that is: `6 (helios, 2 s ago; 1 draining)`; of clusters, of each:
/// `4 in gew1 (kubernetes, 2 s ago) and 3 in lon3 (kubernetes, 1 s ago)`.
fn found(side: &SideStatus) -> String {
    match side.sources.as_slice() {
        [] => side.endpoints.to_string(),
        [source] => found_by(source, side),
        // Of clusters it is told for each how many there are, whoever of them is let out.
        many => {
            let of = |source: &SourceStatus| {
                found_by(source, &SideStatus { endpoints: source.endpoints, ..SideStatus::default() })
            };
            many.iter().map(of).collect::<Vec<_>>().join(" and ")
        }
    }
}

fn found_by(source: &SourceStatus, side: &SideStatus) -> String {
    let SideStatus { endpoints, ejected, ill, .. } = side;
    let mut facts = vec![source.kind.clone()];
    match source.age_s {
        Some(age) if age > 0.0 => facts.push(format!("{} ago", in_words(Duration::from_secs_f64(age)))),
        Some(_) => {}
        None => facts.push("not heard of since the start".to_owned()),
    }
    let others = source.standing.iter().filter(|(standing, count)| *standing != "live" && **count > 0);
    let ejected = (*ejected > 0).then(|| format!("{ejected} not asked for a while"));
    let ill = (*ill > 0).then(|| format!("{ill} failing checks"));
    let others: Vec<_> =
        others.map(|(standing, count)| format!("{count} {standing}")).chain(ejected).chain(ill).collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let place = source.cluster.as_ref().map(|cluster| format!(" in {cluster}")).unwrap_or_default();
    format!("{endpoints}{place} ({}{others})", facts.join(", "))
}

fn details(service: &ServiceStatus) -> Vec<String> {
    let tail = |side: &SideStatus| side.p99_ms.map_or("–".to_owned(), milliseconds);
    let mut lines = vec![
        String::new(),
        format!("team       {}", service.team),
        format!("file       {:.2}", service.file_percent),
        format!(
            "endpoints  {} on Helios, {} on Kubernetes",
            found(&service.helios),
            found(&service.kubernetes)
        ),
        format!(
            "p99        {} on Helios, {} on Kubernetes",
            tail(&service.helios),
            tail(&service.kubernetes)
        ),
        format!("judge      {}, evidence {}", service.judge, evidence(service)),
    ];
    if let Some(fit) = &service.fit {
        lines.push(format!("revert     {}", fits(fit)));
    }
    if let Some(case) = &service.case {
        lines.push(format!("so far     {}; {}", what(case), on_helios(case)));
        lines.push(format!("           {}", how_sure(case)));
    }
    if let Some(reason) = &service.reason {
        lines.push(format!("reason     {reason}"));
    }
    if let Some(ramp) = &service.ramp {
        let waits: Vec<_> = ramp.waits.iter().map(|wait| wait.text.as_str()).collect();
        let waits = if waits.is_empty() { "nothing".to_owned() } else { waits.join("; ") };
        let next = ramp.next_percent.map_or_else(|| "none".to_owned(), |next| format!("{next:.2}"));
        lines.push(format!("ramp       next step {next}; waits for {waits}"));
    }
    if let Some(approval) = &service.approval {
        lines.push(format!(
            "approval   {} wants {}: {}; to agree: switchback approve {}",
            approval.by, approval.what, approval.reason, service.service
        ));
    }
    if let Some(again) = service.again_unix_ms {
        lines.push(format!("again      its ramp starts again by itself in {}", ahead(again)));
    }
    if service.why == "held" {
        let name = &service.service;
        lines.push(format!("to end the hold: switchback release {name} --to {:.0} --reason …", 1.0));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_source_is_said_first_and_its_age_always() {
        let source = serde_json::json!({
            "kind": "helios", "weight": 1, "endpoints": 4, "age_s": 240.0, "trouble": "http://m:5801 answers 500", "trouble_s": 235.0,
            "doubted_s": null, "standing": {"live": 4, "draining": 1}, "kept": 0
        });
        let failing =
            serde_json::json!({"endpoints": 4, "sources": [source], "per_second": 9.0, "failed": 0.0});
        let side: SideStatus = serde_json::from_value(failing).unwrap();
        assert_eq!(found(&side), "4 (helios, 4 min ago; 1 draining)");
        let mut service: ServiceStatus = serde_json::from_value(serde_json::json!({
            "service": "a", "team": "t", "weight_percent": 25.0, "why": "file", "file_percent": 25.0,
            "helios": side, "kubernetes": SideStatus::default(), "judge": "revert", "verdict": "not worse",
            "evidence": 0.0, "leading": "failure", "shared": false
        }))
        .unwrap();
        assert_eq!(
            source_warnings(&service),
            [
                "! a: endpoints on Helios cannot be looked for since 3 min 55 s: http://m:5801 answers 500; 4 are kept"
            ]
        );
        let source = &mut service.helios.sources[0];
        (source.trouble, source.doubted_s, source.kept) = (None, Some(5.0), 3);
        assert_eq!(
            source_warnings(&service),
            ["! a: 3 of 4 endpoints on Helios are not known to helios any more since 5 s, and kept"]
        );
    }

    #[test]
    fn a_calibration_that_runs_is_told_in_a_line() {
        let side = serde_json::json!({"endpoints": 1, "per_second": 9.0, "failed": 0.0});
        let status: ServiceStatus = serde_json::from_value(serde_json::json!({
            "service": "a", "team": "t", "weight_percent": 25.0, "why": "file", "file_percent": 25.0,
            "helios": side, "kubernetes": side, "judge": "revert", "verdict": "not worse", "evidence": 0.0,
            "leading": "failure", "shared": false,
            "calibrating": {"ran_s": 240.0, "lasts_s": 1800.0, "judgement": "within the promise"}
        }))
        .unwrap();
        assert_eq!(
            calibrating(&status).as_deref(),
            Some(
                "a is being calibrated: Helios has been compared with itself for 4 min of 30 min; within the promise so far"
            )
        );
        assert_eq!(calibrating(&ServiceStatus { calibrating: None, ..status }), None);
    }

    #[test]
    fn a_verdict_that_leads_on_a_route_names_it() {
        let side = serde_json::json!({"endpoints": 1, "per_second": 9.0, "failed": 0.0});
        let status: ServiceStatus = serde_json::from_value(serde_json::json!({
            "service": "a", "team": "t", "weight_percent": 25.0, "why": "file", "file_percent": 25.0,
            "helios": side, "kubernetes": side, "judge": "revert", "verdict": "not worse", "evidence": 0.34,
            "leading": "failure", "leading_route": "GET /v1/users/*", "shared": false
        }))
        .unwrap();
        assert_eq!(verdict(&status), "not worse; evidence 34% (failure on GET /v1/users/*)");
        assert!(
            details(&status)
                .contains(&"judge      revert, evidence 34% (failure on GET /v1/users/*)".to_owned())
        );
        let whole = ServiceStatus { leading_route: None, ..status };
        assert_eq!(verdict(&whole), "not worse; evidence 34% (failure)");
    }
}
