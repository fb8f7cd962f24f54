use std::collections::BTreeMap;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::at::At;
use super::changes::{ChangesConfig, HeaderRules, TraceStart};
use super::checked::PathPrefix;
use super::fault::Faults;
use super::raw_headers::{RawHeaders, RawRewrite, RawRules, RawTrace};

/// What a service's file says of changes on the way.
pub(super) struct Written {
    pub(super) headers: Option<RawHeaders>,
    pub(super) rewrite: Option<RawRewrite>,
    pub(super) trace: Option<RawTrace>,
    /// Whether a side has a host of its own.
    pub(super) rehosts: bool,
}

/// Which heads a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Requests,
    Answers,
}

/// Headers that belong to one connection, or say where a message ends. Whoever changed them would have another message
/// read than the one that was sent.
const FRAMING: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of requests by which Switchback tells where a request comes from: endpoints rely on them.
const ORIGIN: [&str; 8] = [
    "forwarded",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];
/// Headers by which both ends of a call agree on how it ends, and the judge sees it.
const CALLS: [&str; 3] = ["grpc-message", "grpc-status", "grpc-timeout"];
/// Headers that carry a trace.
const TRACES: [&str; 2] = ["traceparent", "tracestate"];

/// Checks what a service changes on the way; `None` if that is nothing.
pub(super) fn check(
    raw: Written,
    paths: &[PathPrefix],
    faults: &mut Faults<'_>,
) -> Option<Box<ChangesConfig>> {
    let headers = raw.headers.unwrap_or_default();
    let request_id = headers.request_id.and_then(|raw| request_id(&raw, faults));
    let own = request_id.as_ref();
    let changes = ChangesConfig {
        request: rules(headers.request.unwrap_or_default(), Of::Requests, own, faults),
        answer: rules(headers.answer.unwrap_or_default(), Of::Answers, own, faults),
        strip_prefix: raw
            .rewrite
            .and_then(|rewrite| rewrite.strip_prefix)
            .and_then(|raw| strip_prefix(&raw, paths, faults)),
        trace: trace(raw.trace.unwrap_or_default(), faults),
        rehosts: raw.rehosts,
        request_id,
    };
    (changes != ChangesConfig::default()).then(|| Box::new(changes))
}

/// A host under which a side is asked, perhaps with a port.
pub(super) fn host(raw: &At<String>, faults: &mut Faults<'_>) -> Option<HeaderValue> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let authority = raw.value.parse::<Authority>().ok().filter(|authority| {
        let host = authority.host();
        let is_ipv6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_ipv6 = is_ipv6.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
        let is_whole = authority.as_str().len() == host.len() || authority.port_u16().is_some();
        (is_ipv6 || is_name) && is_whole && !authority.as_str().contains('@')
    });
    let value = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if value.is_none() {
        let fault = faults.at(&raw.span, "not a host", "a name, perhaps with a port");
        if raw.value.contains("://") {
            fault.help("leave out the scheme");
        } else {
            fault.help("such as playlist.internal, or playlist.internal:8080");
        }
    }
    value
}

fn request_id(raw: &At<String>, faults: &mut Faults<'_>) -> Option<HeaderName> {
    let name = header_name(raw, faults)?;
    let is_nobodys = is_free(&name, raw, Of::Requests, None, faults);
    is_nobodys.then_some(name)
}

fn rules(raw: RawRules, of: Of, request_id: Option<&HeaderName>, faults: &mut Faults<'_>) -> HeaderRules {
    let mut remove: Vec<HeaderName> = Vec::new();
    for raw in raw.remove.into_iter().flatten() {
        let Some(name) = header_name(&raw, faults) else { continue };
        if remove.contains(&name) {
            twice(&raw, faults);
        } else if is_free(&name, &raw, of, request_id, faults) {
            remove.push(name);
        }
    }
    let set = lines(raw.set, of, request_id, faults);
    let add = lines(raw.add, of, request_id, faults);
    HeaderRules { remove, set, add }
}

fn lines(
    raw: Option<BTreeMap<At<String>, At<String>>>,
    of: Of,
    request_id: Option<&HeaderName>,
    faults: &mut Faults<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut lines: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (raw_name, raw_value) in raw.into_iter().flatten() {
        let name = header_name(&raw_name, faults);
        let value = header_value(&raw_value, faults);
        let (Some(name), Some(value)) = (name, value) else { continue };
        if lines.iter().any(|(other, _)| *other == name) {
            twice(&raw_name, faults);
        } else if is_free(&name, &raw_name, of, request_id, faults) {
            lines.push((name, value));
        }
    }
    lines
}

