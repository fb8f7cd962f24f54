use crate::model::Millis;

/// When an identity provider is asked for its keys. Pure: the time is given.
///
/// Every ten minutes, every minute while it fails, and when a token comes that is signed with another key; for the last at
/// most once a minute, as anybody can make up such a token.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    next: Millis,
    /// When it was asked last because of a token.
    wanted: Option<Millis>,
    under_way: bool,
}

const USUALLY: Millis = Millis(600_000);
const AFTER_FAILING: Millis = Millis(60_000);
const BETWEEN_WANTS: Millis = Millis(60_000);

/// What became of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Answered,
    Failed,
}

impl Schedule {
    /// A token asks for other keys. Whether an answer will come soon.
    pub(super) fn want(&mut self, now: Millis) -> bool {
        if self.under_way {
            return true;
        }
        if self.wanted.is_some_and(|wanted| now.since(wanted) < BETWEEN_WANTS) {
            return false;
        }
        (self.wanted, self.next, self.under_way) = (Some(now), now, true);
        true
    }

    /// How long to wait before the provider is asked.
    pub(super) fn wait(&self, now: Millis) -> Millis {
        self.next.since(now)
    }

    /// It is asked now.
    pub(super) fn begin(&mut self) {
        self.under_way = true;
    }

    /// It was.
    pub(super) fn end(&mut self, asked: Asked, now: Millis) {
        let pause = match asked {
            Asked::Answered => USUALLY,
            Asked::Failed => AFTER_FAILING,
        };
        (self.next, self.under_way) = (Millis(now.0 + pause.0), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_unknown_keys_asks_once_a_minute() {
        let mut schedule = Schedule::default();
        let (mut asked, mut wants) = (0, 0);
        // An hour in which a made-up token comes every 100 ms, and an answer takes 300 ms.
        let mut ends = None;
        for now in (0..3_600_000).step_by(100).map(Millis) {
            if ends.is_some_and(|ends| ends <= now) {
                schedule.end(Asked::Answered, now);
                ends = None;
            }
            wants += u32::from(schedule.want(now));
            if ends.is_none() && schedule.wait(now) == Millis(0) {
                schedule.begin();
                asked += 1;
                ends = Some(Millis(now.0 + 300));
            }
        }
        assert_eq!(asked, 60);
        assert_eq!(wants, 60 * 3, "who comes while it is asked waits for the same answer");
    }

    #[test]
    fn it_is_asked_every_ten_minutes_and_every_minute_while_it_fails() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.wait(Millis(5)), Millis(0), "at the beginning at once");
        schedule.begin();
        schedule.end(Asked::Answered, Millis(1_000));
        assert_eq!(schedule.wait(Millis(1_000)), Millis(600_000));
        assert!(schedule.want(Millis(2_000)), "a key that is new is asked for at once");
        assert_eq!(schedule.wait(Millis(2_000)), Millis(0));
        schedule.end(Asked::Failed, Millis(2_100));
        assert!(!schedule.want(Millis(61_999)) && schedule.want(Millis(62_100)));
        let mut failing = Schedule::default();
        failing.end(Asked::Failed, Millis(0));
        assert_eq!(failing.wait(Millis(0)), Millis(60_000));
    }
}
