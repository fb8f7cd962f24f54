use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::model::{UnixMillis, Weight};
use crate::rollout::{Again, Freeze, Hours, Plan, Span, Step, Zone};

use super::at::At;
use super::check_process::{duration_within, within};
use super::check_service::percentage;
use super::fault::{Faults, Source};
use super::fleet::FleetConfig;
use super::parse::{Lost, parse};
use super::raw_ramp::{RawRamp, RawRamps, RawStep};

/// The weights of a ramp of which nobody has said more, in percent.
const STEPS: [f64; 5] = [1.0, 5.0, 25.0, 50.0, 100.0];
/// More steps than this nobody means.
const MOST_STEPS: usize = 100;
// It is requests and certainty that make a step safe; who tries a plan need not wait for minutes.
const HOLD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(90 * 24);
const REQUESTS: RangeInclusive<i64> = 0..=1_000_000_000_000;
const AGAIN_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const AGAIN_MOST: RangeInclusive<i64> = 1..=10;

/// What holds for a step of which nothing else is said.
const USUAL: Step =
    Step { to: Weight::ZERO, hold: Duration::from_hours(2), requests: 1_000, certainty: 0.95 };

/// Checks a service's plan. Without one there is the usual: a ramp can be started where nobody has written of it.
pub(super) fn check(raw: RawRamp, fleet: &FleetConfig, lost: &Lost, faults: &mut Faults<'_>) -> Arc<Plan> {
    let usual = Step {
        hold: duration_within(raw.hold, &HOLD, USUAL.hold, faults),
        requests: requests(raw.requests.as_ref(), faults).unwrap_or(USUAL.requests),
        certainty: certainty(raw.certainty.as_ref(), faults).unwrap_or(USUAL.certainty),
        ..USUAL
    };
    let zone = raw.zone.and_then(|raw| zone(&raw, faults)).unwrap_or_else(|| fleet.zone.clone());
    let spans = raw.hours.into_iter().flat_map(|hours| hours.value);
    let spans = spans.filter_map(|raw| span(&raw, faults)).collect();
    let freezes = raw.freezes.into_iter().flat_map(|freezes| freezes.value);
    let freezes = freezes.filter_map(|raw| freeze(None, &raw, &zone, faults)).collect();
    let again = again(raw.again_after, raw.again_most.as_ref(), faults);
    let steps = steps(raw.steps, usual, lost, faults);
    Arc::new(Plan { steps, hours: Hours { spans, zone }, freezes, again })
}

/// Reads a plan that somebody sends in place of the file's, with the same keys; the error says all that is wrong with it.
pub fn parse_plan(value: &serde_json::Value) -> Result<Arc<Plan>, String> {
    let text = toml::to_string(value).map_err(|error| error.to_string())?;
    let (source, mut found) = (Source::new(Path::new("plan"), text), Vec::new());
    let (raw, lost) = parse::<RawRamp>(&source, &mut found);
    let plan = check(raw, &FleetConfig::default(), &lost, &mut Faults::of(&source, &mut found));
    if found.is_empty() {
        return Ok(plan);
    }
    let told = found.iter().map(|fault| {
        let help = fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{}: {}{help}", fault.message, fault.label())
    });
    Err(told.collect::<Vec<_>>().join("; "))
}

/// Checks what holds for all ramps: the zone where none is said, and when no step is taken.
pub(super) fn of_fleet(raw: RawRamps, faults: &mut Faults<'_>) -> (Zone, Vec<Freeze>) {
    let zone = raw.zone.and_then(|raw| zone(&raw, faults)).unwrap_or_default();
    let freezes = raw.freezes.unwrap_or_default();
    let freezes = freezes.iter().filter_map(|(name, raw)| freeze(Some(name), raw, &zone, faults)).collect();
    (zone, freezes)
}

