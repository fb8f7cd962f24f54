//! Every command, against the program as it really runs: a process with its configuration, asked over its admin interface.

use std::collections::BTreeSet;
use std::path::Path;

use crate::help::commands;
use crate::support::endpoint::Endpoint;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Service};

/// What is typed, how it ends, and what is then said: on standard output, or of what goes wrong on standard error. `{…}` are
/// the places of this run.
type Line = (&'static str, i32, &'static str);

/// One after the other, as in a day. What is not here is in [`ELSEWHERE`].
const DAY: &[Line] = &[
    ("check {config}", 0, "no faults in "),
    ("check {config} --json", 0, "[]"),
    ("check {config} --show a", 0, "team  = \"t\""),
    ("check {config} --show a --json", 0, "\"team\": \"t\""),
    ("schema", 0, "\"split\""),
    ("status", 0, "SERVICE  WEIGHT"),
    ("status --json", 0, "\"service\":\"a\""),
    ("status a", 0, "team       t"),
    ("whoami", 0, "ann, by a token"),
    ("whoami --json", 0, "\"via\":\"token\""),
    ("weight a 5 --reason x", 0, "a: weight 25.00 → 5.00"),
    ("weight a --clear --reason x --json", 0, "\"changes\""),
    ("weight b 5 --reason x", 4, "b: a weight of 5.00 takes a second person"),
    ("approve b --reason x", 1, "cannot agree to it too"),
    ("approve b --reason x --token-file {bert}", 0, "b: weight 1.00 → 5.00"),
    ("weight b 7 --reason x --json", 4, "\"approval\":{"),
    ("approve b --reject --reason x --json", 0, "{"),
    ("approve b --reason x", 1, "nothing waits for a second person"),
    ("ramp show a", 0, "a has no ramp"),
    ("ramp start a --reason x --steps 50,100 --hold 2h", 0, "a: weight "),
    ("ramp show a --json", 0, "\"steps\""),
    ("ramp pause a --reason x", 0, "a: ramp paused at "),
    ("ramp resume a --reason x --json", 0, "\"changes\""),
    ("ramp stop a --reason x", 0, "a: weight "),
    ("calibrate a --for 2h --detach", 0, "a is being calibrated until "),
    ("status", 0, "a is being calibrated: Helios has been compared with itself for "),
    ("calibrate a --stop --json", 0, "\"ending\":\"stopped\""),
    ("migrate a --check", 1, "✗ calibration"),
    ("migrate a --check --json", 1, "\"ready\":false"),
    ("migrate a --reason x", 1, "is not ready to be migrated"),
    ("migration", 0, "SERVICE  TEAM"),
    ("migration --json", 0, "\"services\""),
    ("revert a --reason x --json", 0, "\"changes\""),
    ("explain a", 0, "a was reverted by "),
    ("explain a --json", 0, "\"reverted_unix_ms\""),
    ("explain a --sensitivity", 0, "never: nothing on Kubernetes"),
    ("release a --to 1 --reason x", 0, "a: weight 0.00 → 1.00"),
    ("history a", 0, "release"),
    ("history --json", 0, "\"deed\":"),
    ("history --verify", 0, "from number "),
    ("webhooks", 0, "here"),
    ("webhooks --json", 0, "\"webhook\":\"here\""),
    ("webhooks test here --reason x", 0, "here: delivered"),
    ("webhooks test here --reason x --json", 0, "\"result\":\"delivered\""),
    ("token new ci --role viewer --rights {rights}", 0, "sbt_"),
    ("token list --rights {rights}", 0, "ci    viewer"),
    ("token list --rights {rights} --json", 0, "\"name\":\"ci\""),
    ("token revoke ci --rights {rights} --json", 0, "\"revoked\":\"ci\""),
    ("simulate", 0, "SCENARIO"),
    ("simulate errors-5 --json", 0, "\"scenario\":\"errors-5\""),
    ("replay {traces}/errors-5.csv --json", 0, "\"summary\":true"),
    ("completions bash", 0, "complete "),
    ("completions zsh", 0, "#compdef"),
    ("completions fish", 0, "complete --"),
    ("man", 0, ".TH switchback"),
    // Exit codes: 1 refused, 2 wrong usage, 3 cannot be reached.
    ("status nobody", 1, "there is no service nobody"),
    ("weight a 101 --reason x", 2, "0 to 100"),
    ("status --admin 127.0.0.1:1", 3, "cannot reach Switchback at 127.0.0.1:1"),
];

