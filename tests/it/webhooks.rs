//! What happens is told by webhooks: in the shape that each receiver wants, in order, until it has arrived, and at nobody's cost.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::client::{self, Over, request};
use crate::support::endpoint::{Answer, Endpoint, Seen, answer};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::peer;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::{self, Authority, TlsServer};

/// Somebody who is told what happens.
struct Receiver {
    endpoint: Endpoint,
    told: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    /// Answers each message with what `handle` makes of how many came before it.
    async fn start(handle: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let told: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, handle) = (told.clone(), Arc::new(handle));
        let endpoint = Endpoint::start(move |seen| {
            let (log, handle) = (log.clone(), handle.clone());
            async move {
                let mut log = log.lock().unwrap();
                log.push(seen);
                handle(log.len() - 1)
            }
        })
        .await;
        Self { endpoint, told }
    }

    /// Answers 200.
    async fn content() -> Self {
        Self::start(|_| answer(200, "ok")).await
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.endpoint.address)
    }

    fn told(&self) -> Vec<Seen> {
        self.told.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Seen> {
        eventually(&format!("{count} messages come"), async || self.told().len() >= count).await;
        self.told()
    }

    /// What its messages are about, by their types.
    fn topics(&self) -> Vec<String> {
        let topic = |seen: &Seen| {
            body(seen)["type"].as_str().unwrap().trim_start_matches("net.switchback.").to_owned()
        };
        self.told().iter().map(topic).collect()
    }
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn header<'a>(seen: &'a Seen, name: &str) -> &'a str {
    seen.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn id(seen: &Seen) -> String {
    header(seen, "idempotency-key").to_owned()
}

/// Two sides for services, and a folder of their configuration.
struct World {
    helios: Endpoint,
    kubernetes: Endpoint,
}

impl World {
    async fn new() -> Self {
        Self { helios: Endpoint::named("helios").await, kubernetes: Endpoint::named("kubernetes").await }
    }

    fn service(&self, name: &str) -> Service {
        Service::new(name).weight(50.0).helios(self.helios.address).kubernetes(self.kubernetes.address)
    }

    /// The services `a` and `b`, and these webhooks.
    fn folder(&self, webhooks: &str) -> Folder {
        let folder = Folder::with(&[self.service("a"), self.service("b")]);
        folder.add_to_process(webhooks);
        folder
    }
}

async fn ask(admin: SocketAddr, method: Method, path: &str, body: &Value) -> client::Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client::send(admin, request(Over::Http1, method, "localhost", path, body)).await
}

async fn revert(admin: SocketAddr, service: &str) {
    let body = json!({ "services": [service], "reason": "INC-1 <checkout> & more" });
    let got = ask(admin, Method::POST, "/v1/revert", &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
}

async fn release(admin: SocketAddr, service: &str) {
    let path = format!("/v1/services/{service}/release");
    let got = ask(admin, Method::POST, &path, &json!({ "to_percent": 1.0, "reason": "mended" })).await;
    assert_eq!(got.status, 200, "{}", got.text());
}

async fn try_out(admin: SocketAddr, webhook: &str) -> Value {
    let path = format!("/v1/webhooks/{webhook}/test");
    let got = ask(admin, Method::POST, &path, &json!({ "reason": "does it work?" })).await;
    assert_eq!(got.status, 200, "{}", got.text());
    got.json()
}

/// How a webhook is.
async fn status(admin: SocketAddr, webhook: &str) -> Value {
    let all = ask(admin, Method::GET, "/v1/webhooks", &Value::Null).await.json();
    let found = all.as_array().unwrap().iter().find(|status| status["webhook"] == webhook).cloned();
    found.unwrap_or_default()
}

async fn becomes(admin: SocketAddr, webhook: &str, key: &str, wanted: u64) -> Value {
    let what = format!("{key} of {webhook} is {wanted}");
    eventually(&what, async || status(admin, webhook).await[key] == wanted).await;
    status(admin, webhook).await
}

/// Files of messages that wait for a webhook.
fn kept(folder: &Folder, webhook: &str) -> Vec<std::path::PathBuf> {
    let folder = folder.state().join("webhooks").join(webhook);
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    paths
}

fn secret(folder: &Folder, name: &str, text: &str) {
    std::fs::create_dir_all(folder.path().join("secrets")).unwrap();
    let aside = folder.path().join("secrets/aside");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, folder.path().join("secrets").join(name)).unwrap();
}

