use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::UnixMillis;

/// What has become of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// There was an answer, with this status, and perhaps the wish to be asked later.
    Answered { status: u16, retry_after: Option<Duration> },
    /// There was none, for reasons that may pass.
    Failed,
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
/// A message is given up when it is as old as this and could not be delivered.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// What is to be done after a try that followed so many failed ones. `draw` is a number from 0 to 1.
///
/// The pause is anything up to its bound (full jitter): processes that all tell of one outage, to one receiver that is part of
/// it, are not to come back all together.
pub(super) fn after(tried: &Tried, failures: u32, age: Duration, draw: f64) -> Next {
    let wish = match tried {
        Tried::Answered { status: 200..=299, .. } => return Next::Delivered,
        Tried::Answered { status: 408 | 429 | 500..=599, retry_after } => *retry_after,
        Tried::Answered { .. } => return Next::Refused,
        Tried::Failed => None,
    };
    let bound = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    let pause = bound.mul_f64(draw.clamp(0.0, 1.0));
    let pause = pause.max(wish.unwrap_or_default().min(LONGEST_RETRY_AFTER));
    if is_too_old(age) { Next::TooOld(pause) } else { Next::Again(pause) }
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
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(next(&answered(status)), Next::Again(_)), "{status}");
        }
        for status in [300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
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
