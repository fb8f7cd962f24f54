//! Whether two workers do what two times one would.
//!
//! On a machine of two cores the load takes one of them, so it cannot be seen how much two workers would answer. What can be
//! seen is what would keep them from it: that requests cost more CPU with two, as they wait for one another's cache lines
//! and locks; and that connections are spread unevenly, so that one worker is full while the other is not. With CPU a
//! request of one worker `c₁` and of two `c₂`, and a share `s` of the work that the busier one does, two full cores do
//! `c₁ / c₂ / s` times what one does.

use crate::peers::Peer;
use crate::report::{Figure, Outcome};
use crate::world::{Cores, World};

use super::Setting;
use super::load::Load;
use super::machine::cores;
use super::saturation::warm_up;

const WORKERS: usize = 2;
/// Load generators' connections, over which the kernel deals workers. Few would be spread unevenly.
const LOAD: Load = Load { connections: 256, ..Load::PLAIN };

pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    // Everybody may run everywhere: one worker on a core of its own would be better off than two.
    let all = format!("0-{}", cores() - 1);
    let cores = Cores { proxies: all.clone(), load: all };
    let mut worlds =
        [World::new(&setting.switchback, &cores, 1)?, World::new(&setting.switchback, &cores, WORKERS)?];
    for world in &mut worlds {
        world.start(Peer::Switchback)?;
        warm_up(world, Peer::Switchback, &LOAD)?;
    }
    for _ in 0..setting.rounds {
        let mut costs = Vec::new();
        let mut busier = 1.0;
        for (world, workers) in worlds.iter_mut().zip([1, WORKERS]) {
            let all_before = world.process(Peer::Switchback)?.usage();
            let before = world.process(Peer::Switchback)?.usage_of("worker-");
            let answered = LOAD.saturate(world, Peer::Switchback, setting.seconds)?;
            let process = world.process(Peer::Switchback)?;
            let cost = (process.usage() - all_before).cpu_ns as f64 / 1e3 / answered.requests as f64;
            let after = process.usage_of("worker-");
            let used: Vec<u64> = after
                .iter()
                .zip(&before)
                .map(|((_, after), (_, before))| (*after - *before).cpu_ns)
                .collect();
            busier = used.iter().copied().max().unwrap_or(0) as f64 / used.iter().sum::<u64>() as f64;
            let who = if workers == 1 { "one worker" } else { "two workers" };
            outcome.add(who, Figure::Cpu, cost);
            outcome.add(who, Figure::Requests, answered.requests as f64 / answered.seconds);
            outcome.add(who, Figure::Busiest, busier * 100.0);
            if answered.failed > 0 {
                outcome.reject(Peer::Switchback.name(), format!("{who}: {}", answered.said));
            }
            costs.push(cost);
        }
        outcome.add(Peer::Switchback.name(), Figure::Times, costs[0] / costs[1] / busier);
    }
    outcome
        .notes
        .push("reckoned from the cost of a request and the busier worker's share, not seen".to_owned());
    Ok(())
}
