//! Endpoints from the EndpointSlices of a cluster, by a stand-in for its API server.

use http::Method;
use serde_json::{Value, json};

use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::kubernetes::{Cluster, Cut, Fault, Gone, is_written, ready, with};
use crate::support::proxy::{Folder, Proxy, Service};

const SOURCE: &str = r#"{ namespace = "shop", service = "a", port = "http" }"#;

fn folder_with(cluster: &Cluster, source: &str, more: &str) -> Folder {
    let folder = Folder::with(&[Service::new("a")
        .weight(100.0)
        .kubernetes_source(source)
        .rest("[judge]\nmode = \"off\"\n")]);
    folder.add_to_process(&cluster.section(more));
    folder
}

fn proxy(cluster: &Cluster) -> Proxy {
    Proxy::start_in(folder_with(cluster, SOURCE, ""))
}

async fn source(proxy: &Proxy) -> Value {
    proxy.status("a").await["kubernetes"]["sources"][0].clone()
}

async fn standing(proxy: &Proxy, name: &str) -> u64 {
    source(proxy).await["standing"][name].as_u64().unwrap_or(0)
}

async fn stand(proxy: &Proxy, name: &str, count: u64) {
    eventually(&format!("{count} {name}"), async || standing(proxy, name).await == count).await;
}

/// Waits until a source's trouble has this in it.
async fn trouble(proxy: &Proxy, why: &str) {
    eventually(why, async || {
        source(proxy).await["trouble"].as_str().is_some_and(|trouble| trouble.contains(why))
    })
    .await;
}

async fn no_trouble(proxy: &Proxy) {
    eventually("no trouble", async || source(proxy).await["trouble"].is_null()).await;
}

async fn answers(proxy: &Proxy, name: &str) {
    eventually(name, async || proxy.get("a.test", "/").await.text() == name).await;
}

async fn is_ready(proxy: &Proxy) -> bool {
    proxy.ask(Method::GET, "/readyz", &Value::Null).await.status == 200
}

