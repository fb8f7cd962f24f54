//! Who may do what, in full: every call of the API, by everybody.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::issuer::{Key, claims};

use super::world::{Guest, OTHER, OTHER_TEAM, OWN, OWN_TEAM, Wire, World, entry, provider, token};

/// What a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Nothing: who one is need not be known.
    Nothing,
    /// To be somebody.
    Somebody,
    /// A role, over something.
    Anything(Role),
    /// A role over the service, or over the whole team, that the call is about.
    There(Role),
    /// A role over everything.
    Everything(Role),
}

use Role::{Admin, Operator, Viewer};
use Takes::{Anything, Everything, Nothing, Somebody, There};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Viewer,
    Operator,
    Admin,
}

/// A call: as the program knows it, what it takes, what the history calls it, and a body.
struct Row {
    method: Method,
    path: &'static str,
    takes: Takes,
    deed: &'static str,
    /// What is asked of a service of a team.
    body: fn(service: &str, team: &str) -> Value,
    query: &'static str,
}

/// Every call, some with several bodies. One that is missing here fails the test.
fn table() -> Vec<Row> {
    looks().into_iter().chain(changes_of_one()).chain(changes_of_many()).collect()
}

fn looks() -> Vec<Row> {
    let looked = |path, takes| row(Method::GET, path, takes, "looked", |_, _| Value::Null);
    let foreseen = |takes, body| row(Method::POST, "/v1/preview", takes, "looked", body);
    vec![
        looked("/healthz", Nothing),
        looked("/readyz", Nothing),
        looked("/v1/openapi.json", Nothing),
        looked("/metrics", Everything(Viewer)),
        looked("/v1/process", Anything(Viewer)),
        looked("/v1/whoami", Somebody),
        looked("/v1/services", Anything(Viewer)),
        looked("/v1/services/{name}", There(Viewer)),
        looked("/v1/services/{name}/readiness", There(Viewer)),
        looked("/v1/services/{name}/receipt", There(Viewer)),
        looked("/v1/services/{name}/receipts", There(Viewer)),
        looked("/v1/services/{name}/receipts/{reverted_unix_ms}", There(Viewer)),
        looked("/v1/services/{name}/sensitivity", There(Viewer)),
        looked("/v1/services/{name}/calibration", There(Viewer)),
        looked("/v1/webhooks", Everything(Viewer)),
        looked("/v1/migration", Anything(Viewer)),
        looked("/v1/history", Anything(Viewer)),
        Row { query: "?service={name}", ..looked("/v1/history", There(Viewer)) },
        looked("/v1/history/verification", Everything(Admin)),
        looked("/v1/events", Anything(Viewer)),
        foreseen(There(Viewer), |service, _| json!({ "weight": { "service": service, "percent": 1.0 } })),
        foreseen(There(Viewer), |_, team| json!({ "revert": { "team": team } })),
        foreseen(Everything(Viewer), |_, _| json!({ "revert": { "all": true } })),
    ]
}

fn changes_of_one() -> Vec<Row> {
    let because =
        |method, path, deed| row(method, path, There(Operator), deed, |_, _| json!({ "reason": "INC-1" }));
    vec![
        row(
            Method::PUT,
            "/v1/services/{name}/weight",
            There(Operator),
            "weight-set",
            |_, _| json!({ "percent": 1.0, "reason": "INC-1" }),
        ),
        because(Method::DELETE, "/v1/services/{name}/weight", "override-cleared"),
        row(
            Method::POST,
            "/v1/services/{name}/release",
            There(Operator),
            "released",
            |_, _| json!({ "to_percent": 1.0, "reason": "INC-1" }),
        ),
        because(Method::POST, "/v1/services/{name}/ramp", "ramp-started"),
        because(Method::DELETE, "/v1/services/{name}/ramp", "ramp-stopped"),
        because(Method::POST, "/v1/services/{name}/migration", "migrated"),
        because(Method::POST, "/v1/services/{name}/approval", "approved"),
        because(Method::DELETE, "/v1/services/{name}/approval", "approval-ended"),
        because(Method::POST, "/v1/services/{name}/calibration", "calibration-started"),
        because(Method::DELETE, "/v1/services/{name}/calibration", "calibration-stopped"),
    ]
}

fn changes_of_many() -> Vec<Row> {
    let of = |path, deed| {
        let row = |takes, body| row(Method::POST, path, takes, deed, body);
        [
            row(There(Operator), |service, _| json!({ "services": [service], "reason": "INC-1" })),
            row(There(Operator), |_, team| json!({ "team": team, "reason": "INC-1" })),
            row(Everything(Operator), |_, _| json!({ "cluster": "gew1", "reason": "INC-1" })),
            row(Everything(Operator), |_, _| json!({ "all": true, "reason": "INC-1" })),
        ]
    };
    let calls = [
        ("/v1/revert", "reverted"),
        ("/v1/ramps/pause", "ramp-paused"),
        ("/v1/ramps/resume", "ramp-resumed"),
    ];
    let told = row(
        Method::POST,
        "/v1/webhooks/{name}/test",
        Everything(Admin),
        "webhook-tested",
        |_, _| json!({ "reason": "INC-1" }),
    );
    calls.into_iter().flat_map(|(path, deed)| of(path, deed)).chain([told]).collect()
}

