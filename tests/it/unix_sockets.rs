//! Unix sockets: endpoints that listen on one, and listeners that clients connect to by one.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy_protocol_rs::{HeaderBuilder, parse};
use switchback::app::{BuildError, build};
use switchback::model::Address;
use switchback::telemetry::AccessRecord;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::{self, Authority, TlsServer};

const OVERS: [Over; 2] = [Over::Http1, Over::Http2];

/// A Unix socket behind which an endpoint listens.
struct Socket {
    _folder: TempDir,
    path: PathBuf,
    /// What connections began with, where that is the PROXY protocol.
    told: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl Socket {
    fn before(endpoint: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.sock");
        let mut socket = Self { _folder: folder, path, told: Arc::default(), tasks: JoinSet::new() };
        socket.listen(endpoint, false);
        socket
    }

    fn listen(&mut self, endpoint: SocketAddr, is_told: bool) {
        let _ = fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).unwrap();
        let told = self.told.clone();
        self.tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let told = told.clone();
                open.spawn(async move {
                    if is_told {
                        let mut header = Vec::new();
                        let client = loop {
                            header.push(near.read_u8().await.unwrap());
                            if let Ok((header, _)) = parse(&header) {
                                break header
                                    .source_inet()
                                    .map_or("nobody".to_owned(), |from| from.ip().to_string());
                            }
                        };
                        told.lock().unwrap().push(client);
                    }
                    let mut far = TcpStream::connect(endpoint).await.unwrap();
                    far.set_nodelay(true).unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    }

    /// As an endpoint that was killed leaves it: a file, and nobody behind it.
    async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    fn address(&self) -> Address {
        at(&self.path)
    }
}

fn at(path: &Path) -> Address {
    Address::Unix(path.into())
}

fn access_log(folder: &Folder) {
    let file = folder.state().join("access.log");
    folder.add_to_process(&format!("[access-log]\nfile = \"{}\"\n", file.display()));
}

async fn records(proxy: &Proxy, count: usize) -> Vec<AccessRecord> {
    let file = proxy.folder.state().join("access.log");
    let lines = || fs::read_to_string(&file).unwrap_or_default().lines().count();
    eventually(&format!("{count} lines"), async || lines() == count).await;
    let text = fs::read_to_string(&file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_pass_whole_over_a_unix_socket_in_every_mix_of_protocols() {
    let endpoint = Endpoint::start(async |seen| answer(200, seen.body)).await;
    for protocol in ["http/1.1", "http/2"] {
        let socket = Socket::before(endpoint.address);
        let folder =
            Folder::with(&[Service::new("a").helios(socket.address()).protocols(protocol, "http/1.1")]);
        access_log(&folder);
        let proxy = Proxy::start_in(folder);
        let before = endpoint.connections();
        for over in OVERS {
            let mut client = Client::connect(proxy.address, over).await;
            for body in ["", "hello", &"x".repeat(1 << 20)] {
                let got = client.send(request(over, Method::PUT, "a.test", "/", body.to_owned())).await;
                assert_eq!((got.status.as_u16(), got.text()), (200, body), "{over:?} → {protocol}");
            }
        }
        assert!(endpoint.connections() - before <= 2, "connections are kept, one for each worker");
        let seen = endpoint.seen().pop().unwrap();
        assert_eq!(seen.uri.authority().map_or("a.test", |authority| authority.as_str()), "a.test");
        for record in records(&proxy, 6).await {
            assert_eq!(record.endpoint.unwrap(), socket.address());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_answers_on_refuses_and_one_that_is_back_is_asked_again() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let (good, mut gone) = (Socket::before(helios.address), Socket::before(kubernetes.address));
    gone.kill().await;
    let folder = tempfile::tempdir().unwrap();
    let never = at(&folder.path().join("never.sock"));
    let service = |name: &str, kubernetes: Address| {
        let service = Service::new(name).weight(100.0).helios(good.address()).kubernetes(kubernetes);
        service.rest("[judge]\nmode = \"off\"\n")
    };
    let folder = Folder::with(&[service("a", gone.address()), service("b", never.clone())]);
    access_log(&folder);
    let proxy = Proxy::start_in(folder);
    assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
    assert_eq!(proxy.get("b.test", "/").await.text(), "helios");
    let mut told: Vec<(Option<String>, Address)> =
        records(&proxy, 2).await.into_iter().map(|record| (record.cause, record.endpoint.unwrap())).collect();
    told.sort();
    let mut expected = [gone.address(), never].map(|address| (Some("connect_refused".to_owned()), address));
    expected.sort();
    assert_eq!(told, expected);
    gone.listen(kubernetes.address, false);
    eventually("it is asked again", async || proxy.get("a.test", "/").await.text() == "kubernetes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_a_unix_socket_is_told_where_a_connection_comes_from() {
    let endpoint = Endpoint::named("helios").await;
    for version in ["proxy-protocol = \"v1\"", "proxy-protocol = \"v2\""] {
        let mut socket = Socket::before(endpoint.address);
        socket.kill().await;
        socket.listen(endpoint.address, true);
        let proxy = Proxy::start(&[Service::new("a").helios(socket.address()).sides(version, "")]);
        assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
        assert_eq!(*socket.told.lock().unwrap(), ["127.0.0.1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_over_a_unix_socket_proves_the_name_that_the_configuration_gives() {
    let authority = Authority::new("ours");
    let server =
        TlsServer { pair: authority.sign(&["orders.internal"]), alpn: &["h2", "http/1.1"], clients: None };
    let endpoint = tls::endpoint(server, async |_| answer(200, "secret")).await;
    let socket = Socket::before(endpoint.address);
    for (protocol, name, status) in [
        ("http/1.1", "orders.internal", 200),
        ("http/2", "orders.internal", 200),
        ("http/2", "b.internal", 502),
    ] {
        let tls = format!("[helios.tls]\nauthorities = \"ours.pem\"\nname = {name:?}\n");
        let service = Service::new("a").helios(socket.address()).protocols(protocol, "http/1.1").rest(&tls);
        let folder = Folder::with(&[service]);
        authority.write(&folder.path().join("ours.pem"));
        let proxy = Proxy::start_in(folder);
        assert_eq!(proxy.get("a.test", "/").await.status, status, "{protocol} {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_stream_goes_on_over_a_unix_socket() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let socket = Socket::before(endpoint.address);
    let proxy = Proxy::start(&[Service::new("a").helios(socket.address())]);
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let asking = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    client.write_all(asking).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    client.write_all(b"there and back").await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"there and back");
}

/// Adds a listener on a Unix socket; tells where it is.
fn listening(folder: &Folder, more: &str) -> PathBuf {
    let path = folder.path().join("s.sock");
    folder.add_to_process(&format!("[listeners.local]\naddress = \"unix:{}\"\n{more}\n", path.display()));
    path
}

async fn connect(mut stream: UnixStream, over: Over, begin: &[u8]) -> Client {
    stream.write_all(begin).await.unwrap();
    match over {
        Over::Http1 => {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            Client::of_http1(sender)
        }
        Over::Http2 => {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            Client::of_http2(sender)
        }
    }
}

/// Asks over a connection of its own, which begins with some bytes; tells what an endpoint has seen.
async fn ask(
    path: &Path,
    over: Over,
    begin: &[u8],
    headers: &[(&'static str, &str)],
    endpoint: &Endpoint,
) -> HeaderMap {
    let stream = UnixStream::connect(path).await.unwrap();
    let mut client = connect(stream, over, begin).await;
    let mut asked = request(over, Method::GET, "a.test", "/", "");
    for (name, value) in headers {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    assert_eq!(client.send(asked).await.status, 200);
    endpoint.seen().pop().unwrap().headers
}

const CLAIMS: [(&str, &str); 2] = [("x-forwarded-for", "10.20.0.1"), ("x-forwarded-proto", "https")];

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_by_a_unix_socket_has_no_address_and_is_not_believed() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    access_log(&folder);
    let path = listening(&folder, "trusted-proxies = [\"0.0.0.0/0\", \"::/0\"]");
    let proxy = Proxy::start_in(folder);
    for (over, count) in OVERS.into_iter().zip(1..) {
        let seen = ask(&path, over, b"", &CLAIMS, &endpoint).await;
        assert_eq!(
            (&seen["x-forwarded-for"], &seen["x-forwarded-proto"]),
            (&"unknown".parse().unwrap(), &"http".parse().unwrap())
        );
        assert_eq!(records(&proxy, count).await.pop().unwrap().client, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_by_a_unix_socket_is_believed_where_that_is_listed() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    access_log(&folder);
    let path = listening(&folder, "trusted-proxies = [\"unix\", \"10.9.0.0/24\"]");
    let proxy = Proxy::start_in(folder);
    for (over, count) in OVERS.into_iter().zip(1..) {
        let claims = [("x-forwarded-for", "203.0.113.7, 10.9.0.1"), ("x-forwarded-proto", "https")];
        let seen = ask(&path, over, b"", &claims, &endpoint).await;
        assert_eq!(
            (&seen["x-forwarded-for"], &seen["x-forwarded-proto"]),
            (&claims[0].1.parse().unwrap(), &"https".parse().unwrap())
        );
        let client = records(&proxy, count).await.pop().unwrap().client;
        assert_eq!(client, Some([203, 0, 113, 7].into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_address_neither_forces_nor_sticks() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let split = "force = { from = [\"0.0.0.0/0\", \"::/0\"] }\nsticky = { client-address = true }";
    let both = |name, weight| {
        Service::new(name).weight(weight).helios(helios.address).kubernetes(kubernetes.address).split(split)
    };
    let folder = Folder::with(&[both("a", 50.0), both("b", 0.0)]);
    let path = listening(&folder, "");
    let _proxy = Proxy::start_in(folder);
    let mut client = connect(UnixStream::connect(&path).await.unwrap(), Over::Http1, b"").await;
    let mut forced = request(Over::Http1, Method::GET, "b.test", "/", "");
    forced.headers_mut().insert("x-switchback-side", "kubernetes".parse().unwrap());
    assert_eq!(client.send(forced).await.text(), "helios");
    let mut sides = [0, 0];
    for _ in 0..100 {
        sides[usize::from(client.get("a.test", "/").await.text() == "kubernetes")] += 1;
    }
    assert_eq!(sides, [50, 50], "dealt like any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_behind_a_unix_socket_tells_by_the_proxy_protocol_where_that_is_listed() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let path = listening(&folder, "proxy-protocol-from = [\"unix\"]");
    let proxy = Proxy::start_in(folder);
    let told = HeaderBuilder::v2_proxy("203.0.113.7:1".parse().unwrap(), "198.51.100.1:1".parse().unwrap());
    for (header, client) in [
        (told.build(), "203.0.113.7"),
        (HeaderBuilder::v1_unknown().build(), "unknown"),
        (HeaderBuilder::v2_local().build(), "unknown"),
    ] {
        for over in OVERS {
            let seen = ask(&path, over, &header, &[], &endpoint).await;
            assert_eq!(seen["x-forwarded-for"], client, "{over:?}");
        }
    }
    assert_eq!(proxy.get("a.test", "/").await.status, 200, "the other listener is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_want_to_know_are_told_that_nobody_knows() {
    let endpoint = Endpoint::named("helios").await;
    for version in ["proxy-protocol = \"v1\"", "proxy-protocol = \"v2\""] {
        let mut socket = Socket::before(endpoint.address);
        socket.kill().await;
        socket.listen(endpoint.address, true);
        let folder = Folder::with(&[Service::new("a").helios(socket.address()).sides(version, "")]);
        let path = listening(&folder, "");
        let _proxy = Proxy::start_in(folder);
        ask(&path, Over::Http1, b"", &[], &endpoint).await;
        assert_eq!(*socket.told.lock().unwrap(), ["nobody"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_over_a_unix_socket_too() {
    let (authority, endpoint) = (Authority::new("ours"), Endpoint::named("helios").await);
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    authority.sign(&["a.test"]).write(folder.path(), "site");
    let tls = "[listeners.local.tls]\ncertificates = [{ chain = \"site.pem\", key = \"site.key\" }]";
    let path = listening(&folder, tls);
    let _proxy = Proxy::start_in(folder);
    // Clients of the tests speak TLS over TCP.
    let bridge = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = bridge.local_addr().unwrap();
    let bridging = tokio::spawn(async move {
        let (mut near, _) = bridge.accept().await.unwrap();
        let mut far = UnixStream::connect(path).await.unwrap();
        let _ = copy_bidirectional(&mut near, &mut far).await;
    });
    let (mut client, _) = authority.client().connect(near, "a.test", Over::Http2).await.unwrap();
    assert_eq!(client.get("a.test", "/").await.text(), "helios");
    assert_eq!(endpoint.seen().pop().unwrap().headers["x-forwarded-proto"], "https");
    bridging.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_come_at_once_are_served_whichever_worker_wakes_first() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let path = listening(&folder, "");
    let _proxy = Proxy::start_in(folder);
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let path = path.clone();
        clients.spawn(async move {
            let mut client = connect(UnixStream::connect(path).await.unwrap(), Over::Http1, b"").await;
            client.get("a.test", "/").await.status.as_u16()
        });
    }
    assert!(clients.join_all().await.into_iter().all(|status| status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listeners_socket_has_its_mode_and_is_gone_with_the_program() {
    for (mode, bits) in [("", 0o660), ("mode = \"0600\"", 0o600), ("mode = \"666\"", 0o666)] {
        let folder = Folder::with(&[Service::new("a").helios(Endpoint::refusing().await)]);
        let path = listening(&folder, mode);
        let proxy = Proxy::start_in(folder);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, bits);
        let folder = proxy.end().await;
        assert!(!path.exists());
        // What another has put there since is its own.
        let proxy = Proxy::start_in(folder);
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        let _folder = proxy.end().await;
        assert!(path.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_answers_on_is_taken_over_and_one_that_lives_is_not() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let path = listening(&folder, "");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "as a process that was killed leaves it");
    let proxy = Proxy::start_in(folder);
    ask(&path, Over::Http1, b"", &[], &endpoint).await;
    let folder = proxy.end().await;
    let refused = |folder: &Folder| match build(folder.path()) {
        Err(BuildError::Listen { address, what, .. }) => (address, what),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    };
    let wanted = (at(&path).to_string(), "local".to_owned());
    let living = UnixListener::bind(&path).unwrap();
    assert_eq!(refused(&folder), wanted);
    drop(living);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file that is no socket").unwrap();
    assert_eq!(refused(&folder), wanted);
    assert!(path.exists());
}
