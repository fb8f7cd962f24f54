//! How well the judge judges: its delays beside what is possible and beside other judges, how often it reverts
//! without need, and what it costs.
//!
//! ```text
//! cargo bench --bench verdict                      the delay table: every scenario, five seeds
//! cargo bench --bench verdict -- --references      the same traces, judged by others too
//! cargo bench --bench verdict -- --calibration     a thousand service-weeks with nothing to find: hours;
//!                                               with --write it can be interrupted, and goes on where it was
//! cargo bench --bench verdict -- --limits          the limit alone
//! cargo bench --bench verdict -- --ticks           what a tick costs
//! ```
//!
//! Everything but `--ticks` is the same, byte by byte, for the same seeds. `--write` keeps it in `results`.

mod alias;
mod calibration;
mod delays;
mod evidence;
mod ledger;
mod limit;
mod plot;
mod race;
mod reference;
mod report;
mod statistics;
mod ticks;
mod traffic;
mod weather;
mod workers;

use std::io::{self, Write as _};

use clap::Parser;
use switchback::rehearsal::{Scenario, scenarios};

use ledger::Ledger;
use race::Entrants;
use report::publish;
use workers::Stop;

#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Options {
    /// Judge the traces by others too, and draw pictures.
    #[arg(long)]
    references: bool,
    /// Play service-weeks with nothing to find, and the knob test.
    #[arg(long)]
    calibration: bool,
    /// Print how soon anybody could have known.
    #[arg(long)]
    limits: bool,
    /// Measure what a tick costs.
    #[arg(long)]
    ticks: bool,
    /// Keep results in benches/verdict/results.
    #[arg(long)]
    write: bool,
    /// Traces of each scenario.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first of their seeds. Those below 1,000 were used to design the judge.
    #[arg(long, default_value_t = 1_001)]
    first: u64,
    /// Scenarios by parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Service-weeks of the calibration.
    #[arg(long, default_value_t = 1_000)]
    weeks: usize,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let stop = Stop::on_signals()?;
    if options.ticks {
        return io::stdout().write_all(ticks::report().as_bytes());
    }
    if options.limits {
        let text = limit::report(&options.scenarios(), &options.seeds(), race::rule().promise_s(), &stop);
        return io::stdout().write_all(text.as_bytes());
    }
    if options.calibration {
        return options.calibrate(&stop);
    }
    options.race(&stop)
}

impl Options {
    fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |scenario: &Scenario| {
            self.only.is_empty() || self.only.iter().any(|part| scenario.name.contains(part.as_str()))
        };
        scenarios().into_iter().filter(wanted).collect()
    }

    fn seeds(&self) -> Vec<u64> {
        (self.first..self.first + self.seeds).collect()
    }

    /// What holds for all traces.
    fn how(&self) -> String {
        let last = self.first + self.seeds - 1;
        format!(
            "One false revert in 30 days is promised; all else is as by default. Seeds {} to {last}. Base failures \
             are 0.1 %, latencies log-normal, on five routes; 200 requests a second at weight 50 unless it says so.",
            self.first
        )
    }

    fn race(&self, stop: &Stop) -> io::Result<()> {
        let entrants = if self.references { Entrants::All } else { Entrants::Switchback };
        let races = race::run(self.scenarios(), self.first, self.seeds, entrants, stop);
        if !self.references {
            return publish("delays.md", "Delays", &self.how(), &delays::report(&races), self.write);
        }
        let body = report::references(&races);
        publish("references.md", "Beside other judges", &self.how(), &body, self.write)?;
        if self.write {
            report::keep("delays.svg", &plot::delays(&races))?;
            report::keep("evidence.svg", &plot::evidence(&evidence::courses(self.first)))?;
        }
        Ok(())
    }

    fn calibrate(&self, stop: &Stop) -> io::Result<()> {
        let how = format!("One false revert in 30 days is promised. Seeds from {}.", self.first);
        let knob = calibration::knob_report();
        let ledger = if self.write { Ledger::open(calibration::fingerprint())? } else { Ledger::in_memory() };
        let weeks = calibration::report(self.weeks, self.first, &ledger, stop)?;
        let body = format!(
            "{weeks}\n## The knob\n\nOne false revert in 10 minutes is promised; 100 requests a second.\n\n{knob}"
        );
        publish("calibration.md", "Calibration", &how, &body, self.write)
    }
}
