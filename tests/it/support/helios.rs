//! A stand-in for Helios: masters over real sockets that answer as Helios 0.9.282 does, and agents that say what a test has
//! them say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::endpoint::{Answer, Endpoint, Seen, answer};

/// What stands in every job's environment and in its token: it must never be seen anywhere.
pub(crate) const SECRET: &str = "hunter2-of-the-job";

/// One Helios: what its masters share.
#[derive(Clone, Default)]
pub(crate) struct Helios {
    cluster: Arc<Mutex<Cluster>>,
}

#[derive(Default)]
struct Cluster {
    hosts: BTreeMap<String, Agent>,
}

struct Agent {
    up: bool,
    /// What is to run there: the job's id, and the goal.
    jobs: BTreeMap<String, &'static str>,
    statuses: BTreeMap<String, Task>,
    /// Its record was emptied, as when it registers anew.
    emptied: bool,
}

struct Task {
    job: Job,
    goal: &'static str,
    state: &'static str,
    throttled: &'static str,
    container: String,
    ports: Vec<(&'static str, u16)>,
    /// Its record is no JSON: masters leave it out.
    garbled: bool,
}

/// A job, of which every version has an id of its own.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    registration: Value,
}

/// What a master does in place of answering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// As when `ZooKeeper` is down, or as a proxy in front says it.
    Status(u16),
    /// Takes the request, and says nothing.
    Hang,
    /// Breaks off in the middle of the body.
    Cut,
    /// Knows of no hosts.
    NoHosts,
    /// Says something else, with a secret in it.
    Nonsense,
}

/// A master.
pub(crate) struct Master {
    endpoint: Endpoint,
    switches: Arc<Mutex<Switches>>,
}

#[derive(Default)]
struct Switches {
    fault: Fault,
    token: Option<String>,
    /// Whether answers are withheld until this is released.
    held: Option<tokio::sync::watch::Receiver<bool>>,
}

impl Job {
    /// A job that registers a service by its port `http`.
    pub(crate) fn registered(name: &str, version: &str, service: &str) -> Self {
        Self::with(name, version, json!({ service: { "ports": { "http": {} } } }))
    }

    /// A job that registers nothing.
    pub(crate) fn bare(name: &str, version: &str) -> Self {
        Self::with(name, version, json!({}))
    }

    fn with(name: &str, version: &str, registration: Value) -> Self {
        let mut hash = String::new();
        for byte in Sha1::digest(format!("{name}:{version}:{registration}")) {
            write!(hash, "{byte:02x}").unwrap();
        }
        Self { id: format!("{name}:{version}:{hash}"), registration }
    }

    /// The key `type` stands twice in the health check, as Helios writes it.
    fn json(&self) -> String {
        format!(
            r#"{{"id":{id},"image":"registry.example.net/x:1","hostname":null,"created":1764842400123,"command":[],
              "env":{{"PASSWORD":"{SECRET}"}},"resources":null,
              "ports":{{"http":{{"ip":null,"internalPort":8080,"externalPort":null,"protocol":"tcp"}}}},
              "registration":{registration},"gracePeriod":30,"volumes":{{}},"expires":1790000000000,
              "registrationDomain":"","creatingUser":"deploybot","token":"{SECRET}",
              "healthCheck":{{"type":"http","path":"/ping","port":"http","type":"http"}},"securityOpt":[],
              "networkMode":null,"metadata":{{}},"addCapabilities":[],"dropCapabilities":[],"labels":{{}},
              "secondsToWaitBeforeKill":null,"ramdisks":{{}},"rolloutOptions":null,"runtime":null}}"#,
            id = json!(self.id),
            registration = self.registration
        )
    }
}

impl Task {
    fn json(&self, host: &str) -> String {
        let (mut ports, mut env) = (json!({}), json!({ "PASSWORD": SECRET }));
        for (name, port) in &self.ports {
            ports[*name] =
                json!({ "ip": null, "internalPort": 8080, "externalPort": port, "protocol": "tcp" });
            env[format!("HELIOS_PORT_{name}")] = json!(format!("{host}:{port}"));
        }
        format!(
            r#"{{"job":{job},"goal":"{goal}","state":"{state}","containerId":"{container}","throttled":"{throttled}",
              "ports":{ports},"env":{env},"containerError":""}}"#,
            job = self.job.json(),
            goal = self.goal,
            state = self.state,
            container = self.container,
            throttled = self.throttled
        )
    }
}

