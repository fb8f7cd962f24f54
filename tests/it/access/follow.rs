//! The rights file changes while the program runs, and connections stay open.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use switchback::app::{BuildError, build};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::issuer::{Key, claims, published};
use crate::support::proxy::{Folder, Service};

use super::world::{Guest, OWN, Wire, World, entry, known, provider, token};

async fn process(world: &World) -> Value {
    world.get(&Guest::at_the_socket(), "/v1/process").await.json()
}

async fn whoami(client: &mut Client, guest: &Guest) -> u16 {
    client.send(guest.request(Method::GET, "/v1/whoami", &Value::Null)).await.status.as_u16()
}

/// Waits until the history tells so often of rights that changed, or were refused; gives what it says last.
async fn told(world: &World, count: usize) -> (String, String) {
    let last = world.entries("rights-changed", count).await.pop().unwrap();
    (last["outcome"].as_str().unwrap().to_owned(), last["details"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_gets_in_and_who_is_revoked_is_out_on_the_same_connection() {
    for wire in [Wire::Plain, Wire::Tls] {
        let (ci, new) = (entry("ci", "role = \"operator\"", 1), entry("new", "role = \"viewer\"", 2));
        let world = World::start(wire, &ci).await;
        let (_, begun) = told(&world, 1).await;
        assert!(begun.starts_with("rights in force: 1 tokens; the file's fingerprint is "), "{begun}");
        let (one, two) = (Guest::bearing(&token(1)), Guest::bearing(&token(2)));
        let (mut of_one, mut of_two) =
            (world.connect(&one).await.unwrap(), world.connect(&two).await.unwrap());
        assert_eq!((whoami(&mut of_one, &one).await, whoami(&mut of_two, &two).await), (200, 401));

        world.write_rights(&format!("{ci}{new}"));
        let (outcome, text) = told(&world, 2).await;
        assert_eq!(outcome, "done");
        assert!(text.starts_with("rights changed: token new added: viewer over everything; "), "{text}");
        assert_eq!((whoami(&mut of_one, &one).await, whoami(&mut of_two, &two).await), (200, 200));

        world.write_rights(&new.replace("viewer", "operator"));
        let (_, text) = told(&world, 3).await;
        let changes = "rights changed: token new changed: viewer over everything → operator over everything; token ci removed; ";
        assert!(text.starts_with(changes), "{text}");
        assert_eq!((whoami(&mut of_one, &one).await, whoami(&mut of_two, &two).await), (401, 200));
        assert_eq!(whoami(&mut of_two, &one).await, 401, "it is the token that counts, not the connection");

        // The same name with another secret is another token.
        world.write_rights(&entry("new", "role = \"operator\"", 3));
        told(&world, 4).await;
        assert_eq!(whoami(&mut of_two, &two).await, 401);
        assert_eq!(whoami(&mut of_two, &Guest::bearing(&token(3))).await, 200);
        // Nothing secret is in any of it.
        let history = format!("{:?}", world.history().await);
        for number in 1..=3 {
            let whole = entry("x", "", number);
            let secrets = whole
                .lines()
                .filter_map(|line| line.split_once(" = "))
                .map(|(_, value)| value.trim_matches('"'));
            assert!(
                secrets.into_iter().all(|secret| !history.contains(secret))
                    && !history.contains(&token(number))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rights_file_changes_nothing_and_is_told_until_it_is_mended() {
    let ci = entry("ci", "role = \"operator\"", 1);
    let world = World::start(Wire::Plain, &ci).await;
    told(&world, 1).await;
    let guest = Guest::bearing(&token(1));
    let mut client = world.connect(&guest).await.unwrap();
    world
        .write_rights(&format!("{}\n[tokens.late]\nrole = \"boss\"\n", entry("new", "role = \"viewer\"", 2)));
    let (outcome, text) = told(&world, 2).await;
    assert_eq!(outcome, "refused");
    assert!(
        text.starts_with("the new rights are refused, the last good ones stay: 2 faults, first "),
        "{text}"
    );
    let faults = process(&world).await["rights_faults"].to_string();
    assert!(
        faults.contains("rights.toml:7:8: unknown value") && faults.contains("a token without its hash"),
        "{faults}"
    );
    assert_eq!(whoami(&mut client, &guest).await, 200, "the last good ones are in force, whole");
    assert_eq!(whoami(&mut client, &Guest::bearing(&token(2))).await, 401);
    let metrics = world.get(&guest, "/metrics").await;
    assert!(metrics.text().contains("switchback_rights_good 0"), "{}", metrics.text());
    assert!(metrics.text().contains("switchback_login_failures_total 1"), "{}", metrics.text());

    // As it was before; and then gone, as if by accident.
    world.write_rights(&ci);
    assert_eq!(
        told(&world, 3).await,
        ("done".to_owned(), "the rights file is the last good one again".to_owned())
    );
    assert_eq!(process(&world).await["rights_faults"], json!([]));
    std::fs::remove_file(world.path("rights.toml")).unwrap();
    let (outcome, text) = told(&world, 4).await;
    assert!(outcome == "refused" && text.contains("rights.toml:1:1: cannot be read"), "{text}");
    assert_eq!(whoami(&mut client, &guest).await, 200);
    world.write_rights(&entry("other", "role = \"viewer\"", 2));
    assert!(told(&world, 5).await.1.contains("token ci removed"));
    assert_eq!(whoami(&mut client, &guest).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_services_do_not_keep_each_other_back() {
    let world = World::start(Wire::Plain, &entry("ci", "role = \"operator\"", 1)).await;
    told(&world, 1).await;
    let guest = Guest::bearing(&token(1));
    // A fault in a service's file, and a token is revoked.
    let service = world.proxy.folder.file(OWN);
    let good = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, "team = 7\n").unwrap();
    eventually("the fault is told", async || process(&world).await["configuration_faults"] != json!([]))
        .await;
    world.write_rights(&entry("new", "role = \"operator\"", 2));
    told(&world, 2).await;
    assert_eq!(world.get(&guest, "/v1/whoami").await.status, 401);
    // A fault in the rights file, and the service is mended.
    world.write_rights("[tokens.x]\n");
    assert_eq!(told(&world, 3).await.0, "refused");
    std::fs::write(&service, good.replace("kubernetes = 5.0", "kubernetes = 7.0")).unwrap();
    let guest = Guest::bearing(&token(2));
    eventually("the service's weight is the new one", async || {
        let status = world.get(&guest, &format!("/v1/services/{OWN}")).await.json();
        status["weight_percent"] == json!(7.0)
    })
    .await;
    let process = process(&world).await;
    assert_eq!((&process["configuration_faults"], &process["needs_restart"]), (&json!([]), &json!([])));
    assert_ne!(process["rights_faults"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_events_is_let_go_when_their_token_is_revoked() {
    let (one, two) = (entry("one", "role = \"viewer\"", 1), entry("two", "role = \"viewer\"", 2));
    let world = World::start(Wire::Plain, &format!("{one}{two}")).await;
    told(&world, 1).await;
    let guest = Guest::bearing(&token(1));
    let (_kept, head) = world.begin(&guest, "/v1/events").await;
    assert_eq!(head.status(), 200);
    let (_other, stays) = world.begin(&Guest::bearing(&token(2)), "/v1/events").await;
    let mut stays = stays.into_body();
    world.write_rights(&two);
    let said = head.into_body().collect().await.unwrap().to_bytes();
    let said = String::from_utf8(said.to_vec()).unwrap();
    assert!(said.contains("\"started\"") && !said.contains("token one removed"), "{said}");
    let mut seen = String::new();
    while !seen.contains("token one removed") {
        let data = stays.frame().await.unwrap().unwrap().into_data().unwrap();
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
}

/// Who does what is announced to those who see everything.
#[tokio::test(flavor = "multi_thread")]
async fn whose_rights_change_is_no_news_for_who_sees_one_team() {
    let scoped = entry("scoped", "role = \"viewer\"\nteams = [\"own-team\"]", 1);
    let world = World::start(Wire::Plain, &scoped).await;
    told(&world, 1).await;
    world.write_rights(&format!("{scoped}{}", entry("secret-name", "role = \"viewer\"", 2)));
    told(&world, 2).await;
    let body = json!({ "services": [OWN], "reason": "INC-1" });
    world.ask(&Guest::at_the_socket(), Method::POST, "/v1/revert", &body).await;
    let (_kept, head) = world.begin(&Guest::bearing(&token(1)), "/v1/events").await;
    let (mut body, mut seen) = (head.into_body(), String::new());
    while !seen.contains("\"reverted\"") {
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert!(!seen.contains("secret-name"), "{seen}");
}

/// The identity provider is part of it, and its keys' file is followed, too.
#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_file_are_followed_and_the_last_good_ones_stay() {
    let rights = format!("[people.\"anna@test\"]\nrole = \"viewer\"\n{}", provider());
    let world = World::start(Wire::Plain, &rights).await;
    told(&world, 1).await;
    let old = Guest::bearing(&Key::named("p256").sign("ES256", &claims("anna@test", &[])));
    let next = Key::p256("next");
    let new = Guest::bearing(&next.sign("ES256", &claims("anna@test", &[])));
    assert_eq!(known(&world.get(&old, "/v1/whoami").await), json!(["anna@test", "oidc"]));
    std::fs::write(world.path("jwks.json"), "{}").unwrap();
    eventually("the fault is told", async || {
        process(&world).await["rights_faults"].to_string().contains("jwks.json is no JSON Web Key Set")
    })
    .await;
    assert_eq!(world.get(&old, "/v1/whoami").await.status, 200);
    std::fs::write(world.path("jwks.json"), published([&next])).unwrap();
    eventually("the fault is gone", async || process(&world).await["rights_faults"] == json!([])).await;
    assert_eq!(world.get(&new, "/v1/whoami").await.status, 200);
    assert_eq!(world.get(&old, "/v1/whoami").await.status, 401);
    // Without the provider its people are nobody.
    world.write_rights(&entry("ci", "role = \"viewer\"", 1));
    let (_, text) = told(&world, 2).await;
    assert!(
        text.contains("identity provider https://login.test removed")
            && text.contains("person anna@test removed")
    );
    assert_eq!(world.get(&new, "/v1/whoami").await.status, 401);
}

#[test]
fn nothing_starts_with_rights_that_have_faults() {
    let folder = Folder::with(&[Service::new("a").helios(std::net::SocketAddr::from(([127, 0, 0, 1], 1)))]);
    folder.add_to_admin("rights = \"rights.toml\"");
    for (rights, fault) in
        [(None, "no rights file"), (Some("[tokens.x]\nrole = \"viewer\"\n"), "without its hash")]
    {
        if let Some(rights) = rights {
            std::fs::write(folder.path().join("rights.toml"), rights).unwrap();
        }
        let Err(BuildError::Config(faults)) = build(folder.path()) else { panic!("{fault}") };
        let text = switchback::config::render(&faults, false);
        assert!(text.contains(fault) && text.contains("rights.toml"), "{text}");
    }
}
