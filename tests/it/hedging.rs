//! What takes longer on Kubernetes than nearly all does on Helios is asked there too, where the service wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::{Code, Endpoint, answer, grpc};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

const TRIES: &str = "switchback_tries_total";
const RESCUES: &str = "switchback_rescues_total";
const HEDGED: &[&str] = &["result=\"hedged\""];

/// Kubernetes, which can be made to wait, and what lets waiting requests go.
struct Slow {
    endpoint: Endpoint,
    waits: Arc<AtomicBool>,
    go: Arc<Semaphore>,
}

impl Slow {
    async fn answering(with: fn() -> crate::support::endpoint::Answer) -> Self {
        let (waits, go) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(0)));
        let (asked, let_go) = (waits.clone(), go.clone());
        let endpoint = Endpoint::start(move |_| {
            let (asked, let_go) = (asked.clone(), let_go.clone());
            async move {
                if asked.load(Ordering::SeqCst) {
                    let_go.acquire().await.unwrap().forget();
                }
                with()
            }
        })
        .await;
        Self { endpoint, waits, go }
    }
}

fn service(helios: &Endpoint, kubernetes: &Slow, more: &str) -> Service {
    Service::new("a")
        .weight(50.0)
        .helios(helios.address)
        .kubernetes(kubernetes.endpoint.address)
        .protocols("http/2", "http/2")
        .rest(&format!("[judge]\nmode = \"advise\"\n[rescue]\nhedge = true\n{more}\n"))
}

/// Asks until it is known how long Helios takes.
async fn acquaint(proxy: &Proxy, method: &Method, path: &str) {
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    eventually("Helios is known", async || {
        for _ in 0..50 {
            let mut asked = request(Over::Http2, method.clone(), "a.test", path, "");
            asked.headers_mut().insert("x-acquaint", HeaderValue::from_static("1"));
            assert_eq!(client.send(asked).await.status, 200);
        }
        let sensitivity = proxy.ask(Method::GET, "/v1/services/a/sensitivity", &Value::Null).await.json();
        let degradations = sensitivity["degradations"].as_array().unwrap();
        let tail = degradations.iter().find(|degradation| degradation["kind"] == "tail-slower").unwrap();
        tail["why_never"].is_null() || tail["why_never"] == "within what is tolerated"
    })
    .await;
}

/// Waits until at least so many have been counted: a busy machine may have been slow before.
async fn at_least(proxy: &Proxy, name: &str, labels: &[&str], wanted: usize) {
    let wanted = f64::from(u32::try_from(wanted).unwrap());
    eventually(&format!("{name}{labels:?}"), async || proxy.metric(name, labels).await >= wanted).await;
}

/// Waits until every request that reached Kubernetes has ended well.
async fn all_ended_well(proxy: &Proxy, kubernetes: &Slow) {
    let hits = f64::from(u32::try_from(kubernetes.endpoint.hits()).unwrap());
    proxy.counted(TRIES, &["side=\"kubernetes\"", "outcome=\"ok\""], hits).await;
    proxy.counted(TRIES, &["side=\"kubernetes\""], hits).await;
}

