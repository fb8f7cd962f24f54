//! Switchback and its peers under the same load, in turns.
//!
//! # How it is measured
//!
//! Each proxy has one thread, and that a core to itself. The load generator and the endpoints share another core. Proxies
//! run all the time, but are under load one after the other, for a second or two each; rounds begin with another one each
//! time. So what else the machine does falls on all of them, and a ratio is that of one round: it is the median of the
//! rounds' ratios that counts, with its quartiles beside it. Rounds in which something else took part of the machine are
//! measured again, up to as many as were asked for; the least disturbed ones are kept.
//!
//! *CPU a request* is what the kernel says that all threads of the proxy have used, over the requests that were answered, at
//! as much load as one core of load generator and endpoints can make, which may be less than a proxy could take. wrk makes
//! it for HTTP/1.1, h2load for HTTP/2. *Latencies* are at a steady rate, half of that at which the slowest peer is saturated,
//! from when a request was due: see `generate`. A single failed request makes a proxy's figures worthless, and is told.
//!
//! # What is equal, and what is not
//!
//! The split (half to each of two sides, by chance or by a hash), two endpoints a side, least requests in flight, keep-alive to
//! endpoints without a bound that would be reached, `X-Forwarded-For`, no access log, the same time limits, TLS 1.3 with
//! X25519, AES-128-GCM and one certificate (ECDSA, P-256), without resumption. Endpoints are checked every 5 s (not by nginx,
//! which cannot). Switchback runs as it ships: its judge, metrics, limits and rescue are on. Peers have nothing of the
//! kind to switch on. All settings are in `loadtest/settings`, Envoy's in `loadtest/src/peers/envoy.rs`.

mod admin;
mod flips;
mod idle;
mod install;
mod judge_cost;
pub(crate) mod load;
mod machine;
mod saturation;
mod scenario;
mod services;
mod sidecar;
mod workers;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::peers::Peer;
use crate::report::{self, Outcome};
use crate::world::Cores;

use scenario::{SCENARIOS, Scenario};

pub(crate) use install::{Build, build, build_commit, checked, install, install_for_counting};
pub(crate) use machine::{Machine, split};
pub(crate) use saturation::warm_up;
pub(crate) use scenario::{load_of, loads};

/// What is compared, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Compare {
    /// A look within two minutes: one short round of each scenario but judge-cost. Nothing is written.
    #[arg(long)]
    quick: bool,
    /// Only these scenarios.
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each scenario. Default: 15, or 1 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: Option<u64>,
    /// Seconds of load on each proxy in a round. Default: 2, or 1 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: Option<u64>,
    /// Whom Switchback is compared with. Default: everybody.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Lists scenarios, and whom they are for.
    #[arg(long)]
    list: bool,
    /// Where results are written. Default: a folder of this day and machine in loadtest/results.
    #[arg(long, value_name = "DIR", conflicts_with = "quick")]
    into: Option<PathBuf>,
    /// Keeps what the folder has of other scenarios: some take programs, or an hour, of their own.
    #[arg(long, conflicts_with = "quick")]
    add: bool,
    /// Measures this program, and builds none.
    #[arg(long, value_name = "FILE")]
    switchback: Option<PathBuf>,
    /// The same for the program that counts and judges nothing.
    #[arg(long, value_name = "FILE")]
    without_judge: Option<PathBuf>,
}

/// What every scenario is given.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) switchback: PathBuf,
    /// The one that does not judge, if it is not to be built.
    pub(crate) without_judge: Option<PathBuf>,
    pub(crate) cores: Cores,
    pub(crate) rounds: u64,
    pub(crate) seconds: u64,
    pub(crate) peers: Vec<Peer>,
    /// Who could not be had, and why.
    pub(crate) without: Option<String>,
    pub(crate) is_quick: bool,
}

