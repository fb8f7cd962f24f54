use std::io::{self, ErrorKind, Write};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::in_words;

/// Writes a line to standard output. When nobody reads any more, as after `| head`, the program ends quietly.
pub(super) fn say(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Writes a line to standard error. Where that is closed there is nobody left to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A moment as people read it: `2026-11-22 03:14:07.312 UTC`.
pub(super) fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        Err(_) => format!("{unix_ms} ms after 1970"),
    }
}

/// How long ago a moment was: `4 min`.
pub(super) fn ago(unix_ms: u64) -> String {
    let now = Clock::start().wall().0;
    in_words(std::time::Duration::from_millis(now.saturating_sub(unix_ms)))
}

/// How far ahead a moment is: `2 h`.
pub(super) fn ahead(unix_ms: u64) -> String {
    let now = Clock::start().wall().0;
    in_words(std::time::Duration::from_millis(unix_ms.saturating_sub(now)))
}

/// A share in percent, with as many digits as it needs: `0.02%`, `12%`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0}%") } else { format!("{percent:.2}%") }
}

/// A table in columns as wide as their widest cell; the last is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
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
    fn columns_line_up() {
        let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["long".to_owned(), "–".to_owned()]];
        assert_eq!(table(&rows), "A     B\nlong  –");
    }
}
