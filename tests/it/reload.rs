//! Files that change while the program runs.

use std::os::unix::fs::symlink;
use std::path::Path;

use http::Method;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

async fn process(proxy: &Proxy) -> Value {
    proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_come_change_and_go_with_their_files() {
    let (one, two) = (Endpoint::named("one").await, Endpoint::named("two").await);
    let proxy = Proxy::start(&[Service::new("a").helios(one.address)]);
    assert_eq!(proxy.get("a.test", "/").await.text(), "one");
    proxy.folder.write(&Service::new("b").helios(two.address));
    eventually("b comes", async || proxy.get("b.test", "/").await.text() == "two").await;
    proxy.folder.write(&Service::new("a").helios(two.address));
    eventually("a changes", async || proxy.get("a.test", "/").await.text() == "two").await;
    std::fs::remove_file(proxy.folder.file("b")).unwrap();
    eventually("b goes", async || proxy.get("b.test", "/").await.status == 404).await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "two");
}

/// envoy#22873: a bad configuration cannot hurt.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_is_told_everywhere() {
    let (one, two) = (Endpoint::named("one").await, Endpoint::named("two").await);
    let proxy = Proxy::start(&[Service::new("a").helios(one.address), Service::new("b").helios(two.address)]);
    let before = process(&proxy).await;
    assert!((proxy.metric("switchback_configuration_good", &[]).await - 1.0).abs() < 1e-9);
    // One good change and one fault: neither is taken.
    proxy.folder.write(&Service::new("a").helios(two.address));
    std::fs::write(proxy.folder.file("b"), "team = \"t\"\n[split]\nkubernetes = 250\n").unwrap();
    eventually("the faults are told", async || {
        process(&proxy).await["configuration_faults"].as_array().is_some_and(|faults| !faults.is_empty())
    })
    .await;
    let after = process(&proxy).await;
    let faults = after["configuration_faults"].to_string();
    assert!(faults.contains("b.toml:3:14: weight is over 100"), "{faults}");
    assert_eq!(after["configuration"], before["configuration"], "the last good one");
    assert!(proxy.metric("switchback_configuration_good", &[]).await.abs() < 1e-9);
    assert_eq!(proxy.get("a.test", "/").await.text(), "one");
    assert_eq!(proxy.get("b.test", "/").await.text(), "two");

    proxy.folder.write(&Service::new("b").helios(one.address));
    eventually("the mended files are taken", async || proxy.get("b.test", "/").await.text() == "one").await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "two");
    assert_eq!(process(&proxy).await["configuration_faults"], serde_json::json!([]));
    proxy.counted("switchback_configuration_good", &[], 1.0).await;
}

/// A `ConfigMap` as the kubelet mounts it: files are links through `..data`, which is swapped.
fn mount(folder: &Path, version: &str, process: &str, service: &Service) {
    let real = folder.join(format!("..{version}"));
    std::fs::create_dir_all(&real).unwrap();
    std::fs::write(real.join("switchback.toml"), process).unwrap();
    std::fs::write(real.join("a.toml"), service.text()).unwrap();
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_followed_when_it_is_swapped() {
    let (one, two) = (Endpoint::named("one").await, Endpoint::named("two").await);
    let folder = Folder::with(&[]);
    let root = folder.path();
    let process = std::fs::read_to_string(root.join("switchback.toml")).unwrap();
    std::fs::remove_file(root.join("switchback.toml")).unwrap();
    mount(root, "2026_11_22_1", &process, &Service::new("a").helios(one.address));
    symlink("..data/switchback.toml", root.join("switchback.toml")).unwrap();
    symlink("../..data/a.toml", root.join("services/a.toml")).unwrap();
    let proxy = Proxy::start_in(folder);
    assert_eq!(proxy.get("a.test", "/").await.text(), "one");
    let root = proxy.folder.path();
    for (version, endpoint) in [("2", &two), ("3", &one), ("4", &two)] {
        let version = format!("2026_11_22_{version}");
        mount(root, &version, &process, &Service::new("a").helios(endpoint.address));
        let name = if endpoint.address == one.address { "one" } else { "two" };
        eventually(&version, async || proxy.get("a.test", "/").await.text() == name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_files_and_ends_nothing() {
    let (one, two) = (Endpoint::named("one").await, Endpoint::named("two").await);
    let folder = Folder::with(&[Service::new("a").helios(one.address)]);
    let (mut process, address, _) = Process::serve(folder.path());
    process.signal(Signal::SIGHUP);
    process.after("the configuration has not changed");
    folder.write(&Service::new("a").helios(two.address));
    process.signal(Signal::SIGHUP);
    process.after("configuration loaded: 0 services added, 1 changed, 0 removed");
    let got = send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await;
    assert_eq!(got.text(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_at_start_only_asks_for_a_restart() {
    let one = Endpoint::named("one").await;
    let proxy = Proxy::start(&[Service::new("a").helios(one.address)]);
    let file = proxy.folder.path().join("switchback.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("workers = 2", "workers = 3")).unwrap();
    eventually("it is told", async || {
        process(&proxy).await["needs_restart"] == serde_json::json!(["workers"])
    })
    .await;
    std::fs::write(&file, text).unwrap();
    eventually("it is taken back", async || process(&proxy).await["needs_restart"] == serde_json::json!([]))
        .await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_weight_in_the_file_moves_traffic_without_closing_a_connection() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service =
        |percent| Service::new("a").weight(percent).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service(0.0)]);
    let mut client = crate::support::client::Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("a.test", "/").await.text(), "helios");
    proxy.folder.write(&service(100.0));
    eventually("Kubernetes serves", async || client.get("a.test", "/").await.text() == "kubernetes").await;
    proxy.folder.write(&service(0.0));
    eventually("Helios serves", async || client.get("a.test", "/").await.text() == "helios").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_listener_that_does_not_run_yet_waits_for_a_restart_whole() {
    let one = Endpoint::named("one").await;
    let proxy = Proxy::start(&[Service::new("a").helios(one.address)]);
    let file = proxy.folder.path().join("switchback.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}[listeners.public]\naddress = \"127.0.0.1:0\"\n")).unwrap();
    let service = std::fs::read_to_string(proxy.folder.file("a")).unwrap();
    let service = service.replace("[match]\n", "[match]\nlisteners = [\"public\"]\n");
    std::fs::write(proxy.folder.file("a"), service).unwrap();
    eventually("it is told", async || {
        process(&proxy).await["configuration_faults"].to_string().contains("takes a restart")
    })
    .await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "one");
}
