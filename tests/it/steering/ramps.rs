//! Ramps under real traffic: each step is taken when the judge is sure.

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy};

use super::world::{Receiver, World, entries, is_written, kinds, ramp_starts, run, start_ramp};

/// Requests at the step before, and how sure the judge was, in percent: as the history has them of a step.
fn content(entry: &Value) -> (u64, f64) {
    let reason = entry["reason"].as_str().unwrap();
    let (requests, rest) = reason.split_once(" requests on Kubernetes at the step before").unwrap();
    let sure = rest.trim_start_matches(", and it is ").split_once('%').unwrap().0;
    (requests.parse().unwrap(), sure.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_taken_when_the_judge_is_sure_after_enough_requests_and_the_last_ends_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let plan = "[ramp]\nsteps = [20, { to = 30, requests = 60 }, 50]\nhold = \"1s\"\nrequests = 40\ncertainty = 90\n";
    let folder = Folder::with(&[world.service("a", plan)]);
    folder.add_to_process(&receiver.section());
    let proxy = Proxy::start_in(folder);
    ramp_starts(&proxy, "a").await;
    let status = proxy.status("a").await;
    assert_eq!((&status["weight_percent"], &status["why"]), (&json!(20.0), &json!("ramp")), "{status:#}");
    assert_eq!((&status["ramp"]["step"], &status["ramp"]["next_percent"]), (&json!(1), &json!(30.0)));

    let load = Load::start(proxy.address, "a.test", 8, 400);
    eventually("it is done", async || proxy.status("a").await["ramp"]["going"] == "done").await;
    let (_, failed, broken) = load.end().await;
    assert_eq!((failed, broken), (0, 0));
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9);

    let steps = entries(&proxy, "a", &["ramp-started", "ramp-stepped"], 3).await;
    let weights: Vec<_> =
        steps.iter().map(|step| json!([step["before_percent"], step["after_percent"]])).collect();
    assert_eq!(weights, [json!([0.0, 20.0]), json!([20.0, 30.0]), json!([30.0, 50.0])], "{steps:#?}");
    assert_eq!((&steps[0]["ticket"], &steps[1]["by"]), (&json!("INC-1"), &json!("ramp")), "{steps:#?}");
    for (step, least) in [(&steps[1], 40), (&steps[2], 60)] {
        let (requests, sure) = content(step);
        assert!(requests >= least && sure >= 90.0, "{step:#}");
    }
    eventually("its end is told", async || !receiver.of("ramp-ended").is_empty()).await;
    let told: Vec<_> = receiver.told().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(told, ["ramp-step", "ramp-step", "ramp-ended"]);
    let (_, shown) = run(&proxy, &["ramp", "show", "a"]).await;
    assert!(shown.contains("a is at 50.00, step 3 of 3"), "{shown}");
    assert!(shown.contains("it is done: write 50.00 into the service's file"), "{shown}");

    proxy.folder.write(&world.service("a", plan).weight(50.0));
    eventually("the file decides", async || proxy.status("a").await["why"] == "file").await;
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9, "and says the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_typed_takes_the_place_of_the_files_and_outlives_a_restart() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service("a", "")]);
    let typed = ["--steps", "2,4.5", "--hold", "1s", "--requests", "0", "--certainty", "0"];
    let arguments = [&["ramp", "start", "a", "--reason", "by hand"][..], &typed].concat();
    let (code, said) = run(&proxy, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a: weight 0.00 → 2.00"), "{said}");
    is_written(&proxy).await;
    let proxy = Proxy::start_in(proxy.end().await);
    eventually("it goes on", async || proxy.status("a").await["ramp"]["going"] == "done").await;
    assert!((proxy.weight("a").await - 4.5).abs() < 1e-9);
    let (code, said) = run(&proxy, &["ramp", "start", "a", "--reason", "x", "--steps", "5,2"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a step down: not above the step before, 5.00"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_that_is_paused_stays_where_it_is_until_somebody_resumes_it_and_stopped_the_file_decides() {
    let world = World::new().await;
    let plan = "[ramp]\nsteps = [2, 4]\nhold = \"1h\"\nrequests = 0\ncertainty = 0\n";
    let proxy = Proxy::start(&[world.service("a", plan).weight(1.0)]);
    ramp_starts(&proxy, "a").await;
    let again = start_ramp(&proxy, "a", &json!({ "reason": "again" })).await;
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains("a ramp is under way, at 2.00"), "{}", again.text());
    let one = json!({ "services": ["a"], "reason": "wait for the release" });
    let paused = proxy.ask(Method::POST, "/v1/ramps/pause", &one).await;
    assert_eq!(paused.status, 200, "{}", paused.text());
    assert_eq!(proxy.ask(Method::POST, "/v1/ramps/pause", &one).await.status, 409, "it is already");
    assert_eq!(kinds(&proxy.status("a").await), ["paused", "time"]);
    // With a plan that waits for nothing else it still stays.
    proxy.folder.write(&world.service("a", &plan.replace("1h", "1s")).weight(1.0));
    eventually("only a person is waited for", async || kinds(&proxy.status("a").await) == ["paused"]).await;
    let (_, shown) = run(&proxy, &["ramp", "show", "a"]).await;
    assert!(
        shown.contains("  - somebody to resume it: paused by somebody on this machine: wait for the"),
        "{shown}"
    );
    let resumed = proxy.ask(Method::POST, "/v1/ramps/resume", &one).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    eventually("it goes on", async || proxy.status("a").await["ramp"]["going"] == "done").await;
    let (code, said) = run(&proxy, &["ramp", "stop", "a", "--reason", "enough"]).await;
    assert_eq!(code, Some(0), "{said}");
    let status = proxy.status("a").await;
    assert_eq!(
        (&status["weight_percent"], &status["why"], &status["ramp"]),
        (&json!(1.0), &json!("file"), &Value::Null)
    );
}