fn steps(raw: Option<At<Vec<At<RawStep>>>>, usual: Step, lost: &Lost, faults: &mut Faults<'_>) -> Vec<Step> {
    let Some(raw) = raw else {
        let weights = STEPS.into_iter().filter_map(Weight::from_percent);
        return weights.map(|to| Step { to, ..usual }).collect();
    };
    if raw.value.is_empty() && !lost.has("steps") {
        faults
            .at(&raw.span, "a ramp without a step", "where does it lead?")
            .help("such as [1, 5, 25, 50, 100], or leave steps out");
    }
    if raw.value.len() > MOST_STEPS {
        faults.at(&raw.span, "too many steps", format!("at most {MOST_STEPS}"));
    }
    let mut steps: Vec<Step> = Vec::new();
    for At { value: raw, span } in raw.value {
        let to = match (raw.to, raw.number) {
            (Some(to), _) => percentage(&to, faults),
            (None, Some(number)) => percentage(&At { value: number, span: span.clone() }, faults),
            (None, None) => {
                if !lost.has("to") {
                    faults
                        .at(&span, "a step that leads nowhere", "to which weight?")
                        .help("add to = 25.0, in percent");
                }
                None
            }
        };
        let step = Step {
            to: to.unwrap_or(usual.to),
            hold: duration_within(raw.hold, &HOLD, usual.hold, faults),
            requests: requests(raw.requests.as_ref(), faults).unwrap_or(usual.requests),
            certainty: certainty(raw.certainty.as_ref(), faults).unwrap_or(usual.certainty),
        };
        let Some(to) = to else { continue };
        if to.is_zero() {
            faults
                .at(&span, "a step to nothing", "Kubernetes gets nothing before a ramp begins")
                .help("begin with the first weight that is more than 0");
        } else if let Some(before) = steps.last().filter(|before| before.to >= to) {
            let label = format!("not above the step before, {}", before.to);
            faults.at(&span, "a step down", label).help("sort the steps; a ramp only climbs");
        }
        steps.push(step);
    }
    steps
}

fn requests(raw: Option<&At<i64>>, faults: &mut Faults<'_>) -> Option<u64> {
    let requests = within(raw?, REQUESTS, "requests on Kubernetes", faults)?;
    u64::try_from(requests).ok()
}

fn certainty(raw: Option<&At<f64>>, faults: &mut Faults<'_>) -> Option<f64> {
    let raw = raw?;
    if (0.0..=99.999).contains(&raw.value) {
        return Some(raw.value / 100.0);
    }
    faults
        .at(&raw.span, "not a certainty", "a percentage: 0 to 99.999")
        .help("nobody is ever quite certain: 95 is usual, 99 asks for one and a half times the requests");
    None
}

fn again(after: Option<At<String>>, most: Option<&At<i64>>, faults: &mut Faults<'_>) -> Option<Again> {
    const USUAL_MOST: u32 = 3;
    let times = most.and_then(|raw| within(raw, AGAIN_MOST, "times", faults));
    let Some(after) = after else {
        if let Some(most) = most {
            faults
                .at(
                    &most.span,
                    "a bound on what does not happen",
                    "a ramp starts again by itself only if it is said when",
                )
                .help("add again-after = \"1h\", or leave this out");
        }
        return None;
    };
    let after = duration_within(Some(after), &AGAIN_AFTER, Duration::from_hours(1), faults);
    Some(Again { after, most: times.and_then(|times| u32::try_from(times).ok()).unwrap_or(USUAL_MOST) })
}

fn zone(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Zone> {
    let zone = TimeZone::get(raw.value.trim()).ok();
    if zone.is_none() {
        faults
            .at(&raw.span, "not a time zone", "such as Europe/Stockholm, or UTC")
            .help("names are those of the IANA database: a region and a city");
    }
    zone.map(Zone)
}

fn span(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Span> {
    let span = Span::parse(&raw.value);
    if span.is_none() {
        faults
            .at(&raw.span, "not hours", "days and times: Mon-Thu 09:00-16:00")
            .help("days are Mon to Sun, left out for all of them; hours over midnight are two entries");
    }
    span
}

/// Days, of which the last is included, or moments.
fn freeze(name: Option<&str>, raw: &At<String>, zone: &Zone, faults: &mut Faults<'_>) -> Option<Freeze> {
    let text = raw.value.trim();
    let parsed = text.split_once(" to ").and_then(|(from, to)| {
        let last = match to.trim().parse::<Date>() {
            Ok(day) if !to.contains('T') => day.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight()),
            _ => to.trim().parse::<DateTime>().ok()?,
        };
        Some((moment(from.trim().parse::<DateTime>().ok()?, zone)?, moment(last, zone)?))
    });
    let Some((from, to)) = parsed else {
        faults
            .at(&raw.span, "not a freeze", "such as 2026-12-20 to 2027-01-07")
            .help("two days, both included and the same for one day, or two moments: 2026-11-27T18:00 to 2026-11-30T06:00");
        return None;
    };
    if from >= to {
        faults.at(&raw.span, "a freeze that ends before it begins", "the first day, then the last");
        return None;
    }
    let text = name.map_or_else(|| text.to_owned(), |name| format!("{name}, {text}"));
    Some(Freeze { from, to, text: text.into() })
}

fn moment(at: DateTime, zone: &Zone) -> Option<UnixMillis> {
    let ms = at.to_zoned(zone.0.clone()).ok()?.timestamp().as_millisecond();
    u64::try_from(ms).ok().map(UnixMillis)
}
