//! Keys at the address of an identity provider: they change, and it may be down.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::issuer::{AUDIENCE, ISSUER, Key, claims, published};
use crate::support::tls::{Authority, TlsServer, endpoint};

use super::world::{Guest, Wire, World, entry, known, token};

/// An identity provider over HTTPS.
struct Provider {
    endpoint: Endpoint,
    authority: Authority,
    folder: TempDir,
    /// What it answers, and how often it was asked.
    says: Arc<Mutex<(u16, String, usize)>>,
}

impl Provider {
    async fn start(keys: &[&Key]) -> Self {
        let authority = Authority::new("login");
        let says = Arc::new(Mutex::new((200, published(keys.iter().copied()), 0)));
        let telling = says.clone();
        let tls = TlsServer { pair: authority.sign(&["localhost"]), alpn: &["http/1.1"], clients: None };
        let endpoint = endpoint(tls, move |request| {
            let mut says = telling.lock().unwrap();
            says.2 += 1;
            assert_eq!(request.uri().path(), "/keys");
            let answered = answer(says.0, says.1.clone());
            async move { answered }
        })
        .await;
        Self { endpoint, authority, folder: tempfile::tempdir().unwrap(), says }
    }

    fn publish(&self, keys: &[&Key]) {
        self.says.lock().unwrap().1 = published(keys.iter().copied());
    }

    fn asked(&self) -> usize {
        self.says.lock().unwrap().2
    }

    /// The program, which believes this provider.
    async fn world(&self) -> World {
        let authorities = self.folder.path().join("login.pem");
        self.authority.write(&authorities);
        let rights = format!(
            "{}[people.\"anna@test\"]\nrole = \"viewer\"\n[oidc]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n\
             keys = \"https://localhost:{}/keys\"\nauthorities = \"{}\"\n",
            entry("ci", "role = \"viewer\"", 1),
            self.endpoint.address.port(),
            authorities.display()
        );
        World::start(Wire::Plain, &rights).await
    }
}

fn anna(key: &Key) -> Guest {
    Guest::bearing(&key.sign("ES256", &claims("anna@test", &[])))
}

async fn faults(world: &World) -> String {
    let process = world.get(&Guest::at_the_socket(), "/v1/process").await.json();
    process["rights_faults"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_new_is_asked_for_when_a_token_comes_that_is_signed_with_it() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = Provider::start(&[&old]).await;
    let world = provider.world().await;
    // The first may come while the keys are still on their way.
    assert_eq!(known(&world.get(&anna(&old), "/v1/whoami").await), json!(["anna@test", "oidc"]));
    let asked = provider.asked();
    provider.publish(&[&old, &new]);
    assert_eq!(known(&world.get(&anna(&new), "/v1/whoami").await), json!(["anna@test", "oidc"]));
    assert_eq!(known(&world.get(&anna(&old), "/v1/whoami").await), json!(["anna@test", "oidc"]));
    assert_eq!(provider.asked(), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_made_up_keys_asks_once() {
    let good = Key::p256("good");
    let provider = Provider::start(&[&good]).await;
    let world = provider.world().await;
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 200);
    let asked = provider.asked();
    for number in 0..60 {
        let made_up = anna(&Key::p256(&format!("made-up-{number}"))).from(10 + number);
        let got = world.get(&made_up, "/v1/whoami").await;
        assert_eq!(got.status, 401, "{}", got.text());
    }
    assert_eq!(provider.asked(), asked + 1, "once a minute, whoever asks");
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_or_talks_nonsense_keeps_nobody_out_who_was_known() {
    let good = Key::p256("good");
    let provider = Provider::start(&[&good]).await;
    let world = provider.world().await;
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 200);
    *provider.says.lock().unwrap() = (500, "no".to_owned(), 0);
    assert_eq!(world.get(&anna(&Key::p256("x")), "/v1/whoami").await.status, 401, "it is asked now");
    eventually("it is told", async || faults(&world).await.contains("answers 500")).await;
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 200, "the last good keys stay");
    drop(provider);
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_keys_a_signed_token_can_be_neither_right_nor_wrong() {
    let provider = Provider::start(&[]).await;
    let world = provider.world().await;
    let got = world.get(&anna(&Key::p256("x")), "/v1/whoami").await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (503, "5"), "{}", got.text());
    eventually("it is told", async || faults(&world).await.contains("has no key for RS256")).await;
    let got = world.get(&Guest::bearing(&token(1)), "/v1/whoami").await;
    assert_eq!(known(&got), json!(["ci", "token"]), "tokens of our own are another matter");
    assert!(world.entries("login-failed", 0).await.is_empty(), "it is held against nobody");
}

/// Who answers must be who is meant.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_from_nobody_else() {
    let good = Key::p256("good");
    let mut provider = Provider::start(&[&good]).await;
    provider.authority = Authority::new("another");
    let world = provider.world().await;
    assert_eq!(world.get(&anna(&good), "/v1/whoami").await.status, 503);
    eventually("it is told", async || faults(&world).await.contains("cannot be spoken to over TLS")).await;
    assert_eq!(provider.asked(), 0);
    let _: Value = world.get(&Guest::at_the_socket(), "/v1/process").await.json();
}
