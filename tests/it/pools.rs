//! Connections to endpoints: how many, for how long, made when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::support::client::{Over, request, send};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

/// Says for how long it keeps connections, and counts those that were closed toward it.
async fn keeping(header: &'static str, closed: Arc<AtomicUsize>) -> Endpoint {
    Endpoint::raw(move |mut stream| {
        let closed = closed.clone();
        async move {
            let mut buffer = [0; 4_096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: 2\r\n\r\nok");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            closed.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_before_its_endpoint_would_do_it() {
    for (header, lines) in [("keep-alive: timeout=2, max=100\r\n", ""), ("", "idle-connections = \"1s\"")] {
        let closed = Arc::<AtomicUsize>::default();
        let helios = keeping(header, closed.clone()).await;
        let proxy = Proxy::start(&[Service::new("a").helios(helios.address).sides(lines, "")]);
        assert_eq!(proxy.get("a.test", "/").await.text(), "ok");
        assert_eq!(closed.load(Ordering::SeqCst), 0, "it is kept for the next request");
        eventually("it is closed", async || closed.load(Ordering::SeqCst) == 1).await;
    }
}

/// Allows two streams a connection.
async fn of_two_streams(here: Arc<AtomicUsize>, go: Arc<Semaphore>) -> Endpoint {
    Endpoint::raw(move |stream| {
        let (here, go) = (here.clone(), go.clone());
        async move {
            let service = service_fn(move |_| {
                let (here, go) = (here.clone(), go.clone());
                async move {
                    here.fetch_add(1, Ordering::SeqCst);
                    let _ = go.acquire().await;
                    Ok::<_, std::convert::Infallible>(answer(200, "two"))
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.max_concurrent_streams(2).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_spread_over_connections_as_the_endpoint_allows() {
    let (here, go) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(1_000)));
    let helios = of_two_streams(here.clone(), go.clone()).await;
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).protocols("http/2", "http/1.1")]);
    // Both workers have a connection, and know what it may carry.
    for _ in 0..20 {
        assert_eq!(proxy.get("a.test", "/").await.text(), "two");
    }
    let all = go.forget_permits(1_000);
    here.store(0, Ordering::SeqCst);
    let mut asking = JoinSet::new();
    let address = proxy.address;
    for _ in 0..24 {
        asking.spawn(async move {
            send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await.status
        });
    }
    eventually("all are there at once", async || here.load(Ordering::SeqCst) == 24).await;
    go.add_permits(all);
    assert!(asking.join_all().await.into_iter().all(|status| status == 200));
    assert!(helios.connections() >= 12, "{}", helios.connections());
}

/// Answers, but for `/slow`, which waits; and takes leave of its connections when it is told to.
async fn leaving(slow: Arc<Semaphore>, leave: Arc<Notify>) -> Endpoint {
    Endpoint::raw(move |stream| {
        let (slow, leave) = (slow.clone(), leave.clone());
        async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let slow = slow.clone();
                async move {
                    if request.uri().path() == "/slow" {
                        let _ = slow.acquire().await;
                    }
                    Ok::<_, std::convert::Infallible>(answer(200, "as ever"))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
            let leaves = leave.notified();
            tokio::select! {
                _ = connection.as_mut() => return,
                () = leaves => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_leave_of_a_connection_loses_no_request() {
    let (slow, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let helios = leaving(slow.clone(), leave.clone()).await;
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).protocols("http/2", "http/1.1")]);
    let mut asking = JoinSet::new();
    let address = proxy.address;
    for _ in 0..12 {
        asking.spawn(async move {
            send(address, request(Over::Http1, Method::GET, "a.test", "/slow", "")).await.status
        });
    }
    eventually("they wait", async || proxy.metric("switchback_connections", &[]).await >= 12.0).await;
    leave.notify_waiters();
    for _ in 0..40 {
        let posted = send(address, request(Over::Http1, Method::POST, "a.test", "/", "not twice")).await;
        assert_eq!(posted.status, 200);
    }
    slow.add_permits(12);
    assert!(
        asking.join_all().await.into_iter().all(|status| status == 200),
        "those are answered that had begun"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_made_before_the_requests_come_when_a_weight_rises() {
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let helios = Endpoint::start(move |_| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            answer(200, "helios")
        }
    })
    .await;
    let kubernetes = Endpoint::named("kubernetes").await;
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).kubernetes(kubernetes.address)]);
    let mut asking = JoinSet::new();
    let address = proxy.address;
    for _ in 0..16 {
        asking.spawn(async move {
            send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await.status
        });
    }
    eventually("they wait", async || helios.hits() == 16).await;
    assert_eq!(kubernetes.connections(), 0);
    let body = json!({ "percent": 50.0, "reason": "half of them" });
    assert_eq!(proxy.ask(Method::PUT, "/v1/services/a/weight", &body).await.status, 200);
    eventually("half as many connections as requests", async || kubernetes.connections() >= 8).await;
    assert_eq!(kubernetes.hits(), 0);
    while helios.hits() > 0 && !asking.is_empty() {
        go.notify_waiters();
        tokio::select! {
            Some(status) = asking.join_next() => assert_eq!(status.unwrap(), 200),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// Which endpoint answers this user.
async fn answers(proxy: &Proxy, user: u32) -> String {
    let mut asked = request(Over::Http1, Method::GET, "a.test", "/", "");
    asked.headers_mut().insert("x-user", user.into());
    let answer = send(proxy.address, asked).await;
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_user_go_to_one_endpoint_and_only_those_of_one_that_is_gone_go_elsewhere() {
    let mut endpoints =
        vec![Endpoint::named("0").await, Endpoint::named("1").await, Endpoint::named("2").await];
    let service =
        endpoints.iter().fold(Service::new("a"), |service, endpoint| service.helios(endpoint.address));
    let proxy = Proxy::start(&[service.split("affinity = { header = \"x-user\" }")]);
    let mut before = Vec::new();
    for user in 0..30 {
        let first = answers(&proxy, user).await;
        for _ in 0..3 {
            assert_eq!(answers(&proxy, user).await, first, "user {user}");
        }
        before.push(first);
    }
    for endpoint in ["0", "1", "2"] {
        assert!(before.iter().any(|known| known == endpoint), "{endpoint} has nobody");
    }
    drop(endpoints.remove(1));
    for (user, before) in (0..).zip(&before) {
        let after = answers(&proxy, user).await;
        assert!(after == *before || before == "1", "user {user} went from {before} to {after}");
        assert_ne!(after, "1");
    }
}
