//! The admin interface: what it answers, and whom it does not answer.

use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::support::client::{Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

async fn proxy() -> (Endpoint, Endpoint, Proxy) {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").weight(25.0).helios(helios.address).kubernetes(kubernetes.address);
    let only_helios = Service::new("b").helios(helios.address);
    let proxy = Proxy::start(&[service, only_helios]);
    (helios, kubernetes, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_status_tells_weight_sides_and_verdict() {
    let (_h, _k, proxy) = proxy().await;
    let status = proxy.status("a").await;
    assert_eq!(status["seen_in_s"], Value::Null, "before any request nobody knows how often Helios fails");
    for _ in 0..40 {
        proxy.get("a.test", "/").await;
    }
    eventually("requests are counted", async || {
        let status = proxy.status("a").await;
        let rates = ["helios", "kubernetes"].map(|side| status[side]["per_second"].as_f64().unwrap());
        rates.iter().all(|rate| *rate > 0.0)
    })
    .await;
    let status = proxy.status("a").await;
    assert_eq!((&status["service"], &status["team"]), (&json!("a"), &json!("t")));
    assert_eq!((&status["weight_percent"], &status["why"]), (&json!(25.0), &json!("file")));
    assert_eq!(status["verdict"], "too little evidence");
    assert_eq!(status["helios"]["endpoints"], 1);
    assert!(status["helios"]["p50_ms"].as_f64().unwrap() > 0.0);
    let all = proxy.ask(Method::GET, "/v1/services", &Value::Null).await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    eventually("it is known how soon failures would be seen", async || {
        for _ in 0..100 {
            proxy.get("a.test", "/").await;
        }
        proxy.status("a").await["seen_in_s"].as_f64().is_some_and(|seconds| seconds > 0.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_a_reason_and_changes_nothing() {
    let (_h, _k, proxy) = proxy().await;
    let weight = |percent: f64| json!({ "percent": percent, "reason": "x" });
    for (method, path, body, status, says) in [
        (Method::PUT, "/v1/services/a/weight", weight(101.0), 422, "0 to 100"),
        (Method::PUT, "/v1/services/a/weight", weight(-1.0), 422, "0 to 100"),
        (Method::PUT, "/v1/services/a/weight", json!({ "percent": 1.0 }), 400, "reason"),
        (Method::PUT, "/v1/services/a/weight", json!({ "percent": 1.0, "reason": " " }), 422, "reason"),
        (
            Method::PUT,
            "/v1/services/a/weight",
            json!({ "percent": 1.0, "reason": "x", "for": "soon" }),
            422,
            "for",
        ),
        (
            Method::PUT,
            "/v1/services/a/weight",
            json!({ "percent": 1.0, "reason": "x", "nonsense": 1 }),
            400,
            "nonsense",
        ),
        (Method::PUT, "/v1/services/b/weight", weight(1.0), 422, "no kubernetes side"),
        (Method::PUT, "/v1/services/nobody/weight", weight(1.0), 404, "nobody"),
        (Method::PUT, "/v1/services/..%2fx/weight", weight(1.0), 404, "name"),
        (Method::DELETE, "/v1/services/a/weight", json!({ "reason": "x" }), 409, "not overridden"),
        (
            Method::POST,
            "/v1/services/a/release",
            json!({ "to_percent": 1.0, "reason": "x" }),
            409,
            "not held",
        ),
        (Method::POST, "/v1/revert", json!({ "reason": "x" }), 422, "name the services"),
        (
            Method::POST,
            "/v1/revert",
            json!({ "services": ["a"], "all": true, "reason": "x" }),
            422,
            "one of these",
        ),
        (Method::POST, "/v1/revert", json!({ "services": ["a", "nobody"], "reason": "x" }), 404, "nobody"),
        (Method::GET, "/v1/services/a/receipt", Value::Null, 404, "never been reverted"),
        (Method::GET, "/v2", Value::Null, 404, "nothing here"),
        (Method::POST, "/v1/services", Value::Null, 405, "another method"),
    ] {
        let got = proxy.ask(method.clone(), path, &body).await;
        let what = format!("{method} {path} {body}: {}", got.text());
        assert_eq!(got.status, status, "{what}");
        assert_eq!(got.header("content-type"), "application/problem+json", "{what}");
        assert!(got.json()["detail"].as_str().unwrap().contains(says), "{what}");
    }
    let status = proxy.status("a").await;
    assert_eq!((&status["weight_percent"], &status["why"]), (&json!(25.0), &json!("file")));
}

/// A web page that a person has open must not reach the admin interface.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_web_pages_are_refused() {
    let (_h, _k, proxy) = proxy().await;
    let body = json!({ "all": true, "reason": "x" }).to_string();
    for (host, origin) in
        [("evil.example.net", None), ("10.0.0.1:7070", None), ("localhost", Some("http://localhost:8080"))]
    {
        let mut sent = request(Over::Http1, Method::POST, host, "/v1/revert", body.clone());
        if let Some(origin) = origin {
            sent.headers_mut().insert("origin", HeaderValue::from_static(origin));
        }
        let got = send(proxy.admin, sent).await;
        assert_eq!(got.status, 403, "{host} {origin:?}");
    }
    assert_eq!(proxy.status("a").await["why"], "file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owners_alone_and_knows_who_asks() {
    use std::os::unix::fs::PermissionsExt;
    let (_h, _k, proxy) = proxy().await;
    let socket = proxy.folder.state().join("admin.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stream = UnixStream::connect(&socket).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = json!({ "percent": 10.0, "reason": "by socket" }).to_string();
    let mut sent = request(Over::Http1, Method::PUT, "whatever", "/v1/services/a/weight", body);
    sent.headers_mut().insert("x-switchback-user", HeaderValue::from_static("somebody-else"));
    let got = sender.send_request(sent).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let changed: Value = serde_json::from_slice(&got).unwrap();
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    assert_eq!(changed["by"], json!({ "person": me }));
    assert_eq!(proxy.status("a").await["by"], json!({ "person": me }));
    let folder = proxy.end().await;
    assert!(!folder.state().join("admin.sock").exists(), "nobody finds a socket that nobody answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_what_has_happened_and_then_what_happens() {
    let (_h, _k, proxy) = proxy().await;
    let set = |percent: f64| json!({ "percent": percent, "reason": "step" });
    proxy.ask(Method::PUT, "/v1/services/a/weight", &set(5.0)).await;
    let stream = TcpStream::connect(proxy.admin).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let following = request(Over::Http1, Method::GET, "localhost", "/v1/events", "");
    let mut body = sender.send_request(following).await.unwrap().into_body();
    let mut text = String::new();
    let mut until = async |wanted: &str| {
        while !text.contains(wanted) {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
        text.clone()
    };
    until("set the weight to 5.00").await;
    proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "INC-7" })).await;
    let told = until("INC-7").await;
    let happenings: Vec<String> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["happening"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(happenings, ["started", "weight-changed", "reverted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_passed() {
    let (_h, _k, proxy) = proxy().await;
    let mut client = crate::support::client::Client::connect(proxy.address, Over::Http1).await;
    for _ in 0..100 {
        client.get("a.test", "/").await;
    }
    proxy
        .counted("switchback_tries_total", &["service=\"a\"", "side=\"helios\"", "outcome=\"ok\""], 75.0)
        .await;
    proxy.counted("switchback_tries_total", &["side=\"kubernetes\"", "outcome=\"ok\""], 25.0).await;
    proxy.counted("switchback_answers_total", &["service=\"a\"", "class=\"2xx\""], 100.0).await;
    proxy.counted("switchback_answer_seconds_count", &["side=\"helios\""], 75.0).await;
    proxy.counted("switchback_weight_percent", &["service=\"a\""], 25.0).await;
    proxy.counted("switchback_held", &["service=\"a\""], 0.0).await;
    proxy.counted("switchback_connections", &[], 1.0).await;
    proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "x" })).await;
    proxy.counted("switchback_held", &["service=\"a\""], 1.0).await;
    proxy.counted("switchback_weight_percent", &["service=\"a\""], 0.0).await;
    proxy.counted("switchback_reverts_total", &["service=\"a\"", "by=\"person\""], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_starts_and_stops_the_program_can_ask_how_it_is() {
    let (_h, _k, proxy) = proxy().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(proxy.ask(Method::GET, path, &Value::Null).await.status, 200, "{path}");
    }
    let process = async || proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
    eventually("both workers have begun", async || process().await["workers_current"] == 2).await;
    let process = process().await;
    assert_eq!((&process["workers"], &process["services"]), (&json!(2), &json!(2)));
    assert!(proxy.running().missing().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_revert_has_a_receipt_too() {
    let (_h, _k, proxy) = proxy().await;
    proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "INC-9 checkout" })).await;
    let receipt = proxy.ask(Method::GET, "/v1/services/a/receipt", &Value::Null).await.json();
    assert_eq!(receipt["reason"], "INC-9 checkout");
    assert_eq!(receipt["weight_before_percent"], 25.0);
    assert_eq!(receipt["finding"], Value::Null);
    let folder = proxy.end().await;
    let proxy = Proxy::start_in(folder);
    let kept = proxy.ask(Method::GET, "/v1/services/a/receipt", &Value::Null).await.json();
    assert_eq!(kept["reason"], "INC-9 checkout", "the receipt survives a restart");
}
