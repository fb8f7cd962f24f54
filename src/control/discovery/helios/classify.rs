use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Registered;
use crate::model::{Address, Endpoint};

use super::super::{Sighting, Standing};
use super::picture::{Host, Picture, Port, Task};
use super::wire::State;

/// The endpoints of each of these, over all jobs and hosts: while a service is rolled out, tasks of several jobs serve it. Pure.
pub(super) fn classify<'a>(
    picture: &Picture,
    wanted: impl IntoIterator<Item = &'a Registered>,
) -> Vec<Vec<Sighting>> {
    let wanted: Vec<&Registered> = wanted.into_iter().collect();
    let mut places = Places::default();
    for (place, registered) in wanted.iter().enumerate() {
        places.insert(registered, place);
    }
    let mut found = vec![Vec::new(); wanted.len()];
    for host in picture.hosts.values() {
        let owners = owners(host);
        for (id, task) in &host.tasks {
            for (port, places) in places.of(id, task) {
                let Some(port) = task.ports.get(port) else { continue };
                if owners.get(port) != Some(&&**id) {
                    continue;
                }
                let Some(sighting) = sighting(host, task, *port) else { continue };
                for place in places {
                    found[*place].push(sighting.clone());
                }
            }
        }
    }
    found
}

/// How a task stands.
fn standing(host: &Host, task: &Task) -> Standing {
    match task.state {
        // Nothing else tells of it earlier than that it is not wanted any more; it works off what it has begun.
        State::Running if !task.wanted => Standing::Draining,
        State::Stopping => Standing::Draining,
        // An agent that is out of touch, or registers anew, leaves its containers running.
        State::Running if !host.up || task.missed > 0 => Standing::Unknown,
        State::Running if task.flaps => Standing::Suspect,
        State::Running => Standing::Live,
        State::PullingImage
        | State::Creating
        | State::Starting
        | State::HealthChecking
        | State::Exited
        | State::Stopped
        | State::Failed
        | State::Unknown => Standing::NotReady,
    }
}

/// Whose each port of a host is. A static port that goes from one job to another is claimed by both for a while, and belongs to
/// the one that is to run there and does: what is sent to the other would reach a stranger.
fn owners(host: &Host) -> HashMap<Port, &str> {
    let mut owners: HashMap<Port, (Standing, &str)> = HashMap::new();
    for (id, task) in &host.tasks {
        let claim = (standing(host, task), &**id);
        for port in task.ports.values() {
            owners.entry(*port).and_modify(|owner| *owner = claim.min(*owner)).or_insert(claim);
        }
    }
    owners.into_iter().map(|(port, (_, id))| (port, id)).collect()
}

fn sighting(host: &Host, task: &Task, port: Port) -> Option<Sighting> {
    let endpoint = Endpoint {
        address: Address::Tcp(SocketAddr::new(reachable(host.address, port.only)?, port.number)),
        instance: task.container.clone(),
    };
    Some(Sighting { standing: standing(host, task), ..Sighting::live(endpoint) })
}

/// Where a port is reached that may be open on one of its host's addresses only. Who listens on a loopback address is reached
/// from the same machine, and we are there if that is where its name leads.
fn reachable(host: Option<IpAddr>, only: Option<IpAddr>) -> Option<IpAddr> {
    match only {
        None => host,
        Some(only) if only.is_loopback() => host.filter(IpAddr::is_loopback).map(|_| only),
        Some(only) => Some(only),
    }
}

/// Who wants to know what.
#[derive(Default)]
struct Places<'a> {
    services: HashMap<(&'a str, &'a str), Vec<usize>>,
    /// By the job's name, and then by the port's.
    jobs: HashMap<&'a str, BTreeMap<&'a str, Vec<usize>>>,
}

impl<'a> Places<'a> {
    fn insert(&mut self, registered: &'a Registered, place: usize) {
        match registered {
            Registered::Service { service, protocol } => {
                self.services.entry((service, protocol)).or_default().push(place);
            }
            Registered::Job { job, port } => {
                self.jobs.entry(job).or_default().entry(port).or_default().push(place);
            }
        }
    }

    /// By which of its ports a task is somebody's endpoint.
    fn of<'s>(&'s self, id: &str, task: &'s Task) -> impl Iterator<Item = (&'s str, &'s [usize])> {
        let registered = task.registered.iter().filter_map(|(service, protocol, port)| {
            Some((&**port, &**self.services.get(&(&**service, &**protocol))?))
        });
        let name = id.split(':').next().unwrap_or_default();
        let ports = self.jobs.get(name).into_iter().flatten();
        registered.chain(ports.map(|(port, places)| (*port, &**places)))
    }
}