impl Compare {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if self.list {
            list();
            return Ok(());
        }
        let scenarios = self.scenarios()?;
        let setting = self.setting(&scenarios)?;
        let (mut outcomes, mut measured) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            println!("{}: {}", scenario.name, scenario.about);
            let outcome = scenario.run(&setting);
            print!("{}", report::figures(&outcome));
            outcomes.push(outcome);
        }
        if self.add {
            (measured, outcomes) = with_kept(&self.folder(&Machine::look()), outcomes)?;
        }
        let judged = report::judge(&outcomes);
        println!("\n{}", report::table(&judged));
        if !self.quick {
            let folder = self.write(&setting, measured, &outcomes)?;
            println!("written to {}", folder.display());
        }
        let invalid: Vec<String> = outcomes.iter().flat_map(Outcome::complaints).collect();
        ensure!(
            invalid.is_empty(),
            "these figures are worth nothing, as requests failed or it could not be measured:\n{}",
            invalid.join("\n")
        );
        Ok(())
    }

    fn scenarios(&self) -> anyhow::Result<Vec<&'static Scenario>> {
        for name in &self.only {
            if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
                let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
                bail!("there is no scenario {name}; there are {}", names.join(", "));
            }
        }
        let wanted = |scenario: &&Scenario| {
            if self.only.is_empty() {
                scenario.is_quick || !self.quick
            } else {
                self.only.iter().any(|name| name == scenario.name)
            }
        };
        Ok(SCENARIOS.iter().filter(wanted).collect())
    }

    fn setting(&self, scenarios: &[&Scenario]) -> anyhow::Result<Setting> {
        ensure!(machine::cores() >= 2, "it takes two cores: one for the proxy, one for the rest");
        ensure!(
            Path::new("loadtest/settings").is_dir(),
            "it is run in Switchback's own folder: loadtest/compare"
        );
        let asked = if self.peers.is_empty() { &Peer::ALL[..] } else { &self.peers };
        let needed: BTreeSet<Peer> =
            scenarios.iter().flat_map(|scenario| scenario.peers.iter().copied()).collect();
        // Switchback is measured whatever is asked for.
        let is_wanted = |peer: &Peer| *peer == Peer::Switchback || asked.contains(peer);
        let peers: Vec<Peer> = needed.into_iter().filter(is_wanted).collect();
        let missing = install(&peers)?;
        if let Some(why) = &missing {
            eprintln!("Envoy is left out: {why:#}");
        }
        let peers: Vec<Peer> =
            peers.into_iter().filter(|peer| *peer != Peer::Envoy || missing.is_none()).collect();
        let without = missing.map(|why| format!("Envoy is left out: {why:#}"));
        let switchback = match &self.switchback {
            Some(program) => program.clone(),
            None => build(Build::AsItShips)?,
        };
        let cores = split();
        pin(&cores.load)?;
        Ok(Setting {
            switchback,
            without_judge: self.without_judge.clone(),
            cores,
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 15 }),
            seconds: self.seconds.unwrap_or(if self.quick { 1 } else { 2 }),
            peers,
            without,
            is_quick: self.quick,
        })
    }

    fn folder(&self, machine: &Machine) -> PathBuf {
        let of_today = || {
            let today = jiff::Zoned::now().date();
            PathBuf::from(format!("loadtest/results/{today}-{}", machine.slug()))
        };
        self.into.clone().unwrap_or_else(of_today)
    }

    /// Writes what was found, of those who were measured earlier and now.
    fn write(
        &self,
        setting: &Setting,
        measured: Vec<String>,
        outcomes: &[Outcome],
    ) -> anyhow::Result<PathBuf> {
        let machine = Machine::look();
        let today = jiff::Zoned::now().date();
        let folder = self.folder(&machine);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut versions = install::versions(&setting.peers, &setting.switchback);
        if let Some(program) = &self.switchback {
            let _ = write!(versions[0], ", the program {}", program.display());
        }
        versions.extend(setting.without.clone());
        versions.retain(|version| !measured.contains(version));
        let versions = [measured, versions].concat();
        let about = report::About {
            date: today.to_string(),
            machine,
            versions,
            rounds: setting.rounds,
            seconds: setting.seconds,
        };
        let judged = report::judge(outcomes);
        fs::write(folder.join("README.md"), report::markdown(&about, outcomes, &judged))?;
        fs::write(folder.join("results.json"), report::json(&about, outcomes, &judged)?)?;
        for (name, picture) in report::pictures(outcomes) {
            fs::write(folder.join(name), picture)?;
        }
        Ok(folder)
    }
}

impl Setting {
    /// Those of a scenario's peers that are asked for.
    pub(crate) fn among(&self, peers: &[Peer]) -> Vec<Peer> {
        peers.iter().copied().filter(|peer| self.peers.contains(peer)).collect()
    }
}

/// Whom a folder is about, and what was found now, with what the folder has of all other scenarios.
fn with_kept(folder: &Path, found: Vec<Outcome>) -> anyhow::Result<(Vec<String>, Vec<Outcome>)> {
    let file = folder.join("results.json");
    let read = || anyhow::Ok(report::kept(&fs::read_to_string(&file)?)?);
    let (versions, kept) = read().with_context(|| format!("nothing can be added to {}", file.display()))?;
    let mut all = found;
    for scenario in &SCENARIOS {
        let is_new = all.iter().any(|outcome| outcome.scenario == scenario.name);
        if let Some(old) = kept.iter().find(|old| old.is_of(scenario.name)).filter(|_| !is_new) {
            all.push(old.clone().of(scenario.name, scenario.about));
        }
    }
    let place = |outcome: &Outcome| SCENARIOS.iter().position(|scenario| scenario.name == outcome.scenario);
    all.sort_by_key(place);
    Ok((versions, all))
}

/// This process and those that it starts without saying where stay on the load's core.
fn pin(core: &str) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core.parse()?);
    rustix::thread::sched_setaffinity(None, &set).context("cannot keep to one core")
}

fn list() {
    for scenario in &SCENARIOS {
        let peers: Vec<&str> = scenario.peers.iter().map(|peer| peer.name()).collect();
        println!("{:14} {}\n{:14} {}", scenario.name, scenario.about, "", peers.join(", "));
        if !scenario.others.is_empty() {
            println!("{:14} not: {}", "", scenario.others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figure;

    #[test]
    fn what_is_added_takes_the_place_of_what_was_there_and_leaves_the_rest() {
        let outcome = |scenario, number| {
            let mut outcome = Outcome { scenario, about: "x", ..Outcome::default() };
            outcome.add("switchback", Figure::Cpu, number);
            outcome
        };
        let folder = tempfile::tempdir().unwrap();
        let about = report::About {
            date: "2026-01-01".to_owned(),
            machine: Machine::look(),
            versions: vec!["one".to_owned()],
            rounds: 1,
            seconds: 1,
        };
        let earlier = [outcome("h1-64", 1.0), outcome("grpc", 2.0)];
        let written = report::json(&about, &earlier, &[]).unwrap();
        fs::write(folder.path().join("results.json"), written).unwrap();
        let (versions, all) =
            with_kept(folder.path(), vec![outcome("judge-cost", 4.0), outcome("grpc", 3.0)]).unwrap();
        assert_eq!(versions, ["one"]);
        let found: Vec<_> =
            all.iter().map(|all| (all.scenario, &all.figures["switchback"][&Figure::Cpu])).collect();
        assert_eq!(found, [("h1-64", &vec![1.0]), ("grpc", &vec![3.0]), ("judge-cost", &vec![4.0])]);
        assert!(with_kept(&folder.path().join("elsewhere"), Vec::new()).is_err());
    }
}
