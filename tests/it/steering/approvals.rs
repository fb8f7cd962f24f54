//! Where raising a weight takes a second person.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy};
use crate::support::rights::{entry, token};

use super::world::{Receiver, World, ask_as, entries, run_as};

/// Two people who may do everything, and a service.
struct Office {
    proxy: Proxy,
    receiver: Receiver,
    ann: String,
    bob: String,
    _world: World,
}

const WEIGHT: &str = "/v1/services/a/weight";
const APPROVAL: &str = "/v1/services/a/approval";

impl Office {
    async fn open(sections: &str) -> Self {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        let folder = Folder::with(&[world.service("a", sections).weight(10.0)]);
        folder.add_to_admin("rights = \"rights.toml\"");
        folder.add_to_process(&format!("[approvals]\nraises = true\n{}", receiver.section()));
        let rights =
            ["ann", "bob"].iter().zip(1..).map(|(name, number)| entry(name, "role = \"admin\"", number));
        std::fs::write(folder.path().join("rights.toml"), rights.collect::<String>()).unwrap();
        Self { proxy: Proxy::start_in(folder), receiver, ann: token(1), bob: token(2), _world: world }
    }

    async fn ask(&self, who: &str, method: Method, path: &str, body: &Value) -> Answer {
        ask_as(&self.proxy, who, method, path, body).await
    }

    /// Somebody wants another weight: the answer's status and text.
    async fn wants(&self, who: &str, percent: f64) -> (u16, Value) {
        let body = json!({ "percent": percent, "reason": "INC-7 more of it" });
        let answer = self.ask(who, Method::PUT, WEIGHT, &body).await;
        (answer.status.as_u16(), answer.json())
    }

