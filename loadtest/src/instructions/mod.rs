//! What a request takes, counted and not timed: instructions, allocations and system calls. They are the same on a busy
//! machine as on a quiet one, to within some parts of a thousand.
//!
//! # How it is counted
//!
//! *Instructions* are callgrind's, outside the kernel, of the program as it ships. It is started under valgrind and asked
//! until it is warm. Then callgrind starts to count anew, and there are `n` requests as fast as it takes them, and `n` more at
//! a quarter of that pace. Valgrind makes a program some fifty times as slow, so what it does by the clock (looking through
//! waits, reporting to control) would count for fifty times as much as it does. With two paces it can be told from what it
//! does for a request: `counted = requests × each + seconds × by the clock`, twice.
//!
//! *Allocations* are calls of the allocator by anything that is not part of it, in the same data. No other allocator needs to
//! be built in. *System calls* are strace's, of the worker's thread, without valgrind; strace makes them slow, so that a
//! worker finds more to do each time that it looks, and waits less often than it would.
//!
//! A *flame graph* is drawn from callgrind's data. It knows who calls whom how often and at what cost, but not by way of whom:
//! where a function has several callers, what it calls is dealt to them in proportion.

mod allocations;
mod bounds;
mod callgrind;
mod commits;
mod count;
mod flame;
mod profile;
mod system_calls;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::compare::load::Load;
use crate::compare::{Build, build, install_for_counting, load_of, split};

use bounds::Bounds;
pub(crate) use count::{Counted, count};

/// What is counted, and of which programs.
#[derive(Args, Debug)]
pub(crate) struct Instructions {
    /// Scenarios, as `loadtest/compare --list` names them. Default: h1-64, tls-h1, tls-h2, grpc, connect, connect-tls, post-64k,
    /// answers-1m.
    scenarios: Vec<String>,
    /// Compares two commits: builds both, and prints what has changed.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with = "write")]
    commits: Vec<String>,
    /// Counts this program, and builds none.
    #[arg(long, value_name = "FILE", conflicts_with = "commits")]
    switchback: Option<PathBuf>,
    /// Requests that are counted in each phase; of large ones and of handshakes a tenth.
    #[arg(long, default_value_t = 4_000)]
    requests: u64,
    /// Prints so many functions of each scenario, the most expensive first.
    #[arg(long, default_value_t = 0, value_name = "N")]
    functions: usize,
    /// Draws a flame graph of each scenario into this folder.
    #[arg(long, value_name = "DIR")]
    flames: Option<PathBuf>,
    /// Keeps the table in benches/instructions/results.md, flame graphs beside it, and bounds that are 3 % above what was
    /// counted.
    #[arg(long, conflicts_with = "scenarios")]
    write: bool,
    /// Fails if a request takes more than benches/instructions/bounds.json allows.
    #[arg(long, conflicts_with_all = ["write", "commits"])]
    check: bool,
}

/// Everything whose cost is a request's.
const SCENARIOS: [&str; 8] =
    ["h1-64", "tls-h1", "tls-h2", "grpc", "connect", "connect-tls", "post-64k", "answers-1m"];
/// Where results are kept.
const RESULTS: &str = "benches/instructions";
const BOUNDS: &str = "benches/instructions/bounds.json";

impl Instructions {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let names: Vec<&str> = if self.scenarios.is_empty() {
            SCENARIOS.to_vec()
        } else {
            self.scenarios.iter().map(String::as_str).collect()
        };
        let loads =
            names.iter().map(|name| Ok((*name, load_of(name)?))).collect::<anyhow::Result<Vec<_>>>()?;
        install_for_counting()?;
        if let [before, after] = &self.commits[..] {
            return commits::compare([before, after], &loads, self.requests);
        }
        let program = match &self.switchback {
            Some(program) => program.clone(),
            None => build(Build::AsItShips)?,
        };
        if self.check { self.check(&program, &loads) } else { self.tell(&program, &loads) }
    }

    /// Counts, and prints what was counted.
    fn tell(&self, program: &Path, loads: &[(&str, Load)]) -> anyhow::Result<()> {
        let mut text = HEAD.to_owned();
        print!("{HEAD}");
        let mut bounds = Bounds::default();
        let flames = self.flames.clone().or_else(|| self.write.then(|| PathBuf::from(RESULTS)));
        for (name, load) in loads {
            let counted = self.count(program, name, load)?;
            let row = row(name, &counted);
            print!("{row}");
            text += &row;
            bounds.set(name, &counted);
            print!("{}", counted.profile.most_expensive(self.functions, counted.requests));
            if let Some(folder) = &flames {
                fs::create_dir_all(folder)?;
                let picture = flame::draw(&counted.profile, &format!("{name}: instructions of the worker"));
                fs::write(folder.join(format!("{name}.svg")), picture)?;
            }
        }
        if self.write {
            fs::write(Path::new(RESULTS).join("results.md"), format!("{ABOUT}{text}"))?;
            bounds.write(Path::new(BOUNDS))?;
        }
        Ok(())
    }

    /// Counts, and fails where it is too much; all is told first.
    fn check(&self, program: &Path, loads: &[(&str, Load)]) -> anyhow::Result<()> {
        let bounds = Bounds::read(Path::new(BOUNDS))?;
        let mut too_much = Vec::new();
        print!("{HEAD}");
        for (name, load) in loads {
            let counted = self.count(program, name, load)?;
            print!("{}", row(name, &counted));
            match bounds.check(name, &counted) {
                Ok(said) => said.into_iter().for_each(|said| println!("\n{said}\n")),
                Err(error) => too_much.push(format!("{error:#}")),
            }
        }
        ensure!(too_much.is_empty(), "requests take too much:\n{}", too_much.join("\n"));
        Ok(())
    }

    fn count(&self, program: &Path, name: &str, load: &Load) -> anyhow::Result<Counted> {
        count(program, &split(), load, self.requests).with_context(|| name.to_owned())
    }
}

const ABOUT: &str = "# What a request takes\n\nCounted by `benches/instructions/run`, whose program says how \
                     (`loadtest/src/instructions/mod.rs`).\n\n";
const HEAD: &str = "\
| | instructions a request | in other threads | by the clock, million a second | allocations | frees | system calls |
|---|---:|---:|---:|---:|---:|---:|
";

fn row(name: &str, counted: &Counted) -> String {
    let Counted { each, elsewhere, by_the_clock, allocations, frees, system_calls, .. } = counted;
    format!(
        "| {name} | {each:.0} | {elsewhere:.0} | {:.2} | {allocations:.2} | {frees:.2} | {system_calls:.2} |\n",
        by_the_clock / 1e6
    )
}
