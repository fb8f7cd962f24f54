//! The OpenAPI document of the admin API: that it is one, that it has every call, and that what is answered is as it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::support::client::{self, Answer, Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::peer::run_script;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

/// The document.
struct Document(Value);

impl Document {
    /// As the command line prints it.
    fn printed() -> Self {
        let printed = Process::run(&["schema", "admin"]);
        assert!(printed.status.success());
        Self(serde_json::from_slice(&printed.stdout).unwrap())
    }

    /// Every call, as `GET /v1/services/{name}`.
    fn calls(&self) -> BTreeSet<String> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let calls = paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        calls.collect()
    }

    /// The same, with no object in it to which something can be added: a member of an answer that is not described is a fault
    /// of the document then, and not something new that readers pass over.
    fn closed(mut self) -> Self {
        let schemas = self.0["components"]["schemas"].as_object_mut().unwrap();
        schemas.values_mut().for_each(close);
        // It is a part of another, which is closed as a whole.
        schemas["HistoryDetails"].as_object_mut().unwrap().remove("unevaluatedProperties");
        self
    }

    /// Holds an answer against what is said of the call that was asked.
    fn describes(&self, method: &Method, call: &str, got: &Answer) {
        let (status, kind) = (got.status.as_u16(), got.header("content-type"));
        let what = format!("{method} {call}: {status} {kind} {}", got.text());
        let operation = &self.0["paths"][call][method.as_str().to_lowercase()];
        let answer = self.resolve(&operation["responses"][status.to_string()]);
        assert!(answer.is_object(), "no such status is described: {what}");
        let kind = kind.split(';').next().unwrap();
        let schema = &answer["content"][kind]["schema"];
        assert!(schema.is_object(), "no such content type is described: {what}");
        match kind {
            "application/json" | "application/problem+json" => self.holds(schema, &got.json(), &what),
            "application/x-ndjson" => {
                let event = json!({ "$ref": "#/components/schemas/Event" });
                let lines = got.text().lines().map(|line| serde_json::from_str(line).unwrap());
                lines.for_each(|line: Value| self.holds(&event, &line, &what));
            }
            _ => self.holds(schema, &json!(got.text()), &what),
        }
        for (name, header) in answer["headers"].as_object().into_iter().flatten() {
            let is_needed = header["required"] == true;
            assert!(!is_needed || got.headers.contains_key(name.as_str()), "{name} is missing: {what}");
        }
    }

    fn holds(&self, schema: &Value, value: &Value, what: &str) {
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{error}, at {}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}\n{what}");
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let place = value["$ref"].as_str().map(|place| place.trim_start_matches('#'));
        place.map_or(value, |place| self.0.pointer(place).unwrap())
    }
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_whole = members.contains_key("allOf");
            let has_members = members.get("properties").is_some_and(Value::is_object);
            let is_open = !members.contains_key("additionalProperties");
            let parts = members.iter_mut().filter(|(name, _)| *name != "allOf");
            parts.for_each(|(_, part)| close(part));
            if is_whole || has_members && is_open {
                members.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_the_calls_that_are_answered_and_no_other() {
    let document = Document::printed();
    let known = switchback::app::calls();
    let known: BTreeSet<String> = known.iter().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(document.calls(), known);

    let endpoint = Endpoint::named("helios").await;
    let proxy = Proxy::start(&[Service::new("playlist").helios(endpoint.address)]);
    let served = proxy.ask(Method::GET, "/v1/openapi.json", &Value::Null).await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.json(), document.0, "what is served is what is printed");
    // Who asks in a way that there is not is told by the router itself which ways there are.
    let mut answered = BTreeSet::new();
    for path in document.0["paths"].as_object().unwrap().keys() {
        let asked = path.replace("{name}", "playlist").replace("{reverted_unix_ms}", "1");
        let got = proxy.ask(Method::PATCH, &asked, &Value::Null).await;
        assert_eq!(got.status, 405, "{path}: {}", got.text());
        let ways = got.header("allow").split(',').map(str::trim).filter(|way| *way != "HEAD");
        answered.extend(ways.map(|way| format!("{way} {path}")));
    }
    assert_eq!(answered, known);
}

