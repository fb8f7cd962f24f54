//! How many requests a service, a side and the process may have in hand, and what becomes of the others.

use std::sync::Arc;

use http::{HeaderValue, Method};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};

const TRIES: &str = "switchback_tries_total";
const REFUSED: &str = "switchback_refused_requests_total";
const ANSWERS: &str = "switchback_answers_total";
const FULL: &[&str] = &["reason=\"in_flight_limit\"", "service=\"a\""];

/// An endpoint that answers each request when it is allowed to.
async fn gated(name: &'static str) -> (Endpoint, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let endpoint = Endpoint::start(move |_| {
        let opened = opened.clone();
        async move {
            opened.acquire().await.unwrap().forget();
            answer(200, name)
        }
    })
    .await;
    (endpoint, gate)
}

/// Asks over a connection of its own, in the background.
fn ask(proxy: &Proxy, method: Method) -> JoinHandle<Answer> {
    let address = proxy.address;
    tokio::spawn(async move {
        let mut client = Client::connect(address, Over::Http1).await;
        client.send(request(Over::Http1, method, "a.test", "/", "")).await
    })
}

async fn arrived(endpoint: &Endpoint, count: usize) {
    eventually("requests arrive", async || endpoint.hits() >= count).await;
    assert_eq!(endpoint.hits(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_requests_in_flight_of_a_service_others_are_told_to_come_later() {
    let (helios, gate) = gated("helios").await;
    let service = Service::new("a").helios(helios.address).rest("[limits]\nin-flight = 2\nqueue = 0\n");
    let other = Endpoint::named("other").await;
    let folder = Folder::with(&[service, Service::new("b").helios(other.address)]);
    folder.add_to_process("[listeners.http.limits]\ncancelled = 1\n");
    let proxy = Proxy::start_in(folder);
    let first = [ask(&proxy, Method::GET), ask(&proxy, Method::GET)];
    arrived(&helios, 2).await;
    let refused = proxy.get("a.test", "/").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        (&refused.json()["reason"], &refused.json()["fault"]),
        (&"in_flight_limit".into(), &"proxy".into())
    );
    assert_eq!(proxy.get("b.test", "/").await.status, 200, "one service's trouble is not another's");
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    for _ in 0..4 {
        assert_eq!(client.get("a.test", "/").await.status, 503);
    }
    proxy.counted(REFUSED, FULL, 5.0).await;
    // Who is refused has not given up: the connection goes on.
    proxy.never(REFUSED, &["reason=\"rapid_reset\""]).await;
    gate.add_permits(3);
    for asked in first {
        assert_eq!(asked.await.unwrap().text(), "helios");
    }
    assert_eq!(client.get("a.test", "/").await.text(), "helios");
    proxy.counted(ANSWERS, &["service=\"a\"", "class=\"5xx\""], 5.0).await;
    proxy.counted(TRIES, &["service=\"a\""], 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_turn_gets_it_and_past_the_queue_nobody_waits() {
    let (helios, gate) = gated("helios").await;
    let limits = "[limits]\nin-flight = 1\nqueue = 1\nqueue-wait = \"1h\"\n[timeouts]\nrequest = \"2h\"\n";
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).rest(limits)]);
    let first = ask(&proxy, Method::GET);
    arrived(&helios, 1).await;
    let waiting = [ask(&proxy, Method::POST), ask(&proxy, Method::POST)];
    // One of them waits, and the other is told at once.
    proxy.counted(REFUSED, FULL, 1.0).await;
    assert_eq!(helios.hits(), 1, "who waits is not sent");
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, 200);
    let mut statuses = Vec::new();
    for asked in waiting {
        statuses.push(asked.await.unwrap().status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    assert_eq!(helios.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_turn_longer_than_the_queue_allows() {
    let (helios, gate) = gated("helios").await;
    let limits = "[limits]\nin-flight = 1\nqueue-wait = \"50ms\"\n";
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).rest(limits)]);
    let first = ask(&proxy, Method::GET);
    arrived(&helios, 1).await;
    assert_eq!(proxy.get("a.test", "/").await.status, 503);
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(proxy.get("a.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_waiting_gives_up_its_place_in_the_queue() {
    let (helios, gate) = gated("helios").await;
    let other = Endpoint::named("other").await;
    let limits = "[limits]\nin-flight = 1\nqueue = 1\nqueue-wait = \"1m\"\n";
    let proxy = Proxy::start(&[
        Service::new("a").helios(helios.address).rest(limits),
        Service::new("b").helios(other.address),
    ]);
    let first = ask(&proxy, Method::GET);
    arrived(&helios, 1).await;
    let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let waits = sender.send_request(request(Over::Http2, Method::GET, "a.test", "/", ""));
    let mut client = Client::of_http2(sender);
    // What comes later over the same connection is answered later.
    assert_eq!(client.get("b.test", "/").await.status, 200);
    assert_eq!(proxy.get("a.test", "/").await.status, 503, "its place is the only one");
    drop(waits);
    assert_eq!(client.get("b.test", "/").await.status, 200);
    let next = ask(&proxy, Method::GET);
    // It is given its turn, now or once it waits.
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(next.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubernetes_has_no_room_for_is_answered_by_helios_and_held_against_nobody() {
    let (kubernetes, gate) = gated("kubernetes").await;
    let helios = Endpoint::named("helios").await;
    let text = Service::new("a").weight(100.0).helios(helios.address).kubernetes(kubernetes.address).text();
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    let limited = text.replace("[kubernetes]", "[kubernetes]\nin-flight = 1");
    std::fs::write(folder.file("a"), limited).unwrap();
    let proxy = Proxy::start_in(folder);
    let first = ask(&proxy, Method::GET);
    arrived(&kubernetes, 1).await;
    for method in [Method::GET, Method::POST] {
        let got = ask(&proxy, method.clone()).await.unwrap();
        assert_eq!(
            got.text(),
            "helios",
            "{method}: nothing of it was sent, so anything may be asked elsewhere"
        );
    }
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().text(), "kubernetes");
    let full = ["side=\"kubernetes\"", "outcome=\"in_flight_limit\"", "fault=\"proxy\""];
    proxy.counted(TRIES, &full, 2.0).await;
    proxy.never(TRIES, &["fault=\"side\""]).await;
    proxy.counted("switchback_rescues_total", &["result=\"rescued\""], 2.0).await;
    assert_eq!(kubernetes.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_helios_one_waits_as_nobody_else_can_answer() {
    let (helios, gate) = gated("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    let text = Service::new("a").helios(helios.address).rest("[limits]\nqueue = 1\n").text();
    std::fs::write(folder.file("a"), text.replace("[helios]", "[helios]\nin-flight = 1")).unwrap();
    let proxy = Proxy::start_in(folder);
    let asked = [ask(&proxy, Method::GET), ask(&proxy, Method::GET)];
    arrived(&helios, 1).await;
    gate.add_permits(2);
    for asked in asked {
        assert_eq!(asked.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_its_quota_and_more_is_refused_in_the_words_of_its_protocol() {
    let helios = Endpoint::named("helios").await;
    let quota = "[limits]\nrate = 1\nburst = 3\n";
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).rest(quota)]);
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(client.get("a.test", "/").await.status.as_u16());
    }
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let mut call = request(Over::Http2, Method::POST, "a.test", "/shop.Cart/Add", "");
    call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut refused = client.get("a.test", "/").await;
    let mut code = client.send(call.clone()).await;
    while refused.status != 429 || code.header("grpc-status") != "8" {
        // A second has passed meanwhile, on a busy machine.
        refused = client.get("a.test", "/").await;
        code = client.send(call.clone()).await;
    }
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.json()["reason"], "rate_limit");
    assert_eq!(refused.json()["service"], "a", "who is over the limit is told");
    eventually("they are counted", async || {
        proxy.metric(REFUSED, &["reason=\"rate_limit\"", "service=\"a\""]).await >= 3.0
    })
    .await;
    proxy.never(TRIES, &["fault=\"proxy\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_has_a_bound_on_requests_in_flight() {
    let (helios, gate) = gated("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    // One for each of the two workers; a connection is one worker's.
    folder.add_to_process("[limits]\nin-flight = 2\n");
    let proxy = Proxy::start_in(folder);
    let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let mut client = Client::of_http2(sender.clone());
    let first = tokio::spawn(async move { client.get("a.test", "/").await });
    arrived(&helios, 1).await;
    let mut client = Client::of_http2(sender);
    let refused = client.get("a.test", "/").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["reason"]), (503, &"overloaded".into()));
    assert_eq!(refused.json()["service"], "a");
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(client.get("a.test", "/").await.status, 200);
}

/// Who is in is in by the bound that was there; whoever comes later by the new one. A change of anything else keeps
/// both the bound and the count.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_something_else_does_not_forget_who_is_in() {
    let (helios, gate) = gated("helios").await;
    let limits = "[limits]\nin-flight = 1\nqueue = 0\n";
    let service = || Service::new("a").helios(helios.address);
    let proxy = Proxy::start(&[service().rest(limits)]);
    let first = ask(&proxy, Method::GET);
    arrived(&helios, 1).await;
    let generation = proxy.metric("switchback_snapshot_generation", &[]).await;
    proxy.folder.write(&service().rest(&format!("{limits}[timeouts]\nidle = \"7s\"\n")));
    eventually("it is read", async || proxy.metric("switchback_snapshot_generation", &[]).await > generation)
        .await;
    assert_eq!(proxy.get("a.test", "/").await.status, 503);
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
}
