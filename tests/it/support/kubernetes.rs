//! A stand-in for a Kubernetes API server: EndpointSlices, listed and watched, over TLS and with a token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::endpoint::{Answer, Endpoint, answer};
use super::tls::{Authority, TlsServer, endpoint};

const PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/";

/// A cluster's API server, its store, and a kubeconfig for it.
pub(crate) struct Cluster {
    store: Arc<Mutex<Store>>,
    changes: watch::Sender<u64>,
    authority: Authority,
    server: Option<Endpoint>,
    folder: tempfile::TempDir,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every question is answered with this status, and with how many seconds to wait.
    Status(u16, u32),
    /// Watches begin and tell nothing, and nothing else is answered.
    Stall,
}

/// How a server tells that it has forgotten a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Status,
    Event,
}

/// How watches end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Clean,
    /// Within a line.
    Short,
}

struct Store {
    version: u64,
    slices: BTreeMap<(String, String), Value>,
    history: Vec<(u64, String, Value)>,
    /// Versions before this are forgotten.
    oldest: u64,
    gone: Gone,
    fault: Option<Fault>,
    streams: bool,
    token: String,
    page: usize,
    /// How often watches were ended, and how.
    cuts: (u64, Cut),
    asked: Vec<String>,
}

/// One endpoint of a slice.
pub(crate) fn ready(address: &str, uid: &str) -> Value {
    with(address, uid, &json!({ "ready": true, "serving": true, "terminating": false }))
}

