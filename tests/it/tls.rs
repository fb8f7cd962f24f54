//! TLS on both legs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Answer, Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::tls::{Authority, TlsServer, endpoint, last};

const MIXES: [Over; 2] = [Over::Http1, Over::Http2];
const ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// Answers with what of a request tells where it came from.
async fn tell(request: Request<Incoming>) -> Answer {
    let mut told = answer(200, "told");
    for name in ["x-forwarded-proto", "x-forwarded-client-cert"] {
        if let Some(value) = request.headers().get(name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    let scheme = request.uri().scheme_str().unwrap_or("none").parse().unwrap();
    told.headers_mut().insert("x-scheme", scheme);
    told
}

/// A folder with a listener that speaks TLS as `tls` says, beside the plain one.
fn folder(services: &[Service], tls: &str) -> Folder {
    let folder = Folder::with(services);
    folder.add_to_process(&format!(
        "[listeners.https]\naddress = \"127.0.0.1:0\"\n[listeners.https.tls]\n{tls}\n"
    ));
    folder
}

fn certificates(names: &[&str]) -> String {
    let pairs: Vec<String> =
        names.iter().map(|name| format!("{{ chain = \"{name}.pem\", key = \"{name}.key\" }}")).collect();
    format!("certificates = [{}]", pairs.join(", "))
}

/// A proxy with this endpoint that speaks TLS as `a.test`, and who has signed for it.
fn over_tls(endpoint: SocketAddr) -> (Authority, Proxy) {
    let ours = Authority::new("ours");
    let folder = folder(&[Service::new("a").helios(endpoint)], &certificates(&["site"]));
    ours.sign(&["a.test"]).write(folder.path(), "site");
    (ours, Proxy::start_in(folder))
}

async fn get(client: &mut Client, over: Over) -> crate::support::client::Answer {
    client.send(request(over, Method::GET, "a.test", "/", "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_over_tls_in_every_mix_of_protocols_on_either_leg() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (protocol, alpn, scheme) in [("http/1.1", "http/1.1", "none"), ("http/2", "h2", "https")] {
        let server =
            TlsServer { pair: theirs.sign(&["orders.internal"]), alpn: &["h2", "http/1.1"], clients: None };
        let endpoint = endpoint(server, tell).await;
        let service = Service::new("a")
            .helios(endpoint.address)
            .protocols(protocol, "http/1.1")
            .rest("[helios.tls]\nauthorities = \"theirs.pem\"\nname = \"orders.internal\"\n");
        let folder = folder(&[service], &certificates(&["site"]));
        ours.sign(&["a.test"]).write(folder.path(), "site");
        theirs.write(&folder.path().join("theirs.pem"));
        let proxy = Proxy::start_in(folder);
        for over in MIXES {
            let (mut client, _) = ours.client().connect(proxy.https(), "a.test", over).await.unwrap();
            for _ in 0..2 {
                let got = get(&mut client, over).await;
                assert_eq!(got.status, 200, "{over:?} → {alpn}");
                assert_eq!(got.header("x-forwarded-proto"), "https");
                assert_eq!(got.header("x-scheme"), scheme);
            }
        }
        let got = proxy.get("a.test", "/").await;
        assert_eq!(got.header("x-forwarded-proto"), "http", "the plain listener is plain still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_certificate_of_the_host_that_it_names_and_else_the_first() {
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    let pairs = [
        ("first", authority.sign(&["a.test", "127.0.0.1"])),
        ("other", authority.sign(&["b.test"])),
        ("wild", authority.sign(&["*.wild.test"])),
    ];
    let folder =
        folder(&[Service::new("a").helios(endpoint.address)], &certificates(&["first", "other", "wild"]));
    for (name, pair) in &pairs {
        pair.write(folder.path(), name);
    }
    let proxy = Proxy::start_in(folder);
    let client = authority.client();
    for (host, place) in [("a.test", 0), ("b.test", 1), ("B.TEST", 1), ("x.wild.test", 2), ("127.0.0.1", 0)] {
        let (_, certificate) = client.connect(proxy.https(), host, Over::Http1).await.unwrap();
        assert_eq!(certificate, pairs[place].1.certificate(), "{host}");
    }
    for host in ["x.y.wild.test", "wild.test", "c.test"] {
        let refused = client.connect(proxy.https(), host, Over::Http1).await;
        assert!(refused.is_err(), "{host} is no name of the first certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_version_is_as_it_is_set() {
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    for (minimum, old_is_served) in
        [("", true), ("\nminimum = \"1.2\"", true), ("\nminimum = \"1.3\"", false)]
    {
        let tls = format!("{}{minimum}", certificates(&["site"]));
        let folder = folder(&[Service::new("a").helios(endpoint.address)], &tls);
        authority.sign(&["a.test"]).write(folder.path(), "site");
        let proxy = Proxy::start_in(folder);
        let old = authority.client().only(ONLY_12);
        let connected = old.connect(proxy.https(), "a.test", Over::Http2).await;
        assert_eq!(connected.is_ok(), old_is_served, "{minimum}");
        let new = authority.client().only(ONLY_13);
        new.connect(proxy.https(), "a.test", Over::Http2).await.unwrap();
        let failed = if old_is_served { 0.0 } else { 1.0 };
        proxy.counted("switchback_tls_handshake_failures_total", &[], failed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_prove_who_they_are_and_endpoints_are_told_if_they_are_to_be() {
    let (ours, callers, strangers) =
        (Authority::new("ours"), Authority::new("callers"), Authority::new("others"));
    let known = callers.sign(&["caller.test", "spiffe://mesh.test/ns/shop/sa/cart"]);
    let endpoint = Endpoint::streaming(tell).await;
    for (clients, without_one, told) in [
        ("clients = { authorities = \"callers.pem\", forward = true }", false, true),
        ("clients = { authorities = \"callers.pem\", required = false, forward = true }", true, true),
        ("clients = { authorities = \"callers.pem\" }", false, false),
    ] {
        let tls = format!("{}\n{clients}", certificates(&["site"]));
        let folder = folder(&[Service::new("a").helios(endpoint.address)], &tls);
        ours.sign(&["a.test"]).write(folder.path(), "site");
        callers.write(&folder.path().join("callers.pem"));
        let proxy = Proxy::start_in(folder);
        for over in MIXES {
            let ask = async |client| -> Option<crate::support::client::Answer> {
                let client: crate::support::tls::TlsClient = client;
                let (mut client, _) = client.connect(proxy.https(), "a.test", over).await.ok()?;
                let mut asked = request(over, Method::GET, "a.test", "/", "");
                let lie = "Hash=00;URI=spiffe://mesh.test/ns/kube-system/sa/admin";
                asked.headers_mut().insert("x-forwarded-client-cert", lie.parse().unwrap());
                // In TLS 1.3 a client learns only when it asks that it was not let in.
                client.try_send(asked).await.ok()
            };
            let proven = ask(ours.client().showing(&known)).await.expect("it is known");
            let caller = proven.header("x-forwarded-client-cert");
            assert_eq!(
                caller.contains("URI=spiffe://mesh.test/ns/shop/sa/cart"),
                told,
                "{clients}: {caller}"
            );
            assert_eq!(caller.contains("DNS=caller.test") && caller.starts_with("Hash="), told, "{caller}");
            assert!(!caller.contains("admin"), "what a client says of itself is not passed on: {caller}");
            let nobody = ask(ours.client()).await;
            assert_eq!(nobody.is_some(), without_one, "{clients}");
            assert!(nobody.is_none_or(|got| got.header("x-forwarded-client-cert").is_empty()));
            let stranger = ask(ours.client().showing(&strangers.sign(&["caller.test"]))).await;
            assert!(stranger.is_none(), "{clients}: nobody that is trusted has signed it");
        }
        let mut plain = request(Over::Http1, Method::GET, "a.test", "/", "");
        plain.headers_mut().insert("x-forwarded-client-cert", "Hash=00".parse().unwrap());
        let got = crate::support::client::send(proxy.address, plain).await;
        assert_eq!(got.header("x-forwarded-client-cert"), "", "not on a plain listener either");
    }
}

/// Each endpoint on Kubernetes that is not who it should be counts against it, and Helios answers.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_prove_who_they_are_or_are_not_asked() {
    const SPIFFE: &str = "spiffe://mesh.test/ns/shop/sa/orders";
    let (mesh, strangers) = (Authority::new("mesh"), Authority::new("strangers"));
    let helios = Endpoint::named("helios").await;
    let by_name = "name = \"orders.internal\"";
    let by_identity = "identities = [\"spiffe://mesh.test/ns/shop/sa/orders\"]";
    let both = &["h2", "http/1.1"][..];
    for (what, pair, alpn, settings, protocol, good) in [
        ("its name", mesh.sign(&["orders.internal"]), both, by_name, "http/1.1", true),
        ("another name", mesh.sign(&["carts.internal"]), both, by_name, "http/1.1", false),
        ("another authority", strangers.sign(&["orders.internal"]), both, by_name, "http/1.1", false),
        ("its address", mesh.sign(&["127.0.0.1"]), both, "", "http/1.1", true),
        ("another address", mesh.sign(&["127.0.0.2"]), both, "", "http/1.1", false),
        ("its identity", mesh.sign(&[SPIFFE]), both, by_identity, "http/2", true),
        (
            "another identity",
            mesh.sign(&["spiffe://mesh.test/ns/shop/sa/carts"]),
            both,
            by_identity,
            "http/2",
            false,
        ),
        ("two identities", mesh.sign(&[SPIFFE, "spiffe://mesh.test/x"]), both, by_identity, "http/2", false),
        ("its identity by another authority", strangers.sign(&[SPIFFE]), both, by_identity, "http/2", false),
        (
            "a certificate that has ended",
            mesh.sign_until(&[SPIFFE], (2020, 1, 1)),
            both,
            by_identity,
            "http/2",
            false,
        ),
        ("no ALPN", mesh.sign(&["orders.internal"]), &[], by_name, "http/1.1", true),
        ("no ALPN for HTTP/2", mesh.sign(&["orders.internal"]), &[], by_name, "http/2", false),
        ("another protocol", mesh.sign(&["orders.internal"]), &["http/1.1"], by_name, "http/2", false),
    ] {
        let server = TlsServer { pair, alpn, clients: None };
        let kubernetes = endpoint(server, async |_| answer(200, "kubernetes")).await;
        let service = Service::new("a")
            .weight(100.0)
            .helios(helios.address)
            .kubernetes(kubernetes.address)
            .protocols("http/1.1", protocol)
            .rest(&format!("[kubernetes.tls]\nauthorities = \"mesh.pem\"\n{settings}\n"));
        let folder = Folder::with(&[service]);
        mesh.write(&folder.path().join("mesh.pem"));
        let proxy = Proxy::start_in(folder);
        let got = proxy.get("a.test", "/").await;
        assert_eq!(
            (got.status.as_u16(), got.text()),
            (200, if good { "kubernetes" } else { "helios" }),
            "{what}"
        );
        let outcome = if good { "outcome=\"ok\"" } else { "outcome=\"tls_failed\"" };
        proxy.counted("switchback_tries_total", &["side=\"kubernetes\"", outcome], 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_ask_who_we_are_are_told() {
    let mesh = Authority::new("mesh");
    let settings = "[helios.tls]\nauthorities = \"mesh.pem\"\nname = \"orders.internal\"\n";
    let ours = format!("{settings}certificate = {{ chain = \"own.pem\", key = \"own.key\" }}\n");
    for (rest, status) in [(settings, 502), (ours.as_str(), 200)] {
        let server = TlsServer {
            pair: mesh.sign(&["orders.internal"]),
            alpn: &["http/1.1"],
            clients: Some(Authority::new("callers")),
        };
        let callers = server.clients.as_ref().unwrap();
        let own = callers.sign(&["spiffe://mesh.test/ns/infra/sa/switchback"]);
        let helios = endpoint(server, async |_| answer(200, "helios")).await;
        let folder = Folder::with(&[Service::new("a").helios(helios.address).rest(rest)]);
        mesh.write(&folder.path().join("mesh.pem"));
        own.write(folder.path(), "own");
        let proxy = Proxy::start_in(folder);
        assert_eq!(proxy.get("a.test", "/").await.status, status);
    }
}

/// What has been announced so far, line by line.
#[derive(Clone, Default)]
struct Announced(Arc<Mutex<String>>);

impl Announced {
    async fn by(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let asked = request(Over::Http1, Method::GET, "localhost", "/v1/events", "");
        let mut body = sender.send_request(asked).await.unwrap().into_body();
        let announced = Self::default();
        let text = announced.0.clone();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let more = frame.into_data().unwrap();
                text.lock().unwrap().push_str(std::str::from_utf8(&more).unwrap());
            }
        });
        announced
    }

    fn texts(&self, happening: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let events = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .filter(|event| event["happening"] == happening)
            .filter_map(|event| Some(event["text"].as_str()?.to_owned()))
            .collect()
    }
}

/// Handshakes go on all the while, one after the other over several connections at once; none of them may fail.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_without_a_failed_handshake_or_a_closed_connection() {
    const CLIENTS: usize = 4;
    // `loadtest/certificates` asks for more.
    let changes = std::env::var("CHANGES").map_or(8, |changes| changes.parse().unwrap());
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(endpoint.address)], &certificates(&["site"]));
    authority.sign(&["a.test"]).write(folder.path(), "site");
    let proxy = Proxy::start_in(folder);
    let announced = Announced::by(&proxy).await;
    let (https, client) = (proxy.https(), authority.client());
    let (mut oldest, _) = client.connect(https, "a.test", Over::Http2).await.unwrap();
    let (over, handshakes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..CLIENTS)
        .map(|place| {
            let (client, over, handshakes) = (client.clone(), over.clone(), handshakes.clone());
            tokio::spawn(async move {
                let carrier = MIXES[place % 2];
                while !over.load(Ordering::Relaxed) {
                    let (mut client, _) = client.connect(https, "a.test", carrier).await.unwrap();
                    assert_eq!(get(&mut client, carrier).await.status, 200);
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut shown_after = Vec::new();
    for _ in 0..changes {
        let pair = authority.sign(&["a.test"]);
        pair.write(proxy.folder.path(), "site");
        let written = Instant::now();
        let wanted = pair.certificate();
        eventually("the new certificate is shown", async || {
            client.connect(https, "a.test", Over::Http1).await.unwrap().1 == wanted
        })
        .await;
        shown_after.push(written.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    for load in load {
        load.await.expect("no handshake fails");
    }
    let handshakes = handshakes.load(Ordering::Relaxed);
    assert!(handshakes >= changes, "there was load");
    shown_after.sort();
    eprintln!(
        "{changes} certificates, {handshakes} handshakes, none failed; a new one is shown after {:.0?} (median), {:.0?} (most)",
        shown_after[changes / 2],
        shown_after[changes - 1]
    );
    assert_eq!(get(&mut oldest, Over::Http2).await.status, 200, "the first connection is still there");
    proxy.counted("switchback_tls_handshake_failures_total", &[], 0.0).await;
    assert!(!announced.texts("certificate-renewed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pair_keeps_the_good_one_and_says_so() {
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(endpoint.address)], &certificates(&["site"]));
    let good = authority.sign(&["a.test"]);
    good.write(folder.path(), "site");
    let proxy = Proxy::start_in(folder);
    let announced = Announced::by(&proxy).await;
    let path = proxy.folder.path();
    let next = authority.sign(&["a.test"]);
    std::fs::write(path.join("site.pem"), &next.chain).unwrap();
    eventually("it is told that the pair does not fit", async || {
        announced.texts("certificate-refused").iter().any(|text| text.contains("is not the key of"))
    })
    .await;
    let shown = async || authority.client().connect(proxy.https(), "a.test", Over::Http1).await.unwrap().1;
    assert_eq!(shown().await, good.certificate());
    std::fs::write(path.join("site.key"), &next.key).unwrap();
    eventually("the pair is whole", async || shown().await == next.certificate()).await;
    std::fs::remove_file(path.join("site.pem")).unwrap();
    eventually("it is told that a file is gone", async || {
        announced.texts("certificate-refused").iter().any(|text| text.contains("cannot be read"))
    })
    .await;
    assert_eq!(shown().await, next.certificate());
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_among_endpoints_changes_with_its_file() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = TlsServer { pair: new.sign(&["127.0.0.1"]), alpn: &["http/1.1"], clients: None };
    let helios = endpoint(server, async |_| answer(200, "helios")).await;
    let service = Service::new("a").helios(helios.address).rest("[helios.tls]\nauthorities = \"mesh.pem\"\n");
    let folder = Folder::with(&[service]);
    old.write(&folder.path().join("mesh.pem"));
    let proxy = Proxy::start_in(folder);
    assert_eq!(proxy.get("a.test", "/").await.status, 502);
    new.write(&proxy.folder.path().join("mesh.pem"));
    eventually("the new authority is trusted", async || proxy.get("a.test", "/").await.status == 200).await;
}

/// A changed file brings settings that are the same, and what is in use must stay what is kept in step.
#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_changes_with_its_file_also_after_the_service_has_changed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = TlsServer { pair: new.sign(&["127.0.0.1"]), alpn: &["http/1.1"], clients: None };
    let helios = endpoint(server, async |_| answer(200, "helios")).await;
    let rest = "[helios.tls]\nauthorities = \"mesh.pem\"\n";
    let service = Service::new("a").helios(helios.address).rest(rest);
    let folder = Folder::with(&[service]);
    old.write(&folder.path().join("mesh.pem"));
    let proxy = Proxy::start_in(folder);
    let announced = Announced::by(&proxy).await;
    assert_eq!(proxy.get("a.test", "/").await.status, 502);
    let changed = format!("{rest}[timeouts]\nheader = \"14s\"\n");
    proxy.folder.write(&Service::new("a").helios(helios.address).rest(&changed));
    eventually("the change is in force", async || announced.texts("config-loaded").len() == 1).await;
    assert_eq!(proxy.get("a.test", "/").await.status, 502);
    new.write(&proxy.folder.path().join("mesh.pem"));
    eventually("the new authority is trusted", async || proxy.get("a.test", "/").await.status == 200).await;
}

/// While a certificate is half renewed, or gone, people still steer.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_file_keeps_no_other_change_out() {
    let authority = Authority::new("ours");
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = || Service::new("a").helios(helios.address).kubernetes(kubernetes.address);
    let folder = folder(&[service().weight(100.0)], &certificates(&["site"]));
    authority.sign(&["a.test"]).write(folder.path(), "site");
    let proxy = Proxy::start_in(folder);
    assert_eq!(proxy.get("a.test", "/").await.text(), "kubernetes");
    std::fs::remove_file(proxy.folder.path().join("site.key")).unwrap();
    proxy.folder.write(&service().weight(0.0));
    eventually("the weight is in force", async || proxy.get("a.test", "/").await.text() == "helios").await;
    let mut client = authority.client().connect(proxy.https(), "a.test", Over::Http1).await.unwrap().0;
    assert_eq!(get(&mut client, Over::Http1).await.text(), "helios");
}

/// Who is resumed is not verified again, so nobody is who must say who it is.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_across_renewals_but_not_where_clients_are_asked_who_they_are() {
    let (ours, callers) = (Authority::new("ours"), Authority::new("callers"));
    let endpoint = Endpoint::named("helios").await;
    for (clients, is_resumed) in [("", true), ("clients = { authorities = \"callers.pem\" }", false)] {
        let tls = format!("{}\n{clients}", certificates(&["site"]));
        let folder = folder(&[Service::new("a").helios(endpoint.address)], &tls);
        ours.sign(&["a.test"]).write(folder.path(), "site");
        callers.write(&folder.path().join("callers.pem"));
        let proxy = Proxy::start_in(folder);
        for versions in [ONLY_12, ONLY_13] {
            let client = ours.client().showing(&callers.sign(&["caller.test"])).only(versions);
            let resumed = client.resumes(proxy.https(), "a.test", 4).await;
            assert_eq!(resumed, [false, is_resumed, is_resumed, is_resumed], "{clients} {versions:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_over_tls_comes_as_it_is_and_its_end_is_told() {
    let goes_on = Arc::new(Notify::new());
    let waits = goes_on.clone();
    let endpoint = Endpoint::raw(move |mut stream| {
        let waits = waits.clone();
        async move {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
            stream.write_all(head).await.unwrap();
            waits.notified().await;
            stream.write_all(b"other").await.unwrap();
            let _ = stream.read(&mut asked).await;
        }
    })
    .await;
    let (ours, proxy) = over_tls(endpoint.address);
    for versions in [ONLY_12, ONLY_13] {
        let mut stream = ours.client().only(versions).say(proxy.https(), "a.test", &last("a.test")).await;
        let mut came = Vec::new();
        while !came.ends_with(b"first") {
            assert_ne!(
                stream.read_buf(&mut came).await.unwrap(),
                0,
                "what there is does not wait for the end"
            );
        }
        goes_on.notify_one();
        // Whoever closes without a word over TLS may be anybody.
        stream.read_to_end(&mut came).await.expect("the end is told");
        assert!(came.ends_with(b"firstother"), "{}", String::from_utf8_lossy(&came));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_last_answer_over_tls_that_breaks_off_is_passed_on_and_no_end_is_told() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await.unwrap();
    })
    .await;
    let (ours, proxy) = over_tls(endpoint.address);
    for _ in 0..20 {
        let mut stream = ours.client().say(proxy.https(), "a.test", &last("a.test")).await;
        let mut came = Vec::new();
        assert!(stream.read_to_end(&mut came).await.is_err(), "it is not whole");
        assert!(came.ends_with(b"\r\n\r\nfirst"), "{}", String::from_utf8_lossy(&came));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_stream_over_tls_is_not_held_back_where_its_client_asks_for_nothing_more() {
    let goes_on = Arc::new(Notify::new());
    let waits = goes_on.clone();
    let endpoint = Endpoint::raw(move |mut stream| {
        let waits = waits.clone();
        async move {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo/1\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(head).await.unwrap();
            assert_eq!(
                stream.read(&mut asked).await.unwrap(),
                0,
                "the client has said all that it has to say"
            );
            stream.write_all(b"first").await.unwrap();
            waits.notified().await;
            stream.write_all(b"other").await.unwrap();
        }
    })
    .await;
    let (ours, proxy) = over_tls(endpoint.address);
    let asked = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: echo/1\r\nConnection: close, upgrade\r\n\r\n";
    let mut stream = ours.client().say(proxy.https(), "a.test", asked).await;
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut came).await.unwrap(), 0);
    }
    assert!(came.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&came));
    stream.shutdown().await.unwrap();
    while !came.ends_with(b"first") {
        assert_ne!(stream.read_buf(&mut came).await.unwrap(), 0);
    }
    goes_on.notify_one();
    stream.read_to_end(&mut came).await.unwrap();
    assert!(came.ends_with(b"firstother"), "{}", String::from_utf8_lossy(&came));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_it_leaves_and_then_says_more_gets_its_answer() {
    let endpoint = Endpoint::named("helios").await;
    let (ours, proxy) = over_tls(endpoint.address);
    // One is answered by an endpoint, and one at once.
    for (host, status) in [("a.test", "200"), ("nobody.test", "404")] {
        for _ in 0..100 {
            let mut plain = TcpStream::connect(proxy.address).await.unwrap();
            plain.set_nodelay(true).unwrap();
            plain.write_all(last(host).as_bytes()).await.unwrap();
            plain.write_all(b"\r\n").await.unwrap();
            let mut came = Vec::new();
            plain.read_to_end(&mut came).await.unwrap();
            assert!(came.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{host}");

            let mut tls = ours.client().say(proxy.https(), "a.test", &last(host)).await;
            tls.shutdown().await.unwrap();
            came.clear();
            tls.read_to_end(&mut came).await.unwrap();
            assert!(came.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{host} over TLS");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_say_who_it_is_hears_why_it_is_refused() {
    let (ours, callers) = (Authority::new("ours"), Authority::new("callers"));
    let endpoint = Endpoint::named("helios").await;
    let tls = format!("{}\nclients = {{ authorities = \"callers.pem\" }}", certificates(&["site"]));
    let folder = folder(&[Service::new("a").helios(endpoint.address)], &tls);
    ours.sign(&["a.test"]).write(folder.path(), "site");
    callers.write(&folder.path().join("callers.pem"));
    let proxy = Proxy::start_in(folder);
    let mut stream = ours.client().only(ONLY_13).say(proxy.https(), "a.test", &last("a.test")).await;
    let told = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(told.to_string().contains("CertificateRequired"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_could_get_is_a_fault() {
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(endpoint.address)], &certificates(&["site", "nameless"]));
    authority.sign(&["a.test"]).write(folder.path(), "site");
    authority.sign(&["127.0.0.1"]).write(folder.path(), "nameless");
    let faults = switchback::config::load(folder.path()).unwrap_err();
    assert!(faults.iter().any(|fault| fault.label().contains("no client would ever get it")), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_certificate_ends_is_a_metric_and_a_warning() {
    let authority = Authority::new("ours");
    let endpoint = Endpoint::named("helios").await;
    let folder = folder(&[Service::new("a").helios(endpoint.address)], &certificates(&["site", "soon"]));
    let soon = jiff::Zoned::now().checked_add(jiff::Span::new().days(5)).unwrap();
    let day =
        (i32::from(soon.year()), u8::try_from(soon.month()).unwrap(), u8::try_from(soon.day()).unwrap());
    authority.sign(&["a.test"]).write(folder.path(), "site");
    authority.sign_until(&["b.test"], day).write(folder.path(), "soon");
    let proxy = Proxy::start_in(folder);
    let announced = Announced::by(&proxy).await;
    let end = 2_208_988_800.0; // 2040-01-01
    proxy.counted("switchback_certificate_ends_timestamp_seconds", &["site.pem"], end).await;
    eventually("it is told that a certificate ends soon", async || {
        let told = announced.texts("certificate-ending");
        told.len() == 1 && told[0].contains("soon.pem ends in 4 days")
    })
    .await;
}
