//! Calibration: how often the judge reverts when there is no reason to.
//!
//! Many service-weeks of made-up traffic on which nothing is to be found: services of 0.1 to 1,000 requests a
//! second with weights from 1 to 99 %, whose Kubernetes is as good as Helios, better, or worse by less than is
//! tolerated. Half of them are quiet; on the others, everything happens that may (see `weather`).

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchback::model::PerSide;
use switchback::verdict::{Block, Finding, Judge, Rule, Stratum};

use crate::ledger::{Ledger, Played};
use crate::statistics::poisson_interval;
use crate::traffic::{Route, Service, TICKS_A_SECOND, Traffic};
use crate::weather::Whims;
use crate::workers::{Stop, on_all_cores};

const WEEK_S: f64 = 7.0 * 86_400.0;
const WEEKS_A_YEAR: f64 = 365.25 / 7.0;

/// Plays so many service-weeks, but for those that the ledger has, and tells how often there was a revert. Weeks
/// that are cut short do not count: they would be played anew.
pub(crate) fn report(weeks: usize, first_seed: u64, ledger: &Ledger, stop: &Stop) -> io::Result<String> {
    let done = AtomicUsize::new(0);
    let played = on_all_cores(weeks, stop, |place| {
        let seed = first_seed + place as u64;
        let week = match ledger.get(seed) {
            Some(week) => Some(week),
            None => play(seed, stop),
        };
        if let Some(week) = &week
            && ledger.get(seed).is_none()
        {
            ledger.note(week)?;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10) {
            eprintln!("{done} of {weeks} weeks");
        }
        Ok(week)
    });
    let played: Vec<Played> =
        played.into_iter().flatten().filter_map(Result::transpose).collect::<io::Result<_>>()?;
    let mut text = String::from(
        "| traffic | service-weeks | ticks with requests | false reverts | a service-year | 95 % interval | promised at most |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    row(&mut text, "quiet", played.iter().filter(|week| !week.messy));
    row(&mut text, "messy", played.iter().filter(|week| week.messy));
    row(&mut text, "all", played.iter());
    Ok(text)
}

fn row<'a>(text: &mut String, name: &str, weeks: impl Iterator<Item = &'a Played> + Clone) {
    let years = weeks.clone().count() as f64 / WEEKS_A_YEAR;
    let ticks: u64 = weeks.clone().map(|week| week.ticks).sum();
    let reverts: u32 = weeks.map(|week| week.reverts).sum();
    let (low, high) = poisson_interval(reverts);
    let promised = 365.25 / (rule().promise_s() / 86_400.0);
    let _ = writeln!(
        text,
        "| {name} | {:.0} | {ticks} | {reverts} | {:.2} | {:.2} – {:.2} | {promised:.1} |",
        years * WEEKS_A_YEAR,
        f64::from(reverts) / years,
        low / years,
        high / years
    );
}

fn rule() -> Rule {
    Rule { false_revert_every: Duration::from_hours(30 * 24), ..Rule::default() }
}

/// Plays one service-week; `None` if it was cut short.
fn play(seed: u64, stop: &Stop) -> Option<Played> {
    let messy = seed % 2 == 1;
    let (service, whims, rng) = life(seed, messy);
    let (ticks, reverts) = watch(service, whims, WEEK_S, rule(), rng, stop);
    for finding in &reverts {
        eprintln!("week {seed}: {finding:?}");
    }
    let reverts = u32::try_from(reverts.len()).unwrap_or(u32::MAX);
    (!stop.is_set()).then_some(Played { seed, messy, ticks, reverts })
}

/// A service, and what happens to it.
fn life(seed: u64, messy: bool) -> (Service, Whims, fastrand::Rng) {
    let mut rng = fastrand::Rng::with_seed(seed);
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
    (service, whims, rng)
}

/// What tells one judge from another: the evidence that it has in some hours of messy traffic.
pub(crate) fn fingerprint() -> u64 {
    const HOURS: u64 = 2;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for seed in [1, 3, 5] {
        let (service, whims, rng) = life(seed, true);
        let mut traffic = Traffic::new(service, whims, HOURS * 36_000, rng);
        let mut judge = Judge::new(rule());
        let mut block = Block::default();
        while let Some(now) = traffic.next(&mut block) {
            judge.observe(now, &block);
            if now.0 % 10_000 == 0 {
                // Machines may differ in the last digits.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
                let evidence = (judge.standing(now).evidence * 1e3).round() as u64;
                hash = (hash ^ evidence).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    hash
}

/// Judges a service's traffic, and begins anew after each finding. Gives the ticks with requests, and what was found.
fn watch(
    service: Service,
    whims: Whims,
    lasts_s: f64,
    rule: Rule,
    rng: fastrand::Rng,
    stop: &Stop,
) -> (u64, Vec<Finding>) {
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
    (observed, found)
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
        let (_, found) = watch(service, Whims::none(), 36_000.0, rule, rng, &Stop::default());
        let _ = writeln!(text, "| {name} | 10 | {} | 60 |", found.len());
    }
    text
}
