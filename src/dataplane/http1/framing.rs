use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use http_body::{Frame, SizeHint};
use httparse::{EMPTY_HEADER, Status};

use super::super::broken::Broken;
use super::super::headers::has_no_content;

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Exactly(u64),
    /// Chunks, and this comes first.
    Chunks(Next),
    /// All that comes until the connection is closed.
    UntilClosed,
}

/// Where a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What is made of what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// It takes more of it.
    More,
    End,
}

/// Fields behind a body, …
const MOST_TRAILERS: usize = 100;
/// … and bytes of them.
const MOST_TRAILER_BYTES: usize = 16 << 10;
/// The size of a chunk, and what extends it.
const MOST_SIZE: usize = 256;

impl Left {
    /// Takes the next piece off what has come.
    pub(super) fn take(&mut self, came: &mut Bytes) -> Result<Piece, Broken> {
        loop {
            let next = match self {
                Self::Nothing => return Ok(Piece::End),
                _ if came.is_empty() => return Ok(Piece::More),
                Self::UntilClosed => return Ok(Piece::Data(came.split_off(0))),
                Self::Exactly(left) => {
                    let piece = split(came, *left);
                    self.passed(piece.len() as u64);
                    return Ok(Piece::Data(piece));
                }
                Self::Chunks(next) => next,
            };
            match *next {
                Next::Size => match httparse::parse_chunk_size(came) {
                    Ok(Status::Complete((length, size))) if is_size(&came[..length]) => {
                        came.advance(length);
                        *next = if size == 0 { Next::Trailers } else { Next::Data(size) };
                    }
                    Ok(Status::Partial) if came.len() < MOST_SIZE => return Ok(Piece::More),
                    Ok(_) | Err(_) => return Err(Broken::Malformed),
                },
                Next::Data(size) => {
                    let piece = split(came, size);
                    self.passed(piece.len() as u64);
                    return Ok(Piece::Data(piece));
                }
                Next::DataEnd => {
                    if !came.starts_with(&b"\r\n"[..came.len().min(2)]) {
                        return Err(Broken::Malformed);
                    }
                    if came.len() < 2 {
                        return Ok(Piece::More);
                    }
                    came.advance(2);
                    *next = Next::Size;
                }
                Next::Trailers => return self.take_trailers(came),
            }
        }
    }

    pub(super) fn size_hint(self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Exactly(left) => SizeHint::with_exact(left),
            Self::Chunks(_) | Self::UntilClosed => SizeHint::default(),
        }
    }

    /// So much of it has been read past what takes it apart.
    pub(super) fn passed(&mut self, length: u64) {
        *self = match *self {
            Self::Exactly(left) if left <= length => Self::Nothing,
            Self::Exactly(left) => Self::Exactly(left - length),
            Self::Chunks(Next::Data(size)) if size <= length => Self::Chunks(Next::DataEnd),
            Self::Chunks(Next::Data(size)) => Self::Chunks(Next::Data(size - length)),
            other => other,
        };
    }

    /// How much comes for certain before there is anything to understand.
    pub(super) const fn run(self) -> u64 {
        match self {
            Self::Exactly(left) | Self::Chunks(Next::Data(left)) => left,
            Self::Nothing | Self::Chunks(_) | Self::UntilClosed => 0,
        }
    }

    /// Whether the end is next, as far as has come: it is taken, too.
    pub(super) fn ends(&mut self, came: &mut Bytes) -> bool {
        match self {
            Self::Nothing => true,
            // The usual end, with no trailers.
            Self::Chunks(Next::DataEnd) if came[..] == *b"\r\n0\r\n\r\n" => {
                came.clear();
                *self = Self::Nothing;
                true
            }
            _ => false,
        }
    }

    fn take_trailers(&mut self, came: &mut Bytes) -> Result<Piece, Broken> {
        // Those that come in drops are not read anew with each of them.
        let ends = |at: usize| matches!(came[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]);
        let is_whole = matches!(came[..], [b'\n', ..] | [b'\r', b'\n', ..])
            || memchr::memchr_iter(b'\n', came).any(ends);
        if !is_whole && came.len() < MOST_TRAILER_BYTES {
            return Ok(Piece::More);
        }
        let mut fields = [EMPTY_HEADER; MOST_TRAILERS];
        let (length, trailers) = match httparse::parse_headers(came, &mut fields) {
            Ok(Status::Complete((length, fields))) => (length, trailers(fields)?),
            Ok(Status::Partial) if came.len() < MOST_TRAILER_BYTES => return Ok(Piece::More),
            Ok(Status::Partial) | Err(_) => return Err(Broken::Malformed),
        };
        came.advance(length);
        *self = Self::Nothing;
        Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) })
    }
}

