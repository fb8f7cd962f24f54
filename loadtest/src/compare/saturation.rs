//! As much load as each takes, in turns; and then a steady rate.

use crate::peers::Peer;
use crate::report::{Figure, Outcome};
use crate::world::World;

use super::Setting;
use super::load::{Answered, Load};
use super::machine::Moment;

/// One round: what came of each proxy, and how much of a core others took meanwhile.
struct Round<T> {
    runs: Vec<(Peer, T)>,
    others: f64,
}

/// What one proxy did in one round.
struct Run {
    answered: Answered,
    cpu_us: f64,
    /// The share of it outside the kernel.
    user: f64,
    memory_mib: f64,
}

/// A round of which others took so much of a core is measured again.
const DISTURBED: f64 = 0.1;
/// Requests before anything counts: as many again as there are connections, and these.
const WARM_UP: usize = 1_000;
/// What the steady rate is of that at which the slowest is saturated.
const STEADY: f64 = 0.5;
/// Latencies are measured in more rounds, each so much shorter. A machine that is shared stands still for some ms now and then, which
/// of a second is the slowest hundredth, whoever is measured: most of many short rounds are without.
const STEADY_ROUNDS: u64 = 5;
const WINDOW: f64 = 0.2;

pub(super) fn run(setting: &Setting, load: &Load, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut world = World::new(&setting.switchback, &setting.cores, 1)?;
    for peer in &setting.peers {
        world.start(*peer)?;
    }
    for peer in &setting.peers {
        warm_up(&mut world, *peer, load)?;
    }
    let rounds = rounds(setting, setting.rounds, &mut world, outcome, |world, peer| {
        saturate(world, peer, load, setting.seconds)
    })?;
    for (peer, run) in rounds.into_iter().flat_map(|round| round.runs) {
        keep(outcome, peer, &run);
    }
    let slowest = setting.peers.iter().filter_map(|peer| outcome.spread(peer.name(), Figure::Requests));
    let rate = slowest.map(|spread| spread.median).fold(f64::INFINITY, f64::min) * STEADY;
    outcome.notes.push(format!("latencies at {rate:.0} requests/s"));
    steady(setting, load, rate, &mut world, outcome)
}

/// Puts as much load on a proxy as it takes.
pub(super) fn saturate_and_keep(
    world: &mut World,
    peer: Peer,
    who: &str,
    load: &Load,
    seconds: u64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let run = saturate(world, peer, load, seconds)?;
    keep_as(outcome, who, &run);
    Ok(())
}

/// What a proxy needs once is done before it is measured.
pub(crate) fn warm_up(world: &mut World, peer: Peer, load: &Load) -> anyhow::Result<()> {
    let port = peer.port(world, load.speaks);
    let requests =
        WARM_UP.min(WARM_UP * 4_096 / (load.body + if load.path == "/" { 4_096 } else { 1 << 20 }));
    let requests = (requests + load.connections * load.streams).to_string();
    load.generate(world, port, &["--requests".to_owned(), requests])?;
    Ok(())
}

/// Measures in rounds, each of which begins with another proxy, until so many were undisturbed, or twice as many were
/// measured. The least disturbed ones are given back.
fn rounds<T>(
    setting: &Setting,
    wanted: u64,
    world: &mut World,
    outcome: &mut Outcome,
    mut measure: impl FnMut(&mut World, Peer) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<Round<T>>> {
    let mut done: Vec<Round<T>> = Vec::new();
    let most = if setting.is_quick { wanted } else { 2 * wanted };
    let wanted = usize::try_from(wanted)?;
    let mut order = setting.peers.clone();
    for _ in 0..most {
        let before = Moment::now(world.usage());
        let mut runs = Vec::with_capacity(order.len());
        for peer in &order {
            runs.push((*peer, measure(world, *peer)?));
        }
        let others = Moment::now(world.usage()).others_since(&before);
        done.push(Round { runs, others });
        order.rotate_left(1);
        if done.iter().filter(|round| round.others < DISTURBED).count() == wanted {
            break;
        }
    }
    let measured = done.len();
    done.sort_by(|a, b| a.others.total_cmp(&b.others));
    done.truncate(wanted);
    let disturbed = done.iter().filter(|round| round.others >= DISTURBED).count();
    if disturbed > 0 {
        let worst = done.last().map_or(0.0, |round| round.others);
        outcome.notes.push(format!(
            "DISTURBED: others took up to {:.0} % of a core in {disturbed} of {wanted} rounds ({measured} were measured)",
            worst * 100.0
        ));
    }
    Ok(done)
}

fn saturate(world: &mut World, peer: Peer, load: &Load, seconds: u64) -> anyhow::Result<Run> {
    let before = world.process(peer)?.usage();
    let answered = load.saturate(world, peer, seconds)?;
    let process = world.process(peer)?;
    let used = process.usage() - before;
    Ok(Run {
        cpu_us: used.cpu_ns as f64 / 1e3 / answered.requests as f64,
        user: used.user_share().unwrap_or(f64::NAN),
        memory_mib: process.rss_kib() as f64 / 1024.0,
        answered,
    })
}

fn keep(outcome: &mut Outcome, peer: Peer, run: &Run) {
    keep_as(outcome, peer.name(), run);
}

fn keep_as(outcome: &mut Outcome, who: &str, run: &Run) {
    let Run { answered, cpu_us, user, memory_mib } = run;
    outcome.add(who, Figure::Cpu, *cpu_us);
    outcome.add(who, Figure::User, cpu_us * user);
    outcome.add(who, Figure::System, cpu_us * (1.0 - user));
    outcome.add(who, Figure::Requests, answered.requests as f64 / answered.seconds);
    outcome.add(who, Figure::Memory, *memory_mib);
    if answered.failed > 0 || answered.requests == 0 {
        outcome.reject(who, format!("{} requests failed: {}", answered.failed, answered.said));
    }
}

fn steady(
    setting: &Setting,
    load: &Load,
    rate: f64,
    world: &mut World,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let (wanted, seconds) = if setting.is_quick {
        (1, 0.5)
    } else {
        (setting.rounds * STEADY_ROUNDS, setting.seconds as f64 * WINDOW)
    };
    let rounds =
        rounds(setting, wanted, world, outcome, |world, peer| load.steady(world, peer, rate, seconds))?;
    for (peer, told) in rounds.into_iter().flat_map(|round| round.runs) {
        let who = peer.name();
        outcome.add(who, Figure::P50, told.latency.p50);
        outcome.add(who, Figure::P99, told.latency.p99);
        outcome.add(who, Figure::P999, told.latency.p999);
        outcome.add(who, Figure::Late, told.late.p99);
        if let Some(failure) = told.first_failure.filter(|_| told.failed > 0) {
            outcome.reject(who, format!("{} requests failed at a steady rate: {failure}", told.failed));
        }
    }
    Ok(())
}
