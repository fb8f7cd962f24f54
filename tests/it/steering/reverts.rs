//! A revert ends a ramp, which starts again where a person says, and by itself only where that is asked for.

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy};

use super::world::{Receiver, World, entries, history, is_held, is_written, ramp_starts, run, start_ramp};

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_by_the_judge_ends_a_ramp_and_after_a_release_only_a_named_step_starts_it_again() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\n";
    let folder = Folder::with(&[world.service("a", plan)]);
    folder.add_to_process(&receiver.section());
    let proxy = Proxy::start_in(folder);
    ramp_starts(&proxy, "a").await;
    let load = Load::start(proxy.address, "a.test", 4, 200);
    eventually("Kubernetes is known", async || world.kubernetes.hits() > 100).await;
    world.answers(500);
    is_held(&proxy, "a").await;
    let (_, failed, _) = load.end().await;
    assert_eq!(failed, 0, "Helios answered what Kubernetes failed");
    world.answers(200);
    let status = proxy.status("a").await;
    assert_eq!((&status["by"], &status["ramp"]), (&json!("judge"), &Value::Null), "{status:#}");
    assert_eq!((&status["ramp_cut_at_percent"], &status["again_unix_ms"]), (&json!(25.0), &Value::Null));
    eventually("it is told", async || receiver.told().len() == 2).await;
    assert_eq!(receiver.of("ramp-ended"), ["a: its ramp was ended at 25.00 by the revert"]);
    let held = start_ramp(&proxy, "a", &json!({ "reason": "again", "from_percent": 25.0 })).await;
    assert_eq!(held.status, 409, "{}", held.text());
    assert!(held.text().contains("the service is held since it was reverted by judge"), "{}", held.text());
    let (_, shown) = run(&proxy, &["ramp", "show", "a"]).await;
    assert!(
        shown.contains("a revert has ended it at 25.00; release the service, and name the step"),
        "{shown}"
    );

    is_written(&proxy).await;
    let proxy = Proxy::start_in(proxy.end().await);
    let release = json!({ "to_percent": 0.0, "reason": "mended" });
    assert_eq!(proxy.ask(Method::POST, "/v1/services/a/release", &release).await.status, 200);
    for (body, status, why) in [
        (
            json!({ "reason": "again" }),
            409,
            "the last ramp was ended by a revert at 25.00: name the step to begin at",
        ),
        (
            json!({ "reason": "again", "from_percent": 10.0 }),
            422,
            "10.00 is no step of its ramp: 25.00, 50.00",
        ),
    ] {
        let refused = start_ramp(&proxy, "a", &body).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(refused.text().contains(why), "{}", refused.text());
        assert!(proxy.weight("a").await.abs() < 1e-9);
    }
    let started = start_ramp(&proxy, "a", &json!({ "reason": "again", "from_percent": 25.0 })).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let status = proxy.status("a").await;
    assert_eq!((&status["weight_percent"], &status["ramp_cut_at_percent"]), (&json!(25.0), &Value::Null));
    assert_eq!(history(&proxy, "a", &["ramp-again"]).await, Vec::<Value>::new(), "never by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_asked_for_a_ramp_starts_again_by_itself_each_time_after_twice_as_long_and_not_for_ever()
{
    let world = World::new().await;
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\nagain-after = \"1s\"\nagain-most = 2\n";
    let proxy = Proxy::start(&[world.service("a", plan)]);
    ramp_starts(&proxy, "a").await;
    let load = Load::start(proxy.address, "a.test", 4, 200);
    eventually("Kubernetes is known", async || world.kubernetes.hits() > 50).await;
    world.answers(500);
    let found = entries(&proxy, "a", &["reverted", "ramp-again"], 5).await;
    load.end().await;
    let deeds: Vec<_> = found.iter().map(|entry| entry["deed"].as_str().unwrap()).collect();
    assert_eq!(deeds, ["reverted", "ramp-again", "reverted", "ramp-again", "reverted"]);
    let mut fell = Vec::new();
    eventually("each revert has its receipt", async || {
        let receipts = proxy.ask(Method::GET, "/v1/services/a/receipts", &Value::Null).await.json();
        let receipts = receipts.as_array().unwrap().iter();
        fell = receipts.map(|receipt| receipt["reverted_unix_ms"].as_u64().unwrap()).rev().collect();
        fell.len() == 3
    })
    .await;
    for (again, fell, wanted) in [(&found[1], fell[0], 1_000), (&found[3], fell[1], 2_000)] {
        // Not sooner than is said, but for what two clocks make of a millisecond. How much later depends on the machine.
        let waited = again["at_unix_ms"].as_u64().unwrap() - fell;
        assert!(waited + 2 >= wanted, "{waited} of {wanted} ms: {found:#?}");
    }
    for again in [&found[1], &found[3]] {
        assert_eq!(
            json!([again["by"], again["before_percent"], again["after_percent"]]),
            json!(["ramp", 0.0, 25.0]),
            "{again:#}"
        );
    }
    let status = proxy.status("a").await;
    assert_eq!(
        (&status["why"], &status["again_unix_ms"]),
        (&json!("held"), &Value::Null),
        "twice was enough"
    );
    let (_, shown) = run(&proxy, &["ramp", "show", "a"]).await;
    assert!(shown.contains("release the service, and name the step to begin at"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_ramp_starts_again_by_itself_whom_a_person_has_taken_back() {
    let world = World::new().await;
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\nagain-after = \"1h\"\n";
    let proxy = Proxy::start(&[world.service("a", plan)]);
    ramp_starts(&proxy, "a").await;
    let load = Load::start(proxy.address, "a.test", 4, 200);
    eventually("Kubernetes is known", async || world.kubernetes.hits() > 50).await;
    world.answers(500);
    is_held(&proxy, "a").await;
    load.end().await;
    assert!(proxy.status("a").await["again_unix_ms"].is_u64());
    let (_, shown) = run(&proxy, &["ramp", "show", "a"]).await;
    assert!(shown.contains("it starts again by itself on"), "{shown}");
    let (_, shown) = run(&proxy, &["status", "a"]).await;
    assert!(shown.contains("its ramp starts again by itself in"), "{shown}");
    let body = json!({ "services": ["a"], "reason": "INC-2 leave it there" });
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &body).await.status, 200);
    let status = proxy.status("a").await;
    assert_eq!((&status["why"], &status["again_unix_ms"]), (&json!("held"), &Value::Null));
}
