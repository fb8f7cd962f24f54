//! Both sides' endpoints are replaced again and again under load, as their platforms do it.

use std::collections::VecDeque;

use serde_json::json;

use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::helios::{Helios, Job};
use crate::support::kubernetes::{Cluster, ready, with};
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy, Service};

/// A host whose name leads to this machine.
const HOST: &str = "a.localhost";
/// A minute of them.
const REQUESTS: u64 = 30_000;

async fn stands(proxy: &Proxy, side: &str, standing: &str, wanted: u64) {
    eventually(&format!("{wanted} on {side} are {standing}"), async || {
        proxy.status("a").await[side]["sources"][0]["standing"][standing].as_u64().unwrap_or(0) == wanted
    })
    .await;
}

/// Nobody asks it any more: then it stops, as one does that has been told to.
async fn stop_when_quiet(endpoint: Endpoint, load: &Load) -> u16 {
    eventually("it is asked no more", async || {
        let (hits, good) = (endpoint.hits(), load.good());
        eventually("others are", async || load.good() >= good + 50).await;
        endpoint.hits() == hits
    })
    .await;
    endpoint.address.port()
}

/// One pod is replaced by another, perhaps at the address of the one before.
async fn replace_pod(
    cluster: &Cluster,
    proxy: &Proxy,
    load: &Load,
    pods: &mut VecDeque<(u32, Endpoint)>,
    port: u16,
) -> u16 {
    let number = pods.back().unwrap().0 + 1;
    let new = Endpoint::named_at(port, "kubernetes").await;
    let (name, uid) = (|number: u32| format!("a-{number}"), |number: u32| format!("u{number}"));
    let starting = json!({ "ready": false, "serving": false, "terminating": false });
    cluster.put(&name(number), new.address.port(), &[with("127.0.0.1", &uid(number), &starting)]);
    stands(proxy, "kubernetes", "not-ready", 1).await;
    cluster.put(&name(number), new.address.port(), &[ready("127.0.0.1", &uid(number))]);
    stands(proxy, "kubernetes", "live", 3).await;
    pods.push_back((number, new));
    let (old, endpoint) = pods.pop_front().unwrap();
    let ending = json!({ "ready": false, "serving": true, "terminating": true });
    cluster.put(&name(old), endpoint.address.port(), &[with("127.0.0.1", &uid(old), &ending)]);
    stands(proxy, "kubernetes", "draining", 1).await;
    let port = stop_when_quiet(endpoint, load).await;
    cluster.delete(&name(old));
    stands(proxy, "kubernetes", "draining", 0).await;
    port
}

/// One job is replaced by its next version.
async fn replace_job(
    helios: &Helios,
    proxy: &Proxy,
    load: &Load,
    jobs: &mut VecDeque<(Job, Endpoint)>,
    version: u32,
) {
    let (new, job) = (Endpoint::named("helios").await, Job::registered("a", &format!("v{version}"), "a"));
    helios.run(&job, HOST, new.address.port());
    stands(proxy, "helios", "live", 3).await;
    jobs.push_back((job, new));
    let (old, endpoint) = jobs.pop_front().unwrap();
    helios.undeploy(&old, HOST);
    stands(proxy, "helios", "draining", 1).await;
    stop_when_quiet(endpoint, load).await;
    helios.end(&old, HOST);
    stands(proxy, "helios", "draining", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_both_sides_under_load_fails_no_request() {
    let (helios, cluster) = (Helios::default(), Cluster::start().await);
    let master = helios.master().await;
    let (mut jobs, mut pods) = (VecDeque::new(), VecDeque::new());
    for number in 1..=2 {
        let (job, endpoint) =
            (Job::registered("a", &format!("v{number}"), "a"), Endpoint::named("helios").await);
        helios.run(&job, HOST, endpoint.address.port());
        jobs.push_back((job, endpoint));
        let endpoint = Endpoint::named("kubernetes").await;
        cluster.put(
            &format!("a-{number}"),
            endpoint.address.port(),
            &[ready("127.0.0.1", &format!("u{number}"))],
        );
        pods.push_back((number, endpoint));
    }
    let folder = Folder::with(&[Service::new("a")
        .weight(50.0)
        .helios_source("service = \"a\"")
        .kubernetes_source(r#"{ namespace = "shop", service = "a", port = "http" }"#)]);
    folder.add_to_process(&cluster.section(""));
    folder.add_to_process(&format!("[helios]\nmasters = [\"{}\"]\npoll = \"1s\"\n", master.url()));
    let proxy = Proxy::start_in(folder);
    for side in ["helios", "kubernetes"] {
        stands(&proxy, side, "live", 2).await;
    }
    let load = Load::start(proxy.address, "a.test", 16, 500);
    let (mut port, mut version) = (0, 2);
    while load.good() < REQUESTS {
        version += 1;
        replace_job(&helios, &proxy, &load, &mut jobs, version).await;
        for _ in 0..3 {
            port = replace_pod(&cluster, &proxy, &load, &mut pods, port).await;
        }
    }
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9);
    let (_, failed, broken) = load.end().await;
    assert_eq!((failed, broken), (0, 0));
    assert!(version > 5, "{version}");
}
