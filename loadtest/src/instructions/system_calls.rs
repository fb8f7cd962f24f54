use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::compare::load::Load;
use crate::peers::{Peer, program};
use crate::process::Process;
use crate::world::{Cores, World};

use super::count::ask;

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// System calls of the worker's thread a request.
pub(super) fn count(switchback: &Path, cores: &Cores, load: &Load, requests: u64) -> anyhow::Result<f64> {
    let mut world = World::new(switchback, cores, 1)?;
    world.start(Peer::Switchback)?;
    let how = ["--requests".to_owned(), requests.to_string()];
    ask(&mut world, load, &how)?;
    let threads = world.process(Peer::Switchback)?.usage_of("worker-");
    let (folder, _) = threads.first().context("there is a worker")?;
    let thread = folder.rsplit('/').next().context("a thread has a number")?.to_owned();
    let (out, log) = (world.path("strace.out"), world.path("strace.log"));
    let out = out.display().to_string();
    let strace = [&program("strace")?, "-c", "-o", &out, "-p", &thread];
    let mut tracer = Process::start("strace", &cores.load, &strace, &log)?;
    // It says so when it has begun.
    wait(|| std::fs::read_to_string(&log).is_ok_and(|said| said.contains("attached")))?;
    ask(&mut world, load, &how)?;
    tracer.signal(Signal::INT);
    wait(|| tracer.has_ended())?;
    total(&std::fs::read_to_string(out)?).map(|total| total as f64 / requests as f64)
}

/// The last line of strace's table: `100.00    0.123456           1     12345        67 total`.
fn total(said: &str) -> anyhow::Result<u64> {
    let line =
        said.lines().rev().find(|line| line.ends_with(" total")).context("strace has counted nothing")?;
    line.split_whitespace().nth(3).and_then(|count| count.parse().ok()).context("strace says no number")
}

fn wait(mut until: impl FnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !until() {
        ensure!(begun.elapsed() < PATIENCE, "strace does not do what it should");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_with_or_without_errors_among_them() {
        let with = "% time     seconds  usecs/call     calls    errors syscall\n100.00    0.1           1     120        7 total\n";
        assert_eq!(total(with).unwrap(), 120);
        assert_eq!(total("100.00    0.1           1     99           total\n").unwrap(), 99);
    }
}
