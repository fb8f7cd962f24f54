//! Weights that change all the time.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy, Service};

const CHANGES: u32 = 10_000;
/// How long an answer takes.
const USUAL: Duration = Duration::from_millis(25);

/// envoy#22873, istio#29310: weights that change under load crash the proxy or cost requests.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_changes_under_load_cost_no_request_and_no_connection() {
    // Endpoints take their time, so that a machine that is busy does not look like a Helios that has too much.
    let endpoint = || {
        Endpoint::start(|_| async {
            tokio::time::sleep(USUAL).await;
            answer(200, "")
        })
    };
    let (helios, kubernetes) = (endpoint().await, endpoint().await);
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start_in(Folder::in_memory(&[service]));
    let load = Load::start(proxy.address, "a.test", 20, 400);
    let mut admin = Client::connect(proxy.admin, Over::Http1).await;
    let mut took_us = Vec::new();
    for change in 0..CHANGES {
        let percent = f64::from(change * 37 % 10_001) / 100.0;
        let body = json!({ "percent": percent, "reason": "again" }).to_string();
        let sent = request(Over::Http1, Method::PUT, "localhost", "/v1/services/a/weight", body);
        let got = admin.send(sent).await;
        assert_eq!(got.status, 200, "{}", got.text());
        let applied = &got.json()["applied"];
        assert_eq!(applied["workers"], applied["of"], "every worker goes by it: {}", got.text());
        took_us.push(applied["took_us"].as_u64().unwrap());
    }
    let (good, failed, broken) = load.end().await;
    took_us.sort_unstable();
    let at = |share: usize| took_us[took_us.len() * share / 100] as f64 / 1e3;
    eprintln!("applied on every worker in {} ms at the median, {} ms at 99 %", at(50), at(99));
    assert!(good > 0);
    assert_eq!((failed, broken), (0, 0), "of {good} requests");
    assert!(helios.hits() > 0 && kubernetes.hits() > 0);
}
