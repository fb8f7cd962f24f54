//! Recorded requests before the judge: what is decided, and that nothing else decides it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use switchback::rehearsal::{
    Conduct, Decision, DecisionRecord, HEADER, Hearing, Request, Routes, Rows, Simulation, SummaryRecord,
    scenarios,
};
use switchback::telemetry::AccessRecord;
use switchback::verdict::Rule;

use crate::support::client::{Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")
}

fn trace(name: &str) -> String {
    traces().join(name).display().to_string()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn replay(arguments: &[&str]) -> Output {
    Process::run(&[&["replay"], arguments].concat())
}

/// Replays what is written to standard input.
fn replay_text(text: &[u8], arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_switchback"))
        .args(["replay", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_vec();
    // A program that stops at a fault reads no more.
    let writing = std::thread::spawn(move || drop(input.write_all(&text)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

/// Each line as JSON: decisions, then the summary.
fn lines(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn at_s(line: &Value) -> f64 {
    line["at_s"].as_f64().unwrap_or_else(|| panic!("no decision: {line}"))
}

/// Each trace of `tests/traces` with what is said of it beside it. They were written by `switchback simulate
/// SCENARIO --rate 9 --seed 3 --write -` and cut off after 6,200 lines. `UPDATE_EXPECTED=1` writes what is said
/// anew; read the difference before you keep it.
#[test]
fn recorded_traces_are_judged_as_they_were_and_the_same_twice() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in fs::read_dir(traces()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "csv") {
            continue;
        }
        for (extra, end) in
            [(&[][..], "jsonl"), (&["--keep-going", "--false-revert-every", "30d"], "30d.jsonl")]
        {
            cases += 1;
            let name = path.display().to_string();
            let arguments = [&[name.as_str(), "--json"], extra].concat();
            let (once, twice) = (replay(&arguments), replay(&arguments));
            assert!(once.status.success(), "{}", err(&once));
            assert_eq!(out(&once), out(&twice), "{name}");
            assert_eq!(err(&once), "", "{name}: --json says nothing else");
            let expected = path.with_extension(end);
            if std::env::var_os("UPDATE_EXPECTED").is_some() {
                fs::write(&expected, out(&once)).unwrap();
            }
            let wanted = fs::read_to_string(&expected).unwrap_or_default();
            if out(&once) != wanted {
                wrong.push(format!("{name}:\n{}\ninstead of\n{wanted}", out(&once)));
            }
        }
    }
    assert!(cases >= 10, "{cases} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_must_be_seen_in_the_recorded_traces_is_and_nothing_else() {
    for (name, sees) in [
        ("outage.csv", true),
        ("errors-5.csv", true),
        ("slower.csv", true),
        ("same.csv", false),
        ("shared-outage.csv", false),
    ] {
        let lines = lines(&replay(&[&trace(name), "--json"]));
        let (summary, decisions) = lines.split_last().unwrap();
        assert_eq!(summary["summary"], true);
        assert_eq!(summary["decisions"].as_u64(), Some(decisions.len() as u64));
        assert_eq!(decisions.len(), usize::from(sees), "{name}: {decisions:?}");
        assert_eq!(summary["verdict"] == "worse", sees, "{name}: {summary}");
        for decision in decisions {
            assert!(at_s(decision) > 600.0, "{name}: before anything was wrong: {decision}");
            assert_eq!(decision["decision"], "revert");
            assert_eq!(summary["judged_to_s"], decision["at_s"], "{name}: a revert is the end");
        }
    }
}

/// A trace with its requests moved to the last twentieth of a second, so that several come at the same time.
fn crowded() -> (Vec<Request>, Routes) {
    let scenario = scenarios().into_iter().find(|scenario| scenario.name == "errors-10").unwrap();
    let mut simulation = Simulation::new(scenario, 5);
    let mut requests: Vec<Request> = std::iter::from_fn(|| simulation.next()).collect();
    for request in &mut requests {
        request.start.0 -= request.start.0 % 50_000;
    }
    (requests, simulation.routes().clone())
}

/// What is said of these requests, through text as a trace has it.
fn judged(requests: &[Request], routes: &Routes) -> String {
    let mut text = format!("{HEADER}\n");
    for request in requests {
        request.write(routes, &mut text);
    }
    let rule = Rule::default();
    let mut hearing = Hearing::new(rule, Conduct::RevertAndRelease);
    let mut rows = Rows::new(text.as_bytes());
    let mut said = String::new();
    let mut tell = |decision: &Decision| {
        said += &serde_json::to_string(&DecisionRecord::from(decision)).unwrap();
        said.push('\n');
    };
    while let Some(request) = rows.read().unwrap() {
        hearing.take(&request, rows.routes(), &mut tell);
    }
    let summary = hearing.end(rows.routes(), &mut tell);
    said + &serde_json::to_string(&SummaryRecord::new(&summary, &rule)).unwrap()
}

#[test]
fn the_order_of_rows_of_the_same_time_does_not_matter() {
    let (mut requests, routes) = crowded();
    let told = judged(&requests, &routes);
    assert!(told.contains("\"question\":\"failure\""), "{told}");
    for seed in 0..3 {
        let mut rng = fastrand::Rng::with_seed(seed);
        for same in requests.chunk_by_mut(|a, b| a.start == b.start) {
            rng.shuffle(same);
        }
        assert_eq!(judged(&requests, &routes), told, "seed {seed}");
    }
}

#[test]
fn no_decision_depends_on_what_comes_after_it() {
    for name in ["outage.csv", "errors-5.csv", "slower.csv"] {
        let text = fs::read_to_string(traces().join(name)).unwrap();
        let whole = lines(&replay_text(text.as_bytes(), &["--json"]));
        let decided = at_s(&whole[0]);
        let start = |line: &str| line.split(',').next().and_then(|start| start.parse::<f64>().ok());
        let before = |line: &&str| start(line).is_none_or(|start| start < decided);
        let cut: String = text.split_inclusive('\n').take_while(before).collect();
        assert!(cut.len() < text.len(), "{name}: there is more behind the decision");
        assert_eq!(lines(&replay_text(cut.as_bytes(), &["--json"]))[0], whole[0], "{name}");
        // Nor is it taken back, or taken earlier, for another end.
        let other = cut + &format!("{decided},helios,error,,/\n").repeat(500);
        assert_eq!(lines(&replay_text(other.as_bytes(), &["--json"]))[0], whole[0], "{name}");
    }
}

#[test]
fn a_malformed_row_is_named_with_file_and_line_and_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    let good = "1,helios,ok,1,/\n";
    for (rows, line, reason) in [
        ("2,helios,ok,1\n", 3, "4 of 5 fields"),
        ("now,helios,ok,1,/\n", 3, "start_s is not a number of seconds: \"now\""),
        ("nan,helios,ok,1,/\n", 3, "start_s is not a number of seconds: \"nan\""),
        ("-2,helios,ok,1,/\n", 3, "start_s is not a number of seconds: \"-2\""),
        ("0.5,helios,ok,1,/\n", 3, "start_s is earlier than in the line before"),
        ("2,heli,ok,1,/\n", 3, "side is neither helios nor kubernetes: \"heli\""),
        ("2,helios,OK,1,/\n", 3, "outcome is neither ok nor error: \"OK\""),
        ("2,helios,ok,1ms,/\n", 3, "latency_ms is not a number of milliseconds"),
        ("2,helios,ok,-1,/\n", 3, "latency_ms is not a number of milliseconds"),
        ("2,helios,ok,1,\"/\n", 3, "a quotation mark is not closed"),
        ("2,helios,ok,1,/\r\n3,,ok,1,/", 4, "side is neither helios nor kubernetes: \"\""),
        ("\n\n2,helios\n", 5, "2 of 5 fields"),
    ] {
        fs::write(&path, format!("{HEADER}\n{good}{rows}")).unwrap();
        let output = replay(&[&path.display().to_string()]);
        let wanted = format!("{}:{line}: {reason}", path.display());
        assert!(err(&output).starts_with(&wanted), "{}\ninstead of\n{wanted}", err(&output));
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{rows:?}");
    }
    fs::write(&path, [HEADER.as_bytes(), b"\n1,helios,ok,1,/\xff\n"].concat()).unwrap();
    assert!(err(&replay(&[&path.display().to_string()])).contains(":2: route is not UTF-8"));
}

#[test]
fn what_is_no_trace_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    for (bytes, says) in [
        (&b""[..], ":1: an empty trace: the first line must be `start_s,side,"),
        (
            b"1,helios,ok,1,/\n",
            ":1: the first line must be `start_s,side,outcome,latency_ms,route`, and is \"1,",
        ),
        (b"\xff\xfes\0t\0\n", ":1: it is UTF-16: write it as UTF-8"),
        (
            b"\x1f\x8b\x08\0\0\n",
            ":1: it is compressed: unpack it first, as in `zcat FILE | switchback replay -`",
        ),
        (
            b"{\"time\":\"2026\"}\n",
            ":1: the first line must be `start_s,side,outcome,latency_ms,route`, and is JSON: if this is an access log, add --from-log",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let output = replay(&[&path.display().to_string()]);
        assert!(err(&output).contains(says), "{}", err(&output));
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{says}");
    }
    for (path, says) in [(folder.path(), "Is a directory"), (Path::new("/nowhere.csv"), "No such file")] {
        let output = replay(&[&path.display().to_string()]);
        assert!(err(&output).contains(&format!("{}: {says}", path.display())), "{}", err(&output));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn rows_are_read_whatever_lines_end_with() {
    let rows = ["1,helios,ok,12.5,GET /", "1.5,kubernetes,error,,GET /", "2,kubernetes,ok,inf,GET /a,b"];
    let told = replay_text(format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes(), &["--json"]);
    let summary = &lines(&told)[0];
    assert_eq!((summary["rows"].as_u64(), summary["from_s"].as_f64()), (Some(3), Some(1.0)));
    assert_eq!((summary["to_s"].as_f64(), &summary["verdict"]), (Some(2.0), &"too little evidence".into()));
    for text in [
        format!("{HEADER}\n{}", rows.join("\n")),
        format!("{HEADER}\r\n{}\r\n", rows.join("\r\n")),
        format!("\u{feff}{HEADER}\r\n{}", rows.join("\r\n")),
        format!("{HEADER}\n{}\n\n\n", rows.join("\n\n")),
    ] {
        assert_eq!(out(&replay_text(text.as_bytes(), &["--json"])), out(&told), "{text:?}");
    }
    let none = replay_text(HEADER.as_bytes(), &[]);
    let summary = &lines(&none)[0];
    assert_eq!(
        (&summary["rows"], &summary["leading"], &summary["route"]),
        (&0.into(), &Value::Null, &Value::Null)
    );
    assert!(none.status.success() && err(&none).contains("no requests"), "{}", err(&none));
}

#[test]
fn decisions_before_a_malformed_row_are_told() {
    let text = fs::read_to_string(traces().join("outage.csv")).unwrap() + "never\n";
    let output = replay_text(text.as_bytes(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["decision"], "revert");
    assert!(err(&output).contains("-:6201: 1 of 5 fields"), "{}", err(&output));
}

/// A service whose good answers take twenty seconds may have said in its file that it waits so long.
#[test]
fn answers_that_come_late_and_well_are_no_failures() {
    let rows = |kubernetes: &str| -> String {
        let rows = (0..4_000).map(|at| match at % 2 {
            0 => format!("{}.5,helios,ok,20000,/\n", at / 2),
            _ => format!("{}.5,kubernetes,{kubernetes},/\n", at / 2),
        });
        std::iter::once(format!("{HEADER}\n")).chain(rows).collect()
    };
    let judged = |kubernetes: &str| lines(&replay_text(rows(kubernetes).as_bytes(), &["--json"]));
    assert_eq!(judged("ok,20000").len(), 1, "nothing is decided");
    let hung = judged("ok,inf");
    assert_eq!((hung.len(), &hung[0]["question"]), (2, &"failure".into()), "{hung:?}");
}

#[test]
fn after_a_revert_nothing_is_judged_unless_it_is_to_go_on() {
    let trace = trace("outage.csv");
    assert_eq!(lines(&replay(&[&trace, "--json"])).len(), 2);
    let going_on = lines(&replay(&[&trace, "--json", "--keep-going"]));
    assert!(going_on.len() > 3, "{going_on:?}");
    let times: Vec<f64> = going_on[..going_on.len() - 1].iter().map(at_s).collect();
    assert!(times.is_sorted(), "{times:?}");
    for line in &going_on[1..going_on.len() - 1] {
        assert!(line["since_s"].as_f64() > Some(times[0]), "what was heard is not heard again: {line}");
    }
}

/// A service's file with this judge, in a folder of its own.
fn service(judge: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("playlist.toml");
    let text = format!(
        "team = \"t\"\n[match]\nhosts = [\"a.test\"]\n[helios]\nsource = {{ addresses = [\"10.0.0.1:80\"] }}\n\
         [kubernetes]\nsource = {{ addresses = [\"10.0.0.2:80\"] }}\n[judge]\n{judge}\n"
    );
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn a_services_file_says_what_the_judge_promises_and_may_do() {
    let trace = trace("outage.csv");
    let with = |judge: &str, more: &[&str]| {
        let (_folder, service) = service(judge);
        lines(&replay(&[&[trace.as_str(), "--json", "--service", &service], more].concat()))
    };
    let promised = |lines: &[Value]| lines[0]["promise_s"].as_f64().unwrap();
    assert!((promised(&with("false-revert-every = \"30d\"", &[])) - 2_592_000.0).abs() < 1.0);
    let stronger = with("false-revert-every = \"30d\"", &["--false-revert-every", "7d"]);
    assert!((promised(&stronger) - 604_800.0).abs() < 1.0);

    let advised = with("mode = \"advise\"", &[]);
    assert_eq!(advised.len(), 2, "advice comes at most each ten minutes: {advised:?}");
    assert_eq!(advised[0]["decision"], "advise");
    assert!(advised[1]["judged_to_s"].as_f64() > Some(680.0), "nothing is taken back: {}", advised[1]);

    let off = with("mode = \"off\"", &[]);
    assert_eq!((off.len(), &off[0]["verdict"], &off[0]["judged_to_s"]), (1, &"off".into(), &Value::Null));

    let tolerant = with("tolerate = { failures = \"x100 +50%\", slower = \"x100 +10s\" }", &[]);
    assert!(tolerant.last().unwrap()["decisions"].as_u64() <= Some(1), "{tolerant:?}");
}

#[test]
fn a_services_file_is_checked_as_check_does() {
    let (_folder, broken) = service("mode = \"sometimes\"\nfalse-revert-every = \"1s\"");
    let output = replay(&[&trace("same.csv"), "--service", &broken]);
    let said = err(&output);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{said}");
    for part in
        ["playlist.toml:9:", "playlist.toml:10:", "a promise that would be broken all day", "2 faults"]
    {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let missing = replay(&[&trace("same.csv"), "--service", "/nowhere/a.toml"]);
    assert!(err(&missing).contains("cannot be read"), "{}", err(&missing));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/services/playlist.toml");
    assert!(replay(&[&trace("same.csv"), "--service", &shipped.display().to_string()]).status.success());
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    for arguments in [
        &["replay", &trace("outage.csv"), "--json"][..],
        &["simulate", "errors-5", "--write", "-"],
        &["simulate", "refuses", "--json"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_switchback"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && err(&output).is_empty(), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_disk_that_is_full_is_no_reader_that_leaves() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_switchback"))
        .args(["replay", &trace("same.csv")])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("standard output: No space left"), "{}", err(&output));
}

#[test]
fn a_plot_is_one_small_file_that_shows_what_was_decided() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("plot.svg");
    let route = "GET /<b>&\"x\"";
    let text = fs::read_to_string(traces().join("outage.csv")).unwrap().replace("GET /v1/items/*", route);
    let output = replay_text(text.as_bytes(), &["--plot", &plot.display().to_string(), "--keep-going"]);
    assert!(output.status.success(), "{}", err(&output));
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.len() < 200_000,
        "{} bytes",
        svg.len()
    );
    for part in
        ["Failures", "Latency", "Evidence", "revert at 60", "prefers-color-scheme:dark", " min</text>"]
    {
        assert!(svg.contains(part), "{part}");
    }
    assert!(!svg.contains("http://") || svg.matches("http").count() == 1, "it needs nothing else");
    let parsed = Command::new("python3")
        .args(["-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])"])
        .arg(&plot)
        .output()
        .unwrap();
    assert!(parsed.status.success(), "{}", err(&parsed));
}

#[test]
fn a_plot_is_drawn_of_what_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("plot.svg").display().to_string();
    let text = fs::read_to_string(traces().join("outage.csv")).unwrap() + "never\n";
    let output = replay_text(text.as_bytes(), &["--plot", &plot]);
    assert_eq!(output.status.code(), Some(1));
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(svg.contains("standard input: 6199 requests") && svg.ends_with("</svg>\n"), "{svg}");
    let one = replay_text(format!("{HEADER}\n1,helios,ok,1,/\n").as_bytes(), &["--plot", &plot]);
    assert!(err(&one).starts_with("1 request in "), "{}", err(&one));
    assert!(fs::read_to_string(&plot).unwrap().contains("standard input: 1 request<"));
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_read() {
    let malformed = format!("{HEADER}\nnever\n");
    let nowhere = replay_text(malformed.as_bytes(), &["--plot", "/nowhere/plot.svg"]);
    assert_eq!((nowhere.status.code(), out(&nowhere).as_str()), (Some(1), ""));
    assert_eq!(err(&nowhere), "switchback: /nowhere/plot.svg: No such file or directory (os error 2)\n");
    let standard = replay_text(malformed.as_bytes(), &["--plot", "-"]);
    assert_eq!(standard.status.code(), Some(2));
    assert!(err(&standard).contains("standard output is for decisions: name a file"), "{}", err(&standard));
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let [path, link] = ["trace", "link"].map(|name| folder.path().join(name));
    let text = log_of(&format!("{HEADER}\n1,helios,ok,1,/\n"), "a").join("\n");
    fs::write(&path, &text).unwrap();
    fs::hard_link(&path, &link).unwrap();
    let [path, link] = [path, link].map(|path| path.display().to_string());
    let (_folder, service) = service("");
    for arguments in [
        &[&path, "--from-log", "--write-trace", &path][..],
        &[&path, "--from-log", "--write-trace", &link],
        &[&path, "--plot", &link],
        &["-", "--from-log", "--plot", &path],
        &["-", "--service", &service, "--plot", &service],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_switchback"))
            .arg("replay")
            .args(arguments)
            .stdin(fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).contains("would be written over itself: name another file"), "{}", err(&output));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(fs::read_to_string(&service).unwrap().contains("[judge]"));
}

/// The access log that a process would have written for this trace: in the order in which requests end.
fn log_of(trace: &str, service: &str) -> Vec<String> {
    let mut rows = Rows::new(trace.as_bytes());
    let mut ended = Vec::new();
    while let Some(request) = rows.read().unwrap() {
        let time =
            jiff::Timestamp::from_microsecond(1_790_000_000_000_000 + request.start.0.cast_signed()).unwrap();
        let ms = request.latency.map_or(15_000.0, |us| us.0 as f64 / 1e3);
        let line = serde_json::json!({
            "time": format!("{time:.6}"), "service": service, "route": rows.routes().name(request.route),
            "side": request.side.as_str(), "outcome": if request.failed { "failed" } else { "ok" },
            "latency_ms": (!request.failed).then_some(ms), "duration_ms": ms, "evidence": true,
        });
        ended.push((request.start.0 as f64 + ms * 1e3, line.to_string()));
    }
    ended.sort_by(|a, b| a.0.total_cmp(&b.0));
    ended.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn an_access_log_is_judged_as_the_trace_of_the_same_requests() {
    let trace = fs::read_to_string(traces().join("outage.csv")).unwrap();
    let direct = lines(&replay_text(trace.as_bytes(), &["--json"]));
    let mut log = log_of(&trace, "a");
    log.insert(7, log[6].replace("\"ok\"", "\"neither\""));
    log.insert(9, log[8].replace("\"evidence\":true", "\"evidence\":false"));
    log.insert(11, log[10].replace("\"service\":\"a\"", "\"service\":\"b\""));
    let log = log.join("\n");
    let read = |more: &[&str]| replay_text(log.as_bytes(), &[&["--from-log", "--json"], more].concat());

    let several = read(&[]);
    assert_eq!(several.status.code(), Some(1));
    assert!(
        err(&several).contains("2 services, name one of them with --service-name: a, b"),
        "{}",
        err(&several)
    );
    let nobody = read(&["--service-name", "c"]);
    assert!(err(&nobody).contains("nothing of c, but of a, b"), "{}", err(&nobody));

    let mut judged = lines(&read(&["--service-name", "a"]));
    // The log begins at 14:13:20, and the outage 600 s later.
    let time = format!("2026-09-21T14:23:{:09.6}Z", 20.0 + at_s(&direct[0]) - 600.0);
    assert_eq!(judged[0]["time"], time, "{}", judged[0]);
    assert_eq!(judged[1]["began"], "2026-09-21T14:13:20.000000Z", "{}", judged[1]);
    assert_eq!(judged[1]["skipped"], 2);
    judged[0].as_object_mut().unwrap().remove("time");
    assert_eq!(judged[0], direct[0]);

    let written = read(&["--service-name", "a", "--write-trace", "-"]);
    let again = lines(&replay_text(&written.stdout, &["--json"]));
    assert_eq!(again, direct);
}

#[test]
fn a_log_with_a_torn_line_is_judged_without_it() {
    let mut log = log_of(&fs::read_to_string(traces().join("outage.csv")).unwrap(), "a");
    let whole = lines(&replay_text(log.join("\n").as_bytes(), &["--from-log", "--json"]));
    log.insert(7, log[7][..20].to_owned() + &log[7]);
    log.push("{\"time\":\"2026-09".to_owned());
    let output = replay_text(log.join("\n").as_bytes(), &["--from-log"]);
    let told = lines(&output);
    assert_eq!(told[0], whole[0]);
    assert_eq!((&told[1]["skipped"], &told[1]["unreadable"]), (&1.into(), &1.into()), "{}", told[1]);
    assert!(err(&output).contains(" (1 line is no evidence, 1 line cannot be read): "), "{}", err(&output));
}

#[test]
fn a_log_without_requests_has_no_second_0() {
    let log = log_of(&format!("{HEADER}\n1,helios,ok,1,/\n"), "a").join("\n");
    let forced = log.replace("\"evidence\":true", "\"evidence\":false");
    let written = |log: &str| err(&replay_text(log.as_bytes(), &["--from-log", "--write-trace", "-"]));
    assert_eq!(written(&forced), "0 requests written (1 line is no evidence)\n");
    assert_eq!(written(&log), "1 request written; second 0 is 2026-09-21T14:13:21.000000Z\n");
}

#[test]
fn a_log_that_is_none_is_said_to_be_none() {
    let output = replay(&["--from-log", &trace("same.csv")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("same.csv:1: not a line of an access log"), "{}", err(&output));
    for arguments in [
        &["x.csv", "--service-name", "a"][..],
        &["x.csv", "--write-trace", "-"],
        &["x.log", "--from-log", "--write-trace", "-", "--plot", "x.svg"],
        &["x.csv", "--false-revert-every", "1s"],
        &[],
    ] {
        assert_eq!(replay(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_logs_can_be_judged_again() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(503).await);
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address);
    let folder = Folder::with(&[service]);
    let path = folder.state().join("access.log");
    folder.add_to_process(&format!("[access-log]\nfile = \"{}\"\n", path.display()));
    let proxy = Proxy::start_in(folder);
    for _ in 0..20 {
        send(proxy.address, request(Over::Http1, http::Method::GET, "a.test", "/v1/users/7", "")).await;
    }
    eventually("all are logged", async || {
        fs::read_to_string(&path).unwrap_or_default().lines().count() == 20
    })
    .await;
    let name = path.display().to_string();
    let output = tokio::task::spawn_blocking(move || replay(&["--from-log", &name, "--write-trace", "-"]));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let trace = out(&output);
    let log = fs::read_to_string(&path).unwrap();
    let records: Vec<AccessRecord> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let evidence = records.iter().filter(|record| record.evidence).count();
    assert_eq!(trace.lines().count(), 1 + evidence, "{trace}\n{log}");
    assert!(trace.contains(",kubernetes,error,") && trace.contains(",helios,ok,"), "{trace}");
    assert!(trace.lines().skip(1).all(|line| line.ends_with(",GET /v1/users/*")), "{trace}");
}
