//! What might happen, played out before the judge.

use std::process::Output;

use serde_json::Value;

use crate::support::process::Process;

fn simulate(arguments: &[&str]) -> Output {
    Process::run(&[&["simulate"], arguments].concat())
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(arguments: &[&str]) -> Vec<Value> {
    let output = simulate(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scenarios_are_listed_with_what_happens_and_what_must_follow() {
    for arguments in [&[][..], &["--list"]] {
        let text = out(&simulate(arguments));
        let line =
            text.lines().find(|line| line.starts_with("errors-5 ")).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("5 % fail") && line.contains("worse from 10 min on"), "{line}");
        assert!(
            text.lines().any(|line| line.starts_with("both-fail ") && line.contains("nothing, in ")),
            "{text}"
        );
    }
    let all = json(&["--list"]);
    assert!(all.len() > 50 && all.iter().all(|scenario| scenario.get("runs").is_none()));
    let names: std::collections::BTreeSet<_> =
        all.iter().map(|scenario| scenario["scenario"].as_str()).collect();
    assert_eq!(names.len(), all.len(), "a name is one scenario's");
}

#[test]
fn a_scenario_is_judged_at_once_and_each_seed_is_told() {
    let told = json(&["errors-50", "both-fail", "--seeds", "2"]);
    let [worse, shared] = told.as_slice() else { panic!("{told:?}") };
    for (place, run) in worse["runs"].as_array().unwrap().iter().enumerate() {
        assert_eq!((run["seed"].as_u64(), &run["right"]), (Some(1 + place as u64), &true.into()), "{run}");
        assert_eq!(run["decision"]["question"], "failure", "{run}");
        let delay_s = run["delay_s"].as_f64().unwrap();
        assert!((0.0..30.0).contains(&delay_s), "{run}");
    }
    for run in shared["runs"].as_array().unwrap() {
        assert_eq!(
            (&run["decision"], &run["delay_s"], &run["right"]),
            (&Value::Null, &Value::Null, &true.into())
        );
    }
    let table = out(&simulate(&["errors-50", "both-fail"]));
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("SCENARIO   WHAT HAPPENS"), "{table}");
    assert!(lines.next().unwrap().contains("  failure  "), "{table}");
    assert!(lines.next().unwrap().contains("  nothing  "), "{table}");
}

#[test]
fn a_team_can_ask_at_its_own_rate_and_weight() {
    let often = &json(&["errors-50", "--rate", "100"])[0];
    let rare = &json(&["errors-50", "--rate", "100", "--weight", "1", "--false-revert-every", "1y"])[0];
    assert_eq!(
        (rare["requests_per_second"].as_f64(), rare["weight_percent"].as_f64()),
        (Some(100.0), Some(1.0))
    );
    let delay = |told: &Value| told["runs"][0]["delay_s"].as_f64().unwrap_or_else(|| panic!("{told}"));
    assert!(delay(rare) > delay(often), "{rare}\n{often}");
}

#[test]
fn a_team_can_ask_by_its_own_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("playlist.toml");
    let with = |judge: &str| {
        let text = format!(
            "team = \"t\"\n[match]\nhosts = [\"a.test\"]\n[helios]\nsource = {{ addresses = [\"10.0.0.1:80\"] }}\n\
             [kubernetes]\nsource = {{ addresses = [\"10.0.0.2:80\"] }}\n[judge]\n{judge}\n"
        );
        std::fs::write(&path, text).unwrap();
        simulate(&["errors-5", "--rate", "50", "--service", &path.display().to_string(), "--json"])
    };
    let found = |output: &Output| serde_json::from_str::<Value>(&out(output)).unwrap()["runs"][0].clone();
    let promised = found(&with("mode = \"advise\"\nfalse-revert-every = \"30d\""));
    assert_eq!(promised["decision"]["promise_s"].as_f64(), Some(2_592_000.0), "{promised}");
    let tolerant = found(&with("tolerate = { failures = \"x100 +50%\" }"));
    assert_ne!(tolerant["decision"]["question"], "failure", "{tolerant}");
    let broken = with("mode = \"sometimes\"");
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        err(&broken).contains("playlist.toml:9:") && err(&broken).contains("1 fault"),
        "{}",
        err(&broken)
    );
}

#[test]
fn what_nobody_can_see_is_not_missed() {
    for (weight, why) in [("0", "nothing on Kubernetes"), ("100", "blind: nothing on Helios")] {
        let arguments = ["errors-50", "--rate", "1", "--weight", weight];
        let run = json(&arguments)[0]["runs"][0].clone();
        assert_eq!((&run["right"], &run["why_never"]), (&false.into(), &why.into()), "{run}");
        let table = out(&simulate(&arguments));
        assert!(table.contains(&format!("  {why}  –")) && !table.contains("MISSED"), "{table}");
    }
}

#[test]
fn a_trace_is_written_and_the_same_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv").display().to_string();
    let write = |seed: &str, to: &str| {
        let output = simulate(&["refuses", "--rate", "5", "--seed", seed, "--write", to]);
        assert!(output.status.success(), "{}", err(&output));
        output
    };
    write("7", &path);
    let file = std::fs::read_to_string(&path).unwrap();
    assert_eq!(out(&write("7", "-")), file);
    assert_ne!(out(&write("8", "-")), file);
    let replayed = out(&Process::run(&["replay", &path, "--json"]));
    let decision: Value = serde_json::from_str(replayed.lines().next().unwrap()).unwrap();
    let simulated = &json(&["refuses", "--rate", "5", "--seed", "7"])[0];
    assert_eq!(simulated["runs"][0]["decision"], decision, "the trace is judged as the simulation was");
}

#[test]
fn mistakes_are_explained() {
    for (arguments, code, says) in [
        (&["errors-55"][..], 1, "there is no scenario errors-55: did you mean errors-"),
        (&["quux"], 1, "there is no scenario quux: `switchback simulate` lists them"),
        (&["errors-5", "errors-1", "--write", "-"], 1, "--write takes the name of one scenario"),
        (&["--write", "-"], 1, "--write takes the name of one scenario"),
        (&["errors-5", "--write", "/nowhere/trace.csv"], 1, "/nowhere/trace.csv: No such file"),
        (&["errors-5", "--rate", "0"], 2, "requests a second, 0.001 to 100000"),
        (&["errors-5", "--rate", "nan"], 2, "requests a second"),
        (&["errors-5", "--weight", "101"], 2, "0 to 100"),
        (&["errors-5", "--seeds", "0"], 2, "--seeds"),
        (&["errors-5", "--list"], 2, "cannot be used with"),
        (
            &["errors-5", "--seed", "18446744073709551610", "--seeds", "8"],
            1,
            "--seeds 8 goes past the last seed: --seed is at most 18446744073709551608",
        ),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}: mistakes go to standard error");
    }
}
