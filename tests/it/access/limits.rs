//! What strangers cannot do to others.

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::client::{Over, request, send};
use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::Authority;

use super::world::{Guest, Wire, World, entry, known, token};

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_too_often_is_not_looked_at_for_a_while_and_others_are() {
    for wire in [Wire::Plain, Wire::Tls] {
        let world = World::start(wire, &entry("ci", "role = \"viewer\"", 1)).await;
        let (bad, good) = (Guest::bearing(&token(9)).from(2), Guest::bearing(&token(1)));
        for _ in 0..10 {
            assert_eq!(world.get(&good.clone().from(2), "/v1/whoami").await.status, 200);
            assert_eq!(world.get(&bad, "/v1/whoami").await.status, 401);
        }
        // From there nothing is looked at any more, whatever is shown. Each six seconds are as good as one failure.
        for guest in [bad.clone(), good.clone().from(2), Guest::new().from(2)] {
            eventually("it is not looked at", async || {
                while world.get(&bad, "/v1/whoami").await.status != 429 {}
                let got = world.get(&guest, "/v1/whoami").await;
                assert_eq!(got.status != 429, got.header("retry-after").is_empty());
                let wait = got.header("retry-after").parse::<u64>().unwrap_or(1);
                assert!((1..=6).contains(&wait), "{}", got.text());
                got.status == 429 && got.header("content-type") == "application/problem+json"
            })
            .await;
        }
        assert_eq!(world.get(&bad, "/healthz").await.status, 200);
        assert_eq!(world.get(&good, "/v1/whoami").await.status, 200, "from another address");
        assert_eq!(world.get(&Guest::new(), "/v1/whoami").await.status, 401);
        let entries = world.entries("login-failed", 10).await;
        assert!(
            entries.iter().all(|entry| entry["from"] == "127.0.0.2"),
            "the eleventh is summed up: {entries:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_not_limited() {
    let world = World::start(Wire::Plain, &entry("ci", "role = \"viewer\"", 1)).await;
    for _ in 0..30 {
        assert_eq!(world.get(&Guest::bearing(&token(9)).socket(), "/v1/whoami").await.status, 401);
    }
    assert_eq!(world.get(&Guest::at_the_socket(), "/v1/whoami").await.status, 200);
    assert_eq!(world.entries("login-failed", 10).await.len(), 10);
}

/// Handshakes do not wait for each other, and a head that never ends keeps nobody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_keep_nobody_out() {
    for wire in [Wire::Plain, Wire::Tls] {
        let world = World::start(wire, &entry("ci", "role = \"viewer\"", 1)).await;
        let mut silent = Vec::new();
        for number in 0..300 {
            let mut stream = world.reach([127, 0, 0, 3].into()).await.unwrap();
            if number % 2 == 0 {
                let begun: &[u8] = if wire == Wire::Tls { b"\x16\x03\x01" } else { b"GET /v1/whoami HT" };
                stream.write_all(begun).await.unwrap();
            }
            silent.push(stream);
        }
        let got = world.get(&Guest::bearing(&token(1)), "/v1/whoami").await;
        assert_eq!(known(&got), json!(["ci", "token"]));
    }
}

/// A request takes nobody's place before it is there, and a stranger's is not read.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_take_nobodys_place() {
    let world = World::start(Wire::Plain, &entry("ci", "role = \"operator\"", 1)).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut stream = world.reach([127, 0, 0, 4].into()).await.unwrap();
        let head = format!(
            "POST /v1/preview HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{",
            token(1)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let guest = Guest::bearing(&token(1));
    assert_eq!(world.get(&guest, "/v1/services").await.status, 200);
    let large = json!({ "services": ["x".repeat(70_000)], "reason": "INC-1" });
    let got = world.ask(&guest, Method::POST, "/v1/revert", &large).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (413, "application/problem+json"));
}

/// With TLS and rights the interface may be where others reach it, and then it is asked for by any name.
#[tokio::test(flavor = "multi_thread")]
async fn with_tls_and_rights_it_may_leave_this_machine() {
    let endpoint = Endpoint::named("endpoint").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let site = Authority::new("site");
    site.sign(&["switchback.test"]).write(folder.path(), "admin");
    std::fs::write(folder.path().join("rights.toml"), entry("ci", "role = \"viewer\"", 1)).unwrap();
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let admin = "[admin]\nrights = \"rights.toml\"\naddress = \"0.0.0.0:0\"\n\
                 tls = { certificates = [{ chain = \"admin.pem\", key = \"admin.key\" }] }\n";
    folder.write_process(&text.replace("[admin]\naddress = \"127.0.0.1:0\"\n", admin));
    let proxy = Proxy::start_in(folder);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], proxy.admin.port()));
    let guest = Guest::bearing(&token(1));
    let ask = async |host: &str, origin: Option<&'static str>| {
        let (mut client, _) = site.client().connect(address, "switchback.test", Over::Http1).await.unwrap();
        let mut sent = guest.request(Method::GET, "/v1/whoami", &Value::Null);
        sent.headers_mut().insert("host", host.parse().unwrap());
        if let Some(origin) = origin {
            sent.headers_mut().insert("origin", origin.parse().unwrap());
        }
        client.send(sent).await.status.as_u16()
    };
    assert_eq!(ask("switchback.test:7070", None).await, 200);
    assert_eq!(ask("10.0.0.1", None).await, 200);
    assert_eq!(ask("switchback.test", Some("https://evil.test")).await, 403);
    // A new certificate is taken from its files, as with any listener.
    let before = site.client().connect(address, "switchback.test", Over::Http1).await.unwrap().1;
    let renewed = site.sign(&["switchback.test"]);
    renewed.write(proxy.folder.path(), "admin");
    eventually("the new certificate is shown", async || {
        let shown = site.client().connect(address, "switchback.test", Over::Http1).await;
        shown.is_ok_and(|(_, shown)| shown == renewed.certificate() && shown != before)
    })
    .await;
}

/// Without TLS the name that is asked for must be this machine's, also of who shows a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_resolves_to_this_machine_is_a_stranger_with_a_token_too() {
    let world = World::start(Wire::Plain, &entry("ci", "role = \"viewer\"", 1)).await;
    let mut sent = request(Over::Http1, Method::GET, "evil.test", "/v1/whoami", "");
    sent.headers_mut().insert("authorization", format!("Bearer {}", token(1)).parse().unwrap());
    assert_eq!(send(world.proxy.admin, sent).await.status, 403);
}
