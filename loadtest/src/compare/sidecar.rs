//! What a proxy takes that has nearly nothing to do.

use std::time::{Duration, Instant};

use crate::peers::Peer;
use crate::process::Usage;
use crate::report::{Figure, Outcome};
use crate::world::World;

use super::Setting;
use super::load::Load;

const PER_SECOND: f64 = 10.0;
/// A sidecar's clients are the few that its service has.
const CLIENTS: Load = Load { connections: 2, ..Load::PLAIN };
/// What starting has left to do is done after so long.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut world = World::new(&setting.switchback, &setting.cores, 1)?;
    for peer in &setting.peers {
        world.start(*peer)?;
    }
    std::thread::sleep(SETTLING);
    let (rounds, seconds) = if setting.is_quick { (1, 2) } else { (setting.rounds.min(3), 10) };
    for _ in 0..rounds {
        // Without any requests, all at the same time: they hardly notice one another.
        let before = usages(&world, &setting.peers)?;
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(seconds));
        for (peer, before) in setting.peers.iter().zip(before) {
            keep(&world, *peer, before, begun, &format!("{}, no requests", peer.name()), outcome)?;
        }
        for peer in &setting.peers {
            let before = world.process(*peer)?.usage();
            let begun = Instant::now();
            let told = CLIENTS.steady(&mut world, *peer, PER_SECOND, seconds as f64)?;
            keep(&world, *peer, before, begun, peer.name(), outcome)?;
            if told.failed > 0 {
                outcome.reject(peer.name(), format!("{} requests failed", told.failed));
            }
        }
    }
    Ok(())
}

fn usages(world: &World, peers: &[Peer]) -> anyhow::Result<Vec<Usage>> {
    peers.iter().map(|peer| Ok(world.process(*peer)?.usage())).collect()
}

fn keep(
    world: &World,
    peer: Peer,
    before: Usage,
    begun: Instant,
    who: &str,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let process = world.process(peer)?;
    let (used, seconds) = (process.usage() - before, begun.elapsed().as_secs_f64());
    outcome.add(who, Figure::Share, used.cpu_ns as f64 / 1e9 / seconds * 100.0);
    outcome.add(who, Figure::WakeUps, used.sleeps as f64 / seconds);
    outcome.add(who, Figure::Memory, process.rss_kib() as f64 / 1024.0);
    Ok(())
}
