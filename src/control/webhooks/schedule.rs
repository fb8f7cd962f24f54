use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::{Millis, UnixMillis};

use super::super::event::Now;

/// What has become of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// There was an answer, with this status, and perhaps the wish to be asked later.
    Answered { status: u16, retry_after: Option<Duration> },
    /// There was none, for reasons that may pass.
    Failed,
}

/// Since when a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// This process has taken it in at that time of its own.
    Here(Millis),
    /// An earlier process has, at that time as clocks on walls had it.
    Earlier(UnixMillis),
}

impl Tried {
    /// It is most likely not the message that is refused, but the URL or key that it was sent with.
    pub(super) fn is_of_wrong_key(&self) -> bool {
        matches!(self, Tried::Answered { status: 401 | 403 | 404, .. })
    }
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It has arrived.
    Delivered,
    /// It is tried again after so long.
    Again(Duration),
    /// It is not tried again: the answer will not be another one.
    Refused,
    /// It is not tried again: it has been for so long that it is news no more. The next one is tried after so long.
    TooOld(Duration),
}

/// The longest that is waited after the first try that failed; after each further one, twice as long …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// So long at most a receiver may ask not to be asked.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// A URL or key that is wrong is tried again after this time at least …
const LEAST_KEY_PAUSE: Duration = Duration::from_mins(1);
/// … and this at most: it takes people to put it right, and a file that has changed is seen at once.
const LONGEST_KEY_PAUSE: Duration = Duration::from_mins(5);
/// A message is given up when it is as old as this and could not be delivered.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// What an earlier process has taken in is given up after so long at least: a clock that is wrong, or was put right meanwhile,
/// makes everything old, or nothing.
const TRY_FOR: Duration = Duration::from_hours(1);

/// What is to be done after a try that followed so many failed ones. `draw` is a number from 0 to 1.
///
/// The pause is anything up to its bound (full jitter): processes that all tell of one outage, to one receiver that is part of
/// it, are not to come back all together.
pub(super) fn after(tried: &Tried, failures: u32, age: Duration, draw: f64) -> Next {
    let wish = match tried {
        Tried::Answered { status: 200..=299, .. } => return Next::Delivered,
        Tried::Answered { status: 401 | 403 | 404 | 408 | 429 | 500..=599, retry_after } => *retry_after,
        Tried::Answered { .. } => return Next::Refused,
        Tried::Failed => None,
    };
    let (least, bound) = if tried.is_of_wrong_key() {
        (LEAST_KEY_PAUSE, LONGEST_KEY_PAUSE)
    } else {
        (Duration::ZERO, FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE))
    };
    let pause = least + bound.saturating_sub(least).mul_f64(draw.clamp(0.0, 1.0));
    let pause = pause.max(wish.unwrap_or_default().min(LONGEST_RETRY_AFTER));
    if is_too_old(age) { Next::TooOld(pause) } else { Next::Again(pause) }
}

/// How old a message is, to a process that tries since `opened`.
pub(super) fn age(since: Since, opened: Millis, now: Now) -> Duration {
    let ms = match since {
        Since::Here(at) => now.mono.since(at).0,
        Since::Earlier(at) => {
            let here = now.mono.since(opened).0;
            let in_all = now.wall.0.saturating_sub(at.0);
            if u128::from(here) < TRY_FOR.as_millis() { here } else { here.max(in_all) }
        }
    };
    Duration::from_millis(ms)
}

/// Whether a message of this age is told to nobody who cannot be told it now.
pub(super) fn is_too_old(age: Duration) -> bool {
    age >= GIVE_UP_AFTER
}

/// How long a receiver wants to be left alone: `Retry-After` (RFC 9110, 10.2.3), in seconds or as a date.
pub(super) fn retry_after(value: &str, now: UnixMillis) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number has room for are more than is waited anyway.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = u64::try_from(http_date(value)?.max(0)).ok()?;
    Some(Duration::from_millis(at.saturating_sub(now.0)))
}

