//! What a service changes on the way, and who is believed about where a request comes from.

use std::fs;
use std::net::SocketAddr;

use http::{HeaderMap, Method};
use proxy_protocol_rs::HeaderBuilder;
use switchback::telemetry::AccessRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::{Code, Endpoint, Seen, answer, grpc};
use crate::support::eventually;
use crate::support::proxy::{Folder, Proxy, Service};

const OVERS: [Over; 2] = [Over::Http1, Over::Http2];
const PROTOCOLS: [&str; 2] = ["http/1.1", "http/2"];

const RULES: &str = "[headers.request]\nset = { \"X-Team\" = \"playlist\" }\nadd = { x-seen-by = \"switchback\" }\n\
                     remove = [\"x-debug\"]\n[headers.answer]\nset = { x-frame-options = \"DENY\" }\n\
                     add = { set-cookie = \"side=here\" }\nremove = [\"server\"]\n";

/// All requests go to Kubernetes first, whatever comes of it.
fn service(helios: SocketAddr, kubernetes: SocketAddr, rest: &str) -> Service {
    let rest = format!("[judge]\nmode = \"off\"\n{rest}");
    Service::new("a").weight(100.0).helios(helios).kubernetes(kubernetes).rest(&rest)
}

/// An endpoint whose answers have headers that rules are about.
async fn talkative(status: u16) -> Endpoint {
    Endpoint::start(move |seen| async move {
        let mut told = answer(status, seen.body);
        for (name, value) in
            [("server", "secret/1.0"), ("x-frame-options", "SAMEORIGIN"), ("set-cookie", "a=1")]
        {
            told.headers_mut().append(name, value.parse().unwrap());
        }
        told
    })
    .await
}

