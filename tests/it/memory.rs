//! Memory is flat: what streams is not collected, however large it is, and however slow either end.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::client::{Over, begin, uri};
use crate::support::endpoint::{Answer, Endpoint, answer};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Service};

const MIB: u64 = 1 << 20;
/// What may be added to what the program needs when it is warm.
const ROOM: u64 = 64 * MIB;
/// Clients and endpoints that do not read, for each mix and direction.
const STALLED: usize = 4;

/// The bytes of every body. They are made once.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// Each mix, by the client's protocol and the host of a service whose endpoints speak one; and how many clients send how much
/// each way. One sends more than fits into 31 bits. Over HTTP/2 a stream's window makes many faster than one.
const MIXES: [(Over, &str, usize, u64); 4] = [
    (Over::Http1, "old.test", 1, 2_048 * MIB + 1),
    (Over::Http1, "new.test", 8, 9 * MIB),
    (Over::Http2, "old.test", 8, 9 * MIB),
    (Over::Http2, "new.test", 8, 9 * MIB),
];

/// So many bytes.
fn bytes(count: u64) -> impl Iterator<Item = Frame<Bytes>> + Send {
    let whole = PIECE.len() as u64;
    let sizes = (0..count.div_ceil(whole)).map(move |place| whole.min(count - place * whole));
    sizes.map(|size| Frame::data(Bytes::from_static(&PIECE[..usize::try_from(size).unwrap()])))
}

/// Counts what it is sent, sends as much as it is asked for, or reads nothing.
async fn endpoint() -> Endpoint {
    Endpoint::streaming(async |request| {
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/bytes/") {
            Some(count) => {
                let pieces = stream::iter(bytes(count.parse().unwrap()).map(Ok::<_, std::io::Error>));
                Response::new(BodyExt::boxed(StreamBody::new(pieces))) as Answer
            }
            None if path == "/stalled" => {
                std::future::pending::<()>().await;
                drop(request);
                answer(200, "")
            }
            None => {
                let mut body = request.into_body();
                let mut count = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    count += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                answer(200, count.to_string())
            }
        }
    })
    .await
}

async fn download(address: SocketAddr, (over, host): (Over, &'static str), count: u64) {
    let uri = uri(over, host, &format!("/bytes/{count}"));
    let request = Request::get(uri).header("host", host).body(Empty::<Bytes>::new()).unwrap();
    let mut body = begin(address, over, request).await.unwrap().into_body();
    let mut came = 0;
    while let Some(frame) = body.frame().await {
        came += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
    }
    assert_eq!(came, count, "{over:?} → {host}");
}

fn upload(
    over: Over,
    host: &str,
    path: &str,
    count: u64,
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    let body = StreamBody::new(stream::iter(bytes(count).map(Ok::<_, Infallible>)).boxed());
    let builder = Request::builder().method(Method::POST).uri(uri(over, host, path)).header("host", host);
    builder.header("content-length", count).body(body).unwrap()
}

/// Sends and gets so many bytes, one after the other.
async fn both_ways(address: SocketAddr, (over, host): (Over, &'static str), count: u64) {
    download(address, (over, host), count).await;
    let answered = begin(address, over, upload(over, host, "/", count)).await.unwrap();
    let told = answered.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(told, count.to_string(), "{over:?} → {host}");
}

#[tokio::test]
async fn bodies_of_gigabytes_and_ends_that_do_not_read_cost_no_memory() {
    let endpoint = endpoint().await;
    // One that does not read a stream holds up the others of its connection (RFC 9113, section 5.2.2), so this is another.
    let slow = self::endpoint().await;
    let folder = Folder::with(&[
        Service::new("old").helios(endpoint.address),
        Service::new("new").helios(endpoint.address).protocols("http/2", "http/2"),
        Service::new("old-slow").helios(slow.address),
        Service::new("new-slow").helios(slow.address).protocols("http/2", "http/2"),
    ]);
    let (process, address, _) = Process::serve(folder.path());
    for (over, host, ..) in MIXES {
        both_ways(address, (over, host), 2 * MIB).await;
    }
    let warm = process.memory("VmRSS");

    // They have begun, and stay as they are while the others go by.
    let mut stalled = JoinSet::new();
    for (over, host, ..) in MIXES {
        let host = if host == "old.test" { "old-slow.test" } else { "new-slow.test" };
        for _ in 0..STALLED {
            let request = Request::get(uri(over, host, "/bytes/100000000")).header("host", host);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let unread = async move { begin(address, over, request).await.unwrap() };
            stalled.spawn(async move {
                let _unread = unread.await;
                std::future::pending::<()>().await;
            });
            let request = upload(over, host, "/stalled", 100_000_000);
            stalled.spawn(async move {
                let _ = begin(address, over, request).await;
            });
        }
    }
    let all = MIXES.len() * STALLED * 2;
    eventually("all of them have begun", async || slow.hits() == all).await;
    let mut flows = JoinSet::new();
    for (over, host, clients, count) in MIXES {
        for _ in 0..clients {
            flows.spawn(both_ways(address, (over, host), count));
        }
    }
    flows.join_all().await;
    let most = process.memory("VmHWM");
    eprintln!("{} MiB when warm, {} MiB at most", warm / MIB, most / MIB);
    assert!(most < warm + ROOM, "{} MiB when warm, {} MiB at most", warm / MIB, most / MIB);
    drop(stalled);
}

/// Each of so many clients asks once, and then waits for a long time.
const SILENT: usize = 500;
/// What one of them may take then. While HTTP is spoken over it, a connection takes several times as much.
const RESTING: u64 = 6 << 10;

#[tokio::test]
async fn a_connection_whose_client_is_silent_takes_little_more_than_its_socket_and_loses_nothing() {
    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let (process, address, _) = Process::serve(folder.path());
    let asks = async |stream: &mut TcpStream, sent: &[u8]| {
        stream.write_all(sent).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"helios") {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "it was closed");
        }
    };
    let mut first = TcpStream::connect(address).await.unwrap();
    for _ in 0..100 {
        asks(&mut first, ASKED).await;
    }
    let before = process.memory("VmRSS");
    // With its request comes half of the next.
    asks(&mut first, &[ASKED, &ASKED[..20]].concat()).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let mut stream = TcpStream::connect(address).await.unwrap();
        asks(&mut stream, ASKED).await;
        silent.push(stream);
    }
    let each = || process.memory("VmRSS").saturating_sub(before) / SILENT as u64;
    let while_spoken = each();
    eventually("they rest", async || each() < RESTING).await;
    eprintln!("{while_spoken} bytes a connection, {} when it rests", each());
    asks(&mut first, &ASKED[20..]).await;
    for stream in &mut silent {
        asks(stream, ASKED).await;
    }
    assert_eq!(endpoint.hits(), 102 + 2 * SILENT);
}
