//! Helios against Helios: the halves are labels only, and what they come to is kept.

use std::process::Output;

use http::{HeaderName, HeaderValue, Method};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Service};

const PATH: &str = "/v1/services/a/calibration";

async fn sides() -> (Endpoint, Endpoint) {
    (Endpoint::named("helios").await, Endpoint::named("kubernetes").await)
}

fn service(helios: &Endpoint, kubernetes: &Endpoint) -> Service {
    Service::new("a").helios(helios.address).kubernetes(kubernetes.address)
}

async fn begin(proxy: &Proxy, lasts: &str) -> Answer {
    proxy.ask(Method::POST, PATH, &json!({ "for": lasts, "reason": "before the ramp" })).await
}

async fn calibration(proxy: &Proxy) -> Value {
    proxy.ask(Method::GET, PATH, &Value::Null).await.json()
}

/// Waits until so many requests are in one of the halves, and tells how many are in each.
async fn halves(proxy: &Proxy, all: u64) -> (u64, u64) {
    let now = async || {
        let running = calibration(proxy).await["running"].clone();
        let of = |half: &str| running[half]["requests"].as_u64().unwrap();
        (of("a"), of("b"))
    };
    eventually(&format!("{all} requests are in the halves"), async || {
        let (a, b) = now().await;
        a + b == all
    })
    .await;
    now().await
}

