//! Where a connection comes from, as a load balancer tells it, and as endpoints are told.

use std::sync::{Arc, Mutex};

use http::Method;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proxy_protocol_rs::{HeaderBuilder, parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::proxy::{Folder, Proxy, Service};

/// A proxy whose listener is told by these networks, and an endpoint that says whom a request was forwarded for.
async fn told_by(networks: &str) -> (Proxy, Endpoint) {
    let endpoint = Endpoint::start(async |seen| {
        let client = seen.headers["x-forwarded-for"].to_str().unwrap().to_owned();
        answer(200, format!("<{client}>"))
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    let listener = "[listeners.http]\n";
    folder.write_process(&text.replace(listener, &format!("{listener}proxy-protocol-from = {networks}\n")));
    (Proxy::start_in(folder), endpoint)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// Everything that comes back; nothing if the connection is reset.
async fn exchange(proxy: &Proxy, pieces: impl IntoIterator<Item = &[u8]>) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_load_balancer_is_believed_in_either_version() {
    let (proxy, _endpoint) = told_by("[\"127.0.0.0/8\"]").await;
    let v4 = ("203.0.113.7:40000".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    let v6 = ("[2001:db8::7]:40000".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
    for (header, client) in [
        (HeaderBuilder::v1_proxy(v4.0, v4.1).build(), "203.0.113.7"),
        (HeaderBuilder::v1_proxy(v6.0, v6.1).build(), "2001:db8::7"),
        (HeaderBuilder::v2_proxy(v4.0, v4.1).build(), "203.0.113.7"),
        (HeaderBuilder::v2_proxy(v6.0, v6.1).with_crc32c().with_authority("a.test").build(), "2001:db8::7"),
        // Who does not know, and who asks for itself, is taken for whom it is seen as.
        (HeaderBuilder::v1_unknown().build(), "127.0.0.1"),
        (HeaderBuilder::v2_local().build(), "127.0.0.1"),
    ] {
        let told = format!("<{client}>");
        assert!(exchange(&proxy, [&header[..], GET]).await.ends_with(&told), "{client}");
        let together = [&header[..], GET].concat();
        assert!(exchange(&proxy, [&together[..]]).await.ends_with(&told), "{client}, in one piece");
        let bytewise = exchange(&proxy, together.chunks(1)).await;
        assert!(bytewise.ends_with(&told), "{client}, byte by byte: {bytewise}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_load_balancer_that_tells_nothing_or_nonsense_is_not_served() {
    let (proxy, endpoint) = told_by("[\"127.0.0.0/8\"]").await;
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let mut huge = HeaderBuilder::v2_local().build();
    huge[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    huge.resize(70_000, 0);
    for header in [
        &b""[..],
        b"PROXY TCP4 203.0.113.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 99999\r\n",
        b"PROXY TCP4 2001:db8::7 198.51.100.1 40000 443\r\n",
        b"PROXY UDP4 203.0.113.7 198.51.100.1 40000 443\r\n",
        b"proxy TCP4 203.0.113.7 198.51.100.1 40000 443\r\n",
        &long,
        &huge,
    ] {
        let said = exchange(&proxy, [header, GET]).await;
        assert_eq!(said, "", "{}", String::from_utf8_lossy(header));
    }
    proxy.counted("switchback_refused_requests_total", &["reason=\"not_announced\""], 8.0).await;
    assert_eq!(endpoint.hits(), 0, "no byte of it has reached an endpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed() {
    let (proxy, endpoint) = told_by("[\"10.0.0.0/8\"]").await;
    let plain = exchange(&proxy, [GET]).await;
    assert!(plain.ends_with("<127.0.0.1>"), "{plain}");
    let header =
        HeaderBuilder::v1_proxy("203.0.113.7:1".parse().unwrap(), "198.51.100.1:1".parse().unwrap()).build();
    let said = exchange(&proxy, [&header[..], GET]).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert_eq!(endpoint.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_as_a_load_balancer_is_believed() {
    let (proxy, _endpoint) = told_by("[\"127.0.0.1\"]").await;
    let url = format!("http://{}/", proxy.address);
    let curl = tokio::process::Command::new("curl")
        .args(["-sS", "--fail", "--haproxy-protocol", "-H", "Host: a.test", &url])
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8(curl.stdout).unwrap(), "<127.0.0.1>");
}

/// Reads a header, and speaks HTTP behind it.
async fn listening(headers: Arc<Mutex<Vec<String>>>) -> Endpoint {
    Endpoint::raw(move |mut stream| {
        let headers = headers.clone();
        async move {
            let mut header = Vec::new();
            let told = loop {
                let Ok(byte) = stream.read_u8().await else { return };
                header.push(byte);
                if let Ok((told, _)) = parse(&header) {
                    break told;
                }
            };
            let (client, local) = (told.source_inet().unwrap(), told.destination_inet().unwrap());
            headers.lock().unwrap().push(format!("{:?} {} {local}", told.version, client.ip()));
            let service = service_fn(async |_| Ok::<_, std::convert::Infallible>(answer(200, "told")));
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_told_in_the_version_that_they_ask_for_and_share_no_connection() {
    for (version, protocol) in [("v1", "http/1.1"), ("v2", "http/1.1"), ("v1", "http/2"), ("v2", "http/2")] {
        let headers = Arc::default();
        let endpoint = listening(Arc::clone(&headers)).await;
        let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1");
        let text = service.text();
        let proxy = Proxy::start(&[service]);
        let side = format!("proxy-protocol = \"{version}\"\nprotocol = {protocol:?}");
        let text = text.replace(&format!("protocol = {protocol:?}"), &side);
        let folder = proxy.end().await;
        std::fs::write(folder.file("a"), text).unwrap();
        let proxy = Proxy::start_in(folder);
        let mut client = Client::connect(proxy.address, Over::Http1).await;
        for _ in 0..3 {
            let got = client.send(request(Over::Http1, Method::GET, "a.test", "/", "")).await;
            assert_eq!((got.status.as_u16(), got.text()), (200, "told"), "{version} {protocol}");
        }
        let told: String = headers.lock().unwrap().join("\n");
        let expected = format!("{} 127.0.0.1 {}", version.to_uppercase(), proxy.address);
        assert_eq!(told, [&expected; 3].map(String::as_str).join("\n"));
        assert_eq!(endpoint.connections(), 3);
    }
}

/// Were a connection kept for the next request, that one would go as somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_reaches_its_endpoint_as_its_own_clients() {
    for protocol in ["http/1.1", "http/2"] {
        let endpoint = repeating().await;
        let service = Service::new("a").helios(endpoint.address).sides("proxy-protocol = \"v2\"", "");
        let service = service.protocols(protocol, "http/1.1");
        let folder = Folder::with(&[service]);
        folder.add_to_listener("proxy-protocol-from = [\"127.0.0.0/8\"]");
        let proxy = Proxy::start_in(folder);
        let one = told("203.0.113.1:1001", &proxy).await;
        let two = told("203.0.113.2:1002", &proxy).await;
        let (mut one, mut two) = (one, two);
        for _ in 0..3 {
            for (client, expected) in [(&mut one, "203.0.113.1:1001"), (&mut two, "203.0.113.2:1002")] {
                let got = client.get("a.test", "/").await;
                assert_eq!(got.text(), expected, "{protocol}");
            }
        }
    }
}

/// A client of whom a load balancer tells this address.
async fn told(client: &str, proxy: &Proxy) -> Client {
    let header =
        HeaderBuilder::v2_proxy(client.parse().unwrap(), "198.51.100.1:443".parse().unwrap()).build();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(&header).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Client::of_http1(sender)
}

/// An endpoint that answers every request with whom its connection was announced for.
async fn repeating() -> Endpoint {
    Endpoint::raw(async move |mut stream| {
        let mut header = Vec::new();
        let client = loop {
            let Ok(byte) = stream.read_u8().await else { return };
            header.push(byte);
            if let Ok((told, _)) = parse(&header) {
                break told.source_inet().unwrap().to_string();
            }
        };
        let service = service_fn(move |_| {
            let client = client.clone();
            async move { Ok::<_, std::convert::Infallible>(answer(200, client)) }
        });
        let server = auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}
