use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::in_words;
use crate::rehearsal::{
    Conduct, Decision, DecisionRecord, HEADER, Hearing, Scenario, Simulation, Truth, scenarios,
};
use crate::verdict::{Hindrance, Rule};

use super::Failure;
use super::complete;
use super::judged_by::JudgedBy;
use super::print::{Cell, Column, Lines, Screen, say, table};

/// Arguments of `simulate`.
#[derive(Args, Debug)]
pub(super) struct Simulate {
    /// Scenarios by name, or `all`. Without any, they are listed.
    #[arg(value_name = "SCENARIO", add = complete::scenarios())]
    names: Vec<String>,
    /// Lists the scenarios, each with what happens in it.
    #[arg(long, conflicts_with_all = ["names", "write"])]
    list: bool,
    /// The seed: the same one gives the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plays each scenario this often, with one seed after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000), conflicts_with = "write")]
    seeds: u32,
    /// Requests a second, instead of the scenario's.
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
    /// The percentage of requests that go to Kubernetes, instead of the scenario's.
    #[arg(long, value_name = "PERCENT", value_parser = super::weight::parse_percent)]
    weight: Option<f64>,
    #[command(flatten)]
    judged_by: JudgedBy,
    /// Writes one scenario's requests as a trace, and judges nothing; `-` writes to standard output.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Prints one line of JSON for each scenario.
    #[arg(long)]
    json: bool,
}

/// The name that stands for every scenario.
const ALL: &str = "all";

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let chosen = self.chosen()?;
        match (&self.write, chosen.as_slice()) {
            (Some(path), [scenario]) => write(scenario, self.seed, Lines::to(path)?),
            (Some(_), _) => Err(Failure::Refused("--write takes the name of one scenario".to_owned())),
            (None, _) if self.list || chosen.is_empty() => self.show_list(),
            (None, _) => self.judge(&chosen),
        }
    }

    fn chosen(&self) -> Result<Vec<Scenario>, Failure> {
        let mut all = scenarios();
        if self.names.iter().any(|name| name == ALL) {
            return Ok(all.into_iter().map(|scenario| self.adapt(scenario)).collect());
        }
        let mut chosen = Vec::new();
        for name in &self.names {
            let Some(place) = all.iter().position(|scenario| scenario.name == *name) else {
                // One that was named before is no longer in the list.
                if chosen.iter().any(|scenario: &Scenario| scenario.name == *name) {
                    continue;
                }
                return Err(Failure::Refused(unknown(name, &all)));
            };
            chosen.push(self.adapt(all.remove(place)));
        }
        Ok(chosen)
    }

    fn adapt(&self, scenario: Scenario) -> Scenario {
        scenario.what_if(self.rate, self.weight.map(|percent| percent / 100.0))
    }

    fn seeds(&self) -> Result<RangeInclusive<u64>, Failure> {
        let more = u64::from(self.seeds) - 1;
        let last = self.seed.checked_add(more).ok_or_else(|| {
            let most = u64::MAX - more;
            Failure::Refused(format!(
                "--seeds {} goes past the last seed: --seed is at most {most}",
                self.seeds
            ))
        })?;
        Ok(self.seed..=last)
    }

    fn show_list(&self) -> Result<(), Failure> {
        let all: Vec<Scenario> = scenarios().into_iter().map(|scenario| self.adapt(scenario)).collect();
        if self.json {
            let mut out = Lines::to_standard_output();
            return all.iter().try_for_each(|scenario| out.json(&ScenarioRecord::new(scenario)));
        }
        let columns = [
            Column::stays("SCENARIO"),
            Column::goes(3, "REQUESTS"),
            Column::goes(4, "WEIGHT"),
            Column::shortens(1, "WHAT HAPPENS"),
            Column::shortens(2, "WHAT MUST FOLLOW"),
        ];
        let row = |scenario: &Scenario| {
            Cell::row(vec![
                scenario.name.clone(),
                format!("{}/s", scenario.per_second),
                format!("{}", percent(scenario)),
                scenario.about.clone(),
                must(scenario),
            ])
        };
        say(&table(&columns, &all.iter().map(row).collect::<Vec<_>>(), &Screen::of_output()));
        say("\n`switchback simulate SCENARIO…` judges them, `switchback simulate all` every one");
        Ok(())
    }

    fn judge(&self, chosen: &[Scenario]) -> Result<(), Failure> {
        // A story shows what would be found, whatever the service then makes of it.
        let rule = self.judged_by.judge()?.rule;
        let seeds = self.seeds()?;
        let jobs: Vec<_> = chosen.iter().flat_map(|s| seeds.clone().map(move |seed| (s, seed))).collect();
        let played = play_all(&jobs, rule)?;
        let by_scenario = chosen.iter().zip(played.chunks(self.seeds as usize));
        if self.json {
            let mut out = Lines::to_standard_output();
            for (scenario, runs) in by_scenario {
                let runs = runs.iter().map(|played| RunRecord::new(played, scenario)).collect();
                out.json(&ScenarioRecord { runs: Some(runs), ..ScenarioRecord::new(scenario) })?;
            }
            return Ok(());
        }
        let columns = [
            Column::stays("SCENARIO"),
            Column::shortens(1, "WHAT HAPPENS"),
            Column::shortens(2, "WHAT MUST FOLLOW"),
            Column::shortens(3, "WHAT WAS FOUND"),
            Column::stays("AFTER"),
        ];
        let row = |(scenario, runs): (&Scenario, &[Played])| {
            Cell::row(vec![
                scenario.name.clone(),
                scenario.about.clone(),
                must(scenario),
                found(runs, scenario),
                after(runs, scenario),
            ])
        };
        say(&table(&columns, &by_scenario.map(row).collect::<Vec<_>>(), &Screen::of_output()));
        Ok(())
    }
}

