//! HTTP/2 where it is not as usual, frame by frame: windows that are shut, heads in pieces, faults of either end, and connections
//! that end while something is under way.
//!
//! From RFC 9113 (HTTP/2) and RFC 7541 (HPACK), whose sections are named where it is about one of their rules.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::client::{Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::frames::{
    self, ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH,
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FIRST_WINDOW, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Frames,
    GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE,
    MOST_WINDOW, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM,
    RST_STREAM, SETTINGS, STREAM_CLOSED, Talk, WINDOW_UPDATE, WITH_PRIORITY, block, frame, goaway, handed,
    head, reset, room, settings,
};
use crate::support::proxy::{Folder, Proxy, Service};

const TRIES: &str = "switchback_tries_total";

fn asked<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)]
}

/// A whole request without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    head(stream, END_STREAM, &asked("GET", path))
}

/// The head of one with a body.
fn begun(stream: u32, method: &str) -> Vec<u8> {
    head(stream, 0, &asked(method, "/"))
}

/// A head as it is, with these fields before its own and behind them.
fn head_of(kind: u8, flags: u8, stream: u32, (before, block, behind): (&[u8], &[u8], &[u8])) -> Vec<u8> {
    frame(kind, flags, stream, &[before, block, behind].concat())
}

/// A body of which each byte tells its place.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// Answers `/bytes/N` with so many, `/held` when it is let, and all others with what they send.
async fn endpoint(gate: &Arc<Semaphore>) -> Endpoint {
    let gate = gate.clone();
    Endpoint::start(move |seen| {
        let gate = gate.clone();
        async move {
            match seen.uri.path().strip_prefix("/bytes/") {
                Some(length) => answer(200, pattern(length.parse().unwrap())),
                None if seen.uri.path() == "/held" => {
                    gate.acquire().await.unwrap().forget();
                    answer(200, "held")
                }
                None => answer(200, seen.body),
            }
        }
    })
    .await
}

fn closed() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// A proxy before such an endpoint, whose listener has these limits.
async fn limited(gate: &Arc<Semaphore>, limits: &str) -> (Proxy, Endpoint) {
    let endpoint = endpoint(gate).await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process(&format!("[listeners.http.limits]\n{limits}\n"));
    (Proxy::start_in(folder), endpoint)
}

