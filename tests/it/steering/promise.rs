//! Reverts that people say were false count against the judge's promise, and too many are told.

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy};

use super::world::{Receiver, World, is_held, run};

/// The judge takes the service back.
async fn falls(world: &World, proxy: &Proxy) {
    let load = Load::start(proxy.address, "a.test", 4, 200);
    let before = world.kubernetes.hits();
    eventually("Kubernetes is known", async || world.kubernetes.hits() > before + 100).await;
    world.answers(500);
    is_held(proxy, "a").await;
    world.answers(200);
    load.end().await;
}

async fn false_reverts(proxy: &Proxy) -> Value {
    let ledger = proxy.ask(Method::GET, "/v1/migration", &Value::Null).await.json();
    let row = &ledger["services"][0];
    json!([row["reverts_by_judge"], row["reverts_by_others"], row["false_reverts"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_false_revert_in_the_time_for_which_one_is_promised_is_told() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let folder = Folder::with(&[world.service("a", "").weight(50.0)]);
    folder.add_to_process(&receiver.section());
    let proxy = Proxy::start_in(folder);
    falls(&world, &proxy).await;
    let arguments = ["release", "a", "--to", "50", "--false-alarm", "--reason", "the test was broken"];
    let (code, said) = run(&proxy, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(false_reverts(&proxy).await, json!([1, 0, 1]));
    proxy.counted("switchback_migration_false_reverts", &["service=\"a\""], 1.0).await;
    eventually("the release is told", async || !receiver.of("released").is_empty()).await;
    assert_eq!(receiver.of("promise-broken"), Vec::<String>::new(), "one is what was promised");

    falls(&world, &proxy).await;
    let (code, said) = run(&proxy, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    eventually("it is told", async || !receiver.of("promise-broken").is_empty()).await;
    let told = receiver.of("promise-broken");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("a: 2 reverts were false in 1 y, and one was promised: `switchback calibrate a`"),
        "{told:?}"
    );
    proxy.counted("switchback_migration_false_reverts", &["service=\"a\""], 2.0).await;
    proxy.counted("switchback_migration_reverts", &["service=\"a\"", "by=\"judge\""], 2.0).await;

    let proxy = Proxy::start_in(proxy.end().await);
    assert_eq!(false_reverts(&proxy).await, json!([2, 0, 2]), "the ledger outlives a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_by_a_person_is_no_false_alarm_of_the_judge_and_the_judges_stays_one_that_a_person_confirmed()
 {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service("a", "").weight(50.0)]);
    let revert = json!({ "services": ["a"], "reason": "INC-4" });
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &revert).await.status, 200);
    let released = json!({ "to_percent": 50.0, "reason": "it was nothing", "false_alarm": true });
    let refused = proxy.ask(Method::POST, "/v1/services/a/release", &released).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("has taken it back, and not the judge"), "{}", refused.text());
    assert_eq!(proxy.status("a").await["why"], "held");
    assert_eq!(false_reverts(&proxy).await, json!([0, 1, 0]));
    let released = json!({ "to_percent": 50.0, "reason": "it was nothing" });
    assert_eq!(proxy.ask(Method::POST, "/v1/services/a/release", &released).await.status, 200);

    falls(&world, &proxy).await;
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &revert).await.status, 200);
    assert_ne!(proxy.status("a").await["by"], "judge");
    let released = json!({ "to_percent": 50.0, "reason": "it was nothing", "false_alarm": true });
    assert_eq!(proxy.ask(Method::POST, "/v1/services/a/release", &released).await.status, 200);
    assert_eq!(false_reverts(&proxy).await, json!([1, 1, 1]));
}
