//! One trace, judged by everybody.

use std::time::Duration;

use switchback::rehearsal::{Replay, Scenario, Simulation, Truth};
use switchback::verdict::{Finding, Question, Rule, Watch};

use crate::limit::Limit;
use crate::reference::{Field, NAMES};
use crate::statistics::median;
use crate::workers::{Stop, on_all_cores};

/// One false revert a month.
pub(crate) fn rule() -> Rule {
    Rule { false_revert_every: Duration::from_hours(30 * 24), ..Rule::default() }
}

/// Whether other judges take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrants {
    Switchback,
    All,
}

/// A scenario and the traces of it that were judged.
pub(crate) struct Race {
    pub(crate) scenario: Scenario,
    pub(crate) traces: Vec<Trace>,
    /// The median delay of the limit.
    pub(crate) limit_s: f64,
}

/// What came of one trace. Times are in seconds since its start.
pub(crate) struct Trace {
    seed: u64,
    pub(crate) found: Option<Found>,
    others_s: Vec<Option<f64>>,
}

/// What the judge found.
pub(crate) struct Found {
    at_s: f64,
    pub(crate) question: Question,
    pub(crate) route: String,
}

/// How one judge did in one race.
pub(crate) struct Score {
    /// Traces on which it reverted without need.
    pub(crate) false_reverts: usize,
    /// Seconds from the change on all other traces; infinite where it never reverted.
    pub(crate) delays_s: Vec<f64>,
    /// Hours in which there was nothing to find.
    pub(crate) healthy_hours: f64,
}

/// Seconds in which other judges may find what is wrong: they look once in minutes.
const PATIENCE_S: f64 = 1_800.0;

/// Traces that the limit is taken from.
const LIMIT_SEEDS: u64 = 25;

/// Plays each scenario with so many seeds, on all cores.
pub(crate) fn run(
    scenarios: Vec<Scenario>,
    first: u64,
    seeds: u64,
    entrants: Entrants,
    stop: &Stop,
) -> Vec<Race> {
    let scenarios: Vec<Scenario> =
        scenarios.into_iter().map(|scenario| scenario_for(scenario, entrants)).collect();
    let limits = on_all_cores(scenarios.len(), stop, |place| limit_s(&scenarios[place], first));
    let seeds = usize::try_from(seeds).unwrap_or(1);
    let played = on_all_cores(scenarios.len() * seeds, stop, |place| {
        let (scenario, seed) = (&scenarios[place / seeds], first + (place % seeds) as u64);
        let trace = Trace::play(scenario, seed, entrants);
        eprintln!("{} {}", scenario.name, trace.told());
        trace
    });
    let mut played = played.into_iter();
    let mut traces = || played.by_ref().take(seeds).flatten().collect();
    let races = scenarios.into_iter().zip(limits);
    races
        .map(|(scenario, limit)| Race { traces: traces(), limit_s: limit.unwrap_or(f64::NAN), scenario })
        .collect()
}

/// The median over more traces than are judged, because they cost little.
fn limit_s(scenario: &Scenario, first: u64) -> f64 {
    let Some(limit) = Limit::of(scenario, rule().promise_s()) else { return f64::NAN };
    let delay_s = |seed| limit.delay_s(scenario, seed).unwrap_or(f64::INFINITY);
    median(&(first..first + LIMIT_SEEDS).map(delay_s).collect::<Vec<f64>>())
}

fn scenario_for(mut scenario: Scenario, entrants: Entrants) -> Scenario {
    if let (Truth::Worse { from_s }, Entrants::All) = (scenario.truth, entrants) {
        scenario.lasts_s = scenario.lasts_s.max(from_s + PATIENCE_S);
    }
    scenario
}

impl Trace {
    fn play(scenario: &Scenario, seed: u64, entrants: Entrants) -> Self {
        let mut field = (entrants == Entrants::All).then(|| Field::new(scenario.weight, rule().promise_s()));
        let mut replay = Replay::new(rule());
        let simulation = Simulation::new(scenario.clone(), seed);
        let routes = simulation.routes().clone();
        let mut found = None;
        let mut note = |watch: &Watch, finding: Finding| {
            let route = finding.stratum.map(|stratum| watch.strata().name(stratum).unwrap_or("other"));
            let route = route.unwrap_or("all").to_owned();
            found = Some(Found { at_s: finding.at.seconds(), question: finding.question, route });
            false
        };
        let mut goes_on = true;
        for request in simulation {
            if let Some(field) = &mut field {
                field.take(&request);
            } else if !goes_on {
                break;
            }
            goes_on = goes_on && replay.take(&request, &routes, &mut note);
        }
        if goes_on {
            replay.end(&routes, &mut note);
        }
        Self { seed, found, others_s: field.map(|field| field.found_s()).unwrap_or_default() }
    }

    fn told(&self) -> String {
        let seed = self.seed;
        match &self.found {
            Some(Found { at_s, question, route }) => {
                format!("seed {seed}: {} on {route} at {at_s:.1} s", question.as_str())
            }
            None => format!("seed {seed}: nothing"),
        }
    }
}

impl Race {
    /// When Kubernetes becomes worse, if it does.
    pub(crate) fn change_s(&self) -> Option<f64> {
        match self.scenario.truth {
            Truth::Worse { from_s } => Some(from_s),
            Truth::Hold => None,
        }
    }

    /// How the judge did.
    pub(crate) fn score(&self) -> Score {
        self.score_of(|trace| trace.found.as_ref().map(|found| found.at_s))
    }

    /// How the others did, in the order of [`NAMES`].
    pub(crate) fn other_scores(&self) -> Vec<Score> {
        (0..NAMES.len())
            .map(|place| self.score_of(|trace| trace.others_s.get(place).copied().flatten()))
            .collect()
    }

    /// What the judge found it by, each answer once.
    pub(crate) fn answers(&self) -> Vec<&'static str> {
        let found = self.traces.iter().filter_map(|trace| trace.found.as_ref());
        let mut answers: Vec<&str> = found.map(|found| found.question.as_str()).collect();
        answers.sort_unstable();
        answers.dedup();
        answers
    }

    fn score_of(&self, found_s: impl Fn(&Trace) -> Option<f64>) -> Score {
        let mut score = Score { false_reverts: 0, delays_s: Vec::new(), healthy_hours: 0.0 };
        let healthy_s = self.change_s().unwrap_or(self.scenario.lasts_s);
        for trace in &self.traces {
            match found_s(trace) {
                Some(at_s) if at_s < healthy_s => {
                    score.false_reverts += 1;
                    score.healthy_hours += at_s / 3_600.0;
                    continue;
                }
                // To the millisecond, which is as exact as time is told.
                Some(at_s) if self.change_s().is_some() => {
                    score.delays_s.push(((at_s - healthy_s) * 1e3).round() / 1e3);
                }
                _ if self.change_s().is_some() => score.delays_s.push(f64::INFINITY),
                _ => {}
            }
            score.healthy_hours += healthy_s / 3_600.0;
        }
        score
    }
}

impl Score {
    /// The median delay; not a number if there is none.
    pub(crate) fn median_s(&self) -> f64 {
        median(&self.delays_s)
    }
}
