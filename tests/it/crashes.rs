//! The process is killed at every system call by which it writes its state, and started again: Kubernetes never has more than
//! the record allows, no hold that was told of is lost, the history is whole, and it always starts.
//!
//! strace kills it, or has the call fail, before the call is made: before the first is before all, and before each other one
//! is behind the one before.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{self, Over, request};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Service};

/// Calls by which files are written.
const WRITES: [&str; 9] =
    ["openat", "write", "fsync", "fdatasync", "rename", "unlink", "mkdir", "ftruncate", "fchmod"];
/// More of one call than any change makes.
const MOST: usize = 20;

/// What is done while the process may be killed.
struct Change {
    method: Method,
    path: &'static str,
    body: Value,
    /// Whether the service is held before.
    held: bool,
    /// The weight before and after, in percent.
    before: f64,
    after: f64,
}

/// strace at a process.
struct Saboteur {
    child: Child,
}

impl Saboteur {
    /// Does this to the process when it makes this call for the nth time. All writing is done by one thread, so that the nth
    /// of a thread, as strace counts, is the nth of all.
    fn attach(process: &Process, state: &Path, call: &str, what: &str, nth: usize) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null"]);
        for path in watched(state) {
            command.arg("-P").arg(path);
        }
        command
            .arg("-e")
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:{what}:when={nth}"))
            .arg("-p")
            .arg(process.id().to_string());
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        assert!(said.contains("attached with"), "strace could not attach: {said}");
        // Nobody reads what else it says, but it must not wait for somebody to.
        std::thread::spawn(move || lines.count());
        Self { child }
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files and folders that hold the state of service `a`.
fn watched(state: &Path) -> Vec<PathBuf> {
    let names = [
        "services",
        "services/a.json",
        "services/a.json.new",
        "history",
        "history/000000000001.jsonl",
        "receipts",
        "receipts/a",
    ];
    names.iter().map(|name| state.join(name)).collect()
}

fn service() -> Service {
    // Nobody asks it anything: its endpoints need not be there.
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    Service::new("a")
        .weight(50.0)
        .helios(nobody)
        .kubernetes(nobody)
        .rest("[ramp]\nsteps = [50, 70]\nhold = \"1h\"\n")
}

/// Tells what was answered, if the process lived to answer.
async fn ask(admin: SocketAddr, method: &Method, path: &str, body: &Value) -> Option<client::Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client::try_send(admin, request(Over::Http1, method.clone(), "localhost", path, body)).await
}

async fn status(admin: SocketAddr) -> Value {
    ask(admin, &Method::GET, "/v1/services/a", &Value::Null).await.unwrap().json()
}

/// What the record on disk allows Kubernetes, in percent.
fn allowed(folder: &Folder) -> f64 {
    let path = folder.state().join("services/a.json");
    let Ok(text) = std::fs::read_to_string(path) else { return 50.0 };
    let record: Value = serde_json::from_str(&text).unwrap();
    match &record["word"] {
        Value::String(_) => record["ramp"]["weight_percent"].as_f64().unwrap_or(50.0),
        word => word["override"]["weight_percent"].as_f64().unwrap_or(0.0),
    }
}

/// The history, checked, and the number of its entries that say this.
fn entries(folder: &Folder, deed: &str) -> usize {
    let state = folder.state().display().to_string();
    let verified = Process::run(&["history", "--verify", "--state", &state]);
    assert!(verified.status.success(), "{verified:?}");
    let shown = Process::run(&["history", "--limit", "1000", "--json", "--state", &state]);
    let text = String::from_utf8(shown.stdout).unwrap();
    text.lines().filter(|line| line.contains(&format!("\"deed\":\"{deed}\""))).count()
}

/// A folder in which the service is as a change finds it.
async fn prepared(change: &Change) -> Folder {
    let folder = Folder::with(&[service()]);
    if change.held {
        let (mut process, _, admin) = Process::serve(folder.path());
        let body = json!({ "services": ["a"], "reason": "before" });
        let got = ask(admin, &Method::POST, "/v1/revert", &body).await.unwrap();
        assert_eq!(got.json()["written"], true, "{}", got.text());
        process.signal(nix::sys::signal::Signal::SIGTERM);
        process.wait();
    }
    folder
}

/// Makes the change again and again, with the process killed at another call each time, until there is none left to kill it at.
async fn killed_at_every_call(change: Change, deed: &str) {
    let mut killed = 0;
    for call in WRITES {
        for nth in 1..=MOST {
            if !killed_at(&change, deed, call, nth).await {
                break;
            }
            killed += 1;
            assert!(nth < MOST, "it was killed at {call} {nth} still");
        }
    }
    // Written, on the disk and in its place: the history, then the record.
    assert!(killed >= 7, "it was killed {killed} times only");
}

