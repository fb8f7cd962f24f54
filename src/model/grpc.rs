/// What a request speaks, as far as that decides where its answer says how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The status says it.
    Http,
    /// The status says 200, and a code behind the body, or in its place, says it.
    Grpc,
}

/// How a gRPC call ended, as `grpc-status` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcCode {
    /// The call did what was asked.
    Ok,
    /// Whoever called has called it off.
    Cancelled,
    /// Something else; also what stands for an answer that says nothing, or nonsense.
    Unknown,
    /// What was asked makes no sense.
    InvalidArgument,
    /// It took longer than the caller would wait.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// This caller may not.
    PermissionDenied,
    /// A quota is used up.
    ResourceExhausted,
    /// Not in this state.
    FailedPrecondition,
    /// Somebody else was faster.
    Aborted,
    /// Beyond the end.
    OutOfRange,
    /// Nobody serves this method.
    Unimplemented,
    /// The service is broken.
    Internal,
    /// The service cannot be reached.
    Unavailable,
    /// Something is lost for good.
    DataLoss,
    /// Nobody knows this caller.
    Unauthenticated,
}

/// A set of codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(u32);

impl GrpcCode {
    /// Every code, each at its number.
    pub const ALL: [GrpcCode; 17] = [
        GrpcCode::Ok,
        GrpcCode::Cancelled,
        GrpcCode::Unknown,
        GrpcCode::InvalidArgument,
        GrpcCode::DeadlineExceeded,
        GrpcCode::NotFound,
        GrpcCode::AlreadyExists,
        GrpcCode::PermissionDenied,
        GrpcCode::ResourceExhausted,
        GrpcCode::FailedPrecondition,
        GrpcCode::Aborted,
        GrpcCode::OutOfRange,
        GrpcCode::Unimplemented,
        GrpcCode::Internal,
        GrpcCode::Unavailable,
        GrpcCode::DataLoss,
        GrpcCode::Unauthenticated,
    ];

    /// The code's name, as everybody writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GrpcCode::Ok => "OK",
            GrpcCode::Cancelled => "CANCELLED",
            GrpcCode::Unknown => "UNKNOWN",
            GrpcCode::InvalidArgument => "INVALID_ARGUMENT",
            GrpcCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
            GrpcCode::NotFound => "NOT_FOUND",
            GrpcCode::AlreadyExists => "ALREADY_EXISTS",
            GrpcCode::PermissionDenied => "PERMISSION_DENIED",
            GrpcCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
            GrpcCode::FailedPrecondition => "FAILED_PRECONDITION",
            GrpcCode::Aborted => "ABORTED",
            GrpcCode::OutOfRange => "OUT_OF_RANGE",
            GrpcCode::Unimplemented => "UNIMPLEMENTED",
            GrpcCode::Internal => "INTERNAL",
            GrpcCode::Unavailable => "UNAVAILABLE",
            GrpcCode::DataLoss => "DATA_LOSS",
            GrpcCode::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// Reads the value of `grpc-status`: a number without anything around it. What is none is
    /// [`GrpcCode::Unknown`], as clients take it too.
    pub fn of_header(value: &[u8]) -> Self {
        let number = match *value {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'9'] => 10 + digit - b'0',
            _ => return Self::Unknown,
        };
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unknown)
    }
}

impl GrpcCodes {
    /// The same set with this code in it.
    #[must_use]
    pub const fn with(self, code: GrpcCode) -> Self {
        Self(self.0 | 1 << code as u32)
    }

    /// Whether a code is in it.
    pub const fn contains(self, code: GrpcCode) -> bool {
        self.0 >> code as u32 & 1 == 1
    }

    /// The codes by their numbers.
    pub fn iter(self) -> impl Iterator<Item = GrpcCode> {
        GrpcCode::ALL.into_iter().filter(move |code| self.contains(*code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_at_its_number() {
        for (number, code) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number, "{}", code.as_str());
            assert_eq!(GrpcCode::of_header(number.to_string().as_bytes()), code);
        }
    }

    #[test]
    fn a_status_that_is_none_is_unknown() {
        for value in ["", " ", "17", "99", "-1", "014", "00", "0 ", " 0", "1%34", "OK", "é", "20000000000"] {
            assert_eq!(GrpcCode::of_header(value.as_bytes()), GrpcCode::Unknown, "{value:?}");
        }
    }
}
