//! The health service of gRPC (`grpc.health.v1`), as far as checks need it. Its two messages have one field each, and are
//! written and read here: nobody need generate code for them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;

use crate::model::{GrpcCode, grpc_timeout_value};

use super::exchange::{Answer, Tasks, exchange, request};
use super::failure::Failure;
use super::rota::Errand;
use super::wire::Wire;

/// What is called.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// Of `HealthCheckRequest`: field 1, `service`, of a length that is told.
const SERVICE: u8 = 1 << 3 | 2;
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
}

/// Asks after a service: who answers `SERVING` is well.
pub(super) async fn check(errand: &Errand, service: &str, wire: Wire, tasks: &Tasks) -> Result<(), Failure> {
    let asked = || CHECK[1..].into();
    let request = request(errand, Method::POST, &PathAndQuery::from_static(CHECK))?
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header("grpc-timeout", grpc_timeout_value(errand.config.timeout))
        .body(Full::<Bytes>::from(message(service)))?;
    let answer = exchange(errand.config.protocol, wire, request, tasks)
        .await
        .map_err(|error| Failure::Unanswered { asked: asked(), error })?;
    if answer.status != StatusCode::OK {
        return Err(Failure::Status { asked: asked(), status: answer.status });
    }
    let Answer { headers, body, end, .. } = answer;
    let trailers = end.map_err(|error| Failure::CutShort { asked: asked(), error })?;
    match code(&headers, trailers.as_ref()) {
        Some(GrpcCode::Ok) => {}
        Some(code) => return Err(Failure::Call { asked: asked(), code }),
        None => return Err(Failure::NotUnderstood { asked: asked() }),
    }
    match serving(&body) {
        Some(Health::Serving) => Ok(()),
        Some(other) => Err(Failure::NotServing(other)),
        None => Err(Failure::NotUnderstood { asked: asked() }),
    }
}

/// How the call ended: behind the body, or in place of one.
fn code(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Option<GrpcCode> {
    let name = "grpc-status";
    let value = trailers.and_then(|trailers| trailers.get(name)).or_else(|| headers.get(name))?;
    Some(GrpcCode::of_header(value.as_bytes()))
}

/// A `HealthCheckRequest` with its prefix.
fn message(service: &str) -> Vec<u8> {
    let mut message = vec![0; PREFIX];
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length > 0x7f {
            message.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        message.push(length.to_le_bytes()[0]);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len() - PREFIX).unwrap_or(u32::MAX);
    message[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    message
}

/// Reads a `HealthCheckResponse` behind its prefix; `None` if it is none. Fields that are not known are gone past.
fn serving(body: &[u8]) -> Option<Health> {
    let ([compressed, length @ ..], mut rest) = body.split_first_chunk::<PREFIX>()?;
    if *compressed != 0 || u32::from_be_bytes(*length) as usize != rest.len() {
        return None;
    }
    // What is 0 is not written.
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(match status {
        1 => Health::Serving,
        2 => Health::NotServing,
        3 => Health::ServiceUnknown,
        _ => Health::Unknown,
    })
}

/// Reads a number of seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

impl Health {
    /// As the protocol writes it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "UNKNOWN",
            Health::Serving => "SERVING",
            Health::NotServing => "NOT_SERVING",
            Health::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_the_service() {
        assert_eq!(message(""), b"\0\0\0\0\0");
        assert_eq!(message("shop.Cart"), b"\0\0\0\0\x0b\x0a\x09shop.Cart");
        let long = "x".repeat(200);
        assert_eq!(&message(&long)[..8], b"\0\0\0\0\xcb\x0a\xc8\x01");
    }

    #[test]
    fn an_answer_is_read_and_what_is_none_is_not() {
        for (body, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(Health::Serving)),
            (b"\0\0\0\0\x02\x08\x02", Some(Health::NotServing)),
            (b"\0\0\0\0\x02\x08\x03", Some(Health::ServiceUnknown)),
            (b"\0\0\0\0\x00", Some(Health::Unknown)),
            (b"\0\0\0\0\x03\x08\x96\x01", Some(Health::Unknown)),
            // Fields of each kind that a later version may have.
            (b"\0\0\0\0\x07\x12\x03abc\x08\x01", Some(Health::Serving)),
            (b"\0\0\0\0\x04\x08\x01\x10\x02", Some(Health::Serving)),
            (b"\0\0\0\0\x0b\x1112345678\x08\x01", Some(Health::Serving)),
            (b"\0\0\0\0\x07\x151234\x08\x01", Some(Health::Serving)),
            (b"", None),
            (b"\0\0\0\0", None),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x01\x08\x01", None),
            (b"\0\0\0\0\x02\x08\x81", None),
            (b"\0\0\0\0\x04\x12\x03ab", None),
            (b"\0\0\0\0\x02\x0b\x01", None),
            (b"\0\0\0\0\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(serving(body), expected, "{body:?}");
        }
    }
}