/// Tells whether it was killed.
async fn killed_at(change: &Change, deed: &str, call: &str, nth: usize) -> bool {
    let folder = prepared(change).await;
    let (mut process, _, admin) = Process::serve(folder.path());
    wait_for_the_start(&folder, change.held).await;
    let saboteur = Saboteur::attach(&process, &folder.state(), call, "signal=KILL", nth);
    let got = ask(admin, &change.method, change.path, &change.body).await;
    if let Some(got) = &got {
        assert_eq!(got.status, 200, "{}", got.text());
    }
    // What comes behind the answer: receipts, and their seals.
    let mut lives = false;
    eventually("all is written, or the process is gone", async || {
        let got = ask(admin, &Method::GET, "/v1/process", &Value::Null).await;
        lives = got.is_some();
        got.is_none_or(|got| got.json()["unwritten_history"] == 0)
    })
    .await;
    if lives {
        process.kill();
    } else {
        process.wait();
    }
    drop(saboteur);

    let allows = allowed(&folder);
    let (mut process, _, admin) = Process::serve(folder.path());
    let status = status(admin).await;
    process.kill();
    let weight = status["weight_percent"].as_f64().unwrap();
    let at = format!("killed at {call} {nth}: {status}");
    assert!(weight <= allows, "{at}: the record allows {allows}");
    assert!([change.before, change.after].iter().any(|known| (known - weight).abs() < 1e-9), "{at}");
    if let Some(got) = got {
        let told = got.json()["changes"][0]["after_percent"].as_f64().unwrap();
        // What was told of a hold stands; and what is toward Kubernetes was written before it was told.
        let is_safe = got.json()["written"] == true || change.after > change.before;
        assert!(!is_safe || (told - weight).abs() < 1e-9, "{at}: {}", got.text());
    }
    let raised = weight > change.before;
    assert!(!raised || entries(&folder, deed) > 0, "{at}: more than the history says");
    !lives
}

/// The start itself is written down: what comes behind it is the change.
async fn wait_for_the_start(folder: &Folder, held: bool) {
    let wanted = if held { 2 } else { 1 };
    let file = folder.state().join("history/000000000001.jsonl");
    let starts =
        || std::fs::read_to_string(&file).unwrap_or_default().matches("\"deed\":\"started\"").count();
    eventually("the start is in the history", async || starts() == wanted).await;
    // And the ledger, which is another file.
    eventually("the ledger is kept", async || folder.state().join("ledger/a.json").exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_is_written_or_not_in_force_wherever_the_process_is_killed() {
    let change = Change {
        method: Method::PUT,
        path: "/v1/services/a/weight",
        body: json!({ "percent": 80.0, "reason": "more" }),
        held: false,
        before: 50.0,
        after: 80.0,
    };
    killed_at_every_call(change, "weight-set").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_was_told_of_is_there_wherever_the_process_is_killed() {
    let change = Change {
        method: Method::POST,
        path: "/v1/revert",
        body: json!({ "services": ["a"], "reason": "INC-1" }),
        held: false,
        before: 50.0,
        after: 0.0,
    };
    killed_at_every_call(change, "reverted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_written_or_the_hold_stands_wherever_the_process_is_killed() {
    let change = Change {
        method: Method::POST,
        path: "/v1/services/a/release",
        body: json!({ "to_percent": 30.0, "reason": "mended" }),
        held: true,
        before: 0.0,
        after: 30.0,
    };
    killed_at_every_call(change, "released").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_starts_or_does_not_wherever_the_process_is_killed() {
    let change = Change {
        method: Method::POST,
        path: "/v1/services/a/ramp",
        body: json!({ "from_percent": 70.0, "reason": "go" }),
        held: false,
        before: 50.0,
        after: 70.0,
    };
    killed_at_every_call(change, "ramp-started").await;
}

/// Whatever call fails, as on a disk that is full or broken: what is toward Kubernetes is refused or in force, and what is toward
/// Helios is in force at once and written by and by.
#[tokio::test(flavor = "multi_thread")]
async fn whichever_call_fails_nothing_is_in_force_that_is_not_written_and_no_hold_is_lost() {
    for error in ["ENOSPC", "EIO"] {
        for (call, nth) in [("openat", 1), ("openat", 2), ("write", 1), ("write", 2)].into_iter().chain([
            ("fsync", 1),
            ("fsync", 2),
            ("fdatasync", 1),
            ("rename", 1),
        ]) {
            fails_at(call, nth, error).await;
        }
    }
}

async fn fails_at(call: &str, nth: usize, error: &str) {
    let folder = Folder::with(&[service()]);
    let (mut process, _, admin) = Process::serve(folder.path());
    wait_for_the_start(&folder, false).await;
    let saboteur = Saboteur::attach(&process, &folder.state(), call, &format!("error={error}"), nth);
    let at = format!("{call} {nth} fails with {error}");
    let body = json!({ "percent": 80.0, "reason": "more" });
    let got = ask(admin, &Method::PUT, "/v1/services/a/weight", &body).await.unwrap();
    let weight = status(admin).await["weight_percent"].as_f64().unwrap();
    assert_eq!(weight > 50.0, got.status == 200, "{at}: {}", got.text());
    assert!(weight <= allowed(&folder), "{at}");
    let body = json!({ "services": ["a"], "reason": "INC-1" });
    let got = ask(admin, &Method::POST, "/v1/revert", &body).await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(status(admin).await["why"], "held");
    drop(saboteur);
    eventually("all is written", async || {
        let process = ask(admin, &Method::GET, "/v1/process", &Value::Null).await.unwrap().json();
        process["unwritten"] == 0 && process["unwritten_history"] == 0
    })
    .await;
    process.kill();
    assert!(allowed(&folder) < 1e-9);
    assert_eq!(entries(&folder, "reverted"), 1, "{at}");
}