/// What differs from run to run.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if ["id", "time", "timestamp", "source", "window_s"].contains(&key.as_str()) {
                    *value = "…".into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask),
        Value::String(text) if text.contains(" · ") => {
            let facts: Vec<&str> = text.split(" · ").collect();
            *text = facts[..facts.len() - 2].join(" · ");
        }
        Value::String(text) if text.starts_with("*What*") => "*What*".clone_into(text),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Contracts with receivers: `tests/webhooks/by-a-person.*`. `UPDATE_EXPECTED=1` writes them anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_and_its_release_are_told_in_the_shape_of_each_receiver() {
    let world = World::new().await;
    let receivers = [
        ("cloudevents", Receiver::content().await),
        ("slack", Receiver::content().await),
        ("pagerduty", Receiver::content().await),
    ];
    let sections = receivers.iter().map(|(kind, receiver)| {
        let key = if *kind == "pagerduty" { "routing-key = \"secrets/key\"\n" } else { "" };
        format!("[webhooks.{kind}]\nurl = \"{}\"\nkind = \"{kind}\"\n{key}", receiver.url())
    });
    let folder = world.folder(&sections.collect::<String>());
    secret(&folder, "key", "R0UT1NG\n");
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    release(proxy.admin, "a").await;
    let mut wrong = Vec::new();
    for (kind, receiver) in &receivers {
        let told = receiver.until(2).await;
        let mut all: Vec<Value> = told.iter().map(body).collect();
        all.iter_mut().for_each(mask);
        let text = format!("{:#}\n", Value::Array(all));
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/webhooks/by-a-person.{kind}.json"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        if text != wanted {
            wrong.push(format!("{kind}: {text} instead of {wanted}"));
        }
        let json = if *kind == "cloudevents" { "application/cloudevents+json" } else { "application/json" };
        for seen in &told {
            assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/hook"));
            assert_eq!(header(seen, "content-type"), json);
            assert_eq!(header(seen, "user-agent"), "switchback/0.1.0");
            assert_eq!((header(seen, "switchback-signature"), header(seen, "authorization")), ("", ""));
            assert_eq!(id(seen).len(), 32);
        }
        assert_ne!(id(&told[0]), id(&told[1]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let event = body(&receivers[0].1.told()[0]);
    assert_eq!(event["id"], id(&receivers[0].1.told()[0]));
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(event["source"], format!("switchback/{host}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_judge_has_seen_is_told_with_its_revert() {
    let (helios, receiver) = (Endpoint::named("helios").await, Receiver::content().await);
    let code = Arc::new(AtomicU16::new(200));
    let answers = code.clone();
    let kubernetes = Endpoint::start(move |_| {
        let status = answers.load(Ordering::SeqCst);
        async move { answer(status, "") }
    })
    .await;
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address);
    let folder = Folder::with(&[service]);
    folder.add_to_process(&format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url()));
    let proxy = Proxy::start_in(folder);
    let load = Load::start(proxy.address, "a.test", 4, 200);
    eventually("both sides are known", async || helios.hits().min(kubernetes.hits()) > 200).await;
    code.store(500, Ordering::SeqCst);
    let event = body(&receiver.until(1).await[0]);
    load.end().await;
    let data = &event["data"];
    assert_eq!((&event["type"], &data["by"]), (&json!("net.switchback.reverted"), &json!("judge")));
    let revert = &data["revert"];
    assert_eq!((&revert["question"], &revert["weight_before_percent"]), (&json!("failure"), &json!(50.0)));
    let bad = |side: &str| revert[side]["bad"].as_u64().unwrap();
    assert!(bad("kubernetes") > 0 && bad("helios") == 0, "{event}");
    assert!(revert["rescued"].as_u64().unwrap() > 0, "{event}");
    let text = data["text"].as_str().unwrap();
    assert!(text.contains(&format!("{} of ", bad("kubernetes"))), "the same as in the sentence: {event}");
}

/// The program that the guide shows to those who write receivers.
fn verification() -> String {
    let guide = include_str!("../../src/control/webhooks/guide.md");
    guide.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_in_the_guide_tells_our_messages_from_others() {
    const HARNESS: &str = "\nimport sys, time as clock\n\
        secret, signature, id, body, ahead = [argument.encode() for argument in sys.argv[1:]]\n\
        now = clock.time() + int(ahead)\n\
        time.time = lambda: now\n\
        print(is_ours(secret, {'switchback-signature': signature.decode(), 'idempotency-key': id.decode()}, body))\n";
    let (world, receiver) = (World::new().await, Receiver::content().await);
    let folder =
        world.folder(&format!("[webhooks.signed]\nurl = \"{}\"\nsecret = \"secrets/key\"\n", receiver.url()));
    secret(&folder, "key", " hush \n");
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    let told = receiver.until(1).await.remove(0);
    let body = std::str::from_utf8(&told.body).unwrap().to_owned();
    let program = verification() + HARNESS;
    let changed = body.replace("INC-1", "INC-2");
    let (signature, own) = (header(&told, "switchback-signature").to_owned(), id(&told));
    let other = "0".repeat(32);
    for (what, key, id, body, ahead, ours) in [
        ("as it came", "hush", &own, &body, "0", "True"),
        ("another key", "hush!", &own, &body, "0", "False"),
        ("another body", "hush", &own, &changed, "0", "False"),
        ("another id", "hush", &other, &body, "0", "False"),
        ("an hour later", "hush", &own, &body, "3600", "False"),
    ] {
        let arguments = ["-c", &program, key, &signature, id, body, ahead];
        assert_eq!(peer::run("python3", &arguments).await.trim(), ours, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_under_the_same_id_and_nothing_overtakes_it() {
    let world = World::new().await;
    let receiver = Receiver::start(|before| answer(if before < 3 { 500 } else { 204 }, "")).await;
    let proxy = Proxy::start_in(world.folder(&format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url())));
    revert(proxy.admin, "a").await;
    release(proxy.admin, "a").await;
    revert(proxy.admin, "b").await;
    let told = receiver.until(6).await;
    assert_eq!(receiver.topics(), ["reverted", "reverted", "reverted", "reverted", "released", "reverted"]);
    let ids: Vec<String> = told.iter().map(id).collect();
    assert!(ids[..4].iter().all(|other| *other == ids[0]), "{ids:?}");
    assert!(told[..4].iter().all(|other| other.body == told[0].body), "the same bytes");
    assert!(ids[4] != ids[0] && ids[5] != ids[4] && ids[5] != ids[0], "{ids:?}");
    let status = becomes(proxy.admin, "hook", "delivered", 3).await;
    assert_eq!(
        (&status["failed_tries"], &status["waiting"], &status["troubled"]),
        (&json!(3), &json!(0), &json!(false))
    );
    assert_eq!(status["trouble"], "answers 500", "what was wrong last is still told");
    let labels = ["webhook=\"hook\""];
    proxy.counted("switchback_webhook_delivered_total", &labels, 3.0).await;
    proxy.counted("switchback_webhook_failed_tries_total", &labels, 3.0).await;
    proxy.counted("switchback_webhook_waiting", &labels, 0.0).await;
    proxy.counted("switchback_webhook_oldest_seconds", &labels, 0.0).await;
    assert!(kept(&proxy.folder, "hook").is_empty(), "what has arrived is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_there_yet_is_told_when_it_is() {
    let (world, address) = (World::new().await, Endpoint::refusing().await);
    let proxy = Proxy::start_in(world.folder(&format!("[webhooks.hook]\nurl = \"http://{address}/\"\n")));
    revert(proxy.admin, "a").await;
    eventually("a try is refused", async || status(proxy.admin, "hook").await["failed_tries"] != 0).await;
    let troubled = status(proxy.admin, "hook").await;
    let trouble = troubled["trouble"].as_str().unwrap();
    assert!(trouble.starts_with("cannot be reached: Connection refused"), "{trouble}");
    assert_eq!((&troubled["waiting"], &troubled["troubled"]), (&json!(1), &json!(true)));
    assert_eq!(kept(&proxy.folder, "hook").len(), 1);
    let receiver = Endpoint::named_at(address.port(), "there").await;
    becomes(proxy.admin, "hook", "delivered", 1).await;
    assert_eq!(receiver.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_wants_to_be_left_alone_is_until_it_is_configured_anew() {
    let world = World::new().await;
    let receiver = Receiver::start(|before| {
        let mut answer = answer(if before == 0 { 429 } else { 200 }, "slow down");
        answer.headers_mut().insert("retry-after", "3000".parse().unwrap());
        answer
    })
    .await;
    let section = format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url());
    let proxy = Proxy::start_in(world.folder(&section));
    revert(proxy.admin, "a").await;
    let status = becomes(proxy.admin, "hook", "failed_tries", 1).await;
    let [tried, next] = ["trouble_unix_ms", "next_try_unix_ms"].map(|key| status[key].as_u64().unwrap());
    assert_eq!(next - tried, 3_000_000, "{status}");
    assert_eq!(status["trouble"], "answers 429: slow down");
    proxy.folder.add_to_process("events = [\"reverted\"]\n");
    becomes(proxy.admin, "hook", "delivered", 1).await;
    assert_eq!(receiver.told().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_outlive_a_crash_and_a_file_that_is_none_is_set_aside() {
    let (world, address) = (World::new().await, Endpoint::refusing().await);
    let folder = world.folder(&format!("[webhooks.hook]\nurl = \"http://{address}/hook\"\n"));
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;
    release(admin, "a").await;
    eventually("both are on disk", async || kept(&folder, "hook").len() == 2).await;
    process.kill();
    let files = kept(&folder, "hook");
    let ids: Vec<Value> = files
        .iter()
        .map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap()["id"].clone())
        .collect();
    // As a crash in the middle of a write, and a broken disk, leave them.
    std::fs::write(files[1].with_file_name("0000000000000002.json.new"), "{\"vers").unwrap();
    std::fs::write(files[1].with_file_name("0000000000000003.json"), "{\"vers").unwrap();

    let listener = TcpListener::bind(address).await.unwrap();
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = told.clone();
    let _receiver = Endpoint::on(listener, move |stream| {
        let log = log.clone();
        async move {
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let log = log.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    log.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    Ok::<_, std::convert::Infallible>(answer(200, ""))
                }
            });
            let wire = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(wire, service).await;
        }
    });
    let (mut process, _, admin) = Process::serve(folder.path());
    let status = becomes(admin, "hook", "delivered", 2).await;
    assert_eq!((&status["waiting"], &status["dropped"]), (&json!(0), &json!(1)));
    let told: Vec<Value> = told.lock().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(told, ids, "the same messages, in the same order");
    assert!(!files[1].with_file_name("0000000000000002.json.new").exists());
    assert!(files[1].with_file_name("0000000000000003.json.bad").exists());
    process.signal(nix::sys::signal::Signal::SIGTERM);
    process.after("INFO ended");
    let said = process.seen();
    assert!(said.contains("what a webhook was still to be told cannot be read, and is set aside"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_a_thousand_messages_the_oldest_goes_and_it_is_told() {
    const MOST: usize = 1_000;
    let world = World::new().await;
    let code = Arc::new(AtomicU16::new(503));
    let answers = code.clone();
    let receiver = Receiver::start(move |_| {
        let mut answer = answer(answers.load(Ordering::SeqCst), "");
        answer.headers_mut().insert("retry-after", "3600".parse().unwrap());
        answer
    })
    .await;
    let folder = world.folder(&format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url()));
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    becomes(proxy.admin, "hook", "failed_tries", 1).await;
    let folder = proxy.end().await;
    let first = kept(&folder, "hook").remove(0);
    let mut message: Value = serde_json::from_slice(&std::fs::read(&first).unwrap()).unwrap();
    for number in 0..MOST {
        message["id"] = format!("{number:032}").into();
        std::fs::write(first.with_file_name(format!("{number:016}.json")), message.to_string()).unwrap();
    }

    let (mut process, _, admin) = Process::serve(folder.path());
    becomes(admin, "hook", "failed_tries", 1).await;
    release(admin, "a").await;
    process.after("1000 messages wait for a webhook: the oldest have gone");
    revert(admin, "a").await;
    revert(admin, "b").await;
    let status = becomes(admin, "hook", "dropped", 3).await;
    assert_eq!(status["waiting"], MOST);
    let files = kept(&folder, "hook");
    assert_eq!(
        (files.len(), files[0].file_name().unwrap().to_str().unwrap()),
        (MOST, "0000000000000003.json")
    );

    let before = receiver.told().len();
    code.store(200, Ordering::SeqCst);
    folder.add_to_process("events = [\"reverted\", \"released\"]\n");
    becomes(admin, "hook", "delivered", MOST as u64).await;
    let told = receiver.told().split_off(before);
    assert_eq!(id(&told[0]), format!("{:032}", 3));
    assert_eq!(body(&told[MOST - 3])["data"]["happening"], "released");
    assert_eq!(body(&told[MOST - 1])["subject"], "b");
    assert!(kept(&folder, "hook").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_delays_neither_a_revert_nor_others_nor_the_end() {
    let (world, hanging, receiver) =
        (World::new().await, Endpoint::hanging().await, Receiver::content().await);
    let sections = format!(
        "[webhooks.hanging]\nurl = \"http://{}/\"\n[webhooks.good]\nurl = \"{}\"\n",
        hanging.address,
        receiver.url()
    );
    let proxy = Proxy::start_in(world.folder(&sections));
    revert(proxy.admin, "a").await;
    eventually("the one that hangs is asked", async || hanging.connections() == 1).await;
    revert(proxy.admin, "b").await;
    release(proxy.admin, "a").await;
    receiver.until(3).await;
    for service in ["a", "b"] {
        assert_eq!(proxy.get(&format!("{service}.test"), "/").await.status, 200);
    }
    assert_eq!(status(proxy.admin, "hanging").await["delivered"], 0);
    assert_eq!(status(proxy.admin, "hanging").await["waiting"], 3);
    let folder = proxy.end().await;
    assert_eq!(kept(&folder, "hanging").len(), 3, "what was under way is told again");
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    folder.write_process(&text.replace(&format!("http://{}/", hanging.address), &receiver.url()));
    let proxy = Proxy::start_in(folder);
    becomes(proxy.admin, "hanging", "delivered", 3).await;
    assert_eq!(receiver.topics()[3..], ["reverted", "reverted", "released"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_come_change_and_go_with_the_file_and_no_restart_is_asked_for() {
    let world = World::new().await;
    let (one, two) = (Receiver::content().await, Receiver::content().await);
    let failing = Receiver::start(|_| answer(500, "")).await;
    let folder = world.folder("");
    let plain = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let section = |url: &str| format!("{plain}[webhooks.hook]\nurl = \"{url}\"\n");
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;

    folder.write_process(&section(&one.url()));
    process.after("configuration loaded: 0 services added, 0 changed, 0 removed; webhooks changed");
    release(admin, "a").await;
    one.until(1).await;
    assert_eq!(one.topics(), ["released"], "what happened before is not told");

    folder.write_process(&section(&two.url()));
    process.after("webhooks changed");
    revert(admin, "a").await;
    two.until(1).await;
    assert_eq!(one.topics(), ["released"]);

    folder.write_process(&section(&failing.url()));
    process.after("webhooks changed");
    release(admin, "a").await;
    revert(admin, "b").await;
    failing.until(1).await;
    eventually("both are on disk", async || kept(&folder, "hook").len() == 2).await;
    folder.write_process(&plain);
    process.after("a webhook is not configured any more: what it was still to be told is deleted webhook=hook messages=2");
    assert!(!folder.state().join("webhooks/hook").exists());
    eventually("nothing is told of it any more", async || {
        ask(admin, Method::GET, "/v1/webhooks", &Value::Null).await.json() == json!([])
    })
    .await;
    let whole = ask(admin, Method::GET, "/v1/process", &Value::Null).await.json();
    assert_eq!((&whole["needs_restart"], &whole["webhooks"]), (&json!([]), &json!([])));

    // The same while the process does not run.
    folder.write_process(&section(&failing.url()));
    process.after("webhooks changed");
    release(admin, "b").await;
    eventually("it is on disk", async || kept(&folder, "hook").len() == 1).await;
    process.kill();
    folder.write_process(&plain);
    let (mut process, _, _) = Process::serve(folder.path());
    process.signal(nix::sys::signal::Signal::SIGTERM);
    process.wait();
    assert!(!folder.state().join("webhooks/hook").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_changed_is_used_for_the_next_message() {
    let (world, receiver) = (World::new().await, Receiver::content().await);
    let folder = world.folder(
        "[webhooks.hook]\nurl-file = \"secrets/url\"\nbearer = \"secrets/token\"\nsecret = \"secrets/key\"\n",
    );
    secret(&folder, "url", &receiver.url());
    secret(&folder, "token", "first");
    secret(&folder, "key", "hush");
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    receiver.until(1).await;
    secret(&proxy.folder, "token", "second\n");
    secret(&proxy.folder, "url", &format!("{}/other?x=y\n", receiver.url()));
    release(proxy.admin, "a").await;
    let told = receiver.until(2).await;
    let shown: Vec<&str> = told.iter().map(|seen| header(seen, "authorization")).collect();
    assert_eq!(shown, ["Bearer first", "Bearer second"]);
    let paths: Vec<String> = told.iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(paths, ["/hook", "/hook/other?x=y"]);

    // One that is away for a moment is no reason to lose a message, nor to refuse another change.
    std::fs::remove_file(proxy.folder.path().join("secrets/token")).unwrap();
    revert(proxy.admin, "a").await;
    eventually("it is missed", async || {
        let trouble = status(proxy.admin, "hook").await["trouble"].clone();
        trouble.as_str().is_some_and(|trouble| trouble.contains("secrets/token cannot be read"))
    })
    .await;
    proxy.folder.write(&world.service("c"));
    eventually("c comes", async || proxy.get("c.test", "/").await.status == 200).await;
    secret(&proxy.folder, "token", "third");
    becomes(proxy.admin, "hook", "delivered", 3).await;
    assert_eq!(header(&receiver.told()[2], "authorization"), "Bearer third");
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_and_events_choose_what_is_told() {
    let world = World::new().await;
    let [everything, theirs, others, releases, weights] = [
        Receiver::content().await,
        Receiver::content().await,
        Receiver::content().await,
        Receiver::content().await,
        Receiver::content().await,
    ];
    let section = |name: &str, receiver: &Receiver, more: &str| {
        format!("[webhooks.{name}]\nurl = \"{}\"\n{more}\n", receiver.url())
    };
    let all = [
        ("everything", &everything, ""),
        ("theirs", &theirs, "teams = [\"t\", \"nobody\"]"),
        ("others", &others, "teams = [\"other-squad\"]"),
        ("releases", &releases, "events = [\"released\"]"),
        ("weights", &weights, "events = [\"weight-changed\", \"not-written\"]"),
    ];
    let folder = world.folder(&all.map(|(name, receiver, more)| section(name, receiver, more)).concat());
    let text = world.service("b").text().replace("team = \"t\"", "team = \"other-squad\"");
    std::fs::write(folder.file("b"), text).unwrap();
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    revert(proxy.admin, "b").await;
    release(proxy.admin, "a").await;
    let weight = json!({ "percent": 2.0, "reason": "step" });
    assert_eq!(proxy.ask(Method::PUT, "/v1/services/a/weight", &weight).await.status, 200);
    let good = std::fs::read_to_string(proxy.folder.file("a")).unwrap();
    std::fs::write(proxy.folder.file("a"), "team = ").unwrap();
    eventually("the fault is told", async || everything.topics().contains(&"config-refused".to_owned()))
        .await;
    std::fs::write(proxy.folder.file("a"), good).unwrap();
    // Behind all that happened, in order.
    for (name, _, _) in &all {
        assert_eq!(try_out(proxy.admin, name).await["result"], "delivered");
    }
    assert_eq!(everything.topics(), ["reverted", "reverted", "released", "config-refused", "test"]);
    assert_eq!(theirs.topics(), ["reverted", "released", "test"]);
    assert_eq!(others.topics(), ["reverted", "test"]);
    assert_eq!(releases.topics(), ["released", "test"]);
    assert_eq!(weights.topics(), ["weight-changed", "test"]);
    assert_eq!(body(&others.told()[0])["data"]["team"], "other-squad");
}

/// A record that cannot be written is tried twice a second; nobody wants to be told that often.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_disk_is_told_of_once() {
    let (world, receiver) = (World::new().await, Receiver::content().await);
    let proxy = Proxy::start_in(world.folder(&format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url())));
    let records = proxy.folder.state().join("services");
    std::fs::remove_dir_all(&records).unwrap();
    revert(proxy.admin, "a").await;
    eventually("it is tried again and again", async || {
        proxy.metric("switchback_state_write_failures_total", &[]).await >= 3.0
    })
    .await;
    std::fs::create_dir(&records).unwrap();
    assert_eq!(try_out(proxy.admin, "hook").await["result"], "delivered");
    assert_eq!(receiver.topics(), ["reverted", "not-written", "test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_given_up_and_a_redirect_is_not_followed() {
    let (world, elsewhere) = (World::new().await, Receiver::content().await);
    let target = elsewhere.url();
    let receiver = Receiver::start(move |before| {
        let mut answer = answer([302, 400, 413, 200][before.min(3)], "no such thing");
        answer.headers_mut().insert("location", target.parse().unwrap());
        answer
    })
    .await;
    let folder = world.folder(&format!("[webhooks.hook]\nurl = \"{}\"\n", receiver.url()));
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;
    process.after("a webhook refuses a message, which is given up: it answers 302: no such thing");
    release(admin, "a").await;
    process.after("a webhook refuses a message, which is given up: it answers 400: no such thing");
    revert(admin, "b").await;
    process.after("a webhook refuses a message, which is given up: it answers 413: no such thing");
    release(admin, "b").await;
    let status = becomes(admin, "hook", "delivered", 1).await;
    assert_eq!(
        (&status["given_up"], &status["failed_tries"], &status["waiting"]),
        (&json!(3), &json!(0), &json!(0))
    );
    assert_eq!(receiver.told().len(), 4, "each was tried once");
    assert!(elsewhere.told().is_empty());
    assert!(kept(&folder, "hook").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_key_is_changed_nothing_is_lost_and_the_new_one_is_used_at_once() {
    let world = World::new().await;
    let receiver = Endpoint::start(|seen: Seen| async move {
        answer(if header(&seen, "authorization") == "Bearer new" { 200 } else { 401 }, "who are you?")
    })
    .await;
    let folder = world.folder(&format!(
        "[webhooks.hook]\nurl = \"http://{}/\"\nbearer = \"secrets/token\"\n",
        receiver.address
    ));
    secret(&folder, "token", "old");
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;
    process.after("its URL or key is most likely wrong: it answers 401: who are you?");
    release(admin, "a").await;
    let status = becomes(admin, "hook", "waiting", 2).await;
    assert_eq!((&status["given_up"], &status["troubled"]), (&json!(0), &json!(true)));
    let [tried, next] = ["trouble_unix_ms", "next_try_unix_ms"].map(|key| status[key].as_u64().unwrap());
    assert!((60_000..=300_000).contains(&(next - tried)), "{status}");
    secret(&folder, "token", "new");
    becomes(admin, "hook", "delivered", 2).await;
    assert_eq!(receiver.hits(), 3);
}

/// As a receiver has it that chokes on something in one message.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_its_receiver_cannot_take_keeps_no_others_back() {
    let world = World::new().await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = told.clone();
    let receiver = Endpoint::start(move |seen: Seen| {
        let event = body(&seen);
        let what = format!("{} {}", event["subject"].as_str().unwrap(), event["type"].as_str().unwrap());
        let chokes = what == "a net.switchback.reverted";
        log.lock().unwrap().push(what);
        async move { answer(if chokes { 500 } else { 200 }, "") }
    })
    .await;
    // Nobody waits for pauses: each change of the section is a reason to try at once.
    let folder = world.folder("");
    let plain = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let section = |more: &str| {
        format!(
            "{plain}[webhooks.hook]\nurl = \"http://{}/\"\nevents = [\"reverted\", \"released\"{more}]\n",
            receiver.address
        )
    };
    folder.write_process(&section(""));
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;
    revert(admin, "b").await;
    let mut more = String::new();
    for tries in 1..=8 {
        eventually(&format!("try {tries}"), async || {
            status(admin, "hook").await["failed_tries"].as_u64().unwrap() >= tries
        })
        .await;
        more = if more.is_empty() { ", \"advised\"".to_owned() } else { String::new() };
        folder.write_process(&section(&more));
    }
    process.after("a webhook takes others, and not this message, which is set aside: it answers 500");
    let status = becomes(admin, "hook", "given_up", 1).await;
    assert_eq!((&status["waiting"], &status["delivered"]), (&json!(0), &json!(1)));
    release(admin, "a").await;
    becomes(admin, "hook", "delivered", 2).await;
    let told = told.lock().unwrap();
    assert_eq!(told.last().unwrap(), "a net.switchback.released");
    assert_eq!(told.iter().filter(|what| *what == "b net.switchback.reverted").count(), 1);
}

/// What an answer is stands in its head: whoever sends half of a body, or one without end, is not asked all day.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_though_its_body_never_ends() {
    let world = World::new().await;
    let receiver = Endpoint::raw(async |mut stream| {
        let mut asked = [0; 4_096];
        let _ = stream.read(&mut asked).await;
        let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 1000000\r\n\r\nno such";
        let _ = stream.write_all(head.as_bytes()).await;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy =
        Proxy::start_in(world.folder(&format!("[webhooks.hook]\nurl = \"http://{}/\"\n", receiver.address)));
    revert(proxy.admin, "a").await;
    let status = becomes(proxy.admin, "hook", "given_up", 1).await;
    assert_eq!((&status["trouble"], &status["failed_tries"]), (&json!("answers 400: no such"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_the_log_nor_in_anything_that_is_shown() {
    const SECRETS: [&str; 5] = ["S3CRET-PATH-0123", "QU3RY-PART-01", "B34RER", "H4SH", "R0UT1NG"];
    let world = World::new().await;
    // As badly as they can behave: everything that they were sent is sent back.
    let echo = |own: &'static [&'static str]| {
        Receiver::start(move |before| {
            answer(if before == 0 { 500 } else { 400 }, own.join("\n") + " said the receiver")
        })
    };
    let [events, slack, pages] =
        [echo(&SECRETS[..4]).await, echo(&SECRETS[..2]).await, echo(&SECRETS[4..]).await];
    let folder = world.folder(&format!(
        "[webhooks.events]\nurl = \"{}/S3CRET-PATH-0123?k=QU3RY-PART-01\"\nsecret = \"secrets/key\"\nbearer = \"secrets/token\"\n\
         [webhooks.pages]\nurl = \"{}\"\nkind = \"pagerduty\"\nrouting-key = \"secrets/routing\"\n\
         [webhooks.slack]\nurl-file = \"secrets/url\"\nkind = \"slack\"\n",
        events.url(),
        pages.url(),
    ));
    secret(&folder, "key", "H4SH");
    secret(&folder, "token", "B34RER");
    secret(&folder, "routing", "R0UT1NG");
    secret(&folder, "url", &format!("{}/S3CRET-PATH-0123?k=QU3RY-PART-01", slack.url()));
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin, "a").await;
    let mut shown = String::new();
    for name in ["events", "pages", "slack"] {
        let status = becomes(admin, name, "given_up", 1).await;
        assert_eq!(status["failed_tries"], 1);
        assert!(status["trouble"].as_str().unwrap().ends_with("said the receiver"), "{status}");
        shown += &try_out(admin, name).await.to_string();
    }
    for path in ["/v1/webhooks", "/v1/process", "/metrics", "/v1/services"] {
        shown += ask(admin, Method::GET, path, &Value::Null).await.text();
    }
    for arguments in [&["webhooks"][..], &["webhooks", "--json"], &["status"]] {
        let admin = admin.to_string();
        let all = [&["--admin", &admin], arguments].concat();
        shown += &String::from_utf8(Process::run(&all).stdout).unwrap();
    }
    process.signal(nix::sys::signal::Signal::SIGTERM);
    process.after("INFO ended");
    shown += &process.seen();
    assert!(process.seen().contains("said the receiver"), "the log tells what was said");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} in\n{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_who_the_trusted_authorities_have_signed_is_told() {
    let world = World::new().await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let tls = TlsServer { pair: ours.sign(&["127.0.0.1"]), alpn: &["http/1.1"], clients: None };
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let receiver = tls::endpoint(tls, move |request| {
        let log = log.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            log.lock().unwrap().push(serde_json::from_slice::<Value>(&body).unwrap());
            answer(200, "")
        }
    })
    .await;
    let url = format!("https://{}/hook", receiver.address);
    let folder = world.folder(&format!(
        "[webhooks.private]\nurl = \"{url}\"\nauthorities = \"ca.pem\"\n[webhooks.stranger]\nurl = \"{url}\"\nauthorities = \"other.pem\"\n"
    ));
    ours.write(&folder.path().join("ca.pem"));
    theirs.write(&folder.path().join("other.pem"));
    let proxy = Proxy::start_in(folder);
    revert(proxy.admin, "a").await;
    becomes(proxy.admin, "private", "delivered", 1).await;
    assert_eq!(told.lock().unwrap()[0]["type"], "net.switchback.reverted");
    eventually("the other is not believed", async || {
        status(proxy.admin, "stranger").await["failed_tries"] != 0
    })
    .await;
    let trouble = status(proxy.admin, "stranger").await["trouble"].to_string();
    assert!(trouble.contains("invalid peer certificate"), "{trouble}");
    assert_eq!(told.lock().unwrap().len(), 1);
    // Authorities that were put right are gone by at once.
    ours.write(&proxy.folder.path().join("other.pem"));
    becomes(proxy.admin, "stranger", "delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_looked_at_and_tried_from_the_command_line() {
    let (world, good) = (World::new().await, Receiver::content().await);
    let (wrong, away) = (Receiver::start(|_| answer(404, "no_service")).await, Endpoint::refusing().await);
    let proxy = Proxy::start_in(world.folder(&format!(
        "[webhooks.good]\nurl = \"{}\"\nkind = \"slack\"\n[webhooks.wrong]\nurl = \"{}\"\n[webhooks.away]\nurl = \"http://{away}/\"\n",
        good.url(),
        wrong.url()
    )));
    let run = async |arguments: &[&str]| {
        let all: Vec<String> = ["--admin".to_owned(), proxy.admin.to_string()]
            .into_iter()
            .chain(arguments.iter().map(ToString::to_string))
            .collect();
        let run = move || Process::run(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = run(&["webhooks", "test", "good", "--reason", "new key"]).await;
    assert_eq!(code, Some(0));
    assert!(said.starts_with("good: delivered, and answered with 200 (message "), "{said}");
    let text = body(&good.told()[0])["text"].as_str().unwrap().to_owned();
    assert!(text.ends_with("tries the webhook good: new key"), "{text}");

    let (code, said, complaint) = run(&["webhooks", "test", "wrong", "--reason", "x"]).await;
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(
        complaint.contains("wrong: not delivered, and given up: it answers 404: no_service"),
        "{complaint}"
    );
    let (code, _, complaint) = run(&["webhooks", "test", "away", "--reason", "x"]).await;
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains("away: not delivered yet: it cannot be reached: Connection refused"),
        "{complaint}"
    );
    assert!(complaint.contains("1 message waiting"), "{complaint}");
    let (code, _, complaint) = run(&["webhooks", "test", "nobody", "--reason", "x"]).await;
    assert_eq!((code, complaint.contains("there is no webhook nobody")), (Some(1), true), "{complaint}");
    let past = ask(proxy.admin, Method::GET, "/v1/history?limit=1", &Value::Null).await.json();
    let latest = ["deed", "outcome", "details"].map(|key| past[0][key].as_str());
    assert_eq!(
        latest,
        [Some("webhook-tested"), Some("refused"), Some("there is no webhook nobody")],
        "{past}"
    );
    let (code, _, complaint) = run(&["webhooks", "test", "good", "--reason", " "]).await;
    assert_eq!((code, complaint.contains("a reason is needed")), (Some(1), true), "{complaint}");

    let (_, said, _) = run(&["webhooks"]).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("WEBHOOK  KIND         TO"), "{said}");
    assert!(
        lines[1].starts_with("away     cloudevents  http://127.0.0.1:") && lines[1].contains("1 for "),
        "{said}"
    );
    assert!(lines[2].starts_with("good     slack ") && lines[2].contains(" ago"), "{said}");
    assert!(lines[3].contains("it answers 404: no_service; 1 given up"), "{said}");
    let (_, said, _) = run(&["webhooks", "--json"]).await;
    let all: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((all[1]["webhook"].as_str(), all[1]["delivered"].as_u64()), (Some("good"), Some(1)));
    let (_, said, _) = run(&["status"]).await;
    assert!(said.contains("! webhook away is not told what happens: it cannot be reached"), "{said}");
    let nobody = Proxy::start_in(world.folder(""));
    let admin = nobody.admin.to_string();
    let output =
        tokio::task::spawn_blocking(move || Process::run(&["--admin", &admin, "webhooks"])).await.unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("nobody is told what happens"));
}
