use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use httparse::{Header, Status};

use super::super::super::broken::Broken;
use super::super::super::room::Room;
use super::super::framing::{Left, Said};
use super::super::outgoing::write_fields;

/// What the head of an answer says.
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// How long the body is.
    pub(super) left: Left,
    /// Whether the connection stays open behind it.
    pub(super) persists: bool,
}

/// Fields of an answer's head.
const MOST_FIELDS: usize = 100;

/// Writes the head of a request that was addressed to an endpoint.
pub(super) fn write<B>(out: &mut Vec<u8>, request: &Request<B>) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(out, request.headers());
    out.extend_from_slice(b"\r\n");
}

/// Takes the head of an answer off what has come, if all of it is there. Interim ones, which say that there is more to come, are
/// passed over: who asked is told to go on by us (RFC 9110, section 15.2).
pub(super) fn parse(came: &mut Bytes, is_head: bool, room: &Room) -> Result<Option<Head>, Broken> {
    loop {
        if came.is_empty() {
            return Ok(None);
        }
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let read = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            came,
            &mut fields,
        );
        let length = match read {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(Broken::Malformed),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Broken::Malformed)?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            came.advance(length);
            continue;
        }
        let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut said = Said::default();
        let mut headers = room.head();
        for field in &*parsed.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Malformed)?;
            // It stays where it was read to.
            let value =
                HeaderValue::from_maybe_shared(came.slice_ref(field.value)).map_err(|_| Broken::Malformed)?;
            if said.learn(&name, &value)? {
                headers.append(name, value);
            }
        }
        let left = said.left(is_head, status, version)?;
        // Where the end of the connection is the body's, nothing comes behind it (RFC 9112, section 9.3).
        let persists = said.persists.unwrap_or(version == Version::HTTP_11) && left != Left::UntilClosed;
        came.advance(length);
        let mut response = Response::new(());
        (*response.status_mut(), *response.version_mut(), *response.headers_mut()) =
            (status, version, headers);
        return Ok(Some(Head { response, left, persists }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<(u16, Left, bool, &'static str)> {
        let mut came = Bytes::from_static(text.as_bytes());
        let head = parse(&mut came, false, &Room::default()).ok()??;
        let behind = &text[text.len() - came.len()..];
        Some((head.response.status().as_u16(), head.left, head.persists, behind))
    }

    #[test]
    fn a_request_is_written_as_it_stands() {
        let request = Request::put("/a?b=c").header("host", "x").header("x-two", "1").header("x-two", "2");
        let mut out = Vec::new();
        write(&mut out, &request.body(()).unwrap());
        assert_eq!(out, b"PUT /a?b=c HTTP/1.1\r\nhost: x\r\nx-two: 1\r\nx-two: 2\r\n\r\n");
        let (mut out, any) = (Vec::new(), Request::options("*").body(()).unwrap());
        write(&mut out, &any);
        assert_eq!(out, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn an_answer_is_read_behind_what_announces_it() {
        let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        assert!(parse(&mut Bytes::from_static(early.as_bytes()), false, &Room::default()).unwrap().is_none());
        assert_eq!(
            read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            Some((200, Left::Exactly(2), true, "ok"))
        );
        assert_eq!(
            read("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nx"),
            Some((101, Left::Nothing, true, "x"))
        );
    }

    #[test]
    fn a_connection_ends_where_either_end_says_so() {
        let persists = |head| read(head).map(|(_, _, persists, _)| persists);
        assert_eq!(persists("HTTP/1.1 204 x\r\n\r\n"), Some(true));
        assert_eq!(persists("HTTP/1.1 204 x\r\nconnection: Close\r\n\r\n"), Some(false));
        assert_eq!(
            persists("HTTP/1.1 204 x\r\nconnection: close\r\nconnection: keep-alive\r\n\r\n"),
            Some(false)
        );
        assert_eq!(persists("HTTP/1.1 204 x\r\nconnection: x, close\r\n\r\n"), Some(false));
        assert_eq!(persists("HTTP/1.0 204 x\r\n\r\n"), Some(false));
        assert_eq!(persists("HTTP/1.0 204 x\r\nconnection: keep-alive\r\n\r\n"), Some(true));
        assert_eq!(persists("HTTP/1.1 200 x\r\n\r\n"), Some(false), "its end is the body's");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for wrong in [
            "SSH-2.0-x\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx : 1\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(
                parse(&mut Bytes::from_static(wrong.as_bytes()), false, &Room::default()).is_err(),
                "{wrong:?}"
            );
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1));
        assert!(parse(&mut Bytes::from(many), false, &Room::default()).is_err());
    }
}
