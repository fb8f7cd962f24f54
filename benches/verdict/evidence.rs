//! How evidence comes and goes on a few traces.

use switchback::rehearsal::{Replay, Scenario, Simulation, Truth, scenarios};
use switchback::verdict::{Finding, Watch};

use crate::race::rule;

/// The evidence over one trace.
pub(crate) struct Course {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) change_s: Option<f64>,
    pub(crate) span_s: (f64, f64),
    /// Seconds, and the evidence as the judge tells it: 1 is a revert.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Some that end in a revert, and some that must not.
const SHOWN: [&str; 6] =
    ["errors-1", "slower-1.3", "errors-5-amid-trouble", "both-fail", "trouble-200", "tolerated-errors"];
/// How much of a trace is shown before the change; of one without a change, how much from then on.
const BEFORE_S: f64 = 30.0;
const SHOWN_S: f64 = 300.0;
const FROM_S: f64 = 570.0;

/// Plays them.
pub(crate) fn courses(seed: u64) -> Vec<Course> {
    let scenarios = scenarios();
    let shown = SHOWN.iter().filter_map(|name| scenarios.iter().find(|scenario| scenario.name == *name));
    shown.map(|scenario| Course::play(scenario, seed)).collect()
}

impl Course {
    fn play(scenario: &Scenario, seed: u64) -> Self {
        let change_s = match scenario.truth {
            Truth::Worse { from_s } => Some(from_s),
            Truth::Hold => None,
        };
        let from_s = change_s.map_or(FROM_S, |change_s| change_s - BEFORE_S);
        let simulation = Simulation::new(scenario.clone(), seed);
        let routes = simulation.routes().clone();
        let mut replay = Replay::new(rule());
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut found_s = None;
        for request in simulation {
            let mut note = |_: &Watch, finding: Finding| {
                found_s = Some(finding.at.seconds());
                false
            };
            let goes_on = replay.take(&request, &routes, &mut note);
            let now_s = replay.now().seconds();
            if now_s >= from_s && points.last().is_none_or(|(last_s, _)| now_s - last_s >= 0.1) {
                points.push((now_s, replay.standing().evidence));
            }
            if !goes_on || now_s >= from_s + SHOWN_S {
                break;
            }
        }
        if let Some(found_s) = found_s {
            points.push((found_s, 1.0));
        }
        let to_s = points.last().map_or(from_s + 1.0, |(last_s, _)| *last_s);
        let about = if found_s.is_some() { "reverted" } else { "held" };
        Self {
            name: scenario.name.clone(),
            about: about.to_owned(),
            change_s,
            span_s: (from_s, to_s),
            points,
        }
    }
}
