use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::model::{Address, Statuses};

use super::at::At;
use super::check_failures;
use super::check_headers;
use super::check_process::{duration, duration_within, within};
use super::checked::{MatchConfig, Protocol, ProxyProtocol};
use super::checks::{CheckConfig, CheckKind};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_checks::{RawCheck, RawCheckKind};
use super::units::in_words;

/// How often endpoints may be asked: more often would be a load of its own, and more seldom would tell of yesterday.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);
/// Checks in a row.
const IN_A_ROW: RangeInclusive<i64> = 1..=100;
/// The longest name that a service of gRPC is asked after by: it goes into each check.
const LONGEST_NAME: usize = 255;

/// What a check takes over from its side and its service.
pub(super) struct Setting<'a> {
    pub(super) protocol: Protocol,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    /// The side's own host.
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) matches: &'a MatchConfig,
    /// The addresses that the side lists, if it does.
    pub(super) addresses: &'a [At<String>],
}

/// Checks what a side's endpoints are asked; `None` if that cannot be told.
pub(super) fn check(
    raw: At<RawCheck>,
    setting: &Setting<'_>,
    lost: &Lost,
    faults: &mut Faults<'_>,
) -> Option<CheckConfig> {
    let At { value: raw, span } = raw;
    let every = duration_within(raw.every.clone(), &EVERY, CheckConfig::EVERY, faults);
    let timeout = timeout(raw.timeout.clone(), every, faults);
    let mut in_a_row = |raw: &Option<At<i64>>, default| {
        let count = raw.as_ref().and_then(|raw| within(raw, IN_A_ROW, "checks in a row", faults));
        count.and_then(|count| u8::try_from(count).ok()).unwrap_or(default)
    };
    let rise = in_a_row(&raw.rise, CheckConfig::RISE);
    let fall = in_a_row(&raw.fall, CheckConfig::FALL);
    let port = raw.port.as_ref().and_then(|raw| port(raw, setting, faults));
    let path = raw.path.as_ref().map_or(Some(PathAndQuery::from_static("/")), |raw| path(raw, faults));
    let statuses = statuses(raw.statuses.as_ref(), lost, faults);
    let host = match &raw.host {
        Some(host) => check_headers::host(host, faults),
        None => host(setting),
    };
    let service = raw.service.as_ref().map_or(Some("".into()), |raw| service(raw, faults));
    let kind = kind(&raw, &span, lost, faults)?;
    if !lost.has("kind") {
        no_strangers(&raw, kind, faults);
    }
    let (kind, host, protocol) = match kind {
        RawCheckKind::Http => (CheckKind::Http { path: path?, statuses }, host, setting.protocol),
        // There is no other gRPC.
        RawCheckKind::Grpc => (CheckKind::Grpc { service: service? }, host, Protocol::Http2),
        RawCheckKind::Tcp => (CheckKind::Tcp, None, setting.protocol),
    };
    let proxy_protocol = setting.proxy_protocol;
    Some(CheckConfig { kind, host, protocol, proxy_protocol, port, every, timeout, rise, fall })
}

fn timeout(raw: Option<At<String>>, every: Duration, faults: &mut Faults<'_>) -> Duration {
    let span = raw.as_ref().map(|raw| raw.span.clone());
    let timeout = duration(raw, CheckConfig::TIMEOUT, faults);
    if let Some(span) = span.filter(|_| timeout > every) {
        let label =
            format!("one may take {}, and the next comes after {}", in_words(timeout), in_words(every));
        faults
            .at(&span, "a check that is longer than its pause", label)
            .help("make timeout as long as every, or shorter");
    }
    timeout
}

fn port(raw: &At<i64>, setting: &Setting<'_>, faults: &mut Faults<'_>) -> Option<u16> {
    let port = within(raw, 1..=65_535, "a port", faults)?;
    if let Some(socket) = setting.addresses.iter().find(|raw| raw.value.trim().starts_with(Address::UNIX)) {
        faults
            .at(&raw.span, "a port of a Unix socket", format!("{} has none", socket.value.trim()))
            .help("leave port out: the socket itself is asked");
    }
    u16::try_from(port).ok()
}

