//! The one file that reads the clock.
//!
//! Everything else is given the time, so that decisions can be replayed and tests need not wait. A [`Clock`]
//! is a copy of one origin: all threads of a process read the same time line.

#![expect(clippy::disallowed_methods, reason = "this is where time is read")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Micros, Millis, UnixMicros, UnixMillis};

/// Reads the time since one moment, the process' start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Monotonic time for requests. Costs one vDSO call, some 20 ns.
    pub fn micros(&self) -> Micros {
        Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Monotonic time for decisions.
    pub fn millis(&self) -> Millis {
        self.micros().millis()
    }

    /// The time that people read. Before 1970 it is 1970.
    pub fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall_micros().0 / 1_000)
    }

    /// The same, for records that are told apart by less than a millisecond.
    pub fn wall_micros(&self) -> UnixMicros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}
