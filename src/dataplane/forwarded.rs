//! What proxies tell of where a request comes from: who is believed, what is passed on, and what is put in its place.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use http::header::{Entry, FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::config::Peers;

pub(super) const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The names by which proxies tell it (RFC 7239, and those that were in use before it).
const NAMES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "forwarded",
    "x-real-ip",
];

/// Stands for who has no address, as in RFC 7239, section 6.2.
const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");

/// What a client's connection tells of each of its requests. It is kept for as long as the connection, of which there may be many
/// that wait: so nothing is in it that can be made when it is needed.
pub(super) struct Forwarded {
    /// Who is at the other end; `None` on a Unix socket.
    address: Option<IpAddr>,
    /// The same in words, once somebody has been told.
    words: OnceCell<HeaderValue>,
    proto: Proto,
    /// Who the client has proven to be, if endpoints are told.
    caller: Option<Box<HeaderValue>>,
    /// The proxies that are believed; absent if this connection is from none of them.
    trusted: Option<Rc<Peers>>,
}

/// How a client's connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proto {
    Http,
    Https,
}

impl Proto {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn value(self) -> HeaderValue {
        const HTTP: HeaderValue = HeaderValue::from_static(Proto::Http.as_str());
        const HTTPS: HeaderValue = HeaderValue::from_static(Proto::Https.as_str());
        match self {
            Self::Http => HTTP,
            Self::Https => HTTPS,
        }
    }
}

impl Forwarded {
    /// `trusted` are the proxies that are believed, and `caller` is who the client has proven to be.
    pub(super) fn new(
        address: Option<IpAddr>,
        proto: Proto,
        caller: Option<HeaderValue>,
        trusted: &Rc<Peers>,
    ) -> Self {
        let address = address.map(|address| address.to_canonical());
        Self {
            address,
            words: OnceCell::new(),
            proto,
            caller: caller.map(Box::new),
            trusted: trusted.has(address).then(|| trusted.clone()),
        }
    }

    /// The address of the client that a request comes from: the one at the other end, or behind proxies that are
    /// believed the nearest that is none of them. `None` if nobody says it who is believed.
    pub(super) fn address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let Some(trusted) = &self.trusted else { return self.address };
        let mut nearest = self.address;
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
                let address = read_address(entry)?;
                nearest = Some(address);
                if !trusted.has_address(address) {
                    return nearest;
                }
            }
        }
        nearest
    }

    /// Lets go of what can be made again.
    pub(super) fn rest(&mut self) {
        self.words = OnceCell::new();
    }

    fn words(&self) -> &HeaderValue {
        self.words.get_or_init(|| {
            let words = self.address.and_then(|address| HeaderValue::try_from(address.to_string()).ok());
            words.unwrap_or(UNKNOWN)
        })
    }

    /// Tells an endpoint where a request comes from. `told` says that the request says something of it already.
    pub(super) fn tell(&self, headers: &mut HeaderMap, told: bool) {
        if told {
            let is_trusted = self.trusted.is_some();
            remove(headers, |name| is_spelled_so(name) && (!is_trusted || !NAMES.contains(&name)));
        }
        match headers.entry(FORWARDED_FOR) {
            Entry::Vacant(place) => _ = place.insert(self.words().clone()),
            // Who is on this machine and believed has said the last that there is to say.
            Entry::Occupied(_) if self.address.is_none() => {}
            Entry::Occupied(_) => append(headers, FORWARDED_FOR, self.words()),
        }
        if !told || !is_one_proto(headers) {
            headers.insert(FORWARDED_PROTO, self.proto.value());
        }
        if let Some(address) = self.address.filter(|_| told && headers.contains_key(FORWARDED)) {
            append(headers, FORWARDED, &self.element(address));
        }
    }

    /// Tells an endpoint who the client has proven to be. `told` says that the request claims something already.
    pub(super) fn vouch(&self, headers: &mut HeaderMap, told: bool) {
        if told {
            remove(headers, is_caller);
        }
        if let Some(caller) = &self.caller {
            headers.insert(FORWARDED_CLIENT_CERT, HeaderValue::clone(caller));
        }
    }

    /// This hop, as `Forwarded` has it (RFC 7239, section 4).
    fn element(&self, address: IpAddr) -> HeaderValue {
        let proto = self.proto.as_str();
        let element = match address {
            IpAddr::V4(address) => format!("for={address};proto={proto}"),
            IpAddr::V6(address) => format!("for=\"[{address}]\";proto={proto}"),
        };
        HeaderValue::try_from(element).unwrap_or(UNKNOWN)
    }
}

