use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::compare::load::Load;
use crate::generate::{Generated, Speaks};
use crate::peers::Peer;
use crate::world::{Cores, World};

use super::callgrind::Callgrind;
use super::profile::Profile;
use super::{allocations, system_calls};

/// What a request takes.
#[derive(Default)]
pub(crate) struct Counted {
    /// Instructions of the worker's thread.
    pub(crate) each: f64,
    /// Of all other threads.
    pub(crate) elsewhere: f64,
    /// What all threads do in a second, whether or not there are requests.
    pub(crate) by_the_clock: f64,
    pub(crate) allocations: f64,
    pub(crate) frees: f64,
    pub(crate) system_calls: f64,
    /// What the worker's thread did for `requests`.
    pub(crate) profile: Profile,
    pub(crate) requests: u64,
}

/// Valgrind takes its time.
const STARTING: Duration = Duration::from_mins(3);
/// Until everything has been done that is done once.
const WARM_UPS: u64 = 2;
/// The pace of the second phase, as a part of the first's.
const SLOW: f64 = 0.25;

/// Counts, with so many requests in each phase.
pub(crate) fn count(switchback: &Path, cores: &Cores, load: &Load, requests: u64) -> anyhow::Result<Counted> {
    let requests = if load.is_large() { requests.div_ceil(10) } else { requests };
    let mut world = World::new(switchback, cores, 1)?;
    let (mut callgrind, command) = Callgrind::prepare(&mut world)?;
    world.start_as(Peer::Switchback, &command)?;
    world.wait(Peer::Switchback, Speaks::Http1, STARTING)?;
    for _ in 0..WARM_UPS {
        ask(&mut world, load, &["--requests".to_owned(), requests.to_string()])?;
    }
    callgrind.phase(&world)?;
    let fast = ask(&mut world, load, &["--requests".to_owned(), requests.to_string()])?;
    let at_once = callgrind.phase(&world)?;
    let pace = requests as f64 / fast.seconds * SLOW;
    let seconds = requests as f64 / pace;
    let slow = ask(
        &mut world,
        load,
        &["--rate".to_owned(), pace.to_string(), "--seconds".to_owned(), seconds.to_string()],
    )?;
    let in_time = callgrind.phase(&world)?;
    drop(world);

    let worker = solve(
        [at_once.worker().total(), in_time.worker().total()],
        [fast.answered, slow.answered],
        [fast.seconds, slow.seconds],
    );
    let all = solve(
        [at_once.total(), in_time.total()],
        [fast.answered, slow.answered],
        [fast.seconds, slow.seconds],
    );
    let profile = at_once.worker().clone();
    let (allocated, freed) = allocations::count(&profile);
    Ok(Counted {
        each: worker.0,
        elsewhere: all.0 - worker.0,
        by_the_clock: all.1,
        allocations: allocated as f64 / requests as f64,
        frees: freed as f64 / requests as f64,
        system_calls: system_calls::count(switchback, cores, load, requests)?,
        profile,
        requests,
    })
}

/// `counted = requests × each + seconds × by the clock`, for both phases: what is `each`, and what `by the clock`.
fn solve(counted: [u64; 2], requests: [u64; 2], seconds: [f64; 2]) -> (f64, f64) {
    // For a request, with what is done meanwhile by the clock; and how long that took.
    let all = [0, 1].map(|phase| counted[phase] as f64 / requests[phase] as f64);
    let took = [0, 1].map(|phase| seconds[phase] / requests[phase] as f64);
    let by_the_clock = (all[1] - all[0]) / (took[1] - took[0]);
    (all[0] - took[0] * by_the_clock, by_the_clock)
}

/// Asks, and makes sure that nothing has failed.
pub(super) fn ask(world: &mut World, load: &Load, how: &[String]) -> anyhow::Result<Generated> {
    let port = Peer::Switchback.port(world, load.speaks);
    let told = load.generate(world, port, how).context("the load generator")?;
    ensure!(told.failed == 0, "{} requests failed: {}", told.failed, told.first_failure.unwrap_or_default());
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_by_the_clock_is_told_from_what_is_done_for_a_request() {
        // 30,000 each, and a million a second.
        let (each, by_the_clock) = solve([31_000_000, 34_000_000], [1_000, 1_000], [1.0, 4.0]);
        assert!((each - 30_000.0).abs() < 1e-6 && (by_the_clock - 1e6).abs() < 1e-6);
    }
}
