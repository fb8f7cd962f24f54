//! By what somebody is known, and by what nobody is.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Group, User, geteuid};
use serde_json::{Value, json};

use crate::support::issuer::{Key, claims, now};
use crate::support::tls::{Authority, Pair};

use super::world::{Guest, Wire, World, entry, known, provider, token};

/// What is answered.
enum Expected {
    Known(&'static str, &'static str),
    /// The status, the error of RFC 6750, and what is said of it.
    Denied(u16, Option<&'static str>, &'static str),
}

use Expected::{Denied, Known};

const NO_TOKEN: Option<&str> = Some("invalid_token");

fn rights() -> String {
    [
        entry("ci", "role = \"operator\"", 1),
        entry("old", "role = \"operator\"\nexpires = \"2020-01-01\"", 2),
        entry("long", "role = \"viewer\"\nexpires = \"2999-12-31\"", 3),
        "[certificates.deployer]\nidentity = \"spiffe://test/deployer\"\nrole = \"operator\"\n".to_owned(),
        "[certificates.robot]\nidentity = \"robot.test\"\nrole = \"viewer\"\n".to_owned(),
        "[people.\"anna@test\"]\nrole = \"operator\"\n[groups.oncall]\nrole = \"admin\"\n".to_owned(),
        provider(),
    ]
    .concat()
}

/// Tokens of all kinds, with what becomes of who shows them.
fn tokens() -> Vec<(String, Expected)> {
    let anna = claims("anna@test", &[]);
    let with = |claim: &str, value: Value| {
        let mut changed = anna.clone();
        changed[claim] = value;
        Key::named("p256").sign("ES256", &changed)
    };
    let by = |key: &str, algorithm: &str| Key::named(key).sign(algorithm, &anna);
    let good = with("sub", json!("17"));
    let (message, _) = good.rsplit_once('.').unwrap();
    let (head, rest) = good.split_once('.').unwrap();
    let (other_head, _) =
        by("p384", "ES384").split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let unsigned = Key::named("p256").sign_head(&json!({ "alg": "none" }), &anna);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    let stranger = Key::p256("p256").sign("ES256", &anna);
    vec![
        (token(1), Known("ci", "token")),
        (token(3), Known("long", "token")),
        (token(2), Denied(401, NO_TOKEN, "the token old has expired")),
        (token(9), Denied(401, NO_TOKEN, "not known here")),
        (format!("{}x", token(1)), Denied(401, NO_TOKEN, "not known here")),
        ("sbt_".to_owned(), Denied(401, NO_TOKEN, "not known here")),
        (token(1)[4..].to_owned(), Denied(401, NO_TOKEN, "is no signed token")),
        ("x".to_owned(), Denied(401, NO_TOKEN, "is no signed token")),
        ("..".to_owned(), Denied(401, NO_TOKEN, "is no signed token")),
        ("x".repeat(17_000), Denied(400, Some("invalid_request"), "too long")),
        (good.clone(), Known("anna@test", "oidc")),
        (by("rsa", "RS256"), Known("anna@test", "oidc")),
        (by("rsa", "PS256"), Known("anna@test", "oidc")),
        (by("p384", "ES384"), Known("anna@test", "oidc")),
        (by("ed", "EdDSA"), Known("anna@test", "oidc")),
        (Key::named("ed").sign("EdDSA", &claims("bert@test", &["oncall"])), Known("bert@test", "oidc")),
        (with("exp", json!(now() - 50)), Known("anna@test", "oidc")),
        (with("aud", json!(["x", "switchback-test"])), Known("anna@test", "oidc")),
        (with("exp", json!(now() - 70)), Denied(401, NO_TOKEN, "has expired")),
        (with("exp", Value::Null), Denied(401, NO_TOKEN, "has no end")),
        (with("nbf", json!(now() + 90)), Denied(401, NO_TOKEN, "not good yet")),
        (with("aud", json!("other")), Denied(401, NO_TOKEN, "another audience")),
        (with("iss", json!("https://evil.test")), Denied(401, NO_TOKEN, "another issuer")),
        (
            with("email", json!("carl@test")),
            Denied(401, NO_TOKEN, "carl@test is known to the identity provider, but"),
        ),
        (with("email", Value::Null), Denied(401, NO_TOKEN, "claim email")),
        (with("email_verified", json!(false)), Denied(401, NO_TOKEN, "not verified")),
        (unsigned.to_owned(), Denied(401, NO_TOKEN, "is no signed token")),
        (format!("{unsigned}."), Denied(401, NO_TOKEN, "algorithm")),
        (Key::named("p256").sign_as_secret(&anna), Denied(401, NO_TOKEN, "algorithm")),
        (by("rsa", "ES256"), Denied(401, NO_TOKEN, "algorithm")),
        (by("p256", "RS256"), Denied(401, NO_TOKEN, "algorithm")),
        (by("p384", "ES256"), Denied(401, NO_TOKEN, "algorithm")),
        (by("rsa", "RS512"), Denied(401, NO_TOKEN, "algorithm")),
        (
            Key::p256("new").sign("ES256", &anna),
            Denied(401, NO_TOKEN, "a key that the identity provider does not have"),
        ),
        (stranger, Denied(401, NO_TOKEN, "signature")),
        (format!("{message}."), Denied(401, NO_TOKEN, "signature")),
        (format!("{other_head}.{rest}"), Denied(401, NO_TOKEN, "signature")),
        (format!("{head}{rest}"), Denied(401, NO_TOKEN, "is no signed token")),
    ]
}

