//! What a service changes on the way: headers by its rules, the path, the host, and the identifier of a request.
//!
//! A request is changed once, before the first side is asked, so that a rescue and an upgrade get what any other try
//! gets; only the host is each side's own. An answer is changed when it becomes the client's. What Switchback answers
//! itself is nobody's to change: it carries the request's identifier, and nothing else of all this.
//!
//! A worker has a copy of its own of each service's rules: names and values are put into every head, and all workers
//! counting on one shared name would be fighting over a cache line.

use std::rc::Rc;
use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri};

use crate::config::{HeaderRules, PathPrefix, ServiceConfig, SideConfig, TraceStart};
use crate::model::{PerSide, Side};

use super::forwarded::{self, FORWARDED_HOST};
use super::trace_context;

/// A client's own identifier of a request may have so many bytes; it is put into logs.
const LONGEST_ID: usize = 128;

/// A worker's own copy of what a service changes.
pub(super) struct Rules {
    /// What it was copied from.
    source: Arc<ServiceConfig>,
    request: HeaderRules,
    answer: HeaderRules,
    request_id: Option<HeaderName>,
    strip_prefix: Option<PathPrefix>,
    trace: TraceStart,
    /// Absent unless a side has a host of its own.
    hosts: Option<PerSide<Option<HeaderValue>>>,
}

/// What is kept of one request, for its tries and its answer.
pub(super) struct Passing {
    rules: Rc<Rules>,
    request_id: Option<HeaderValue>,
    /// The `traceparent` of a request that has no identifier of its own.
    parent: Option<HeaderValue>,
    /// The host that the client asks for; absent if no side has one of its own.
    host: Option<HeaderValue>,
    /// Whether a proxy that is believed has said which host its client asked for.
    is_host_told: bool,
}

impl Rules {
    /// `None` if the service changes nothing.
    pub(super) fn of(source: &Arc<ServiceConfig>) -> Option<Rc<Self>> {
        let changes = source.changes.as_ref()?;
        let host = |side: &SideConfig| side.host.as_ref().map(copy);
        Some(Rc::new(Self {
            source: source.clone(),
            request: own(&changes.request),
            answer: own(&changes.answer),
            request_id: changes.request_id.as_ref().map(copy_name),
            strip_prefix: changes.strip_prefix.clone(),
            trace: changes.trace,
            hosts: changes.rehosts.then(|| source.sides.as_ref().map(host)),
        }))
    }

    /// Whether it is a copy of these.
    pub(super) fn is_of(&self, source: &Arc<ServiceConfig>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// Changes a prepared request. `random` draws a number.
    pub(super) fn pass<B>(
        self: Rc<Self>,
        request: &mut Request<B>,
        mut random: impl FnMut() -> u128,
    ) -> Passing {
        if let Some(prefix) = &self.strip_prefix {
            strip(request.uri_mut(), prefix);
        }
        let headers = request.headers_mut();
        apply(&self.request, headers);
        let request_id = self.request_id.as_ref().map(|name| identify(headers, name, &mut random));
        if let TraceStart::Always { sampled } = self.trace {
            trace_context::start(headers, sampled, random);
        }
        let parent = if request_id.is_none() { trace_context::parent(headers).cloned() } else { None };
        let host = self.hosts.as_ref().and_then(|_| headers.get(HOST).cloned());
        let is_host_told = headers.contains_key(FORWARDED_HOST);
        Passing { rules: self, request_id, parent, host, is_host_told }
    }
}

impl Passing {
    /// The request's identifier, if it needs one.
    pub(super) fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// By what people find the request in what others have written of it.
    pub(super) fn known_as(&self) -> Option<&str> {
        match (&self.request_id, &self.parent) {
            (Some(id), _) => id.to_str().ok(),
            (None, parent) => parent.as_ref().and_then(trace_context::id_in),
        }
    }

    /// Asks under the host that the side's endpoints go by. They are told for which one the client has asked, unless
    /// somebody who is believed has said so before.
    pub(super) fn address(&self, headers: &mut HeaderMap, side: Side) {
        let (Some(hosts), Some(asked)) = (&self.rules.hosts, &self.host) else { return };
        let own = hosts[side].as_ref();
        headers.insert(HOST, own.unwrap_or(asked).clone());
        if self.is_host_told {
            return;
        }
        if own.is_some() && !asked.is_empty() {
            headers.insert(FORWARDED_HOST, asked.clone());
        } else {
            headers.remove(FORWARDED_HOST);
        }
    }

    /// Changes the head of an endpoint's answer.
    pub(super) fn answer(&self, headers: &mut HeaderMap) {
        apply(&self.rules.answer, headers);
        self.sign(headers);
    }

    /// Puts the request's identifier on an answer.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        if let (Some(name), Some(id)) = (&self.rules.request_id, &self.request_id) {
            headers.insert(name.clone(), id.clone());
        }
    }
}

/// What is taken off or replaced is so in every spelling that somebody would take for the name.
fn apply(rules: &HeaderRules, headers: &mut HeaderMap) {
    if !rules.remove.is_empty() || !rules.set.is_empty() {
        forwarded::remove(headers, |name| {
            let replaced = rules.set.iter().map(|(name, _)| name);
            rules.remove.iter().chain(replaced).any(|rule| forwarded::is_same(name, rule.as_str()))
        });
    }
    for (name, value) in &rules.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &rules.add {
        headers.append(name.clone(), value.clone());
    }
}

