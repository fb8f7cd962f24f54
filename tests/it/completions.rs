//! What shells complete: real ones, which ask the real program, which asks the one that runs.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::endpoint::Endpoint;
use crate::support::process::{Process, command};
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::terminal::Terminal;

async fn world() -> (Proxy, Endpoint) {
    let endpoint = Endpoint::named("helios").await;
    let service = |name: &str, team: &str| Service::new(name).team(team).helios(endpoint.address).weight(0.0);
    let folder = Folder::with(&[
        service("playlist", "listening"),
        service("search", "finding"),
        service("searching", "finding"),
    ]);
    folder.add_to_process(&format!("[webhooks.pager]\nurl = \"http://{}/\"\n", endpoint.address));
    (Proxy::start_in(folder), endpoint)
}

/// A shell that finds the program by its name.
fn shell(name: &str, arguments: &[&str], admin: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_switchback")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new(name);
    shell.args(arguments).env("PATH", path).env("SWITCHBACK_ADMIN", admin).env("PS1", "ready> ");
    shell.env("TERM", "dumb").env_remove("SWITCHBACK_TOKEN");
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_names_from_the_running_process() {
    let (proxy, _endpoint) = world().await;
    let admin = proxy.admin.to_string();
    let other = format!("switchback --admin {admin} status play\t");
    let lines: Vec<(String, &str)> = vec![
        ("switchback stat\t".to_owned(), "switchback status "),
        ("switchback status play\t".to_owned(), "switchback status playlist"),
        ("switchback ramp start play\t".to_owned(), "switchback ramp start playlist"),
        ("switchback revert --team lis\t".to_owned(), "switchback revert --team listening"),
        ("switchback revert --team=lis\t".to_owned(), "switchback revert --team=listening"),
        ("switchback webhooks test pa\t".to_owned(), "switchback webhooks test pager"),
        ("switchback simulate outa\t".to_owned(), "switchback simulate outage"),
        ("switchback --color ne\t".to_owned(), "switchback --color never"),
        ("switchback explain sea\t".to_owned(), "switchback explain search"),
        ("switchback explain search\t\t".to_owned(), "searching"),
    ];
    tokio::task::spawn_blocking(move || {
        for (typed, shown) in lines {
            at_bash(&admin, &typed, shown);
        }
        // What the line says goes before what the environment does.
        at_bash("127.0.0.1:1", &other, " status playlist");
    })
    .await
    .unwrap();
}

/// Types this into a bash of its own, and waits until that is shown.
fn at_bash(admin: &str, typed: &str, shown: &str) {
    let mut bash = Terminal::of(shell("bash", &["--norc", "--noprofile", "-i"], admin), 200);
    bash.until("ready> ");
    bash.types("source <(switchback completions bash); echo sourced; PS1='now> '\n");
    bash.until("sourced\r\nnow> ");
    bash.types(typed);
    bash.until(shown);
    // The line is not to be run: Ctrl-U takes it away.
    bash.types("\u{15}exit\n");
    bash.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn fish_completes_names_and_says_what_they_are() {
    let (proxy, _endpoint) = world().await;
    let home = tempfile::tempdir().unwrap();
    let script = "switchback completions fish | source; complete -C 'switchback status sea'";
    let mut fish = shell("fish", &["--no-config", "-c", script], &proxy.admin.to_string());
    fish.env("HOME", home.path());
    let output = tokio::task::spawn_blocking(move || fish.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "search\tfinding, weight 0.00, file\nsearching\tfinding, weight 0.00, file\n");
}

/// What the program tells a shell that asks it about the last of these words.
fn asked(admin: &str, words: &[&str]) -> Output {
    let mut program = command(&[&["--"], words].concat());
    program.env("SWITCHBACK_COMPLETE", "bash").env("SWITCHBACK_ADMIN", admin);
    program.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).env("_CLAP_IFS", "\n");
    program.output().unwrap()
}

#[test]
fn where_nobody_answers_there_are_no_names_and_no_complaints() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = silent.local_addr().unwrap().to_string();
    for admin in ["127.0.0.1:1", &admin, "nonsense", "unix:/nowhere.sock"] {
        let output = asked(admin, &["switchback", "status", "a"]);
        assert!(output.status.success(), "{admin}: {output:?}");
        assert_eq!((output.stdout.len(), output.stderr.len()), (0, 0), "{admin}: {output:?}");
        let output = asked(admin, &["switchback", "stat"]);
        assert_eq!(output.stdout, b"status", "{admin}: {output:?}");
    }
}

#[test]
fn a_shell_is_given_what_it_sources() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Process::run(&["completions", shell]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("SWITCHBACK_COMPLETE"), "{shell}: {said}");
    }
    assert_eq!(Process::run(&["completions", "tcsh"]).status.code(), Some(2));
}
