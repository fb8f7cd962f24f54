//! A kubernetes side on two clusters, each with its own weight, of which one goes bad.

use std::time::Duration;

use serde_json::Value;

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::kubernetes::{Cluster, ready};
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy, Service};

/// Two clusters and Helios, which answer after a few milliseconds.
struct Stage {
    proxy: Proxy,
    gew1: Endpoint,
    lon3: Endpoint,
    _helios: Endpoint,
    _clusters: [Cluster; 2],
}

async fn taking(name: &'static str) -> Endpoint {
    Endpoint::start(move |_| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        answer(200, name)
    })
    .await
}

async fn stage(weight: f64, shares: &str, gew1: Endpoint, lon3: Endpoint) -> Stage {
    let helios = taking("helios").await;
    let clusters = [Cluster::start().await, Cluster::start().await];
    clusters[0].put("a-1", gew1.address.port(), &[ready("127.0.0.1", "g1")]);
    clusters[1].put("a-1", lon3.address.port(), &[ready("127.0.0.1", "l1")]);
    let from =
        format!("{{ namespace = \"shop\", service = \"a\", port = \"http\", clusters = {{ {shares} }} }}");
    let folder =
        Folder::with(&[Service::new("a").weight(weight).helios(helios.address).kubernetes_source(&from)]);
    folder.add_to_process(&clusters[0].section_of("gew1", ""));
    folder.add_to_process(&clusters[1].section_of("lon3", ""));
    let proxy = Proxy::start_in(folder);
    for cluster in ["gew1", "lon3"] {
        eventually(cluster, async || source(&proxy, cluster).await["endpoints"] == 1).await;
    }
    Stage { proxy, gew1, lon3, _helios: helios, _clusters: clusters }
}

async fn source(proxy: &Proxy, cluster: &str) -> Value {
    let status = proxy.status("a").await;
    let sources = status["kubernetes"]["sources"].as_array().unwrap().clone();
    sources.into_iter().find(|source| source["cluster"] == cluster).unwrap()
}

/// Sees that `lon3` is let out, that the service is not taken back for it, and that no request fails.
async fn only_lon3_is_taken_out(lon3: Endpoint) {
    let stage = stage(50.0, "gew1 = 1, lon3 = 1", taking("gew1").await, lon3).await;
    let load = Load::start(stage.proxy.address, "a.test", 16, 500);
    eventually("it is let out", async || source(&stage.proxy, "lon3").await["out_s"].is_f64()).await;
    assert!(source(&stage.proxy, "gew1").await["out_s"].is_null());
    let (before, good) = (stage.lon3.hits(), load.good());
    eventually("others answer", async || load.good() >= good + 1_000).await;
    assert!(stage.lon3.hits() - before <= 16, "it is asked no more but for what was under way");
    let status = stage.proxy.status("a").await;
    assert_eq!(
        (&status["why"], &status["weight_percent"]),
        (&Value::from("file"), &Value::from(50.0)),
        "{status}"
    );
    assert_eq!(status["kubernetes"]["endpoints"], 1);
    let (_, failed, _) = load.end().await;
    assert_eq!(failed, 0);
    stage.proxy.counted("switchback_cluster_out", &["cluster=\"lon3\""], 1.0).await;
    stage.proxy.counted("switchback_cluster_out", &["cluster=\"gew1\""], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fails_is_taken_out_alone() {
    only_lon3_is_taken_out(Endpoint::status(500).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_is_taken_out_alone() {
    only_lon3_is_taken_out(Endpoint::start(|_| std::future::pending()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_both_clusters_fail_the_service_is_taken_back() {
    let stage =
        stage(50.0, "gew1 = 1, lon3 = 1", Endpoint::status(500).await, Endpoint::status(500).await).await;
    let load = Load::start(stage.proxy.address, "a.test", 16, 500);
    eventually("it is taken back", async || stage.proxy.status("a").await["why"] == "held").await;
    let (_, failed, _) = load.end().await;
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_get_requests_by_their_weights() {
    let stage = stage(100.0, "gew1 = 3, lon3 = 1", taking("gew1").await, taking("lon3").await).await;
    let load = Load::start(stage.proxy.address, "a.test", 16, 1_000);
    eventually("there is load", async || load.good() >= 2_000).await;
    load.end().await;
    let share = stage.gew1.hits() as f64 / (stage.gew1.hits() + stage.lon3.hits()) as f64;
    assert!((0.7..0.8).contains(&share), "gew1 got {share:.2}, and three quarters are its share");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_a_share_gets_nothing_and_is_looked_at_all_the_same() {
    let stage = stage(100.0, "gew1 = 1, lon3 = 0", taking("gew1").await, taking("lon3").await).await;
    for _ in 0..50 {
        assert_eq!(stage.proxy.get("a.test", "/").await.text(), "gew1");
    }
    assert_eq!(stage.proxy.status("a").await["kubernetes"]["endpoints"], 1);
}
