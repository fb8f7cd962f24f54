//! How far a revert reaches: a service, a team, a cluster, all; and that it reaches nobody where one may not have all of it.

use http::Method;
use serde_json::{Value, json};

use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::kubernetes::{Cluster, ready};
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::rights::{entry, token};

use super::world::{ask_as, run_as};

/// Services of two teams on two clusters: `own-g` and `own-l`, `other-g` and `other-l`.
struct Fleet {
    proxy: Proxy,
    /// May operate everything.
    everywhere: String,
    /// May operate the services of team `own`.
    own: String,
    /// May look at everything.
    looks: String,
    _endpoints: [Endpoint; 2],
    _clusters: [Cluster; 2],
}

const ALL: [&str; 4] = ["other-g", "other-l", "own-g", "own-l"];

impl Fleet {
    async fn start() -> Self {
        let endpoints = [Endpoint::named("helios").await, Endpoint::named("kubernetes").await];
        let clusters = [Cluster::start().await, Cluster::start().await];
        let folder = Folder::with(&[]);
        for (cluster, name) in clusters.iter().zip(["gew1", "lon3"]) {
            cluster.put("a-1", endpoints[1].address.port(), &[ready("127.0.0.1", "p1")]);
            folder.add_to_process(&cluster.section_of(name, ""));
        }
        for name in ALL {
            let (team, place) = name.split_once('-').unwrap();
            let cluster = if place == "g" { "gew1" } else { "lon3" };
            let source = format!(
                "{{ namespace = \"shop\", service = \"a\", port = \"http\", cluster = \"{cluster}\" }}"
            );
            let service = Service::new(name).team(team).weight(50.0).helios(endpoints[0].address);
            folder.write(&service.kubernetes_source(&source));
        }
        folder.add_to_admin("rights = \"rights.toml\"");
        let rights = [
            entry("everywhere", "role = \"operator\"", 1),
            entry("own", "role = \"operator\"\nteams = [\"own\"]", 2),
            entry("looks", "role = \"viewer\"", 3),
        ];
        std::fs::write(folder.path().join("rights.toml"), rights.concat()).unwrap();
        let [everywhere, own, looks] = [1, 2, 3].map(token);
        let proxy = Proxy::start_in(folder);
        let fleet = Self { proxy, everywhere, own, looks, _endpoints: endpoints, _clusters: clusters };
        eventually("all are found", async || {
            let all = fleet.all().await;
            all.iter().all(|service| service["kubernetes"]["endpoints"] == 1)
        })
        .await;
        fleet
    }

    async fn all(&self) -> Vec<Value> {
        let all = ask_as(&self.proxy, &self.everywhere, Method::GET, "/v1/services", &Value::Null).await;
        all.json().as_array().unwrap().clone()
    }

    async fn held(&self) -> Vec<String> {
        let held = self.all().await.into_iter().filter(|service| service["why"] == "held");
        held.map(|service| service["service"].as_str().unwrap().to_owned()).collect()
    }

