//! Every change and every refusal is an entry of the history, and who changes a byte of it is found out.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy};
use crate::support::rights::{entry, token};

use super::world::{World, ask_as, run_as};

/// Something that somebody asks for, and what comes of it.
struct Row {
    method: Method,
    path: &'static str,
    body: Value,
    deed: &'static str,
    comes: Comes,
}

#[derive(Clone, Copy)]
enum Comes {
    /// From this weight to that.
    Done(f64, f64),
    /// It is answered with this status.
    Refused(u16),
}

use Comes::{Done, Refused};

fn row(method: Method, path: &'static str, body: Value, deed: &'static str, comes: Comes) -> Row {
    Row { method, path, body, deed, comes }
}

/// What is asked for in a day.
fn day() -> Vec<Row> {
    let one = || json!({ "services": ["a"] });
    let none = || json!({});
    let (put, post, delete) = (|| Method::PUT, || Method::POST, || Method::DELETE);
    let (weight, ramp) = ("services/a/weight", "services/a/ramp");
    vec![
        row(put(), weight, json!({ "percent": 20.0 }), "weight-set", Done(10.0, 20.0)),
        row(delete(), weight, none(), "override-cleared", Done(20.0, 10.0)),
        // By somebody who may only look.
        row(put(), weight, json!({ "percent": 30.0 }), "weight-set", Refused(403)),
        row(post(), ramp, none(), "ramp-started", Done(10.0, 25.0)),
        row(post(), "ramps/pause", one(), "ramp-paused", Done(25.0, 25.0)),
        row(post(), "ramps/pause", one(), "ramp-paused", Refused(409)),
        row(post(), "ramps/resume", one(), "ramp-resumed", Done(25.0, 25.0)),
        row(post(), "revert", one(), "reverted", Done(25.0, 0.0)),
        row(put(), weight, json!({ "percent": 1.0 }), "weight-set", Refused(409)),
        row(post(), ramp, none(), "ramp-started", Refused(409)),
        row(post(), "services/a/release", json!({ "to_percent": 5.0 }), "released", Done(0.0, 5.0)),
        row(post(), ramp, none(), "ramp-started", Refused(409)),
        row(post(), ramp, json!({ "from_percent": 25.0 }), "ramp-started", Done(5.0, 25.0)),
        row(delete(), ramp, none(), "ramp-stopped", Done(25.0, 10.0)),
        row(post(), "services/a/migration", none(), "migrated", Refused(409)),
        row(post(), "services/a/approval", none(), "approved", Refused(404)),
    ]
}

