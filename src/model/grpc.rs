use std::collections::BTreeSet;
use std::time::Duration;

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

/// Methods of gRPC services: single ones, and all of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcMethods {
    /// As paths: `/shop.Cart/Get`.
    methods: BTreeSet<Box<str>>,
    /// As the beginnings of paths: `/shop.Catalog`.
    services: BTreeSet<Box<str>>,
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

impl GrpcMethods {
    /// Adds what is written as `shop.Cart/Get`, or as `shop.Catalog/*` for all methods of a service. Tells whether
    /// that was understood.
    pub fn add(&mut self, written: &str) -> bool {
        let Some((service, method)) = written.split_once('/') else { return false };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(plain);
        if !is_name(service) {
            return false;
        }
        if method == "*" {
            self.services.insert(format!("/{service}").into());
        } else if is_name(method) && !method.contains('.') {
            self.methods.insert(format!("/{written}").into());
        } else {
            return false;
        }
        true
    }

    /// Whether the method that this path names is among them.
    pub fn contains(&self, path: &str) -> bool {
        let of_service = || path.rsplit_once('/').is_some_and(|(service, _)| self.services.contains(service));
        self.methods.contains(path) || of_service()
    }

    /// As they are written.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        let services = self.services.iter().map(|service| format!("{}/*", &service[1..]));
        self.methods.iter().map(|method| method[1..].to_owned()).chain(services)
    }
}

/// Reads the value of `grpc-timeout`: how long a caller will wait. At most eight digits and a unit (gRPC over HTTP/2,
/// *Requests*).
pub fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The same, written: never longer than it is, and at least as exact as one in ten thousand.
pub fn grpc_timeout_value(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let (micros, millis) = (timeout.as_micros(), timeout.as_millis());
    if micros <= MOST {
        format!("{micros}u")
    } else if millis <= MOST {
        format!("{millis}m")
    } else {
        format!("{}S", u128::from(timeout.as_secs()).min(MOST))
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
    fn methods_are_single_ones_or_all_of_a_service() {
        let mut methods = GrpcMethods::default();
        for written in ["shop.Cart/Get", "shop.Catalog/*", "Plain/Get"] {
            assert!(methods.add(written), "{written}");
        }
        for wrong in
            ["", "shop.Cart", "/shop.Cart/Get", "shop.Cart/", "shop.*/Get", "shop.Cart/Ge*", "a/b/c", "a/b.c"]
        {
            assert!(!methods.add(wrong), "{wrong}");
        }
        for path in ["/shop.Cart/Get", "/shop.Catalog/Anything", "/Plain/Get"] {
            assert!(methods.contains(path), "{path}");
        }
        for path in [
            "/shop.Cart/Add",
            "/shop.Cart/Get/",
            "shop.Cart/Get",
            "/shop.CatalogX/Get",
            "/",
            "",
            "/x/shop.Catalog/Get",
        ] {
            assert!(!methods.contains(path), "{path}");
        }
        assert_eq!(methods.iter().collect::<Vec<_>>(), ["Plain/Get", "shop.Cart/Get", "shop.Catalog/*"]);
    }

    #[test]
    fn timeouts_are_read_as_they_are_written() {
        for (value, expected) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("99999999S", Some(99_999_999_000_000_000)),
            ("15m", Some(15_000_000)),
            ("250u", Some(250_000)),
            ("0n", Some(0)),
            ("", None),
            ("S", None),
            ("100000000S", None),
            ("1.5S", None),
            ("-1S", None),
            ("1s", None),
            ("1 S", None),
        ] {
            assert_eq!(grpc_timeout(value.as_bytes()), expected.map(Duration::from_nanos), "{value:?}");
        }
        for timeout in [0, 1, 99_999_999, 100_000_000, 12_345_678_000, 99_999_999_000_000] {
            let timeout = Duration::from_micros(timeout);
            assert_eq!(grpc_timeout(grpc_timeout_value(timeout).as_bytes()), Some(timeout));
        }
    }

    #[test]
    fn a_status_that_is_none_is_unknown() {
        for value in ["", " ", "17", "99", "-1", "014", "00", "0 ", " 0", "1%34", "OK", "é", "20000000000"] {
            assert_eq!(GrpcCode::of_header(value.as_bytes()), GrpcCode::Unknown, "{value:?}");
        }
    }
}
