use std::collections::VecDeque;
use std::mem;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::field::{Entry, Field, Name};

/// What the peer may speak of by its place.
#[derive(Debug)]
pub(super) struct Table {
    /// The latest is first.
    stored: VecDeque<Stored>,
    /// The sum of theirs.
    pub(super) size: usize,
    /// What the peer has set.
    pub(super) limit: usize,
    /// What it may set.
    most: usize,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    /// As RFC 7541 counts it (section 4.1).
    pub(super) size: usize,
}

/// What stands before all that the peers put there.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) stored: Stored,
}

/// Counted for each entry, beside its name and its value.
pub(super) const OVERHEAD: usize = 32;

/// What an entry is in memory, and what of it is in the room that the table says it takes: nobody may make us hold much more.
const _: () = assert!(mem::size_of::<Stored>() <= 4 * OVERHEAD);

impl Table {
    pub(super) const fn new(most: usize) -> Self {
        Self { stored: VecDeque::new(), size: 0, limit: most, most }
    }

    /// Puts an entry before all others, for which the oldest give way. One that is larger than the table empties it.
    pub(super) fn insert(&mut self, stored: Stored) {
        self.shrink(self.limit.saturating_sub(stored.size));
        if stored.size <= self.limit {
            self.size += stored.size;
            self.stored.push_front(stored);
        }
    }

    /// Sets how large it may be; false if that is more than it may.
    #[must_use]
    pub(super) fn resize(&mut self, limit: usize) -> bool {
        if limit > self.most {
            return false;
        }
        self.limit = limit;
        self.shrink(limit);
        true
    }

    pub(super) fn get(&self, index: usize) -> Option<&Stored> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(place) => self.stored.get(place),
            None => STATIC.get(index.wrapping_sub(1)).map(|known| &known.stored),
        }
    }

    fn shrink(&mut self, limit: usize) {
        while self.size > limit
            && let Some(oldest) = self.stored.pop_back()
        {
            self.size -= oldest.size;
        }
    }
}

/// Appendix A; the first has the index 1.
pub(super) static STATIC: [Known; 61] = [
    known(":authority", "", Entry::Wrong(Name::Authority)),
    method("GET", Method::GET),
    method("POST", Method::POST),
    path("/"),
    path("/index.html"),
    scheme("http", Scheme::HTTP),
    scheme("https", Scheme::HTTPS),
    status(StatusCode::OK),
    status(StatusCode::NO_CONTENT),
    status(StatusCode::PARTIAL_CONTENT),
    status(StatusCode::NOT_MODIFIED),
    status(StatusCode::BAD_REQUEST),
    status(StatusCode::NOT_FOUND),
    status(StatusCode::INTERNAL_SERVER_ERROR),
    regular("accept-charset", ""),
    regular("accept-encoding", "gzip, deflate"),
    regular("accept-language", ""),
    regular("accept-ranges", ""),
    regular("accept", ""),
    regular("access-control-allow-origin", ""),
    regular("age", ""),
    regular("allow", ""),
    regular("authorization", ""),
    regular("cache-control", ""),
    regular("content-disposition", ""),
    regular("content-encoding", ""),
    regular("content-language", ""),
    regular("content-length", ""),
    regular("content-location", ""),
    regular("content-range", ""),
    regular("content-type", ""),
    regular("cookie", ""),
    regular("date", ""),
    regular("etag", ""),
    regular("expect", ""),
    regular("expires", ""),
    regular("from", ""),
    regular("host", ""),
    regular("if-match", ""),
    regular("if-modified-since", ""),
    regular("if-none-match", ""),
    regular("if-range", ""),
    regular("if-unmodified-since", ""),
    regular("last-modified", ""),
    regular("link", ""),
    regular("location", ""),
    regular("max-forwards", ""),
    regular("proxy-authenticate", ""),
    regular("proxy-authorization", ""),
    regular("range", ""),
    regular("referer", ""),
    regular("refresh", ""),
    regular("retry-after", ""),
    regular("server", ""),
    regular("set-cookie", ""),
    regular("strict-transport-security", ""),
    regular("transfer-encoding", ""),
    regular("user-agent", ""),
    regular("vary", ""),
    regular("via", ""),
    regular("www-authenticate", ""),
];

const fn known(name: &'static str, value: &str, entry: Entry) -> Known {
    Known { name, stored: Stored { entry, size: name.len() + value.len() + OVERHEAD } }
}

const fn method(value: &str, method: Method) -> Known {
    known(":method", value, Entry::Understood(Field::Method(method)))
}

const fn path(value: &'static str) -> Known {
    known(":path", value, Entry::Understood(Field::Path(PathAndQuery::from_static(value))))
}

const fn scheme(value: &str, scheme: Scheme) -> Known {
    known(":scheme", value, Entry::Understood(Field::Scheme(scheme)))
}

const fn status(status: StatusCode) -> Known {
    known(":status", "200", Entry::Understood(Field::Status(status)))
}

const fn regular(name: &'static str, value: &'static str) -> Known {
    let field = Field::Regular(HeaderName::from_static(name), HeaderValue::from_static(value));
    known(name, value, Entry::Understood(field))
}
