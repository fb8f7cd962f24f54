use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::in_words;

/// A moment as people read it: `2026-11-22 03:14:07.312 UTC`.
pub(in crate::cli) fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        Err(_) => format!("{unix_ms} ms after 1970"),
    }
}

/// A moment, short if it was lately: `14:05 UTC`.
pub(in crate::cli) fn clock(unix_ms: u64) -> String {
    let text = moment(unix_ms);
    let is_recent = Clock::start().wall().0.saturating_sub(unix_ms) < 24 * 3_600_000;
    match (is_recent, text.split_once(' ')) {
        (true, Some((_, time))) if time.len() > 5 => format!("{} UTC", &time[..5]),
        _ => text,
    }
}

/// How long ago a moment was: `4 min`.
pub(in crate::cli) fn ago(unix_ms: u64) -> String {
    let now = Clock::start().wall().0;
    in_words(std::time::Duration::from_millis(now.saturating_sub(unix_ms)))
}

/// How far ahead a moment is: `2 h`.
pub(in crate::cli) fn ahead(unix_ms: u64) -> String {
    let now = Clock::start().wall().0;
    in_words(std::time::Duration::from_millis(unix_ms.saturating_sub(now)))
}

/// A share in percent, with as many digits as it needs: `0.02%`, `12%`.
pub(in crate::cli) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}%") } else { format!("{percent:.2}%") }
}

/// A rate as people read it: `975/s`, `1,240/s`, `0.3/s`.
pub(in crate::cli) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        return format!("{per_second:.1}/s");
    }
    let digits = format!("{per_second:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}/s")
}

/// How many there are of something: `1 request`, `2 requests`.
pub(in crate::cli) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_moments_read_as_people_read_them() {
        assert_eq!(
            [percent(0.0002), percent(0.0), percent(0.5), percent(1.0)],
            ["0.02%", "0.00%", "50%", "100%"]
        );
        assert_eq!(moment(1_795_317_247_312), "2026-11-22 03:14:07.312 UTC");
    }

    #[test]
    fn rates_have_as_many_digits_as_they_need() {
        let rates = [0.0, 0.34, 9.9, 9.96, 975.4, 1_240.0, 1_234_567.0].map(rate);
        assert_eq!(rates, ["0/s", "0.3/s", "9.9/s", "10/s", "975/s", "1,240/s", "1,234,567/s"]);
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "row")), ["0 rows", "1 row", "2 rows"]);
    }
}
