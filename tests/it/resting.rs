//! Connections of HTTP/1 whose clients are silent for a while: what is let go of comes back when it is needed, and nothing is lost or
//! taken for what it is not. What resting saves is in `memory.rs`.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::endpoint::{Endpoint, answer};
use crate::support::process::Process;
use crate::support::proxy::{Folder, Proxy, Service};

const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
/// Connections rest after a second, to within another.
const A_WHILE: Duration = Duration::from_millis(2_500);

/// Reads what comes until it ends so.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "{}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}

/// Nothing comes for a while, and the connection stays open.
async fn is_left_alone(stream: &mut TcpStream) {
    let came = timeout(A_WHILE, stream.read_u8()).await;
    assert!(came.is_err(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_goes_on_behind_its_answer_is_never_read_as_a_request() {
    let endpoint = Endpoint::streaming(async |request| {
        // It has its answer ready, and reads on in its own time.
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(request);
        });
        answer(200, "early")
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let proxy = Proxy::start_in(folder);
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let before = endpoint.hits();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
            .write_all(if framing.ends_with("chunked") { b"5\r\nhello\r\n" } else { b"hello" })
            .await
            .unwrap();
        let said = until(&mut stream, "early").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        // It may be closed meanwhile: what must not be is that the rest of the body is answered.
        let mut more = Vec::new();
        let _ = timeout(A_WHILE, stream.read_buf(&mut more)).await;
        let _ = stream.write_all(ASKED).await;
        let _ = timeout(A_WHILE, stream.read_buf(&mut more)).await;
        assert!(
            !String::from_utf8_lossy(&more).contains(" 200 "),
            "{framing}: {}",
            String::from_utf8_lossy(&more)
        );
        assert_eq!(endpoint.hits(), before + 1, "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rests_is_closed_when_the_process_ends() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let (mut process, address, _) = Process::serve(folder.path());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ASKED).await.unwrap();
    until(&mut stream, "helios").await;
    is_left_alone(&mut stream).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0);
    assert!(process.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_connection_rests_is_noticed() {
    let endpoint = Endpoint::named("helios").await;
    let proxy = Proxy::start_in(Folder::with(&[Service::new("a").helios(endpoint.address)]));
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ASKED).await.unwrap();
    until(&mut stream, "helios").await;
    is_left_alone(&mut stream).await;
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "its other end is closed, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_refused_may_wait_as_long_as_any_other() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\nhead = \"500ms\"\n");
    let proxy = Proxy::start_in(folder);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await.unwrap();
    let said = until(&mut stream, "\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    is_left_alone(&mut stream).await;
    stream.write_all(ASKED).await.unwrap();
    assert!(until(&mut stream, "helios").await.starts_with("HTTP/1.1 200"));
}