impl Piece {
    pub(super) fn into_frame(self) -> Option<Frame<Bytes>> {
        match self {
            Self::Data(piece) => Some(Frame::data(piece)),
            Self::Trailers(trailers) => Some(Frame::trailers(trailers)),
            Self::More | Self::End => None,
        }
    }
}

/// What a head says of its body and of its connection.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) length: Option<u64>,
    /// Whether the last coding of several is `chunked`.
    pub(super) chunked: Option<bool>,
    /// Whether the connection stays open.
    pub(super) persists: Option<bool>,
}

impl Said {
    /// Notes what a field says; `false` if that has been said already, or says nothing but how long the connection stays open.
    pub(super) fn learn(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Broken> {
        match *name {
            CONTENT_LENGTH => {
                let length = number(value, self.length)?;
                return Ok(self.length.replace(length).is_none());
            }
            TRANSFER_ENCODING => {
                let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
                self.chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            }
            CONNECTION => {
                let mut names_fields = false;
                for option in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        // Nothing that is said beside it undoes it.
                        self.persists = Some(false);
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        self.persists.get_or_insert(true);
                    } else {
                        names_fields = true;
                    }
                }
                return Ok(names_fields);
            }
            _ => {}
        }
        Ok(true)
    }

    /// How long the body of an answer is (RFC 9112, section 6.3).
    pub(super) fn left(&self, is_head: bool, status: StatusCode, version: Version) -> Result<Left, Broken> {
        let has_none = status == StatusCode::SWITCHING_PROTOCOLS || has_no_content(status);
        match (self.chunked, self.length) {
            _ if is_head || has_none => Ok(Left::Nothing),
            // HTTP/1.0 knows none: whoever sends it may mean something else (RFC 9112, section 6.1).
            (Some(_), _) if version == Version::HTTP_10 => Err(Broken::Malformed),
            (Some(true), _) => Ok(Left::Chunks(Next::Size)),
            (None, Some(0)) => Ok(Left::Nothing),
            (None, Some(length)) => Ok(Left::Exactly(length)),
            (Some(false), _) | (None, None) => Ok(Left::UntilClosed),
        }
    }
}

/// How long the body behind a head is that says so in a number.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Broken> {
    headers.get_all(CONTENT_LENGTH).iter().try_fold(None, |before, value| number(value, before).map(Some))
}

/// The number that a field says, perhaps for the second time: it may, if it is the same (RFC 9110, section 8.6).
fn number(value: &HeaderValue, before: Option<u64>) -> Result<u64, Broken> {
    let mut said = before;
    for number in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        let digits = str::from_utf8(number).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(Broken::Malformed)?;
        if said.is_some_and(|said| said != number) {
            return Err(Broken::Malformed);
        }
        said = Some(number);
    }
    said.ok_or(Broken::Malformed)
}

/// Whether this line says how long a chunk is: with a digit at least, and without what others take for its end (RFC 9112,
/// section 7.1.1).
fn is_size(line: &[u8]) -> bool {
    line[0].is_ascii_hexdigit() && !line[..line.len() - 2].contains(&b'\n')
}

fn split(came: &mut Bytes, most: u64) -> Bytes {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(came.len());
    came.split_to(length)
}

