//! Endpoints that a Helios master tells of.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::helios::{Fault, Helios, Job, Master, SECRET};
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

/// Agents' names that lead to this machine.
const A: &str = "a.localhost";
const B: &str = "b.localhost";

/// The least of a section `helios`.
fn masters(masters: &[&Master]) -> String {
    let urls: Vec<String> = masters.iter().map(|master| master.url()).collect();
    format!("[helios]\nmasters = {urls:?}\npoll = \"1s\"\n")
}

fn service(name: &str) -> Service {
    Service::new(name).helios_source(&format!("service = \"{name}\""))
}

fn folder(masters_of: &[&Master], services: &[Service]) -> Folder {
    let folder = Folder::with(services);
    folder.add_to_process(&masters(masters_of));
    folder
}

/// One Helios with one master.
async fn one() -> (Helios, Master) {
    let helios = Helios::default();
    let master = helios.master().await;
    (helios, master)
}

fn start(master: &Master) -> Proxy {
    Proxy::start_in(folder(&[master], &[service("a")]))
}

async fn source(proxy: &Proxy) -> Value {
    proxy.status("a").await["helios"]["sources"][0].clone()
}

/// Waits until so many endpoints are asked.
async fn asks(proxy: &Proxy, wanted: u64) {
    eventually(&format!("{wanted} endpoints are asked"), async || {
        proxy.status("a").await["helios"]["endpoints"] == wanted
    })
    .await;
}

/// Waits until so many endpoints stand so.
async fn stand(proxy: &Proxy, standing: &str, wanted: u64) {
    eventually(&format!("{wanted} are {standing}"), async || {
        source(proxy).await["standing"][standing].as_u64().unwrap_or(0) == wanted
    })
    .await;
}

/// Waits until the source's trouble is told with these words.
async fn troubled(proxy: &Proxy, words: &str) {
    eventually(&format!("trouble: {words}"), async || {
        source(proxy).await["trouble"].as_str().is_some_and(|trouble| trouble.contains(words))
    })
    .await;
}

async fn well(proxy: &Proxy) {
    eventually("no trouble any more", async || source(proxy).await["trouble"].is_null()).await;
}

/// Waits until a master has answered another whole poll.
async fn polled(master: &Master) {
    let before = master.asked("/hosts/statuses");
    // The one that is under way may have begun before.
    eventually("another poll", async || master.asked("/hosts/statuses") >= before + 2).await;
}

