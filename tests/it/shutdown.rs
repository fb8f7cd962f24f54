//! Ending in good order, and ending at once.

use std::time::Duration;

use http::Method;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Endpoint, Seen, answer};
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::proxy::{Folder, Service};

async fn slow(milliseconds: u64) -> Endpoint {
    Endpoint::start(move |seen: Seen| async move {
        if seen.uri.path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        answer(200, "done")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_takes_nothing_more() {
    let endpoint = slow(600).await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    for over in [Over::Http1, Over::Http2] {
        let (mut process, address, _) = Process::serve(folder.path());
        let mut idle = Client::connect(address, over).await;
        assert_eq!(idle.get("a.test", "/").await.text(), "done");
        let before = endpoint.hits();
        let busy = tokio::spawn(async move {
            let mut client = Client::connect(address, over).await;
            client.get("a.test", "/slow").await
        });
        eventually("the request is in flight", async || endpoint.hits() > before).await;
        process.signal(Signal::SIGTERM);
        process.after("SIGTERM");
        eventually("nothing more is accepted", async || TcpStream::connect(address).await.is_err()).await;
        let got = busy.await.unwrap();
        assert_eq!((got.status.as_u16(), got.text()), (200, "done"), "{over:?}");
        assert!(process.wait().success());
        let late = idle.try_send(request(over, Method::GET, "a.test", "/", "")).await;
        assert!(late.is_err(), "the idle connection was closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_twice_ends_at_once() {
    let endpoint = Endpoint::hanging().await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let (mut process, address, _) = Process::serve(folder.path());
    let hung = tokio::spawn(async move {
        let mut client = Client::connect(address, Over::Http1).await;
        client.try_send(request(Over::Http1, Method::GET, "a.test", "/", "")).await
    });
    eventually("the request is in flight", async || endpoint.connections() == 1).await;
    process.signal(Signal::SIGINT);
    process.after("SIGINT: finishing");
    assert!(process.is_running());
    process.signal(Signal::SIGINT);
    process.after("SIGINT again");
    assert!(process.wait().success());
    assert!(hung.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_deadline_what_is_in_flight_is_let_go() {
    let endpoint = Endpoint::hanging().await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    folder.write_process(&text.replace("\"5s\"", "\"200ms\""));
    let (mut process, address, _) = Process::serve(folder.path());
    let hung = tokio::spawn(async move {
        let mut client = Client::connect(address, Over::Http1).await;
        client.try_send(request(Over::Http1, Method::GET, "a.test", "/", "")).await
    });
    eventually("the request is in flight", async || endpoint.connections() == 1).await;
    process.signal(Signal::SIGTERM);
    process.after("the deadline has passed");
    assert!(process.wait().success());
    assert!(hung.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_be_accepted_at_sigterm_is_answered() {
    let endpoint = slow(0).await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let (mut process, address, _) = Process::serve(folder.path());
    process.signal(Signal::SIGSTOP);
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    process.signal(Signal::SIGTERM);
    process.signal(Signal::SIGCONT);
    for mut stream in waiting {
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("done"), "{got:?}");
    }
    assert!(process.wait().success());
}