fn row(
    method: Method,
    path: &'static str,
    takes: Takes,
    deed: &'static str,
    body: fn(&str, &str) -> Value,
) -> Row {
    Row { method, path, takes, deed, body, query: "" }
}

/// Somebody who may something.
struct Person {
    name: String,
    via: &'static str,
    role: Role,
    /// Whether it holds for everything, or for one team only.
    everywhere: bool,
    guest: Guest,
}

/// Everybody, with the rights that make them so.
fn everybody(rights: &mut String) -> Vec<(Person, Option<String>)> {
    let mut people = Vec::new();
    let mut number = 0;
    for (role, word) in [(Viewer, "viewer"), (Operator, "operator"), (Admin, "admin")] {
        for everywhere in [false, true] {
            let lines =
                format!("role = \"{word}\"\n{}", if everywhere { "" } else { "teams = [\"own-team\"]\n" });
            let name = format!("{word}-{}", if everywhere { "everywhere" } else { "own" });
            number += 1;
            let person =
                |name: &str, via, guest| Person { name: name.to_owned(), via, role, everywhere, guest };
            let token_name = format!("token-{name}");
            *rights += &entry(&token_name, &lines, number);
            people.push((person(&token_name, "token", Guest::bearing(&token(number))), None));

            let identity = format!("spiffe://test/{name}");
            let certificate_name = format!("certificate-{name}");
            let _ = write!(rights, "[certificates.{certificate_name}]\nidentity = \"{identity}\"\n{lines}");
            people.push((person(&certificate_name, "certificate", Guest::new()), Some(identity)));

            let mail = format!("{name}@test");
            let _ = write!(rights, "[people.\"{mail}\"]\n{lines}");
            let signed = Key::named("p256").sign("ES256", &claims(&mail, &[]));
            people.push((person(&mail, "oidc", Guest::bearing(&signed)), None));
        }
    }
    *rights += &provider();
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_what_their_role_says_where_it_holds_and_nothing_else() {
    assert_eq!(OWN_TEAM, "own-team");
    let rows = table();
    let listed: BTreeSet<String> = rows.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    let known: BTreeSet<String> =
        switchback::app::calls().iter().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(listed, known, "each call of the API has a row");

    let mut rights = String::new();
    let people = everybody(&mut rights);
    let world = World::start(Wire::Tls, &rights).await;
    let mut denied = Vec::new();
    for (person, identity) in people {
        let guest = match identity {
            Some(identity) => person.guest.clone().showing(&world.clients.sign(&[&identity])),
            None => person.guest.clone(),
        };
        let mut client = world.connect(&guest).await.unwrap();
        for row in &rows {
            for (service, team) in [(OWN, OWN_TEAM), (OTHER, OTHER_TEAM)] {
                if ask(&world, &mut client, &guest, &person, row, (service, team)).await == 403 {
                    denied.push(refusal(&person, row, service));
                }
            }
        }
    }
    // Each change that was refused is in the history: who, by what, from where, and what. Questions are too, but for those of
    // somebody who asks again and again.
    let looks = |told: &String| told.contains("\"looked\"");
    let looked: BTreeSet<String> = denied.iter().filter(|told| looks(told)).cloned().collect();
    denied.retain(|told| !looks(told));
    assert!(denied.len() > 200, "{}", denied.len());
    let mut told: Vec<String> = Vec::new();
    eventually("all refusals are in the history", async || {
        told = world.history().await.iter().filter_map(refused).collect();
        told.iter().filter(|told| !looks(told)).count() >= denied.len()
    })
    .await;
    let (mut changes, looks): (Vec<String>, Vec<String>) = told.into_iter().partition(|told| !looks(told));
    denied.sort();
    changes.sort();
    assert_eq!(changes, denied);
    assert!(looks.len() >= 60 && looks.iter().all(|told| looked.contains(told)), "{looks:?}");
}

/// Asks for one thing, and sees that the answer is what the table says. Gives the status.
async fn ask(
    world: &World,
    client: &mut Client,
    guest: &Guest,
    person: &Person,
    row: &Row,
    (service, team): (&str, &str),
) -> u16 {
    let path =
        format!("{}{}", row.path, row.query).replace("{name}", service).replace("{reverted_unix_ms}", "1");
    let body = (row.body)(service, team);
    let what = format!("{} ({}): {} {path} {body}", person.name, person.via, row.method);
    let is_own = team == OWN_TEAM;
    let may = match row.takes {
        Nothing | Somebody => true,
        Anything(role) => person.role >= role,
        There(role) => person.role >= role && (person.everywhere || is_own),
        Everything(role) => person.role >= role && person.everywhere,
    };
    let (status, challenge) = if row.path == "/v1/events" {
        // It goes on for ever: the head says whether it begins.
        let (_client, head) = world.begin(guest, &path).await;
        (head.status().as_u16(), head.headers().get("www-authenticate").cloned())
    } else {
        let got = client.send(guest.request(row.method.clone(), &path, &body)).await;
        (got.status.as_u16(), got.headers.get("www-authenticate").cloned())
    };
    if may {
        // What the present state does not allow is another matter.
        assert!([200, 202, 404, 409].contains(&status), "{what}: {status}");
        return status;
    }
    assert_eq!(status, 403, "{what}");
    let wanted =
        (person.via != "certificate").then_some("Bearer realm=\"switchback\", error=\"insufficient_scope\"");
    assert_eq!(challenge.as_ref().map(|value| value.to_str().unwrap()), wanted, "{what}");
    403
}

/// What an entry of the history tells of who was refused what.
fn refused(entry: &Value) -> Option<String> {
    let details = entry["details"].as_str().unwrap_or_default();
    if entry["outcome"] != "refused" || !details.starts_with("that takes the role") {
        return None;
    }
    assert!(entry["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
    let (who, service) =
        (entry["by"]["person"].as_str().unwrap(), entry["service"].as_str().unwrap_or("none"));
    Some(format!("{who} {} {} {service}", entry["via"], entry["deed"]))
}

/// The same, as it should be.
fn refusal(person: &Person, row: &Row, service: &str) -> String {
    let is_of_service = row.path.starts_with("/v1/services/{name}")
        || row.query.contains("{name}")
        || (row.body)("the-service", "the-team").to_string().contains("the-service");
    let service = if is_of_service { service } else { "none" };
    format!("{} \"{}\" \"{}\" {service}", person.name, person.via, row.deed)
}

/// Where a change takes a second person, a second credential is none.
#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_of_one_name_are_one_person() {
    let operator = "role = \"operator\"";
    let certificate = format!("[certificates.anna]\nidentity = \"spiffe://test/anna\"\n{operator}\n");
    let rights = [entry("anna", operator, 1), entry("bert", operator, 2), certificate].concat();
    let world = World::start_with(Wire::Tls, &rights, "", "[approvals]\nraises = true\n").await;
    let anna = Guest::bearing(&token(1));
    let anna_too = Guest::new().showing(&world.clients.sign(&["spiffe://test/anna"]));
    let bert = Guest::bearing(&token(2));
    let path = |what: &str| format!("/v1/services/{OWN}/{what}");
    let raise = json!({ "percent": 6.0, "reason": "INC-1", "force": true });
    let asked = world.ask(&anna, Method::PUT, &path("weight"), &raise).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let agree = json!({ "reason": "INC-1" });
    let refused = world.ask(&anna_too, Method::POST, &path("approval"), &agree).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("it takes a second person"), "{}", refused.text());
    let agreed = world.ask(&bert, Method::POST, &path("approval"), &agree).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text());
    let changed = world.entries("weight-set", 1).await.remove(0);
    assert_eq!((&changed["by"]["person"], &changed["approved_by"]), (&json!("anna"), &json!("bert")));
}

