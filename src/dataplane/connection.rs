use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::core::Core;
use super::endpoints::LocalTasks;
use super::serve::{Client, serve};

/// Streams that one client may have open on an HTTP/2 connection.
const MOST_STREAMS: u32 = 250;
/// What one stream, and one connection, may have under way that nobody has read yet.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS;
/// What is read ahead of an HTTP/1 request: its head has to fit.
const HTTP1_BUFFER: usize = 64 << 10;
/// The same for HTTP/2.
const HTTP2_HEADERS: u32 = 64 << 10;

/// How connections are served: HTTP/1 or HTTP/2, as the client begins.
pub(super) fn protocols() -> auto::Builder<LocalTasks> {
    let mut builder = auto::Builder::new(LocalTasks);
    builder.http1().pipeline_flush(false).max_buf_size(HTTP1_BUFFER).writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HTTP2_HEADERS)
        .enable_connect_protocol();
    builder
}

/// How long a connection that has carried no request yet is given for one when a drain begins.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// Serves one connection until the client, or a drain, ends it.
pub(super) async fn run(
    core: Rc<Core>,
    protocols: Rc<auto::Builder<LocalTasks>>,
    stream: TcpStream,
    client: Client,
) {
    let asked = Cell::new(false);
    let answers = service_fn(|request| {
        asked.set(true);
        serve(core.clone(), &client, request)
    });
    let seat = core.drain.sit();
    core.keep_beating();
    let mut connection = pin!(protocols.serve_connection_with_upgrades(TokioIo::new(stream), answers));
    let mut called = false;
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    // How a connection ends concerns the request that was in flight, and that has been counted.
    let _ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.is_ok());
        }
        if called || !seat.is_called(cx.waker()) {
            return Poll::Pending;
        }
        // Who has just connected may have sent a request that nobody has read yet.
        if !asked.get() {
            let patience = patience.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
            ready!(patience.as_mut().poll(cx));
        }
        called = true;
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(cx).map(|ended| ended.is_ok())
    })
    .await;
    drop(seat);
    core.keep_beating();
}
