use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::wire::{Goal, HostState, HostStatus, HostStatuses, Job, State, TaskStatus, Throttled};

/// What runs where, as one poll has found it. Pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) hosts: BTreeMap<Arc<str>, Host>,
}

/// A host with an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Its agent is in touch with Helios.
    pub(super) up: bool,
    /// Where it is; `None` as long as its name has led nowhere.
    pub(super) address: Option<IpAddr>,
    /// By the job's id.
    pub(super) tasks: BTreeMap<Arc<str>, Task>,
    /// Jobs that are to run there, and of which the agent has said nothing.
    unseen: Vec<Arc<str>>,
}

/// A job on a host, as the agent has last told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) state: State,
    /// It has restarted again and again.
    pub(super) flaps: bool,
    /// It is to run there.
    pub(super) wanted: bool,
    pub(super) container: Option<Arc<str>>,
    /// Under which services it registers which of its ports: service, protocol, name of the port.
    pub(super) registered: Vec<(Box<str>, Box<str>, Box<str>)>,
    /// By name: those that take TCP and that others can reach.
    pub(super) ports: BTreeMap<Box<str>, Port>,
    /// Over how many polls nothing has been said of it.
    pub(super) missed: u8,
}

/// Where a task listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Port {
    /// On this address of its host only.
    pub(super) only: Option<IpAddr>,
    pub(super) number: u16,
}

/// For so many polls a task that is to run counts as lost sight of when nothing is said of it: an agent that registers anew
/// empties its host's record first, and a master leaves out a task whose record it cannot read.
const MISSED_POLLS: u8 = 3;

/// What a registration without a protocol stands for.
const DEFAULT_PROTOCOL: &str = "http";

impl Picture {
    /// Adds what a master has said.
    pub(super) fn add(&mut self, heard: HostStatuses) {
        for (name, status) in heard {
            if let Some(status) = status {
                self.hosts.insert(name.into(), Host::from(status));
            }
        }
    }

    /// Carries over what was there a poll ago and is to be there still, and of which nothing is said.
    pub(super) fn bridge(&mut self, before: &Self) {
        for (name, host) in &mut self.hosts {
            let Some(before) = before.hosts.get(name) else { continue };
            for id in std::mem::take(&mut host.unseen) {
                let Some(task) = before.tasks.get(&id) else { continue };
                if task.state == State::Running && task.missed < MISSED_POLLS {
                    let task = Task { missed: task.missed + 1, wanted: true, ..task.clone() };
                    host.tasks.insert(id, task);
                }
            }
        }
    }
}

impl From<HostStatus> for Host {
    fn from(status: HostStatus) -> Self {
        let HostStatus { jobs, statuses, status } = status;
        // A goal that is not said is to start: what is deployed is to run unless somebody says otherwise.
        let starts = |goal: Option<Goal>| matches!(goal, Some(Goal::Start) | None);
        let mut unseen: BTreeMap<Arc<str>, bool> = jobs
            .into_iter()
            .map(|(id, deployment)| (id.into(), starts(deployment.and_then(|deployment| deployment.goal))))
            .collect();
        let mut tasks = BTreeMap::new();
        for (id, status) in statuses {
            let Some(status) = status else { continue };
            let id: Arc<str> = id.into();
            let wanted = unseen.remove(&id).unwrap_or(false);
            tasks.insert(id, Task::new(status, wanted));
        }
        let unseen = unseen.into_iter().filter_map(|(id, wanted)| wanted.then_some(id)).collect();
        Self { up: status == HostState::Up, address: None, tasks, unseen }
    }
}

impl Task {
    fn new(status: TaskStatus, wanted: bool) -> Self {
        let TaskStatus { job, state, container_id, throttled, ports } = status;
        let ports = ports.into_iter().filter_map(|(name, mapping)| {
            let mapping = mapping?;
            let protocol = mapping.protocol.as_deref().unwrap_or("tcp");
            let number = u16::try_from(mapping.external_port?).ok().filter(|number| *number != 0)?;
            // What is no address says nothing, and neither does that of all addresses.
            let only = mapping.ip.and_then(|ip| ip.parse().ok()).filter(|ip: &IpAddr| !ip.is_unspecified());
            protocol.eq_ignore_ascii_case("tcp").then_some((name, Port { only, number }))
        });
        Self {
            state,
            flaps: throttled == Throttled::Flapping,
            wanted,
            container: container_id.filter(|id| !id.is_empty()).map(Into::into),
            registered: registered(job),
            ports: ports.collect(),
            missed: 0,
        }
    }
}

fn registered(job: Job) -> Vec<(Box<str>, Box<str>, Box<str>)> {
    let mut registered = Vec::new();
    for (key, ports) in job.registration {
        let (service, protocol) = key.split_once('/').unwrap_or((&key, DEFAULT_PROTOCOL));
        for (port, _) in ports.unwrap_or_default().ports {
            registered.push((service.into(), protocol.into(), port));
        }
    }
    registered
}