/// Whether a name is one by which proxies tell where a request comes from, or who from, to somebody: gateways such as
/// CGI and WSGI take `_` for `-`.
pub(super) fn is_told(name: &str) -> bool {
    is_spelled_so(name) || is_caller(name)
}

/// Whether it is one of those that tell where from.
pub(super) fn is_spelled_so(name: &str) -> bool {
    NAMES.iter().any(|known| is_same(name, known))
}

/// Whether it is `X-Forwarded-Client-Cert` to somebody.
pub(super) fn is_caller(name: &str) -> bool {
    is_same(name, FORWARDED_CLIENT_CERT.as_str())
}

/// Whether two names are one to who takes `_` for `-`.
pub(super) fn is_same(name: &str, other: &str) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == other.len() && name.bytes().map(dashed).eq(other.bytes().map(dashed))
}

/// Takes off all headers whose names are so.
pub(super) fn remove(headers: &mut HeaderMap, is_so: impl Fn(&str) -> bool) {
    let named: Vec<HeaderName> = headers.keys().filter(|name| is_so(name.as_str())).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// Adds to a list, in one line.
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value.clone());
        }
        Entry::Occupied(mut place) => {
            let mut list: Vec<&[u8]> = place.iter().map(HeaderValue::as_bytes).collect();
            list.push(value.as_bytes());
            if let Ok(joined) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
                place.insert(joined);
            }
        }
    }
}

fn is_one_proto(headers: &HeaderMap) -> bool {
    let mut told = headers.get_all(FORWARDED_PROTO).iter();
    told.next().is_some_and(|proto| matches!(proto.as_bytes(), b"http" | b"https")) && told.next().is_none()
}