/// Has all of it asked for, and tells what the history should have of each: deed, outcome, who, before, after, ticket.
async fn live(proxy: &Proxy, operator: &str, viewer: &str) -> Vec<Value> {
    let mut wanted = Vec::new();
    for Row { method, path, mut body, deed, comes } in day() {
        let (status, outcome, before, after) = match comes {
            Done(before, after) => (200, "done", json!(before), json!(after)),
            Refused(status) => (status, "refused", Value::Null, Value::Null),
        };
        let (who, name) = if status == 403 { (viewer, "looks") } else { (operator, "ops") };
        body["reason"] = json!("because of it");
        body["ticket"] = json!("OPS-1");
        let answer = ask_as(proxy, who, method, &format!("/v1/{path}"), &body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        wanted.push(json!([deed, outcome, { "person": name }, before, after, "OPS-1"]));
    }
    wanted
}

async fn start() -> (World, Proxy) {
    let world = World::new().await;
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\n";
    let folder = Folder::with(&[world.service("a", plan).weight(10.0)]);
    folder.add_to_admin("rights = \"rights.toml\"");
    let rights = [entry("ops", "role = \"admin\"", 1), entry("looks", "role = \"viewer\"", 2)];
    fs::write(folder.path().join("rights.toml"), rights.concat()).unwrap();
    (world, Proxy::start_in(folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_and_each_refusal_says_who_from_where_when_what_before_what_after_why_and_for_which_ticket()
 {
    let (_world, proxy) = start().await;
    let (operator, viewer) = (token(1), token(2));
    let before = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let wanted = live(&proxy, &operator, &viewer).await;
    let mut found = Vec::new();
    eventually("all of it is in the history", async || {
        let path = "/v1/history?limit=1000&service=a";
        found = ask_as(&proxy, &operator, Method::GET, path, &Value::Null)
            .await
            .json()
            .as_array()
            .unwrap()
            .clone();
        found.retain(|entry| entry["ticket"] == "OPS-1");
        found.len() >= wanted.len()
    })
    .await;
    found.reverse();
    let rows: Vec<Value> = found
        .iter()
        .map(|e| {
            let of = |key: &str| e[key].clone();
            let keys = ["deed", "outcome", "by", "before_percent", "after_percent", "ticket"];
            Value::Array(keys.map(of).to_vec())
        })
        .collect();
    assert_eq!(rows, wanted, "{found:#?}");
    for entry in &found {
        assert!(entry["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry:#}");
        assert_eq!(entry["via"], "token", "{entry:#}");
        assert_eq!(entry["reason"], "because of it", "{entry:#}");
        assert!(entry["at_unix_ms"].as_u64().unwrap() >= before, "{entry:#}");
        let is_refused = entry["outcome"] == "refused";
        assert_eq!(entry["details"].is_string(), is_refused, "what was refused says why: {entry:#}");
    }
    let (_, shown) = run_as(&proxy, &operator, &["history", "a", "--limit", "100"]).await;
    for (begins, ends) in [
        ("weight set  a  10.00 → 20.00  by ops (token, 127.0.0.1:", ")  because of it  [OPS-1]"),
        ("reverted  a  25.00 → 0.00  by ops (token, 127.0.0.1:", ")  because of it  [OPS-1]"),
        (
            "weight set  a  REFUSED  by looks (token, 127.0.0.1:",
            "that takes the role operator over a of team t, which looks does not have  [OPS-1]",
        ),
    ] {
        let is_told = shown.lines().any(|line| line.contains(begins) && line.ends_with(ends));
        assert!(is_told, "{begins}…{ends}\nin\n{shown}");
    }
}

/// Whether the history in a state directory is as it was written, by the command: its exit code, and what it says.
fn verify(state: &Path) -> (Option<i32>, String) {
    let output = Process::run(&["history", "--verify", "--state", &state.display().to_string()]);
    (output.status.code(), String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_was_changed_in_the_history_or_in_a_receipt_is_found_and_named() {
    let (_world, proxy) = start().await;
    let operator = token(1);
    live(&proxy, &operator, &token(2)).await;
    let (code, said) = run_as(&proxy, &operator, &["history", "--verify"]).await;
    assert_eq!(code, Some(0), "{said}");
    let folder = proxy.end().await;
    let (code, said) = verify(&folder.state());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" entries from number 1 to ") && said.contains(", and 1 receipt;"), "{said}");

    let only = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let file = only(&folder.state().join("history"));
    let good = fs::read(&file).unwrap();
    let lines: Vec<usize> = good.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect();
    assert!(lines.len() > 16);
    for place in [0, lines.len() / 2, lines.len() - 1] {
        let mut bytes = good.clone();
        bytes[lines[place] - 3] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let (code, said) = verify(&folder.state());
        assert_eq!(code, Some(1), "{said}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            said.contains(&format!("history/{name}:{}: has been changed: its hash is another", place + 1)),
            "{said}"
        );
        assert!(said.contains("the history is not as it was written: 1 fault"), "{said}");
    }
    fs::write(&file, &good).unwrap();

    let receipt = only(&folder.state().join("receipts/a"));
    let mut bytes = fs::read(&receipt).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&receipt, &bytes).unwrap();
    let (code, said) = verify(&folder.state());
    assert_eq!(code, Some(1), "{said}");
    let name = receipt.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(&format!("receipts/a/{name}: has been changed")), "{said}");

    // A running Switchback says the same, and goes on.
    let proxy = Proxy::start_in(folder);
    let (code, said) = run_as(&proxy, &operator, &["history", "--verify"]).await;
    assert_eq!(code, Some(1), "{said}");
    let set = json!({ "percent": 3.0, "reason": "it goes on" });
    let answer = ask_as(&proxy, &operator, Method::PUT, "/v1/services/a/weight", &set).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