fn trailers(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Broken> {
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Broken::Malformed)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(fields: &[(&'static str, &'static str)]) -> Result<Said, Broken> {
        let mut said = Said::default();
        for (name, value) in fields {
            said.learn(&HeaderName::from_static(name), &HeaderValue::from_static(value))?;
        }
        Ok(said)
    }

    fn left(fields: &[(&'static str, &'static str)]) -> Option<Left> {
        said(fields).ok()?.left(false, StatusCode::OK, Version::HTTP_11).ok()
    }

    /// What a body comes to that comes in these pieces, and what comes behind it.
    fn read(mut left: Left, pieces: &[&str]) -> Result<(String, Option<HeaderMap>, String), ()> {
        let (mut came, mut body, mut trailers) = (Bytes::new(), Vec::new(), None);
        for piece in pieces {
            came = [&came[..], piece.as_bytes()].concat().into();
            loop {
                match left.take(&mut came).map_err(|_| ())? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::Trailers(fields) => trailers = Some(fields),
                    Piece::More | Piece::End => break,
                }
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| ());
        (left == Left::Nothing).then_some(()).ok_or(())?;
        Ok((text(&body)?, trailers, text(&came)?))
    }

    #[test]
    fn how_long_a_body_is_stands_in_the_head() {
        assert_eq!(left(&[]), Some(Left::UntilClosed));
        assert_eq!(left(&[("content-length", "0")]), Some(Left::Nothing));
        assert_eq!(left(&[("content-length", "7")]), Some(Left::Exactly(7)));
        assert_eq!(left(&[("content-length", "7"), ("content-length", "7, 7")]), Some(Left::Exactly(7)));
        assert_eq!(left(&[("transfer-encoding", "chunked")]), Some(Left::Chunks(Next::Size)));
        assert_eq!(left(&[("transfer-encoding", "gzip, Chunked")]), Some(Left::Chunks(Next::Size)));
        assert_eq!(left(&[("transfer-encoding", "chunked, gzip")]), Some(Left::UntilClosed));
        let both = [("content-length", "7"), ("transfer-encoding", "chunked")];
        assert_eq!(left(&both), Some(Left::Chunks(Next::Size)));
        for wrong in ["", "+7", "-1", "7 8", "0x7", "7,8", "99999999999999999999", "7,"] {
            assert_eq!(left(&[("content-length", wrong)]), None, "{wrong:?}");
        }
        let chunked = said(&[("transfer-encoding", "chunked")]).unwrap();
        assert!(chunked.left(false, StatusCode::OK, Version::HTTP_10).is_err());
        let seven = said(&[("content-length", "7")]).unwrap();
        for (is_head, status) in [(true, 200), (false, 204), (false, 304), (false, 101)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(seven.left(is_head, status, Version::HTTP_11).ok(), Some(Left::Nothing));
        }
    }

    #[test]
    fn a_field_that_says_only_how_long_a_connection_stays_open_is_not_kept() {
        for (value, persists, is_kept) in [
            ("close", Some(false), false),
            ("Keep-Alive", Some(true), false),
            ("keep-alive, close", Some(false), false),
            ("keep-alive, x-named", Some(true), true),
            ("close, x-named", Some(false), true),
            ("upgrade", None, true),
        ] {
            let mut said = Said::default();
            assert_eq!(
                said.learn(&CONNECTION, &HeaderValue::from_static(value)).unwrap(),
                is_kept,
                "{value}"
            );
            assert_eq!(said.persists, persists, "{value}");
        }
    }

    #[test]
    fn chunks_are_put_together_however_they_come() {
        let whole = "5\r\nhello\r\n1;a=\"b\"\r\n \r\n005\r\nworld\r\n0\r\n\r\nHTTP/1.1";
        for size in 1..=whole.len() {
            let pieces: Vec<&str> =
                whole.as_bytes().chunks(size).map(|piece| str::from_utf8(piece).unwrap()).collect();
            let (body, trailers, behind) = read(Left::Chunks(Next::Size), &pieces).unwrap();
            assert_eq!(
                (body.as_str(), trailers, behind.as_str()),
                ("hello world", None, "HTTP/1.1"),
                "{size}"
            );
        }
    }

    #[test]
    fn trailers_are_read_behind_the_last_chunk() {
        for pieces in [&["1\r\na\r\n0\r\nx-sum: 7\r\n\r\n"][..], &["1\r\na\r\n0\r\nx-", "sum: 7\r", "\n\r\n"]]
        {
            let (body, trailers, behind) = read(Left::Chunks(Next::Size), pieces).unwrap();
            assert_eq!((body.as_str(), behind.as_str()), ("a", ""));
            assert_eq!(trailers.unwrap()["x-sum"], "7");
        }
    }

    #[test]
    fn what_is_no_chunk_is_none() {
        for wrong in [
            "x\r\n",
            "5\nhello\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "fffffffffffffffff\r\n",
            "\r\n\r\n",
            ";a\r\n\r\n",
            "5\r\nhello\r\n\r\n\r\n",
            "2;\nxx\r\n05\r\n0\r\n\r\n",
            "\r\n",
        ] {
            assert!(read(Left::Chunks(Next::Size), &[wrong]).is_err(), "{wrong:?}");
        }
        let long = format!("1;{}", "a".repeat(MOST_SIZE));
        assert!(read(Left::Chunks(Next::Size), &[&long]).is_err());
    }

    #[test]
    fn a_usual_end_is_seen_with_the_last_piece() {
        let mut left = Left::Chunks(Next::Size);
        let mut came = Bytes::from_static(b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(left.take(&mut came).ok(), Some(Piece::Data(Bytes::from_static(b"hello"))));
        assert!(left.ends(&mut came));
        assert_eq!((left, came.len()), (Left::Nothing, 0));
    }
}
