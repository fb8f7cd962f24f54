//! One endpoint of a side that does much worse than the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Proxy, Service};

/// How long answers take, in milliseconds.
const USUAL: u64 = 5;

async fn taking(milliseconds: Arc<AtomicU64>) -> Endpoint {
    Endpoint::start(move |_| {
        let milliseconds = milliseconds.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(milliseconds.load(Ordering::Relaxed))).await;
            answer(200, "kubernetes")
        }
    })
    .await
}

async fn others() -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for _ in 0..9 {
        endpoints.push(taking(Arc::new(AtomicU64::new(USUAL))).await);
    }
    endpoints
}

fn service(helios: &Endpoint, kubernetes: &[Endpoint], odd: &Endpoint) -> Service {
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(odd.address);
    kubernetes.iter().fold(service, |service, endpoint| service.kubernetes(endpoint.address))
}

/// Sees that the odd one is not asked any more while the others are.
async fn not_asked(odd: &Endpoint, load: &Load) {
    let (before, asked) = (odd.hits(), load.good());
    eventually("others are asked", async || load.good() >= asked + 1_000).await;
    let since = odd.hits() - before;
    // Those that were under way; a hundredth of what went to Kubernetes meanwhile.
    assert!(since <= 5, "asked {since} more times");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_that_fails_is_let_out_and_the_side_is_not_reverted() {
    let (helios, kubernetes) = (taking(Arc::new(AtomicU64::new(USUAL))).await, others().await);
    let odd = Endpoint::status(500).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, &odd)]);
    let load = Load::start(proxy.address, "a.test", 16, 500);
    eventually("it is let out", async || proxy.status("a").await["kubernetes"]["ejected"] == 1).await;
    not_asked(&odd, &load).await;
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9, "the side is not taken back for it");
    let (_, failed, _) = load.end().await;
    assert_eq!(failed, 0, "Helios answered what it failed");
    let side = proxy.status("a").await["kubernetes"].clone();
    assert_eq!(
        (&side["endpoints"], &side["sources"][0]["endpoints"]),
        (&9.into(), &10.into()),
        "it still is there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_that_slows_tenfold_is_hardly_asked_and_the_side_is_not_reverted() {
    let (helios, kubernetes) = (taking(Arc::new(AtomicU64::new(USUAL))).await, others().await);
    let pace = Arc::new(AtomicU64::new(USUAL));
    let odd = taking(pace.clone()).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, &odd)]);
    let load = Load::start(proxy.address, "a.test", 16, 500);
    eventually("there is load", async || load.good() >= 500).await;
    pace.store(10 * USUAL, Ordering::Relaxed);
    // Whether it is let out or just not chosen: who answers much slower is chosen last.
    let asked = load.good();
    eventually("it has answered some", async || load.good() >= asked + 500).await;
    not_asked(&odd, &load).await;
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9, "the side is not taken back for it");
    load.end().await;
}

/// Where the others are as bad, nobody is let out: whom to ask instead?
#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_fails_as_a_whole_keeps_its_endpoints_and_is_reverted() {
    let helios = taking(Arc::new(AtomicU64::new(USUAL))).await;
    let bad = [Endpoint::status(500).await, Endpoint::status(500).await, Endpoint::status(500).await];
    let proxy = Proxy::start(&[service(&helios, &bad[1..], &bad[0])]);
    let load = Load::start(proxy.address, "a.test", 16, 500);
    eventually("it is taken back", async || proxy.status("a").await["why"] == "held").await;
    assert_eq!(proxy.status("a").await["kubernetes"]["ejected"], 0);
    let (_, failed, _) = load.end().await;
    assert_eq!(failed, 0);
}
