//! WebSockets and other protocols behind HTTP: from a client to an endpoint, over either HTTP, to their end.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::support::client::{Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::proxy::{Folder, Proxy, Service};
use crate::support::websocket::{Socket, connect, echo, open, serves};

const TRIES: &str = "switchback_tries_total";
const BOTH: [Over; 2] = [Over::Http1, Over::Http2];

fn k(outcome: &str) -> [String; 2] {
    ["side=\"kubernetes\"".to_owned(), format!("outcome=\"{outcome}\"")]
}

async fn counted(proxy: &Proxy, outcome: &str, wanted: f64) {
    let labels = k(outcome);
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    proxy.counted(TRIES, &labels, wanted).await;
}

fn protocol(over: Over) -> &'static str {
    match over {
        Over::Http1 => "http/1.1",
        Over::Http2 => "http/2",
    }
}

/// All requests go to Kubernetes first, whatever comes of it.
fn service(kubernetes: SocketAddr, over: Over, rest: &str) -> Service {
    Service::new("a")
        .weight(100.0)
        .kubernetes(kubernetes)
        .protocols("http/1.1", protocol(over))
        .rest(&format!("[judge]\nmode = \"off\"\n{rest}\n"))
}

async fn revert(proxy: &Proxy) {
    let got = proxy.ask(Method::POST, "/v1/revert", &json!({ "services": ["a"], "reason": "test" })).await;
    assert!(got.status.is_success(), "{}", got.text());
}

async fn close_code(socket: &mut Socket) -> Option<u16> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}

async fn echoes(socket: &mut Socket, message: Message) {
    socket.send(message.clone()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap() == message, "the same, and next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_carried_between_either_http_and_either() {
    for (client, endpoint) in BOTH.into_iter().flat_map(|client| BOTH.map(|endpoint| (client, endpoint))) {
        let kubernetes = serves(endpoint, echo).await;
        let proxy = Proxy::start(&[service(kubernetes.address, endpoint, "")]);
        let mut socket = open(proxy.address, client).await.unwrap();
        echoes(&mut socket, Message::text("hello")).await;
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
            echoes(&mut socket, Message::binary(vec![7; size])).await;
        }
        socket.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
        // In pieces, with a ping between two of them.
        let piece = |text: &'static str, opcode, last| {
            Message::Frame(frame::Frame::message(
                Bytes::from_static(text.as_bytes()),
                OpCode::Data(opcode),
                last,
            ))
        };
        socket.send(piece("one ", Data::Text, false)).await.unwrap();
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        socket.send(piece("two", Data::Continue, true)).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_pong());
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("one two"));
        counted(&proxy, "ok", 0.0).await;
        let close = CloseFrame { code: CloseCode::from(4_001), reason: "enough".into() };
        socket.close(Some(close.clone())).await.unwrap();
        let answered = socket.next().await.unwrap().unwrap();
        assert_eq!(answered, Message::Close(Some(close)), "{client:?} to {endpoint:?}");
        assert!(socket.next().await.is_none());
        drop(socket);
        counted(&proxy, "ok", 1.0).await;
        proxy.counted("switchback_answer_seconds_count", &["side=\"kubernetes\""], 1.0).await;
        proxy.counted("switchback_connections", &[], 0.0).await;
    }
}

/// An endpoint of HTTP/1.1 that switches to what was asked for, and tells what it has read.
async fn switching(answer: &'static str) -> (Endpoint, mpsc::UnboundedReceiver<(String, TcpStream)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let endpoint = Endpoint::raw(move |mut stream| {
        let tell = tell.clone();
        async move {
            let head = head(&mut stream).await;
            let key =
                head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
            let key = http::HeaderValue::from_str(key).unwrap();
            let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            stream.write_all(answer.replace("{accept}", &accept).as_bytes()).await.unwrap();
            let _ = tell.send((head, stream));
        }
    })
    .await;
    (endpoint, told)
}

const WEBSOCKET: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade, x-private\r\n\
                         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\nX-Private: 1\r\n\r\n";
