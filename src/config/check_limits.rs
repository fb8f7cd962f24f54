use std::ops::RangeInclusive;

use super::at::At;
use super::check_process::{duration, within};
use super::fault::Faults;
use super::limits::{ListenerLimits, ProcessLimits, Rate, ServiceLimits};
use super::raw_process::{RawLimits, RawListenerLimits};
use super::raw_service::RawServiceLimits;
use super::units;

/// Connections, and requests in flight or in a queue.
const MANY: RangeInclusive<i64> = 1..=1_000_000;
/// Requests a second.
const RATE: RangeInclusive<i64> = 1..=10_000_000;
/// A request's head: what is read ahead has to hold it.
const HEADER_BYTES: RangeInclusive<usize> = 8 << 10..=1 << 20;
/// A path and query: the parser takes no more than 64 KiB.
const URI_BYTES: RangeInclusive<usize> = 1 << 10..=63 << 10;
/// The least bytes a second.
const SLOWEST: RangeInclusive<usize> = 1..=1 << 20;

/// What all clients together may take up.
pub(super) fn process(raw: RawLimits, faults: &mut Faults<'_>) -> ProcessLimits {
    let default = ProcessLimits::default();
    let mut many = |raw, what, default| {
        count(raw, MANY, what, faults).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    ProcessLimits {
        connections: many(raw.connections, "a number of connections", default.connections),
        in_flight: many(raw.in_flight, "a number of requests at once", default.in_flight),
    }
}

/// What a client of a listener may take up.
pub(super) fn listener(raw: RawListenerLimits, faults: &mut Faults<'_>) -> ListenerLimits {
    let default = ListenerLimits::default();
    let header_bytes = size(raw.header_bytes, HEADER_BYTES, default.header_bytes as usize, faults);
    let uri_bytes = size(raw.uri_bytes, URI_BYTES, default.uri_bytes, faults);
    let slowest = size(raw.slowest, SLOWEST, default.slowest as usize, faults);
    let any = 1..=i64::from(u32::MAX);
    let headers = count(raw.headers, 16..=10_000, "a number of headers", faults);
    let streams = count(raw.streams, 1..=10_000, "a number of requests at once", faults);
    let requests = count(raw.requests, any.clone(), "a number of requests", faults);
    let cancelled = count(raw.cancelled, any, "a number of requests", faults);
    ListenerLimits {
        connections: count(raw.connections, MANY, "a number of connections", faults),
        connections_per_client: count(raw.connections_per_client, MANY, "a number of connections", faults),
        head: duration(raw.head, default.head, faults),
        idle: duration(raw.idle, default.idle, faults),
        stalled: duration(raw.stalled, default.stalled, faults),
        slowest: u32::try_from(slowest).unwrap_or(default.slowest),
        header_bytes: u32::try_from(header_bytes).unwrap_or(default.header_bytes),
        headers: headers.map_or(default.headers, |headers| headers as usize),
        uri_bytes,
        streams: streams.unwrap_or(default.streams),
        requests: requests.unwrap_or(default.requests),
        cancelled: cancelled.unwrap_or(default.cancelled),
    }
}

/// What a service's requests may take up.
pub(super) fn service(raw: RawServiceLimits, faults: &mut Faults<'_>) -> ServiceLimits {
    let default = ServiceLimits::default();
    let body = raw.body.map_or(default.body, |raw| match units::parse_size(&raw.value) {
        Ok(bytes) => bytes as u64,
        Err(wanted) => {
            faults.at(&raw.span, "not a size", wanted);
            default.body
        }
    });
    let burst_span = raw.burst.as_ref().map(|raw| raw.span.clone());
    let burst = count(raw.burst, RATE, "a number of requests", faults);
    let is_rated = raw.rate.is_some();
    let rate = count(raw.rate, RATE, "requests a second", faults)
        .map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) });
    if let Some(span) = burst_span.filter(|_| !is_rated) {
        faults
            .at(&span, "a burst without a rate", "at once, and how many a second?")
            .help("add rate = …, or leave burst out");
    }
    ServiceLimits {
        body,
        in_flight: in_flight(raw.in_flight, faults),
        queue: count(raw.queue, 0..=*MANY.end(), "a number of requests", faults).unwrap_or(default.queue),
        queue_wait: duration(raw.queue_wait, default.queue_wait, faults),
        rate,
    }
}

/// Requests in flight, of a service or a side.
pub(super) fn in_flight(raw: Option<At<i64>>, faults: &mut Faults<'_>) -> Option<u32> {
    count(raw, MANY, "a number of requests at once", faults)
}

/// How many requests a second a side can serve.
pub(super) fn capacity(raw: Option<At<i64>>, faults: &mut Faults<'_>) -> Option<u32> {
    count(raw, RATE, "requests a second", faults)
}

fn count(
    raw: Option<At<i64>>,
    range: RangeInclusive<i64>,
    what: &str,
    faults: &mut Faults<'_>,
) -> Option<u32> {
    within(&raw?, range, what, faults).and_then(|count| u32::try_from(count).ok())
}

fn size(
    raw: Option<At<String>>,
    range: RangeInclusive<usize>,
    default: usize,
    faults: &mut Faults<'_>,
) -> usize {
    let Some(raw) = raw else { return default };
    match units::parse_size(&raw.value) {
        Ok(bytes) if range.contains(&bytes) => return bytes,
        Ok(_) => {
            let words = |bytes: usize| {
                if bytes < 1 << 10 { format!("{bytes}B") } else { format!("{}KiB", bytes >> 10) }
            };
            faults.at(
                &raw.span,
                "out of range",
                format!("{} to {}", words(*range.start()), words(*range.end())),
            );
        }
        Err(wanted) => _ = faults.at(&raw.span, "not a size", wanted),
    }
    default
}
