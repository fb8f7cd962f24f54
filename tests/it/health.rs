//! Endpoints that fail their checks are not asked, unless too few are left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

/// Answers requests well, and checks as it is told to.
async fn checked(name: &'static str, well: Arc<AtomicBool>) -> Endpoint {
    Endpoint::start(move |seen| {
        let well = well.load(Ordering::SeqCst) || seen.uri.path() != "/healthz";
        async move { if well { answer(200, name) } else { answer(503, "not now") } }
    })
    .await
}

struct Stage {
    proxy: Proxy,
    well: Vec<Arc<AtomicBool>>,
    endpoints: Vec<Endpoint>,
}

async fn stage() -> Stage {
    let well: Vec<Arc<AtomicBool>> = (0..3).map(|_| Arc::new(AtomicBool::new(true))).collect();
    let mut endpoints = Vec::new();
    for (name, well) in ["0", "1", "2"].into_iter().zip(&well) {
        endpoints.push(checked(name, well.clone()).await);
    }
    let service =
        endpoints.iter().fold(Service::new("a"), |service, endpoint| service.helios(endpoint.address));
    let check = "[helios.check]\npath = \"/healthz\"\nevery = \"1s\"\nfall = 2\nrise = 1\n";
    Stage { proxy: Proxy::start(&[service.rest(check)]), well, endpoints }
}

async fn ill(proxy: &Proxy, wanted: u64) {
    eventually(&format!("{wanted} fail"), async || proxy.status("a").await["helios"]["ill"] == wanted).await;
}

/// Who answers of so many requests.
async fn who(proxy: &Proxy) -> Vec<String> {
    let mut who = Vec::new();
    for _ in 0..40 {
        let answer = proxy.get("a.test", "/").await;
        assert_eq!(answer.status, 200);
        who.push(answer.text().to_owned());
    }
    who.sort();
    who.dedup();
    who
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_its_checks_is_not_asked_until_it_passes_them() {
    let stage = stage().await;
    eventually("all are checked", async || {
        stage
            .endpoints
            .iter()
            .all(|endpoint| endpoint.seen().iter().any(|seen| seen.uri.path() == "/healthz"))
    })
    .await;
    assert_eq!(who(&stage.proxy).await, ["0", "1", "2"]);
    stage.well[1].store(false, Ordering::SeqCst);
    ill(&stage.proxy, 1).await;
    assert_eq!(who(&stage.proxy).await, ["0", "2"]);
    stage.proxy.counted("switchback_endpoints_ill", &["side=\"helios\""], 1.0).await;
    stage.well[1].store(true, Ordering::SeqCst);
    ill(&stage.proxy, 0).await;
    // It comes back as one that is new: slowly.
    eventually("it is asked again", async || who(&stage.proxy).await.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_few_are_left_those_who_fail_are_asked_all_the_same() {
    let stage = stage().await;
    for well in &stage.well[..2] {
        well.store(false, Ordering::SeqCst);
    }
    ill(&stage.proxy, 2).await;
    eventually("it panics", async || stage.proxy.status("a").await["helios"]["panics"] == true).await;
    assert_eq!(who(&stage.proxy).await, ["0", "1", "2"], "one of three could not carry the load");
    stage.well[0].store(true, Ordering::SeqCst);
    ill(&stage.proxy, 1).await;
    assert_eq!(who(&stage.proxy).await, ["0", "2"]);
}

/// What is not checked any more is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn without_checks_nobody_is_ill() {
    let stage = stage().await;
    stage.well[1].store(false, Ordering::SeqCst);
    ill(&stage.proxy, 1).await;
    let unchecked =
        stage.endpoints.iter().fold(Service::new("a"), |service, endpoint| service.helios(endpoint.address));
    stage.proxy.folder.write(&unchecked);
    ill(&stage.proxy, 0).await;
    eventually("it is asked again", async || who(&stage.proxy).await.len() == 3).await;
}