    /// Somebody reverts: the status of the answer, and what it says.
    async fn revert(&self, who: &str, scope: Value) -> (u16, Value) {
        let mut body = scope;
        body["reason"] = json!("INC-3");
        let answer = ask_as(&self.proxy, who, Method::POST, "/v1/revert", &body).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn release_all(&self) {
        for name in self.held().await {
            let body = json!({ "to_percent": 50.0, "reason": "once more" });
            let path = format!("/v1/services/{name}/release");
            let answer = ask_as(&self.proxy, &self.everywhere, Method::POST, &path, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

fn changed(answer: &Value) -> Vec<&str> {
    answer["changes"].as_array().unwrap().iter().map(|one| one["service"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_reaches_services_a_team_a_cluster_or_all() {
    let fleet = Fleet::start().await;
    for (scope, arguments, reached) in [
        (json!({ "services": ["own-g", "other-l"] }), &["own-g", "other-l"][..], &["other-l", "own-g"][..]),
        (json!({ "team": "own" }), &["--team", "own"], &["own-g", "own-l"]),
        (json!({ "cluster": "lon3" }), &["--cluster", "lon3"], &["other-l", "own-l"]),
        (json!({ "all": true }), &["--all"], &ALL),
    ] {
        let (status, answer) = fleet.revert(&fleet.everywhere, scope.clone()).await;
        assert_eq!((status, changed(&answer).as_slice()), (200, reached), "{scope}: {answer:#}");
        assert_eq!(fleet.held().await, reached, "{scope}");
        assert_eq!(answer["written"], true, "{answer:#}");
        fleet.release_all().await;

        let command = [&["revert", "--reason", "INC-3"][..], arguments].concat();
        let (code, said) = run_as(&fleet.proxy, &fleet.everywhere, &command).await;
        assert_eq!(code, Some(0), "{said}");
        for name in reached {
            assert!(said.contains(&format!("{name}: weight 50.00 → 0.00, held")), "{said}");
        }
        assert_eq!(fleet.held().await, reached, "{arguments:?}");
        fleet.release_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_revert_all_of_it_reverts_nothing() {
    let fleet = Fleet::start().await;
    for (who, scope, arguments) in [
        (&fleet.own, json!({ "services": ["own-g", "other-g"] }), &["own-g", "other-g"][..]),
        (&fleet.own, json!({ "team": "other" }), &["--team", "other"]),
        (&fleet.own, json!({ "cluster": "gew1" }), &["--cluster", "gew1"]),
        (&fleet.own, json!({ "all": true }), &["--all"]),
        (&fleet.looks, json!({ "services": ["own-g"] }), &["own-g"]),
    ] {
        let (status, answer) = fleet.revert(who, scope.clone()).await;
        assert_eq!(status, 403, "{scope}: {answer:#}");
        assert!(
            answer["detail"].as_str().unwrap().starts_with("that takes the role operator over "),
            "{answer}"
        );
        let command = [&["revert", "--reason", "INC-3"][..], arguments].concat();
        let (code, said) = run_as(&fleet.proxy, who, &command).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("that takes the role operator over "), "{said}");
        assert_eq!(fleet.held().await, Vec::<String>::new(), "{scope}");
    }
    let mut refused = Vec::new();
    eventually("each refusal is in the history", async || {
        let (path, who) = ("/v1/history?limit=1000", &fleet.everywhere);
        let all = ask_as(&fleet.proxy, who, Method::GET, path, &Value::Null).await.json();
        refused.clone_from(all.as_array().unwrap());
        refused.retain(|entry| entry["deed"] == "reverted" && entry["outcome"] == "refused");
        refused.len() >= 10
    })
    .await;
    assert_eq!(refused.len(), 10, "{refused:#?}");
    assert!(
        refused.iter().all(|entry| entry["reason"] == "INC-3" && entry["via"] == "token"),
        "{refused:#?}"
    );
    // What is theirs they revert.
    let (status, answer) = fleet.revert(&fleet.own, json!({ "team": "own" })).await;
    assert_eq!((status, changed(&answer)), (200, vec!["own-g", "own-l"]), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_nothing_or_two_things_is_refused_with_the_reason() {
    let fleet = Fleet::start().await;
    for (scope, status, detail) in [
        (json!({ "team": "nobody" }), 404, "there is no service of team nobody"),
        (json!({ "cluster": "nowhere" }), 404, "no service is on cluster nowhere"),
        (json!({ "services": ["own-g", "nothing"] }), 404, "there is no service nothing"),
        (json!({}), 422, "name the services, a team or a cluster, or say all: one of these"),
        (json!({ "all": true, "team": "own" }), 422, "name the services, a team or a cluster"),
    ] {
        let (got, answer) = fleet.revert(&fleet.everywhere, scope.clone()).await;
        assert_eq!(got, status, "{scope}: {answer}");
        assert!(answer["detail"].as_str().unwrap().starts_with(detail), "{scope}: {answer}");
        assert_eq!(fleet.held().await, Vec::<String>::new());
    }
    let both = ["revert", "--all", "--team", "own", "--reason", "x"];
    assert_eq!(run_as(&fleet.proxy, &fleet.everywhere, &both).await.0, Some(2), "wrong usage");
}