/// A date in one of the three forms that recipients must understand (RFC 9110, 5.6.7), in milliseconds since 1970.
fn http_date(value: &str) -> Option<i64> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = FORMS.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Tried {
        Tried::Answered { status, retry_after: None }
    }

    fn pause(next: Next) -> Duration {
        match next {
            Next::Again(pause) => pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let next = |tried: &Tried| after(tried, 0, Duration::ZERO, 1.0);
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(next(&answered(status)), Next::Delivered, "{status}");
        }
        for status in [401, 403, 404, 408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(next(&answered(status)), Next::Again(_)), "{status}");
        }
        for status in [300, 301, 302, 307, 308, 400, 402, 405, 410, 413, 422] {
            assert_eq!(next(&answered(status)), Next::Refused, "{status}");
        }
        assert!(matches!(next(&Tried::Failed), Next::Again(_)));
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_are_anything_below() {
        let bounds: Vec<u64> = (0..12)
            .map(|failures| pause(after(&Tried::Failed, failures, Duration::ZERO, 1.0)).as_secs())
            .collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(pause(after(&Tried::Failed, u32::MAX, Duration::ZERO, 1.0)).as_secs(), 300);
        assert_eq!(pause(after(&Tried::Failed, 3, Duration::ZERO, 0.25)).as_secs(), 2);
        assert_eq!(pause(after(&Tried::Failed, 3, Duration::ZERO, 0.0)), Duration::ZERO);
    }

    #[test]
    fn a_key_that_is_wrong_is_tried_again_after_one_to_five_minutes() {
        for failures in [0, 3, u32::MAX] {
            for (draw, seconds) in [(0.0, 60), (0.5, 180), (1.0, 300)] {
                let next = after(&answered(403), failures, Duration::ZERO, draw);
                assert_eq!(pause(next).as_secs(), seconds, "{failures} {draw}");
            }
        }
        assert!(matches!(after(&answered(404), 0, GIVE_UP_AFTER, 0.5), Next::TooOld(_)));
    }

    #[test]
    fn a_clock_that_is_wrong_makes_nothing_old() {
        const HOUR: u64 = 3_600_000;
        let age = |since, mono, wall| {
            let now = Now { mono: Millis(mono), wall: UnixMillis(wall) };
            age(since, Millis(1_000), now).as_secs() / 3_600
        };
        // Taken in in 1970, or years ahead: what counts is how long it has been tried.
        let here = Since::Here(Millis(1_000));
        assert_eq!(age(here, 1_000 + 2 * HOUR, 1_795_317_247_000), 2);
        assert_eq!(age(here, 1_000 + 24 * HOUR, 0), 24);
        // Of an earlier process' it is believed after an hour.
        let earlier = Since::Earlier(UnixMillis(5));
        assert_eq!(age(earlier, 1_000 + HOUR - 1, 1_795_317_247_000), 0);
        assert_eq!(age(earlier, 1_000 + HOUR, 30 * HOUR + 5), 30);
        assert_eq!(
            age(Since::Earlier(UnixMillis(100 * HOUR)), 1_000 + 25 * HOUR, 0),
            25,
            "the clock was set back"
        );
    }

    #[test]
    fn a_receiver_that_asks_for_more_time_gets_it_up_to_an_hour() {
        for (asked, waited) in [(0, 1), (1, 1), (7, 7), (3_600, 3_600), (86_400, 3_600), (u64::MAX, 3_600)] {
            let tried = Tried::Answered { status: 429, retry_after: Some(Duration::from_secs(asked)) };
            assert_eq!(pause(after(&tried, 0, Duration::ZERO, 1.0)).as_secs(), waited, "{asked}");
        }
    }

    /// A day in virtual time: a receiver that is down all day, tried by processes that draw differently.
    #[test]
    fn a_message_is_tried_all_day_and_given_up_after_it() {
        for seed in 0..50 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let (mut now, mut tries) = (Duration::ZERO, 0);
            loop {
                match after(&Tried::Failed, tries, now, chance.f64()) {
                    Next::Again(pause) => now += pause,
                    Next::TooOld(_) => break,
                    other => panic!("{other:?}"),
                }
                tries += 1;
            }
            assert!(now >= GIVE_UP_AFTER && now < GIVE_UP_AFTER + LONGEST_PAUSE, "seed {seed}: {now:?}");
            assert!((400..800).contains(&tries), "seed {seed}: {tries} tries, one in 2.5 minutes");
        }
        assert!(matches!(after(&answered(500), 0, GIVE_UP_AFTER, 0.5), Next::TooOld(_)));
        assert_eq!(after(&answered(200), 0, GIVE_UP_AFTER, 0.5), Next::Delivered, "better late than never");
    }

    #[test]
    fn a_wish_is_read_in_seconds_and_in_every_form_of_a_date() {
        // 1994-11-06 08:49:37 UTC, the example of RFC 9110.
        let now = UnixMillis(784_111_777_000 - 90_000);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(90)),
            ("Sun Nov  6 08:49:37 1994", Some(90)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after(value, now).map(|wish| wish.as_secs()), seconds, "{value:?}");
        }
    }
}