const ASKING: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                      Keep-Alive: 5\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Protocol: chat\r\n\r\n";

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn asks(proxy: &Proxy, request: &str) -> (String, TcpStream) {
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    (answer, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_passed_on_and_nothing_else_of_the_connection() {
    let (kubernetes, mut told) = switching(WEBSOCKET).await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    let (answer, _client) = asks(&proxy, ASKING).await;
    let (head, _endpoint) = told.recv().await.unwrap();
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-protocol: chat"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert!(!head.contains("keep-alive"), "{head}");
    assert!(answer.starts_with("HTTP/1.1 101") && !answer.contains("x-private"), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

/// Whatever the bytes are, and wherever segments cut them.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_unchanged_however_they_are_cut() {
    let mut frames = vec![0x82, 0x85, 1, 2, 3, 4, 0x89, 0x8a, 9, 9, 0x7e];
    frames.extend([0x89, 0x80, 5, 6, 7, 8, 0x02, 0xfe, 0, 130, 0xaa, 0xbb, 0xcc, 0xdd]);
    frames.extend((0..130).map(|byte| byte ^ 0x5a));
    frames.extend([0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 1, 1, 0x88, 0x88, 0x88]);
    let (kubernetes, mut told) = switching(WEBSOCKET).await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    let (_, mut client) = asks(&proxy, ASKING).await;
    let (_, mut endpoint) = told.recv().await.unwrap();
    for cut in 0..frames.len() {
        goes(&frames, cut, &mut client, &mut endpoint).await;
        goes(&frames, cut, &mut endpoint, &mut client).await;
    }
}

async fn goes(bytes: &[u8], cut: usize, from: &mut TcpStream, to: &mut TcpStream) {
    let mut got = vec![0; bytes.len()];
    from.write_all(&bytes[..cut]).await.unwrap();
    to.read_exact(&mut got[..cut]).await.unwrap();
    from.write_all(&bytes[cut..]).await.unwrap();
    to.read_exact(&mut got[cut..]).await.unwrap();
    assert_eq!(got, bytes, "cut at {cut}");
}

const OTHER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: Upgrade\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn any_protocol_is_carried_and_each_end_ends_for_itself() {
    let (kubernetes, mut told) = switching(OTHER).await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    let ask = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c, echo/1\r\nConnection: upgrade\r\n\r\nearly";
    let (answer, mut client) = asks(&proxy, ask).await;
    assert!(answer.contains("\r\nupgrade: echo/1\r\n"), "{answer}");
    let (head, mut endpoint) = told.recv().await.unwrap();
    assert!(head.contains("\r\nupgrade: echo/1\r\n"), "{head}");
    client.write_all(b" and late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = String::new();
    endpoint.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "early and late");
    let large = vec![9; 3_000_000];
    let sends = tokio::spawn(async move {
        endpoint.write_all(&large).await.unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    sends.await.unwrap();
    assert!(got.len() == 3_000_000 && got.iter().all(|byte| *byte == 9));
    counted(&proxy, "ok", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_before_the_switch() {
    let (kubernetes, mut told) = switching(OTHER).await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    let ask = "POST / HTTP/1.1\r\nHost: a.test\r\nUpgrade: echo/1\r\nConnection: upgrade\r\nContent-Length: 4\r\n\r\nbody";
    let (answer, mut client) = asks(&proxy, ask).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let (head, mut endpoint) = told.recv().await.unwrap();
    assert!(head.starts_with("POST ") && head.contains("content-length: 4"), "{head}");
    client.write_all(b"and more").await.unwrap();
    let mut got = [0; 12];
    endpoint.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"bodyand more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_switch_is_an_answer() {
    let kubernetes = Endpoint::start(async move |seen| {
        assert!(!seen.headers.contains_key("upgrade") || seen.uri.path() == "/chat", "{:?}", seen.headers);
        answer(426, "not here")
    })
    .await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    for client in BOTH {
        assert_eq!(open(proxy.address, client).await.map(drop), Err(http::StatusCode::UPGRADE_REQUIRED));
    }
    for ask in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: upgrade, http2-settings\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let (answer, _) = asks(&proxy, ask).await;
        assert!(answer.contains(" 426 "), "{answer}");
    }
    counted(&proxy, "ok", 5.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_in_the_endpoints_http_is_refused() {
    let kubernetes = Endpoint::named("kubernetes").await;
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, "")]);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    assert_eq!(connect(stream, "connect-udp").await.map(drop), Err(http::StatusCode::NOT_IMPLEMENTED));
    counted(&proxy, "no_upgrade", 1.0).await;
    assert_eq!(kubernetes.hits(), 0);
    // What HTTP/1.1 would like need not be granted.
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http2, "")]);
    let ask = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: echo/1\r\nConnection: upgrade\r\n\r\n";
    let (answer, _) = asks(&proxy, ask).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // An endpoint that does not allow extended CONNECT is no place for a WebSocket.
    assert_eq!(open(proxy.address, Over::Http2).await.map(drop), Err(http::StatusCode::BAD_GATEWAY));
    assert_eq!(open(proxy.address, Over::Http1).await.map(drop), Err(http::StatusCode::BAD_GATEWAY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_on_kubernetes_is_rescued_over_any_http() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n";
    for (what, kubernetes, over) in [
        ("status", Endpoint::status(503).await, Over::Http1),
        // One of HTTP/2 that takes no WebSocket says so before it is asked.
        ("protocol", Endpoint::status(503).await, Over::Http2),
        ("reset", Endpoint::raw(async |mut stream| drop(head(&mut stream).await)).await, Over::Http1),
        ("protocol", switching(wrong).await.0, Over::Http1),
        ("protocol", switching(OTHER).await.0, Over::Http1),
        ("header_timeout", Endpoint::hanging().await, Over::Http1),
    ] {
        for (client, asked) in BOTH.into_iter().flat_map(|client| BOTH.map(|asked| (client, asked))) {
            let helios = serves(asked, echo).await;
            let rest = "[timeouts]\nheader = \"200ms\"\nconnect = \"100ms\"";
            let service = service(kubernetes.address, over, rest)
                .helios(helios.address)
                .protocols(protocol(asked), protocol(over));
            let proxy = Proxy::start(&[service]);
            let mut socket = open(proxy.address, client).await.unwrap();
            echoes(&mut socket, Message::text("hello")).await;
            counted(&proxy, what, 1.0).await;
            proxy.counted("switchback_rescues_total", &["result=\"rescued\""], 1.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_is_told_apart() {
    for (client, endpoint) in BOTH.into_iter().flat_map(|client| BOTH.map(|endpoint| (client, endpoint))) {
        let kubernetes = serves(endpoint, |mut socket: Socket| async move {
            while let Some(Ok(message)) = socket.next().await {
                if message == Message::text("die") || socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let proxy = Proxy::start(&[service(kubernetes.address, endpoint, "")]);
        let mut left = open(proxy.address, client).await.unwrap();
        echoes(&mut left, Message::text("hello")).await;
        drop(left);
        counted(&proxy, "client_gone", 1.0).await;
        proxy.counted("switchback_connections", &[], 0.0).await;
        let mut dying = open(proxy.address, client).await.unwrap();
        dying.send(Message::text("die")).await.unwrap();
        assert!(dying.next().await.is_none_or(|ended| ended.is_err()), "{client:?} to {endpoint:?}");
        counted(&proxy, "truncated", 1.0).await;
        drop(dying);
        counted(&proxy, "ok", 0.0).await;
        proxy.counted("switchback_connections", &[], 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_access_log_says_what_it_was() {
    let kubernetes = serves(Over::Http1, echo).await;
    let folder = Folder::with(&[service(kubernetes.address, Over::Http1, "")]);
    let file = folder.state().join("access.log");
    folder.add_to_process(&format!("[access-log]\nfile = \"{}\"\n", file.display()));
    let proxy = Proxy::start_in(folder);
    let mut socket = open(proxy.address, Over::Http2).await.unwrap();
    echoes(&mut socket, Message::text("hello")).await;
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    let _folder = proxy.end().await;
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(
        (&line["upgrade"], &line["outcome"], &line["method"]),
        (&json!("websocket"), &json!("ok"), &json!("GET"))
    );
    assert_eq!(line["status"], 200);
}

/// An answer that begins and never ends, as events and streaming calls do.
async fn streams(content_type: &'static str) -> Endpoint {
    Endpoint::streaming(move |_| async move {
        let begun = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"begun"))) });
        let body = StreamBody::new(begun.chain(futures_util::stream::pending()));
        let mut answer = http::Response::new(BodyExt::boxed(body));
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
        answer
    })
    .await
}

async fn begins(proxy: &Proxy, over: Over, content_type: &'static str) -> Incoming {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let mut asking = request(over, Method::GET, "a.test", "/feed", "");
    asking.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    let answered = match over {
        Over::Http1 => {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(asking).await
        }
        Over::Http2 => {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(asking).await
        }
    };
    let mut body = answered.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_http_are_closed_in_their_own_words() {
    let grpc = "application/grpc";
    let helios = Endpoint::named("helios").await;
    for (client, endpoint, content_type) in [
        (Over::Http2, Over::Http2, grpc),
        (Over::Http2, Over::Http1, "text/event-stream"),
        (Over::Http1, Over::Http1, "text/event-stream"),
    ] {
        let kubernetes = streams(content_type).await;
        let rest = "[streams]\non-revert = \"close after 50ms\"\non-shutdown = \"close\"\n";
        for shutdown in [false, true] {
            let service = service(kubernetes.address, endpoint, rest).helios(helios.address);
            let proxy = Proxy::start(&[service]);
            let mut body = begins(&proxy, client, content_type).await;
            let kept = if shutdown {
                drop(tokio::spawn(proxy.end()));
                None
            } else {
                revert(&proxy).await;
                Some(proxy)
            };
            let end = body.frame().await.unwrap();
            if content_type == grpc {
                assert_eq!(end.unwrap().into_trailers().unwrap()["grpc-status"], "14");
            } else {
                assert!(end.is_err(), "it must not look whole: {client:?}");
            }
            if let Some(proxy) = kept {
                counted(&proxy, "closed", 1.0).await;
            }
        }
    }
}

/// An endpoint of either HTTP, and the close codes that it is told.
async fn told_codes(over: Over) -> (Endpoint, mpsc::UnboundedReceiver<Option<u16>>) {
    let (tell, told) = mpsc::unbounded_channel();
    let endpoint = serves(over, move |mut socket: Socket| {
        let tell = tell.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Close(frame) => {
                        let _ = tell.send(frame.map(|frame| frame.code.into()));
                    }
                    message => socket.send(message).await.unwrap(),
                }
            }
        }
    })
    .await;
    (endpoint, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_closes_streams_on_kubernetes_as_the_service_says() {
    let helios = Endpoint::named("helios").await;
    for (client, endpoint) in BOTH.into_iter().flat_map(|client| BOTH.map(|endpoint| (client, endpoint))) {
        for policy in ["close", "close after 100ms"] {
            let (kubernetes, mut told) = told_codes(endpoint).await;
            let rest = format!("[streams]\non-revert = {policy:?}\n");
            let service = service(kubernetes.address, endpoint, &rest).helios(helios.address);
            let proxy = Proxy::start(&[service]);
            let mut socket = open(proxy.address, client).await.unwrap();
            echoes(&mut socket, Message::text("hello")).await;
            revert(&proxy).await;
            assert_eq!(close_code(&mut socket).await, Some(1_001), "{client:?} to {endpoint:?}: {policy}");
            assert_eq!(told.recv().await, Some(Some(1_001)), "{client:?} to {endpoint:?}: {policy}");
            drop(socket);
            counted(&proxy, "closed", 1.0).await;
            proxy.counted("switchback_connections", &[], 0.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_lets_streams_finish_and_does_not_concern_those_on_helios() {
    let (helios, kubernetes) = (serves(Over::Http1, echo).await, serves(Over::Http1, echo).await);
    for (weight, rest) in [(100.0, ""), (0.0, "[streams]\non-revert = \"close\"\n")] {
        let service = service(kubernetes.address, Over::Http1, rest).weight(weight).helios(helios.address);
        let proxy = Proxy::start(&[service]);
        let mut socket = open(proxy.address, Over::Http1).await.unwrap();
        echoes(&mut socket, Message::text("before")).await;
        revert(&proxy).await;
        // Whoever were to be closed would be by the time that another stream has come and gone.
        let mut other = open(proxy.address, Over::Http1).await.unwrap();
        echoes(&mut other, Message::text("other")).await;
        echoes(&mut socket, Message::text("after")).await;
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
        proxy.counted(TRIES, &["outcome=\"ok\""], 1.0).await;
        proxy.never(TRIES, &["outcome=\"closed\""]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_is_cut_by_a_goodbye() {
    let (kubernetes, mut told) = switching(WEBSOCKET).await;
    let helios = Endpoint::named("helios").await;
    let service = service(kubernetes.address, Over::Http1, "[streams]\non-revert = \"close\"\n");
    let proxy = Proxy::start(&[service.helios(helios.address)]);
    let (_, mut client) = asks(&proxy, ASKING).await;
    let (_, mut endpoint) = told.recv().await.unwrap();
    endpoint.write_all(&[0x82, 4, 1, 2]).await.unwrap();
    let mut begun = [0; 4];
    client.read_exact(&mut begun).await.unwrap();
    revert(&proxy).await;
    // The other direction is between frames, and hears it first.
    let mut masked = [0; 8];
    endpoint.read_exact(&mut masked).await.unwrap();
    assert_eq!(
        [masked[0], masked[1], masked[6] ^ masked[2], masked[7] ^ masked[3]],
        [0x88, 0x82, 0x03, 0xe9]
    );
    endpoint.write_all(&[3, 4, 0x82, 1, 9]).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [3, 4, 0x88, 2, 0x03, 0xe9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_says_goodbye_to_both_ends() {
    for (client, endpoint) in BOTH.into_iter().flat_map(|client| BOTH.map(|endpoint| (client, endpoint))) {
        for (policy, deadline) in [("close", "30s"), ("close after 50ms", "30s"), ("finish", "100ms")] {
            let (kubernetes, mut told) = told_codes(endpoint).await;
            let rest = format!("[streams]\non-shutdown = {policy:?}\n");
            let folder = Folder::with(&[service(kubernetes.address, endpoint, &rest)]);
            let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
            folder.write_process(&text.replace("\"5s\"", &format!("{deadline:?}")));
            let proxy = Proxy::start_in(folder);
            let mut socket = open(proxy.address, client).await.unwrap();
            echoes(&mut socket, Message::text("hello")).await;
            let ends = tokio::spawn(proxy.end());
            assert_eq!(close_code(&mut socket).await, Some(1_001), "{client:?} to {endpoint:?}: {policy}");
            assert_eq!(told.recv().await, Some(Some(1_001)), "{client:?} to {endpoint:?}: {policy}");
            drop(socket);
            ends.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_silent_for_too_long_is_closed() {
    let (kubernetes, mut told) = told_codes(Over::Http1).await;
    let rest = "[timeouts]\nidle = \"10ms\"\nstream-idle = \"200ms\"\n";
    let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, rest)]);
    let mut socket = open(proxy.address, Over::Http1).await.unwrap();
    assert_eq!(close_code(&mut socket).await, Some(1_001));
    assert_eq!(told.recv().await, Some(Some(1_001)));
    counted(&proxy, "closed", 1.0).await;
}

/// A hedge's twin has no place of its own, and must not take the stream's.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_stream_keeps_its_place_also_where_requests_are_hedged() {
    for client in BOTH {
        let kubernetes = serves(Over::Http1, echo).await;
        let rest = "[rescue]\nhedge = true\n[limits]\nin-flight = 1\nqueue = 0\n";
        let proxy = Proxy::start(&[service(kubernetes.address, Over::Http1, rest)]);
        let mut socket = open(proxy.address, client).await.unwrap();
        echoes(&mut socket, Message::text("hello")).await;
        let refused = proxy.get("a.test", "/").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["reason"]), (503, &"in_flight_limit".into()));
        echoes(&mut socket, Message::text("still there")).await;
    }
}
