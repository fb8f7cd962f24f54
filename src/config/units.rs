use std::time::Duration;

use crate::verdict::{Slower, Tolerance, YEAR};

/// The longest text of a duration, and the most digits of a number in one. Nobody means more, and what is added up stays far
/// from where it would not fit.
pub const LONGEST_DURATION: usize = 100;
const MOST_DIGITS: usize = 9;

/// Reads a duration as people write it: `250ms`, `30s`, `9 min`, `2h`, `1y`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a number and a unit: 250ms, 30s, 9 min, 2h, 7d, 1y".to_owned();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    if text.len() > LONGEST_DURATION || numbers.any(|digits| digits.len() > MOST_DIGITS) {
        return Err(wrong());
    }
    humantime::parse_duration(text.trim()).map_err(|_| wrong())
}

/// A duration as people read it, to two significant units: `250 ms`, `1.5 s`, `9 min`, `2 h 30 min`, `3 d`.
pub fn in_words(duration: Duration) -> String {
    const A_YEAR: u128 = YEAR.as_millis();
    // To the last unit that is told: 59.99 min are 1 h.
    let unit = match duration.as_millis() {
        ..10_000 => 1,
        10_000..600_000 => 1_000,
        600_000..86_400_000 => 60_000,
        86_400_000..864_000_000 => 3_600_000,
        864_000_000.. => 86_400_000,
    };
    let ms = if duration >= YEAR { A_YEAR } else { (duration.as_millis() + unit / 2) / unit * unit };
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    let two = |large: u128, unit: &str, small: u128, sub: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {sub}") }
    };
    match ms {
        0 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        1..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", duration.as_secs_f64()).replace(".0 s", " s"),
        10_000..60_000 => format!("{seconds} s"),
        60_000..600_000 => two(minutes, "min", seconds % 60, "s"),
        600_000..3_600_000 => format!("{minutes} min"),
        3_600_000..86_400_000 => two(hours, "h", minutes % 60, "min"),
        86_400_000..864_000_000 => two(hours / 24, "d", hours % 24, "h"),
        864_000_000..A_YEAR => format!("{} d", hours / 24),
        _ => format!("{:.1} y", duration.as_secs_f64() / YEAR.as_secs_f64()).replace(".0 y", " y"),
    }
}

/// Reads a size: `64KiB`, `1MiB`, `4096B`, `4096`.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].trim() {
        "" | "B" => Some(1),
        "KiB" | "K" => Some(1 << 10),
        "MiB" | "M" => Some(1 << 20),
        _ => None,
    };
    text[..digits]
        .parse::<usize>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| "a whole number and a unit: 4096B, 64KiB, 1MiB".to_owned())
}

/// Reads `x1.2 +0.05%`; either part may be left out.
pub(super) fn parse_failures(text: &str) -> Result<Tolerance, String> {
    let wrong = || "a factor of at least 1 and an addition in percent: x1.2 +0.05%".to_owned();
    let (ratio, add) = factor_and_addition(text).ok_or_else(wrong)?;
    let delta = match add {
        None => 0.0,
        Some(add) => add
            .strip_suffix('%')
            .and_then(|percent| percent.trim().parse::<f64>().ok())
            .filter(|percent| (0.0..=50.0).contains(percent))
            .ok_or_else(wrong)?,
    };
    Ok(Tolerance { ratio, delta: delta / 100.0 })
}

/// Reads `x1.15 +2ms`; either part may be left out.
pub(super) fn parse_slower(text: &str) -> Result<Slower, String> {
    let wrong = || "a factor of at least 1 and an addition: x1.15 +2ms".to_owned();
    let (ratio, add) = factor_and_addition(text).ok_or_else(wrong)?;
    let add = add.map_or(Ok(Duration::ZERO), parse_duration).map_err(|_| wrong())?;
    Ok(Slower { ratio, add })
}

/// Splits `xFACTOR +REST`; a missing factor is 1. At least one of the two must be there.
fn factor_and_addition(text: &str) -> Option<(f64, Option<&str>)> {
    let (factor, add) = match text.split_once('+') {
        Some((factor, add)) => (factor.trim(), Some(add.trim())),
        None => (text.trim(), None),
    };
    let ratio = match factor.strip_prefix(['x', '×']) {
        Some(number) => number.trim().parse::<f64>().ok()?,
        None if factor.is_empty() && add.is_some() => 1.0,
        None => return None,
    };
    (1.0..=100.0).contains(&ratio).then_some((ratio, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_and_say_them() {
        for (text, seconds, words) in [
            ("250ms", 0.25, "250 ms"),
            ("1.5s", 1.5, "1.5 s"),
            ("2s", 2.0, "2 s"),
            ("9 min", 540.0, "9 min"),
            ("1h 30m", 5_400.0, "1 h 30 min"),
            ("7d", 604_800.0, "7 d"),
        ] {
            let Ok(duration) = parse_duration(text) else {
                assert_eq!(text, "1.5s", "humantime reads no fractions");
                continue;
            };
            assert!((duration.as_secs_f64() - seconds).abs() < 1e-9, "{text}");
            assert_eq!(in_words(duration), words);
        }
        // Added up, the last does not fit, and nothing of it alone is too much.
        let large = "584542046090y 15000000s 1000000000ns";
        for bad in ["", "5", "fast", "-1s", "1 parsec", &"1s".repeat(51), large] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_nearly_the_next_unit_is_told_as_that() {
        for (seconds, words) in [
            (0.000_4, "0.4 ms"),
            (0.999, "999 ms"),
            (9.99, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (599.7, "10 min"),
            (3_599.99, "1 h"),
            (3_629.0, "1 h"),
            (86_399.0, "1 d"),
            (863_999.0, "10 d"),
            (31_536_000.0, "365 d"),
            (31_557_599.9, "365 d"),
            (63_115_200.0, "2 y"),
        ] {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words, "{seconds}");
        }
        assert_eq!(
            parse_duration("1y"),
            Ok(YEAR),
            "a promise that is written is the one that is there without"
        );
        assert_eq!(in_words(YEAR), "1 y");
    }

    #[test]
    fn sizes_and_tolerances_read_as_people_write_them() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1 MiB"), Ok(1 << 20));
        assert_eq!(parse_size("12"), Ok(12));
        for bad in ["", "KiB", "1.5KiB", "64kb", "99999999999999999999MiB"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_failures("x1.2 +0.05%"), Ok(Tolerance { ratio: 1.2, delta: 0.0005 }));
        assert_eq!(parse_failures("+1%"), Ok(Tolerance { ratio: 1.0, delta: 0.01 }));
        assert_eq!(parse_failures("x2"), Ok(Tolerance { ratio: 2.0, delta: 0.0 }));
        for bad in ["", "x0.5", "1.2", "x1.2 +0.05", "+60%", "x +1%", "+-1%"] {
            assert!(parse_failures(bad).is_err(), "{bad:?}");
        }
        let slower = Slower { ratio: 1.15, add: Duration::from_millis(2) };
        assert_eq!(parse_slower("x1.15 +2ms"), Ok(slower));
        assert!(parse_slower("x1.15 +2").is_err());
    }
}