/// Reads an entry of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
fn read_address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = entry.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|both| both.ip()));
    let address = address.ok().or_else(|| bracketed?.parse().ok().map(IpAddr::V6));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, trusted: &[&str]) -> Forwarded {
        let (unix, networks): (Vec<&str>, Vec<&str>) = trusted.iter().partition(|peer| **peer == "unix");
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let trusted = Rc::new(Peers { networks, unix: !unix.is_empty() });
        Forwarded::new(peer.parse().ok(), Proto::Http, None, &trusted)
    }

    fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn text(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_client_is_the_nearest_that_is_no_trusted_proxy() {
        for (lines, client) in [
            (&[][..], Some("10.9.0.1")),
            (&["203.0.113.7"], Some("203.0.113.7")),
            // What the client has made up stands left of what a proxy saw.
            (&["10.20.0.1, 203.0.113.7"], Some("203.0.113.7")),
            (&["10.20.0.1", "203.0.113.7, 10.9.0.2"], Some("203.0.113.7")),
            (&["nonsense, 203.0.113.7,10.9.0.2"], Some("203.0.113.7")),
            (&["203.0.113.7:4711"], Some("203.0.113.7")),
            (&["2001:db8::7"], Some("2001:db8::7")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["[2001:db8::7]:4711 "], Some("2001:db8::7")),
            (&["::ffff:203.0.113.7"], Some("203.0.113.7")),
            (&["::ffff:10.9.0.4"], Some("10.9.0.4")),
            (&["203.0.113.7, ::ffff:10.9.0.4"], Some("203.0.113.7")),
            // All of them are proxies: the farthest has asked.
            (&["10.9.0.3, 10.9.0.2"], Some("10.9.0.3")),
            // A proxy that does not say it: nobody knows.
            (&["unknown"], None),
            (&["10.20.0.1, unknown, 10.9.0.2"], None),
            (&["10.20.0.1, "], None),
            (&[""], None),
            (&["203.0.113.7:"], None),
            (&["203.0.113.7:99999"], None),
            (&["[203.0.113.7]"], None),
            (&["_hidden"], None),
            (&["203.0.113.007"], None),
        ] {
            let headers = with(&lines.iter().map(|line| ("x-forwarded-for", *line)).collect::<Vec<_>>());
            let found = from("10.9.0.1", &["10.9.0.0/24"]).address(&headers);
            assert_eq!(found, client.map(|client| client.parse().unwrap()), "{lines:?}");
            let untrusted = from("198.51.100.1", &["10.9.0.0/24"]).address(&headers);
            assert_eq!(untrusted, Some("198.51.100.1".parse().unwrap()), "{lines:?}");
        }
    }

    #[test]
    fn what_nobody_trusted_says_is_replaced_in_every_spelling() {
        let said = [
            ("x-forwarded-for", "10.20.0.1"),
            ("x_forwarded_for", "10.20.0.1"),
            ("x-forwarded_proto", "https"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-port", "443"),
            ("x_real-ip", "10.20.0.1"),
            ("x-real-ip", "10.20.0.1"),
            ("forwarded", "for=10.20.0.1"),
            ("x-forwarded-forx", "kept"),
        ];
        let mut headers = with(&said);
        from("198.51.100.1", &["10.9.0.0/24"]).tell(&mut headers, true);
        let expected = ["x-forwarded-for: 198.51.100.1", "x-forwarded-forx: kept", "x-forwarded-proto: http"];
        assert_eq!(text(&headers), expected);
    }

    #[test]
    fn what_a_trusted_proxy_says_is_passed_and_added_to() {
        let mut headers = with(&[
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "10.9.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.test"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            ("x_forwarded_for", "10.20.0.1"),
        ]);
        from("10.9.0.1", &["10.9.0.0/24"]).tell(&mut headers, true);
        let expected = [
            "forwarded: for=203.0.113.7, for=10.9.0.1;proto=http",
            "x-forwarded-for: 203.0.113.7, 10.9.0.2, 10.9.0.1",
            "x-forwarded-host: a.test",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "x-real-ip: 203.0.113.7",
        ];
        assert_eq!(text(&headers), expected);
        let mut headers = with(&[("forwarded", "for=x")]);
        from("fd00::1", &["fd00::/8"]).tell(&mut headers, true);
        assert_eq!(headers["forwarded"], "for=x, for=\"[fd00::1]\";proto=http");
    }

    #[test]
    fn who_comes_by_a_unix_socket_is_unknown_unless_trusted_to_say_who_asks() {
        let lines = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7")];
        for (trusted, address, passed) in [
            (&["0.0.0.0/0"][..], None, &["x-forwarded-for: unknown", "x-forwarded-proto: http"][..]),
            (
                &["unix"],
                Some([203, 0, 113, 7].into()),
                &["forwarded: for=203.0.113.7", "x-forwarded-for: 203.0.113.7", "x-forwarded-proto: http"],
            ),
        ] {
            let mut headers = with(&lines);
            let by_socket = from("unix", trusted);
            assert_eq!(by_socket.address(&headers), address);
            by_socket.tell(&mut headers, true);
            assert_eq!(text(&headers), passed);
            let mut silent = HeaderMap::new();
            assert_eq!(by_socket.address(&silent), None);
            by_socket.tell(&mut silent, false);
            assert_eq!(text(&silent), ["x-forwarded-for: unknown", "x-forwarded-proto: http"]);
        }
        // Somebody on the network is not who comes by a socket.
        assert_eq!(from("10.9.0.1", &["unix"]).address(&with(&lines)), Some([10, 9, 0, 1].into()));
    }

    #[test]
    fn a_proto_that_is_none_is_replaced_also_if_a_trusted_proxy_says_it() {
        for told in [&["ftp"][..], &["https, http"], &["http", "https"], &[""]] {
            let lines: Vec<_> = told.iter().map(|told| ("x-forwarded-proto", *told)).collect();
            let mut headers = with(&lines);
            from("10.9.0.1", &["10.9.0.0/24"]).tell(&mut headers, true);
            assert_eq!(text(&headers)[1..], ["x-forwarded-proto: http"], "{told:?}");
        }
    }
}