/// A scenario that was played once.
struct Played {
    seed: u64,
    requests: u64,
    decision: Option<Decision>,
}

fn play(scenario: &Scenario, seed: u64, rule: Rule) -> Played {
    let mut hearing = Hearing::new(rule, Conduct::Revert);
    let mut simulation = Simulation::new(scenario.clone(), seed);
    let routes = simulation.routes().clone();
    let (mut decision, mut requests) = (None, 0);
    let mut note = |decided: &Decision| decision = Some(decided.clone());
    while !hearing.is_over() {
        let Some(request) = simulation.next() else {
            hearing.end(&routes, &mut note);
            break;
        };
        requests += 1;
        hearing.take(&request, &routes, &mut note);
    }
    Played { seed, requests, decision }
}

/// Plays them on all cores, and gives back what they came to in their order.
fn play_all(jobs: &[(&Scenario, u64)], rule: Rule) -> Result<Vec<Played>, Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = Mutex::new(jobs.iter().enumerate());
    let take = || next.lock().ok().and_then(|mut next| next.next());
    let work = || {
        std::iter::from_fn(take)
            .map(|(place, (scenario, seed))| (place, play(scenario, *seed, rule)))
            .collect::<Vec<_>>()
    };
    let parts = thread::scope(|scope| {
        let threads: Result<Vec<_>, _> = (0..cores)
            .map(|core| thread::Builder::new().name(format!("play-{core}")).spawn_scoped(scope, work))
            .collect();
        let parts = threads.map_err(anyhow::Error::from)?.into_iter().map(|thread| {
            thread.join().map_err(|_| Failure::Other(anyhow::anyhow!("a scenario could not be played")))
        });
        parts.collect::<Result<Vec<_>, Failure>>()
    })?;
    let mut played: Vec<(usize, Played)> = parts.into_iter().flatten().collect();
    played.sort_unstable_by_key(|(place, _)| *place);
    Ok(played.into_iter().map(|(_, played)| played).collect())
}

fn write(scenario: &Scenario, seed: u64, mut out: Lines) -> Result<(), Failure> {
    let mut simulation = Simulation::new(scenario.clone(), seed);
    let mut line = format!("{HEADER}\n");
    out.write(&line)?;
    while let Some(request) = simulation.next() {
        line.clear();
        request.write(simulation.routes(), &mut line);
        out.write(&line)?;
    }
    out.flush()
}

/// A scenario, and what was made of it, as programs read it.
#[derive(Serialize)]
struct ScenarioRecord<'a> {
    scenario: &'a str,
    about: &'a str,
    requests_per_second: f64,
    weight_percent: f64,
    lasts_s: f64,
    /// `hold` or `worse`.
    must: &'static str,
    /// From when on Kubernetes is worse.
    worse_from_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<Vec<RunRecord>>,
}

#[derive(Serialize)]
struct RunRecord {
    seed: u64,
    requests: u64,
    decision: Option<DecisionRecord>,
    /// From when Kubernetes is worse until that was found.
    delay_s: Option<f64>,
    /// Whether this is what must follow.
    right: bool,
    /// Why nothing could be found at this weight, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_never: Option<&'static str>,
}

impl<'a> ScenarioRecord<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let (must, worse_from_s) = match scenario.truth {
            Truth::Hold => ("hold", None),
            Truth::Worse { from_s } => ("worse", Some(from_s)),
        };
        Self {
            scenario: &scenario.name,
            about: &scenario.about,
            requests_per_second: scenario.per_second,
            weight_percent: percent(scenario),
            lasts_s: scenario.lasts_s,
            must,
            worse_from_s,
            runs: None,
        }
    }
}

