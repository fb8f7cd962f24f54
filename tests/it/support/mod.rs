//! What the tests share: endpoints that answer as they are told to, clients, and the program itself, in process
//! or as a process.

pub(crate) mod client;
pub(crate) mod endpoint;
pub(crate) mod frames;
pub(crate) mod helios;
pub(crate) mod issuer;
pub(crate) mod kubernetes;
pub(crate) mod leg;
pub(crate) mod load;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod rights;
pub(crate) mod terminal;
pub(crate) mod tls;
pub(crate) mod traffic;
pub(crate) mod websocket;

use std::time::{Duration, Instant};

/// How long something that is bound to happen may take, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// Waits until something is so. What never becomes so fails the test.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
