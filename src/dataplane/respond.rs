use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::model::{Cause, Dialect, GrpcCode, Side};

use super::answer::AnswerBody;
use super::headers::{GRPC_MESSAGE, GRPC_STATUS};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers in place of a side: a status, a Problem Details body (RFC 9457), and the side and reason also in
/// `Proxy-Status` (RFC 9209) and `Server-Timing`, where load balancers and browsers look.
pub(super) fn problem(
    cause: Cause,
    side: Option<Side>,
    service: Option<&str>,
    is_head: bool,
    dialect: Dialect,
) -> Response<AnswerBody> {
    if dialect == Dialect::Grpc {
        return grpc_problem(cause, side);
    }
    let status = status(cause);
    let asked = side.map_or("switchback", Side::as_str);
    // Every word is from this program or a checked service name, so nothing needs escaping.
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"reason\":\"{}\",\"fault\":\"{}\",\"side\":{},\"service\":{}}}\n",
        status.canonical_reason().unwrap_or("Error"),
        status.as_u16(),
        cause.as_str(),
        cause.fault().as_str(),
        quoted(side.map(Side::as_str)),
        quoted(service),
    );
    let proxy_status = match side {
        Some(side) => format!("switchback; error={}; next-hop={side}", proxy_error(cause)),
        None => format!("switchback; error={}", proxy_error(cause)),
    };
    let timing = format!("{asked};desc=\"{}\"", cause.as_str());
    let length = body.len();
    let body = if is_head { AnswerBody::Empty } else { AnswerBody::Text(Some(Bytes::from(body))) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [(PROXY_STATUS, proxy_status), (SERVER_TIMING, timing)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same to who calls a gRPC method: the code stands in the head, and nothing follows.
fn grpc_problem(cause: Cause, side: Option<Side>) -> Response<AnswerBody> {
    let asked = side.map_or("switchback", Side::as_str);
    let mut response = Response::new(AnswerBody::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(grpc_code(cause) as u16));
    for (name, value) in [
        (GRPC_MESSAGE, format!("{asked}: {}", cause.as_str())),
        (PROXY_STATUS, format!("switchback; error={}", proxy_error(cause))),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The code that stands for a cause: the one that gRPC libraries give to the same trouble on a connection of their own.
fn grpc_code(cause: Cause) -> GrpcCode {
    match cause {
        Cause::NoEndpoint
        | Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::ConnectFailed
        | Cause::TlsFailed
        | Cause::Reset
        | Cause::Status
        | Cause::Overloaded
        | Cause::InFlightLimit
        | Cause::TooManyConnections
        | Cause::RapidReset
        | Cause::TakenBack
        | Cause::LetOut
        | Cause::Shed
        | Cause::Outrun
        | Cause::Closed => GrpcCode::Unavailable,
        Cause::HeaderTimeout | Cause::IdleTimeout => GrpcCode::DeadlineExceeded,
        Cause::Protocol
        | Cause::Truncated
        | Cause::GrpcStatus
        | Cause::ClientGone
        | Cause::ClientBody
        | Cause::BodyTimeout
        | Cause::BadRequest
        | Cause::HeadTooLarge
        | Cause::UriTooLong
        | Cause::HeadTimeout
        | Cause::NotAnnounced => GrpcCode::Internal,
        Cause::BodyTooLarge | Cause::RateLimit => GrpcCode::ResourceExhausted,
        Cause::NoService | Cause::NoUpgrade => GrpcCode::Unimplemented,
    }
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("\"{text}\""))
}

/// The status that is told of a cause: the caller of a gRPC method is told by its code.
pub(super) fn told(cause: Cause, dialect: Dialect) -> StatusCode {
    if dialect == Dialect::Grpc { StatusCode::OK } else { status(cause) }
}

/// The status that stands for a cause.
fn status(cause: Cause) -> StatusCode {
    match cause {
        Cause::NoEndpoint
        | Cause::Overloaded
        | Cause::InFlightLimit
        | Cause::TooManyConnections
        | Cause::RapidReset
        | Cause::Shed
        | Cause::Outrun
        | Cause::Closed => StatusCode::SERVICE_UNAVAILABLE,
        Cause::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        Cause::ConnectTimeout | Cause::HeaderTimeout | Cause::IdleTimeout => StatusCode::GATEWAY_TIMEOUT,
        Cause::ConnectRefused
        | Cause::ConnectFailed
        | Cause::TlsFailed
        | Cause::Reset
        | Cause::Protocol
        | Cause::Status
        | Cause::Truncated
        | Cause::TakenBack
        | Cause::LetOut
        | Cause::GrpcStatus => StatusCode::BAD_GATEWAY,
        Cause::ClientGone | Cause::ClientBody | Cause::BadRequest | Cause::NotAnnounced => {
            StatusCode::BAD_REQUEST
        }
        Cause::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Cause::UriTooLong => StatusCode::URI_TOO_LONG,
        Cause::HeadTimeout | Cause::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Cause::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Cause::NoService => StatusCode::NOT_FOUND,
        // As for any `:protocol` that a server does not speak (RFC 9220, section 3).
        Cause::NoUpgrade => StatusCode::NOT_IMPLEMENTED,
    }
}

/// The nearest of RFC 9209's error types.
fn proxy_error(cause: Cause) -> &'static str {
    match cause {
        Cause::NoEndpoint => "destination_unavailable",
        Cause::ConnectRefused => "connection_refused",
        Cause::ConnectTimeout => "connection_timeout",
        Cause::ConnectFailed => "destination_ip_unroutable",
        Cause::TlsFailed => "tls_protocol_error",
        Cause::Reset | Cause::Truncated => "connection_terminated",
        Cause::Protocol => "http_protocol_error",
        Cause::HeaderTimeout | Cause::IdleTimeout => "connection_read_timeout",
        Cause::Status | Cause::TakenBack | Cause::LetOut | Cause::GrpcStatus => "http_response_incomplete",
        Cause::ClientGone
        | Cause::ClientBody
        | Cause::BodyTimeout
        | Cause::BadRequest
        | Cause::HeadTooLarge
        | Cause::UriTooLong
        | Cause::HeadTimeout
        | Cause::BodyTooLarge
        | Cause::RapidReset
        | Cause::NotAnnounced => "http_request_error",
        Cause::NoUpgrade => "http_upgrade_failed",
        Cause::NoService => "destination_not_found",
        Cause::Overloaded | Cause::InFlightLimit | Cause::Shed | Cause::TooManyConnections => {
            "connection_limit_reached"
        }
        Cause::RateLimit => "http_request_denied",
        Cause::Outrun | Cause::Closed => "proxy_internal_response",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_body_that_programs_can_read() {
        for cause in Cause::ALL {
            let response = problem(cause, Some(Side::Kubernetes), Some("playlist"), false, Dialect::Http);
            let AnswerBody::Text(Some(text)) = response.body() else { panic!("no body") };
            let body: serde_json::Value = serde_json::from_slice(text).unwrap();
            assert_eq!(body["reason"], cause.as_str());
            assert_eq!(body["side"], "kubernetes");
            assert_eq!(body["status"], response.status().as_u16());
        }
        let response = problem(Cause::NoService, None, None, false, Dialect::Http);
        assert_eq!(response.headers()["proxy-status"], "switchback; error=destination_not_found");
    }
}