/// A proxy before an endpoint that speaks HTTP/2.
fn before(endpoint: &Endpoint) -> Proxy {
    Proxy::start(&[Service::new("a").helios(endpoint.address).protocols("http/2", "http/1.1")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_as_much_of_a_body_as_it_gives_room_for_and_the_trailers_behind_it() {
    let endpoint = frames::endpoint(|_, stream| {
        let head = head(stream, 0, &[(":status", "200"), ("trailer", "x-sum")]);
        let trailers =
            head_of(HEADERS, END_STREAM | END_HEADERS, stream, (&[], &block(&[("x-sum", "7")]), &[]));
        [head, frame(DATA, 0, stream, &pattern(35)), trailers].concat()
    })
    .await;
    let proxy = before(&endpoint);
    let mut client = Talk::connect(proxy.address, &[(INITIAL_WINDOW_SIZE, 10)]).await;
    let wants = [&asked("GET", "/")[..], &[("te", "trailers")]].concat();
    client.send(&head(1, END_STREAM, &wants)).await;
    for (more, wanted) in [(0, 10), (7, 17), (1, 18), (1_000, 35)] {
        if more > 0 {
            client.send(&room(1, more)).await;
        }
        client.until("there is so much", |talk| talk.of(1).body.len() >= wanted).await;
        client.ping().await;
        assert_eq!(client.of(1).body, pattern(wanted));
    }
    assert_eq!(client.answer(1).await, (Some(200), pattern(35)));
    let said = client.of(1);
    assert_eq!((said.blocks.len(), said.kinds.last()), (2, Some(&HEADERS)), "the trailers come last");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_shrink_a_window_below_what_was_sent_lose_nothing() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let mut client = Talk::connect(proxy.address, &[(INITIAL_WINDOW_SIZE, 100)]).await;
    client.send(&get(1, "/bytes/300")).await;
    client.until("the window is full", |talk| talk.of(1).body.len() >= 100).await;
    // It is 80 bytes less than nothing now.
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 20)])).await;
    for (more, wanted) in [(0, 100), (80, 100), (5, 105)] {
        if more > 0 {
            client.send(&room(1, more)).await;
        }
        client.until("there is so much", |talk| talk.of(1).body.len() >= wanted).await;
        client.ping().await;
        assert_eq!(client.of(1).body.len(), wanted);
    }
    client.send(&get(3, "/bytes/20")).await;
    assert_eq!(client.answer(3).await, (Some(200), pattern(20)), "a new stream begins with what it is now");
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 1_000)])).await;
    assert_eq!(client.answer(1).await, (Some(200), pattern(300)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_window_is_shut_keeps_nobody_waiting_and_is_let_go_in_the_end() {
    let (proxy, _endpoint) = limited(&closed(), "stalled = \"100ms\"").await;
    let mut client = Talk::connect(proxy.address, &[(INITIAL_WINDOW_SIZE, 10)]).await;
    client.send(&get(1, "/bytes/1000000")).await;
    client.until("its window is full", |talk| talk.of(1).body.len() == 10).await;
    for stream in [3, 5] {
        client.send(&get(stream, "/bytes/10")).await;
        assert_eq!(client.answer(stream).await, (Some(200), pattern(10)));
    }
    client.until("it is let go", |talk| talk.of(1).reset.is_some()).await;
    assert_eq!(client.of(1).reset, Some(CANCEL));
    client.send(&get(7, "/bytes/10")).await;
    assert_eq!(client.answer(7).await, (Some(200), pattern(10)));
    assert_eq!(client.goaways, []);
    proxy.counted(TRIES, &["outcome=\"client_gone\"", "fault=\"client\""], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_window_of_all_is_shut_no_body_flows_and_then_all_go_on() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let mut client = Talk::connect(proxy.address, &[(INITIAL_WINDOW_SIZE, 1 << 20)]).await;
    let streams = [1, 3, 5];
    for stream in streams {
        client.send(&get(stream, "/bytes/50000")).await;
    }
    let all = |talk: &Talk| streams.iter().map(|stream| talk.of(*stream).body.len()).sum::<usize>();
    client.until("the window is full", |talk| all(talk) >= FIRST_WINDOW as usize).await;
    client.ping().await;
    client.send(&get(7, "/")).await;
    assert_eq!(client.answer(7).await, (Some(200), vec![]), "what has no body needs no room");
    assert_eq!(all(&client), FIRST_WINDOW as usize);
    // Room for one stream is none for all.
    client.send(&room(5, 1_000)).await;
    client.ping().await;
    assert_eq!(all(&client), FIRST_WINDOW as usize);
    client.send(&room(0, 100_000)).await;
    for stream in streams {
        assert_eq!(client.answer(stream).await, (Some(200), pattern(50_000)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_keeps_no_other_from_being_sent() {
    let endpoint = Endpoint::streaming(async |request| {
        if request.uri().path() != "/endless" {
            return answer(200, pattern(300_000));
        }
        let endless = stream::repeat(Bytes::from(vec![7; 64 << 10]));
        let frames = endless.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        Response::new(StreamBody::new(frames).map_err(|never| match never {}).boxed())
    })
    .await;
    for protocol in ["http/1.1", "http/2"] {
        let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1");
        let proxy = Proxy::start(&[service]);
        let mut client = Talk::connect(proxy.address, &[(INITIAL_WINDOW_SIZE, MOST_WINDOW)]).await;
        client.send(&room(0, MOST_WINDOW - FIRST_WINDOW)).await;
        client.send(&get(1, "/endless")).await;
        client.until("it flows", |talk| talk.of(1).body.len() > 1 << 20).await;
        client.send(&[get(3, "/"), get(5, "/")].concat()).await;
        for stream in [3, 5] {
            let mut heard = 0;
            while !client.of(stream).has_ended {
                assert!(client.hear().await);
                heard += 1;
                assert!(heard < 10_000, "{protocol}: {} bytes", client.of(stream).body.len());
            }
            assert_eq!(client.of(stream).body, pattern(300_000));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_what_is_allowed_are_refused_and_the_others_answered() {
    let gate = closed();
    let (proxy, endpoint) = limited(&gate, "streams = 3").await;
    let mut client = Talk::connect(proxy.address, &[]).await;
    for stream in [1, 3, 5, 7, 9] {
        client.send(&get(stream, "/held")).await;
    }
    for stream in [7, 9] {
        client.until("it is refused", |talk| talk.of(stream).reset == Some(REFUSED_STREAM)).await;
    }
    // What is still on its way to a refused stream harms nobody.
    client.send(&[frame(DATA, END_STREAM, 9, b"late"), room(9, 1), reset(9, CANCEL)].concat()).await;
    gate.add_permits(100);
    for stream in [1, 3, 5] {
        assert_eq!(client.answer(stream).await, (Some(200), b"held".to_vec()));
    }
    client.send(&get(11, "/held")).await;
    assert_eq!(client.answer(11).await.0, Some(200));
    assert_eq!(endpoint.hits(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn padding_priorities_and_heads_in_pieces_are_nothing_special() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let fields = block(&asked("POST", "/"));
    let all = END_HEADERS | PADDED | WITH_PRIORITY;
    let padded = [
        head_of(HEADERS, all, 1, (&[9, 0x80, 0, 0, 0, 255], &fields, &[0; 9])),
        frame(DATA, PADDED, 1, b"\x03he\0\0\0"),
        frame(DATA, PADDED, 1, &[0]),
        frame(DATA, 0, 1, b""),
        frame(DATA, 0, 1, b"llo"),
        frame(DATA, PADDED | END_STREAM, 1, &[[255; 1], [0; 1]].concat().repeat(128)),
    ]
    .concat();
    // One byte a frame, and empty frames, too: so many are allowed.
    let mut pieces = head_of(HEADERS, PADDED, 3, (&[2], b"", &[0; 2]));
    let (last, first) = fields.split_last().unwrap();
    for piece in first.chunks(2) {
        pieces.extend(frame(CONTINUATION, 0, 3, piece));
    }
    pieces.extend(
        [frame(CONTINUATION, END_HEADERS, 3, &[*last]), frame(DATA, END_STREAM, 3, b"hello")].concat(),
    );
    for is_in_drops in [false, true] {
        let mut client = Talk::connect(proxy.address, &[]).await;
        let sent = [&padded[..], &pieces].concat();
        for piece in sent.chunks(if is_in_drops { 1 } else { sent.len() }) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        for stream in [1, 3] {
            assert_eq!(
                client.answer(stream).await,
                (Some(200), b"hello".to_vec()),
                "in drops: {is_in_drops}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_and_what_nobody_knows_is_passed_over() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let mut client = Talk::connect(proxy.address, &[]).await;
    let strange = [
        frame(0x42, 0xff, 0, b"?"),
        frame(0x42, 0xff, 1, &[7; 300]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 15]),
        frame(PRIORITY, 0, 99, &[0, 0, 0, 1, 15]),
        settings(&[(0x99, 7), (6, 1), (ENABLE_CONNECT_PROTOCOL, 1)]),
        frame(PING, 0x0e, 0, b"whatever"),
        frame(PING, ACK, 0, b"nobody's"),
        get(1, "/bytes/3"),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 15]),
    ];
    client.send(&strange.concat()).await;
    assert_eq!(client.answer(1).await, (Some(200), pattern(3)));
    client.until("the ping is answered", |talk| !talk.pongs.is_empty()).await;
    assert_eq!(client.pongs, [b"whatever".to_vec()]);
    assert_eq!(client.agreed, 2);
}

/// Nobody hears who does not listen; but once it does, nothing is missing, and the connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_late_gets_all_that_it_has_asked_for() {
    /// More than what is on its way between the two takes.
    const PINGS: usize = 600_000;
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let (mut reading, mut writing) = socket.connect(proxy.address).await.unwrap().into_split();
    let asked = frame(PING, 0, 0, &[7; 8]).repeat(PINGS);
    let sent = [PREFACE, &settings(&[]), &asked, &get(1, "/bytes/3")].concat();
    let sending = async move {
        writing.write_all(&sent).await.unwrap();
        writing
    };
    let hearing = async move {
        let (mut came, mut pongs) = (Vec::new(), 0);
        loop {
            assert_ne!(reading.read_buf(&mut came).await.unwrap(), 0, "{pongs}");
            let mut rest = &came[..];
            while let Some([_, b, c, kind, flags, ..]) = rest.first_chunk::<9>()
                && let Some(behind) = rest.get(9 + usize::from(u16::from_be_bytes([*b, *c]))..)
            {
                pongs += usize::from(*kind == PING && flags & ACK != 0);
                if *kind == DATA && flags & END_STREAM != 0 {
                    return pongs;
                }
                rest = behind;
            }
            came = rest.to_vec();
        }
    };
    let both = async { tokio::join!(sending, hearing) };
    let (_writing, pongs) = tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
    assert_eq!(pongs, PINGS);
}

/// What ends a connection: how it is called, what is sent, and why the connection ends.
type Fault = (&'static str, Vec<u8>, u32);

/// Of streams that are not there, and of what is sent over those that are.
fn faults_of_streams() -> Vec<Fault> {
    let fields = block(&asked("GET", "/"));
    let (long, all) = (vec![0; (16 << 10) + 1], END_HEADERS | PADDED);
    vec![
        ("a body of no stream (§6.1)", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("a body before its head (§5.1)", frame(DATA, 0, 5, b"x"), PROTOCOL_ERROR),
        ("the end of a stream that never was (§6.4)", reset(5, CANCEL), PROTOCOL_ERROR),
        ("the end of no stream (§6.4)", reset(0, CANCEL), PROTOCOL_ERROR),
        ("an end of three bytes (§6.4)", frame(RST_STREAM, 0, 1, b"123"), FRAME_SIZE_ERROR),
        ("room for a stream that never was (§5.1)", room(5, 1), PROTOCOL_ERROR),
        ("no room for all (§6.9)", room(0, 0), PROTOCOL_ERROR),
        ("room of three bytes (§6.9)", frame(WINDOW_UPDATE, 0, 0, b"123"), FRAME_SIZE_ERROR),
        ("more room than there may be (§6.9.1)", room(0, MOST_WINDOW), FLOW_CONTROL_ERROR),
        ("a frame that is too long (§4.2)", frame(DATA, 0, 1, &long)[..9].to_vec(), FRAME_SIZE_ERROR),
        ("a head that is too long (§4.2)", frame(HEADERS, 0, 1, &long)[..9].to_vec(), FRAME_SIZE_ERROR),
        ("a head of no stream (§6.2)", head_of(HEADERS, END_HEADERS, 0, (&[], &fields, &[])), PROTOCOL_ERROR),
        ("a stream with our number (§5.1.1)", get(2, "/"), PROTOCOL_ERROR),
        ("a head that is all padding, and more (§6.2)", frame(HEADERS, all, 1, &[9]), PROTOCOL_ERROR),
        ("a padded head of nothing (§6.2)", frame(HEADERS, all, 1, b""), FRAME_SIZE_ERROR),
        (
            "a body that is all padding, and more (§6.1)",
            [begun(1, "POST"), frame(DATA, PADDED, 1, &[1])].concat(),
            PROTOCOL_ERROR,
        ),
        ("a promise (§8.4)", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), PROTOCOL_ERROR),
    ]
}

/// Of what is said of the connection itself.
fn faults_of_settings() -> Vec<Fault> {
    vec![
        ("settings of a stream (§6.5)", frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
        ("settings of five bytes (§6.5)", frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
        ("settings in an acknowledgement (§6.5)", frame(SETTINGS, ACK, 0, b"123456"), FRAME_SIZE_ERROR),
        (
            "a window that is too large (§6.5.2)",
            settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]),
            FLOW_CONTROL_ERROR,
        ),
        ("frames that are too short (§6.5.2)", settings(&[(MAX_FRAME_SIZE, 100)]), PROTOCOL_ERROR),
        ("promises, twice (§6.5.2)", settings(&[(ENABLE_PUSH, 2)]), PROTOCOL_ERROR),
        ("a ping of a stream (§6.7)", frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("a ping of seven bytes (§6.7)", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("a farewell of seven bytes (§6.8)", frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("a farewell of a stream (§6.8)", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("a priority of no stream (§6.3)", frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL_ERROR),
    ]
}

/// Of heads.
fn faults_of_heads() -> Vec<Fault> {
    let fields = block(&asked("GET", "/"));
    let cut = frame(HEADERS, END_STREAM, 1, &fields[..7]);
    vec![
        ("the rest of no head (§6.10)", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
        ("something amid a head (§4.3)", [cut.clone(), frame(PING, 0, 0, &[0; 8])].concat(), PROTOCOL_ERROR),
        (
            "the rest of another head (§6.10)",
            [cut.clone(), frame(CONTINUATION, 0, 3, b"")].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "a head without end (CVE-2024-27983)",
            [cut, frame(CONTINUATION, 0, 1, b"").repeat(100)].concat(),
            ENHANCE_YOUR_CALM,
        ),
        ("a field that there is not (RFC 7541 §2.3.3)", frame(HEADERS, 5, 1, &[0x80]), COMPRESSION_ERROR),
        ("a field that is not there yet (RFC 7541 §2.3.3)", frame(HEADERS, 5, 1, &[0xbe]), COMPRESSION_ERROR),
        (
            "a head that ends within a field (RFC 7541 §5.2)",
            frame(HEADERS, 5, 1, &fields[..7]),
            COMPRESSION_ERROR,
        ),
        (
            "a table that is too large (RFC 7541 §6.3)",
            frame(HEADERS, 5, 1, &[0x3f, 0xe2, 0x1f, 0x82]),
            COMPRESSION_ERROR,
        ),
        ("a table that changes late (RFC 7541 §4.2)", frame(HEADERS, 5, 1, &[0x82, 0x20]), COMPRESSION_ERROR),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_connection_ends_it_and_tells_why() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let mut wrong = Vec::new();
    for (name, sent, code) in [faults_of_streams(), faults_of_settings(), faults_of_heads()].concat() {
        let mut client = Talk::connect(proxy.address, &[]).await;
        client.send(&sent).await;
        client.end().await;
        if client.goaways.last().map(|(_, told)| *told) != Some(code) || client.goaways.len() > 1 {
            wrong.push(format!("{name}: {:?}", client.goaways));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Settings come first (§3.4).
    let mut client = Talk::new(Frames::begin(proxy.address).await);
    client.send(&get(1, "/")).await;
    client.end().await;
    assert_eq!(client.goaways, [(0, PROTOCOL_ERROR)]);
    // Whose request has been looked at is told so.
    let mut client = Talk::connect(proxy.address, &[]).await;
    client.send(&get(5, "/bytes/3")).await;
    assert_eq!(client.answer(5).await.0, Some(200));
    client.send(&[get(7, "/held"), frame(DATA, 0, 0, b"")].concat()).await;
    client.end().await;
    assert_eq!(client.goaways, [(7, PROTOCOL_ERROR)]);
}

/// A stream of a smaller number may be one that was refused, or given up: it is passed over, and what its head puts into the
/// table is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_a_stream_that_is_over_is_understood_and_passed_over() {
    let (proxy, endpoint) = limited(&closed(), "").await;
    let mut client = Talk::connect(proxy.address, &[]).await;
    client.send(&get(5, "/bytes/3")).await;
    assert_eq!(client.answer(5).await.0, Some(200));
    let stored = b"\x40\x06x-said\x03yes".to_vec();
    let late = block(&asked("GET", "/"));
    client.send(&head_of(HEADERS, END_STREAM | END_HEADERS, 3, (&[], &late, &stored))).await;
    client
        .send(&head_of(HEADERS, END_STREAM | END_HEADERS, 7, (&[], &block(&asked("GET", "/")), &[0xbe])))
        .await;
    assert_eq!(client.answer(7).await.0, Some(200));
    assert_eq!(client.streams(), [5, 7], "nobody is answered twice");
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].headers["x-said"], "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_stream_ends_that_and_the_next_request_is_answered() {
    let (proxy, _endpoint) = limited(&closed(), "").await;
    let held = get(1, "/held");
    let upper = head(1, END_STREAM, &[&asked("GET", "/held")[..], &[("X-Upper", "1")]].concat());
    let trailers = |flags, fields| head_of(HEADERS, END_HEADERS | flags, 1, (&[], &block(fields), &[]));
    let odd = trailers(END_STREAM, &[(":path", "/")]);
    let mut wrong = Vec::new();
    for (name, first, then, code) in [
        ("no room (§6.9)", held.clone(), room(1, 0), PROTOCOL_ERROR),
        ("too much room (§6.9.1)", held.clone(), room(1, MOST_WINDOW), FLOW_CONTROL_ERROR),
        ("a body behind the end (§5.1)", held.clone(), frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
        ("an empty one (§5.1)", held.clone(), frame(DATA, END_STREAM, 1, b""), STREAM_CLOSED),
        ("a head behind the end (§5.1)", held.clone(), held.clone(), STREAM_CLOSED),
        ("a second head (§8.1)", begun(1, "POST"), begun(1, "POST"), PROTOCOL_ERROR),
        (
            "trailers that are not the end (§8.1)",
            begun(1, "POST"),
            trailers(0, &[("x-sum", "1")]),
            PROTOCOL_ERROR,
        ),
        ("trailers with a path (§8.1)", begun(1, "POST"), odd, PROTOCOL_ERROR),
        ("a name in upper case (§8.2.1)", Vec::new(), upper, PROTOCOL_ERROR),
    ] {
        let mut client = Talk::connect(proxy.address, &[]).await;
        client.send(&[first, then].concat()).await;
        client.until(name, |talk| talk.of(1).reset.is_some()).await;
        client.send(&get(3, "/bytes/3")).await;
        let next = client.answer(3).await;
        if client.of(1).reset != Some(code) || next != (Some(200), pattern(3)) || !client.goaways.is_empty() {
            wrong.push(format!("{name}: {:?}, {next:?}, {:?}", client.of(1).reset, client.goaways));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Who has us reset its streams makes endpoints work for nothing, as who resets them itself does (CVE-2025-8671).
#[tokio::test(flavor = "multi_thread")]
async fn who_has_most_of_its_streams_reset_is_let_go() {
    let (proxy, _endpoint) = limited(&closed(), "cancelled = 10").await;
    for fault in [room as fn(u32, u32) -> Vec<u8>, reset] {
        let mut client = Talk::connect(proxy.address, &[]).await;
        let many: Vec<u8> = (0..100)
            .flat_map(|place| [get(place * 2 + 1, "/held"), fault(place * 2 + 1, 0)].concat())
            .collect();
        client.send(&many).await;
        client.end().await;
    }
    proxy.counted("switchback_refused_requests_total", &["reason=\"rapid_reset\""], 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_drain_a_connection_ends_when_its_client_has_heard_and_all_is_answered() {
    let gate = closed();
    let (proxy, endpoint) = limited(&gate, "").await;
    let address = proxy.address;
    let mut client = Talk::connect(address, &[]).await;
    client.send(&get(1, "/held")).await;
    eventually("it is under way", async || endpoint.hits() == 1).await;
    let ending = tokio::spawn(proxy.end());
    client.until("it is asked to open no more", |talk| !talk.pings.is_empty()).await;
    assert_eq!(client.goaways, [(MOST_WINDOW, NO_ERROR)]);
    // What it sent before it heard is answered.
    client.send(&get(3, "/held")).await;
    let pong = frame(PING, ACK, 0, &client.pings[0]);
    client.send(&pong).await;
    client.until("it has heard", |talk| talk.goaways.len() == 2).await;
    assert_eq!(client.goaways[1], (3, NO_ERROR));
    // Who opens one yet is not heard, and harms nobody.
    let late = [begun(5, "POST"), frame(DATA, 0, 5, b"late"), room(5, 1), reset(5, CANCEL)];
    client.send(&late.concat()).await;
    client.ping().await;
    assert!(client.of(1).kinds.is_empty(), "it is still under way");
    gate.add_permits(2);
    for stream in [1, 3] {
        assert_eq!(client.answer(stream).await, (Some(200), b"held".to_vec()));
    }
    client.end().await;
    assert_eq!((client.goaways.len(), client.streams()), (2, vec![1, 3]));
    assert_eq!(endpoint.hits(), 2);
    ending.await.unwrap();
}

/// What is sent in one go: its length, that of its pieces, and the padding of each.
type Upload = (usize, usize, Option<u8>);

/// Sends a body, as much at a time as there is room for. `used` is what has been used of the window of all.
async fn upload(client: &mut Talk, stream: u32, (length, piece, padding): Upload, used: &mut u32) {
    let (mut rest, mut used_of_stream) = (&pattern(length)[..], 0);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(piece.min(rest.len()));
        let (flags, before) = padding.map_or((0, vec![]), |padding| (PADDED, vec![padding]));
        let payload = [&before[..], piece, &vec![0; usize::from(padding.unwrap_or(0))]].concat();
        let weight = u32::try_from(payload.len()).unwrap();
        (*used, used_of_stream, rest) = (*used + weight, used_of_stream + weight, behind);
        let has_room = |talk: &Talk| {
            *used <= FIRST_WINDOW + talk.room && used_of_stream <= FIRST_WINDOW + talk.of(stream).room
        };
        client.until("there is room", has_room).await;
        let end = if rest.is_empty() { END_STREAM } else { 0 };
        client.send(&frame(DATA, flags | end, stream, &payload)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_more_than_there_is_room_for_is_given_more() {
    let endpoint = Endpoint::start(async |seen| {
        let is_so = seen.body == pattern(seen.body.len());
        answer(200, format!("{} {is_so}", seen.body.len()))
    })
    .await;
    for protocol in ["http/1.1", "http/2"] {
        // With one stream there is as much room for all as for that.
        let folder =
            Folder::with(&[Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1")]);
        folder.add_to_process("[listeners.http.limits]\nstreams = 1\n");
        let proxy = Proxy::start_in(folder);
        let mut client = Talk::connect(proxy.address, &[]).await;
        let (mut stream, mut used) = (1, 0);
        for size in [(1 << 20, 16 << 10, None), (1_000, 1, Some(255)), (300_000, 999, Some(3))] {
            client.send(&begun(stream, "POST")).await;
            upload(&mut client, stream, size, &mut used).await;
            let wanted = format!("{} true", size.0).into_bytes();
            assert_eq!(client.answer(stream).await, (Some(200), wanted), "{protocol}: {size:?}");
            stream += 2;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_what_nobody_wants_gets_its_answer_and_then_is_told_to_stop() {
    let endpoint = Endpoint::streaming(async |request| {
        if request.method() == Method::GET { answer(200, "next") } else { answer(409, "no more of it") }
    })
    .await;
    let proxy = Proxy::start(&[
        Service::new("a").helios(endpoint.address).protocols("http/2", "http/1.1"),
        Service::new("b").helios(endpoint.address).rest("[limits]\nbody = \"10KiB\"\n"),
    ]);
    // The endpoint wants no more of it, it is too large, or it is nobody's.
    for (host, status) in [("a.test", 409), ("b.test", 413), ("nobody.test", 404)] {
        let mut client = Talk::connect(proxy.address, &[]).await;
        let fields = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", "/")];
        client.send(&[head(1, 0, &fields), frame(DATA, 0, 1, &[7; 11 << 10])].concat()).await;
        assert_eq!(client.answer(1).await.0, Some(status), "{host}");
        client.until("it is told to stop", |talk| talk.of(1).reset.is_some()).await;
        let said = client.of(1);
        assert_eq!((said.reset, said.kinds.last()), (Some(NO_ERROR), Some(&RST_STREAM)), "{host}");
        // What was on its way by then is passed over, and makes room for as much.
        client.send(&[frame(DATA, 0, 1, &[7; 9_000]), frame(DATA, END_STREAM, 1, b"")].concat()).await;
        client.send(&get(3, "/")).await;
        assert_eq!(client.answer(3).await, (Some(200), b"next".to_vec()), "{host}");
        assert_eq!(client.goaways, []);
    }
    proxy.never(TRIES, &["fault=\"side\""]).await;
}

/// The next of a row of numbers that look like chance (Knuth's generator of 64 bits).
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

/// A body that is nobody else's.
fn own(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + number * 7 + place / 251).to_le_bytes()[0]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_over_few_connections_come_back_whole_and_unmixed() {
    let mirror = Endpoint::streaming(async |request| {
        Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    })
    .await;
    for protocol in ["http/1.1", "http/2"] {
        let service = Service::new("a").helios(mirror.address).protocols(protocol, "http/1.1");
        let proxy = Proxy::start(&[service]);
        let (mut seed, mut asking) = (20, JoinSet::new());
        for connection in 0..3 {
            let stream = TcpStream::connect(proxy.address).await.unwrap();
            let (sender, driving) =
                http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(driving);
            for request_of_it in 0..60 {
                let number = connection * 60 + request_of_it;
                // Most are small, and some larger than every window.
                let length = next(&mut seed) % [10, 1_000, 20_000, 400_000][next(&mut seed) % 4];
                let mut sender = sender.clone();
                asking.spawn(async move {
                    let sent = own(number, length);
                    let asked = request(Over::Http2, Method::POST, "a.test", "/", sent.clone());
                    let got = sender.send_request(asked).await.unwrap();
                    assert_eq!(got.status(), 200);
                    let got = got.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(got.len(), length, "{number}");
                    assert!(got == sent, "{number} got another's");
                });
            }
        }
        assert_eq!(asking.join_all().await.len(), 180);
    }
}

/// What an endpoint says of a stream.
type Says = fn(u32) -> Vec<u8>;

/// A request that an endpoint refuses: how it is sent, what comes of its body behind its head, and what the endpoint says.
struct Refusal {
    method: &'static str,
    body: Option<&'static [u8]>,
    comes: Comes,
    says: Says,
}

/// When a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    Before,
    Behind,
}

impl Refusal {
    fn head(&self, stream: u32) -> Vec<u8> {
        let end = if self.body.is_none() { END_STREAM } else { 0 };
        head(stream, end, &asked(self.method, "/"))
    }

    fn body(&self, stream: u32) -> Vec<u8> {
        self.body.map_or(Vec::new(), |body| frame(DATA, END_STREAM, stream, body))
    }

    /// Whether it was asked again unseen; not so if there was no time for that.
    async fn is_asked_again(&self) -> bool {
        let (endpoint, mut connections) = handed(&[]).await;
        let proxy = before(&endpoint);
        let mut client = Talk::connect(proxy.address, &[]).await;
        client.send(&get(1, "/")).await;
        let mut first = connections.recv().await.unwrap();
        first.until("it is asked", |talk| talk.of(1).has_ended).await;
        first.send(&frames::answer(1, "200", b"first")).await;
        assert_eq!(client.answer(1).await.0, Some(200));
        client.send(&self.head(3)).await;
        if self.comes == Comes::Before {
            client.send(&self.body(3)).await;
            first.until("all has come", |talk| talk.of(3).has_ended).await;
        }
        first.until("it is asked", |talk| !talk.of(3).blocks.is_empty()).await;
        first.send(&(self.says)(3)).await;
        let mut second = tokio::select! {
            second = connections.recv() => second.unwrap(),
            () = client.until("it has failed", |talk| talk.of(3).status == Some(502)) => {
                proxy.counted(TRIES, &["outcome=\"reset\"", "fault=\"side\""], 1.0).await;
                return false;
            }
        };
        if self.comes == Comes::Behind {
            client.send(&self.body(3)).await;
        }
        second.until("it is asked again", |talk| talk.of(1).has_ended).await;
        assert_eq!(second.of(1).body, self.body.unwrap_or_default());
        second.send(&frames::answer(1, "200", b"second")).await;
        assert_eq!(client.answer(3).await, (Some(200), b"second".to_vec()));
        proxy.never(TRIES, &["fault=\"side\""]).await;
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_has_refused_is_asked_again_unseen_while_that_is_safe() {
    const TIMES: usize = 50;
    let ways: [Says; 2] = [|stream| reset(stream, REFUSED_STREAM), |stream| goaway(stream - 2, NO_ERROR)];
    for says in ways {
        for (method, body, comes) in [
            ("GET", None, Comes::Before),
            ("POST", None, Comes::Before),
            ("PUT", Some(&b"kept"[..]), Comes::Before),
            ("PUT", Some(b"kept"), Comes::Behind),
            ("POST", Some(b"not begun"), Comes::Behind),
        ] {
            let refusal = Refusal { method, body, comes, says };
            let mut times = 0;
            // That its connection was closed already is believed of one that was refused at once; a busy machine may be slower.
            while !refusal.is_asked_again().await {
                times += 1;
                assert!(times < TIMES, "{method} {body:?} {comes:?}");
            }
        }
        let begun = Refusal { method: "POST", body: Some(b"begun"), comes: Comes::Before, says };
        assert!(!begun.is_asked_again().await, "nobody has its body any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_its_leave_answers_what_it_has_and_the_next_gets_another_connection() {
    let (endpoint, mut connections) = handed(&[]).await;
    let proxy = before(&endpoint);
    let mut client = Talk::connect(proxy.address, &[]).await;
    client.send(&get(1, "/")).await;
    let mut first = connections.recv().await.unwrap();
    first.until("it is asked", |talk| talk.of(1).has_ended).await;
    first.send(&goaway(MOST_WINDOW, NO_ERROR)).await;
    first.send(&goaway(1, NO_ERROR)).await;
    first.send(&head(1, 0, &[(":status", "200")])).await;
    client.until("the answer has begun", |talk| talk.of(1).status.is_some()).await;
    client.send(&get(3, "/")).await;
    let mut second = connections.recv().await.unwrap();
    second.until("it is asked", |talk| talk.of(1).has_ended).await;
    second.send(&frames::answer(1, "200", b"second")).await;
    assert_eq!(client.answer(3).await, (Some(200), b"second".to_vec()));
    first.send(&frame(DATA, END_STREAM, 1, b"first")).await;
    assert_eq!(client.answer(1).await, (Some(200), b"first".to_vec()));
    first.end().await;
    assert_eq!(first.streams(), [1]);
    proxy.never(TRIES, &["fault=\"side\""]).await;
}

/// Answers, each with a permit; and notes how many wait, over all connections, and the most that ever did on one.
async fn answer_in_turn(
    mut talk: Talk,
    gate: Arc<Semaphore>,
    here: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
) {
    let mut answered = Vec::new();
    loop {
        let open: Vec<u32> =
            talk.streams().into_iter().filter(|stream| *stream > 0 && !answered.contains(stream)).collect();
        most.fetch_max(open.len(), Ordering::SeqCst);
        let before = talk.streams().len();
        tokio::select! {
            goes_on = talk.hear() => if !goes_on { return },
            permit = gate.acquire(), if !open.is_empty() => {
                permit.unwrap().forget();
                answered.push(open[0]);
                talk.send(&frames::answer(open[0], "200", b"in turn")).await;
            }
        }
        here.fetch_add(talk.streams().len() - before, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_has_no_more_streams_on_a_connection_than_it_allows() {
    let (endpoint, mut connections) = handed(&[(MAX_CONCURRENT_STREAMS, 2)]).await;
    let proxy = before(&endpoint);
    let (gate, here, most) = (closed(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (opened, came, at_once) = (gate.clone(), here.clone(), most.clone());
    let answering = tokio::spawn(async move {
        let mut talks = JoinSet::new();
        while let Some(talk) = connections.recv().await {
            talks.spawn(answer_in_turn(talk, opened.clone(), came.clone(), at_once.clone()));
        }
    });
    let mut client = Talk::connect(proxy.address, &[]).await;
    gate.add_permits(1);
    client.send(&get(1, "/")).await;
    assert_eq!(client.answer(1).await.0, Some(200));
    for stream in (3..=15).step_by(2) {
        client.send(&get(stream, "/")).await;
    }
    eventually("all are there", async || here.load(Ordering::SeqCst) == 8).await;
    gate.add_permits(7);
    for stream in (3..=15).step_by(2) {
        assert_eq!(client.answer(stream).await, (Some(200), b"in turn".to_vec()));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert!(endpoint.connections() >= 4, "{}", endpoint.connections());
    drop(endpoint);
    answering.abort();
}

/// A connection of an endpoint that has answered one request, so that what it allows is known; and the client that has asked.
async fn acquainted(own: &'static [(u16, u32)]) -> (Proxy, Endpoint, Talk, Talk) {
    let (endpoint, mut connections) = handed(own).await;
    let proxy = before(&endpoint);
    let mut client = Talk::connect(proxy.address, &[]).await;
    client.send(&get(1, "/")).await;
    let mut talk = connections.recv().await.unwrap();
    talk.until("it is asked", |talk| talk.of(1).has_ended && talk.agreed == 1).await;
    talk.send(&frames::answer(1, "200", b"first")).await;
    assert_eq!(client.answer(1).await, (Some(200), b"first".to_vec()));
    (proxy, endpoint, client, talk)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_as_much_of_a_body_as_it_gives_room_for() {
    let (_proxy, _endpoint, mut client, mut endpoint) = acquainted(&[(INITIAL_WINDOW_SIZE, 7)]).await;
    client.send(&[begun(3, "POST"), frame(DATA, END_STREAM, 3, &pattern(30))].concat()).await;
    for (more, wanted) in [(0, 7), (5, 12), (1, 13)] {
        if more > 0 {
            endpoint.send(&room(3, more)).await;
        }
        endpoint.until("there is so much", |talk| talk.of(3).body.len() >= wanted).await;
        endpoint.ping().await;
        assert_eq!(endpoint.of(3).body, pattern(wanted));
    }
    endpoint.send(&settings(&[(INITIAL_WINDOW_SIZE, 24)])).await;
    endpoint.until("it is all there", |talk| talk.of(3).has_ended).await;
    assert_eq!(endpoint.of(3).body, pattern(30));
    endpoint.send(&frames::answer(3, "200", b"")).await;
    assert_eq!(client.answer(3).await.0, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_endpoint_has_no_room_for_all_nobodys_body_flows_and_then_all_go_on() {
    let (_proxy, _endpoint, mut client, mut endpoint) = acquainted(&[(INITIAL_WINDOW_SIZE, 1 << 20)]).await;
    for stream in [3, 5] {
        client
            .send(&[begun(stream, "POST"), frame(DATA, 0, stream, &pattern(16_000)).repeat(3)].concat())
            .await;
        client.send(&frame(DATA, END_STREAM, stream, b"")).await;
    }
    let all = |talk: &Talk| talk.of(3).body.len() + talk.of(5).body.len();
    endpoint.until("the window is full", |talk| all(talk) >= FIRST_WINDOW as usize).await;
    endpoint.ping().await;
    assert_eq!(all(&endpoint), FIRST_WINDOW as usize);
    client.send(&get(7, "/")).await;
    endpoint.until("what has no body needs no room", |talk| talk.of(7).has_ended).await;
    endpoint.send(&room(0, 100_000)).await;
    for stream in [3, 5] {
        endpoint.until("it is all there", |talk| talk.of(stream).has_ended).await;
        assert_eq!(endpoint.of(stream).body, pattern(16_000).repeat(3));
        endpoint.send(&frames::answer(stream, "200", b"")).await;
        assert_eq!(client.answer(stream).await.0, Some(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_more_than_there_is_room_for_ends_its_stream() {
    let (_proxy, _endpoint, mut client, mut endpoint) = acquainted(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    client.send(&begun(3, "POST")).await;
    endpoint.until("it is asked", |talk| !talk.of(3).blocks.is_empty()).await;
    client.send(&frame(DATA, 0, 3, &[7; 16 << 10]).repeat(16)).await;
    client.until("it is ended", |talk| talk.of(3).reset.is_some()).await;
    assert_eq!(client.of(3).reset, Some(FLOW_CONTROL_ERROR));
    endpoint.until("the endpoint hears of it", |talk| talk.of(3).reset == Some(CANCEL)).await;
    client.send(&get(5, "/")).await;
    endpoint.until("the next is asked", |talk| talk.of(5).has_ended).await;
    endpoint.send(&frames::answer(5, "200", b"")).await;
    assert_eq!(client.answer(5).await.0, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_answer_and_not_want_the_rest() {
    for code in [NO_ERROR, CANCEL] {
        let (proxy, connections, mut client, mut endpoint) = acquainted(&[]).await;
        client.send(&[begun(3, "POST"), frame(DATA, 0, 3, b"begun")].concat()).await;
        endpoint.until("it has begun", |talk| talk.of(3).body == b"begun").await;
        // All in one packet, and so heard at once.
        endpoint.send(&[frames::answer(3, "200", b"enough"), reset(3, code)].concat()).await;
        assert_eq!(client.answer(3).await, (Some(200), b"enough".to_vec()));
        client.send(&frame(DATA, END_STREAM, 3, b"the rest")).await;
        client.send(&get(5, "/")).await;
        endpoint.until("the next is asked", |talk| talk.of(5).has_ended).await;
        endpoint.send(&frames::answer(5, "200", b"next")).await;
        assert_eq!(client.answer(5).await, (Some(200), b"next".to_vec()));
        assert_eq!((connections.connections(), endpoint.of(3).body), (1, b"begun".to_vec()));
        proxy.never(TRIES, &["fault=\"side\""]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_gives_up_is_given_up_at_the_endpoint_and_the_connection_is_used_again() {
    // Whatever it says why.
    for code in [CANCEL, NO_ERROR, REFUSED_STREAM] {
        let (proxy, connections, mut client, mut endpoint) = acquainted(&[]).await;
        // Before an answer, amid an upload, and amid an answer.
        client.send(&[get(3, "/"), begun(5, "POST"), get(7, "/")].concat()).await;
        endpoint.until("they are asked", |talk| talk.of(7).has_ended && !talk.of(5).blocks.is_empty()).await;
        endpoint.send(&[head(7, 0, &[(":status", "200")]), frame(DATA, 0, 7, b"begun")].concat()).await;
        client.until("the answer has begun", |talk| talk.of(7).body == b"begun").await;
        for stream in [3, 5, 7] {
            client.send(&reset(stream, code)).await;
            endpoint.until(&format!("{stream} is given up"), |talk| talk.of(stream).reset.is_some()).await;
            assert_eq!(endpoint.of(stream).reset, Some(CANCEL));
        }
        // What was on its way is passed over.
        let late = [frames::answer(3, "200", b"late"), frame(DATA, END_STREAM, 7, b"late")];
        endpoint.send(&late.concat()).await;
        client.send(&get(9, "/")).await;
        endpoint.until("the next is asked", |talk| talk.of(9).has_ended).await;
        endpoint.send(&frames::answer(9, "200", b"next")).await;
        assert_eq!(client.answer(9).await, (Some(200), b"next".to_vec()));
        assert_eq!(client.streams(), [1, 7, 9], "who has given up is told nothing more: {code}");
        assert_eq!(connections.connections(), 1);
        proxy.counted(TRIES, &["outcome=\"client_gone\"", "fault=\"client\""], 3.0).await;
    }
}

/// What an endpoint says that means nothing, or not what it should.
fn nonsense() -> Vec<(&'static str, Says)> {
    vec![
        ("a promise (§8.4)", |stream| frame(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x88])),
        ("another protocol", |_| b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".to_vec()),
        ("a field that there is not (RFC 7541 §2.3.3)", |stream| frame(HEADERS, 5, stream, &[0x80])),
        ("a body before its head (§8.1)", |stream| frame(DATA, END_STREAM, stream, b"x")),
        ("a stream that nobody has asked for (§5.1)", |stream| {
            head(stream + 2, END_STREAM, &[(":status", "200")])
        }),
        ("no status (§8.3.2)", |stream| head(stream, END_STREAM, &[("x", "1")])),
        ("a request (§8.3.2)", |stream| head(stream, END_STREAM, &asked("GET", "/"))),
        ("another connection's field (§8.2.2)", |stream| {
            head(stream, END_STREAM, &[(":status", "200"), ("connection", "close")])
        }),
        ("no room (§6.9)", |stream| room(stream, 0)),
        ("a body that the head tells of, and that does not come (§8.1.1)", |stream| {
            head(stream, END_STREAM, &[(":status", "200"), ("content-length", "5")])
        }),
        ("other protocols switched to (§8.6)", |stream| head(stream, 0, &[(":status", "101")])),
        ("more to come, and the end (§8.1)", |stream| head(stream, END_STREAM, &[(":status", "103")])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_talks_nonsense_is_told_of_by_that_and_helios_answers_for_kubernetes() {
    let helios = Endpoint::named("helios").await;
    let mut wrong = Vec::new();
    for (name, says) in nonsense() {
        let endpoint = frames::endpoint(move |_, stream| says(stream)).await;
        let kubernetes = Service::new("b").host("b.test").weight(100.0).helios(helios.address);
        let kubernetes = kubernetes.kubernetes(endpoint.address).protocols("http/1.1", "http/2");
        let proxy = Proxy::start(&[
            Service::new("a").helios(endpoint.address).protocols("http/2", "http/1.1"),
            kubernetes.rest("[judge]\nmode = \"off\"\n"),
        ]);
        let got = proxy.get("a.test", "/").await;
        if got.status != 502 || got.json()["reason"] != "protocol" {
            wrong.push(format!("{name}: {} {}", got.status, got.text()));
        }
        let rescued = proxy.get("b.test", "/").await;
        if rescued.status != 200 || rescued.text() != "helios" {
            wrong.push(format!("{name}: not rescued: {} {}", rescued.status, rescued.text()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Sizes of the table that a block begins with, and its fields: each the place of its name in the static table, or else its
/// name, and its value.
type Read = (Vec<usize>, Vec<(usize, String, String)>);

/// Reads a block that speaks of no dynamic table.
fn fields(block: &[u8]) -> Option<Read> {
    let mut rest = block;
    let number = |rest: &mut &[u8], mask: u8| {
        let (first, behind) = rest.split_first()?;
        let mut number = usize::from(first & mask);
        *rest = behind;
        if first & mask == mask {
            let mut place = 0;
            loop {
                let (next, behind) = rest.split_first()?;
                *rest = behind;
                number += usize::from(next & 0x7f) << place;
                place += 7;
                if next & 0x80 == 0 {
                    break;
                }
            }
        }
        Some(number)
    };
    let text = |rest: &mut &[u8]| {
        let is_plain = rest.first()? & 0x80 == 0;
        let length = number(rest, 0x7f)?;
        let (text, behind) = rest.split_at_checked(length)?;
        *rest = behind;
        Some(if is_plain { String::from_utf8(text.to_vec()).ok()? } else { "coded".to_owned() })
    };
    let (mut sizes, mut fields) = (Vec::new(), Vec::new());
    while let Some(first) = rest.first() {
        if first & 0xe0 == 0x20 {
            sizes.push(number(&mut rest, 0x1f)?);
            continue;
        }
        let is_whole = first & 0x80 != 0;
        let index = number(
            &mut rest,
            if is_whole {
                0x7f
            } else if first & 0x40 != 0 {
                0x3f
            } else {
                0x0f
            },
        )?;
        if index > 61 || index == 0 && is_whole {
            return None;
        }
        let name = if index == 0 { text(&mut rest)? } else { String::new() };
        let value = if is_whole { String::new() } else { text(&mut rest)? };
        fields.push((index, name, value));
    }
    Some((sizes, fields))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_changes_its_table_gets_heads_that_it_can_read() {
    let (_proxy, _endpoint, mut client, mut endpoint) = acquainted(&[]).await;
    let same = [&asked("GET", "/")[..], &[("x-same", "as ever")]].concat();
    let mut stream = 1;
    let mut ask = async |endpoint: &mut Talk| {
        stream += 2;
        client.send(&head(stream, END_STREAM, &same)).await;
        endpoint.until("it is asked", |talk| talk.of(stream).has_ended).await;
        endpoint.send(&frames::answer(stream, "200", b"")).await;
        assert_eq!(client.answer(stream).await.0, Some(200));
        endpoint.of(stream).blocks.remove(0)
    };
    for _ in 0..3 {
        ask(&mut endpoint).await;
    }
    assert_eq!(fields(&ask(&mut endpoint).await), None, "what is repeated is in the table");
    for (sizes, told) in
        [(&[0][..], &[0][..]), (&[4_096], &[4_096]), (&[0, 8_192], &[0, 4_096]), (&[0], &[0])]
    {
        let own: Vec<_> = sizes.iter().map(|size| (HEADER_TABLE_SIZE, *size)).collect();
        endpoint.send(&settings(&own)).await;
        let before = endpoint.agreed;
        endpoint.until("they are heard", |talk| talk.agreed > before).await;
        let read = fields(&ask(&mut endpoint).await).unwrap();
        assert_eq!(read.0, told, "it says first how large the table is");
        assert!(read.1.iter().any(|(_, name, value)| name == "x-same" && value == "as ever"), "{read:?}");
    }
    for _ in 0..3 {
        let (sizes, _) = fields(&ask(&mut endpoint).await).unwrap();
        assert!(sizes.is_empty(), "once is enough: {sizes:?}");
    }
}

/// Whoever asks for another protocol and does not get it has nothing more to say, and its stream is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_an_endpoint_refuses_leaves_no_stream_behind() {
    let (_proxy, connections, mut client, mut endpoint) = acquainted(&[(ENABLE_CONNECT_PROTOCOL, 1)]).await;
    let wants = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    client.send(&head(3, 0, &[&asked("CONNECT", "/")[..], &wants].concat())).await;
    endpoint.until("it is asked", |talk| !talk.of(3).blocks.is_empty()).await;
    endpoint.send(&frames::answer(3, "403", b"no")).await;
    assert_eq!(client.answer(3).await, (Some(403), b"no".to_vec()));
    client.until("the client is told to stop", |talk| talk.of(3).reset == Some(NO_ERROR)).await;
    endpoint.until("it is over", |talk| talk.of(3).has_ended || talk.of(3).reset.is_some()).await;
    assert_eq!(connections.connections(), 1);
}
