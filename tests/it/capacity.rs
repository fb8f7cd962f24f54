//! What Helios can take back, and what becomes of what it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Proxy, Service};

/// Answers five requests at a time, in 20 ms each; the others wait. Tells how many were there at once at most.
async fn small(most: Arc<AtomicUsize>) -> Endpoint {
    let (places, here) = (Arc::new(Semaphore::new(5)), Arc::new(AtomicUsize::new(0)));
    Endpoint::start(move |_| {
        let (places, here, most) = (places.clone(), here.clone(), most.clone());
        async move {
            most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _place = places.acquire().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            here.fetch_sub(1, Ordering::SeqCst);
            answer(200, "helios")
        }
    })
    .await
}

async fn set_weight(proxy: &Proxy, body: Value) -> (u16, String) {
    let answer = proxy.ask(Method::PUT, "/v1/services/a/weight", &body).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

/// flagger#869, argo-rollouts#3888, #4612: the old side was scaled down, and the way back led to a collapse.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_helios_could_take_back_is_sent_to_kubernetes_only_with_force() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service.sides("capacity = 20", "")]);
    let fits = async || proxy.status("a").await["fit"]["fits"].clone();
    eventually("it fits while there is little", async || fits().await == true).await;
    let (status, _) = set_weight(&proxy, json!({ "percent": 60.0, "reason": "r" })).await;
    assert_eq!(status, 200);

    let load = Load::start(proxy.address, "a.test", 8, 400);
    eventually("it does not fit", async || fits().await == false).await;
    let (status, why) = set_weight(&proxy, json!({ "percent": 70.0, "reason": "r" })).await;
    assert_eq!(status, 409);
    assert!(
        why.contains("Helios could not take everything back: Helios can serve 20/s by its capacity"),
        "{why}"
    );
    assert!((proxy.weight("a").await - 60.0).abs() < 1e-9);
    let (status, _) = set_weight(&proxy, json!({ "percent": 70.0, "reason": "r", "force": true })).await;
    assert_eq!(status, 200);
    let (status, _) =
        set_weight(&proxy, json!({ "percent": 30.0, "reason": "less is always possible" })).await;
    assert_eq!(status, 200);
    proxy.counted("switchback_revert_fits", &["service=\"a\""], 0.0).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_revert_of_four_times_too_much_what_fits_is_answered_and_the_rest_is_refused_at_once() {
    let most = Arc::new(AtomicUsize::new(0));
    let (helios, kubernetes) = (small(most.clone()).await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").weight(90.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service.sides("capacity = 250", "").rest("[judge]\nmode = \"off\"\n")]);
    let load = Load::start(proxy.address, "a.test", 200, 1_000);
    // Ten seconds tell how long Helios usually takes.
    eventually("Helios has been watched", async || helios.hits() >= 1_200).await;
    most.store(0, Ordering::SeqCst);
    let before = load.good();
    let revert = json!({ "services": ["a"], "reason": "Kubernetes is to be rebuilt" });
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &revert).await.status, 200);
    assert_eq!(proxy.status("a").await["sheds"], true, "that was known beforehand");
    eventually("Helios answers what it can", async || load.good() >= before + 1_000).await;
    let mut refused = proxy.get("a.test", "/").await;
    while refused.status != 503 {
        refused = proxy.get("a.test", "/").await;
    }
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json()["reason"], "shed");
    let (good, failed, broken) = load.end().await;
    let (good, failed) = ((good - before) as f64, failed as f64);
    assert_eq!(broken, 0);
    assert!(failed > 2.0 * good, "of four a bit more than three were refused: {failed} of {}", good + failed);
    let most = most.load(Ordering::SeqCst);
    assert!(most < 40, "{most} were at Helios at once, of whom five are answered");
    proxy.never("switchback_tries_total", &["outcome=\"header_timeout\""]).await;
}