/// openapi-spec-validator says whether the document is one, and schemathesis asks what it allows and what it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_valid_document_describes_what_the_process_answers_to_whatever_it_is_asked() {
    let endpoint = Endpoint::named("endpoint").await;
    let service = |name: &str| {
        let service = Service::new(name).team("playlist-squad").weight(5.0);
        service.helios(endpoint.address).kubernetes(endpoint.address)
    };
    let folder = Folder::with(&[service("playlist"), service("search")]);
    folder.add_to_process(&format!("[webhooks.hook]\nurl = \"http://{}/\"\n", endpoint.address));
    let (mut process, _, admin) = Process::serve(folder.path());
    let said = run_script("openapi.py", &[&admin.to_string(), "playlist", "hook"]).await;
    let answered: Vec<Vec<&str>> = said
        .lines()
        .filter_map(|line| line.strip_prefix("answered "))
        .map(|line| line.split(' ').collect())
        .collect();
    let calls: BTreeSet<String> = answered.iter().map(|line| line[..2].join(" ")).collect();
    assert_eq!(calls, Document::printed().calls(), "every call was asked\n{said}");
    for line in &answered {
        let is_well = |status: &&str| status.starts_with('2') || status.starts_with('4');
        assert!(line[2..].iter().all(is_well), "{line:?}");
    }
    assert!(process.is_running());
}

/// The program, asked over its socket.
struct World {
    proxy: Proxy,
    document: Document,
    failing: Arc<AtomicBool>,
    _helios: Endpoint,
    _kubernetes: Endpoint,
}

impl World {
    async fn start() -> Self {
        let failing = Arc::<AtomicBool>::default();
        let helios = Endpoint::named("helios").await;
        let kubernetes = Endpoint::start({
            let failing = failing.clone();
            move |_| {
                let status = if failing.load(Ordering::SeqCst) { 500 } else { 200 };
                async move { answer(status, "") }
            }
        })
        .await;
        let service = |name: &str, weight| {
            Service::new(name).weight(weight).helios(helios.address).kubernetes(kubernetes.address)
        };
        let folder = Folder::with(&[
            service("playlist", 50.0).rest("[headers]\nrequest-id = \"x-request-id\"\n"),
            service("search", 5.0).rest("[approvals]\nraises = true\n"),
            service("radio", 0.0),
        ]);
        folder.add_to_process(&format!("[webhooks.hook]\nurl = \"http://{}/\"\n", helios.address));
        Self {
            proxy: Proxy::start_in(folder),
            document: Document::printed().closed(),
            failing,
            _helios: helios,
            _kubernetes: kubernetes,
        }
    }

    /// Asks a call about a service, and holds the answer against the document.
    async fn ask(&self, method: Method, call: &str, name: &str, body: &Value) -> Answer {
        let got = self.send(&method, &call.replace("{name}", name), body).await;
        self.document.describes(&method, call, &got);
        got
    }

    /// The same, for what is to be answered with this status.
    async fn is_answered(&self, method: Method, call: &str, name: &str, body: Value, status: u16) {
        let got = self.ask(method.clone(), call, name, &body).await;
        assert_eq!(got.status, status, "{method} {call} {name} {body}: {}", got.text());
    }

    async fn send(&self, method: &Method, path: &str, body: &Value) -> Answer {
        let stream = UnixStream::connect(self.proxy.folder.state().join("admin.sock")).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Client::of_http1(sender).send(request(Over::Http1, method.clone(), "localhost", path, body)).await
    }

    /// Has the judge take a service back while Helios is compared with itself.
    async fn is_reverted(&self) {
        let load = Load::start(self.proxy.address, "playlist.test", 20, 400);
        let calibration = "/v1/services/{name}/calibration";
        self.is_answered(Method::POST, calibration, "playlist", json!({ "for": "10m" }), 200).await;
        eventually("both sides are known", async || load.good() > 1_600).await;
        self.failing.store(true, Ordering::SeqCst);
        eventually("the service is taken back", async || {
            self.proxy.status("playlist").await["why"] == "held"
        })
        .await;
        eventually("the receipt is on disk", async || !self.receipts().await.is_empty()).await;
        load.end().await;
    }

    async fn receipts(&self) -> Vec<Value> {
        let kept = self.send(&Method::GET, "/v1/services/playlist/receipts", &Value::Null).await;
        kept.json().as_array().unwrap().clone()
    }