async fn ask(proxy: &Proxy, over: Over, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut asked = request(over, Method::GET, "a.test", path, "");
    for (name, value) in headers {
        asked.headers_mut().append(*name, value.parse().unwrap());
    }
    Client::connect(proxy.address, over).await.send(asked).await
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// The host that an endpoint was asked for, in either protocol.
fn host(seen: &Seen) -> String {
    let authority = seen.uri.authority().map(ToString::to_string);
    authority.unwrap_or_else(|| seen.headers["host"].to_str().unwrap().to_owned())
}

fn path(seen: &Seen) -> &str {
    seen.uri.path_and_query().unwrap().as_str()
}

fn answer_is_changed(got: &Answer, what: &str) {
    assert_eq!(got.header("x-frame-options"), "DENY", "{what}");
    assert_eq!(all(&got.headers, "set-cookie"), ["a=1", "side=here"], "{what}");
    assert!(!got.headers.contains_key("server"), "{what}");
}

fn access_log(folder: &Folder) {
    let file = folder.state().join("access.log");
    folder.add_to_process(&format!("[access-log]\nfile = \"{}\"\n", file.display()));
}

async fn last_record(proxy: &Proxy, count: usize) -> AccessRecord {
    let file = proxy.folder.state().join("access.log");
    let lines = || fs::read_to_string(&file).unwrap_or_default().lines().count();
    eventually(&format!("{count} lines"), async || lines() == count).await;
    let text = fs::read_to_string(&file).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_both_ways_in_every_mix_of_protocols() {
    for protocol in PROTOCOLS {
        let endpoint = talkative(200).await;
        let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1").rest(RULES);
        let proxy = Proxy::start(&[service]);
        for over in OVERS {
            let what = format!("{over:?} → {protocol}");
            let headers = [
                ("x-team", "mine"),
                ("x-team", "twice"),
                ("x_team", "in the spelling of gateways"),
                ("x-debug", "1"),
                ("x-seen-by", "edge"),
                ("x-kept", "yes"),
            ];
            let got = ask(&proxy, over, "/v1/x?q=1", &headers).await;
            answer_is_changed(&got, &what);
            let seen = endpoint.seen().pop().unwrap();
            assert_eq!(all(&seen.headers, "x-team"), ["playlist"], "{what}");
            assert_eq!(all(&seen.headers, "x-seen-by"), ["edge", "switchback"], "{what}");
            assert_eq!(all(&seen.headers, "x-kept"), ["yes"], "{what}");
            assert!(!seen.headers.contains_key("x_team") && !seen.headers.contains_key("x-debug"), "{what}");
            assert_eq!((path(&seen), host(&seen).as_str()), ("/v1/x?q=1", "a.test"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_gets_the_rules_once_and_asks_under_the_other_sides_host() {
    for (protocols, over) in [
        (["http/1.1", "http/1.1"], Over::Http1),
        (["http/2", "http/1.1"], Over::Http1),
        (["http/1.1", "http/2"], Over::Http2),
        (["http/2", "http/2"], Over::Http2),
    ] {
        for (hosts, asked, told) in [
            (["h.internal", "k.internal:8080"], ["h.internal", "k.internal:8080"], ["a.test", "a.test"]),
            (["", "k.internal"], ["a.test", "k.internal"], ["", "a.test"]),
            (["h.internal", ""], ["h.internal", "a.test"], ["a.test", ""]),
        ] {
            let (helios, kubernetes) = (talkative(200).await, talkative(503).await);
            let line = |host: &str| if host.is_empty() { String::new() } else { format!("host = {host:?}") };
            let [h, k] = hosts.map(|host| &*line(host).leak());
            let rules = format!("{RULES}[rewrite]\nstrip-prefix = \"/v1\"\n");
            let service = service(helios.address, kubernetes.address, &rules)
                .path("/v1")
                .protocols(protocols[0], protocols[1])
                .sides(h, k);
            let proxy = Proxy::start(&[service]);
            let what = format!("{over:?} → {protocols:?}, {hosts:?}");
            let got = ask(&proxy, over, "/v1/x?q", &[]).await;
            assert_eq!(got.status, 200, "{what}");
            answer_is_changed(&got, &what);
            for (endpoint, side) in [(&helios, 0), (&kubernetes, 1)] {
                let seen = endpoint.seen().remove(0);
                let forwarded = all(&seen.headers, "x-forwarded-host").join("|");
                assert_eq!((host(&seen).as_str(), forwarded.as_str()), (asked[side], told[side]), "{what}");
                assert_eq!(all(&seen.headers, "x-seen-by"), ["switchback"], "{what}");
                assert_eq!(path(&seen), "/x?q", "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_held_back_for_a_rescue_that_failed_is_changed_too() {
    let (helios, kubernetes) = (Endpoint::refusing().await, talkative(503).await);
    let proxy = Proxy::start(&[service(helios, kubernetes.address, RULES)]);
    let got = ask(&proxy, Over::Http1, "/", &[]).await;
    assert_eq!(got.status, 503);
    answer_is_changed(&got, "Kubernetes' own answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_switchback_answers_itself_is_nobodys_to_change_but_can_be_identified() {
    let gone = Endpoint::refusing().await;
    let rules = "[headers]\nrequest-id = \"x-request-id\"\n[headers.answer]\nset = { cache-control = \"public\" }\n\
                 add = { x-added = \"1\" }\nremove = [\"content-type\", \"proxy-status\"]\n";
    let proxy = Proxy::start(&[Service::new("a").helios(gone).rest(rules)]);
    for (content_type, status) in [("text/plain", 502), ("application/grpc", 200)] {
        let asked = [("content-type", content_type), ("x-request-id", "mine")];
        let got = ask(&proxy, Over::Http2, "/", &asked).await;
        assert_eq!(got.status, status);
        assert!(got.header("content-type").starts_with("application/"), "{got:?}");
        assert!(!got.headers.contains_key("x-added") && !got.header("proxy-status").is_empty(), "{got:?}");
        assert_ne!(got.header("cache-control"), "public");
        assert_eq!(got.header("x-request-id"), "mine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_changed_like_any_request_and_ends_as_its_endpoint_says() {
    let endpoint = Endpoint::start(async |_| grpc(Code::InTrailers("5"))).await;
    let service = Service::new("a").helios(endpoint.address).protocols("http/2", "http/1.1").rest(RULES);
    let proxy = Proxy::start(&[service]);
    let asked = [("content-type", "application/grpc"), ("te", "trailers"), ("x-debug", "1")];
    let got = ask(&proxy, Over::Http2, "/shop.Cart/Get", &asked).await;
    assert_eq!(
        (got.status.as_u16(), &got.trailers.as_ref().unwrap()["grpc-status"]),
        (200, &"5".parse().unwrap())
    );
    assert_eq!((got.header("x-frame-options"), got.header("content-type")), ("DENY", "application/grpc"));
    let seen = endpoint.seen().remove(0).headers;
    assert_eq!((&seen["x-team"], seen.contains_key("x-debug")), (&"playlist".parse().unwrap(), false));
    assert_eq!(seen["te"], "trailers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_changed_like_any_request_and_still_switches() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let switched =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\nServer: x\r\n\r\n";
        stream.write_all(switched.as_bytes()).await.unwrap();
        // Tells through the stream what it was asked.
        stream.write_all(&head).await.unwrap();
    })
    .await;
    let rules = format!("{RULES}[rewrite]\nstrip-prefix = \"/v1\"\n");
    let service = Service::new("a")
        .helios(endpoint.address)
        .path("/v1")
        .sides("host = \"h.internal\"", "")
        .rest(&rules);
    let proxy = Proxy::start(&[service]);
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let asking = "GET /v1/echo?a HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\nX-Debug: 1\r\n\r\n";
    client.write_all(asking.as_bytes()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    let (answered, asked) = said.split_once("\r\n\r\n").unwrap();
    let (answered, asked) = (answered.to_ascii_lowercase(), asked.to_ascii_lowercase());
    assert!(answered.starts_with("http/1.1 101") && answered.contains("x-frame-options: deny"), "{answered}");
    assert!(!answered.contains("server:"), "{answered}");
    assert!(asked.starts_with("get /echo?a http/1.1\r\n"), "{asked}");
    for line in
        ["host: h.internal\r\n", "x-forwarded-host: a.test\r\n", "x-team: playlist\r\n", "upgrade: echo\r\n"]
    {
        assert!(asked.contains(line), "{line} {asked}");
    }
    assert!(!asked.contains("x-debug"), "{asked}");
}

/// A client that writes `//` behind the prefix must not be sent, or send an endpoint, to a host of its choice.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_path_is_never_a_host() {
    for protocol in PROTOCOLS {
        let endpoint = Endpoint::named("helios").await;
        let service = Service::new("a").helios(endpoint.address).path("/v1").protocols(protocol, "http/1.1");
        let folder = Folder::with(&[service.rest("[rewrite]\nstrip-prefix = \"/v1/\"\n")]);
        access_log(&folder);
        let proxy = Proxy::start_in(folder);
        let mut count = 0;
        for over in OVERS {
            for (asked, left) in [
                ("/v1", "/"),
                ("/v1?q=/v1", "/?q=/v1"),
                ("/v1/", "/"),
                ("/v1//evil.test/x?q", "/evil.test/x?q"),
                ("/v1///evil.test", "/evil.test"),
                ("/v1/a//b/v1", "/a//b/v1"),
            ] {
                let what = format!("{over:?} → {protocol}: {asked}");
                assert_eq!(ask(&proxy, over, asked, &[]).await.status, 200, "{what}");
                count += 1;
                let seen = endpoint.seen().pop().unwrap();
                assert_eq!((path(&seen), host(&seen).as_str()), (left, "a.test"), "{what}");
                // People know the path that they asked for.
                let record = last_record(&proxy, count).await;
                assert_eq!(record.path, asked.split('?').next().unwrap(), "{what}");
            }
        }
        assert_eq!(ask(&proxy, Over::Http1, "/v1beta", &[]).await.status, 404, "not below the prefix");
    }
}

fn trusting(service: Service, networks: &str) -> Folder {
    let folder = Folder::with(&[service]);
    folder.add_to_listener(&format!("trusted-proxies = {networks}"));
    access_log(&folder);
    folder
}

const SAID: [(&str, &str); 8] = [
    ("x-forwarded-for", "10.20.0.1"),
    ("x_forwarded-for", "10.20.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "b.test"),
    ("x-forwarded-port", "444"),
    ("x-real-ip", "10.20.0.1"),
    ("x_real_ip", "10.20.0.1"),
    ("forwarded", "for=10.20.0.1;proto=https"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_where_it_comes_from_is_replaced() {
    let endpoint = Endpoint::named("helios").await;
    for networks in ["[]", "[\"10.20.0.0/16\"]"] {
        let proxy = Proxy::start_in(trusting(Service::new("a").helios(endpoint.address), networks));
        for (over, count) in OVERS.into_iter().zip(1..) {
            ask(&proxy, over, "/", &SAID).await;
            let seen = endpoint.seen().pop().unwrap().headers;
            assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"], "{over:?}");
            assert_eq!(all(&seen, "x-forwarded-proto"), ["http"], "{over:?}");
            for name in SAID
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| !matches!(*name, "x-forwarded-for" | "x-forwarded-proto"))
            {
                assert!(!seen.contains_key(name), "{name}: {seen:?}");
            }
            let record = last_record(&proxy, count).await;
            assert_eq!(record.client, Some([127, 0, 0, 1].into()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_of_it_is_passed_on_and_added_to() {
    let endpoint = Endpoint::named("helios").await;
    let service = Service::new("a").helios(endpoint.address).sides("host = \"h.internal\"", "");
    let proxy = Proxy::start_in(trusting(service, "[\"127.0.0.0/8\"]"));
    for (over, count) in OVERS.into_iter().zip(1..) {
        ask(&proxy, over, "/", &SAID).await;
        let seen = endpoint.seen().pop().unwrap().headers;
        for (name, value) in [
            ("x-forwarded-for", "10.20.0.1, 127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b.test"),
            ("x-forwarded-port", "444"),
            ("x-real-ip", "10.20.0.1"),
            ("forwarded", "for=10.20.0.1;proto=https, for=127.0.0.1;proto=http"),
        ] {
            assert_eq!(all(&seen, name), [value], "{over:?} {name}");
        }
        assert!(!seen.contains_key("x_forwarded-for") && !seen.contains_key("x_real_ip"), "{seen:?}");
        assert_eq!(last_record(&proxy, count).await.client, Some([10, 20, 0, 1].into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn force_is_not_fooled_by_what_anybody_says_of_where_they_come_from() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = || {
        let force = "force = { from = [\"10.20.0.0/16\"] }";
        Service::new("a").helios(helios.address).kubernetes(kubernetes.address).split(force)
    };
    let forces = async |proxy: &Proxy, lines: &[&str]| {
        let mut headers = vec![("x-switchback-side", "kubernetes")];
        headers.extend(lines.iter().map(|line| ("x-forwarded-for", *line)));
        ask(proxy, Over::Http1, "/", &headers).await.text() == "kubernetes"
    };
    let nobody = Proxy::start_in(trusting(service(), "[]"));
    assert!(!forces(&nobody, &["10.20.0.1"]).await, "an untrusted peer's word");
    let proxies = Proxy::start_in(trusting(service(), "[\"127.0.0.0/8\", \"10.20.99.0/24\"]"));
    for (lines, is_forced) in [
        (&["10.20.0.1"][..], true),
        (&["203.0.113.7, 10.20.0.1"], true),
        (&["203.0.113.7", "10.20.0.1"], true),
        (&["10.20.0.1, 10.20.99.1"], true),
        (&["10.20.0.1:4711"], true),
        (&["10.20.0.1, 203.0.113.7"], false),
        (&["10.20.0.1", "203.0.113.7"], false),
        (&["10.20.0.1, 203.0.113.7, 10.20.99.1"], false),
        // Behind a proxy that does not say for whom it asks, nobody is known, though the proxy may force.
        (&["10.20.0.1, unknown, 10.20.99.1"], false),
        (&["10.20.0.1, "], false),
        (&["unknown, 10.20.99.1"], false),
        (&["10.20.99.1"], true),
        (&[], false),
    ] {
        assert_eq!(forces(&proxies, lines).await, is_forced, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_behind_a_trusted_proxy_keeps_a_side_of_their_own() {
    let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::named("kubernetes").await);
    let service = Service::new("a").weight(50.0).helios(helios.address).kubernetes(kubernetes.address);
    let service = service.split("sticky = { client-address = true }");
    let proxy = Proxy::start_in(trusting(service, "[\"127.0.0.1\"]"));
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let mut sides = [0, 0];
    for user in 0..40 {
        let mut of_user = Vec::new();
        for _ in 0..3 {
            let mut asked = request(Over::Http2, Method::GET, "a.test", "/", "");
            asked.headers_mut().insert("x-forwarded-for", format!("198.51.100.{user}").parse().unwrap());
            of_user.push(client.send(asked).await.text().to_owned());
        }
        assert!(of_user.iter().all(|side| *side == of_user[0]), "user {user}: {of_user:?}");
        sides[usize::from(of_user[0] == "kubernetes")] += 1;
    }
    assert!(sides.iter().all(|users| *users >= 8), "each user has a place of their own: {sides:?}");
}

/// Where a load balancer tells by the PROXY protocol who is at the other end, that one is trusted or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_known_by_the_address_that_a_load_balancer_tells() {
    let endpoint = Endpoint::named("helios").await;
    let folder = trusting(Service::new("a").helios(endpoint.address), "[\"10.9.0.0/24\"]");
    folder.add_to_listener("proxy-protocol-from = [\"127.0.0.0/8\"]");
    let proxy = Proxy::start_in(folder);
    for ((peer, passed), count) in [
        ("10.9.0.1:4711", "203.0.113.7, 10.9.0.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1:4711", "127.0.0.1"),
    ]
    .into_iter()
    .zip(1..)
    {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let header = HeaderBuilder::v2_proxy(peer, "198.51.100.9:80".parse().unwrap()).build();
        stream.write_all(&header).await.unwrap();
        let asked =
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let seen = endpoint.seen().pop().unwrap().headers;
        assert_eq!(all(&seen, "x-forwarded-for"), [passed]);
        let client = if count == 1 { [203, 0, 113, 7].into() } else { peer.ip() };
        assert_eq!(last_record(&proxy, count).await.client, Some(client));
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_and_what_is_none_goes_with_its_state() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    access_log(&folder);
    let proxy = Proxy::start_in(folder);
    let invalid = PARENT.to_uppercase();
    let mut count = 0;
    for over in OVERS {
        for (parents, passes) in
            [(&[PARENT][..], true), (&[&*invalid], false), (&[PARENT, PARENT], false), (&[], false)]
        {
            let mut headers = vec![("tracestate", "a=1,b=2")];
            headers.extend(parents.iter().map(|parent| ("traceparent", *parent)));
            ask(&proxy, over, "/", &headers).await;
            count += 1;
            let seen = endpoint.seen().pop().unwrap().headers;
            let (parent, state) = (all(&seen, "traceparent"), all(&seen, "tracestate"));
            let record = last_record(&proxy, count).await;
            if passes {
                assert_eq!((parent, state), (vec![PARENT], vec!["a=1,b=2"]));
                assert_eq!(record.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
            } else {
                assert!(parent.is_empty() && state.is_empty(), "{parents:?}: {seen:?}");
                assert_eq!(record.trace_id, None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_started_where_there_is_none_and_a_rescue_is_part_of_it() {
    for (trace, flags) in [("start = true", "-00"), ("start = true\nsampled = true", "-01")] {
        let (helios, kubernetes) = (Endpoint::named("helios").await, Endpoint::status(500).await);
        let folder =
            Folder::with(&[service(helios.address, kubernetes.address, &format!("[trace]\n{trace}\n"))]);
        access_log(&folder);
        let proxy = Proxy::start_in(folder);
        let mut ids = Vec::new();
        for (headers, count) in [&[][..], &[("traceparent", "nonsense")], &[]].into_iter().zip(1..) {
            ask(&proxy, Over::Http1, "/", headers).await;
            let parents = [&helios, &kubernetes].map(|endpoint| {
                let seen = endpoint.seen().pop().unwrap().headers;
                seen["traceparent"].to_str().unwrap().to_owned()
            });
            assert_eq!(parents[0], parents[1]);
            assert!(parents[0].len() == 55 && parents[0].starts_with("00-") && parents[0].ends_with(flags));
            let id = last_record(&proxy, count).await.trace_id.unwrap();
            assert_eq!(id, parents[0][3..35]);
            ids.push(id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "each has its own: {ids:?}");
        ask(&proxy, Over::Http1, "/", &[("traceparent", PARENT)]).await;
        assert_eq!(helios.seen().pop().unwrap().headers["traceparent"], PARENT, "one that runs goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_known_by_one_identifier_everywhere() {
    // An endpoint that answers with an identifier of its own.
    let endpoint = Endpoint::start(async |_| {
        let mut told = answer(200, "");
        told.headers_mut().insert("x-request-id", "the endpoint's".parse().unwrap());
        told
    })
    .await;
    let service =
        Service::new("a").helios(endpoint.address).rest("[headers]\nrequest-id = \"X-Request-ID\"\n");
    let folder = Folder::with(&[service]);
    access_log(&folder);
    let proxy = Proxy::start_in(folder);
    let too_long = "x".repeat(129);
    let mut count = 0;
    for over in OVERS {
        for (given, is_passed) in [
            (&["7f3a-81bc"][..], true),
            (&[], false),
            (&["a b"], false),
            (&["a", "b"], false),
            (&[&*too_long], false),
        ] {
            let mut headers = vec![("x_request_id", "evil")];
            headers.extend(given.iter().map(|id| ("x-request-id", *id)));
            let got = ask(&proxy, over, "/", &headers).await;
            count += 1;
            let seen = endpoint.seen().pop().unwrap().headers;
            let id = got.header("x-request-id");
            assert_eq!(id == given.first().copied().unwrap_or_default(), is_passed, "{given:?}: {id}");
            assert!(is_passed || id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            assert_eq!((all(&seen, "x-request-id"), all(&got.headers, "x-request-id")), (vec![id], vec![id]));
            assert!(!seen.contains_key("x_request_id"), "{seen:?}");
            assert_eq!(last_record(&proxy, count).await.request_id.as_deref(), Some(id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_rules_hold_for_requests_on_connections_that_are_open() {
    let endpoint = Endpoint::named("helios").await;
    let with = |team: &str| {
        let rules = format!("[headers.answer]\nset = {{ x-team = {team:?} }}\n");
        Service::new("a").helios(endpoint.address).rest(&rules)
    };
    let proxy = Proxy::start(&[with("one")]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("a.test", "/").await.header("x-team"), "one");
    proxy.folder.write(&with("two"));
    eventually("the new rule", async || client.get("a.test", "/").await.header("x-team") == "two").await;
    proxy.folder.write(&Service::new("a").helios(endpoint.address));
    eventually("no rule", async || client.get("a.test", "/").await.header("x-team").is_empty()).await;
}
