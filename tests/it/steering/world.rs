use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::support::client::{self, Answer, Over, request};
use crate::support::endpoint::{Endpoint, Seen, answer};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Service};

/// Two sides, of which Kubernetes can be made to fail.
pub(super) struct World {
    pub(super) helios: Endpoint,
    pub(super) kubernetes: Endpoint,
    status: Arc<AtomicU16>,
}

/// Room for whatever comes.
pub(super) const ROOM: &str = "capacity = 1000000";
/// A judge that is sure after some hundred requests.
pub(super) const JUDGE: &str = "[judge]\ntolerate = { failures = \"x1.2 +1%\", slower = \"x5 +1s\" }\n";

impl World {
    pub(super) async fn new() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let answers = status.clone();
        let kubernetes = Endpoint::start(move |_| {
            let status = answers.load(Ordering::SeqCst);
            async move { answer(status, "kubernetes") }
        })
        .await;
        Self { helios: Endpoint::named("helios").await, kubernetes, status }
    }

    /// What Kubernetes answers with from now on.
    pub(super) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// A service on both sides, with these sections beside its judge.
    pub(super) fn service(&self, name: &str, sections: &str) -> Service {
        self.judged(name, &format!("{JUDGE}{sections}"))
    }

    /// The same, with sections of which one may be its judge.
    pub(super) fn judged(&self, name: &str, sections: &str) -> Service {
        Service::new(name)
            .helios(self.helios.address)
            .kubernetes(self.kubernetes.address)
            .sides(ROOM, "")
            .rest(sections)
    }
}

/// Who is told what happens.
pub(super) struct Receiver {
    endpoint: Endpoint,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let log = told.clone();
        let endpoint = Endpoint::start(move |seen: Seen| {
            log.lock().unwrap().push(serde_json::from_slice(&seen.body).unwrap());
            async { answer(200, "ok") }
        })
        .await;
        Self { endpoint, told }
    }

    /// The section of `switchback.toml` by which it is told.
    pub(super) fn section(&self) -> String {
        format!("[webhooks.hook]\nurl = \"http://{}/\"\n", self.endpoint.address)
    }

    /// What it was told of, the oldest first: kinds and sentences.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = self.told.lock().unwrap();
        let kind = |event: &Value| text(&event["type"]).trim_start_matches("net.switchback.").to_owned();
        told.iter().map(|event| (kind(event), text(&event["data"]["text"]))).collect()
    }

    /// The sentences of one kind.
    pub(super) fn of(&self, kind: &str) -> Vec<String> {
        self.told().into_iter().filter(|(told, _)| told == kind).map(|(_, text)| text).collect()
    }
}

/// Asks the admin interface with a token.
pub(super) async fn ask_as(proxy: &Proxy, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = request(Over::Http1, method, "localhost", path, body);
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert(HeaderName::from_static("authorization"), value);
    client::send(proxy.admin, request).await
}

/// Starts a service's ramp.
pub(super) async fn start_ramp(proxy: &Proxy, service: &str, body: &Value) -> Answer {
    proxy.ask(Method::POST, &format!("/v1/services/{service}/ramp"), body).await
}

/// Starts it, and it starts.
pub(super) async fn ramp_starts(proxy: &Proxy, service: &str) {
    let started = start_ramp(proxy, service, &json!({ "reason": "INC-1 the first step" })).await;
    assert_eq!(started.status, 200, "{}", started.text());
}

/// Waits until a service is held.
pub(super) async fn is_held(proxy: &Proxy, service: &str) {
    eventually(&format!("{service} is held"), async || proxy.status(service).await["why"] == "held").await;
}

/// Waits until what was said is on disk.
pub(super) async fn is_written(proxy: &Proxy) {
    eventually("what was said is on disk", async || {
        let process = proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
        process["unwritten"] == 0 && process["unwritten_history"] == 0
    })
    .await;
}

/// The entries of these kinds that the history has of a service, the oldest first.
pub(super) async fn history(proxy: &Proxy, service: &str, deeds: &[&str]) -> Vec<Value> {
    let path = format!("/v1/history?limit=1000&service={service}");
    let mut entries = proxy.ask(Method::GET, &path, &Value::Null).await.json().as_array().unwrap().clone();
    entries.retain(|entry| deeds.contains(&entry["deed"].as_str().unwrap()));
    entries.reverse();
    entries
}

/// The same, once there are so many.
pub(super) async fn entries(proxy: &Proxy, service: &str, deeds: &[&str], count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    eventually(&format!("{count} of {deeds:?} are in the history"), async || {
        found = history(proxy, service, deeds).await;
        found.len() >= count
    })
    .await;
    found
}

/// Runs a command against this program: its exit code, and what it says.
pub(super) async fn run(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, String) {
    run_as(proxy, "", arguments).await
}

/// The same with a token.
pub(super) async fn run_as(proxy: &Proxy, token: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut all = vec!["--admin".to_owned(), proxy.admin.to_string()];
    all.extend(arguments.iter().map(ToString::to_string));
    let token = token.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        let variables = if token.is_empty() { vec![] } else { vec![("SWITCHBACK_TOKEN", token.as_str())] };
        Process::run_with(&arguments, &variables)
    });
    let output = output.await.unwrap();
    let text = String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

/// The kinds of what a ramp waits for.
pub(super) fn kinds(status: &Value) -> Vec<String> {
    let waits = status["ramp"]["waits"].as_array().unwrap_or_else(|| panic!("no ramp: {status:#}"));
    waits.iter().map(|wait| wait["kind"].as_str().unwrap().to_owned()).collect()
}
