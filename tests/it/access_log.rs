//! One line for every request that belonged to a service, in a file that others may move.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::{HeaderValue, Method};
use nix::sys::signal::Signal;
use serde_json::Value;
use switchback::app::build;
use switchback::model::Side;
use switchback::telemetry::{AccessOutcome, AccessRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::client::{Client, Over, request, send};
use crate::support::endpoint::{Code, Endpoint, grpc};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

fn file(folder: &Folder) -> PathBuf {
    folder.state().join("access.log")
}

fn access_log(file: &Path) -> String {
    format!("[access-log]\nfile = \"{}\"\n", file.display())
}

/// A configuration with these services and an access log.
fn folder(services: &[Service]) -> Folder {
    let folder = Folder::with(services);
    folder.add_to_process(&access_log(&file(&folder)));
    folder
}

/// The lines that are whole.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

async fn written(path: &Path, count: usize) -> Vec<AccessRecord> {
    let what = format!("{count} lines in {}", path.display());
    eventually(&what, async || lines(path).len() >= count).await;
    let lines = lines(path);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// All requests go to Kubernetes first.
fn service(helios: SocketAddr, kubernetes: SocketAddr) -> Service {
    Service::new("a").weight(100.0).helios(helios).kubernetes(kubernetes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_says_what_became_of_a_request() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let proxy = Proxy::start_in(folder(&[service(helios.address, kubernetes.address)]));
    assert_eq!(proxy.get("a.test", "/v1/users/17/a%20b?token=secret").await.status, 200);
    assert_eq!(proxy.get("nobody.test", "/").await.status, 404);
    let record = written(&file(&proxy.folder), 1).await.remove(0);
    let AccessRecord { time, latency_ms, duration_ms, generation, .. } = &record;
    assert!(time.len() == "2026-11-22T18:30:35.784000Z".len() && time.ends_with('Z'), "{time}");
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert!((0.0..=*duration_ms).contains(&latency_ms.unwrap()), "{record:?}");
    assert!(*generation > 0, "{record:?}");
    let expected = AccessRecord {
        time: time.clone(),
        service: "a".to_owned(),
        method: "GET".to_owned(),
        path: "/v1/users/17/a%20b".to_owned(),
        client: Some([127, 0, 0, 1].into()),
        route: "GET /v1/users/*/*".to_owned(),
        status: Some(200),
        side: Side::Kubernetes,
        outcome: AccessOutcome::Ok,
        cause: None,
        latency_ms: *latency_ms,
        duration_ms: *duration_ms,
        endpoint: Some(kubernetes.address.into()),
        upgrade: None,
        trace_id: None,
        request_id: None,
        rescued: false,
        evidence: true,
        weight: 100.0,
        generation: *generation,
    };
    assert_eq!(record, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_try_is_what_counts_and_who_was_rescued_is_told() {
    let (helios, failing) = (Endpoint::named("helios").await, Endpoint::status(503).await);
    let refusing = Endpoint::refusing().await;
    let to =
        |name, kubernetes| Service::new(name).weight(100.0).helios(helios.address).kubernetes(kubernetes);
    let proxy = Proxy::start_in(folder(&[
        to("a", failing.address),
        to("b", refusing),
        to("c", failing.address).rest("[judge]\nmode = \"off\"\n"),
    ]));
    let path = file(&proxy.folder);
    let ask = async |method: Method, host| {
        send(proxy.address, request(Over::Http1, method, host, "/", "")).await.status.as_u16()
    };
    for (place, (method, host, status, cause, has_latency, rescued, evidence)) in [
        (Method::GET, "a.test", 200, "status", true, true, true),
        (Method::POST, "a.test", 503, "status", true, false, true),
        (Method::GET, "b.test", 200, "connect_refused", false, true, true),
        (Method::GET, "c.test", 200, "status", true, true, false),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(ask(method, host).await, status, "{host}");
        let record = written(&path, place + 1).await.remove(place);
        let what = format!("{record:?}");
        assert_eq!((record.status, record.side), (Some(status), Side::Kubernetes), "{what}");
        assert_eq!((record.outcome, record.cause.as_deref()), (AccessOutcome::Failed, Some(cause)), "{what}");
        assert_eq!(record.latency_ms.is_some(), has_latency, "{what}");
        assert_eq!((record.rescued, record.evidence), (rescued, evidence), "{what}");
        let asked = if host == "b.test" { refusing } else { failing.address };
        assert_eq!(record.endpoint, Some(asked.into()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_sides_doing_says_nothing_about_it() {
    let (helios, hanging) = (Endpoint::named("helios").await, Endpoint::hanging().await);
    let forced = "force = { from = [\"127.0.0.0/8\"] }";
    let proxy = Proxy::start_in(folder(&[service(helios.address, hanging.address).split(forced)]));
    let path = file(&proxy.folder);

    let mut leaving = TcpStream::connect(proxy.address).await.unwrap();
    leaving.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    eventually("it is asked", async || hanging.connections() == 1).await;
    drop(leaving);
    let record = written(&path, 1).await.remove(0);
    assert_eq!((record.outcome, record.cause.as_deref()), (AccessOutcome::Neither, Some("client_gone")));
    assert_eq!((record.status, record.latency_ms, record.evidence), (None, None, false));
    assert_eq!(record.endpoint, Some(hanging.address.into()));

    let mut bad = TcpStream::connect(proxy.address).await.unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    bad.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 400 "), "{answer}");

    let mut forced = request(Over::Http1, Method::GET, "a.test", "/", "");
    forced.headers_mut().insert("x-switchback-side", HeaderValue::from_static("helios"));
    assert_eq!(send(proxy.address, forced).await.text(), "helios");
    let mut records = written(&path, 3).await;
    let (forced, bad) = (records.remove(2), records.remove(1));
    assert_eq!((bad.outcome, bad.cause.as_deref()), (AccessOutcome::Neither, Some("bad_request")));
    assert_eq!((bad.status, bad.endpoint, bad.evidence), (Some(400), None, false));
    assert_eq!((forced.side, forced.outcome), (Side::Helios, AccessOutcome::Ok));
    assert!(!forced.evidence, "who asks by name is no evidence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_has_its_methods_name_and_its_codes_cause() {
    let helios = Endpoint::named("helios").await;
    let kubernetes = Endpoint::start(async move |_| grpc(Code::InTrailers("14"))).await;
    let service = service(helios.address, kubernetes.address).protocols("http/2", "http/2");
    let proxy = Proxy::start_in(folder(&[service]));
    let mut call = request(Over::Http2, Method::POST, "a.test", "/shop.v1.Cart/Add", "");
    call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    assert_eq!(client.send(call).await.status, 200);
    let record = written(&file(&proxy.folder), 1).await.remove(0);
    assert_eq!(record.route, "/shop.v1.Cart/Add");
    assert_eq!((record.status, record.outcome), (Some(200), AccessOutcome::Failed));
    assert_eq!(record.cause.as_deref(), Some("grpc_status"));
    assert!(record.latency_ms.is_some() && record.evidence);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_beginning_of_a_very_long_path_is_kept() {
    let helios = Endpoint::named("helios").await;
    let proxy = Proxy::start_in(folder(&[Service::new("a").helios(helios.address)]));
    assert_eq!(proxy.get("a.test", &format!("/{}", "x".repeat(5_000))).await.status, 200);
    let record = written(&file(&proxy.folder), 1).await.remove(0);
    assert_eq!((record.path.len(), record.route.as_str()), (1_024, "GET /*"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_in_the_file_when_the_program_has_ended() {
    let helios = Endpoint::named("helios").await;
    let proxy = Proxy::start_in(folder(&[Service::new("a").helios(helios.address)]));
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let address = proxy.address;
        clients.spawn(async move {
            let mut connection = Client::connect(address, Over::Http1).await;
            for turn in 0..250 {
                let got = connection.get("a.test", &format!("/{client}-{turn}")).await;
                assert_eq!(got.status, 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let folder = proxy.end().await;
    let mut paths: Vec<String> =
        written(&file(&folder), 1_000).await.into_iter().map(|line| line.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 1_000, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_or_removed_is_followed_and_no_line_is_lost() {
    let helios = Endpoint::named("helios").await;
    let proxy = Proxy::start_in(folder(&[Service::new("a").helios(helios.address)]));
    let path = file(&proxy.folder);
    let old = path.with_extension("log.1");
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("a.test", "/").await.status, 200);
    written(&path, 1).await;
    fs::rename(&path, &old).unwrap();
    let mut asked = 1;
    eventually("there is a new file", async || {
        asked += 1;
        client.get("a.test", "/").await;
        !lines(&path).is_empty()
    })
    .await;
    eventually("every line is in one of the two", async || lines(&old).len() + lines(&path).len() == asked)
        .await;
    fs::remove_file(&path).unwrap();
    eventually("there is a new file again", async || {
        client.get("a.test", "/").await;
        !lines(&path).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_opens_the_file_anew_at_once() {
    let helios = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(helios.address)]);
    let (mut process, address, _) = Process::serve(folder.path());
    let path = file(&folder);
    let ask = async || send(address, request(Over::Http1, Method::GET, "a.test", "/", "")).await;
    ask().await;
    written(&path, 1).await;
    fs::rename(&path, path.with_extension("log.1")).unwrap();
    process.signal(Signal::SIGHUP);
    process.after("access log opened anew");
    ask().await;
    written(&path, 1).await;
    assert_eq!(lines(&path.with_extension("log.1")).len(), 1);
}

/// `/dev/full` is a disk without room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_lines_and_no_requests_and_is_told() {
    let helios = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    folder.add_to_process(&access_log(Path::new("/dev/full")));
    let (mut process, address, admin) = Process::serve(folder.path());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(async move {
            let mut client = Client::connect(address, Over::Http1).await;
            // All together more than wait in the queue and with the writer.
            for _ in 0..1_500 {
                assert_eq!(client.get("a.test", "/").await.status, 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    process.after("the access log cannot be written, trying again");
    process.after("the access log does not keep up");
    let metrics = send(admin, request(Over::Http1, Method::GET, "localhost", "/metrics", "")).await;
    for name in ["switchback_access_log_dropped_total", "switchback_access_log_write_failures_total"] {
        let line = metrics.text().lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(!line.ends_with(" 0"), "{line}");
    }
    process.signal(Signal::SIGTERM);
    process.after("the end of the access log could not be written");
    assert!(process.wait().success());
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_said_before_anything_starts() {
    let folder = Folder::with(&[]);
    folder.add_to_process(&access_log(&folder.path().join("nowhere/access.log")));
    let error = build(folder.path()).err().unwrap().to_string();
    assert!(error.starts_with("cannot open the access log /") && error.contains("No such file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_half_line_of_a_crash_spoils_no_other() {
    let helios = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(helios.address)]);
    let path = file(&folder);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"time\":\"2026-").unwrap();
    let proxy = Proxy::start_in(folder);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("a.test", "/").await.status, 200);
    eventually("a line of its own", async || lines(&path).len() == 2).await;
    let line = &lines(&path)[1];
    assert!(serde_json::from_str::<AccessRecord>(line).is_ok(), "{line}");
}

/// What waits is many times what a pipe holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_whose_reader_is_slow_gets_every_line() {
    const LINES: usize = 1_000;
    let helios = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(helios.address)]);
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // For writing too, so that it opens at once.
    let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    folder.add_to_process(&access_log(&pipe));
    let proxy = Proxy::start_in(folder);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    let path = format!("/{}", "x".repeat(900));
    for _ in 0..LINES {
        assert_eq!(client.get("a.test", &path).await.status, 200);
    }
    let read = move || BufReader::new(reader).lines().take(LINES).collect::<Result<Vec<_>, _>>().unwrap();
    let lines = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(lines.iter().all(|line| serde_json::from_str::<AccessRecord>(line).is_ok()));
}

/// A pipe that nobody reads must not hold up the start.
#[tokio::test]
async fn a_pipe_without_a_reader_cannot_be_opened_either() {
    let folder = Folder::with(&[]);
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    folder.add_to_process(&access_log(&pipe));
    let error = build(folder.path()).err().unwrap().to_string();
    assert!(error.starts_with("cannot open the access log /"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_access_log_asks_for_a_restart() {
    let helios = Endpoint::named("helios").await;
    let proxy = Proxy::start(&[Service::new("a").helios(helios.address)]);
    proxy.folder.add_to_process(&access_log(&file(&proxy.folder)));
    eventually("it is told", async || {
        let process = proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json();
        process["needs_restart"] == serde_json::json!(["access-log"])
    })
    .await;
    assert_eq!(proxy.get("a.test", "/").await.status, 200);
    assert!(!file(&proxy.folder).exists());
}
