use std::time::Duration;

use crate::model::{Millis, UnixMillis};

use super::event::Now;

/// How long something lasts that is told by the time of day, measured by a clock that does not jump.
///
/// What the process before has kept is believed once, when this one starts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lasting {
    begun: Option<UnixMillis>,
    since: Millis,
    credit: Duration,
}

impl Lasting {
    /// What has begun then lasts, or nothing does; tells whether that is another than before. `is_kept` says that it is what
    /// the process before has kept.
    pub(super) fn follow(&mut self, begun: Option<UnixMillis>, now: Now, is_kept: bool) -> bool {
        if begun == self.begun {
            return false;
        }
        let passed = begun.map_or(0, |begun| now.wall.0.saturating_sub(begun.0));
        let credit = if is_kept { Duration::from_millis(passed) } else { Duration::ZERO };
        *self = Self { begun, since: now.mono, credit };
        true
    }

    /// How long it has lasted.
    pub(super) fn lasts(&self, now: Millis) -> Duration {
        self.credit + Duration::from_millis(now.since(self.since).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64, wall: u64) -> Now {
        Now { mono: Millis(mono), wall: UnixMillis(wall) }
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_last_longer() {
        let mut lasting = Lasting::default();
        assert!(lasting.follow(Some(UnixMillis(1_000)), now(0, 1_000), false));
        assert!(!lasting.follow(Some(UnixMillis(1_000)), now(500, 86_400_000), false));
        assert_eq!(lasting.lasts(Millis(500)), Duration::from_millis(500));
        assert!(lasting.follow(None, now(600, 0), false));
    }

    #[test]
    fn a_restart_goes_on_where_the_process_before_was() {
        let mut lasting = Lasting::default();
        lasting.follow(Some(UnixMillis(1_000)), now(0, 61_000), true);
        assert_eq!(lasting.lasts(Millis(5_000)), Duration::from_secs(65));
        let mut lasting = Lasting::default();
        lasting.follow(Some(UnixMillis(99_000)), now(0, 61_000), true);
        assert_eq!(lasting.lasts(Millis(5_000)), Duration::from_secs(5), "begun in the future it has not");
    }
}