/// A cluster whose service has one endpoint, that serves.
async fn serving() -> (Cluster, Endpoint, Proxy) {
    let (cluster, endpoint) = (Cluster::start().await, Endpoint::named("first").await);
    cluster.put("a-1", endpoint.address.port(), &[ready("127.0.0.1", "u1")]);
    let proxy = proxy(&cluster);
    answers(&proxy, "first").await;
    (cluster, endpoint, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_found_by_name_by_number_or_because_it_is_the_only_one() {
    let (cluster, endpoint) = (Cluster::start().await, Endpoint::named("first").await);
    let port = endpoint.address.port();
    cluster.put("a-1", port, &[ready("127.0.0.1", "u1")]);
    for port in [r#", port = "http""#.to_owned(), format!(", port = \"{port}\""), String::new()] {
        let source = format!("{{ namespace = \"shop\", service = \"a\"{port} }}");
        answers(&Proxy::start_in(folder_with(&cluster, &source, "")), "first").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_not_there_is_told_with_those_that_are() {
    let cluster = Cluster::start().await;
    cluster.put("a-1", 8080, &[ready("127.0.0.1", "u1")]);
    let source = SOURCE.replace("http", "grpc");
    let proxy = Proxy::start_in(folder_with(&cluster, &source, ""));
    trouble(&proxy, "shop/a has no port grpc, but http (8080)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_stand_as_their_conditions_say() {
    let cluster = Cluster::start().await;
    let conditions = |ready, serving, terminating| json!({ "ready": ready, "serving": serving, "terminating": terminating });
    cluster.put(
        "a-1",
        8080,
        &[
            ready("127.0.0.1", "u1"),
            with("127.0.0.2", "u2", &Value::Null),
            with("127.0.0.3", "u3", &conditions(false, true, true)),
            with("127.0.0.4", "u4", &conditions(false, false, false)),
            with("127.0.0.5", "u5", &conditions(false, false, true)),
            with("127.0.0.6", "u6", &conditions(true, false, true)),
        ],
    );
    let proxy = proxy(&cluster);
    stand(&proxy, "live", 2).await;
    assert_eq!((standing(&proxy, "draining").await, standing(&proxy, "not-ready").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_moves_between_slices_in_either_order_stays() {
    let (cluster, endpoint, proxy) = serving().await;
    let port = endpoint.address.port();
    let (one, two) = (ready("127.0.0.1", "u1"), ready("127.0.0.2", "u2"));
    cluster.put("a-2", port, std::slice::from_ref(&two));
    stand(&proxy, "live", 2).await;
    // First there, then gone here.
    cluster.put("a-2", port, &[two.clone(), one.clone()]);
    cluster.put("a-1", port, &[]);
    cluster.bookmark();
    answers(&proxy, "first").await;
    // First gone here, then there.
    cluster.put("a-2", port, std::slice::from_ref(&two));
    cluster.put("a-1", port, std::slice::from_ref(&one));
    // What came after is seen, so what came before has been.
    cluster.put("a-3", port, &[with("127.0.0.9", "u9", &json!({ "ready": false }))]);
    stand(&proxy, "not-ready", 1).await;
    stand(&proxy, "live", 2).await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_is_followed_and_no_request_fails() {
    let (cluster, first, proxy) = serving().await;
    let second = Endpoint::named("second").await;
    cluster.put("a-2", second.address.port(), &[ready("127.0.0.1", "u2")]);
    stand(&proxy, "live", 2).await;
    let ending = json!({ "ready": false, "serving": true, "terminating": true });
    cluster.put("a-1", first.address.port(), &[with("127.0.0.1", "u1", &ending)]);
    stand(&proxy, "draining", 1).await;
    cluster.delete("a-1");
    stand(&proxy, "draining", 0).await;
    drop(first);
    for _ in 0..20 {
        assert_eq!(proxy.get("a.test", "/").await.text(), "second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_version_is_listed_anew_whether_told_as_status_or_as_event() {
    for gone in [Gone::Status, Gone::Event] {
        let (cluster, endpoint, proxy) = serving().await;
        cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
        stand(&proxy, "live", 2).await;
        // What happens meanwhile, a deletion too, nobody is told.
        cluster.fault(Some(Fault::Status(500, 0)));
        trouble(&proxy, "500").await;
        cluster.delete("a-2");
        cluster.forget(gone);
        cluster.fault(None);
        stand(&proxy, "live", 1).await;
        no_trouble(&proxy).await;
        assert!(cluster.asked("sendInitialEvents") >= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ends_or_is_cut_short_goes_on_where_it_was() {
    for cut in [Cut::Clean, Cut::Short] {
        let (cluster, endpoint, proxy) = serving().await;
        cluster.cut(cut);
        cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
        stand(&proxy, "live", 2).await;
        assert_eq!(cluster.asked("sendInitialEvents"), 1, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_stream_lists_is_asked_for_pages() {
    let (cluster, endpoint) = (Cluster::start().await, Endpoint::named("first").await);
    cluster.lists_only(2);
    for number in 1..=5 {
        cluster.put(
            &format!("a-{number}"),
            endpoint.address.port(),
            &[ready(&format!("127.0.0.{number}"), &format!("u{number}"))],
        );
    }
    let proxy = proxy(&cluster);
    stand(&proxy, "live", 5).await;
    assert_eq!((cluster.asked("sendInitialEvents"), cluster.asked("continue=")), (1, 2));
    cluster.delete("a-5");
    stand(&proxy, "live", 4).await;
    cluster.forget(Gone::Status);
    cluster.delete("a-4");
    stand(&proxy, "live", 3).await;
    assert_eq!(cluster.asked("sendInitialEvents"), 1, "what it cannot do is asked once");
}

async fn trouble_takes_nothing_away(code: u16, wait_s: u32) {
    let (cluster, endpoint, proxy) = serving().await;
    cluster.fault(Some(Fault::Status(code, wait_s)));
    trouble(&proxy, &code.to_string()).await;
    let said = source(&proxy).await;
    assert!(said["age_s"].is_number() && said["trouble_s"].is_number(), "{said}");
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
    cluster.fault(None);
    no_trouble(&proxy).await;
    cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
    stand(&proxy, "live", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forbids_takes_nothing_away() {
    trouble_takes_nothing_away(403, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_know_us_takes_nothing_away() {
    trouble_takes_nothing_away(401, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_asked_too_often_takes_nothing_away_and_is_left_alone_as_it_asks() {
    trouble_takes_nothing_away(429, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_takes_nothing_away() {
    trouble_takes_nothing_away(500, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_changed_is_read_again_when_the_old_one_is_refused() {
    let (cluster, endpoint, proxy) = serving().await;
    cluster.want_token("token-2");
    trouble(&proxy, "401").await;
    cluster.put_token("token-2");
    no_trouble(&proxy).await;
    cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
    stand(&proxy, "live", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_not_believed() {
    let (cluster, _endpoint, proxy) = serving().await;
    cluster.delete("a-1");
    eventually("doubt", async || source(&proxy).await["doubted_s"].is_number()).await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_slices_is_known_to_have_no_endpoint() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster);
    eventually("ready", async || is_ready(&proxy).await).await;
    assert!(source(&proxy).await["age_s"].is_number());
    let endpoint = Endpoint::named("first").await;
    cluster.put("a-1", endpoint.address.port(), &[ready("127.0.0.1", "u1")]);
    answers(&proxy, "first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_server_is_down_serves_from_what_was_kept() {
    let (mut cluster, endpoint, proxy) = serving().await;
    let state = proxy.folder.state();
    eventually("kept", async || is_written(&state, &endpoint.address.port().to_string())).await;
    let folder = proxy.end().await;
    cluster.down();
    let proxy = Proxy::start_in(folder);
    assert!(is_ready(&proxy).await);
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
    eventually("trouble", async || source(&proxy).await["trouble"].is_string()).await;
    // It comes back elsewhere, as the kubeconfig says by then.
    cluster.up().await;
    no_trouble(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_nobody_is_ready_before_the_server_has_spoken() {
    let mut cluster = Cluster::start().await;
    cluster.down();
    let proxy = proxy(&cluster);
    eventually("trouble", async || source(&proxy).await["trouble"].is_string()).await;
    assert!(!is_ready(&proxy).await);
    let endpoint = Endpoint::named("first").await;
    cluster.put("a-1", endpoint.address.port(), &[ready("127.0.0.1", "u1")]);
    cluster.up().await;
    eventually("ready", async || is_ready(&proxy).await).await;
    answers(&proxy, "first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_another_instance_has_got_starts_clean() {
    let (cluster, endpoint, proxy) = serving().await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
    let state = proxy.folder.state();
    cluster.put("a-1", endpoint.address.port(), &[ready("127.0.0.1", "u-next")]);
    eventually("the next one is kept", async || is_written(&state, "u-next")).await;
    let before = endpoint.connections();
    eventually("a new connection", async || {
        assert_eq!(proxy.get("a.test", "/").await.text(), "first");
        endpoint.connections() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_both_families_an_endpoint_is_asked_by_one() {
    let (cluster, endpoint, proxy) = serving().await;
    let ports = json!([{ "name": "http", "port": endpoint.address.port() }]);
    cluster.put_raw("a-6", "IPv6", &ports, &[ready("::1", "u1"), ready("fd00::2", "u2")]);
    stand(&proxy, "live", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_meant_for_our_zone_is_asked() {
    let cluster = Cluster::start().await;
    let (near, far) = (Endpoint::named("near").await, Endpoint::named("far").await);
    for (name, endpoint, zone) in [("a-1", &near, "b"), ("a-2", &far, "c")] {
        let mut member = ready("127.0.0.1", name);
        member["hints"] = json!({ "forZones": [{ "name": zone }] });
        cluster.put(name, endpoint.address.port(), &[member]);
    }
    let proxy = Proxy::start_in(folder_with(&cluster, SOURCE, "zone = \"b\""));
    answers(&proxy, "near").await;
    for _ in 0..10 {
        assert_eq!(proxy.get("a.test", "/").await.text(), "near");
    }
    assert_eq!(far.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_history_and_some_slices_is_listed_anew() {
    let (mut cluster, endpoint, proxy) = serving().await;
    cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
    stand(&proxy, "live", 2).await;
    cluster.down();
    eventually("trouble", async || source(&proxy).await["trouble"].is_string()).await;
    cluster.delete("a-2");
    cluster.forget(Gone::Event);
    cluster.up().await;
    stand(&proxy, "live", 1).await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
}

/// It never says 410, and never anything else: the version that is known lies in its future.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restored_from_a_copy_is_listed_anew() {
    let (cluster, endpoint, proxy) = serving().await;
    cluster.put("a-2", endpoint.address.port(), &[ready("127.0.0.2", "u2")]);
    stand(&proxy, "live", 2).await;
    cluster.restore("a-2");
    let watches = || cluster.asked("watch");
    // The first of them had told something.
    for _ in 0..4 {
        let before = watches();
        cluster.cut(Cut::Clean);
        eventually("another watch", async || watches() > before).await;
    }
    stand(&proxy, "live", 1).await;
    assert_eq!(proxy.get("a.test", "/").await.text(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_any_more_about_a_service_that_has_other_endpoints_now() {
    let (cluster, _endpoint, proxy) = serving().await;
    let fixed = Endpoint::named("fixed").await;
    proxy.folder.write(&Service::new("a").weight(100.0).kubernetes(fixed.address));
    answers(&proxy, "fixed").await;
    proxy
        .folder
        .write(&Service::new("a").weight(100.0).kubernetes_source(SOURCE).rest("[judge]\nmode = \"off\"\n"));
    answers(&proxy, "first").await;
    assert_eq!(cluster.asked("sendInitialEvents"), 2);
}
