//! Memory that idle connections take.

use std::thread;
use std::time::Duration;

use anyhow::ensure;

use crate::peers::Peer;
use crate::process::Process;
use crate::report::{Figure, Outcome};
use crate::world::World;

use super::Setting;
use super::load::Load;
use super::saturation::warm_up;

/// How many there are.
const MANY: usize = 10_000;
/// The same in a hurry.
const FEWER: usize = 2_000;
/// They are idle when they have been for so long.
const SETTLING: Duration = Duration::from_secs(10);
/// As many rounds are enough: memory is no matter of chance.
const ROUNDS: u64 = 3;

/// Each round starts each proxy anew: memory that was let go of once is not always given back.
#[expect(clippy::unnecessary_wraps, reason = "as every scenario is run")]
pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    let connections = if setting.is_quick { FEWER } else { MANY };
    outcome.notes.push(format!(
        "{connections} connections, each of which has carried one request {} s ago or more; what a connection takes is what memory has grown \
         by, and HAProxy and nginx set some aside when they start",
        SETTLING.as_secs()
    ));
    let rounds = if setting.is_quick { 1 } else { setting.rounds.min(ROUNDS) };
    for _ in 0..rounds {
        for peer in &setting.peers {
            match measure(setting, *peer, connections) {
                Ok((all_mib, each_kib)) => {
                    outcome.add(peer.name(), Figure::Memory, all_mib);
                    outcome.add(peer.name(), Figure::PerConnection, each_kib);
                }
                Err(error) => outcome.reject(peer.name(), format!("{error:#}")),
            }
        }
    }
    Ok(())
}

fn measure(setting: &Setting, peer: Peer, connections: usize) -> anyhow::Result<(f64, f64)> {
    let mut world = World::new(&setting.switchback, &setting.cores, 1)?;
    world.start(peer)?;
    // What it needs once, it has already.
    warm_up(&mut world, peer, &Load::PLAIN)?;
    let before = world.process(peer)?.rss_kib();
    let load = Load { connections, ..Load::PLAIN };
    let port = peer.port(&mut world, load.speaks);
    let ourselves = std::env::current_exe()?.display().to_string();
    let arguments = load.arguments(&world, port);
    let mut command: Vec<&str> = vec![&ourselves, "idle", "--requests", "1"];
    command.extend(arguments.iter().map(String::as_str));
    let (_clients, said) = Process::start_and_hear("idle clients", &world.cores.load, &command)?;
    ensure!(said == format!("open {connections}"), "not all connections could be opened");
    thread::sleep(SETTLING);
    let after = world.process(peer)?.rss_kib();
    let open = established(port)?;
    ensure!(open >= connections, "it has closed connections that should be idle: {open} are left");
    Ok((after as f64 / 1024.0, after.saturating_sub(before) as f64 / connections as f64))
}

/// How many connections somebody who listens on this port has.
fn established(port: u16) -> anyhow::Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let is_ours = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|local| local.rsplit(':').next());
        local.is_some_and(|local| u16::from_str_radix(local, 16) == Ok(port)) && words.nth(1) == Some("01")
    };
    Ok(table.lines().filter(is_ours).count())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_are_counted_at_who_listens() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(established(address.port()).unwrap(), clients.len());
    }
}
