//! Which side serves whom.

use http::{HeaderName, HeaderValue, Method};
use serde_json::json;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::Endpoint;
use crate::support::proxy::{Proxy, Service};

async fn sides() -> (Endpoint, Endpoint) {
    (Endpoint::named("helios").await, Endpoint::named("kubernetes").await)
}

/// Asks as these users, and tells which side served each.
async fn served(proxy: &Proxy, header: &'static str, users: &[String]) -> Vec<String> {
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    let mut sides = Vec::new();
    for user in users {
        let mut sent = request(Over::Http1, Method::GET, "a.test", "/", "");
        sent.headers_mut().insert(HeaderName::from_static(header), HeaderValue::from_str(user).unwrap());
        sides.push(client.send(sent).await.text().to_owned());
    }
    sides
}

async fn set_weight(proxy: &Proxy, percent: f64) {
    let body = json!({ "percent": percent, "reason": "test" });
    let got = proxy.ask(Method::PUT, "/v1/services/a/weight", &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|user| format!("user-{user}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hundred_requests_on_a_worker_have_their_exact_share() {
    let (helios, kubernetes) = sides().await;
    let service = Service::new("a").weight(5.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service]);
    // One connection is one worker's.
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for hundred in 1..=10 {
        let before = kubernetes.hits();
        for _ in 0..100 {
            assert_eq!(client.get("a.test", "/").await.status, 200);
        }
        let on = kubernetes.hits() - before;
        assert!((4..=6).contains(&on), "{on} of the {hundred}th hundred");
    }
    assert_eq!(kubernetes.hits(), 50);
}

/// istio#13908 and argo#4752: a changed weight takes effect at the next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_weight_is_in_force_when_the_answer_says_so() {
    let (helios, kubernetes) = sides().await;
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address).kubernetes(kubernetes.address)]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for round in 0..20 {
        let (percent, side) = if round % 2 == 0 { (100.0, "kubernetes") } else { (0.0, "helios") };
        set_weight(&proxy, percent).await;
        for _ in 0..10 {
            assert_eq!(client.get("a.test", "/").await.text(), side);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_one_side_and_raising_the_weight_moves_users_only_toward_kubernetes() {
    let (helios, kubernetes) = sides().await;
    for (sticky, header, user) in [
        ("sticky = { header = \"x-user-id\" }", "x-user-id", "{}"),
        ("sticky = { cookie = \"session\" }", "cookie", "a=b; session={}"),
    ] {
        let service = Service::new("a").helios(helios.address).kubernetes(kubernetes.address).split(sticky);
        let proxy = Proxy::start(&[service]);
        let users: Vec<String> = users(200).iter().map(|name| user.replace("{}", name)).collect();
        let mut before = served(&proxy, header, &users).await;
        assert!(before.iter().all(|side| side == "helios"));
        for percent in [10.0, 30.0, 30.0, 70.0, 100.0] {
            set_weight(&proxy, percent).await;
            let now = served(&proxy, header, &users).await;
            let on = now.iter().filter(|side| *side == "kubernetes").count() as f64 / 200.0;
            assert!((on - percent / 100.0).abs() < 0.12, "{on} of the users at {percent}");
            for (user, (was, is)) in users.iter().zip(before.iter().zip(&now)) {
                assert!(!(was == "kubernetes" && is == "helios"), "{user} went back at {percent}");
            }
            before = now;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_the_same_side_on_every_instance_and_after_a_restart() {
    let (helios, kubernetes) = sides().await;
    let service = || {
        let sticky = "sticky = { header = \"x-user-id\" }";
        Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address).split(sticky)
    };
    let (one, other) = (Proxy::start(&[service()]), Proxy::start(&[service()]));
    let first = served(&one, "x-user-id", &users(100)).await;
    assert_eq!(first, served(&other, "x-user-id", &users(100)).await);
    let folder = one.end().await;
    let again = Proxy::start_in(folder);
    assert_eq!(first, served(&again, "x-user-id", &users(100)).await);
    assert!(first.contains(&"helios".to_owned()) && first.contains(&"kubernetes".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_address_can_be_what_sticks() {
    let (helios, kubernetes) = sides().await;
    let sticky = "sticky = { client-address = true }";
    let service =
        Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address).split(sticky);
    let proxy = Proxy::start(&[service]);
    for _ in 0..50 {
        proxy.get("a.test", "/").await;
    }
    assert!(helios.hits() == 50 || kubernetes.hits() == 50, "one address, one side");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_callers_choose_the_side() {
    let (helios, kubernetes) = sides().await;
    for (from, trusted) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let force = format!("force = {{ header = \"x-side\", from = [\"{from}\"] }}");
        let service = Service::new("a").helios(helios.address).kubernetes(kubernetes.address).split(&force);
        let proxy = Proxy::start(&[service]);
        let wanted = ["kubernetes", "helios", "Kubernetes", "nowhere"].map(str::to_owned);
        let got = served(&proxy, "x-side", &wanted).await;
        let expected = if trusted { ["kubernetes", "helios", "kubernetes", "helios"] } else { ["helios"; 4] };
        assert_eq!(got, expected, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forced_is_no_evidence_and_is_not_rescued() {
    let helios = Endpoint::named("helios").await;
    let kubernetes = Endpoint::status(500).await;
    let force = "force = { header = \"x-side\", from = [\"127.0.0.1\"] }";
    let service =
        Service::new("a").weight(1.0).helios(helios.address).kubernetes(kubernetes.address).split(force);
    let proxy = Proxy::start(&[service]);
    let wanted: Vec<String> = vec!["kubernetes".to_owned(); 400];
    let got = served(&proxy, "x-side", &wanted).await;
    assert!(got.iter().all(|text| text == "as told"), "who asks for Kubernetes gets its answer");
    proxy.counted("switchback_tries_total", &["side=\"kubernetes\"", "outcome=\"status\""], 400.0).await;
    assert_eq!(proxy.status("a").await["evidence"], 0.0);
}
