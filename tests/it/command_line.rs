//! What people type, and what they read.

use std::process::{Output, Stdio};

use crate::support::endpoint::Endpoint;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

/// Runs a command against this program.
async fn run(proxy: &Proxy, arguments: &[&str]) -> Output {
    let mut all = vec!["--admin".to_owned(), proxy.admin.to_string()];
    all.extend(arguments.iter().map(ToString::to_string));
    tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Process::run(&all)
    })
    .await
    .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn proxy() -> (Endpoint, Endpoint, Proxy) {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").weight(25.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service]);
    (helios, kubernetes, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_with_the_command_line() {
    let (_h, _k, proxy) = proxy().await;
    let status = run(&proxy, &["status"]).await;
    let text = out(&status);
    assert!(status.status.success(), "{}", err(&status));
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("SERVICE  WEIGHT  WHY"), "{text}");
    let row = lines.next().unwrap();
    assert!(row.starts_with("a        25.00   file") && row.contains("too little evidence"), "{text}");

    let weight = run(&proxy, &["weight", "a", "5", "--reason", "slowly", "--for", "2h"]).await;
    let text = out(&weight);
    assert!(
        text.starts_with(
            "a: weight 25.00 → 5.00; nobody asks for it at present\napplied on 2 of 2 workers in "
        ),
        "{text}"
    );
    assert!(text.contains("in 2h the ramp or the configuration file decides again"), "{text}");
    assert!(out(&run(&proxy, &["status"]).await).contains("override: "));

    let cleared = run(&proxy, &["weight", "a", "--clear", "--reason", "back"]).await;
    assert!(out(&cleared).starts_with("a: weight 5.00 → 25.00"), "{}", err(&cleared));

    let revert = run(&proxy, &["revert", "a", "--reason", "INC-4711 checkout errors"]).await;
    assert!(out(&revert).starts_with("a: weight 25.00 → 0.00, held"), "{}", out(&revert));

    let explained = out(&run(&proxy, &["explain", "a"]).await);
    for part in [
        "a was reverted by ",
        "INC-4711 checkout errors",
        "weight 25.00 → 0.00 on 2 of 2 workers",
        "held. To end:",
    ] {
        assert!(explained.contains(part), "{part:?} in\n{explained}");
    }
    let one = out(&run(&proxy, &["status", "a"]).await);
    assert!(one.contains("reason     INC-4711 checkout errors"), "{one}");

    let refused = run(&proxy, &["weight", "a", "5", "--reason", "x"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("a: the service is held since it was reverted by"), "{}", err(&refused));

    let release = run(&proxy, &["release", "a", "--to", "1", "--reason", "mended"]).await;
    assert!(out(&release).starts_with("a: weight 0.00 → 1.00"), "{}", err(&release));
    let all = run(&proxy, &["revert", "--all", "--reason", "again", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out(&all)).unwrap();
    assert_eq!(json["changes"][0]["service"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_never_reverted_is_explained_as_it_is() {
    let (_h, _k, proxy) = proxy().await;
    let explained = run(&proxy, &["explain", "a"]).await;
    assert!(explained.status.success(), "{}", err(&explained));
    let text = out(&explained);
    for part in
        ["a has never been reverted.", "25.00 (file)", "too little evidence", "evidence  none", "not shut"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let sensitivity = out(&run(&proxy, &["explain", "a", "--sensitivity"]).await);
    let never = sensitivity.lines().filter(|line| line.ends_with("  never: nothing on Kubernetes")).count();
    assert_eq!(never, 5, "{sensitivity}");
    assert!(sensitivity.contains("with one false revert in 1 y, "), "{sensitivity}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_shown_can_be_had_as_json() {
    let (_h, _k, proxy) = proxy().await;
    run(&proxy, &["revert", "a", "--reason", "x"]).await;
    for command in [&["status", "--json"][..], &["status", "a", "--json"], &["explain", "a", "--json"]] {
        let output = run(&proxy, command).await;
        let json: Result<serde_json::Value, _> = serde_json::from_str(&out(&output));
        assert!(json.is_ok(), "{command:?}: {}", out(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_have_their_exit_codes() {
    let (_h, _k, proxy) = proxy().await;
    for (arguments, code, says) in [
        (&["status", "nobody"][..], 1, "there is no service nobody"),
        (&["explain", "a", "--json"], 1, "a has never been reverted"),
        (&["explain", "a/b?x"], 1, "there is no service a/b?x"),
        (&["status", "a/b?x"], 1, "there is no service a/b?x"),
        (&["release", "a", "--to", "5", "--reason", "x"], 1, "not held"),
        (&["weight", "a", "101", "--reason", "x"], 2, "0 to 100"),
        (&["weight", "a", "five", "--reason", "x"], 2, "a number"),
        (&["weight", "a", "5"], 2, "--reason"),
        (&["weight", "a", "5", "--reason", "x", "--for", "soon"], 2, "9 min"),
        (&["revert", "--reason", "x"], 2, "required"),
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["--admin", "nowhere", "status"], 2, "an address and port"),
        (&["--admin", "127.0.0.1:1", "status"], 3, "cannot reach Switchback at 127.0.0.1:1"),
        (&["--admin", "unix:/nowhere.sock", "status"], 3, "cannot reach Switchback at unix:/nowhere.sock"),
        (&["serve", "--config", "/nowhere"], 1, "switchback.toml"),
        (&["check", "/nowhere"], 1, "cannot be read"),
    ] {
        let output = if arguments[0] == "--admin" {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let run = move || Process::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            tokio::task::spawn_blocking(run).await.unwrap()
        } else {
            run(&proxy, arguments).await
        };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}: mistakes go to standard error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_as_they_come() {
    let (_h, _k, proxy) = proxy().await;
    let mut events = Process::start(&["--admin", &proxy.admin.to_string(), "events"]);
    tokio::task::spawn_blocking(move || events.after("UTC  Switchback 0.1.0 has started")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_state_is_refused() {
    let helios = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    let (_first, _, _) = Process::serve(folder.path());
    let second = Process::run(&["serve", "--config", &folder.path().display().to_string()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("is in use by another Switchback"), "{}", err(&second));
}

#[test]
fn the_schema_is_printed_for_every_file() {
    for (arguments, part) in [
        (&["schema"][..], "\"split\""),
        (&["schema", "switchback"], "\"listeners\""),
        (&["schema", "rights"], "\"unix-groups\""),
    ] {
        let output = Process::run(arguments);
        assert!(output.status.success() && out(&output).contains(part), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_switchback"))
        .args(["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
}

#[test]
fn endpoints_can_be_tried_and_told_how_to_behave() {
    let (process, address) = Process::endpoint("try-me");
    let curl = |arguments: &[&str]| {
        let output = std::process::Command::new("curl").args(["-s", "-i"]).args(arguments).output().unwrap();
        out(&output)
    };
    let url = format!("http://{address}/x");
    let got = curl(&[&url]);
    assert!(got.starts_with("HTTP/1.1 200") && got.contains("x-endpoint: try-me"), "{got}");
    curl(&["-X", "PUT", "-d", "{\"failures\": 1.0, \"status\": 503}", &format!("http://{address}/-/behave")]);
    assert!(curl(&[&url]).starts_with("HTTP/1.1 503"));
    assert!(curl(&["--http2-prior-knowledge", &url]).starts_with("HTTP/2 503"));
    let wrong = curl(&["-X", "PUT", "-d", "{\"nonsense\": 1}", &format!("http://{address}/-/behave")]);
    assert!(wrong.starts_with("HTTP/1.1 400") && wrong.contains("nonsense"), "{wrong}");
    drop(process);
}

#[test]
fn a_file_that_lies_where_the_socket_should_be_is_left_alone() {
    let folder = crate::support::proxy::Folder::with(&[]);
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let socket = format!("[admin]\nsocket = \"{}\"\n", precious.display());
    folder.write_process(&text.replace("[admin]\n", &socket));
    let output = Process::run(&["serve", "--config", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no socket"), "{output:?}");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
}