impl Agent {
    fn json(&self, host: &str) -> String {
        let deployment = |(id, goal): (&String, &&str)| {
            let text = json!({ "goal": goal, "deployerUser": null, "deployerMaster": "m1", "jobId": id });
            format!("{}:{text}", json!(id))
        };
        let jobs: Vec<String> = self.jobs.iter().map(deployment).collect();
        let told = self.statuses.iter().filter(|(_, task)| !task.garbled && !self.emptied);
        let statuses: Vec<String> =
            told.map(|(id, task)| format!("{}:{}", json!(id), task.json(host))).collect();
        format!(
            r#"{{"jobs":{{{jobs}}},"statuses":{{{statuses}}},"status":"{status}","hostInfo":null,
              "agentInfo":{{"name":"2211@{host}","version":"0.9.282"}},"environment":{{"KEY":"{SECRET}"}},"labels":null}}"#,
            jobs = jobs.join(","),
            statuses = statuses.join(","),
            status = if self.up { "UP" } else { "DOWN" }
        )
    }
}

impl Helios {
    /// Starts a master.
    pub(crate) async fn master(&self) -> Master {
        let switches = Arc::<Mutex<Switches>>::default();
        let (cluster, known) = (self.cluster.clone(), switches.clone());
        let endpoint = Endpoint::start(move |seen| {
            let (cluster, switches) = (cluster.clone(), known.clone());
            async move { answered(&seen, &cluster, &switches).await }
        })
        .await;
        Master { endpoint, switches }
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap()
    }

    fn agent<T>(&self, host: &str, with: impl FnOnce(&mut Agent) -> T) -> T {
        let mut cluster = self.cluster();
        let agent = cluster.hosts.entry(host.to_owned()).or_insert_with(|| Agent {
            up: true,
            jobs: BTreeMap::new(),
            statuses: BTreeMap::new(),
            emptied: false,
        });
        with(agent)
    }

    /// Has a job run on a host, at a port.
    pub(crate) fn run(&self, job: &Job, host: &str, port: u16) {
        self.agent(host, |agent| {
            agent.jobs.insert(job.id.clone(), "START");
            let container = format!("{host}-{port}-of-{}", job.id);
            let task = Task {
                job: job.clone(),
                goal: "START",
                state: "RUNNING",
                throttled: "NO",
                container,
                ports: vec![("http", port)],
                garbled: false,
            };
            agent.statuses.insert(job.id.clone(), task);
        });
    }

    fn task(&self, job: &Job, host: &str, with: impl FnOnce(&mut Task)) {
        self.agent(host, |agent| with(agent.statuses.get_mut(&job.id).unwrap()));
    }

    /// Sets a task's state.
    pub(crate) fn state(&self, job: &Job, host: &str, state: &'static str) {
        self.task(job, host, |task| task.state = state);
    }

    pub(crate) fn throttle(&self, job: &Job, host: &str, throttled: &'static str) {
        self.task(job, host, |task| task.throttled = throttled);
    }

    /// Whether a task's record is no JSON.
    pub(crate) fn garble(&self, job: &Job, host: &str, garbled: bool) {
        self.task(job, host, |task| task.garbled = garbled);
    }

    /// Undeploys a job: its container runs still.
    pub(crate) fn undeploy(&self, job: &Job, host: &str) {
        self.agent(host, |agent| agent.jobs.remove(&job.id));
    }

    /// Ends an undeployed job.
    pub(crate) fn end(&self, job: &Job, host: &str) {
        self.agent(host, |agent| agent.statuses.remove(&job.id));
    }

    /// Undeploys and ends.
    pub(crate) fn remove(&self, job: &Job, host: &str) {
        self.undeploy(job, host);
        self.end(job, host);
    }

    pub(crate) fn up(&self, host: &str, up: bool) {
        self.agent(host, |agent| agent.up = up);
    }

    /// Whether all that a host's agent has said is gone, as while it registers anew.
    pub(crate) fn empty(&self, host: &str, emptied: bool) {
        self.agent(host, |agent| agent.emptied = emptied);
    }

    pub(crate) fn deregister(&self, host: &str) {
        self.cluster().hosts.remove(host);
    }
}

impl Master {
    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.endpoint.address)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.switches.lock().unwrap().fault = fault;
    }

    /// Asks for this token from now on.
    pub(crate) fn ask_for(&self, token: &str) {
        self.switches.lock().unwrap().token = Some(token.to_owned());
    }

    /// Withholds answers until what it gives back says otherwise, or is dropped.
    pub(crate) fn hold(&self) -> tokio::sync::watch::Sender<bool> {
        let (release, held) = tokio::sync::watch::channel(true);
        self.switches.lock().unwrap().held = Some(held);
        release
    }

    /// The requests that have come.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.endpoint.seen()
    }

    /// How many of them were for this path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.uri.path() == path).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.endpoint.connections()
    }
}