/// One endpoint in these conditions.
pub(crate) fn with(address: &str, uid: &str, conditions: &Value) -> Value {
    json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "uid": uid } })
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let store = Store {
            version: 100,
            slices: BTreeMap::new(),
            history: Vec::new(),
            oldest: 0,
            gone: Gone::Status,
            fault: None,
            streams: true,
            token: "token-1".to_owned(),
            page: usize::MAX,
            cuts: (0, Cut::Clean),
            asked: Vec::new(),
        };
        let mut cluster = Self {
            store: Arc::new(Mutex::new(store)),
            changes: watch::Sender::new(0),
            authority: Authority::new("cluster"),
            server: None,
            folder: tempfile::tempdir().unwrap(),
        };
        cluster.put_token("token-1");
        cluster.up().await;
        cluster
    }

    /// The server begins to answer, at another address, which the kubeconfig has.
    pub(crate) async fn up(&mut self) {
        let pair = self.authority.sign(&["127.0.0.1"]);
        let (store, changes) = (self.store.clone(), self.changes.clone());
        let tls = TlsServer { pair, alpn: &["http/1.1"], clients: None };
        let server = endpoint(tls, move |request| serve(store.clone(), changes.subscribe(), request)).await;
        let folder = self.folder.path();
        self.authority.write(&folder.join("ca.pem"));
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": {
                "server": format!("https://{}", server.address),
                "certificate-authority": folder.join("ca.pem"),
            } }],
            "users": [{ "name": "u", "user": { "tokenFile": folder.join("token") } }],
        });
        std::fs::write(self.kubeconfig(), text.to_string()).unwrap();
        self.server = Some(server);
    }

    /// The server refuses connections, and those that there are break off.
    pub(crate) fn down(&mut self) {
        self.server = None;
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// What `switchback.toml` needs for it.
    pub(crate) fn section(&self, more: &str) -> String {
        self.section_of("gew1", more)
    }

    /// The same under another name.
    pub(crate) fn section_of(&self, name: &str, more: &str) -> String {
        format!("[clusters.{name}]\nkubeconfig = \"{}\"\n{more}\n", self.kubeconfig().display())
    }

    /// The token that the program has.
    pub(crate) fn put_token(&self, token: &str) {
        let file = self.folder.path().join("token");
        std::fs::write(file.with_extension("new"), token).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// The token that the server wants.
    pub(crate) fn want_token(&self, token: &str) {
        token.clone_into(&mut self.change().token);
        self.cut(Cut::Clean);
    }

    /// Writes a slice of service `a` in namespace `shop`.
    pub(crate) fn put(&self, name: &str, port: u16, endpoints: &[Value]) {
        self.put_raw(name, "IPv4", &json!([{ "name": "http", "port": port, "protocol": "TCP" }]), endpoints);
    }

    pub(crate) fn put_raw(&self, name: &str, family: &str, ports: &Value, endpoints: &[Value]) {
        self.change().put(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": { "namespace": "shop", "name": name,
                "labels": { "kubernetes.io/service-name": "a" }, "managedFields": [{ "manager": "tests" }] },
            "ports": ports, "endpoints": endpoints,
        }));
        self.tell();
    }

    pub(crate) fn delete(&self, name: &str) {
        self.change().delete(name);
        self.tell();
    }

    /// Changes nothing, and says so.
    pub(crate) fn bookmark(&self) {
        self.change().bookmark();
        self.tell();
    }

    /// Forgets what was, and ends watches, so that somebody notices.
    pub(crate) fn forget(&self, gone: Gone) {
        {
            let mut store = self.change();
            (store.version, store.gone) = (store.version + 10, gone);
            (store.oldest, store.history) = (store.version, Vec::new());
        }
        self.cut(Cut::Clean);
    }

    /// Ends all watches.
    pub(crate) fn cut(&self, cut: Cut) {
        {
            let mut store = self.change();
            store.cuts = (store.cuts.0 + 1, cut);
        }
        self.tell();
    }

    /// Something goes wrong from now on, or nothing does.
    pub(crate) fn fault(&self, fault: Option<Fault>) {
        self.change().fault = fault;
        if fault != Some(Fault::Stall) {
            self.cut(Cut::Clean);
        }
    }

    /// Refuses lists that are watches; lists have pages of so many slices.
    pub(crate) fn lists_only(&self, page: usize) {
        let mut store = self.change();
        (store.streams, store.page) = (false, page);
    }

    /// How many questions had this in them.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.change().asked.iter().filter(|asked| asked.contains(what)).count()
    }

    fn change(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Store {
    fn put(&mut self, mut slice: Value) {
        self.version += 1;
        slice["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = |field: &str| slice["metadata"][field].as_str().unwrap().to_owned();
        let key = (key("namespace"), key("name"));
        let kind = if self.slices.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        self.history.push((self.version, key.0.clone(), json!({ "type": kind, "object": slice })));
        self.slices.insert(key, slice);
    }

    fn delete(&mut self, name: &str) {
        self.version += 1;
        let Some(mut slice) = self.slices.remove(&("shop".to_owned(), name.to_owned())) else { return };
        slice["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, "shop".to_owned(), json!({ "type": "DELETED", "object": slice })));
    }

    fn bookmark(&mut self) {
        self.version += 1;
        let mark = mark(self.version, &json!({}));
        self.history.push((self.version, "shop".to_owned(), mark));
    }

    fn of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        self.slices.iter().filter(move |((of, _), _)| of == namespace).map(|(_, slice)| slice)
    }
}

fn mark(version: u64, annotations: &Value) -> Value {
    json!({ "type": "BOOKMARK", "object": { "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "resourceVersion": version.to_string(), "annotations": annotations } } })
}

fn status(code: u16, wait_s: u32) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": "AsTold", "message": format!("as told {code}"), "details": { "retryAfterSeconds": wait_s } })
}

fn refuse(code: u16, wait_s: u32) -> Answer {
    let mut refused = answer(code, status(code, wait_s).to_string());
    refused.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    if wait_s > 0 {
        refused.headers_mut().insert("retry-after", wait_s.into());
    }
    refused
}

async fn serve(
    store: Arc<Mutex<Store>>,
    changes: watch::Receiver<u64>,
    request: Request<Incoming>,
) -> Answer {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|part| part.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    };
    let fault = {
        let mut store = store.lock().unwrap();
        store.asked.push(request.uri().to_string());
        let wanted = format!("Bearer {}", store.token);
        if request.headers().get("authorization").is_none_or(|shown| shown.as_bytes() != wanted.as_bytes()) {
            return refuse(401, 0);
        }
        store.fault
    };
    let path = request.uri().path().strip_prefix(PATH).and_then(|rest| rest.strip_suffix("/endpointslices"));
    let Some(namespace) = path else { return refuse(404, 0) };
    let namespace = namespace.to_owned();
    match fault {
        Some(Fault::Status(code, wait_s)) => return refuse(code, wait_s),
        Some(Fault::Stall) => std::future::pending().await,
        None => {}
    }
    if parameter("labelSelector").is_none_or(|selector| !selector.contains("service-name")) {
        return refuse(400, 0);
    }
    if parameter("watch") != Some("true") {
        let from = parameter("continue").map_or(0, |token| token.parse().unwrap());
        return answer(200, list(&store.lock().unwrap(), &namespace, from).to_string());
    }
    let seconds = parameter("timeoutSeconds").map_or(1_800, |seconds| seconds.parse().unwrap());
    let from = parameter("resourceVersion").and_then(|version| version.parse().ok());
    let initial = parameter("sendInitialEvents") == Some("true");
    let (begin, from, cuts) = {
        let store = store.lock().unwrap();
        if initial && !store.streams {
            return refuse(422, 0);
        }
        let from: u64 = if initial { store.version } else { from.unwrap_or(store.version) };
        let mut begin = Vec::new();
        if initial {
            begin.extend(store.of(&namespace).map(|slice| json!({ "type": "ADDED", "object": slice })));
            begin.push(mark(store.version, &json!({ "k8s.io/initial-events-end": "true" })));
        } else if from < store.oldest {
            if store.gone == Gone::Status {
                return refuse(410, 0);
            }
            begin.push(json!({ "type": "ERROR", "object": status(410, 0) }));
        }
        (begin, from, store.cuts.0)
    };
    let (lines, body) = mpsc::channel(64);
    tokio::spawn(tell(store, changes, Watched { namespace, begin, from, cuts, seconds }, lines));
    let body = futures_util::stream::unfold(body, async |mut body: mpsc::Receiver<Line>| {
        body.recv().await.map(|line| (line, body))
    });
    http::Response::new(BoxBody::new(StreamBody::new(body).map_err(|error: std::io::Error| error)))
}

type Line = Result<Frame<Bytes>, std::io::Error>;

struct Watched {
    namespace: String,
    begin: Vec<Value>,
    from: u64,
    cuts: u64,
    seconds: u64,
}

async fn tell(
    store: Arc<Mutex<Store>>,
    mut changes: watch::Receiver<u64>,
    watched: Watched,
    lines: mpsc::Sender<Line>,
) {
    let Watched { namespace, mut begin, mut from, cuts, seconds } = watched;
    let line = |event: &Value| Ok(Frame::data(Bytes::from(format!("{event}\n"))));
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        let cut = {
            let store = store.lock().unwrap();
            if store.fault != Some(Fault::Stall) {
                begin.extend(
                    store
                        .history
                        .iter()
                        .filter(|(version, of, _)| *version > from && *of == namespace)
                        .map(|(_, _, event)| event.clone()),
                );
                from = from.max(store.history.last().map_or(0, |(version, ..)| *version));
            }
            (store.cuts.0 != cuts).then_some(store.cuts.1)
        };
        for event in begin.drain(..) {
            if lines.send(line(&event)).await.is_err() {
                return;
            }
        }
        match cut {
            Some(Cut::Clean) => return,
            Some(Cut::Short) => {
                let _ = lines.send(Ok(Frame::data(Bytes::from_static(b"{\"type\":\"MODIF")))).await;
                let _ = lines.send(Err(std::io::Error::other("cut short"))).await;
                return;
            }
            None => {}
        }
        tokio::select! {
            () = tokio::time::sleep_until(end) => return,
            () = lines.closed() => return,
            more = changes.changed() => if more.is_err() { return },
        }
    }
}

fn list(store: &Store, namespace: &str, from: usize) -> Value {
    let all: Vec<&Value> = store.of(namespace).collect();
    let next = from.saturating_add(store.page).min(all.len());
    let token = if next < all.len() { next.to_string() } else { String::new() };
    json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "items": all[from..next],
        "metadata": { "resourceVersion": store.version.to_string(), "continue": token } })
}

/// Whether a file below a folder has this text in it.
pub(crate) fn is_written(folder: &Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return is_written(&path, text);
        }
        std::fs::read_to_string(path).is_ok_and(|found| found.contains(text))
    })
}