fn twice(raw: &At<String>, faults: &mut Faults<'_>) {
    let label = "small and capital letters are the same in a header's name";
    faults.at(&raw.span, "the same header twice", label).help("leave this one out");
}

/// Whether rules may change this header.
fn is_free(
    name: &HeaderName,
    raw: &At<String>,
    of: Of,
    request_id: Option<&HeaderName>,
    faults: &mut Faults<'_>,
) -> bool {
    // Gateways such as CGI and WSGI take `_` for `-`.
    let dashed = name.as_str().replace('_', "-");
    let dashed = dashed.as_str();
    let (label, help) = if of == Of::Requests && dashed == "host" {
        ("it says which host is asked", "write host = \"…\" in [helios] or [kubernetes]")
    } else if FRAMING.contains(&dashed) {
        (
            "it belongs to a connection, or to how a message is read",
            "leave it out: Switchback writes it itself",
        )
    } else if of == Of::Requests && ORIGIN.contains(&dashed) {
        (
            "by it Switchback says where a request comes from",
            "leave it out; trusted-proxies of a listener says who else is believed",
        )
    } else if CALLS.contains(&dashed) {
        (
            "by it both ends of a gRPC call agree on its end",
            "leave it out: it is the caller's and the endpoint's",
        )
    } else if of == Of::Requests && TRACES.contains(&dashed) {
        ("it carries a trace", "leave it out; start = true in [trace] starts one")
    } else if request_id.is_some_and(|own| own.as_str().replace('_', "-") == dashed) {
        ("it is this service's request-id", "leave it out here, or choose another request-id")
    } else {
        return true;
    };
    faults.at(&raw.span, "not a header that rules may change", label).help(help);
    false
}

/// A header's name.
pub(super) fn header_name(raw: &At<String>, faults: &mut Faults<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(raw.value.as_bytes()).ok();
    if name.is_none() {
        let label = "letters, digits and dashes, such as x-user-id";
        let fault = faults.at(&raw.span, "not a header's name", label);
        if raw.value.starts_with(':') {
            fault.help(
                "HTTP/2 writes so what is no header: host of a side and strip-prefix change some of it",
            );
        }
    }
    name
}

fn header_value(raw: &At<String>, faults: &mut Faults<'_>) -> Option<HeaderValue> {
    let is_trimmed = raw.value.trim() == raw.value;
    let value = HeaderValue::from_str(&raw.value).ok().filter(|_| is_trimmed);
    if value.is_none() {
        let label = "visible ASCII in one line, without space around it";
        faults.at(&raw.span, "not a header's value", label);
    }
    value
}

fn strip_prefix(raw: &At<String>, paths: &[PathPrefix], faults: &mut Faults<'_>) -> Option<PathPrefix> {
    let prefix = super::check_service::path_prefix(raw, faults)?;
    if prefix.length() == 0 {
        faults
            .at(&raw.span, "nothing to strip", "every path begins with a slash, and has to")
            .help("leave strip-prefix out");
        return None;
    }
    let is_below = |path: &PathPrefix| prefix.matches(&path.to_string());
    if !paths.is_empty() && !paths.iter().any(is_below) {
        let written: Vec<String> = paths.iter().map(ToString::to_string).collect();
        faults
            .at(&raw.span, "a prefix of no path", format!("this service's paths are {}", written.join(", ")))
            .help(format!("write paths = [\"{prefix}\"] in [match], or strip what those begin with"));
        return None;
    }
    Some(prefix)
}

fn trace(raw: RawTrace, faults: &mut Faults<'_>) -> TraceStart {
    let starts = raw.start.is_some_and(|start| start.value);
    let sampled = raw.sampled.as_ref().is_some_and(|sampled| sampled.value);
    if let Some(raw) = raw.sampled.filter(|_| sampled && !starts) {
        faults
            .at(&raw.span, "no trace is started", "whether others' are recorded is their own word")
            .help("add start = true, or leave sampled out");
    }
    if starts { TraceStart::Always { sampled } } else { TraceStart::Never }
}
