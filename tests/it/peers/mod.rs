//! Programs that others have written, as clients and as endpoints: curl, nghttp2's, Python's; httpx and tonic.

mod tonic;

use http::Method;

use crate::support::client::{Over, request, send};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::leg::{LEGS, Leg, Wire};
use crate::support::peer::{Server, run, run_script};
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::Authority;

/// Tells how much it was sent.
async fn counting() -> Endpoint {
    Endpoint::start(async |seen| answer(200, format!("{} {}\n", seen.method, seen.body.len()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_answers_and_sends_bodies_over_both_protocols() {
    let endpoint = counting().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, vec![7_u8; 3_000_000]).unwrap();
    let file = file.display().to_string();
    for protocol in ["http/1.1", "http/2"] {
        let proxy =
            Proxy::start(&[Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1")]);
        let url = format!("http://{}/", proxy.address);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let common = ["-sS", "--fail", version, "-H", "Host: a.test"];
            let curl = async |more: &[&str]| run("curl", &[&common[..], more].concat()).await;
            assert_eq!(curl(&[&url]).await, "GET 0\n", "{protocol} {version}");
            // A body of this size makes curl ask for `100 Continue` first.
            assert_eq!(curl(&["-T", &file, &url]).await, "PUT 3000000\n");
            let chunked = ["-X", "POST", "-H", "Transfer-Encoding: chunked", "--data-binary"];
            let body = format!("@{file}");
            if version == "--http1.1" {
                assert_eq!(curl(&[&chunked[..], &[&body, &url]].concat()).await, "POST 3000000\n");
            }
            let head = curl(&["-I", &url]).await;
            assert!(
                head.lines().next().unwrap().ends_with("200 OK") || head.starts_with("HTTP/2 200"),
                "{head}"
            );
            if version == "--http1.1" {
                // curl 7.88 breaks its own HTTP/2 connections when it uses them again, with other servers too.
                let twice = ["-w", "%{num_connects} ", "-o", "/dev/null", &url, "-o", "/dev/null", &url];
                assert_eq!(curl(&twice).await, "1 0 ", "one connection serves both");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_and_h2load_are_content() {
    let endpoint = counting().await;
    let proxy = Proxy::start(&[Service::new("a").host("*").helios(endpoint.address)]);
    let url = format!("http://{}/", proxy.address);
    let said = run("nghttp", &["-v", "--trailer", "x-sum: 1", "-d", "Cargo.toml", &url]).await;
    assert!(said.contains(":status: 200"), "{said}");
    assert!(!said.contains("PROTOCOL_ERROR"), "{said}");
    let said = run("h2load", &["-n", "4000", "-c", "4", "-m", "100", &url]).await;
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("4000 2xx"), "{said}");
}

/// Python's own server speaks HTTP/1.0: a body may end with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_speaks_http_1_0_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.txt"), "hello").unwrap();
    let server = Server::of_files(folder.path());
    let proxy = Proxy::start(&[Service::new("a").helios(server.address)]);
    for over in [Over::Http1, Over::Http2] {
        for _ in 0..3 {
            let got = send(proxy.address, request(over, Method::GET, "a.test", "/page.txt", "")).await;
            assert_eq!((got.status.as_u16(), got.text()), (200, "hello"));
        }
        let got = send(proxy.address, request(over, Method::GET, "a.test", "/missing", "")).await;
        assert_eq!(got.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_nghttp_speak_tls_with_both_protocols_and_versions() {
    let authority = Authority::new("ours");
    let endpoint = counting().await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process(
        "[listeners.https]\naddress = \"127.0.0.1:0\"\n[listeners.https.tls]\n\
         certificates = [{ chain = \"site.pem\", key = \"site.key\" }]\n",
    );
    authority.sign(&["a.test"]).write(folder.path(), "site");
    authority.write(&folder.path().join("authority.pem"));
    let proxy = Proxy::start_in(folder);
    let port = proxy.https().port();
    let trust = proxy.folder.path().join("authority.pem").display().to_string();
    let (resolve, url) = (format!("a.test:{port}:127.0.0.1"), format!("https://a.test:{port}/"));
    let common = ["-sS", "--fail", "--cacert", &trust, "--resolve", &resolve];
    let told = ["-o", "/dev/null", "-w", "%{http_version} %{ssl_verify_result}"];
    for (more, expected) in [
        (&["--http1.1"][..], "1.1 0"),
        (&["--http2"], "2 0"),
        (&["--http2", "--tls-max", "1.2"], "2 0"),
        (&["--http1.1", "--tlsv1.3"], "1.1 0"),
        // Who does not say what it speaks is understood all the same.
        (&["--no-alpn"], "1.1 0"),
    ] {
        let said = run("curl", &[&common[..], &told, more, &[&url]].concat()).await;
        assert_eq!(said, expected, "{more:?}");
    }
    let address = format!("https://127.0.0.1:{port}/");
    let said = run("nghttp", &["-nv", "-H", ":authority: a.test", &address]).await;
    assert!(said.contains("The negotiated protocol: h2") && said.contains(":status: 200"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_is_content_over_both_protocols_plain_and_with_tls() {
    const CASES: [&str; 7] = ["get", "post", "stream", "head", "refusal", "forms", "many"];
    let authority = Authority::new("ours");
    let endpoint = Endpoint::start(async |seen| answer(200, seen.body)).await;
    for inner in [Over::Http1, Over::Http2].map(|over| Leg { over, wire: Wire::Plain }) {
        let folder = inner.folder(&authority, endpoint.address);
        let service = std::fs::read_to_string(folder.file("a")).unwrap();
        std::fs::write(folder.file("a"), service.replace("[\"*\"]", "[\"127.0.0.1\"]")).unwrap();
        let proxy = Proxy::start_in(folder);
        for outer in LEGS {
            let (address, trust) = outer.of(&proxy);
            let scheme = if outer.wire == Wire::Tls { "https" } else { "http" };
            let version = if outer.over == Over::Http1 { "HTTP/1.1" } else { "HTTP/2" };
            let url = format!("{scheme}://{address}");
            let trust = trust.as_deref();
            let arguments: Vec<&str> = [url.as_str(), version].into_iter().chain(trust).collect();
            let said = run_script("httpx_client.py", &arguments).await;
            assert_eq!(said.lines().collect::<Vec<_>>(), CASES, "{outer:?} → {inner:?}");
        }
        proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
    }
}
