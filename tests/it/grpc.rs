//! gRPC calls fail under a status of 200: what counts is the code behind the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Code, Endpoint, answer, grpc};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Proxy, Service};

const TRIES: &str = "switchback_tries_total";
const OK: &[&str] = &["side=\"kubernetes\"", "outcome=\"ok\""];
const FAILED: &[&str] = &["side=\"kubernetes\"", "outcome=\"grpc_status\"", "fault=\"side\""];
const TIMED: &[&str] = &["side=\"kubernetes\""];

/// A call's request; `method` is POST unless a test wants something that can be asked again.
fn call(method: Method) -> Request<Full<Bytes>> {
    let mut call = request(Over::Http2, method, "a.test", "/shop.Cart/Add", "\0\0\0\0\x02hi");
    call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    call.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    call
}

async fn answers(code: Code) -> Endpoint {
    Endpoint::start(move |_| async move { grpc(code) }).await
}

/// All calls go to Kubernetes first, whatever comes of it.
fn service(helios: &Endpoint, kubernetes: &Endpoint, failures: &str) -> Service {
    Service::new("a")
        .weight(100.0)
        .helios(helios.address)
        .kubernetes(kubernetes.address)
        .protocols("http/2", "http/2")
        .rest(&format!("[judge]\nmode = \"off\"\n[failures]\n{failures}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_counted_by_its_code_wherever_that_stands() {
    let helios = answers(Code::InTrailers("0")).await;
    for (code, failures, fails) in [
        (Code::InTrailers("0"), "", false),
        (Code::InTrailers("14"), "", true),
        (Code::InTrailers("5"), "", false),
        (Code::InTrailers("5"), "grpc = [\"NOT_FOUND\"]", true),
        (Code::InTrailers("14"), "grpc = [\"NOT_FOUND\"]", false),
        (Code::InTrailers("1%34"), "", true),
        (Code::InHead("14"), "", true),
        (Code::InHead("5"), "", false),
        (Code::Missing, "", true),
        (Code::Missing, "grpc = [\"UNAVAILABLE\"]", false),
    ] {
        let kubernetes = answers(code).await;
        let proxy = Proxy::start(&[service(&helios, &kubernetes, failures)]);
        let mut client = Client::connect(proxy.address, Over::Http2).await;
        let got = client.send(call(Method::POST)).await;
        let what = format!("{code:?} by {failures:?}");
        let passed = match code {
            Code::InHead(code) => (got.header("grpc-status").to_owned(), code),
            Code::InTrailers(code) => {
                (got.trailers.unwrap()["grpc-status"].to_str().unwrap().to_owned(), code)
            }
            Code::Missing => (String::new(), ""),
        };
        assert_eq!(passed.0, passed.1, "{what}: the client gets what Kubernetes said");
        assert_eq!(helios.hits(), 0, "{what}: a POST is not asked twice");
        proxy.counted(TRIES, if fails { FAILED } else { OK }, 1.0).await;
        proxy.counted(TRIES, &[], 1.0).await;
        let unrescued = if fails { 1.0 } else { 0.0 };
        proxy.counted("switchback_rescues_total", &["result=\"unrescued\""], unrescued).await;
        // How long a failure took tells nothing, where that is known before it is told.
        let timed = if fails && matches!(code, Code::InHead(_)) { 0.0 } else { 1.0 };
        proxy.counted("switchback_answer_seconds_count", TIMED, timed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_fails_needs_no_code_and_any_other_but_200_has_none() {
    let helios = answers(Code::InTrailers("0")).await;
    for (status, labels) in
        [(503, &["side=\"kubernetes\"", "outcome=\"status\""][..]), (404, OK), (200, FAILED)]
    {
        let kubernetes = Endpoint::start(move |_| async move { answer(status, "<html>") }).await;
        let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
        let mut client = Client::connect(proxy.address, Over::Http2).await;
        assert_eq!(client.send(call(Method::POST)).await.status, status);
        proxy.counted(TRIES, labels, 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_the_head_tells_is_rescued_where_the_call_may_be_asked_again() {
    let (helios, kubernetes) = (answers(Code::InTrailers("0")).await, answers(Code::InHead("14")).await);
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let got = client.send(call(Method::PUT)).await;
    assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(got.body.as_ref(), b"\0\0\0\0\x02ok");
    proxy.counted("switchback_rescues_total", &["result=\"rescued\""], 1.0).await;
    proxy.counted(TRIES, FAILED, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_grpc_call_has_no_code_to_wait_for() {
    let (helios, kubernetes) = (answers(Code::InTrailers("0")).await, answers(Code::InTrailers("14")).await);
    let proxy = Proxy::start(&[service(&helios, &kubernetes, "")]);
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    for content_type in ["application/grpc-web+proto", "application/json"] {
        let mut call = call(Method::POST);
        call.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
        assert_eq!(client.send(call).await.status, 200);
    }
    proxy.counted(TRIES, OK, 2.0).await;
}

/// An endpoint behind HTTP/1.1 ends its trailers with the answer, and the next request goes the same way.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_in_the_trailers_of_http1_counts_as_well() {
    let helios = answers(Code::InTrailers("0")).await;
    let kubernetes = Endpoint::raw(async |mut stream| {
        let mut head = [0; 4_096];
        for code in ["14", "0", "0"] {
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n\
                 2\r\nok\r\n0\r\ngrpc-status: {code}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    })
    .await;
    let service = service(&helios, &kubernetes, "").protocols("http/2", "http/1.1");
    let proxy = Proxy::start(&[service]);
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    for code in ["14", "0", "0"] {
        let mut call = call(Method::POST);
        *call.body_mut() = Full::default();
        let got = client.send(call).await;
        assert_eq!(got.trailers.unwrap()["grpc-status"], code);
    }
    proxy.counted(TRIES, FAILED, 1.0).await;
    proxy.counted(TRIES, OK, 2.0).await;
    proxy.counted(TRIES, &[], 3.0).await;
}

/// A service at weight 50 under calls; its Kubernetes side does as it is told once it is told to degrade.
struct World {
    degraded: Arc<AtomicBool>,
    _sides: [Endpoint; 2],
    proxy: Proxy,
    load: Load,
}

impl World {
    async fn start(code: Code) -> Self {
        let degraded = Arc::<AtomicBool>::default();
        let helios = answers(Code::InTrailers("0")).await;
        let kubernetes = Endpoint::start({
            let degraded = degraded.clone();
            move |_| {
                let code = if degraded.load(Ordering::SeqCst) { code } else { Code::InTrailers("0") };
                async move { grpc(code) }
            }
        })
        .await;
        let service = service(&helios, &kubernetes, "").weight(50.0).rest("");
        let proxy = Proxy::start(&[service]);
        let load = Load::asking(proxy.address, Over::Http2, 20, 400, || call(Method::POST));
        eventually("both sides are known", async || load.good() > 800).await;
        Self { degraded, _sides: [helios, kubernetes], proxy, load }
    }

    fn degrade(&self) {
        self.degraded.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_whose_calls_end_unavailable_under_200_is_taken_back() {
    let World { degraded, _sides, proxy, load } = World::start(Code::InTrailers("14")).await;
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9);
    degraded.store(true, Ordering::SeqCst);
    eventually("the service is taken back", async || proxy.status("a").await["why"] == "held").await;
    let (_, failed, broken) = load.end().await;
    assert_eq!((failed, broken), (0, 0), "every status was 200");
    let receipt = proxy.ask(Method::GET, "/v1/services/a/receipt", &Value::Null).await.json();
    assert_eq!(receipt["finding"]["question"], "failure", "{receipt:#}");
    assert!(receipt["finding"]["kubernetes_bad"].as_u64().unwrap() >= 12, "{receipt:#}");
    assert_eq!(receipt["finding"]["helios_bad"], 0, "{receipt:#}");
    assert!(receipt["unrescued"].as_u64().unwrap() >= 12, "a POST is not asked twice: {receipt:#}");
    let blamed = receipt["blamed"].as_array().unwrap();
    assert!(!blamed.is_empty() && blamed.iter().all(|blamed| blamed["cause"] == "grpc_status"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_end_with_a_code_that_is_no_failure_change_nothing() {
    let world = World::start(Code::InTrailers("5")).await;
    let before = world.load.good();
    world.degrade();
    // Twice as many as it takes where the code is a failure.
    eventually("calls go on", async || world.load.good() > before + 1_600).await;
    assert!((world.proxy.weight("a").await - 50.0).abs() < 1e-9);
    let failed = world.proxy.metric(TRIES, &["fault=\"side\""]).await;
    assert!(failed.abs() < 1e-9, "{failed}");
}

fn post() -> Request<Full<Bytes>> {
    call(Method::POST)
}

const MARKED: &str = "[rescue]\ngrpc = [\"shop.Cart/Add\"]\n";

/// A service whose calls go to Kubernetes first, with more sections.
fn rescuing(helios: &Endpoint, kubernetes: std::net::SocketAddr, rest: &str) -> Service {
    Service::new("a")
        .weight(100.0)
        .helios(helios.address)
        .kubernetes(kubernetes)
        .protocols("http/2", "http/2")
        .rest(&format!("[judge]\nmode = \"off\"\n{rest}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_marked_safe_is_answered_by_helios_and_another_only_if_nothing_was_sent() {
    let helios = answers(Code::InTrailers("0")).await;
    let failing = answers(Code::InHead("14")).await;
    let dropping = Endpoint::raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4_096]).await;
    })
    .await;
    let refusing = Endpoint::refusing().await;
    for (what, kubernetes, rest, saved) in [
        ("a code, marked", failing.address, MARKED, true),
        ("a code, not marked", failing.address, "", false),
        ("all of the service", failing.address, "[rescue]\ngrpc = [\"shop.Cart/*\"]\n", true),
        ("another method", failing.address, "[rescue]\ngrpc = [\"shop.Cart/Get\"]\n", false),
        ("broken off, marked", dropping.address, MARKED, true),
        ("broken off, not marked", dropping.address, "", false),
        ("refused, not marked", refusing, "", true),
    ] {
        let before = helios.hits();
        let proxy = Proxy::start(&[rescuing(&helios, kubernetes, rest)]);
        let got = Client::connect(proxy.address, Over::Http2).await.send(post()).await;
        let code = got.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        let code = code.map_or(got.header("grpc-status"), |code| code.to_str().unwrap());
        assert_eq!((got.status.as_u16(), code), (200, if saved { "0" } else { "14" }), "{what}");
        assert_eq!(helios.hits() - before, usize::from(saved), "{what}");
        proxy.counted(TRIES, &["side=\"kubernetes\"", "fault=\"side\""], 1.0).await;
    }
}

/// A hung Kubernetes is taken back, and calls that wait for it and are marked do not wait out their timeouts.
#[tokio::test(flavor = "multi_thread")]
async fn marked_calls_that_hang_are_called_in_by_a_revert() {
    let helios = answers(Code::InTrailers("0")).await;
    let hanging = Endpoint::streaming(|_| std::future::pending()).await;
    let proxy = Proxy::start(&[rescuing(&helios, hanging.address, MARKED)]);
    let address = proxy.address;
    let waiting: Vec<_> = (0..4)
        .map(|_| tokio::spawn(async move { Client::connect(address, Over::Http2).await.send(post()).await }))
        .collect();
    eventually("all of them wait for Kubernetes", async || hanging.hits() == 4).await;
    let revert = serde_json::json!({ "services": ["a"], "reason": "it hangs" });
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &revert).await.status, 200);
    for waiting in waiting {
        let got = waiting.await.unwrap();
        assert_eq!(got.trailers.unwrap()["grpc-status"], "0", "Helios has answered");
    }
    proxy.counted(TRIES, &["outcome=\"taken_back\""], 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_switchback_answers_itself_is_an_answer_to_a_call() {
    let proxy =
        Proxy::start(&[Service::new("a").helios(Endpoint::refusing().await).protocols("http/2", "http/1.1")]);
    for over in [Over::Http1, Over::Http2] {
        for (host, code, message) in
            [("a.test", "14", "helios: connect_refused"), ("b.test", "12", "switchback: no_service")]
        {
            let mut asked = request(over, Method::POST, host, "/shop.Cart/Add", "\0\0\0\0\x02hi");
            asked.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            let got = Client::connect(proxy.address, over).await.send(asked).await;
            assert_eq!(got.status, 200, "{over:?} {host}");
            assert_eq!(got.header("content-type"), "application/grpc");
            assert_eq!((got.header("grpc-status"), got.header("grpc-message")), (code, message));
            assert!(got.body.is_empty() && got.trailers.is_none(), "nothing follows");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_deadline_is_kept_and_what_is_left_of_it_is_told_to_who_is_asked_next() {
    let hanging = Endpoint::hanging().await;
    let helios = answers(Code::InTrailers("0")).await;
    let timed = |timeout: &'static str| {
        let mut call = post();
        call.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
        call
    };
    let proxy = Proxy::start(&[rescuing(&helios, hanging.address, "")]);
    let got = Client::connect(proxy.address, Over::Http2).await.send(timed("150m")).await;
    assert_eq!(got.header("grpc-status"), "4", "long before any timeout of the service");
    assert_eq!(helios.hits(), 0, "nobody would wait for its answer");

    let failing = answers(Code::InHead("14")).await;
    let proxy = Proxy::start(&[rescuing(&helios, failing.address, MARKED)]);
    let got = Client::connect(proxy.address, Over::Http2).await.send(timed("20S")).await;
    assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
    let of = |endpoint: &Endpoint| {
        let seen = endpoint.seen();
        let value = seen[0].headers["grpc-timeout"].as_bytes();
        switchback::model::grpc_timeout(value).unwrap().as_micros()
    };
    assert_eq!(of(&failing), 20_000_000, "the first is told what the caller said");
    assert!((1..20_000_000).contains(&of(&helios)), "the second what is left of it: {}", of(&helios));
}

/// Who streams messages may have nothing to say for longer than an answer may take, and gets the answer in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_streams_may_pause_for_longer_than_an_answer_may_take() {
    let hung = Endpoint::hanging().await;
    let helios = answers(Code::InTrailers("0")).await;
    let timeouts = "[timeouts]\nheader = \"50ms\"\nrequest = \"60ms\"\n";
    let streamed = Service::new("a").helios(helios.address).protocols("http/2", "http/2").rest(timeouts);
    let proxy = Proxy::start(&[streamed, Service::new("b").helios(hung.address).rest(timeouts)]);
    let (frames, body) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body = futures_util::stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, ()) = call(Method::POST).map(drop).into_parts();
    let call = Request::from_parts(head, StreamBody::new(Box::pin(body)));
    let called = tokio::spawn(async move { sender.send_request(call).await });
    let hits = helios.hits();
    frames.send(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi")))).await.unwrap();
    eventually("it is under way", async || helios.hits() > hits).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("b.test", "/").await.status, 504, "so much time has passed");
    }
    drop(frames);
    let got = called.await.unwrap().unwrap();
    assert_eq!(got.status(), 200);
    let trailers = got.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

/// What a caller gives no time for says nothing about the endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_time_costs_an_endpoint_neither_its_turn_nor_its_connections() {
    let endpoint = Endpoint::start(async |seen| {
        if seen.headers["grpc-timeout"].len() < "10S".len() {
            std::future::pending::<()>().await;
        }
        grpc(Code::InTrailers("0"))
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).protocols("http/2", "http/2")]);
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let call = |timeout: &'static str| {
        let mut call = request(Over::Http2, Method::POST, "a.test", "/shop.Cart/Get", "");
        call.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
        call.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static(timeout));
        call
    };
    assert_eq!(client.send(call("20S")).await.status, 200);
    for _ in 0..5 {
        assert_eq!(client.send(call("9m")).await.header("grpc-status"), "4");
        let got = client.send(call("20S")).await;
        assert_eq!(
            (got.status.as_u16(), got.header("grpc-status")),
            (200, ""),
            "its code stands behind the body"
        );
    }
    assert_eq!(endpoint.connections(), 1);
}
