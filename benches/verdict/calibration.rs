//! Calibration: how often the judge reverts when there is no reason to.
//!
//! Many service-weeks of made-up traffic on which nothing is to be found: services of 0.1 to 1,000 requests a
//! second with weights from 1 to 99 %, whose Kubernetes is as good as Helios, better, or worse by less than is
//! tolerated. Half of them are quiet; on the others, everything happens that may (see `weather`).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchback::model::PerSide;
use switchback::verdict::{Block, Finding, Judge, Rule, Stratum};

use crate::statistics::poisson_interval;
use crate::traffic::{Route, Service, TICKS_A_SECOND, Traffic};
use crate::weather::Whims;
use crate::workers::{Stop, on_all_cores};

const WEEK_S: f64 = 7.0 * 86_400.0;
const WEEKS_A_YEAR: f64 = 365.25 / 7.0;

/// One service-week.
struct Week {
    messy: bool,
    weeks: f64,
    ticks: u64,
    reverts: Vec<Finding>,
}

/// Plays so many service-weeks, and tells how often there was a revert.
pub(crate) fn report(weeks: usize, first_seed: u64, stop: &Stop) -> String {
    let done = AtomicUsize::new(0);
    let played = on_all_cores(weeks, stop, |place| {
        let week = Week::play(first_seed + place as u64, stop);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        for finding in &week.reverts {
            eprintln!("week {place}: {} {:?}", if week.messy { "messy" } else { "quiet" }, finding);
        }
        if done.is_multiple_of(10) {
            eprintln!("{done} of {weeks} weeks");
        }
        week
    });
    let played: Vec<Week> = played.into_iter().flatten().collect();
    let mut text = String::from(
        "| traffic | service-weeks | ticks with requests | false reverts | a service-year | 95 % interval | promised at most |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    row(&mut text, "quiet", played.iter().filter(|week| !week.messy));
    row(&mut text, "messy", played.iter().filter(|week| week.messy));
    row(&mut text, "all", played.iter());
    text
}

fn row<'a>(text: &mut String, name: &str, weeks: impl Iterator<Item = &'a Week> + Clone) {
    let years = weeks.clone().map(|week| week.weeks).sum::<f64>() / WEEKS_A_YEAR;
    let ticks: u64 = weeks.clone().map(|week| week.ticks).sum();
    let reverts: usize = weeks.map(|week| week.reverts.len()).sum();
    let (low, high) = poisson_interval(u32::try_from(reverts).unwrap_or(u32::MAX));
    let promised = 365.25 / (rule().promise_s() / 86_400.0);
    let _ = writeln!(
        text,
        "| {name} | {:.1} | {ticks} | {reverts} | {:.2} | {:.2} – {:.2} | {promised:.1} |",
        years * WEEKS_A_YEAR,
        reverts as f64 / years,
        low / years,
        high / years
    );
}

fn rule() -> Rule {
    Rule { false_revert_every: Duration::from_hours(30 * 24), ..Rule::default() }
}

impl Week {
    fn play(seed: u64, stop: &Stop) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let messy = seed % 2 == 1;
        let mut service = Service::draw(&mut rng);
        let mut whims = Whims::none();
        if messy {
            service.swing = 0.6 * rng.f64();
            // Kubernetes is asked for other routes than Helios.
            for route in service.routes.iter_mut().filter(|route| route.stratum != Stratum::OTHER) {
                route.share.kubernetes *= 3_f64.powf(2.0 * rng.f64() - 1.0);
            }
            whims = Whims::of_all_kinds(&mut rng);
        }
        let (ticks, played, reverts) = watch(service, whims, WEEK_S, rule(), rng, stop);
        Self { messy, weeks: played as f64 / TICKS_A_SECOND / WEEK_S, ticks, reverts }
    }
}

/// Judges a service's traffic, and begins anew after each finding. Gives the ticks with requests, all ticks, and
/// what was found.
fn watch(
    service: Service,
    whims: Whims,
    lasts_s: f64,
    rule: Rule,
    rng: fastrand::Rng,
    stop: &Stop,
) -> (u64, u64, Vec<Finding>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a week")]
    let mut traffic = Traffic::new(service, whims, (lasts_s * TICKS_A_SECOND) as u64, rng);
    let mut judge = Judge::new(rule);
    let mut block = Block::default();
    let mut found = Vec::new();
    let mut observed = 0_u64;
    while let Some(now) = traffic.next(&mut block) {
        observed += 1;
        if let Some(finding) = judge.observe(now, &block) {
            found.push(finding);
            judge.clear();
        }
        if observed.is_multiple_of(10_000) && stop.is_set() {
            break;
        }
    }
    (observed, traffic.ticks(), found)
}

/// The knob: with a promise of ten minutes, and Kubernetes exactly as bad as is tolerated, there may be six
/// false reverts an hour.
pub(crate) fn knob_report() -> String {
    let mut text = String::from(
        "| Kubernetes, exactly at what is tolerated | hours | reverts | at most |\n|---|---:|---:|---:|\n",
    );
    let rule = Rule { false_revert_every: Duration::from_mins(10), ..Rule::default() };
    let failing = |helios: f64| PerSide { helios, kubernetes: 1.2 * helios + 0.0005 };
    for (name, failing, slower) in [
        ("0.17 % fail where 0.1 % did", failing(0.001), 1.0),
        ("1.25 % fail where 1 % did", failing(0.01), 1.0),
        ("24.05 % fail where 20 % did", failing(0.2), 1.0),
        ("1.15 times as long", PerSide { helios: 0.001, kubernetes: 0.001 }, 1.15),
        ("both 0.17 % fail and 1.15 times as long", failing(0.001), 1.15),
    ] {
        let share = PerSide { helios: 1.0, kubernetes: 1.0 };
        let route = Route { stratum: Stratum::OTHER, share, failing, median_ms: 40.0, spread: 0.5, slower };
        let service = Service { per_second: 100.0, weight: 0.5, routes: vec![route], swing: 0.0 };
        let rng = fastrand::Rng::with_seed(122);
        let (_, _, found) = watch(service, Whims::none(), 36_000.0, rule, rng, &Stop::default());
        let _ = writeln!(text, "| {name} | 10 | {} | 60 |", found.len());
    }
    text
}
