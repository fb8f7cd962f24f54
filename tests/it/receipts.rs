//! Receipts of reverts: what they say, that they are kept, and that those of earlier versions are read.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

async fn receipt(proxy: &Proxy) -> Value {
    proxy.ask(Method::GET, "/v1/services/a/receipt", &Value::Null).await.json()
}

fn numbers(records: &Value, key: &str) -> Vec<u64> {
    records.as_array().unwrap().iter().map(|record| record[key].as_u64().unwrap()).collect()
}

/// Each question has its say, and the one that decided says what the finding does.
fn tells_what_each_question_said(receipt: &Value) {
    let finding = &receipt["finding"];
    let questions: Vec<&str> =
        receipt["evidence"].as_array().unwrap().iter().map(|one| one["question"].as_str().unwrap()).collect();
    assert_eq!(questions, ["failure", "stall", "slow50", "slower", "slow99", "far", "farther"]);
    let failure = &receipt["evidence"][0];
    assert_eq!(failure["kubernetes_votes"], finding["kubernetes_votes"], "{receipt:#}");
    assert_eq!(failure["kubernetes_bad"], finding["kubernetes_bad"]);
    assert!(failure["evidence_s"].as_f64().unwrap() > 0.9 * finding["evidence_s"].as_f64().unwrap());
    assert!(failure["helios_after_ms"].is_null(), "a failure has no age");
    let stall = &receipt["evidence"][1];
    assert_eq!(stall["helios_after_ms"], stall["kubernetes_after_ms"]);
}

/// Second by second, from what was usual to the revert.
fn tells_each_second(receipt: &Value) {
    let timeline = &receipt["timeline"];
    let seconds = numbers(timeline, "from_unix_ms");
    assert!(seconds.len() >= 4 && seconds.is_sorted(), "{receipt:#}");
    assert!(*seconds.last().unwrap() <= receipt["reverted_unix_ms"].as_u64().unwrap());
    let told: u64 = numbers(timeline, "kubernetes_failed").iter().sum();
    assert_eq!(told, receipt["kubernetes"]["failed"], "the failures are all in the window");
    assert_eq!(numbers(timeline, "kubernetes_failed")[0], 0, "what was usual comes first");
    assert_eq!(numbers(timeline, "helios_failed").iter().sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_what_each_question_said_each_second_and_which_requests_failed() {
    let failing = Arc::<AtomicBool>::default();
    let failed = Arc::<Mutex<BTreeSet<String>>>::default();
    let helios = Endpoint::named("helios").await;
    let kubernetes = Endpoint::start({
        let (failing, failed) = (failing.clone(), failed.clone());
        move |seen| {
            let fails = failing.load(Ordering::SeqCst);
            if fails {
                let id = seen.headers["x-request-id"].to_str().unwrap().to_owned();
                failed.lock().unwrap().insert(id);
            }
            async move { answer(if fails { 500 } else { 200 }, "") }
        }
    })
    .await;
    let service = Service::new("a")
        .weight(50.0)
        .helios(helios.address)
        .kubernetes(kubernetes.address)
        .rest("[headers]\nrequest-id = \"x-request-id\"\n");
    let proxy = Proxy::start(&[service]);
    let sent = Arc::<AtomicU64>::default();
    let load = Load::asking(proxy.address, Over::Http1, 20, 400, move || {
        let mut request = request(Over::Http1, Method::GET, "a.test", "/", "");
        let id = format!("r-{}", sent.fetch_add(1, Ordering::Relaxed));
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        request
    });
    eventually("both sides are known", async || load.good() > 1_600).await;
    failing.store(true, Ordering::SeqCst);
    eventually("the service is taken back", async || proxy.status("a").await["why"] == "held").await;
    eventually("the receipt is on disk", async || {
        let kept = proxy.ask(Method::GET, "/v1/services/a/receipts", &Value::Null).await.json();
        kept.as_array().unwrap().len() == 1
    })
    .await;
    load.end().await;

    let receipt = receipt(&proxy).await;
    tells_what_each_question_said(&receipt);
    tells_each_second(&receipt);
    let cited = receipt["cited"].as_array().unwrap();
    assert!((1..=8).contains(&cited.len()), "{receipt:#}");
    let known = failed.lock().unwrap().clone();
    for one in cited {
        assert!(known.contains(one["id"].as_str().unwrap()), "{one} never failed");
        assert_eq!(one["endpoint"], kubernetes.address.to_string());
        assert_eq!(one["cause"], "status");
    }
    assert_eq!(
        (&receipt["weight_before_percent"], &receipt["weight_after_percent"]),
        (&json!(50.0), &json!(0.0))
    );

    let admin = proxy.admin.to_string();
    let first = cited[0]["id"].as_str().unwrap();
    let told = Process::run(&["explain", "a", "--full", "--admin", &admin]);
    let told = String::from_utf8(told.stdout).unwrap();
    for part in ["  requests  ", first, "answers three times slower", "kubernetes failed", "configuration "] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_names_a_request_that_has_no_identifier() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let helios = Endpoint::named("helios").await;
    let kubernetes = Endpoint::status(500).await;
    let service = Service::new("a")
        .weight(100.0)
        .helios(helios.address)
        .kubernetes(kubernetes.address)
        .rest("[headers.request]\nset = { x = \"y\" }\n");
    let proxy = Proxy::start(&[service]);
    let mut asked = request(Over::Http1, Method::GET, "a.test", "/", "");
    asked.headers_mut().insert("traceparent", PARENT.parse().unwrap());
    assert_eq!(crate::support::client::send(proxy.address, asked).await.text(), "helios");
    eventually("control knows", async || proxy.status("a").await["kubernetes"]["failed"] == 1.0).await;
    proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "x" })).await;
    assert_eq!(receipt(&proxy).await["cited"][0]["id"], "0af7651916cd43dd8448eb211c80319c");
}

