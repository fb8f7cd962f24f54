use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

/// A field of a head, understood.
#[derive(Clone, Debug)]
pub(in crate::dataplane) enum Field {
    Method(Method),
    Scheme(Scheme),
    Authority(Authority),
    Path(PathAndQuery),
    /// `:protocol` of an extended CONNECT (RFC 8441), a token.
    Protocol(Bytes),
    Status(StatusCode),
    Regular(HeaderName, HeaderValue),
    /// None that HTTP/2 allows: its message is malformed, not the connection.
    Malformed,
}

/// What a table holds.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Understood(Field),
    /// The value is none for this name, which others may use yet.
    Wrong(Name),
}

#[derive(Clone, Debug)]
pub(super) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    Regular(HeaderName),
    /// Upper case, a control character, or a pseudo-header that nobody knows.
    Malformed {
        length: usize,
    },
}

impl Entry {
    pub(super) fn field(&self) -> Field {
        match self {
            Self::Understood(field) => field.clone(),
            Self::Wrong(_) => Field::Malformed,
        }
    }

    pub(super) fn into_field(self) -> Field {
        match self {
            Self::Understood(field) => field,
            Self::Wrong(_) => Field::Malformed,
        }
    }

    pub(super) fn name(&self) -> Name {
        match self {
            Self::Understood(Field::Regular(name, _)) => Name::Regular(name.clone()),
            Self::Understood(Field::Method(_)) => Name::Method,
            Self::Understood(Field::Scheme(_)) => Name::Scheme,
            Self::Understood(Field::Authority(_)) => Name::Authority,
            Self::Understood(Field::Path(_)) => Name::Path,
            Self::Understood(Field::Protocol(_)) => Name::Protocol,
            Self::Understood(Field::Status(_)) => Name::Status,
            Self::Understood(Field::Malformed) => Name::Malformed { length: 0 },
            Self::Wrong(name) => name.clone(),
        }
    }
}

impl Name {
    pub(super) fn read(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            // A colon is in no name.
            _ => {
                HeaderName::from_lowercase(name).map_or(Self::Malformed { length: name.len() }, Self::Regular)
            }
        }
    }

    pub(super) fn length(&self) -> usize {
        match self {
            Self::Path => ":path".len(),
            Self::Method | Self::Scheme | Self::Status => ":method".len(),
            Self::Protocol => ":protocol".len(),
            Self::Authority => ":authority".len(),
            Self::Regular(name) => name.as_str().len(),
            Self::Malformed { length } => *length,
        }
    }

    /// Understands a value, of which what stays is put by `keep`.
    pub(super) fn with(self, value: &[u8], keep: impl FnOnce(&[u8]) -> Bytes) -> Entry {
        let field = match &self {
            Self::Method => Method::from_bytes(value).ok().map(Field::Method),
            Self::Scheme => scheme(value),
            Self::Authority => authority(value, keep),
            Self::Path => path(value, keep),
            Self::Protocol => is_token(value).then(|| Field::Protocol(keep(value))),
            Self::Status => StatusCode::from_bytes(value).ok().map(Field::Status),
            Self::Regular(_) => return self.regular(value, keep),
            Self::Malformed { .. } => None,
        };
        field.map_or(Entry::Wrong(self), Entry::Understood)
    }

    fn regular(self, value: &[u8], keep: impl FnOnce(&[u8]) -> Bytes) -> Entry {
        let Self::Regular(name) = self else { return Entry::Wrong(self) };
        // RFC 9113, section 8.2.1.
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Entry::Wrong(Self::Regular(name));
        }
        match HeaderValue::from_maybe_shared(keep(value)) {
            Ok(value) => Entry::Understood(Field::Regular(name, value)),
            Err(_) => Entry::Wrong(Self::Regular(name)),
        }
    }
}

/// It begins with a letter (RFC 3986, section 3.1).
fn scheme(value: &[u8]) -> Option<Field> {
    let begins = value.first().is_some_and(u8::is_ascii_alphabetic);
    Scheme::try_from(value).ok().filter(|_| begins).map(Field::Scheme)
}

/// Who is asked; a user is never named there (RFC 9113, section 8.3.1).
fn authority(value: &[u8], keep: impl FnOnce(&[u8]) -> Bytes) -> Option<Field> {
    if value.contains(&b'@') {
        return None;
    }
    Authority::from_maybe_shared(keep(value)).ok().map(Field::Authority)
}

/// A path from the root, or all of the server; there is no fragment, of which [`PathAndQuery`] would say nothing.
fn path(value: &[u8], keep: impl FnOnce(&[u8]) -> Bytes) -> Option<Field> {
    if !matches!(value, [b'/', ..] | b"*") {
        return None;
    }
    let path = PathAndQuery::from_maybe_shared(keep(value)).ok()?;
    (path.as_str().len() == value.len()).then_some(Field::Path(path))
}

/// RFC 9110, section 5.6.2.
fn is_token(value: &[u8]) -> bool {
    let is_in_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !value.is_empty() && value.iter().all(is_in_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_understood(name: &[u8], value: &[u8]) -> bool {
        matches!(Name::read(name).with(value, Bytes::copy_from_slice), Entry::Understood(_))
    }

    #[test]
    fn what_http2_does_not_allow_is_not_understood() {
        for (name, right) in [
            (&b":method"[..], &[&b"GET"[..], b"PURGE"][..]),
            (b":scheme", &[b"http", b"https", b"ftp"]),
            (b":authority", &[b"a", b"a.test:80", b"[::1]:80"]),
            (b":path", &[b"/", b"/a?b=%20", b"*", "/\u{e4}".as_bytes()]),
            (b":protocol", &[b"websocket"]),
            (b":status", &[b"200", b"999"]),
            (b"x-a", &[b"", b"a b", b"a\tb", b"\xff"]),
        ] {
            for value in right {
                assert!(is_understood(name, value), "{name:?} {value:?}");
            }
        }
        for (name, wrong) in [
            (&b":method"[..], &[&b""[..], b"G T", b"GET\n"][..]),
            (b":scheme", &[b"", b"h ttp", b"1a"]),
            (b":authority", &[b"", b"a b", b"u@a", b"a/b", b"a:b:c", b"a\0"]),
            (b":path", &[b"", b"a", b"?a", b"#", b"/a#b", b"/a b", b"/\0", b"**", b"/\xff"]),
            (b":protocol", &[b"", b"a b", b"\xff"]),
            (b":status", &[b"", b"20", b"099", b"2000", b"20x"]),
            (b":unknown", &[b"a"]),
            (b":", &[b"a"]),
            (b"", &[b"a"]),
            (b"X-a", &[b"a"]),
            (b"x a", &[b"a"]),
            (b"x-a", &[b" a", b"a ", b"\ta", b"a\r\nb", b"\0", b"\x7f"]),
        ] {
            for value in wrong {
                assert!(!is_understood(name, value), "{name:?} {value:?}");
            }
        }
    }

    #[test]
    fn the_length_of_a_name_is_its_own() {
        for name in [
            ":method",
            ":scheme",
            ":authority",
            ":path",
            ":protocol",
            ":status",
            ":other",
            "date",
            "x-own",
            "Upper",
        ] {
            assert_eq!(Name::read(name.as_bytes()).length(), name.len(), "{name}");
        }
    }
}
