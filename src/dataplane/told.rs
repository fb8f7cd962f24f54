use http::{HeaderMap, StatusCode};

use crate::model::{Cause, Dialect, Failures, GrpcCode, GrpcCodes, Outcome};

use super::headers::GRPC_STATUS;

/// What the head of an answer tells about the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This is the outcome, if the body comes whole.
    Now(Outcome),
    /// It comes in the trailers; these codes are failures.
    Later(GrpcCodes),
}

impl Told {
    /// Reads a head. The HTTP status comes first: what stands between the proxy and the service answers gRPC
    /// calls in HTTP's words.
    pub(super) fn by_head(
        failures: &Failures,
        dialect: Dialect,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        if failures.by_status(status.as_u16()) {
            return Self::Now(Outcome::Failed(Cause::Status));
        }
        if dialect == Dialect::Http || status != StatusCode::OK {
            return Self::Now(Outcome::Ok);
        }
        match headers.get(GRPC_STATUS) {
            Some(value) => Self::Now(by_code(failures.grpc, GrpcCode::of_header(value.as_bytes()))),
            None => Self::Later(failures.grpc),
        }
    }

    /// Why the answer is known to be a failure.
    pub(super) fn failure(self) -> Option<Cause> {
        match self {
            Self::Now(Outcome::Failed(cause)) => Some(cause),
            Self::Now(Outcome::Ok) | Self::Later(_) => None,
        }
    }
}

/// The outcome of a gRPC call that its head left open. An answer that never says how the call ended is as good
/// as one that says UNKNOWN: that is what its caller makes of it.
pub(super) fn by_trailers(codes: GrpcCodes, trailers: Option<&HeaderMap>) -> Outcome {
    let status = trailers.and_then(|trailers| trailers.get(GRPC_STATUS));
    by_code(codes, status.map_or(GrpcCode::Unknown, |value| GrpcCode::of_header(value.as_bytes())))
}

fn by_code(codes: GrpcCodes, code: GrpcCode) -> Outcome {
    if codes.contains(code) { Outcome::Failed(Cause::GrpcStatus) } else { Outcome::Ok }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(status: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(status))])
    }

    #[test]
    fn the_status_comes_before_the_code_and_the_code_before_the_trailers() {
        let failures = Failures::default();
        let failed = |cause| Told::Now(Outcome::Failed(cause));
        let later = Told::Later(failures.grpc);
        for (dialect, status, headers, told) in [
            (Dialect::Http, 200, with("14"), Told::Now(Outcome::Ok)),
            (Dialect::Http, 503, HeaderMap::new(), failed(Cause::Status)),
            (Dialect::Grpc, 503, with("0"), failed(Cause::Status)),
            (Dialect::Grpc, 404, HeaderMap::new(), Told::Now(Outcome::Ok)),
            (Dialect::Grpc, 200, with("14"), failed(Cause::GrpcStatus)),
            (Dialect::Grpc, 200, with("14 "), failed(Cause::GrpcStatus)),
            (Dialect::Grpc, 200, with("0"), Told::Now(Outcome::Ok)),
            (Dialect::Grpc, 200, with("5"), Told::Now(Outcome::Ok)),
            (Dialect::Grpc, 200, HeaderMap::new(), later),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Told::by_head(&failures, dialect, status, &headers), told, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_call_whose_end_nobody_tells_ended_unknown() {
        let codes = Failures::default().grpc;
        let failed = Outcome::Failed(Cause::GrpcStatus);
        assert_eq!(by_trailers(codes, None), failed);
        assert_eq!(by_trailers(codes, Some(&HeaderMap::new())), failed);
        assert_eq!(by_trailers(codes, Some(&with("13"))), failed);
        assert_eq!(by_trailers(codes, Some(&with("0"))), Outcome::Ok);
        let only_internal = GrpcCodes::default().with(GrpcCode::Internal);
        assert_eq!(by_trailers(only_internal, None), Outcome::Ok);
    }
}