    /// Somebody agrees, or does not.
    async fn says(&self, who: &str, method: Method) -> (u16, Value) {
        let answer = self.ask(who, method, APPROVAL, &json!({ "reason": "looked at it" })).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn status(&self) -> Value {
        self.ask(&self.ann, Method::GET, "/v1/services/a", &Value::Null).await.json()
    }

    async fn weight(&self) -> f64 {
        self.status().await["weight_percent"].as_f64().unwrap()
    }

    async fn is_at(&self, percent: f64) {
        let weight = self.weight().await;
        assert!((weight - percent).abs() < 1e-9, "{weight} and not {percent}");
    }

    /// The entries that the history has of these, the oldest first, once there are so many.
    async fn history(&self, deeds: &[&str], count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        eventually(&format!("{count} of {deeds:?} are in the history"), async || {
            let path = "/v1/history?limit=1000&service=a";
            let all = self.ask(&self.ann, Method::GET, path, &Value::Null).await.json();
            found.clone_from(all.as_array().unwrap());
            found.retain(|entry| deeds.contains(&entry["deed"].as_str().unwrap()));
            found.len() >= count
        })
        .await;
        found.reverse();
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_waits_for_a_second_person_who_is_not_the_first() {
    let office = Office::open("").await;
    let (ann, bob) = (&office.ann, &office.bob);
    let (status, waits) = office.wants(ann, 20.0).await;
    assert_eq!((status, &waits["changes"]), (202, &json!([])), "{waits:#}");
    let approval = &waits["approval"];
    assert_eq!(
        json!([approval["by"], approval["what"], approval["to_percent"], approval["reason"]]),
        json!(["ann", "a weight of 20.00", 20.0, "INC-7 more of it"])
    );
    let at = |key: &str| approval[key].as_u64().unwrap();
    assert_eq!(at("until_unix_ms") - at("asked_unix_ms"), 3_600_000, "it is wanted for an hour");
    office.is_at(10.0).await;
    assert_eq!(&office.status().await["approval"], approval);
    eventually("it is told", async || !office.receiver.of("approval-wanted").is_empty()).await;
    let told = &office.receiver.of("approval-wanted")[0];
    assert!(told.starts_with("a: ann wants a weight of 20.00, to 20.00: INC-7 more of it;"), "{told}");
    let (_, shown) = run_as(&office.proxy, bob, &["status", "a"]).await;
    assert!(
        shown.contains("ann wants a weight of 20.00: INC-7 more of it; to agree: switchback approve a"),
        "{shown}"
    );

    let (status, own) = office.says(ann, Method::POST).await;
    assert_eq!(status, 403, "{own}");
    assert!(own["detail"].as_str().unwrap().contains("it takes a second person"), "{own}");
    let (status, other) = office.wants(bob, 30.0).await;
    assert_eq!(status, 409, "{other}");
    assert!(other["detail"].as_str().unwrap().contains("ann has asked for something already"), "{other}");
    office.is_at(10.0).await;

    let (status, done) = office.says(bob, Method::POST).await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(
        json!([done["changes"][0]["before_percent"], done["changes"][0]["after_percent"]]),
        json!([10.0, 20.0])
    );
    office.is_at(20.0).await;
    assert_eq!(office.status().await["approval"], Value::Null);
    let deeds = ["approval-asked", "approved", "weight-set"];
    let found = office.history(&deeds, 5).await;
    let rows: Vec<Value> = found
        .iter()
        .map(|e| json!([e["deed"], e["outcome"], e["by"]["person"], e["approved_by"], e["ticket"], e["via"]]))
        .collect();
    let wanted = [
        json!(["approval-asked", "done", "ann", null, "INC-7", "token"]),
        json!(["approved", "refused", "ann", null, null, "token"]),
        json!(["weight-set", "refused", "bob", null, "INC-7", "token"]),
        json!(["approved", "done", "bob", null, null, "token"]),
        json!(["weight-set", "done", "ann", "bob", "INC-7", "token"]),
    ];
    assert_eq!(rows, wanted, "{found:#?}");
    let set = &found[4];
    assert_eq!(json!([set["before_percent"], set["after_percent"]]), json!([10.0, 20.0]), "{set:#}");
    assert_eq!(office.says(bob, Method::POST).await.0, 404, "nothing waits any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_agree_or_wants_it_no_more_rejects_it_and_nothing_has_changed() {
    let office = Office::open("").await;
    for who in [&office.bob, &office.ann] {
        assert_eq!(office.wants(&office.ann, 20.0).await.0, 202);
        assert_eq!(office.says(who, Method::DELETE).await.0, 200);
        assert_eq!(office.status().await["approval"], Value::Null);
        assert_eq!(office.says(&office.bob, Method::POST).await.0, 404);
        office.is_at(10.0).await;
    }
    assert_eq!(office.wants(&office.ann, 20.0).await.0, 202);
    // One's own wish may be bettered.
    assert_eq!(office.wants(&office.ann, 15.0).await.0, 202);
    let arguments = ["approve", "a", "--reject", "--reason", "not on a Friday"];
    let (code, said) = run_as(&office.proxy, &office.bob, &arguments).await;
    assert_eq!((code, said.as_str()), (Some(0), "a: rejected; nothing has changed\n"));
    let ended = office.history(&["approval-ended"], 3).await;
    assert_eq!(ended.len(), 3, "{ended:#?}");
    let last = &ended[2];
    assert_eq!(
        json!([last["by"]["person"], last["reason"], last["details"]]),
        json!(["bob", "not on a Friday", "ann wanted a weight of 15.00"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_toward_helios_takes_nobody_else_and_overtakes_what_waits() {
    let office = Office::open("").await;
    let ann = &office.ann;
    assert_eq!(office.wants(ann, 50.0).await.0, 202);
    assert_eq!(office.wants(ann, 5.0).await.0, 200);
    office.is_at(5.0).await;
    assert_eq!(office.status().await["approval"], Value::Null, "a change takes the place of what waits");
    assert_eq!(office.wants(ann, 50.0).await.0, 202);
    let revert = json!({ "services": ["a"], "reason": "INC-8" });
    assert_eq!(office.ask(ann, Method::POST, "/v1/revert", &revert).await.status, 200);
    office.is_at(0.0).await;
    assert_eq!(
        office.says(&office.bob, Method::POST).await.0,
        404,
        "nobody lifts a hold by agreeing to less"
    );

    let release = json!({ "to_percent": 5.0, "reason": "mended" });
    let waits = office.ask(ann, Method::POST, "/v1/services/a/release", &release).await;
    assert_eq!(waits.status, 202, "{}", waits.text());
    assert_eq!(office.status().await["why"], "held");
    let (code, said) = run_as(&office.proxy, &office.bob, &["approve", "a", "--reason", "yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("a: ann wants a release to 5.00: mended\na: weight 0.00 → 5.00"), "{said}");
    let status = office.status().await;
    assert_eq!(json!([status["why"], status["by"]["person"]]), json!(["override", "ann"]), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_start_a_ramp_takes_a_second_person_and_its_own_steps_and_to_resume_it_do_not() {
    let plan = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\nrequests = 0\ncertainty = 0\n";
    let office = Office::open(plan).await;
    let (ann, bob) = (&office.ann, &office.bob);
    let arguments = ["ramp", "start", "a", "--reason", "up we go"];
    let (code, said) = run_as(&office.proxy, ann, &arguments).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("a: a ramp takes a second person; nothing has changed yet"), "{said}");
    assert!(!said.contains("says what it waits for"), "it has not begun: {said}");
    office.is_at(10.0).await;
    assert_eq!(office.says(bob, Method::POST).await.0, 200);
    office.is_at(25.0).await;
    let one = json!({ "services": ["a"], "reason": "a moment" });
    for path in ["/v1/ramps/pause", "/v1/ramps/resume"] {
        let answer = office.ask(ann, Method::POST, path, &one).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let text = std::fs::read_to_string(office.proxy.folder.file("a")).unwrap();
    std::fs::write(office.proxy.folder.file("a"), text.replace("1h", "1s")).unwrap();
    eventually("its step is taken", async || (office.weight().await - 50.0).abs() < 1e-9).await;
    let found = office.history(&["ramp-started", "ramp-stepped"], 2).await;
    let rows: Vec<Value> = found.iter().map(|e| json!([e["deed"], e["by"], e["approved_by"]])).collect();
    let wanted = [json!(["ramp-started", { "person": "ann" }, "bob"]), json!(["ramp-stepped", "ramp", null])];
    assert_eq!(rows, wanted, "{found:#?}");
}

/// Whoever says who they are only by their own word could say that they are two.
#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_has_checked_neither_raises_nor_agrees() {
    let world = World::new().await;
    let folder = Folder::with(&[world.service("a", "[approvals]\nraises = true\n").weight(10.0)]);
    let proxy = Proxy::start_in(folder);
    let raise = json!({ "percent": 20.0, "reason": "x" });
    let refused = proxy.ask(Method::PUT, WEIGHT, &raise).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("so people must be known"), "{}", refused.text());
    let socket = format!("unix:{}", proxy.folder.state().join("admin.sock").display());
    let command = ["--admin", &socket, "weight", "a", "20", "--reason", "x"];
    let output = crate::support::process::Process::run(&command);
    assert!(output.status.code() == Some(4), "the system knows who is at the socket: {output:?}");
    let refused = proxy.ask(Method::POST, APPROVAL, &json!({ "reason": "x" })).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!((proxy.weight("a").await - 10.0).abs() < 1e-9);
    let found = entries(&proxy, "a", &["weight-set", "approved"], 2).await;
    assert!(found.iter().all(|entry| entry["outcome"] == "refused"), "{found:#?}");
}