async fn answers(proxy: &Proxy, text: &str) {
    let answer = proxy.get("a.test", "/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, text));
}

/// Who answers of so many requests.
async fn who(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut who = Vec::new();
    for _ in 0..requests {
        let answer = proxy.get("a.test", "/").await;
        assert_eq!(answer.status, 200);
        who.push(answer.text().to_owned());
    }
    who.sort();
    who.dedup();
    who
}

async fn ready(proxy: &Proxy) -> u16 {
    proxy.ask(Method::GET, "/readyz", &Value::Null).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_found_by_its_registration() {
    let (helios, master) = one().await;
    let [ours, other, grpc] =
        [Endpoint::named("ours").await, Endpoint::named("other").await, Endpoint::named("grpc").await];
    helios.run(&Job::registered("job-a", "1", "a/http"), A, ours.address.port());
    helios.run(&Job::registered("job-b", "1", "b/http"), A, other.address.port());
    helios.run(&Job::registered("job-c", "1", "a/grpc"), A, grpc.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    answers(&proxy, "ours").await;
    let source = source(&proxy).await;
    assert_eq!((source["kind"].as_str(), &source["standing"]), (Some("helios"), &json!({ "live": 1 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_registers_nothing_is_found_by_its_name_and_port() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("legacy").await;
    helios.run(&Job::bare("legacy-search", "1.0"), A, endpoint.address.port());
    let service = Service::new("a").helios_source("job = \"legacy-search\", port = \"http\"");
    let proxy = Proxy::start_in(folder(&[&master], &[service]));
    asks(&proxy, 1).await;
    answers(&proxy, "legacy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_may_be_those_of_the_service_alone() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("own").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let source = format!("service = \"a\", masters = [{:?}]", master.url());
    let proxy = Proxy::start(&[Service::new("a").helios_source(&source)]);
    asks(&proxy, 1).await;
    answers(&proxy, "own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_followed_from_job_to_job_and_what_drains_gets_no_new_requests() {
    let (helios, master) = one().await;
    let [old, new] = [Endpoint::named("old").await, Endpoint::named("new").await];
    let (first, second) = (Job::registered("j", "1", "a/http"), Job::registered("j", "2", "a/http"));
    helios.run(&first, A, old.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    helios.run(&second, B, new.address.port());
    asks(&proxy, 2).await;
    // Who has just come gets little at first.
    eventually("both are asked", async || who(&proxy, 40).await == ["new", "old"]).await;
    // It runs still, and nobody wants it to.
    helios.undeploy(&first, A);
    asks(&proxy, 1).await;
    stand(&proxy, "draining", 1).await;
    assert_eq!(who(&proxy, 40).await, ["new"]);
    helios.state(&first, A, "STOPPING");
    polled(&master).await;
    stand(&proxy, "draining", 1).await;
    helios.end(&first, A);
    stand(&proxy, "draining", 0).await;
    assert_eq!(who(&proxy, 10).await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_checked_or_starts_is_not_asked_and_who_flaps_is() {
    let (helios, master) = one().await;
    let [ready, early] = [Endpoint::named("ready").await, Endpoint::named("early").await];
    let job = Job::registered("j", "1", "a/http");
    helios.run(&job, A, ready.address.port());
    helios.throttle(&job, A, "FLAPPING");
    helios.run(&job, B, early.address.port());
    helios.state(&job, B, "HEALTHCHECKING");
    let proxy = start(&master);
    asks(&proxy, 1).await;
    assert_eq!(source(&proxy).await["standing"], json!({ "suspect": 1, "not-ready": 1 }));
    assert_eq!(who(&proxy, 20).await, ["ready"]);
    helios.state(&job, B, "RUNNING");
    asks(&proxy, 2).await;
    helios.state(&job, A, "EXITED");
    asks(&proxy, 1).await;
    assert_eq!(who(&proxy, 20).await, ["early"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_down_is_asked_until_it_refuses() {
    let (helios, master) = one().await;
    let [up, down] = [Endpoint::named("up").await, Endpoint::named("down").await];
    let job = Job::registered("j", "1", "a/http");
    helios.run(&job, A, up.address.port());
    helios.run(&job, B, down.address.port());
    let proxy = start(&master);
    asks(&proxy, 2).await;
    helios.up(B, false);
    stand(&proxy, "unknown", 1).await;
    assert_eq!(who(&proxy, 40).await, ["down", "up"], "its containers run");
    drop(down);
    eventually("it is asked no more", async || {
        proxy.get("a.test", "/").await;
        proxy.status("a").await["helios"]["endpoints"] == 1
    })
    .await;
    assert_eq!(who(&proxy, 20).await, ["up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_master_fails_endpoints_are_kept_and_the_trouble_is_told() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("kept").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    let url = master.url();
    for (fault, words) in [
        (Fault::Status(500), format!("{url} answers 500")),
        (Fault::Status(502), format!("{url} answers 502")),
        (Fault::Cut, format!("{url} breaks off in the middle of its answer")),
        (Fault::Nonsense, format!("{url} sends what is not the answer of a master (line 1, column ")),
    ] {
        master.fault(fault.clone());
        troubled(&proxy, &words).await;
        let source = source(&proxy).await;
        assert!(source["age_s"].is_f64() && source["trouble_s"].is_f64(), "{source}");
        assert_eq!(source["standing"], json!({ "live": 1 }), "{fault:?}");
        answers(&proxy, "kept").await;
        master.fault(Fault::None);
        well(&proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_gone_refuses_and_nothing_is_lost() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("kept").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    let url = master.url();
    drop(master);
    troubled(&proxy, &format!("{url} cannot be reached: connection refused")).await;
    answers(&proxy, "kept").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_hangs_is_given_up_and_the_next_one_asked() {
    let helios = Helios::default();
    let (one, two) = (helios.master().await, helios.master().await);
    let endpoints = [Endpoint::named("before").await, Endpoint::named("after").await];
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoints[0].address.port());
    let proxy = Proxy::start_in(folder(&[&one, &two], &[service("a")]));
    asks(&proxy, 1).await;
    let (asked, spare) = if one.seen().is_empty() { (&two, &one) } else { (&one, &two) };
    assert!(spare.seen().is_empty(), "one is asked as long as it answers");
    asked.fault(Fault::Hang);
    helios.run(&Job::registered("j", "1", "a/http"), B, endpoints[1].address.port());
    asks(&proxy, 2).await;
    assert!(!spare.seen().is_empty());
    assert!(source(&proxy).await["trouble"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_master_takes_over_whatever_is_wrong_with_the_first() {
    for fault in [Fault::Status(500), Fault::Status(502), Fault::Cut, Fault::Nonsense] {
        let helios = Helios::default();
        let (good, bad) = (helios.master().await, helios.master().await);
        let endpoint = Endpoint::named("found").await;
        helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
        bad.fault(fault);
        let proxy = Proxy::start_in(folder(&[&bad, &good], &[service("a")]));
        asks(&proxy, 1).await;
        polled(&good).await;
        assert!(source(&proxy).await["trouble"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_waited_for_and_nobody_asks_twice_meanwhile() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("slow").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let held = master.hold();
    let proxy = start(&master);
    eventually("it is asked", async || !master.seen().is_empty()).await;
    assert_eq!((ready(&proxy).await, master.seen().len()), (503, 1));
    held.send(false).unwrap();
    asks(&proxy, 1).await;
    assert_eq!(ready(&proxy).await, 200);
}

/// A service that is undeployed for good is kept until it refuses. Where its port belongs to another job by then, nobody refuses.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_gone_is_not_kept_at_a_port_that_another_job_has_now() {
    let (helios, master) = one().await;
    let (endpoint, other) = (Endpoint::named("first").await, Endpoint::named("second").await);
    let job = Job::registered("a", "1", "a");
    helios.run(&job, A, endpoint.address.port());
    let another = Job::registered("a", "2", "a");
    helios.run(&another, B, other.address.port());
    let proxy = start(&master);
    asks(&proxy, 2).await;
    helios.remove(&job, A);
    helios.remove(&another, B);
    polled(&master).await;
    asks(&proxy, 2).await;
    let stranger = Job::registered("stranger", "1", "stranger");
    helios.run(&stranger, A, endpoint.address.port());
    asks(&proxy, 1).await;
    assert_eq!(who(&proxy, 10).await, ["second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_half_vanishes_it_is_kept_until_the_master_stands_by_that() {
    let (helios, master) = one().await;
    let job = Job::registered("j", "1", "a/http");
    let mut endpoints = Vec::new();
    for number in 0..5 {
        let endpoint = Endpoint::named("one of five").await;
        helios.run(&job, &format!("h{number}.localhost"), endpoint.address.port());
        endpoints.push(endpoint);
    }
    let proxy = start(&master);
    asks(&proxy, 5).await;
    for number in 0..3 {
        helios.deregister(&format!("h{number}.localhost"));
    }
    eventually("it is doubted", async || source(&proxy).await["doubted_s"].is_f64()).await;
    assert_eq!(
        (&proxy.status("a").await["helios"]["endpoints"], &source(&proxy).await["kept"]),
        (&json!(5), &json!(3))
    );
    asks(&proxy, 2).await;
    assert!(source(&proxy).await["doubted_s"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_vanishes_it_is_kept() {
    let (helios, master) = one().await;
    let job = Job::registered("j", "1", "a/http");
    let endpoint = Endpoint::named("kept").await;
    helios.run(&job, A, endpoint.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    master.fault(Fault::NoHosts);
    eventually("it is doubted", async || source(&proxy).await["doubted_s"].is_f64()).await;
    answers(&proxy, "kept").await;
    master.fault(Fault::None);
    eventually("it is believed", async || source(&proxy).await["doubted_s"].is_null()).await;
    answers(&proxy, "kept").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_registers_anew_loses_no_endpoint_meanwhile() {
    let (helios, master) = one().await;
    let job = Job::registered("j", "1", "a/http");
    let [a, b] = [Endpoint::named("a").await, Endpoint::named("b").await];
    helios.run(&job, A, a.address.port());
    helios.run(&job, B, b.address.port());
    let proxy = start(&master);
    asks(&proxy, 2).await;
    helios.empty(B, true);
    stand(&proxy, "unknown", 1).await;
    assert_eq!(who(&proxy, 40).await, ["a", "b"]);
    helios.empty(B, false);
    stand(&proxy, "live", 2).await;
    // A record that stays empty is believed after some polls.
    helios.empty(B, true);
    asks(&proxy, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_master_leaves_out_for_a_poll_is_kept() {
    let (helios, master) = one().await;
    let job = Job::registered("j", "1", "a/http");
    let [a, b] = [Endpoint::named("a").await, Endpoint::named("b").await];
    helios.run(&job, A, a.address.port());
    helios.run(&job, B, b.address.port());
    let proxy = start(&master);
    asks(&proxy, 2).await;
    helios.garble(&job, A, true);
    stand(&proxy, "unknown", 1).await;
    assert_eq!(who(&proxy, 40).await, ["a", "b"]);
    helios.garble(&job, A, false);
    stand(&proxy, "live", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_master_is_down_serves_from_what_was_kept() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("kept").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    let record = proxy.folder.state();
    eventually("the endpoints are on disk", async || holds(&record, &endpoint.address.to_string())).await;
    let folder = proxy.end().await;
    master.fault(Fault::Status(500));
    let proxy = Proxy::start_in(folder);
    assert_eq!(ready(&proxy).await, 200);
    answers(&proxy, "kept").await;
    troubled(&proxy, "answers 500").await;
    assert!(source(&proxy).await["age_s"].is_null(), "it has not spoken since the start");
    answers(&proxy, "kept").await;
}

/// Whether a file below this folder has a text in it.
fn holds(folder: &std::path::Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_master_is_down_is_not_ready_before_it_has_spoken() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("found").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    master.fault(Fault::Status(500));
    let proxy = start(&master);
    troubled(&proxy, "answers 500").await;
    assert_eq!(ready(&proxy).await, 503);
    master.fault(Fault::None);
    asks(&proxy, 1).await;
    eventually("it is ready", async || ready(&proxy).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_port_given_to_another_job_starts_clean() {
    let (helios, master) = one().await;
    let [ours, strangers] = [Endpoint::named("ours").await, Endpoint::named("ours too").await];
    let (first, other) = (Job::registered("j", "1", "a/http"), Job::registered("k", "1", "b/http"));
    helios.run(&first, A, strangers.address.port());
    helios.run(&first, B, ours.address.port());
    let proxy = start(&master);
    asks(&proxy, 2).await;
    // Another service's job has the port now, and ours is still said to run there.
    helios.undeploy(&first, A);
    helios.run(&other, A, strangers.address.port());
    asks(&proxy, 1).await;
    eventually("the stranger is not in the list", async || {
        source(&proxy).await["standing"] == json!({ "live": 1 })
    })
    .await;
    assert_eq!(who(&proxy, 20).await, ["ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poll_serves_all_services_and_goes_by_one_connection() {
    let (helios, master) = one().await;
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    // One port can be one job's only.
    for (name, port) in names.iter().zip(2_000..) {
        helios.run(&Job::registered(name, "1", &format!("{name}/http")), A, port);
    }
    let services: Vec<Service> = names.iter().map(|name| service(name)).collect();
    let proxy = Proxy::start_in(folder(&[&master], &services));
    for name in &names {
        eventually(name, async || proxy.status(name).await["helios"]["endpoints"] == 1).await;
    }
    polled(&master).await;
    let (hosts, statuses) = (master.asked("/hosts/"), master.asked("/hosts/statuses"));
    assert!(hosts == statuses || hosts == statuses + 1, "{hosts} {statuses}");
    assert_eq!((master.seen().len(), master.connections()), (hosts + statuses, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_comes_later_is_found_too() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("later").await;
    helios.run(&Job::registered("j", "1", "b/http"), A, endpoint.address.port());
    let proxy = start(&master);
    eventually("it has spoken", async || source(&proxy).await["age_s"].is_f64()).await;
    proxy.folder.write(&service("b"));
    eventually("b is served", async || proxy.get("b.test", "/").await.status == 200).await;
    assert_eq!(proxy.get("b.test", "/").await.text(), "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_are_asked_as_they_are_to_be() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("found").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let proxy = start(&master);
    asks(&proxy, 1).await;
    for seen in master.seen() {
        assert_eq!(seen.headers["accept-encoding"], "gzip");
        assert_eq!(seen.headers["host"], master.address().to_string());
        assert!(
            !seen.headers.contains_key("helios-version"),
            "it may be left out, and is refused if it is wrong"
        );
        assert!(!seen.headers.contains_key("authorization"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_shown_to_masters_and_read_anew() {
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("found").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    master.ask_for("first-token");
    let folder = folder(&[&master], &[service("a")]);
    std::fs::write(folder.path().join("token"), "first-token\n").unwrap();
    folder.add_to_process("token = \"token\"\n");
    let proxy = Proxy::start_in(folder);
    asks(&proxy, 1).await;
    master.ask_for("second-token");
    troubled(&proxy, "answers 401").await;
    std::fs::write(proxy.folder.path().join("token"), "second-token").unwrap();
    well(&proxy).await;
    std::fs::remove_file(proxy.folder.path().join("token")).unwrap();
    troubled(&proxy, "cannot be read").await;
    answers(&proxy, "found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_nor_in_the_status_nor_on_disk() {
    const TOKEN: &str = "token-that-nobody-may-see";
    let (helios, master) = one().await;
    let endpoint = Endpoint::named("found").await;
    helios.run(&Job::registered("j", "1", "a/http"), A, endpoint.address.port());
    let folder = folder(&[&master], &[service("a")]);
    std::fs::write(folder.path().join("token"), TOKEN).unwrap();
    folder.add_to_process("token = \"token\"\n");
    let (mut process, address, admin) = Process::serve(folder.path());
    let get = async |address: SocketAddr, host: &str, path: &str| {
        send(address, request(Over::Http1, Method::GET, host, path, "")).await
    };
    eventually("it serves", async || get(address, "a.test", "/").await.status == 200).await;
    let mut said = String::new();
    for (fault, words) in [
        (Fault::Nonsense, "is not the answer of a master"),
        (Fault::Status(500), "answers 500"),
        (Fault::Cut, "breaks off"),
    ] {
        master.fault(fault);
        said.push_str(&process.after("cannot be looked for"));
        eventually(words, async || {
            let status = get(admin, "localhost", "/v1/services/a").await;
            let trouble = status.json()["helios"]["sources"][0]["trouble"].clone();
            trouble.as_str().is_some_and(|trouble| trouble.contains(words))
        })
        .await;
        for path in ["/v1/services/a", "/v1/status", "/metrics"] {
            said.push_str(&String::from_utf8_lossy(&get(admin, "localhost", path).await.body));
        }
        master.fault(Fault::None);
        said.push_str(&process.after("are known again"));
    }
    said.push_str(&process.seen());
    assert!(said.contains('j') && !said.contains(SECRET) && !said.contains(TOKEN), "{said}");
    for secret in [SECRET, TOKEN] {
        assert!(!holds(&folder.state(), secret));
    }
    let shown = master.seen().pop().unwrap().headers["authorization"].clone();
    assert_eq!(shown, format!("Bearer {TOKEN}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_answers_as_a_master_does() {
    let (helios, master) = one().await;
    let job = Job::registered("j", "1", "a/http");
    helios.run(&job, A, 2_000);
    helios.up(A, false);
    let ask = async |method: Method, path: &str, header: (&'static str, &str), body: &str| {
        let mut asked = request(Over::Http1, method, "m", path, body.to_owned());
        asked.headers_mut().insert(header.0, header.1.parse().unwrap());
        tokio::time::timeout(Duration::from_secs(20), send(master.address(), asked)).await.unwrap()
    };
    let none = ("accept", "*/*");
    for path in ["/hosts", "/hosts/"] {
        assert_eq!(ask(Method::GET, path, none, "").await.json(), json!([A]));
    }
    let answer = ask(Method::POST, "/hosts/statuses", none, &format!("[{A:?}, \"nobody\"]")).await;
    let text = answer.text().to_owned();
    assert_eq!(text.matches("\"type\":\"http\"").count(), 2, "{text}");
    assert_eq!(
        (answer.header("helios-server-version"), answer.header("helios-version-status")),
        ("0.9.282", "MISSING")
    );
    let host = &answer.json()[A];
    assert_eq!((&host["status"], &host["hostInfo"]), (&json!("DOWN"), &Value::Null));
    assert_eq!(host["statuses"][&job.id]["ports"]["http"]["externalPort"], 2_000);
    assert_eq!(host["jobs"][&job.id]["goal"], "START");
    let zipped = ask(Method::GET, "/hosts/", ("accept-encoding", "gzip"), "").await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    for (method, path, header, body, status) in [
        (Method::GET, "/hosts/nobody/status", none, "", 404),
        (Method::GET, "/nowhere", none, "", 404),
        (Method::POST, "/hosts/statuses", none, "{", 400),
        (Method::GET, "/hosts/", ("helios-version", "1.0.0"), "", 426),
        (Method::GET, "/hosts/", ("helios-version", "new"), "", 400),
        (Method::GET, "/hosts/", ("helios-version", "0.9.282"), "", 200),
        (Method::GET, "/version", none, "", 200),
        (Method::GET, "/masters", none, "", 200),
        (Method::GET, &format!("/hosts/{A}/status"), none, "", 200),
    ] {
        assert_eq!(ask(method, path, header, body).await.status, status, "{path} {header:?}");
    }
    helios.remove(&job, A);
    assert_eq!(ask(Method::GET, &format!("/hosts/{A}/status"), none, "").await.json()["statuses"], json!({}));
}
