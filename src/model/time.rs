use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Microseconds since the process started: the time of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// Milliseconds since the process started: the time of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// Milliseconds since 1970-01-01 UTC: the time that people read and that records keep. It may jump, so
/// nothing is decided by it but when a person's override ends, and what is too old to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// Microseconds since 1970-01-01 UTC: the time of a request as records keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub u64);

impl Micros {
    /// The time that has passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }

    /// The time `duration` from now.
    #[must_use]
    pub fn after(self, duration: Duration) -> Micros {
        Micros(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The same moment in milliseconds, rounded down.
    pub const fn millis(self) -> Millis {
        Millis(self.0 / 1_000)
    }
}

impl Millis {
    /// The time that has passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Millis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1_000.0
    }
}

impl UnixMillis {
    /// As HTTP writes it (RFC 9110, section 5.6.7).
    pub fn http_date(self) -> String {
        let at = i64::try_from(self.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&at.unwrap_or_default());
        printed.unwrap_or_default()
    }

    /// The time `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}
