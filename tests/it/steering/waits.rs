//! What a ramp waits for is told, and for how long at the present rate.

use serde_json::Value;

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::Proxy;

use super::world::{World, kinds, ramp_starts, run};

const DAY_S: f64 = 86_400.0;

/// The one thing that a service's ramp waits for.
async fn waits_for(proxy: &Proxy, service: &str, kind: &str) -> (Value, Value) {
    let mut status = Value::Null;
    eventually(&format!("{service} waits for {kind}"), async || {
        status = proxy.status(service).await;
        kinds(&status) == [kind]
    })
    .await;
    let wait = status["ramp"]["waits"][0].clone();
    assert_eq!(status["ramp"]["left_s"], wait["left_s"], "{status:#}");
    let (_, shown) = run(proxy, &["status", service]).await;
    // What is counted may have gone on meanwhile.
    let words = wait["text"].as_str().unwrap().split([':', '%']).next().unwrap().to_owned();
    assert!(shown.contains("next step 50.00; waits for ") && shown.contains(&words), "{shown}");
    (status, wait)
}

fn plan(hold: &str, requests: u64, certainty: f64) -> String {
    format!("[ramp]\nsteps = [25, 50]\nhold = \"{hold}\"\nrequests = {requests}\ncertainty = {certainty}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn time_requests_and_certainty_are_told_with_how_long_they_take_at_the_present_rate() {
    let world = World::new().await;
    // Nobody is sure of so little within the time that a test has.
    let strict = "[judge]\ntolerate = { failures = \"+0.01%\", slower = \"x5 +1s\" }\n";
    let proxy = Proxy::start(&[
        world.service("time", &plan("90d", 0, 0.0)),
        world.service("requests", &plan("1s", 1_000_000, 0.0)),
        world.judged("certainty", &format!("{strict}{}", plan("1s", 0, 99.9))),
    ]);
    for service in ["time", "requests", "certainty"] {
        ramp_starts(&proxy, service).await;
    }
    let (_, wait) = waits_for(&proxy, "time", "time").await;
    let left = wait["left_s"].as_f64().unwrap();
    assert!((89.0 * DAY_S..=90.0 * DAY_S).contains(&left), "{wait}");
    assert_eq!(wait["text"], "its time at this step");

    let (_, wait) = waits_for(&proxy, "requests", "requests").await;
    assert_eq!(wait["text"], "requests on Kubernetes: 0 of 1000000");
    assert_eq!(wait["left_s"], Value::Null, "nobody asks: it would take for ever");
    let loads = ["requests.test", "certainty.test"].map(|host| Load::start(proxy.address, host, 4, 200));
    eventually("they are asked", async || world.kubernetes.hits() > 200).await;
    let (status, wait) = waits_for(&proxy, "requests", "requests").await;
    let seen: f64 = wait["text"].as_str().unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    let wanted = (1_000_000.0 - seen) / status["kubernetes"]["per_second"].as_f64().unwrap();
    let left = wait["left_s"].as_f64().unwrap();
    assert!(seen > 0.0 && (left - wanted).abs() < 0.01 * wanted, "{left} of {wanted}: {status:#}");

    let (_, wait) = waits_for(&proxy, "certainty", "certainty").await;
    let text = wait["text"].as_str().unwrap();
    assert!(text.starts_with("the judge to be 99.9% sure that Kubernetes is not worse: it is "), "{text}");
    assert!(text.ends_with("% (failures)"), "{text}");
    eventually("the rate is known", async || {
        proxy.status("certainty").await["ramp"]["waits"][0]["left_s"].as_f64().is_some_and(|left| left > 0.0)
    })
    .await;
    let (_, shown) = run(&proxy, &["ramp", "show", "certainty"]).await;
    assert!(shown.contains("before 50.00 it waits for:\n  - the judge to be 99.9% sure"), "{shown}");
    assert!(shown.contains(" more)"), "{shown}");
    for load in loads {
        load.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_on_helios_and_a_judge_that_does_not_judge_are_waited_for_and_nobody_knows_how_long() {
    let world = World::new().await;
    let small = world.service("small", &plan("1h", 0, 0.0)).sides("capacity = 20", "");
    let unknown = world.service("unknown", &plan("1s", 0, 0.0)).sides("", "");
    let off = world.judged("off", &format!("[judge]\nmode = \"off\"\n{}", plan("1s", 0, 0.0)));
    let proxy = Proxy::start(&[small, unknown, off]);
    for service in ["small", "unknown", "off"] {
        ramp_starts(&proxy, service).await;
    }
    let load = Load::start(proxy.address, "small.test", 4, 200);
    eventually("it does not fit", async || proxy.status("small").await["fit"]["fits"] == false).await;
    proxy.folder.write(&world.service("small", &plan("1s", 0, 0.0)).sides("capacity = 20", ""));
    let (_, wait) = waits_for(&proxy, "small", "room").await;
    let text = wait["text"].as_str().unwrap();
    assert!(text.starts_with("room on Helios: Helios can serve 20/s by its capacity"), "{text}");
    assert_eq!(wait["left_s"], Value::Null);
    let (_, wait) = waits_for(&proxy, "unknown", "room").await;
    let text = wait["text"].as_str().unwrap();
    assert!(text.ends_with("an hour of traffic, or its capacity in the file"), "{text}");
    let (_, wait) = waits_for(&proxy, "off", "verdict").await;
    assert_eq!(wait["text"], "a judge: that of this service is off");
    proxy.counted("switchback_ramp_waits_for", &["service=\"small\"", "kind=\"room\""], 1.0).await;
    proxy.counted("switchback_ramp_step{", &["service=\"small\""], 1.0).await;
    // More room, and it goes on.
    proxy.folder.write(&world.service("small", &plan("1s", 0, 0.0)));
    eventually("it goes on", async || proxy.status("small").await["ramp"]["going"] == "done").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_above_a_ramp_is_waited_for_and_when_it_ends_the_ramp_goes_on() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service("a", &plan("1h", 0, 0.0))]);
    ramp_starts(&proxy, "a").await;
    let (code, said) = run(&proxy, &["weight", "a", "1", "--reason", "look", "--for", "1h"]).await;
    assert_eq!(code, Some(0), "{said}");
    proxy.folder.write(&world.service("a", &plan("1s", 0, 0.0)));
    waits_for(&proxy, "a", "override").await;
    assert!((proxy.weight("a").await - 1.0).abs() < 1e-9);
    let (code, said) = run(&proxy, &["weight", "a", "--clear", "--reason", "seen"]).await;
    assert_eq!(code, Some(0), "{said}");
    eventually("it goes on", async || proxy.status("a").await["ramp"]["going"] == "done").await;
}
