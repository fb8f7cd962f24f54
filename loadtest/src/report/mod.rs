//! What was found, and how it is told.

mod bounds;
mod markdown;
mod picture;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compare::Machine;
use crate::statistics::Spread;

pub(crate) use bounds::{Judged, Mark, judge};
pub(crate) use markdown::{figures, markdown, table};
pub(crate) use picture::pictures;

/// What one scenario has come to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static str,
    pub(crate) about: &'static str,
    /// By who was measured, and what.
    pub(crate) figures: BTreeMap<String, BTreeMap<Figure, Vec<f64>>>,
    /// Why somebody's figures are worth nothing: by who it is.
    pub(crate) invalid: BTreeMap<String, String>,
    /// Why it was not measured to its end.
    pub(crate) broken_off: Option<String>,
    /// What a reader should know.
    pub(crate) notes: Vec<String>,
}

/// What is measured. Each but `Requests` is the better the smaller it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// CPU µs a request: all of it, …
    Cpu,
    /// … outside the kernel, …
    User,
    /// … and inside.
    System,
    /// Requests a second that were answered.
    Requests,
    /// Latencies in µs, at a steady rate, from when a request was due.
    P50,
    P99,
    P999,
    /// How late the generator was, in µs: the 99th of a hundred.
    Late,
    /// Memory in MiB.
    Memory,
    /// Memory in KiB that a connection takes.
    PerConnection,
    /// Seconds until the first request is answered.
    Start,
    /// Seconds until a change is in force.
    Reload,
    /// The slowest request, in ms.
    Slowest,
    /// Percent of a core.
    Share,
    /// Percent of the work of all workers that the busiest one does.
    Busiest,
    /// Times a second that a thread is woken.
    WakeUps,
    /// Times that a number of workers do what one does.
    Times,
    /// Percent that something adds.
    Added,
    /// Thousands of instructions a request.
    Instructions,
    /// The slowest of many ticks of the judge, in ms.
    Tick,
    /// Changes a second.
    Changes,
}

/// What results are of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) versions: Vec<String>,
    pub(crate) rounds: u64,
    pub(crate) seconds: u64,
}

/// Everything, for programs.
pub(crate) fn json(about: &About, outcomes: &[Outcome], judged: &[Judged]) -> serde_json::Result<String> {
    let all = serde_json::json!({ "about": about, "bounds": judged, "scenarios": outcomes });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

/// What was found earlier of one scenario.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Kept {
    scenario: String,
    figures: BTreeMap<String, BTreeMap<Figure, Vec<f64>>>,
    invalid: BTreeMap<String, String>,
    broken_off: Option<String>,
    notes: Vec<String>,
}

/// Of what [`json`] has written, who was measured, and what was found.
pub(crate) fn kept(text: &str) -> serde_json::Result<(Vec<String>, Vec<Kept>)> {
    #[derive(Deserialize)]
    struct All {
        about: Of,
        scenarios: Vec<Kept>,
    }
    #[derive(Deserialize)]
    struct Of {
        versions: Vec<String>,
    }
    let All { about, scenarios } = serde_json::from_str(text)?;
    Ok((about.versions, scenarios))
}

impl Kept {
    pub(crate) fn is_of(&self, scenario: &str) -> bool {
        self.scenario == scenario
    }

    pub(crate) fn of(self, scenario: &'static str, about: &'static str) -> Outcome {
        let Self { figures, invalid, broken_off, notes, .. } = self;
        Outcome { scenario, about, figures, invalid, broken_off, notes }
    }
}

impl Outcome {
    pub(crate) fn add(&mut self, who: &str, figure: Figure, number: f64) {
        self.figures.entry(who.to_owned()).or_default().entry(figure).or_default().push(number);
    }

    pub(crate) fn spread(&self, who: &str, figure: Figure) -> Option<Spread> {
        Spread::of(self.figures.get(who)?.get(&figure)?)
    }

    /// Somebody's requests failed: their figures are worth nothing.
    pub(crate) fn reject(&mut self, who: &str, why: String) {
        self.invalid.entry(who.to_owned()).or_insert(why);
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        let of = |(who, why): (&String, &String)| format!("{}, {who}: {why}", self.scenario);
        let all = self.broken_off.iter().map(|why| format!("{}: {why}", self.scenario));
        self.invalid.iter().map(of).chain(all).collect()
    }

    /// One's figure over another's, round by round.
    pub(crate) fn ratio(&self, of: &str, to: &str, figure: Figure) -> Option<Spread> {
        let (of, to) = (self.figures.get(of)?.get(&figure)?, self.figures.get(to)?.get(&figure)?);
        Spread::of(&of.iter().zip(to).map(|(of, to)| of / to).collect::<Vec<_>>())
    }
}

impl Figure {
    /// What it is called, in what unit, and with how many digits.
    pub(crate) fn told(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Cpu => ("CPU a request", "µs", 2),
            Self::User => ("in the program", "µs", 2),
            Self::System => ("in the kernel", "µs", 2),
            Self::Requests => ("requests", "/s", 0),
            Self::P50 => ("p50", "µs", 0),
            Self::P99 => ("p99", "µs", 0),
            Self::P999 => ("p99.9", "µs", 0),
            Self::Late => ("generator late, p99", "µs", 0),
            Self::Memory => ("memory", "MiB", 1),
            Self::PerConnection => ("memory a connection", "KiB", 2),
            Self::Start => ("start", "s", 2),
            Self::Reload => ("reload", "s", 2),
            Self::Slowest => ("slowest request", "ms", 2),
            Self::Share => ("CPU", "% of a core", 3),
            Self::Busiest => ("the busiest worker's part", "%", 1),
            Self::WakeUps => ("wake-ups", "/s", 1),
            Self::Times => ("times one worker", "", 2),
            Self::Added => ("added", "%", 2),
            Self::Instructions => ("instructions a request", "thousand", 2),
            Self::Tick => ("tick of the judge", "ms", 2),
            Self::Changes => ("changes", "/s", 1),
        }
    }
}