    /// Changes of each kind: made, waiting for a second person, and refused.
    async fn is_changed(&self) {
        let because = || json!({ "reason": "INC-1" });
        let raise = json!({ "percent": 6.0, "reason": "INC-1", "force": true });
        let plan = json!({ "reason": "go", "plan": { "steps": [1, 5, 25], "hold": "1d" }, "force": true });
        let release = json!({ "to_percent": 1.0, "reason": "INC-1" });
        let several = json!({ "services": ["radio"], "reason": "INC-1" });
        let foreseen = json!({ "approve": { "service": "search" } });
        let of = |what: &str| format!("/v1/services/{{name}}/{what}");
        for (method, call, name, body, status) in [
            (Method::PUT, of("weight"), "search", raise, 202),
            (Method::POST, of("approval"), "search", because(), 403),
            (Method::POST, "/v1/preview".to_owned(), "", foreseen, 200),
            (Method::POST, of("ramp"), "radio", plan, 200),
            (Method::POST, "/v1/ramps/pause".to_owned(), "", several.clone(), 200),
            (Method::POST, "/v1/ramps/resume".to_owned(), "", several, 200),
            (Method::POST, of("release"), "radio", release.clone(), 409),
            (Method::POST, of("release"), "nobody", release, 404),
            (Method::DELETE, of("weight"), "radio", because(), 409),
            (Method::DELETE, of("weight"), "radio", json!({}), 400),
            (Method::DELETE, of("weight"), "radio", json!({ "reason": "" }), 422),
            (Method::POST, "/v1/webhooks/{name}/test".to_owned(), "hook", because(), 200),
        ] {
            self.is_answered(method, &call, name, body, status).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_at_a_program_with_a_past_is_answered_as_the_document_says_with_nothing_beside_it() {
    let world = World::start().await;
    world.is_reverted().await;
    world.is_changed().await;
    let receipts = world.receipts().await;
    assert!(!receipts[0]["evidence"].as_array().unwrap().is_empty(), "{receipts:#?}");
    let reverted = receipts[0]["reverted_unix_ms"].to_string();
    let looks: BTreeSet<String> =
        world.document.calls().into_iter().filter(|call| call.starts_with("GET ")).collect();
    let mut seen = BTreeSet::new();
    for look in &looks {
        let call = look.trim_start_matches("GET ");
        let queries: &[&str] = match call {
            "/v1/events" => &["?recent=true"],
            "/v1/migration" => &["", "?format=json", "?format=csv", "?format=xml"],
            "/v1/history" => &["", "?service=playlist", "?limit=2&before=4", "?limit=0"],
            _ => &["", "?nonsense=1"],
        };
        for name in ["playlist", "search", "radio", "nobody"] {
            for query in queries {
                let path = call.replace("{name}", name).replace("{reverted_unix_ms}", &reverted);
                let got = world.send(&Method::GET, &format!("{path}{query}"), &Value::Null).await;
                world.document.describes(&Method::GET, call, &got);
                if got.status == 200 {
                    seen.insert(look.clone());
                }
            }
        }
    }
    assert_eq!(seen, looks, "each was answered");
    world.is_answered(Method::DELETE, "/v1/services/{name}/calibration", "playlist", json!({}), 200).await;
    world.is_answered(Method::GET, "/v1/services/{name}/calibration", "playlist", Value::Null, 200).await;
    world
        .is_answered(Method::DELETE, "/v1/services/{name}/approval", "search", json!({ "reason": "no" }), 200)
        .await;
}

/// What is answered in front of every handler: to who is nobody, who may not, and who has failed too often.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_not_let_in_are_answered_as_the_document_says() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("playlist").helios(endpoint.address)]);
    folder.add_to_admin("rights = \"rights.toml\"");
    std::fs::write(folder.path().join("rights.toml"), "").unwrap();
    let place = folder.path().display().to_string();
    let made =
        Process::run(&["token", "new", "guest", "--role", "viewer", "--team", "none", "--config", &place]);
    let token = String::from_utf8(made.stdout).unwrap();
    let proxy = Proxy::start_in(folder);
    let document = Document::printed().closed();
    let ask = async |method: Method, call: &str, shown: &str, body: &str| {
        let path = call.replace("{name}", "playlist");
        let mut asked = request(Over::Http1, method.clone(), "localhost", &path, body.to_owned());
        if !shown.is_empty() {
            asked.headers_mut().insert("authorization", HeaderValue::from_str(shown).unwrap());
        }
        let got = client::send(proxy.admin, asked).await;
        document.describes(&method, call, &got);
        got.status.as_u16()
    };
    let bearer = format!("Bearer {}", token.trim());
    let (service, weight) = ("/v1/services/{name}", "/v1/services/{name}/weight");
    let set = r#"{"percent": 0, "reason": "INC-1"}"#;
    let large = " ".repeat(65 << 10);
    for (method, call, shown, body, status) in [
        (Method::GET, "/v1/whoami", bearer.as_str(), "", 200),
        (Method::GET, service, &bearer, "", 403),
        (Method::PUT, weight, &bearer, set, 403),
        (Method::PUT, weight, &bearer, &large, 413),
        (Method::GET, "/v1/process", "", "", 401),
        (Method::PUT, weight, "", set, 401),
        (Method::GET, "/v1/process", "Basic YTpi", "", 400),
        (Method::GET, "/v1/openapi.json", "", "", 200),
        (Method::GET, "/healthz", "", "", 200),
    ] {
        assert_eq!(ask(method.clone(), call, shown, body).await, status, "{method} {call} {shown}");
    }
    eventually("it has failed too often", async || ask(Method::GET, "/v1/process", "", "").await == 429)
        .await;
    assert_eq!(ask(Method::PUT, weight, &bearer, set).await, 429);
}
