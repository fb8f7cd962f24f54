//! What it costs to count and to judge: the same requests through Switchback as it ships, and through a build that does
//! neither. Instructions are counted, of all threads: what workers count, and what control makes of it.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::instructions::count;
use crate::report::{Figure, Outcome};

use super::install::{Build, build, install_for_counting};
use super::load::Load;
use super::scenario::STREAMS;
use super::{Setting, machine};

/// They differ by some parts of a thousand.
const ROUNDS: u64 = 3;
const REQUESTS: u64 = 4_000;
/// Over one protocol with cheap requests, and over one with dear ones. The bound is on the first.
const LOADS: [(&str, &str, Load); 2] =
    [("switchback", "without judge", Load::PLAIN), ("switchback, h2", "without judge, h2", STREAMS)];
/// How the line of the benchmark begins that is about the whole fleet.
const TICK: &str = "5000 services of 1 requests a second, in one tick";

pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    install_for_counting()?;
    let without = match &setting.without_judge {
        Some(program) => program.clone(),
        None => build(Build::WithoutJudge)?,
    };
    let (rounds, requests) =
        if setting.is_quick { (1, REQUESTS / 4) } else { (setting.rounds.min(ROUNDS), REQUESTS) };
    for _ in 0..rounds {
        for (who, without_who, load) in &LOADS {
            let mut taken = [0.0; 2];
            for (place, program) in [&setting.switchback, &without].into_iter().enumerate() {
                let counted = count(program, &machine::split(), load, requests)?;
                taken[place] = counted.each + counted.elsewhere;
            }
            outcome.add(who, Figure::Instructions, taken[0] / 1e3);
            outcome.add(without_who, Figure::Instructions, taken[1] / 1e3);
            outcome.add(who, Figure::Added, (taken[0] / taken[1] - 1.0) * 100.0);
        }
    }
    outcome.notes.push(
        "instructions outside the kernel, which does the larger part of a request's work and is not counted: \
         of the whole of a request it is less"
            .to_owned(),
    );
    if setting.is_quick {
        outcome.notes.push("no ticks: what measures them is yet to be built".to_owned());
        return Ok(());
    }
    outcome.add("switchback", Figure::Tick, tick()?);
    Ok(())
}

/// The slowest of many ticks over 5,000 services, as the judge's own benchmark finds it.
fn tick() -> anyhow::Result<f64> {
    let arguments = ["bench", "--locked", "--quiet", "--bench", "verdict", "--", "--ticks"];
    let output = Command::new("cargo").args(arguments).output().context("cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    slowest(&said).with_context(|| format!("the benchmark says nothing of {TICK}: {said}"))
}

/// `5000 services of 1 requests a second, in one tick   1.23 ms, the slowest tick 2.34 ms (bound 5)`
fn slowest(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.trim_start().strip_prefix(TICK))?;
    let (_, slowest) = line.split_once("slowest tick ")?;
    slowest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_tick_is_read_from_what_the_benchmark_says() {
        let said = "5000 services of 0.2 requests a second, in one tick    0.50 ms, the slowest tick 0.90 ms (bound 5)\n\
                    5000 services of 1 requests a second, in one tick      1.23 ms, the slowest tick 2.34 ms (bound 5)\n";
        assert_eq!(slowest(said), Some(2.34));
    }
}
