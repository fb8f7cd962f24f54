//! What is told, and where it is written.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::delays::seconds;
use crate::race::{Race, Score};
use crate::reference::NAMES;

/// Prints a report, and keeps it under this name if it is to be kept.
pub(crate) fn publish(name: &str, title: &str, how: &str, body: &str, write: bool) -> io::Result<()> {
    let text = format!("# {title}\n\n{how}\n\n{body}");
    io::stdout().write_all(text.as_bytes())?;
    if write { keep(name, &text) } else { Ok(()) }
}

/// Keeps a file among the results.
pub(crate) fn keep(name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(results())?;
    fs::write(results().join(name), text)
}

/// Where they are kept.
pub(crate) fn results() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/verdict/results")
}

/// The judge beside others, as Markdown.
pub(crate) fn references(races: &[Race]) -> String {
    let mut text = String::from(
        "## Kubernetes becomes worse\n\nMedian seconds from the change, over those traces on \
         which there was no false revert before it; “never” is not within half an hour.\n\n",
    );
    head(&mut text, &["scenario", "limit"]);
    for race in races.iter().filter(|race| race.change_s().is_some()) {
        let _ = write!(text, "| {} | {} |", race.scenario.name, seconds(race.limit_s));
        for score in scores(race) {
            let _ = write!(text, " {} |", seconds(score.median_s()));
        }
        text.push('\n');
    }
    text.push_str("\n## False reverts\n\nTraces on which there was one; a trace ends with the first.\n\n");
    head(&mut text, &["traces", "number"]);
    for (name, worse) in [("must-hold scenarios", false), ("healthy parts of the others", true)] {
        let of_kind: Vec<&Race> = races.iter().filter(|race| race.change_s().is_some() == worse).collect();
        let _ = write!(text, "| {name} | {} |", of_kind.iter().map(|race| race.traces.len()).sum::<usize>());
        for place in 0..=NAMES.len() {
            let _ = write!(
                text,
                " {} |",
                of_kind.iter().map(|race| scores(race)[place].false_reverts).sum::<usize>()
            );
        }
        text.push('\n');
    }
    text.push_str("\n### By scenario\n\n");
    head(&mut text, &["scenario", "traces"]);
    for race in races.iter().filter(|race| race.change_s().is_none()) {
        let _ = write!(text, "| {} | {} |", race.scenario.name, race.traces.len());
        for score in scores(race) {
            let _ = write!(text, " {} |", score.false_reverts);
        }
        text.push('\n');
    }
    text
}

/// The judge's first, then those of the others.
pub(crate) fn scores(race: &Race) -> Vec<Score> {
    std::iter::once(race.score()).chain(race.other_scores()).collect()
}

fn head(text: &mut String, first: &[&str]) {
    let names: Vec<&str> = first.iter().copied().chain(["Switchback"]).chain(NAMES).collect();
    let _ = writeln!(text, "| {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len() - 1));
}
