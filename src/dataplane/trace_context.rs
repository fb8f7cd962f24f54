//! W3C Trace Context: what a request says of the trace that it is part of. It is passed on as it is, since Switchback
//! is no part of a trace itself; what is no valid `traceparent` is taken off, for whoever gets it would have to.

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` and 32 digits, `-` and 16 digits, `-` and two (Trace Context, section 3.2.2).
const LENGTH: usize = 55;
/// Where the trace's identifier stands.
const TRACE_ID: std::ops::Range<usize> = 3..35;
/// Where that of the caller's part stands.
const PARENT_ID: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..LENGTH;

/// Takes off what does not say which trace a request is part of.
pub(super) fn check(headers: &mut HeaderMap) {
    let mut told = headers.get_all(TRACEPARENT).iter();
    let is_valid = told.next().is_some_and(|parent| is_valid(parent.as_bytes())) && told.next().is_none();
    if !is_valid {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
}

/// Starts a trace where a checked request is part of none. `random` draws a number.
pub(super) fn start(headers: &mut HeaderMap, sampled: bool, mut random: impl FnMut() -> u128) {
    if headers.contains_key(TRACEPARENT) {
        return;
    }
    // Nothing but zeros means nothing.
    let (trace, parent) = (random().max(1), (random() >> 64).max(1));
    let parent = format!("00-{trace:032x}-{parent:016x}-{:02x}", u8::from(sampled));
    if let Ok(parent) = HeaderValue::try_from(parent) {
        headers.insert(TRACEPARENT, parent);
    }
}

/// The identifier of the trace that a checked request is part of: 32 hexadecimal digits.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    id_in(parent(headers)?)
}

/// The request's `traceparent`.
pub(super) fn parent(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(TRACEPARENT)
}

/// The trace that a `traceparent` names.
pub(super) fn id_in(parent: &HeaderValue) -> Option<&str> {
    parent.to_str().ok()?.get(TRACE_ID)
}

/// Later versions may say more behind what this one says.
fn is_valid(parent: &[u8]) -> bool {
    let is_hex = |digits: &[u8]| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |digits: &[u8]| is_hex(digits) && digits.iter().any(|digit| *digit != b'0');
    if parent.len() < LENGTH || [2, 35, 52].iter().any(|place| parent[*place] != b'-') {
        return false;
    }
    let version = &parent[..2];
    let is_length = match parent.get(LENGTH) {
        None => true,
        Some(next) => version != b"00" && *next == b'-',
    };
    is_length
        && is_hex(version)
        && version != b"ff"
        && is_id(&parent[TRACE_ID])
        && is_id(&parent[PARENT_ID])
        && is_hex(&parent[FLAGS])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// The cases of the W3C's own test suite that can be told from a value alone, and a few more.
    #[test]
    fn only_a_traceparent_that_is_one_is_passed() {
        let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
        for (parent, passes) in [
            (valid.clone(), true),
            (format!("00-{TRACE}-b7ad6b7169203331-ff"), true),
            (format!("cc-{TRACE}-b7ad6b7169203331-01"), true),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"), true),
            (format!("cc-{TRACE}-b7ad6b7169203331-01.what"), false),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), false),
            (format!("0x-{TRACE}-b7ad6b7169203331-01"), false),
            (format!("00-{TRACE}-b7ad6b7169203331-01-"), false),
            (format!("00-{TRACE}-b7ad6b7169203331-1"), false),
            (format!("00-{TRACE}-b7ad6b7169203331-0X"), false),
            (format!("00-{TRACE}-b7ad6b716920333X-01"), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), false),
            (format!("00_{TRACE}-b7ad6b7169203331-01"), false),
            (format!(".0-{TRACE}-b7ad6b7169203331-01"), false),
            (String::new(), false),
            ("00".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", parent.parse().unwrap());
            headers.insert("tracestate", HeaderValue::from_static("a=1"));
            check(&mut headers);
            assert_eq!(headers.len(), if passes { 2 } else { 0 }, "{parent}");
            assert_eq!(trace_id(&headers), passes.then_some(TRACE));
        }
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append("traceparent", valid.parse().unwrap());
        }
        check(&mut headers);
        assert!(headers.is_empty(), "two are none");
        headers.insert("tracestate", HeaderValue::from_static("a=1"));
        check(&mut headers);
        assert!(headers.is_empty(), "a state of no trace");
    }

    #[test]
    fn a_trace_that_is_started_is_valid_and_one_that_runs_goes_on() {
        for (drawn, sampled) in [(0, false), (u128::MAX, true)] {
            let mut headers = HeaderMap::new();
            start(&mut headers, sampled, || drawn);
            check(&mut headers);
            let parent = headers["traceparent"].to_str().unwrap().to_owned();
            assert!(parent.ends_with(if sampled { "-01" } else { "-00" }), "{parent}");
            start(&mut headers, !sampled, || 7);
            assert_eq!(headers["traceparent"], *parent);
        }
    }
}
