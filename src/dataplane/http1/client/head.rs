use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT, TE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body::SizeHint;
use httparse::{Header, Status};

use super::super::super::core::Core;
use super::super::super::headers::has_no_content;
use super::super::super::room::Room;
use super::super::framing::{Left, Next, Said};
use super::super::outgoing::{Length, Trailers, write_fields};

/// What the head of a request says.
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// How long the body is.
    pub(super) left: Left,
    pub(super) terms: Terms,
    /// Whether the client waits to be told that it may send its body.
    pub(super) expects_word: bool,
    /// Whether it would like to go on in another protocol.
    pub(super) wants_more: bool,
}

/// On what terms a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the request")]
pub(super) struct Terms {
    /// Whether the connection stays open behind the answer.
    pub(super) persists: bool,
    pub(super) is_http10: bool,
    /// Whether it is a HEAD, whose answer has no body.
    pub(super) is_head: bool,
    pub(super) takes_trailers: bool,
    /// Whether the client has said that it asks for nothing more.
    pub(super) is_last: bool,
}

/// Why a head is no request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    TooLarge,
    UriTooLong,
}

/// Fields for which there is room without asking for it.
const USUAL_FIELDS: usize = 100;

/// The longest that [`Uri`] takes, in bytes.
const LONGEST_URI: usize = 65_534;

impl Terms {
    pub(super) const NONE: Self =
        Self { persists: true, is_http10: false, is_head: false, takes_trailers: false, is_last: false };
}

impl Fault {
    /// What a client is told. No service is known, so that there is no more to say.
    pub(super) const fn answer(self) -> &'static [u8] {
        match self {
            Self::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                proxy-status: switchback; error=http_request_error\r\n\r\n"
            }
            Self::TooLarge => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                proxy-status: switchback; error=http_request_error\r\n\r\n"
            }
            Self::UriTooLong => {
                b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\
                proxy-status: switchback; error=http_request_error\r\n\r\n"
            }
        }
    }
}

/// Takes the head of a request off what has come, if all of it is there. It may have so many fields.
pub(super) fn parse(came: &mut Bytes, most_fields: usize, room: &Room) -> Result<Option<Head>, Fault> {
    let mut usual = [const { MaybeUninit::<Header<'_>>::uninit() }; USUAL_FIELDS];
    let mut many;
    let fields = if let Some(usual) = usual.get_mut(..most_fields) {
        usual
    } else {
        many = vec![MaybeUninit::uninit(); most_fields];
        &mut many
    };
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(came, fields) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
        Err(_) => return Err(Fault::Malformed),
    };
    let (Some(method), Some(path), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::Malformed);
    };
    if path.len() > LONGEST_URI {
        return Err(Fault::UriTooLong);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Malformed)?;
    *request.uri_mut() =
        Uri::from_maybe_shared(came.slice_ref(path.as_bytes())).map_err(|_| Fault::Malformed)?;
    *request.version_mut() = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.headers_mut() = room.head();
    let mut facts = Facts::default();
    let headers = request.headers_mut();
    for field in &*parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Malformed)?;
        // It stays where it was read to.
        let value =
            HeaderValue::from_maybe_shared(came.slice_ref(field.value)).map_err(|_| Fault::Malformed)?;
        if facts.learn(&name, &value)? {
            headers.append(name, value);
        }
    }
    came.advance(length);
    facts.head(request).map(Some)
}

/// What the fields of a request's head say of its body, its connection, and what is to come.
#[derive(Default)]
struct Facts {
    said: Said,
    expects_word: bool,
    wants_more: bool,
    takes_trailers: bool,
}

impl Facts {
    /// Notes what a field says, and whether it is passed on.
    fn learn(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Fault> {
        match *name {
            // A list of numbers is read by some as the first and by some as the last.
            CONTENT_LENGTH if value.as_bytes().contains(&b',') => return Err(Fault::Malformed),
            EXPECT => self.expects_word = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            UPGRADE => self.wants_more = true,
            TE => {
                let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.takes_trailers |= codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            _ => return self.said.learn(name, value).map_err(|_| Fault::Malformed),
        }
        Ok(true)
    }

    /// How long the body of a request is (RFC 9112, section 6.3), and what else its head comes to.
    fn head(self, mut request: Request<()>) -> Result<Head, Fault> {
        let Said { length, chunked, persists } = self.said;
        let is_http10 = request.version() == Version::HTTP_10;
        let left = match (chunked, length) {
            // HTTP/1.0 knows none, and where another coding is the last nobody can tell where the body ends.
            (Some(_), _) if is_http10 => return Err(Fault::Malformed),
            (Some(false), _) => return Err(Fault::Malformed),
            (Some(true), _) => Left::Chunks(Next::Size),
            (None, None | Some(0)) => Left::Nothing,
            (None, Some(length)) => Left::Exactly(length),
        };
        let has_both = chunked.is_some() && length.is_some();
        if has_both {
            // The chunks count. Whoever says both may mean to deceive: nothing behind it is believed.
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        let terms = Terms {
            persists: persists.unwrap_or(!is_http10) && !has_both,
            is_http10,
            is_head: *request.method() == Method::HEAD,
            takes_trailers: self.takes_trailers,
            is_last: persists == Some(false),
        };
        let expects_word = self.expects_word && !is_http10 && left != Left::Nothing;
        Ok(Head { request, left, terms, expects_word, wants_more: self.wants_more && !is_http10 })
    }
}

/// Writes the head of an answer, and tells how long its body is.
pub(super) fn write(out: &mut Vec<u8>, head: &Parts, size: &SizeHint, terms: Terms, core: &Core) -> Length {
    let status = head.status;
    out.extend_from_slice(if terms.is_http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let has_none = switches || has_no_content(status);
    let mut has_date = false;
    let fields = head.headers.iter().filter(|(name, _)| match **name {
        // How long the body is, is said by who sends it; of an answer to HEAD it is how long it would be.
        CONTENT_LENGTH => terms.is_head && !has_none,
        TRANSFER_ENCODING => false,
        CONNECTION => switches,
        DATE => {
            has_date = true;
            true
        }
        _ => true,
    });
    write_fields(out, fields);
    if !has_date {
        out.extend_from_slice(b"date: ");
        core.write_date(out);
        out.extend_from_slice(b"\r\n");
    }
    let length = length(out, size, terms, has_none);
    match (terms.persists && length != Length::UntilClosed, terms.is_http10) {
        _ if switches => {}
        (true, false) => {}
        (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    length
}

fn length(out: &mut Vec<u8>, size: &SizeHint, terms: Terms, has_none: bool) -> Length {
    if has_none || terms.is_head {
        return Length::Nothing;
    }
    match size.exact() {
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(HeaderValue::from(length).as_bytes());
            out.extend_from_slice(b"\r\n");
            if length == 0 { Length::Nothing } else { Length::Exactly(length) }
        }
        None if terms.is_http10 => Length::UntilClosed,
        None => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Length::Chunked(if terms.takes_trailers { Trailers::Pass } else { Trailers::Drop })
        }
    }
}