/// Commands that do not end by themselves, or take long, with the file whose tests run them as processes.
const ELSEWHERE: &[(&str, &str)] = &[
    ("serve", "Process::serve("),
    ("endpoint", "Process::endpoint("),
    ("events", "\"events\"]"),
    ("demo", "[\"demo\", \"--once\", \"--json\"]"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says_to_a_running_process() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service =
        |name: &str| Service::new(name).weight(25.0).helios(helios.address).kubernetes(kubernetes.address);
    let folder = Folder::with(&[service("a"), service("b").weight(1.0).rest("[approvals]\nraises = true\n")]);
    folder.add_to_process(&format!("[webhooks.here]\nurl = \"http://{}/\"\n", helios.address));
    folder.add_to_admin("rights = \"rights.toml\"");
    tokio::task::spawn_blocking(move || {
        let ann = token(folder.path(), "ann");
        std::fs::write(folder.path().join("bert"), token(folder.path(), "bert")).unwrap();
        let (_process, _, admin) = Process::serve(folder.path());
        for (line, code, says) in DAY {
            let line = filled(line, folder.path());
            let arguments: Vec<&str> = line.split(' ').collect();
            let variables = [("SWITCHBACK_ADMIN", &*admin.to_string()), ("SWITCHBACK_TOKEN", &*ann)];
            let output = Process::run_with(&arguments, &variables);
            let all = String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(*code), "{line}: {all}");
            assert!(all.contains(says), "{line}: {says:?} in\n{all}");
            let is_for_programs = line.ends_with("--json");
            let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
            let said = String::from_utf8(output.stdout).unwrap();
            if is_for_programs && !said.is_empty() {
                assert!(is_json(&said) || said.lines().all(is_json), "{line}: {said}");
            }
        }
    })
    .await
    .unwrap();
}

/// A token for somebody who may do everything.
fn token(folder: &Path, name: &str) -> String {
    let config = folder.display().to_string();
    let output = Process::run(&["token", "new", name, "--role", "admin", "--config", &config]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn filled(line: &str, folder: &Path) -> String {
    let traces = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces");
    line.replace("{config}", &folder.display().to_string())
        .replace("{rights}", &folder.join("of-this-test.toml").display().to_string())
        .replace("{bert}", &folder.join("bert").display().to_string())
        .replace("{traces}", traces)
}

/// A new command is added to the list above, or to the one of those that others run.
#[test]
fn no_command_is_left_out() {
    let root = switchback::cli::command();
    let mut typed: BTreeSet<Vec<String>> = BTreeSet::new();
    for (line, _, _) in DAY {
        let (mut command, mut path) = (&root, Vec::new());
        for word in line.split(' ') {
            let Some(below) = command.find_subcommand(word) else { break };
            command = below;
            path.push(word.to_owned());
        }
        typed.insert(path);
    }
    for (command, call) in ELSEWHERE {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
        let mut texts = ["demo.rs", "command_line.rs"]
            .map(|file| std::fs::read_to_string(Path::new(folder).join(file)).unwrap())
            .into_iter();
        assert!(texts.any(|text| text.contains(call)), "no test has {call}");
        typed.insert(vec![(*command).to_owned()]);
    }
    for path in commands().into_iter().filter(|path| !path.is_empty()) {
        let command = path.iter().try_fold(&root, |command, word| command.find_subcommand(word)).unwrap();
        // Of some commands there is nothing to do without another word behind them.
        let does_nothing = command.is_subcommand_required_set();
        assert_eq!(typed.contains(&path), !does_nothing, "{path:?} is not exercised");
    }
}
