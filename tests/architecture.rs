//! Holds two rules, and no more: a module uses only lower layers, and the pure ones are pure.
#![expect(clippy::unwrap_used, reason = "what a test cannot read fails it")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, and what each may use. `dataplane` and `control` never name each other.
const MAY_USE: &[(&str, &[&str])] = &[
    ("guide", &[]),
    ("model", &[]),
    ("clock", &["model"]),
    ("splitter", &["model"]),
    ("verdict", &["model"]),
    ("rollout", &["model"]),
    ("tls", &[]),
    ("jwt", &["model"]),
    ("config", &["model", "splitter", "verdict", "rollout", "tls", "jwt"]),
    ("telemetry", &["model", "clock"]),
    ("rehearsal", &["model", "verdict", "telemetry"]),
    ("snapshot", &["model", "splitter", "verdict", "config"]),
    ("tally", &["model", "splitter", "verdict", "snapshot"]),
    (
        "dataplane",
        &["model", "clock", "splitter", "verdict", "config", "telemetry", "snapshot", "tally", "tls"],
    ),
    (
        "control",
        &[
            "model",
            "clock",
            "verdict",
            "rollout",
            "config",
            "telemetry",
            "snapshot",
            "splitter",
            "tally",
            "tls",
        ],
    ),
    ("parts", &["model", "splitter", "verdict", "config", "telemetry", "snapshot", "tally"]),
    ("admin", &["model", "clock", "rollout", "config", "control", "tls", "jwt"]),
    ("app", &["model", "clock", "config", "telemetry", "snapshot", "tally", "dataplane", "control", "admin"]),
    (
        "cli",
        &["model", "clock", "verdict", "rehearsal", "tls", "config", "telemetry", "control", "admin", "app"],
    ),
];

/// What a pure module may not name: they are given time, chance and input, and give back values.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "tracing",
    "metrics",
    "clock",
    "fastrand",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "Instant",
    "SystemTime",
];
const PURE: &[&str] = &["model", "splitter", "verdict", "rollout", "jwt"];
/// Pure files of a module that is not.
const PURE_FILES: &[&str] = &[
    "control/step",
    "control/state.rs",
    "control/entry.rs",
    "control/ramping.rs",
    "control/readiness.rs",
    "control/lasting.rs",
    "control/ledger.rs",
    "control/guard.rs",
    "control/approval.rs",
    "control/gathering.rs",
    "control/webhooks/complaint.rs",
    "control/webhooks/message.rs",
    "control/webhooks/schedule.rs",
    "control/webhooks/shape",
    "control/webhooks/sign.rs",
    "control/webhooks/topic.rs",
    "control/calibration/judgement.rs",
    "control/calibration/poisson.rs",
    "control/calibration/record.rs",
    "control/calibration/running.rs",
    "control/calibration/service.rs",
    "control/calibration/steps.rs",
    "control/calibration/trial.rs",
    "control/note.rs",
    "control/receipt.rs",
    "control/traffic.rs",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let contents = fs::read_to_string(path.join("mod.rs")).unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        // Files of tests may use what they like, as tests within a file may.
        let name = path.file_stem().unwrap().to_str().unwrap();
        if contents.contains(&format!("#[cfg(test)]\nmod {name};")) {
            continue;
        }
        found.extend(if path.is_dir() { files(&path) } else { vec![path] });
    }
    found
}

fn files_of(module: &str) -> Vec<PathBuf> {
    let folder = source().join(module);
    if folder.is_dir() { files(&folder) } else { vec![folder.with_extension("rs")] }
}

/// The file's code: without comments, and without its tests, which may use what they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_uses_only_lower_layers() {
    let mut wrong = Vec::new();
    for (module, may_use) in MAY_USE {
        for path in files_of(module) {
            let code = code(&path);
            for (other, _) in MAY_USE {
                let names =
                    [format!("crate::{other}::"), format!("crate::{other};"), format!("crate::{{{other}")];
                let uses = names.iter().any(|name| code.contains(name.as_str()));
                if uses && other != module && !may_use.contains(other) {
                    wrong.push(format!("{} uses {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_layer() {
    for entry in fs::read_dir(source()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let known = ["lib", "main"].contains(&name) || MAY_USE.iter().any(|(module, _)| *module == name);
        assert!(known, "{name} has no layer: give it one above");
    }
}

#[test]
fn pure_modules_are_given_time_chance_and_input() {
    let pure = PURE.iter().flat_map(|module| files_of(module));
    let mut wrong = Vec::new();
    for path in pure.chain(PURE_FILES.iter().flat_map(|file| files(&source().join(file)))) {
        let code = code(&path);
        for name in IMPURE {
            let named = code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"));
            if named {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
