use std::ops::RangeInclusive;

use crate::model::{Failures, GrpcCode, GrpcCodes, Statuses};

use super::at::At;
use super::fault::Faults;
use super::parse::{Lost, close};
use super::raw_service::RawFailures;

/// Checks which answers count as failures. An empty list is a fault: a judge for whom nothing is one would
/// watch an outage.
pub(super) fn check(raw: RawFailures, lost: &Lost, faults: &mut Faults<'_>) -> Failures {
    let default = Failures::default();
    let statuses = raw.statuses.map_or(default.statuses, |raw| {
        if raw.value.is_empty() && !lost.has("statuses") {
            faults
                .at(&raw.span, "no status is a failure", "an answer of 500 would be as good as any")
                .help("leave statuses out for [\"5xx\"]");
        }
        raw.value.iter().filter_map(|raw| failing(raw, faults)).fold(Statuses::default(), Statuses::with)
    });
    let grpc = raw.grpc.map_or(default.grpc, |raw| {
        if raw.value.is_empty() && !lost.has("grpc") {
            faults
                .at(&raw.span, "no gRPC code is a failure", "UNAVAILABLE would be as good as OK")
                .help("leave grpc out for the codes that are not the caller's fault");
        }
        raw.value.iter().filter_map(|raw| code(raw, faults)).fold(GrpcCodes::default(), GrpcCodes::with)
    });
    Failures { statuses, grpc }
}

/// Reads statuses that can mean a failure.
fn failing(raw: &At<String>, faults: &mut Faults<'_>) -> Option<RangeInclusive<u16>> {
    let range = statuses(raw, faults)?;
    if Failures::POSSIBLE.contains(range.start()) {
        return Some(range);
    }
    let label = "below 400 an answer did what was asked, or says where that is done";
    faults.at(&raw.span, "not a failure", label).help("list statuses from 400 to 599");
    None
}

/// Reads `503`, `5xx` or `500-504`.
pub(super) fn statuses(raw: &At<String>, faults: &mut Faults<'_>) -> Option<RangeInclusive<u16>> {
    let text = raw.value.trim();
    let Some((first, last)) = class(text).or_else(|| range(text)) else {
        faults.at(&raw.span, "not a status", "such as 503, 5xx or 500-504");
        return None;
    };
    if first > last {
        faults
            .at(&raw.span, "a range that runs backwards", "from the lower to the higher")
            .help(format!("did you mean {last}-{first}?"));
    } else if !Statuses::POSSIBLE.contains(&first) || !Statuses::POSSIBLE.contains(&last) {
        faults.at(&raw.span, "no such status", "100 to 599");
    } else {
        return Some(first..=last);
    }
    None
}

fn class(text: &str) -> Option<(u16, u16)> {
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"))?;
    let class: u16 = class.parse().ok().filter(|class| *class < 10)?;
    Some((class * 100, class * 100 + 99))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// Reads a code's name or number.
fn code(raw: &At<String>, faults: &mut Faults<'_>) -> Option<GrpcCode> {
    let text = raw.value.trim();
    let by_name = || GrpcCode::ALL.into_iter().find(|code| code.as_str() == text);
    let by_number = |number: usize| GrpcCode::ALL.get(number).copied();
    match text.parse().map_or_else(|_| by_name(), by_number) {
        Some(GrpcCode::Ok) => {
            faults.at(&raw.span, "OK is no failure", "it says that the call did what was asked");
            None
        }
        Some(code) => Some(code),
        None => {
            let names = GrpcCode::ALL.map(GrpcCode::as_str);
            let fault = faults.at(&raw.span, "no such gRPC code", "a name such as UNAVAILABLE, or 1 to 16");
            if let Some(near) = close(&text.to_uppercase(), &names) {
                fault.help(format!("did you mean {near}?"));
            }
            None
        }
    }
}