/// Waits until none runs, and gives what the last came to.
async fn ended(proxy: &Proxy) -> Value {
    eventually("it has ended", async || calibration(proxy).await["running"].is_null()).await;
    calibration(proxy).await["last"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_moved_and_every_request_is_counted_once() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes).weight(20.0)]);
    let load = Load::start(proxy.address, "a.test", 8, 400);
    eventually("it is asked", async || load.good() > 200).await;
    let begun = begin(&proxy, "2s").await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let running = &begun.json()["running"];
    assert_eq!((&running["ending"], &running["lasts_s"]), (&json!("running"), &json!(2.0)));
    let before = helios.hits();
    let last = ended(&proxy).await;
    let after = helios.hits();
    let (good, failed, broken) = load.end().await;
    assert_eq!((failed, broken), (0, 0));
    assert!((proxy.weight("a").await - 20.0).abs() < 1e-9);
    assert_eq!(usize::try_from(good).unwrap(), helios.hits() + kubernetes.hits());
    // What was dealt to Kubernetes is a fifth, give or take one for each worker.
    assert!(
        kubernetes.hits().abs_diff(usize::try_from(good).unwrap() / 5) <= 4,
        "{} of {good}",
        kubernetes.hits()
    );
    proxy.counted("switchback_tries_total", &["side=\"helios\""], helios.hits() as f64).await;
    proxy.counted("switchback_tries_total", &["side=\"kubernetes\""], kubernetes.hits() as f64).await;

    assert_eq!(last["ending"], "finished", "{last:#}");
    assert_eq!(last["judgement"], "too short to say");
    assert_eq!(last["reason"], "before the ramp");
    let [a, b] = ["a", "b"].map(|half| last[half]["requests"].as_u64().unwrap());
    assert!(a > 100 && b > 100, "{last:#}");
    assert!(usize::try_from(a + b).unwrap() <= after - before + 16, "{a} and {b} of {before} to {after}");
    assert_eq!(last["sensitivity"].as_array().unwrap().len(), 5, "{last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forced_or_rescued_is_in_neither_half() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(500).await);
    let force = "force = { header = \"x-switchback-side\", from = [\"127.0.0.1/32\"] }";
    let service = service(&helios, &kubernetes).weight(50.0).split(force);
    let proxy = Proxy::start(&[service.rest("[judge]\nmode = \"advise\"\n")]);
    assert_eq!(begin(&proxy, "1h").await.status, 200);
    // One connection is one worker's.
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for _ in 0..100 {
        assert_eq!(client.get("a.test", "/").await.text(), "helios", "dealt or rescued");
        let mut forced = request(Over::Http1, Method::GET, "a.test", "/", "");
        forced.headers_mut().insert("x-switchback-side", HeaderValue::from_static("helios"));
        assert_eq!(client.send(forced).await.text(), "helios");
    }
    assert_eq!(helios.hits(), 200);
    let (a, b) = halves(&proxy, 50).await;
    assert!(a > 5 && b > 5, "{a} and {b}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_sticky_service_is_in_one_half() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes).split("sticky = { header = \"x-user-id\" }")]);
    assert_eq!(begin(&proxy, "1h").await.status, 200);
    let ask_as = async |user: &str, times: usize| {
        let mut client = Client::connect(proxy.address, Over::Http1).await;
        for _ in 0..times {
            let mut sent = request(Over::Http1, Method::GET, "a.test", "/", "");
            let name = HeaderName::from_static("x-user-id");
            sent.headers_mut().insert(name, HeaderValue::from_str(user).unwrap());
            assert_eq!(client.send(sent).await.text(), "helios");
        }
    };
    let mut before = (0, 0);
    for user in 0..12_u64 {
        ask_as(&format!("user-{user}"), 20).await;
        let (a, b) = halves(&proxy, (user + 1) * 20).await;
        let got = (a - before.0, b - before.1);
        assert!([(20, 0), (0, 20)].contains(&got), "user {user}: {got:?}");
        before = (a, b);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_came_to_is_kept_over_a_restart_and_one_that_ran_was_interrupted() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes).weight(10.0)]);
    let first = calibration(&proxy).await;
    assert_eq!(first, json!({ "service": "a", "running": null, "last": null, "interrupted": null }));
    assert_eq!(begin(&proxy, "1s").await.status, 200);
    let last = ended(&proxy).await;
    assert_eq!(begin(&proxy, "1h").await.status, 200);
    assert_eq!(calibration(&proxy).await["last"], last, "until the next has ended");

    let proxy = Proxy::start_in(proxy.end().await);
    let then = calibration(&proxy).await;
    assert_eq!((&then["last"], &then["running"]), (&last, &Value::Null));
    assert_eq!(then["interrupted"]["lasts_s"], 3_600.0);

    let folder = proxy.end().await;
    let file = folder.state().join("calibrations/a.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let proxy = Proxy::start_in(folder);
    assert_eq!(calibration(&proxy).await, first, "unreadable is as none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[
        service(&helios, &kubernetes),
        Service::new("new").kubernetes(kubernetes.address).weight(100.0),
        Service::new("full").helios(helios.address).kubernetes(kubernetes.address).weight(100.0),
        Service::new("off").helios(helios.address).rest("[judge]\nmode = \"off\"\n"),
    ]);
    let refused = async |method: Method, service: &str, body: Value| {
        let answer = proxy.ask(method, &format!("/v1/services/{service}/calibration"), &body).await;
        (answer.status.as_u16(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (method, service, body, status, detail) in [
        (Method::POST, "nobody", json!({}), 404, "there is no service nobody"),
        (Method::GET, "nobody", Value::Null, 404, "there is no service nobody"),
        (
            Method::POST,
            "new",
            json!({}),
            409,
            "new: it has no Helios side that could be compared with itself",
        ),
        (Method::POST, "full", json!({}), 409, "full: its weight is 100: Helios gets no requests"),
        (Method::POST, "off", json!({}), 409, "off: its judge is off, and there is nothing to calibrate"),
        (Method::POST, "a", json!({ "for": "soon" }), 422, "for: a number and a unit"),
        (Method::POST, "a", json!({ "for": "999ms" }), 422, "for: from 1 s to 7 d"),
        (Method::POST, "a", json!({ "for": "8d" }), 422, "for: from 1 s to 7 d"),
        (Method::POST, "a", json!({ "lasts": "1h" }), 400, "the body is not what is asked for here"),
        (Method::POST, "a", json!({ "reason": "a\nb" }), 422, "a reason is one line of text"),
        (Method::DELETE, "a", Value::Null, 409, "a: it is not being calibrated"),
    ] {
        let (got, told) = refused(method, service, body.clone()).await;
        assert_eq!(got, status, "{service} {body}: {told}");
        assert!(told.starts_with(detail), "{service} {body}: {told}");
    }
    assert_eq!(proxy.ask(Method::POST, PATH, &Value::Null).await.json()["running"]["lasts_s"], 1_800.0);
    let (status, told) = refused(Method::POST, "a", json!({ "for": "1h" })).await;
    assert_eq!((status, told.as_str()), (409, "a: it is being calibrated already"));
    let stopped = proxy.ask(Method::DELETE, PATH, &json!({ "reason": "enough" })).await.json();
    assert_eq!((&stopped["running"], &stopped["last"]["ending"]), (&Value::Null, &json!("stopped")));
    assert!(stopped["last"]["ending_why"].as_str().unwrap().ends_with(": enough"), "{stopped:#}");
}

/// Runs a command against this program.
async fn run(proxy: &Proxy, arguments: &[&str]) -> (Output, String) {
    let mut all = vec!["--admin".to_owned(), proxy.admin.to_string(), "calibrate".to_owned()];
    all.extend(arguments.iter().map(ToString::to_string));
    let output = tokio::task::spawn_blocking(move || {
        Process::run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let output = output.await.unwrap();
    let text = String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap();
    (output, text)
}

/// What lines begin with, in this order; numbers and moments differ, and so does how noisy this machine is.
fn assert_lines(text: &str, starts: &[&str]) {
    let mut lines = text.lines();
    for start in starts {
        assert!(lines.any(|line| line.starts_with(start)), "{start:?} in\n{text}");
    }
}

const REPORT: [&str; 14] = [
    "a: too short to say. Helios was compared with itself for ",
    "  because  it ran for ",
    "  promise  one false revert in 1 y: 0 found, at most ",
    "  halves   A ",
    "           B ",
    "  latency  p50 ",
    "  noise    ",
    "At ",
    "  weight                                    20.00 (now)  1.00 ",
    "  100% of requests fail                     1.",
    "  10% of requests fail                      ",
    "  1% of requests fail                       ",
    "  answers take 1.3 times as long            ",
    "  the slowest answers take 2 times as long  ",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_command_follows_to_the_end_and_reports() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes).weight(20.0)]);
    let load = Load::start(proxy.address, "a.test", 8, 800);
    eventually("Helios' latency is known", async || load.good() > 1_500).await;
    let (output, text) = run(&proxy, &["a", "--for", "3s"]).await;
    assert!(output.status.success(), "{text}");
    assert!(
        text.starts_with("a: 0.0 ms of 3 s: 0 and 0 requests, 0 found where at most 0.0 are expected"),
        "{text}"
    );
    let report = &text[text.find("a: too short to say").unwrap_or_default()..];
    assert_lines(report, &REPORT);
    let (_, shown) = run(&proxy, &["a", "--show"]).await;
    assert_eq!(shown, report, "it is the same whenever it is read");
    let (_, json) = run(&proxy, &["a", "--for", "1s", "--json", "--reason", "once more"]).await;
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&record["ending"], &record["reason"]), (&json!("finished"), &json!("once more")));
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_wait_leaves_it_running() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[service(&helios, &kubernetes)]);
    let (_, never) = run(&proxy, &["a", "--show"]).await;
    assert_eq!(never, "a has never been calibrated to an end\n");
    let (output, text) = run(&proxy, &["a", "--for", "2h", "--detach"]).await;
    assert!(output.status.success() && text.starts_with("a is being calibrated until "), "{text}");
    let (output, text) = run(&proxy, &["a"]).await;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text, "switchback: a: it is being calibrated already\n");
    let (_, shown) = run(&proxy, &["a", "--show"]).await;
    assert!(
        shown.starts_with("a: too short to say so far. Helios has been compared with itself for "),
        "{shown}"
    );
    let (_, stopped) = run(&proxy, &["a", "--stop", "--reason", "seen enough"]).await;
    assert!(
        stopped.starts_with("a: too short to say. ") && stopped.contains(": seen enough. Begun by "),
        "{stopped}"
    );

    let admin = proxy.admin.to_string();
    let mut following = Process::start(&["--admin", &admin, "calibrate", "a", "--for", "1h"]);
    following.after("a: ");
    following.signal(Signal::SIGINT);
    following.after("a is being calibrated until ");
    assert!(following.wait().success());
    assert_eq!(calibration(&proxy).await["running"]["lasts_s"], 3_600.0);
}
