//! Hours in which steps are taken, and freezes in which none is. All days are told from today's.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::Value;

use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};

use super::world::{World, kinds, ramp_starts, run};

/// The day that is so many days from today, in UTC.
fn day(days: i64) -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date().checked_add(days.days()).unwrap()
}

/// Its weekday, as hours have it.
fn weekday(days: i64) -> String {
    day(days).strftime("%a").to_string()
}

/// A service that would take its step at once.
fn service(world: &World, name: &str, lines: &str) -> Service {
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1s\"\nrequests = 0\ncertainty = 0\n";
    world.service(name, &format!("{plan}{lines}"))
}

/// The one thing that it waits for, once it has been at its step for long enough.
async fn waits_for(proxy: &Proxy, service: &str, kind: &str) -> Value {
    eventually(&format!("{service} waits for {kind}"), async || {
        kinds(&proxy.status(service).await) == [kind]
    })
    .await;
    let wait = proxy.status(service).await["ramp"]["waits"][0].clone();
    let (left, most) = (wait["left_s"].as_f64().unwrap(), 8.0 * 86_400.0);
    assert!(left > 0.0 && left < most, "{wait}");
    wait
}

async fn goes_on(proxy: &Proxy, service: &str) {
    eventually(&format!("{service} goes on"), async || {
        proxy.status(service).await["ramp"]["going"] == "done"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_taken_within_the_hours_of_the_week_and_not_outside() {
    let world = World::new().await;
    // It may become tomorrow while this runs.
    let inside = format!("hours = [\"{},{},{} 00:00-24:00\"]\n", weekday(-1), weekday(0), weekday(1));
    let outside = format!("hours = [\"{} 09:00-16:00\"]\nzone = \"Europe/Stockholm\"\n", weekday(3));
    let proxy = Proxy::start(&[service(&world, "inside", &inside), service(&world, "outside", &outside)]);
    for name in ["outside", "inside"] {
        ramp_starts(&proxy, name).await;
    }
    goes_on(&proxy, "inside").await;
    let wait = waits_for(&proxy, "outside", "hours").await;
    assert_eq!(wait["text"], "its hours");
    let (_, shown) = run(&proxy, &["ramp", "show", "outside"]).await;
    assert!(shown.contains("  - its hours (") && shown.contains(" more)"), "{shown}");
    assert!((proxy.weight("outside").await - 25.0).abs() < 1e-9);
    proxy.folder.write(&service(&world, "outside", &inside));
    goes_on(&proxy, "outside").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_plan_lifts_neither_the_hours_nor_the_freezes_of_the_file() {
    let world = World::new().await;
    let outside = format!("hours = [\"{} 09:00-16:00\"]\n", weekday(3));
    let frozen = format!("freezes = [\"{} to {}\"]\n", day(-2), day(2));
    let proxy = Proxy::start(&[service(&world, "outside", &outside), service(&world, "frozen", &frozen)]);
    for (name, kind) in [("outside", "hours"), ("frozen", "freeze")] {
        let typed = [
            "ramp",
            "start",
            name,
            "--steps",
            "20,40",
            "--hold",
            "1s",
            "--requests",
            "0",
            "--certainty",
            "0",
        ];
        let (status, said) = run(&proxy, &[typed.as_slice(), &["--reason", "by hand"]].concat()).await;
        assert_eq!(status, Some(0), "{said}");
        waits_for(&proxy, name, kind).await;
        assert!((proxy.weight(name).await - 20.0).abs() < 1e-9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_is_taken_in_a_freeze_of_the_service_and_those_that_are_over_or_to_come_keep_nobody_back() {
    let world = World::new().await;
    let freezes = |spans: &[String]| format!("freezes = {spans:?}\n");
    let around = format!("{} to {}", day(-2), day(2));
    let moments = format!("{}T00:00 to {}T06:00", day(-1), day(3));
    let others = [format!("{} to {}", day(-9), day(-3)), format!("{} to {}", day(4), day(9))];
    let proxy = Proxy::start(&[
        service(&world, "days", &freezes(std::slice::from_ref(&around))),
        service(&world, "moments", &freezes(std::slice::from_ref(&moments))),
        service(&world, "others", &freezes(&others)),
    ]);
    for name in ["days", "moments", "others"] {
        ramp_starts(&proxy, name).await;
    }
    goes_on(&proxy, "others").await;
    for (name, freeze) in [("days", around), ("moments", moments)] {
        let wait = waits_for(&proxy, name, "freeze").await;
        assert_eq!(wait["text"], format!("the freeze to end: {freeze}"));
        assert!((proxy.weight(name).await - 25.0).abs() < 1e-9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_of_the_whole_fleet_comes_and_goes_without_a_restart() {
    let world = World::new().await;
    let folder = Folder::with(&[service(&world, "a", ""), service(&world, "b", "")]);
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let frozen = format!("{text}[ramps]\nfreezes = {{ peak = \"{} to {}\" }}\n", day(-1), day(1));
    folder.write_process(&frozen);
    let proxy = Proxy::start_in(folder);
    for name in ["a", "b"] {
        ramp_starts(&proxy, name).await;
    }
    for name in ["a", "b"] {
        let wait = waits_for(&proxy, name, "freeze").await;
        assert_eq!(wait["text"], format!("the freeze to end: peak, {} to {}", day(-1), day(1)));
    }
    proxy.folder.write_process(&text);
    for name in ["a", "b"] {
        goes_on(&proxy, name).await;
    }
    let process = proxy.ask(http::Method::GET, "/v1/process", &Value::Null).await.json();
    assert_eq!(process["needs_restart"], serde_json::json!([]));
}