/// As version 0.1 wrote them.
const OLD: &str = r#"{
  "service": "a",
  "reverted_unix_ms": 1790000000000,
  "by": "judge",
  "reason": "failures on Kubernetes: 61 of 118 in 1.0 s, on Helios 0 of 121",
  "weight_before_percent": 25.0,
  "finding": null,
  "window_s": 1.0,
  "helios": { "tries": 121, "failed": 0, "p50_ms": 1.0, "p99_ms": 9.0 },
  "kubernetes": { "tries": 118, "failed": 61, "p50_ms": null, "p99_ms": null },
  "blamed": [{ "endpoint": "10.4.1.17:8080", "cause": "connect_refused", "count": 61 }],
  "rescued": 61,
  "unrescued": 0,
  "hanging": 0,
  "configuration": "8ebe36031f55435c",
  "applied": { "workers": 2, "of": 2, "took_us": 66 },
  "hold_written_unix_ms": 1790000000001
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_earlier_reverts_and_of_earlier_versions_are_read() {
    let [helios, kubernetes] = [Endpoint::named("helios").await, Endpoint::named("kubernetes").await];
    let folder =
        Folder::with(&[Service::new("a").weight(25.0).helios(helios.address).kubernetes(kubernetes.address)]);
    let receipts = folder.state().join("receipts/a");
    fs::create_dir_all(&receipts).unwrap();
    fs::write(receipts.join("0001790000000000.json"), OLD).unwrap();
    let proxy = Proxy::start_in(folder);
    assert_eq!(receipt(&proxy).await["kubernetes"]["failed"], 61, "it is the last");
    proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "INC-9" })).await;
    let all = async || proxy.ask(Method::GET, "/v1/services/a/receipts", &Value::Null).await.json();
    eventually("both are kept", async || all().await.as_array().unwrap().len() == 2).await;
    let reasons: Vec<_> = all().await.as_array().unwrap().iter().map(|one| one["reason"].clone()).collect();
    assert_eq!(reasons[0], "INC-9", "the newest is first");

    let old = "/v1/services/a/receipts/1790000000000";
    let old = proxy.ask(Method::GET, old, &Value::Null).await.json();
    assert_eq!((&old["timeline"], &old["weight_after_percent"]), (&json!([]), &json!(0.0)));
    let missing = proxy.ask(Method::GET, "/v1/services/a/receipts/17", &Value::Null).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert!(missing.text().contains("/v1/services/a/receipts lists them"), "{}", missing.text());
    let none = proxy.ask(Method::GET, "/v1/services/nobody/receipts", &Value::Null).await;
    assert_eq!(none.status, 404, "{}", none.text());

    let admin = proxy.admin.to_string();
    let listed = Process::run(&["explain", "a", "--reverts", "--admin", &admin]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().next().unwrap().starts_with("1790000000000  2026-09-21 "), "{listed}");
    assert!(listed.lines().nth(1).unwrap().ends_with("INC-9"), "{listed}");
    let told = Process::run(&["explain", "a", "--at", "1790000000000", "--full", "--admin", &admin]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("10.4.1.17:8080 refused connections"), "{told}");
    assert!(told.contains("of an earlier version") && !told.contains("  now"), "{told}");
}