impl RunRecord {
    fn new(played: &Played, scenario: &Scenario) -> Self {
        let outcome = Outcome::of(played, scenario.truth);
        Self {
            seed: played.seed,
            requests: played.requests,
            decision: played.decision.as_ref().map(Into::into),
            delay_s: if let Outcome::Found { after_s } = outcome { Some(after_s) } else { None },
            right: matches!(outcome, Outcome::Held | Outcome::Found { .. }),
            why_never: match outcome {
                Outcome::Missed => hindrance(scenario).map(Hindrance::in_words),
                Outcome::Held | Outcome::Found { .. } | Outcome::Wrong { .. } => None,
            },
        }
    }
}

/// What was found, against what is true.
#[derive(Clone, Copy)]
enum Outcome {
    /// Nothing, and nothing was wrong.
    Held,
    /// What was wrong, so long after it began.
    Found { after_s: f64 },
    /// Nothing, though Kubernetes was worse.
    Missed,
    /// Something, though Kubernetes was not worse.
    Wrong { at_s: f64 },
}

impl Outcome {
    fn of(played: &Played, truth: Truth) -> Self {
        let at_s = played.decision.as_ref().map(|decision| decision.finding.at.seconds());
        match (truth, at_s) {
            (Truth::Hold, None) => Self::Held,
            (Truth::Worse { .. }, None) => Self::Missed,
            (Truth::Worse { from_s }, Some(at_s)) if at_s >= from_s => Self::Found { after_s: at_s - from_s },
            (Truth::Hold | Truth::Worse { .. }, Some(at_s)) => Self::Wrong { at_s },
        }
    }
}

/// Nothing can be missed that nobody can see: both sides must be asked.
fn hindrance(scenario: &Scenario) -> Option<Hindrance> {
    if scenario.weight <= 0.0 {
        Some(Hindrance::NothingOnKubernetes)
    } else if scenario.weight >= 1.0 {
        Some(Hindrance::Blind)
    } else {
        None
    }
}

fn percent(scenario: &Scenario) -> f64 {
    (scenario.weight * 1e4).round() / 1e2
}

fn must(scenario: &Scenario) -> String {
    match scenario.truth {
        Truth::Hold => format!("nothing, in {}", words(scenario.lasts_s)),
        Truth::Worse { from_s } => {
            format!("worse from {} on, in {}", words(from_s), words(scenario.lasts_s - from_s))
        }
    }
}

/// What was found in all runs: each thing once, with how often it was if not always.
fn found(runs: &[Played], scenario: &Scenario) -> String {
    let mut things: Vec<(String, usize)> = Vec::new();
    for played in runs {
        let question = played.decision.as_ref().map_or("", |decision| decision.finding.question.as_str());
        let thing = match Outcome::of(played, scenario.truth) {
            Outcome::Held => "nothing".to_owned(),
            Outcome::Found { .. } => question.to_owned(),
            Outcome::Missed => hindrance(scenario).map_or("MISSED", Hindrance::in_words).to_owned(),
            Outcome::Wrong { at_s } => format!("WRONGLY {question} at {}", words(at_s)),
        };
        match things.iter_mut().find(|(other, _)| *other == thing) {
            Some((_, times)) => *times += 1,
            None => things.push((thing, 1)),
        }
    }
    let all = things.len() == 1;
    let told =
        things.into_iter().map(|(thing, times)| if all { thing } else { format!("{thing} ({times}×)") });
    told.collect::<Vec<_>>().join(", ")
}

/// How long it took: the median, and the range if there are several.
fn after(runs: &[Played], scenario: &Scenario) -> String {
    let mut delays: Vec<f64> = runs
        .iter()
        .filter_map(|played| match Outcome::of(played, scenario.truth) {
            Outcome::Found { after_s } => Some(after_s),
            Outcome::Held | Outcome::Missed | Outcome::Wrong { .. } => None,
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    match delays.as_slice() {
        [] => "–".to_owned(),
        [one] => words(*one),
        [first, .., last] => {
            format!("{} ({} to {})", words(delays[(delays.len() - 1) / 2]), words(*first), words(*last))
        }
    }
}

fn words(seconds: f64) -> String {
    in_words(Duration::from_secs_f64(seconds))
}

fn unknown(name: &str, all: &[Scenario]) -> String {
    let near = all.iter().map(|scenario| (strsim::jaro_winkler(name, &scenario.name), &scenario.name));
    let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
    let meant = near.map(|(_, meant)| format!("did you mean {meant}? ")).unwrap_or_default();
    format!("there is no scenario {name}: {meant}`switchback simulate` lists them")
}

/// Reads a rate of requests.
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| format!("requests a second, {} to {}", RATES.start(), RATES.end()))
}

/// Below, days pass between requests; above, a scenario is more than a core plays in a minute.
const RATES: RangeInclusive<f64> = 0.001..=100_000.0;