/// Asks many at once, of which half are dealt to Kubernetes.
async fn ask_twenty(proxy: &Proxy, method: &Method, path: &str) -> Vec<Answer> {
    let mut asked = Vec::new();
    for _ in 0..20 {
        let (address, method, path) = (proxy.address, method.clone(), path.to_owned());
        asked.push(tokio::spawn(async move {
            let mut client = Client::connect(address, Over::Http2).await;
            let mut asked = request(Over::Http2, method, "a.test", &path, "");
            if path.starts_with("/shop.") {
                asked.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
                *asked.body_mut() = http_body_util::Full::new(bytes::Bytes::from_static(b"\0\0\0\0\x02hi"));
            }
            client.send(asked).await
        }));
    }
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubernetes_is_slow_to_answer_is_answered_by_helios_and_counts_for_what_it_is() {
    let helios = Endpoint::named("helios").await;
    let kubernetes = Slow::answering(|| answer(200, "kubernetes")).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
    acquaint(&proxy, &Method::GET, "/").await;
    kubernetes.waits.store(true, Ordering::SeqCst);
    let hits = kubernetes.endpoint.hits();
    let answers = ask_twenty(&proxy, &Method::GET, "/").await;
    assert!(answers.iter().all(|got| got.text() == "helios"), "nobody waits for Kubernetes");
    let slow = kubernetes.endpoint.hits() - hits;
    assert!(slow > 0);
    at_least(&proxy, RESCUES, HEDGED, slow).await;
    // They go on without their clients, and end well in the end.
    let ended = proxy.metric(TRIES, &["side=\"kubernetes\""]).await;
    assert!(ended <= f64::from(u32::try_from(hits).unwrap()));
    kubernetes.go.add_permits(100);
    all_ended_well(&proxy, &kubernetes).await;
    proxy.never(TRIES, &["fault=\"side\""]).await;
    proxy.never(RESCUES, &["result=\"rescued\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_and_what_nobody_asked_to_hedge_waits_for_its_answer() {
    let helios = Endpoint::named("helios").await;
    let kubernetes = Slow::answering(|| answer(200, "kubernetes")).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
    acquaint(&proxy, &Method::PUT, "/").await;
    kubernetes.waits.store(true, Ordering::SeqCst);
    let hits = (kubernetes.endpoint.hits(), helios.hits());
    let asking = ask_twenty(&proxy, &Method::PUT, "/");
    let letting_go = async {
        eventually("all are under way", async || {
            kubernetes.endpoint.hits() + helios.hits() >= hits.0 + hits.1 + 20
        })
        .await;
        kubernetes.go.add_permits(100);
    };
    let (answers, ()) = tokio::join!(asking, letting_go);
    assert!(answers.iter().any(|got| got.text() == "kubernetes"));
    assert_eq!(kubernetes.endpoint.hits() + helios.hits(), hits.0 + hits.1 + 20, "each was asked once");
    proxy.never(RESCUES, HEDGED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_marked_are_hedged_with_their_bodies() {
    let helios = Endpoint::start(async |seen| {
        assert!(seen.body.is_empty() || seen.body.as_ref() == b"\0\0\0\0\x02hi", "{seen:?}");
        grpc(Code::InTrailers("0"))
    })
    .await;
    let kubernetes = Slow::answering(|| grpc(Code::InTrailers("0"))).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "grpc = [\"shop.Cart/Get\"]")]);
    acquaint(&proxy, &Method::POST, "/shop.Cart/Get").await;
    kubernetes.waits.store(true, Ordering::SeqCst);
    let hits = helios.hits();
    for got in ask_twenty(&proxy, &Method::POST, "/shop.Cart/Get").await {
        assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(helios.hits() - hits, 20, "all were answered by Helios");
    assert!(helios.seen()[hits..].iter().all(|seen| seen.headers["content-type"] == "application/grpc"));
    kubernetes.go.add_permits(100);
    proxy.never(TRIES, &["fault=\"side\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hedge_that_fails_leaves_the_request_with_kubernetes() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let helios = Endpoint::start(move |_| {
        let status = if failing.load(Ordering::SeqCst) { 500 } else { 200 };
        async move { answer(status, "helios") }
    })
    .await;
    let kubernetes = Slow::answering(|| answer(200, "kubernetes")).await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
    acquaint(&proxy, &Method::GET, "/").await;
    fails.store(true, Ordering::SeqCst);
    kubernetes.waits.store(true, Ordering::SeqCst);
    let (hits, kubernetes_hits) = (helios.hits(), kubernetes.endpoint.hits());
    let asking = ask_twenty(&proxy, &Method::GET, "/");
    let letting_go = async {
        // Twenty, and a second try of each that was dealt to Kubernetes.
        eventually("all hedges have been tried", async || {
            let slow = kubernetes.endpoint.hits() - kubernetes_hits;
            slow > 0 && helios.hits() - hits == 20
        })
        .await;
        kubernetes.go.add_permits(100);
    };
    let (answers, ()) = tokio::join!(asking, letting_go);
    let well = answers.iter().filter(|got| got.text() == "kubernetes").count();
    assert_eq!(well, kubernetes.endpoint.hits() - kubernetes_hits, "not lost: {answers:?}");
    all_ended_well(&proxy, &kubernetes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hedge_that_is_not_needed_any_more_is_let_go_and_held_against_nobody() {
    let helios = Slow::answering(|| answer(200, "helios")).await;
    let kubernetes = Slow::answering(|| answer(200, "kubernetes")).await;
    let proxy = Proxy::start(&[service(&helios.endpoint, &kubernetes, "")]);
    acquaint(&proxy, &Method::GET, "/").await;
    let outrun = ["side=\"helios\"", "outcome=\"outrun\"", "fault=\"proxy\""];
    for side in [&helios, &kubernetes] {
        side.waits.store(true, Ordering::SeqCst);
    }
    let (hits, kubernetes_hits) = (helios.endpoint.hits(), kubernetes.endpoint.hits());
    let asking = ask_twenty(&proxy, &Method::GET, "/");
    let letting_go = async {
        eventually("all hedges are under way", async || {
            let slow = kubernetes.endpoint.hits() - kubernetes_hits;
            slow > 0 && helios.endpoint.hits() - hits == 20
        })
        .await;
        let slow = kubernetes.endpoint.hits() - kubernetes_hits;
        kubernetes.go.add_permits(100);
        at_least(&proxy, TRIES, &outrun, slow).await;
        helios.go.add_permits(100);
    };
    let (answers, ()) = tokio::join!(asking, letting_go);
    assert!(answers.iter().all(|got| got.status == 200));
    proxy.never(TRIES, &["fault=\"side\""]).await;
    all_ended_well(&proxy, &kubernetes).await;
}
