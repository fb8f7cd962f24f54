//! Endpoints that listen on a Unix socket.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use http::Method;
use proxy_protocol_rs::parse;
use switchback::model::Address;
use switchback::telemetry::AccessRecord;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener};
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
                                break header.source_inet().unwrap().ip().to_string();
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
