//! What failed on Kubernetes and can safely be asked again is answered by Helios; what cannot, is not.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Over, request, send};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::proxy::{Proxy, Service};

const K_FAILED: &[&str] = &["side=\"kubernetes\"", "fault=\"side\""];
const RESCUED: &[&str] = &["result=\"rescued\""];
const UNRESCUED: &[&str] = &["result=\"unrescued\""];

/// All requests go to Kubernetes first, whatever comes of it.
fn service(helios: &Endpoint, kubernetes: std::net::SocketAddr) -> Service {
    let rest = "[judge]\nmode = \"off\"\n[timeouts]\nheader = \"300ms\"\n";
    Service::new("a").weight(100.0).helios(helios.address).kubernetes(kubernetes).rest(rest)
}

/// Kubernetes endpoints that fail, each in its way, before any byte of an answer.
async fn failing() -> Vec<(&'static str, Endpoint)> {
    let closes = Endpoint::raw(async |mut stream| {
        let mut head = vec![0; 70_000];
        let _ = stream.read(&mut head).await;
    })
    .await;
    let babbles = Endpoint::raw(async |mut stream| {
        let mut head = vec![0; 70_000];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"\x16\x03\x01 not http\r\n\r\n").await;
    })
    .await;
    vec![
        ("answers 500", Endpoint::status(500).await),
        ("answers 503", Endpoint::status(503).await),
        ("closes", closes),
        ("babbles", babbles),
        ("hangs", Endpoint::hanging().await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_idempotent_is_rescued_from_every_kind_of_failure() {
    let helios = Endpoint::named("helios").await;
    for (what, kubernetes) in failing().await {
        let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            let body = if method == Method::PUT { "a body" } else { "" };
            let got = send(proxy.address, request(Over::Http1, method.clone(), "a.test", "/", body)).await;
            assert_eq!(got.status, 200, "{method} where Kubernetes {what}");
        }
        proxy.counted("switchback_rescues_total", RESCUED, 5.0).await;
        proxy.counted("switchback_tries_total", K_FAILED, 5.0).await;
        proxy.never("switchback_rescues_total", UNRESCUED).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_is_rescued_whatever_it_is() {
    let helios = Endpoint::start(async move |seen| answer(200, seen.body)).await;
    let refusing = Endpoint::refusing().await;
    for protocol in ["http/1.1", "http/2"] {
        let proxy = Proxy::start(&[service(&helios, refusing).protocols("http/1.1", protocol)]);
        let large = Bytes::from(vec![7; 300_000]);
        for method in [Method::POST, Method::PATCH, Method::GET] {
            let got =
                send(proxy.address, request(Over::Http1, method.clone(), "a.test", "/", large.clone())).await;
            assert!(got.body == large, "{method} over {protocol}: the whole body, none of it lost");
        }
        proxy.counted("switchback_rescues_total", RESCUED, 3.0).await;
    }
}

/// The body is kept while it streams, so it can be sent again from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_body_is_sent_again_whole_and_a_larger_one_is_not_sent_twice() {
    let helios = Endpoint::start(async move |seen| answer(200, seen.body)).await;
    let kubernetes = Endpoint::start(async move |_| answer(500, "")).await;
    let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
    for size in [1, 1_000, 65_536] {
        let body = Bytes::from((0..=250).cycle().take(size).collect::<Vec<_>>());
        let got = send(proxy.address, request(Over::Http1, Method::PUT, "a.test", "/", body.clone())).await;
        assert!(got.status == 200 && got.body == body, "{size} bytes");
    }
    let before = helios.hits();
    let body = Bytes::from(vec![1; 65_537]);
    let got = send(proxy.address, request(Over::Http1, Method::PUT, "a.test", "/", body)).await;
    assert_eq!(got.status, 500, "Kubernetes' own answer");
    assert_eq!(helios.hits(), before);
    proxy.counted("switchback_rescues_total", UNRESCUED, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_reached_an_endpoint_is_never_sent_twice() {
    let helios = Endpoint::named("helios").await;
    for (what, kubernetes) in failing().await {
        let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
        let got = send(proxy.address, request(Over::Http1, Method::POST, "a.test", "/", "order")).await;
        assert!(got.status.is_server_error(), "{what}: {}", got.status);
        assert_eq!(helios.hits(), 0, "{what}");
        proxy.counted("switchback_rescues_total", UNRESCUED, 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_helios_cannot_answer_either_the_client_gets_what_kubernetes_said() {
    let kubernetes = Endpoint::start(async move |_| {
        let mut told = answer(503, "kubernetes says no");
        told.headers_mut().insert("x-why", HeaderValue::from_static("maintenance"));
        told
    })
    .await;
    let refusing = Endpoint::refusing().await;
    let rest = "[judge]\nmode = \"off\"\n";
    let service = Service::new("a").weight(100.0).helios(refusing).kubernetes(kubernetes.address).rest(rest);
    let proxy = Proxy::start(&[service]);
    let got = proxy.get("a.test", "/").await;
    assert_eq!((got.status.as_u16(), got.text()), (503, "kubernetes says no"));
    assert_eq!(got.header("x-why"), "maintenance");
    proxy.counted("switchback_rescues_total", UNRESCUED, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_helios_fails_too_its_answer_is_told_and_nobody_was_rescued() {
    let (helios, kubernetes) = (Endpoint::status(502).await, Endpoint::status(500).await);
    let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
    assert_eq!(proxy.get("a.test", "/").await.status, 502);
    proxy.counted("switchback_rescues_total", UNRESCUED, 1.0).await;
    proxy.never("switchback_rescues_total", RESCUED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_begun_is_not_rescued() {
    let helios = Endpoint::named("helios").await;
    let kubernetes = Endpoint::raw(async |mut stream| {
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    })
    .await;
    let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
    let mut client = crate::support::client::Client::connect(proxy.address, Over::Http1).await;
    let got = client.try_send(request(Over::Http1, Method::GET, "a.test", "/", "")).await;
    assert!(got.is_err(), "a broken answer stays broken");
    assert_eq!(helios.hits(), 0);
    proxy.counted("switchback_tries_total", &["outcome=\"truncated\"", "side=\"kubernetes\""], 1.0).await;
    proxy.counted("switchback_rescues_total", UNRESCUED, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helios_fails_is_not_asked_on_kubernetes() {
    let (helios, kubernetes) = (Endpoint::status(500).await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service]);
    assert_eq!(proxy.get("a.test", "/").await.status, 500);
    assert_eq!(kubernetes.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rescue_can_be_switched_off_and_limited() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(500).await);
    for (rescue, rescued) in [("enabled = false", 0..=0), ("budget = 0.0", 5..=40), ("", 200..=200)] {
        let rest = format!("[judge]\nmode = \"off\"\n[rescue]\n{rescue}\n");
        let service = service(&helios, kubernetes.address).rest(&rest);
        let proxy = Proxy::start(&[service]);
        let mut client = crate::support::client::Client::connect(proxy.address, Over::Http1).await;
        let mut good = 0;
        for _ in 0..200 {
            good += usize::from(client.get("a.test", "/").await.status == 200);
        }
        // With no share there is the floor: ten to begin with, and ten a second.
        assert!(rescued.contains(&good), "{rescue}: {good} rescued");
        let over_budget = proxy.metric("switchback_rescues_total", &["result=\"over_budget\""]).await;
        assert!(rescue.contains("budget") || over_budget.abs() < 1e-9, "{rescue}: {over_budget}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_answers_of_kubernetes_are_its_own() {
    let helios = Endpoint::named("helios").await;
    for status in [200, 301, 404, 429] {
        let kubernetes = Endpoint::status(status).await;
        let proxy = Proxy::start(&[service(&helios, kubernetes.address)]);
        assert_eq!(proxy.get("a.test", "/").await.status, status);
    }
    assert_eq!(helios.hits(), 0);
}

/// A side that sheds load must not have to make connections anew as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_answer_gives_its_connection_back() {
    for protocol in ["http/1.1", "http/2"] {
        let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(503).await);
        let service = Service::new("a").weight(100.0).helios(helios.address).kubernetes(kubernetes.address);
        let proxy =
            Proxy::start(&[service.protocols("http/1.1", protocol).rest("[judge]\nmode = \"off\"\n")]);
        let mut client = Client::connect(proxy.address, Over::Http1).await;
        for _ in 0..5 {
            assert_eq!(client.send(request(Over::Http1, Method::POST, "a.test", "/", "x")).await.status, 503);
        }
        assert_eq!((kubernetes.hits(), kubernetes.connections()), (5, 1), "{protocol}");
        for _ in 0..20 {
            assert_eq!(client.get("a.test", "/").await.text(), "helios");
        }
        assert_eq!(kubernetes.hits(), 25);
        // What nobody wants is read beside the rescue, and may not have been by the next request.
        assert!(kubernetes.connections() < 10, "{protocol}: {}", kubernetes.connections());
    }
}