/// The request's identifier: the client's own if it is one that can be put anywhere, else a new one.
fn identify(headers: &mut HeaderMap, name: &HeaderName, random: impl FnOnce() -> u128) -> HeaderValue {
    let mut given = headers.get_all(name).iter();
    let first = given.next().filter(|id| is_sane(id)).filter(|_| given.next().is_none());
    let id = first.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(format!("{:032x}", random())).unwrap_or(HeaderValue::from_static("unknown"))
    });
    forwarded::remove(headers, |other| forwarded::is_same(other, name.as_str()));
    headers.insert(name.clone(), id.clone());
    id
}

fn is_sane(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Takes a prefix off a path that lies below it. What is left begins with one slash: two would be read as a host
/// (RFC 3986, section 4.2).
fn strip(uri: &mut Uri, prefix: &PathPrefix) {
    let Some(rest) = prefix.strip(uri.path()) else { return };
    let rest = rest.trim_start_matches('/');
    let left = match uri.query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    let mut parts = uri.clone().into_parts();
    // What was a path and a query is so without its beginning.
    if let Ok(left) = PathAndQuery::try_from(left) {
        parts.path_and_query = Some(left);
    }
    if let Ok(changed) = Uri::from_parts(parts) {
        *uri = changed;
    }
}

fn own(rules: &HeaderRules) -> HeaderRules {
    let line = |(name, value): &(HeaderName, HeaderValue)| (copy_name(name), copy(value));
    HeaderRules {
        remove: rules.remove.iter().map(copy_name).collect(),
        set: rules.set.iter().map(line).collect(),
        add: rules.add.iter().map(line).collect(),
    }
}

/// A copy that counts its users by itself.
fn copy(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

fn copy_name(name: &HeaderName) -> HeaderName {
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_path_is_a_path_with_its_query_and_no_host() {
        for (prefix, before, after) in [
            ("/v1", "/v1", "/"),
            ("/v1/", "/v1", "/"),
            ("/v1", "/v1/", "/"),
            ("/v1", "/v1?a=/v1", "/?a=/v1"),
            ("/v1", "/v1?", "/?"),
            ("/v1", "/v1/x/v1?q=1&r", "/x/v1?q=1&r"),
            ("/v1", "/v1//evil.test/x", "/evil.test/x"),
            ("/v1", "/v1////evil.test", "/evil.test"),
            ("/v1", "/v1//", "/"),
            ("/v1", "/v1/a//b", "/a//b"),
            ("/v1", "/v1/%2f%2fevil", "/%2f%2fevil"),
            ("/v1", "/v1beta/x", "/v1beta/x"),
            ("/v1", "/x/v1", "/x/v1"),
            ("/v1", "//v1/x", "//v1/x"),
            ("/v1", "*", "*"),
            ("/a/b", "/a/b/c", "/c"),
            ("/v1", "http://a.test/v1/x?y", "http://a.test/x?y"),
            ("/v1", "http://a.test/v1//evil.test", "http://a.test/evil.test"),
        ] {
            let mut uri: Uri = before.parse().unwrap();
            strip(&mut uri, &PathPrefix::new(prefix));
            assert_eq!(uri.to_string(), after, "{before}");
            assert_eq!(uri.authority().is_some(), before.starts_with("http:"), "{before}");
        }
    }

    fn name(name: &str) -> HeaderName {
        name.parse().unwrap()
    }

    #[test]
    fn rules_hold_in_their_order_and_for_every_spelling() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        let rules = HeaderRules {
            remove: vec![name("x-debug"), name("x-both")],
            set: vec![(name("x-team"), value("ours")), (name("x-both"), value("set"))],
            add: vec![(name("x-seen"), value("here")), (name("x-both"), value("added"))],
        };
        let mut headers = HeaderMap::new();
        for line in ["x-debug", "x_debug", "x-team", "x_team", "x-seen", "x-both", "x-debugger", "x-tea"] {
            headers.append(name(line), value("theirs"));
            headers.append(name(line), value("again"));
        }
        apply(&rules, &mut headers);
        let lines = |wanted: &str| headers.get_all(wanted).iter().cloned().collect::<Vec<_>>();
        assert!(lines("x-debug").is_empty() && lines("x_debug").is_empty() && lines("x_team").is_empty());
        assert_eq!(lines("x-team"), ["ours"]);
        assert_eq!(lines("x-seen"), ["theirs", "again", "here"]);
        assert_eq!(lines("x-both"), ["set", "added"]);
        assert_eq!(lines("x-debugger").len() + lines("x-tea").len(), 4);
    }

    #[test]
    fn an_identifier_is_passed_if_it_is_one_and_is_as_long_as_logs_can_bear() {
        let longest = "x".repeat(LONGEST_ID);
        let too_long = "x".repeat(LONGEST_ID + 1);
        for (given, is_passed) in [
            (&[&*longest][..], true),
            (&["1"], true),
            (&["a-b_c/d:e=,\"{}"], true),
            (&[], false),
            (&[""], false),
            (&[&*too_long], false),
            (&["a b"], false),
            (&["a\tb"], false),
            (&["one", "two"], false),
        ] {
            let mut headers = HeaderMap::new();
            for id in given {
                headers.append("x-request-id", id.parse().unwrap());
            }
            headers.append("x_request_id", HeaderValue::from_static("other"));
            let id = identify(&mut headers, &name("x-request-id"), || 0xabc);
            let made = format!("{:032x}", 0xabc);
            assert_eq!(id, if is_passed { given[0] } else { &*made }, "{given:?}");
            assert_eq!((headers.len(), &headers["x-request-id"]), (1, &id));
        }
    }
}