/// What is seen of the whole is what one may see.
#[tokio::test(flavor = "multi_thread")]
async fn who_sees_one_team_sees_nothing_of_the_others() {
    let rights = [
        entry("own", "role = \"viewer\"\nteams = [\"own-team\"]", 1),
        entry("service", "role = \"viewer\"\nservices = [\"other-service\"]", 2),
        entry("both", "role = \"viewer\"\nteams = [\"own-team\"]\nservices = [\"other-service\"]", 3),
    ];
    let world = World::start(Wire::Plain, &rights.concat()).await;
    for service in [OWN, OTHER] {
        let body = json!({ "services": [service], "reason": "INC-1" });
        world.ask(&Guest::at_the_socket(), Method::POST, "/v1/revert", &body).await;
    }
    for (number, sees) in [(1, vec![OWN]), (2, vec![OTHER]), (3, vec![OTHER, OWN])] {
        let guest = Guest::bearing(&token(number));
        let names = async |path: &str, key: &str| {
            let got = world.get(&guest, path).await.json();
            let list = if got.is_array() { got.clone() } else { got["services"].clone() };
            let names = list.as_array().unwrap().iter().map(|row| row[key].as_str().map(str::to_owned));
            names.collect::<BTreeSet<_>>()
        };
        let wanted: BTreeSet<Option<String>> = sees.iter().map(|name| Some((*name).to_owned())).collect();
        for path in ["/v1/services", "/v1/migration", "/v1/history"] {
            assert_eq!(names(path, "service").await, wanted, "{path} of token {number}");
        }
    }
}
