use std::collections::{BTreeMap, HashMap, HashSet};
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

/// At which of these addresses something runs.
pub(super) fn taken(picture: &Picture, addresses: &HashSet<SocketAddr>) -> HashSet<SocketAddr> {
    let mut taken = HashSet::new();
    for host in picture.hosts.values().filter(|_| !addresses.is_empty()) {
        for task in host.tasks.values().filter(|task| task.state == State::Running) {
            let here = task
                .ports
                .values()
                .filter_map(|port| Some(SocketAddr::new(reachable(host.address, port.only)?, port.number)));
            taken.extend(here.filter(|address| addresses.contains(address)));
        }
    }
    taken
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What a master says of one host, `a`, which is found at 10.0.0.1.
    fn picture(json: &str) -> Picture {
        let mut picture = Picture::default();
        picture.add(serde_json::from_str(json).unwrap());
        for host in picture.hosts.values_mut() {
            host.address = Some("10.0.0.1".parse().unwrap());
        }
        picture
    }

    fn service(name: &str) -> Registered {
        Registered::Service { service: name.into(), protocol: "http".into() }
    }

    fn job(name: &str, port: &str) -> Registered {
        Registered::Job { job: name.into(), port: port.into() }
    }

    /// The endpoints of one, as address and standing.
    fn found(picture: &Picture, wanted: &Registered) -> Vec<(String, Standing)> {
        let found = classify(picture, [wanted]).remove(0);
        found.into_iter().map(|seen| (seen.endpoint.to_string(), seen.standing)).collect()
    }

    /// A task of the service `s` at one port.
    fn task(state: &str, port: u16, more: &str) -> String {
        format!(
            r#"{{"job":{{"registration":{{"s/http":{{"ports":{{"http":{{}}}}}}}}}},"goal":"START","state":{state},
              "ports":{{"http":{{"ip":null,"internalPort":80,"externalPort":{port},"protocol":"tcp"}}}}{more}}}"#
        )
    }

    fn host(status: &str, jobs: &str, statuses: &str) -> String {
        format!(r#"{{"a":{{"jobs":{{{jobs}}},"statuses":{{{statuses}}},"status":{status}}}}}"#)
    }

    const WANTED: &str = r#""j:1:h":{"goal":"START"}"#;

    fn one(status: &str, jobs: &str, state: &str, more: &str) -> Vec<Standing> {
        let statuses = format!(r#""j:1:h":{}"#, task(state, 8080, more));
        let picture = picture(&host(status, jobs, &statuses));
        found(&picture, &service("s")).into_iter().map(|(_, standing)| standing).collect()
    }

    #[test]
    fn each_state_has_its_class() {
        for (state, standing) in [
            (r#""RUNNING""#, Standing::Live),
            (r#""STOPPING""#, Standing::Draining),
            (r#""HEALTHCHECKING""#, Standing::NotReady),
            (r#""PULLING_IMAGE""#, Standing::NotReady),
            (r#""CREATING""#, Standing::NotReady),
            (r#""STARTING""#, Standing::NotReady),
            (r#""EXITED""#, Standing::NotReady),
            (r#""STOPPED""#, Standing::NotReady),
            (r#""FAILED""#, Standing::NotReady),
            (r#""UNKNOWN""#, Standing::NotReady),
            (r#""SOMETHING_NEW""#, Standing::NotReady),
            ("null", Standing::NotReady),
        ] {
            assert_eq!(one(r#""UP""#, WANTED, state, ""), [standing], "{state}");
        }
    }

    #[test]
    fn what_is_not_to_run_any_more_drains() {
        for (jobs, standing) in [
            (WANTED, Standing::Live),
            (r#""j:1:h":{"goal":null}"#, Standing::Live),
            (r#""j:1:h":null"#, Standing::Live),
            (r#""j:1:h":{"goal":"STOP"}"#, Standing::Draining),
            (r#""j:1:h":{"goal":"UNDEPLOY"}"#, Standing::Draining),
            (r#""j:1:h":{"goal":"ELSE"}"#, Standing::Draining),
            ("", Standing::Draining),
            (r#""j:2:h":{"goal":"START"}"#, Standing::Draining),
        ] {
            assert_eq!(one(r#""UP""#, jobs, r#""RUNNING""#, ""), [standing], "{jobs}");
        }
        assert_eq!(one(r#""UP""#, "", r#""EXITED""#, ""), [Standing::NotReady]);
    }

    #[test]
    fn a_host_that_is_down_is_lost_sight_of_and_not_dead() {
        for status in [r#""DOWN""#, r#""ELSE""#, "null"] {
            assert_eq!(one(status, WANTED, r#""RUNNING""#, ""), [Standing::Unknown], "{status}");
            assert_eq!(one(status, "", r#""RUNNING""#, ""), [Standing::Draining]);
            assert_eq!(one(status, WANTED, r#""EXITED""#, ""), [Standing::NotReady]);
        }
    }

    #[test]
    fn who_restarts_again_and_again_is_suspect() {
        for (throttled, standing) in [
            (r#""FLAPPING""#, Standing::Suspect),
            (r#""NO""#, Standing::Live),
            (r#""IMAGE_MISSING""#, Standing::Live),
            (r#""IMAGE_PULL_FAILED""#, Standing::Live),
            ("null", Standing::Live),
        ] {
            let more = format!(r#","throttled":{throttled}"#);
            assert_eq!(one(r#""UP""#, WANTED, r#""RUNNING""#, &more), [standing], "{throttled}");
        }
        let flapping = r#","throttled":"FLAPPING""#;
        assert_eq!(one(r#""DOWN""#, WANTED, r#""RUNNING""#, flapping), [Standing::Unknown]);
        assert_eq!(one(r#""UP""#, WANTED, r#""EXITED""#, flapping), [Standing::NotReady]);
    }

    /// One running task with these registrations and ports.
    fn running(registration: &str, ports: &str) -> Picture {
        let statuses = format!(
            r#""j:1:h":{{"job":{{"registration":{registration}}},"state":"RUNNING","ports":{ports}}}"#
        );
        picture(&host(r#""UP""#, WANTED, &statuses))
    }

    #[test]
    fn a_registration_is_a_service_and_a_protocol() {
        let ports = r#"{"http":{"externalPort":80},"admin":{"externalPort":81}}"#;
        for (registration, expected) in [
            (r#"{"s/http":{"ports":{"http":{}}}}"#, vec!["10.0.0.1:80"]),
            (r#"{"s":{"ports":{"http":{}}}}"#, vec!["10.0.0.1:80"]),
            (
                r#"{"s/http":{"ports":{"http":null,"admin":{"tags":["x"]}}}}"#,
                vec!["10.0.0.1:81", "10.0.0.1:80"],
            ),
            (r#"{"s/http":{"ports":{"nowhere":{}}}}"#, vec![]),
            (r#"{"s/grpc":{"ports":{"http":{}}}}"#, vec![]),
            (r#"{"s/http/more":{"ports":{"http":{}}}}"#, vec![]),
            (r#"{"other/http":{"ports":{"http":{}}}}"#, vec![]),
            (r#"{"s/http":{"ports":null}}"#, vec![]),
            (r#"{"s/http":null}"#, vec![]),
            ("{}", vec![]),
            ("null", vec![]),
        ] {
            let found = found(&running(registration, ports), &service("s"));
            let found: Vec<String> = found.into_iter().map(|(address, _)| address).collect();
            assert_eq!(found, expected, "{registration}");
        }
        let grpc = Registered::Service { service: "s".into(), protocol: "grpc".into() };
        assert_eq!(found(&running(r#"{"s/grpc":{"ports":{"http":{}}}}"#, ports), &grpc).len(), 1);
    }

    #[test]
    fn a_job_that_registers_nothing_is_found_by_its_name_and_a_port() {
        let picture = running("{}", r#"{"http":{"externalPort":80}}"#);
        assert_eq!(found(&picture, &job("j", "http")), [("10.0.0.1:80".to_owned(), Standing::Live)]);
        for wrong in [job("j", "admin"), job("j:1", "http"), job("k", "http"), service("j")] {
            assert_eq!(found(&picture, &wrong), [], "{wrong:?}");
        }
    }

    #[test]
    fn a_port_must_be_reachable_over_tcp() {
        for (mapping, expected) in [
            (r#"{"externalPort":80}"#, Some("10.0.0.1:80")),
            (r#"{"ip":null,"externalPort":80,"protocol":null}"#, Some("10.0.0.1:80")),
            (r#"{"externalPort":80,"protocol":"udp"}"#, None),
            (r#"{"externalPort":null}"#, None),
            (r#"{"externalPort":0}"#, None),
            (r#"{"externalPort":65536}"#, None),
            (r#"{"externalPort":-1}"#, None),
            ("{}", None),
            ("null", None),
            (r#"{"ip":"10.9.9.9","externalPort":80}"#, Some("10.9.9.9:80")),
            (r#"{"ip":"0.0.0.0","externalPort":80}"#, Some("10.0.0.1:80")),
            (r#"{"ip":"::","externalPort":80}"#, Some("10.0.0.1:80")),
            (r#"{"ip":"","externalPort":80}"#, Some("10.0.0.1:80")),
            (r#"{"ip":"127.0.0.1","externalPort":80}"#, None),
            (r#"{"ip":"::1","externalPort":80}"#, None),
        ] {
            let picture = running(r#"{"s":{"ports":{"http":{}}}}"#, &format!(r#"{{"http":{mapping}}}"#));
            let found = found(&picture, &service("s")).pop().map(|(address, _)| address);
            assert_eq!(found.as_deref(), expected, "{mapping}");
        }
    }

    #[test]
    fn a_loopback_address_is_reached_on_this_machine() {
        let mut picture =
            running(r#"{"s":{"ports":{"http":{}}}}"#, r#"{"http":{"ip":"127.0.0.1","externalPort":80}}"#);
        picture.hosts.values_mut().for_each(|host| host.address = Some("127.0.0.9".parse().unwrap()));
        assert_eq!(found(&picture, &service("s"))[0].0, "127.0.0.1:80");
    }

    #[test]
    fn a_host_whose_name_leads_nowhere_is_left_out() {
        let mut picture = running(r#"{"s":{"ports":{"http":{}}}}"#, r#"{"http":{"externalPort":80}}"#);
        picture.hosts.values_mut().for_each(|host| host.address = None);
        assert_eq!(found(&picture, &service("s")), []);
    }

    #[test]
    fn a_rollout_is_served_by_tasks_of_several_jobs_on_several_hosts() {
        let both =
            format!(r#""j:1:h":{},"j:2:i":{}"#, task(r#""STOPPING""#, 1, ""), task(r#""RUNNING""#, 2, ""));
        let host = |name: &str, running: &str| {
            format!(
                r#""{name}":{{"jobs":{{"{running}":{{"goal":"START"}}}},"statuses":{{{both}}},"status":"UP"}}"#
            )
        };
        let picture = picture(&format!("{{{},{}}}", host("a", "j:2:i"), host("b", "j:2:i")));
        let standings: Vec<Standing> =
            found(&picture, &service("s")).into_iter().map(|(_, standing)| standing).collect();
        assert_eq!(standings, [Standing::Draining, Standing::Live, Standing::Draining, Standing::Live]);
        assert_eq!(found(&picture, &job("j", "http")).len(), 4);
    }

    #[test]
    fn a_port_that_two_jobs_claim_belongs_to_the_one_that_is_to_run_and_does() {
        for (old, new, owner) in [
            (r#""RUNNING""#, r#""RUNNING""#, "new"),
            (r#""STOPPING""#, r#""RUNNING""#, "new"),
            (r#""EXITED""#, r#""RUNNING""#, "new"),
            (r#""STOPPING""#, r#""PULLING_IMAGE""#, "old"),
        ] {
            let container = |name: &str| format!(r#","containerId":"{name}""#);
            let statuses = format!(
                r#""j:1:h":{},"j:2:i":{}"#,
                task(old, 8060, &container("old")),
                task(new, 8060, &container("new"))
            );
            let picture = picture(&host(r#""UP""#, r#""j:2:i":{"goal":"START"}"#, &statuses));
            let found = classify(&picture, [&service("s")]).remove(0);
            assert_eq!(found.len(), 1, "{old} {new}");
            assert_eq!(found[0].endpoint.instance.as_deref(), Some(owner), "{old} {new}");
        }
    }

    #[test]
    fn a_port_that_has_gone_to_another_service_is_not_asked_for_this_one() {
        let other = task(r#""RUNNING""#, 8060, "").replace("s/http", "other/http");
        let statuses = format!(r#""j:1:h":{},"k:1:i":{other}"#, task(r#""RUNNING""#, 8060, ""));
        let picture = picture(&host(r#""UP""#, r#""k:1:i":{"goal":"START"}"#, &statuses));
        assert_eq!(found(&picture, &service("s")), []);
        assert_eq!(found(&picture, &service("other")).len(), 1);
    }

    #[test]
    fn an_endpoint_is_known_by_its_container() {
        for (more, instance) in [
            (r#","containerId":"c1""#, Some(Arc::from("c1"))),
            (r#","containerId":null"#, None),
            (r#","containerId":"""#, None),
            ("", None),
        ] {
            let statuses = format!(r#""j:1:h":{}"#, task(r#""RUNNING""#, 80, more));
            let found = classify(&picture(&host(r#""UP""#, WANTED, &statuses)), [&service("s")]).remove(0);
            assert_eq!(found[0].endpoint.instance, instance, "{more}");
        }
    }

    #[test]
    fn what_is_null_missing_empty_unknown_or_twice_does_no_harm() {
        for json in [
            "{}",
            r#"{"a":null}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"jobs":null,"statuses":null,"status":null,"hostInfo":null}}"#,
            r#"{"a":{"jobs":{},"statuses":{"j:1:h":null},"status":"UP","labels":{"x":"y"}}}"#,
            r#"{"a":{"statuses":{"j:1:h":{}},"status":"UP"}}"#,
            r#"{"a":{"statuses":{"j:1:h":{"job":null,"ports":null,"state":null,"goal":null}},"status":"UP"}}"#,
            r#"{"a":{"statuses":{"j:1:h":{"job":{"healthCheck":{"type":"http","path":"/","type":"http"},"expires":"2026-01-01"}}}}}"#,
        ] {
            assert_eq!(found(&picture(json), &service("s")), [], "{json}");
        }
    }

    #[test]
    fn everybody_who_asks_is_told_about_their_own() {
        let picture = running(r#"{"s":{"ports":{"http":{}}}}"#, r#"{"http":{"externalPort":80}}"#);
        let wanted = [service("t"), service("s"), job("j", "http"), service("s")];
        let counts: Vec<usize> = classify(&picture, &wanted).iter().map(Vec::len).collect();
        assert_eq!(counts, [0, 1, 1, 1]);
    }

    #[test]
    fn what_was_there_and_is_to_be_there_is_lost_sight_of_for_some_polls() {
        let statuses = format!(r#""j:1:h":{}"#, task(r#""RUNNING""#, 80, ""));
        let there = picture(&host(r#""UP""#, WANTED, &statuses));
        let standings = |picture: &Picture| {
            found(picture, &service("s")).into_iter().map(|(_, standing)| standing).collect::<Vec<_>>()
        };
        let mut before = there.clone();
        for poll in 1..=4 {
            let mut emptied = picture(&host(r#""UP""#, WANTED, ""));
            emptied.bridge(&before);
            let expected = if poll <= 3 { vec![Standing::Unknown] } else { vec![] };
            assert_eq!(standings(&emptied), expected, "{poll}");
            before = emptied;
        }
        let mut again = there.clone();
        again.bridge(&before);
        assert_eq!(standings(&again), [Standing::Live]);
        // What nobody wants there any more is gone, and so is what was not running.
        let mut undeployed = picture(&host(r#""UP""#, "", ""));
        undeployed.bridge(&there);
        assert_eq!(standings(&undeployed), []);
        let exited = format!(r#""j:1:h":{}"#, task(r#""EXITED""#, 80, ""));
        let mut emptied = picture(&host(r#""UP""#, WANTED, ""));
        emptied.bridge(&picture(&host(r#""UP""#, WANTED, &exited)));
        assert_eq!(standings(&emptied), []);
        let mut gone = picture("{}");
        gone.bridge(&there);
        assert_eq!(standings(&gone), []);
    }
}