/// Asks as each of them, and sees that those who are denied are in the history. A world has few failures in a minute before it
/// sums them up, so there are several.
async fn check(wire: Wire, cases: Vec<(Guest, Expected)>) {
    let (good, bad): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|(_, expected)| matches!(expected, Known(..)));
    let worlds = bad.chunks(10).count().max(1);
    let mut bad = bad.into_iter();
    let mut good = good.into_iter();
    for number in 0..worlds {
        let world = World::start(wire, &rights()).await;
        if number == 0 {
            for (guest, expected) in good.by_ref() {
                let Known(name, via) = expected else { unreachable!() };
                assert_eq!(known(&world.get(&guest, "/v1/whoami").await), json!([name, via]));
            }
        }
        let mut told = Vec::new();
        for (guest, expected) in bad.by_ref().take(10) {
            let Denied(status, error, says) = expected else { unreachable!() };
            let got = world.get(&guest, "/v1/services").await;
            let text = got.text().to_owned();
            assert_eq!(got.status, status, "{says}: {text}");
            assert_eq!(got.header("content-type"), "application/problem+json");
            assert!(got.json()["detail"].as_str().unwrap().contains(says), "{says}: {text}");
            let challenge = got.header("www-authenticate");
            let wanted = match error {
                Some(error) => format!("Bearer realm=\"switchback\", error=\"{error}\""),
                None => "Bearer realm=\"switchback\"".to_owned(),
            };
            assert_eq!(challenge, wanted, "{says}");
            told.push((guest.origin(), says));
        }
        let entries = world.entries("login-failed", told.len()).await;
        for (entry, (from, says)) in entries.iter().zip(told) {
            assert_eq!((&entry["outcome"], &entry["from"]), (&json!("refused"), &json!(from)), "{entry}");
            let details = entry["details"].as_str().unwrap();
            assert!(details.starts_with("GET /v1/services: ") && details.contains(says), "{says}: {details}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_held_against_its_entry_or_its_provider_over_every_wire() {
    for wire in [Wire::Plain, Wire::Tls] {
        check(
            wire,
            tokens().into_iter().map(|(token, expected)| (Guest::bearing(&token), expected)).collect(),
        )
        .await;
    }
    let at_the_socket =
        tokens().into_iter().map(|(token, expected)| (Guest::bearing(&token).socket(), expected));
    check(Wire::Plain, at_the_socket.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_or_something_else_is_a_stranger() {
    let malformed = |guest: Guest| (guest, Denied(400, Some("invalid_request"), "the Authorization header"));
    let cases = vec![
        (Guest::new(), Denied(401, None, "nothing says who asks")),
        malformed(Guest::new().authorization("Basic YTpi")),
        malformed(Guest::new().authorization("Bearer")),
        malformed(Guest::new().authorization(&format!("Bearer {} x", token(1)))),
        malformed(Guest::bearing(&token(1)).authorization(&format!("Bearer {}", token(1)))),
        (Guest::new().authorization(&format!("bearer {}", token(1))), Known("ci", "token")),
    ];
    check(Wire::Plain, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_held_against_its_entry() {
    let world = World::start(Wire::Tls, &rights()).await;
    let sign = |names: &[&str]| world.clients.sign(names);
    let robot = sign(&["robot.test"]);
    for (pair, name) in [
        (sign(&["spiffe://test/deployer"]), "deployer"),
        (sign(&["x.test", "Robot.Test"]), "robot"),
        (robot.clone(), "robot"),
    ] {
        let guest = Guest::new().showing(&pair);
        assert_eq!(known(&world.get(&guest, "/v1/whoami").await), json!([name, "certificate"]));
    }
    // It goes before a token; and who is known by none of their certificates may be by a token.
    let both = Guest::bearing("sbt_wrong").showing(&robot);
    assert_eq!(known(&world.get(&both, "/v1/whoami").await), json!(["robot", "certificate"]));
    let unknown = sign(&["spiffe://test/deployer2"]);
    let by_token = Guest::bearing(&token(1)).showing(&unknown);
    assert_eq!(known(&world.get(&by_token, "/v1/whoami").await), json!(["ci", "token"]));

    let two = sign(&["spiffe://test/deployer", "spiffe://test/other"]);
    for (pair, says) in [
        (unknown, "the client certificate of spiffe://test/deployer2 is in no entry"),
        (sign(&["*.test"]), "the client certificate of *.test is in no entry"),
        (two, "the client certificate of nobody is in no entry"),
    ] {
        let got = world.get(&Guest::new().showing(&pair), "/v1/services").await;
        assert_eq!(
            (got.status.as_u16(), got.header("www-authenticate")),
            (401, "Bearer realm=\"switchback\"")
        );
        assert!(got.text().contains(says), "{}", got.text());
    }
    let entries = world.entries("login-failed", 3).await;
    assert!(entries[0]["details"].as_str().unwrap().contains("spiffe://test/deployer2"), "{entries:?}");

    // Whoever else has signed it, and whatever has ended, is told so by TLS.
    let forged = Authority::new("clients").sign(&["spiffe://test/deployer"]);
    let ended = world.clients.sign_until(&["spiffe://test/deployer"], (2020, 1, 1));
    for pair in [forged, ended] {
        assert!(is_refused(&world, &pair).await);
    }
}

/// With TLS 1.3 a client learns only when it reads that its certificate is refused.
async fn is_refused(world: &World, pair: &Pair) -> bool {
    let guest = Guest::new().showing(pair);
    let Ok(mut client) = world.connect(&guest).await else { return true };
    client.try_send(guest.request(http::Method::GET, "/v1/whoami", &Value::Null)).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_switchback_is_its_admin_at_the_socket_whatever_the_rights_say() {
    let me = User::from_uid(geteuid()).unwrap().unwrap().name;
    let world = World::start(Wire::Plain, &format!("[users.{me}]\nrole = \"viewer\"\n")).await;
    let got = world.get(&Guest::at_the_socket(), "/v1/whoami").await;
    assert_eq!(known(&got), json!([me, "user"]));
    assert_eq!(got.json()["grants"][0]["role"], "admin");
    let body = json!({ "all": true, "reason": "INC-1" });
    let reverted = world.ask(&Guest::at_the_socket(), http::Method::POST, "/v1/revert", &body).await;
    assert_eq!(reverted.status, 200, "{}", reverted.text());
}

/// Other users of the machine. Only `root` can become one: for anybody else there is nothing to see here.
#[tokio::test(flavor = "multi_thread")]
async fn other_users_of_the_machine_need_an_entry_and_a_socket_that_lets_them_in() {
    if !geteuid().is_root() {
        return;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let group = Group::from_gid(nobody.gid).unwrap().unwrap().name;
    for (rights, roles) in [
        ("[users.somebody-else]\nrole = \"viewer\"\n".to_owned(), None),
        ("[users.nobody]\nrole = \"viewer\"\n".to_owned(), Some(vec!["viewer"])),
        (format!("[unix-groups.{group}]\nrole = \"operator\"\n"), Some(vec!["operator"])),
        (
            format!("[users.nobody]\nrole = \"viewer\"\n[unix-groups.{group}]\nrole = \"operator\"\n"),
            Some(vec!["viewer", "operator"]),
        ),
    ] {
        let open = tempfile::tempdir().unwrap();
        std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let socket = open.path().join("admin.sock");
        let admin = format!("socket = {socket:?}\nsocket-mode = \"0666\"");
        let world = World::start_with(Wire::Plain, &rights, &admin, "").await;
        let mut curl = Command::new("curl");
        curl.args(["-s", "--unix-socket", &socket.display().to_string(), "http://localhost/v1/whoami"]);
        curl.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
        let output = tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        match roles {
            None => {
                assert_eq!(answer["status"], 401, "{answer}");
                let root = Command::new("curl")
                    .args([
                        "-s",
                        "--unix-socket",
                        &socket.display().to_string(),
                        "http://localhost/v1/history",
                    ])
                    .output()
                    .unwrap();
                let history: Value = serde_json::from_slice(&root.stdout).unwrap();
                let failed = history.as_array().unwrap().iter().find(|entry| entry["deed"] == "login-failed");
                let failed = failed.unwrap();
                assert_eq!(failed["from"], "unix");
                assert!(failed["details"].as_str().unwrap().contains("nobody of this machine"), "{failed}");
            }
            Some(roles) => {
                assert_eq!((&answer["name"], &answer["via"]), (&json!("nobody"), &json!("user")));
                let granted: Vec<&str> = answer["grants"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|grant| grant["role"].as_str().unwrap())
                    .collect();
                assert_eq!(granted, roles);
            }
        }
        drop(world);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_it_is_well_is_told_to_everybody() {
    let world = World::start(Wire::Tls, &rights()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(&Guest::bearing("wrong"), path).await.status, 200, "{path}");
    }
    // Also not whether there is such a path.
    for path in ["/", "/v2", "/v1/services/nobody", "/metrics", "/healthz/"] {
        assert_eq!(world.get(&Guest::new(), path).await.status, 401, "{path}");
    }
    assert_eq!(world.get(&Guest::bearing(&token(1)), "/v2").await.status, 404);
}
