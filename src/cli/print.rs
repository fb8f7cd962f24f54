use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::in_words;

use super::Failure;

/// Writes a line to standard output. When nobody reads any more, as after `| head`, the program ends quietly.
pub(super) fn say(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Many lines for programs, to standard output or a file.
pub(super) struct Lines {
    out: BufWriter<Box<dyn Write>>,
    /// The file; `None` for standard output.
    file: Option<PathBuf>,
}

impl Lines {
    /// To standard output, which is nobody else's until the end.
    pub(super) fn to_standard_output() -> Self {
        Self { out: BufWriter::new(Box::new(io::stdout().lock())), file: None }
    }

    /// To a file, which is made or emptied; or to standard output for `-`.
    pub(super) fn to(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self::to_standard_output());
        }
        let file = File::create(path);
        let file = file.map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?;
        Ok(Self { out: BufWriter::new(Box::new(file)), file: Some(path.to_owned()) })
    }

    /// Writes text as it is. It may not be out before the next [`Lines::flush`].
    pub(super) fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_bytes());
        self.check(written)
    }

    /// Writes something as a line of JSON, which a reader has at once.
    pub(super) fn json(&mut self, line: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(line).map_err(anyhow::Error::from)?;
        self.write(&text)?;
        self.write("\n")?;
        self.flush()
    }

    /// Hands over what has been written.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.check(flushed)
    }

    /// As with [`say`], a reader that leaves ends the program quietly.
    fn check(&self, done: io::Result<()>) -> Result<(), Failure> {
        done.map_err(|error| match &self.file {
            None if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            None => Failure::Refused(format!("standard output: {error}")),
            Some(path) => Failure::Refused(format!("{}: {error}", path.display())),
        })
    }
}

/// Whether a path stands for standard input or output: `-`.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
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

/// A moment, short if it was lately: `14:05 UTC`.
pub(super) fn clock(unix_ms: u64) -> String {
    let text = moment(unix_ms);
    let is_recent = Clock::start().wall().0.saturating_sub(unix_ms) < 24 * 3_600_000;
    match (is_recent, text.split_once(' ')) {
        (true, Some((_, time))) if time.len() > 5 => format!("{} UTC", &time[..5]),
        _ => text,
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

/// A rate as people read it: `975/s`, `1,240/s`, `0.3/s`.
pub(super) fn rate(per_second: f64) -> String {
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
pub(super) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
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
    fn rates_have_as_many_digits_as_they_need() {
        let rates = [0.0, 0.34, 9.9, 9.96, 975.4, 1_240.0, 1_234_567.0].map(rate);
        assert_eq!(rates, ["0/s", "0.3/s", "9.9/s", "10/s", "975/s", "1,240/s", "1,234,567/s"]);
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "row")), ["0 rows", "1 row", "2 rows"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["long".to_owned(), "–".to_owned()]];
        assert_eq!(table(&rows), "A     B\nlong  –");
    }
}