fn path(raw: &At<String>, faults: &mut Faults<'_>) -> Option<PathAndQuery> {
    let text = raw.value.as_str();
    let is_plain = text.starts_with('/') && !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic());
    let path = text.parse().ok().filter(|_| is_plain);
    if path.is_none() {
        let help = if text.contains("://") {
            "leave out the scheme and the host: host = \"…\" says whom to ask for"
        } else if !text.starts_with('/') {
            "begin it with a slash"
        } else {
            "write it as it stands in a request, percent-encoded"
        };
        faults.at(&raw.span, "not a path", "such as /healthz").help(help);
    }
    path
}

/// The statuses of an endpoint that is well.
fn statuses(raw: Option<&At<Vec<At<String>>>>, lost: &Lost, faults: &mut Faults<'_>) -> Statuses {
    let Some(raw) = raw else { return Statuses::default().with(200..=399) };
    if raw.value.is_empty() && !lost.has("statuses") {
        faults
            .at(&raw.span, "no status is good", "endpoints would be ill whatever they answer")
            .help("leave statuses out for [\"2xx\", \"3xx\"]");
    }
    let mut set = Statuses::default();
    for raw in &raw.value {
        let Some(range) = check_failures::statuses(raw, faults) else { continue };
        if *range.start() < 200 {
            faults
                .at(&raw.span, "not an answer", "below 200 the answer is still to come")
                .help("list statuses from 200 to 599");
        }
        set = set.with(range);
    }
    set
}

/// The host that is asked for unless it is said: one that endpoints know.
fn host(setting: &Setting<'_>) -> Option<HeaderValue> {
    let of_service = || setting.matches.hosts.iter().find_map(|host| host.exact());
    setting.host.cloned().or_else(|| HeaderValue::from_str(of_service()?).ok())
}

fn service(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    if raw.value.len() <= LONGEST_NAME && raw.value.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(raw.value.as_str().into());
    }
    faults
        .at(&raw.span, "not a gRPC service's name", format!("visible ASCII, at most {LONGEST_NAME} bytes"))
        .help("such as shop.Cart, or \"\" for the whole server");
    None
}

fn kind(raw: &RawCheck, span: &Range<usize>, lost: &Lost, faults: &mut Faults<'_>) -> Option<RawCheckKind> {
    match (&raw.kind, &raw.path) {
        (Some(kind), _) => Some(kind.value),
        (None, Some(_)) => Some(RawCheckKind::Http),
        (None, None) => {
            if !lost.has("kind") && !lost.has("path") {
                faults
                    .at(span, "a check of what?", "it does not say what endpoints are asked")
                    .help("add path = \"/healthz\", or kind = \"grpc\", or kind = \"tcp\"");
            }
            None
        }
    }
}

/// Notes keys that say nothing for this kind of check.
fn no_strangers(raw: &RawCheck, kind: RawCheckKind, faults: &mut Faults<'_>) {
    let span = |raw: &Option<At<String>>| raw.as_ref().map(|raw| raw.span.clone());
    let keys = [
        ("path", span(&raw.path), RawCheckKind::Http),
        ("host", span(&raw.host), RawCheckKind::Http),
        ("statuses", raw.statuses.as_ref().map(|raw| raw.span.clone()), RawCheckKind::Http),
        ("service", span(&raw.service), RawCheckKind::Grpc),
    ];
    let help = match kind {
        RawCheckKind::Http => "leave it out: kind = \"http\" goes by path, host and statuses",
        RawCheckKind::Grpc => "leave it out: kind = \"grpc\" goes by service",
        RawCheckKind::Tcp => "leave it out: kind = \"tcp\" asks for a connection, and nothing more",
    };
    for (key, span, of) in keys {
        if let Some(span) = span.filter(|_| of != kind) {
            faults.at(&span, "a key of another kind of check", format!("{key} says nothing here")).help(help);
        }
    }
}
