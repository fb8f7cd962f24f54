//! The acceptance test: the whole Kubernetes side goes, under load, and no user request fails. The endpoints
//! are processes of their own.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::client::{Over, request, send};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Service};

/// Endpoints a side.
const ENDPOINTS: usize = 3;
const PER_SECOND: u32 = 600;

struct World {
    kubernetes: Vec<(Process, std::net::SocketAddr)>,
    _helios: Vec<(Process, std::net::SocketAddr)>,
    proxy: Proxy,
    load: Load,
}

impl World {
    /// A service at weight 50, under load, and warm.
    async fn start() -> Self {
        let side = |name: &str| -> Vec<_> { (0..ENDPOINTS).map(|_| Process::endpoint(name)).collect() };
        let (helios, kubernetes) = (side("helios"), side("kubernetes"));
        let mut service = Service::new("a").weight(50.0);
        for (_, address) in &helios {
            service = service.helios(*address);
        }
        for (_, address) in &kubernetes {
            service = service.kubernetes(*address);
        }
        let proxy = Proxy::start(&[service]);
        let load = Load::start(proxy.address, "a.test", 40, PER_SECOND);
        eventually("Helios' latency is known", async || load.good() > u64::from(PER_SECOND) * 6).await;
        assert!((proxy.weight("a").await - 50.0).abs() < 1e-9);
        Self { kubernetes, _helios: helios, proxy, load }
    }

    /// Waits for the revert, and checks that nobody has noticed. Gives back the receipt.
    async fn taken_back(self, since: u64) -> Value {
        let Self { kubernetes, proxy, load, .. } = self;
        eventually("the service is taken back", async || {
            proxy.weight("a").await == 0.0 && proxy.status("a").await["why"] == "held"
        })
        .await;
        eventually("the hold is on disk", async || !receipt(&proxy).await["hold_written_unix_ms"].is_null())
            .await;
        let before = load.good();
        eventually("life goes on", async || load.good() > before + 300).await;
        let (good, failed, broken) = load.end().await;
        let receipt = receipt(&proxy).await;
        let took_ms = receipt["reverted_unix_ms"].as_u64().unwrap().saturating_sub(since);
        eprintln!(
            "reverted after {took_ms} ms; {good} requests, {failed} failed, {broken} connections broke"
        );
        assert_eq!((failed, broken), (0, 0), "of {good} requests");
        drop(kubernetes);
        receipt
    }
}

async fn receipt(proxy: &Proxy) -> Value {
    proxy.ask(Method::GET, "/v1/services/a/receipt", &Value::Null).await.json()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What every receipt of the judge tells.
fn check(receipt: &Value, question: &[&str]) {
    let finding = &receipt["finding"];
    assert_eq!(receipt["by"], "judge");
    assert_eq!(receipt["weight_before_percent"], 50.0);
    assert!(question.contains(&finding["question"].as_str().unwrap()), "{receipt:#}");
    assert!(finding["kubernetes_bad"].as_u64().unwrap() >= 12, "{receipt:#}");
    assert!(finding["evidence_s"].as_f64().unwrap() >= finding["promise_s"].as_f64().unwrap());
    assert!(finding["gate_nats"].as_f64().unwrap() >= finding["gate_needed_nats"].as_f64().unwrap());
    assert_eq!(receipt["unrescued"], 0);
    assert_eq!(receipt["applied"]["workers"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kubernetes_endpoints_are_killed_and_no_user_request_fails() {
    let mut world = World::start().await;
    let since = now();
    for (endpoint, _) in &mut world.kubernetes {
        endpoint.kill();
    }
    let receipt = world.taken_back(since).await;
    check(&receipt, &["failure"]);
    assert!(receipt["rescued"].as_u64().unwrap() > 0);
    let blamed = receipt["blamed"].as_array().unwrap();
    assert!(blamed.iter().any(|blamed| blamed["cause"] == "connect_refused"), "{receipt:#}");
    assert_eq!(receipt["helios"]["failed"], 0);
}

/// A stopped process takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn all_kubernetes_endpoints_hang_and_no_user_request_fails() {
    let world = World::start().await;
    let since = now();
    for (endpoint, _) in &world.kubernetes {
        endpoint.signal(Signal::SIGSTOP);
    }
    // In its first minute only failures and stalls are looked at.
    let receipt = world.taken_back(since).await;
    check(&receipt, &["stall"]);
    assert!(receipt["hanging"].as_u64().unwrap() > 0, "{receipt:#}");
    let blamed = receipt["blamed"].as_array().unwrap();
    assert!(
        blamed.iter().all(|blamed| blamed["cause"] != "header_timeout"),
        "nobody waited that long: {receipt:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kubernetes_endpoints_answer_500_and_no_user_request_fails() {
    let world = World::start().await;
    let since = now();
    for (_, address) in &world.kubernetes {
        let order = json!({ "failures": 1.0, "status": 500 }).to_string();
        let order = request(Over::Http1, Method::PUT, "endpoint", "/-/behave", order);
        assert_eq!(send(*address, order).await.status, 200);
    }
    let receipt = world.taken_back(since).await;
    check(&receipt, &["failure"]);
    assert!(receipt["blamed"].as_array().unwrap().iter().all(|blamed| blamed["cause"] == "status"));
}