async fn answered(seen: &Seen, cluster: &Mutex<Cluster>, switches: &Mutex<Switches>) -> Answer {
    let (fault, token, held) = {
        let switches = switches.lock().unwrap();
        (switches.fault.clone(), switches.token.clone(), switches.held.clone())
    };
    if let Some(mut held) = held {
        // Who holds it may be gone, which is as good.
        let _ = held.wait_for(|held| !held).await;
    }
    let shown = seen.headers.get("authorization").and_then(|shown| shown.to_str().ok());
    if token.is_some_and(|token| shown != Some(&format!("Bearer {token}"))) {
        return answer(401, "<html>401 Authorization Required</html>");
    }
    match fault {
        Fault::Status(502) => return answer(502, "<html>502 Bad Gateway</html>"),
        Fault::Status(status) => {
            return told(status, json!({ "code": status, "message": SECRET }).to_string(), seen);
        }
        Fault::Hang => std::future::pending().await,
        Fault::Nonsense => return told(200, format!(r#"["{SECRET}",{{"{SECRET}":1}}]"#), seen),
        Fault::None | Fault::Cut | Fault::NoHosts => {}
    }
    let mut answered = from_cluster(seen, &cluster.lock().unwrap(), fault == Fault::NoHosts);
    if fault == Fault::Cut {
        answered = cut(answered).await;
    }
    let version = match seen.headers.get("helios-version") {
        None => "MISSING",
        Some(_) => "EQUAL",
    };
    answered.headers_mut().insert("helios-server-version", HeaderValue::from_static("0.9.282"));
    answered.headers_mut().insert("helios-version-status", HeaderValue::from_static(version));
    answered
}

fn from_cluster(seen: &Seen, cluster: &Cluster, no_hosts: bool) -> Answer {
    if let Some(version) = seen.headers.get("helios-version").and_then(|version| version.to_str().ok()) {
        let numbers: Vec<&str> = version.trim_end_matches("-SNAPSHOT").split('.').collect();
        if numbers.len() != 3 || numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            return answer(400, "bad version");
        }
        if numbers[0] != "0" {
            return answer(426, "upgrade");
        }
    }
    let path = seen.uri.path().trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (&seen.method, parts.as_slice()) {
        (&Method::GET, ["version"]) => told(200, "\"0.9.282\"".to_owned(), seen),
        (&Method::GET, ["masters"]) => told(200, "[\"m1\"]".to_owned(), seen),
        (&Method::GET, ["hosts"]) if no_hosts => told(200, "[]".to_owned(), seen),
        (&Method::GET, ["hosts"]) => {
            told(200, json!(cluster.hosts.keys().collect::<Vec<_>>()).to_string(), seen)
        }
        (&Method::POST, ["hosts", "statuses"]) => match serde_json::from_slice::<Vec<String>>(&seen.body) {
            Err(_) => answer(400, "Unable to process JSON"),
            Ok(names) => {
                let known = names.iter().filter_map(|name| Some((name, cluster.hosts.get(name)?)));
                let told_of: Vec<String> =
                    known.map(|(name, agent)| format!("{}:{}", json!(name), agent.json(name))).collect();
                told(200, format!("{{{}}}", told_of.join(",")), seen)
            }
        },
        (&Method::GET, ["hosts", host, "status"]) => match cluster.hosts.get(*host) {
            Some(agent) => told(200, agent.json(host), seen),
            None => answer(404, ""),
        },
        _ => answer(404, ""),
    }
}

fn told(status: u16, text: String, seen: &Seen) -> Answer {
    let accepts = seen.headers.get("accept-encoding").and_then(|accepted| accepted.to_str().ok());
    let zip = accepts.is_some_and(|accepted| accepted.contains("gzip"));
    let body = if zip {
        let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
        zipped.write_all(text.as_bytes()).unwrap();
        Bytes::from(zipped.finish().unwrap())
    } else {
        text.into()
    };
    let mut told = answer(status, body);
    told.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    if zip {
        told.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    }
    assert_eq!(told.status(), StatusCode::from_u16(status).unwrap());
    told
}

/// The same answer, of which only the first half comes before the connection breaks off.
async fn cut(whole: Answer) -> Answer {
    let (head, body) = whole.into_parts();
    let body: Bytes = body.collect().await.unwrap().to_bytes();
    let half = body.slice(..body.len() / 2);
    let frames = stream::iter([Ok(Frame::data(half))])
        .chain(stream::once(async { Err(std::io::Error::other("cut")) }));

    Answer::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
}
