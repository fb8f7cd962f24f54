//! Reverted stays reverted: through crashes, reloads, stale and broken files, until a person says otherwise.

use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;

use crate::support::client::{Answer, Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

async fn ask(admin: SocketAddr, method: Method, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(admin, request(Over::Http1, method, "localhost", path, body)).await
}

async fn status(admin: SocketAddr) -> Value {
    ask(admin, Method::GET, "/v1/services/a", &Value::Null).await.json()
}

async fn held(admin: SocketAddr) -> bool {
    let status = status(admin).await;
    status["why"] == "held" && status["weight_percent"] == 0.0
}

async fn revert(admin: SocketAddr) {
    let body = json!({ "services": ["a"], "reason": "INC-1" });
    let got = ask(admin, Method::POST, "/v1/revert", &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.json()["changes"][0]["after_percent"], 0.0);
}

/// Until a record is on disk.
async fn is_written(admin: SocketAddr) {
    eventually("the record is on disk", async || {
        ask(admin, Method::GET, "/v1/process", &Value::Null).await.json()["unwritten"] == 0
    })
    .await;
}

struct World {
    helios: Endpoint,
    kubernetes: Endpoint,
}

impl World {
    async fn new() -> Self {
        Self { helios: Endpoint::named("helios").await, kubernetes: Endpoint::named("kubernetes").await }
    }

    fn service(&self, percent: f64) -> Service {
        Service::new("a").weight(percent).helios(self.helios.address).kubernetes(self.kubernetes.address)
    }
}

/// haproxy#2085, #3296 and traefik#2812: runtime state is lost or overridden after a reload or a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_survives_a_crash_an_edited_file_and_a_broken_one_and_a_release_ends_it() {
    let world = World::new().await;
    let folder = Folder::with(&[world.service(50.0)]);
    let (mut process, _, admin) = Process::serve(folder.path());
    revert(admin).await;
    is_written(admin).await;
    process.kill();

    let (mut process, address, admin) = Process::serve(folder.path());
    assert!(held(admin).await, "after kill -9");
    let got = send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await;
    assert_eq!(got.text(), "helios");

    folder.write(&world.service(80.0));
    eventually("the file is read", async || status(admin).await["file_percent"] == 80.0).await;
    assert!(held(admin).await, "after an edited file");

    std::fs::write(folder.file("a"), "team = ").unwrap();
    process.after("the new configuration is refused");
    assert!(held(admin).await, "after a broken file");

    let release = json!({ "to_percent": 5.0, "reason": "mended" });
    let got = ask(admin, Method::POST, "/v1/services/a/release", &release).await;
    assert_eq!(got.status, 200, "{}", got.text());
    let released = status(admin).await;
    assert_eq!((&released["weight_percent"], &released["why"]), (&json!(5.0), &json!("override")));

    folder.write(&world.service(80.0));
    process.kill();
    let (_process, _, admin) = Process::serve(folder.path());
    assert_eq!(status(admin).await["weight_percent"], 5.0, "the release, and not the file, is what was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_in_force_before_the_first_request() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(100.0)]);
    revert(proxy.admin).await;
    let folder = proxy.end().await;
    for _ in 0..5 {
        let proxy = Proxy::start_in(Folder::with(&[]));
        drop(proxy);
    }
    let proxy = Proxy::start_in(folder);
    for _ in 0..50 {
        assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
    }
    assert_eq!(world.kubernetes.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_file_went_and_came_back_is_still_held() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0), Service::new("b").helios(world.helios.address)]);
    revert(proxy.admin).await;
    std::fs::remove_file(proxy.folder.file("a")).unwrap();
    eventually("the service is gone", async || proxy.get("a.test", "/").await.status == 404).await;
    let process = proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
    assert_eq!(process["held_elsewhere"], json!(["a"]));
    proxy.folder.write(&world.service(50.0));
    eventually("the service is back", async || proxy.get("a.test", "/").await.status == 200).await;
    assert!(held(proxy.admin).await);
    let folder = proxy.end().await;
    assert!(held(Proxy::start_in(folder).admin).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_holds_the_service_and_says_so() {
    let world = World::new().await;
    for damage in ["", "{\"version\": 1, \"service\"", "{\"version\": 99}", "null"] {
        let folder = Folder::with(&[world.service(50.0)]);
        std::fs::create_dir_all(folder.state().join("services")).unwrap();
        std::fs::write(folder.state().join("services/a.json"), damage).unwrap();
        let proxy = Proxy::start_in(folder);
        let status = proxy.status("a").await;
        assert!(held(proxy.admin).await, "{damage:?}: {status}");
        assert_eq!(status["by"], "caution");
        assert!(status["reason"].as_str().unwrap().contains("record"), "{status}");
        let release = json!({ "to_percent": 50.0, "reason": "looked at it" });
        assert_eq!(proxy.ask(Method::POST, "/v1/services/a/release", &release).await.status, 200);
        assert!((proxy.weight("a").await - 50.0).abs() < 1e-9, "{damage:?}");
    }
}

/// Toward Kubernetes: write it down, then act. What cannot be written is not in force.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_broken_disk_reverts_still_happen_and_kubernetes_gets_nothing_more() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    // The folder that records are written aside in is gone.
    std::fs::remove_dir_all(proxy.folder.state().join("services")).unwrap();
    let raise = json!({ "percent": 90.0, "reason": "test" });
    let got = proxy.ask(Method::PUT, "/v1/services/a/weight", &raise).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.json()["detail"].as_str().unwrap().contains("not in force"));
    assert!((proxy.weight("a").await - 50.0).abs() < 1e-9);

    revert(proxy.admin).await;
    assert!(held(proxy.admin).await);
    assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
    let process = proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
    assert_eq!(process["unwritten"], 1);
    assert!(proxy.metric("switchback_state_write_failures_total", &[]).await > 0.0);

    // The disk is back: what is in force is written by and by.
    std::fs::create_dir(proxy.folder.state().join("services")).unwrap();
    is_written(proxy.admin).await;
    let folder = proxy.end().await;
    assert!(held(Proxy::start_in(folder).admin).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_release_changes_the_weight_of_a_held_service() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    revert(proxy.admin).await;
    for (method, path, body) in [
        (Method::PUT, "/v1/services/a/weight", json!({ "percent": 10.0, "reason": "x" })),
        (Method::PUT, "/v1/services/a/weight", json!({ "percent": 0.0, "reason": "x" })),
        (Method::DELETE, "/v1/services/a/weight", json!({ "reason": "x" })),
    ] {
        let got = proxy.ask(method.clone(), path, &body).await;
        assert_eq!(got.status, 409, "{method} {body}: {}", got.text());
        assert!(held(proxy.admin).await);
    }
    // Reverting again is what everybody does at 3 a.m., and does no harm.
    revert(proxy.admin).await;
    assert!(held(proxy.admin).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_by_itself_and_the_file_decides_again() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    let lower = json!({ "percent": 10.0, "reason": "quiet evening", "for": "300ms" });
    let got = proxy.ask(Method::PUT, "/v1/services/a/weight", &lower).await;
    assert_eq!(got.json()["changes"][0]["after_percent"], 10.0);
    eventually("the override ends", async || {
        let status = proxy.status("a").await;
        status["weight_percent"] == 50.0 && status["why"] == "file"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_services_are_reverted_with_one_word() {
    let world = World::new().await;
    let side = |name: &str, percent: f64| {
        Service::new(name).weight(percent).helios(world.helios.address).kubernetes(world.kubernetes.address)
    };
    let proxy = Proxy::start(&[side("a", 50.0), side("b", 100.0), side("c", 0.0)]);
    let body = json!({ "all": true, "reason": "cluster is gone" });
    let got = proxy.ask(Method::POST, "/v1/revert", &body).await.json();
    let services: Vec<&str> =
        got["changes"].as_array().unwrap().iter().map(|c| c["service"].as_str().unwrap()).collect();
    assert_eq!(services, ["a", "b"], "c gets nothing from Kubernetes, and needs no hold");
    assert_eq!(got["applied"]["workers"], 2);
    for name in ["a", "b"] {
        assert_eq!(proxy.get(&format!("{name}.test"), "/").await.text(), "helios");
    }
    assert_eq!(proxy.status("c").await["why"], "file");
}

async fn refused_because(proxy: &Proxy, reason: &str) {
    eventually(reason, async || {
        let process = proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
        process["configuration_faults"].to_string().contains(reason)
    })
    .await;
}

/// A file must not lift a hold, whatever it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_service_cannot_lose_helios_to_a_file() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    revert(proxy.admin).await;
    proxy.folder.write(&Service::new("a").weight(100.0).kubernetes(world.kubernetes.address));
    refused_because(&proxy, "is held, and would lose Helios").await;
    assert!(held(proxy.admin).await);
    assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
    // Nor by going and coming back without it.
    std::fs::remove_file(proxy.folder.file("a")).unwrap();
    eventually("the service is gone", async || proxy.get("a.test", "/").await.status == 404).await;
    proxy.folder.write(&Service::new("a").weight(100.0).kubernetes(world.kubernetes.address));
    refused_because(&proxy, "is held, and would lose Helios").await;
    assert_eq!(proxy.get("a.test", "/").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_revert_all_holds_also_what_an_override_keeps_off_kubernetes_and_leaves_what_has_no_helios() {
    let world = World::new().await;
    let only = Service::new("only").weight(100.0).kubernetes(world.kubernetes.address);
    let proxy = Proxy::start(&[world.service(50.0), only]);
    let body = json!({ "percent": 0.0, "reason": "a moment", "for": "1h" });
    assert_eq!(proxy.ask(Method::PUT, "/v1/services/a/weight", &body).await.status, 200);
    let got = proxy.ask(Method::POST, "/v1/revert", &json!({ "all": true, "reason": "INC-2" })).await.json();
    assert_eq!(got["changes"].as_array().unwrap().len(), 1, "{got}");
    assert!(held(proxy.admin).await);
    assert_eq!(proxy.status("only").await["why"], "file");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_that_a_service_is_held_also_after_its_file_was_away() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    revert(proxy.admin).await;
    proxy.counted("switchback_held", &["service=\"a\""], 1.0).await;
    std::fs::remove_file(proxy.folder.file("a")).unwrap();
    proxy.counted("switchback_held", &["service=\"a\""], 0.0).await;
    proxy.folder.write(&world.service(50.0));
    proxy.counted("switchback_held", &["service=\"a\""], 1.0).await;
}

/// A log that nobody reads any more ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_works_when_nobody_takes_the_log() {
    let world = World::new().await;
    let folder = Folder::with(&[world.service(50.0)]);
    let (mut process, address, admin) = Process::serve(folder.path());
    process.stop_reading();
    for _ in 0..3 {
        revert(admin).await;
        let body = json!({ "to_percent": 50.0, "reason": "ok" });
        assert_eq!(ask(admin, Method::POST, "/v1/services/a/release", &body).await.status, 200);
    }
    let got = send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await;
    assert_eq!(got.status, 200);
    assert!(process.is_running());
}

/// A hold is written also when its service's file goes while the disk fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_outlives_a_broken_disk_and_a_file_that_goes() {
    let world = World::new().await;
    let proxy = Proxy::start(&[world.service(50.0)]);
    let records = proxy.folder.state().join("services");
    std::fs::remove_dir_all(&records).unwrap();
    revert(proxy.admin).await;
    std::fs::remove_file(proxy.folder.file("a")).unwrap();
    eventually("the service is gone", async || proxy.get("a.test", "/").await.status == 404).await;
    std::fs::create_dir(&records).unwrap();
    eventually("the hold is on disk", async || records.join("a.json").exists()).await;
    let folder = proxy.end().await;
    folder.write(&world.service(50.0));
    assert!(held(Proxy::start_in(folder).admin).await);
}
