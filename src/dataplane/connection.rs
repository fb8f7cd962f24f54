use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::core::Core;
use super::endpoints::LocalTasks;
use super::serve::{Client, serve};

/// Streams that one client may have open on an HTTP/2 connection.
const MOST_STREAMS: u32 = 250;
/// What one stream, and one connection, may have under way that nobody has read yet.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is read ahead of an HTTP/1 request: its head has to fit.
const HTTP1_BUFFER: usize = 64 << 10;

/// How connections are served: HTTP/1 or HTTP/2, as the client begins.
pub(super) fn protocols() -> auto::Builder<LocalTasks> {
    let mut builder = auto::Builder::new(LocalTasks);
    builder.http1().pipeline_flush(false).max_buf_size(HTTP1_BUFFER).writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Serves one connection until the client, or a drain, ends it.
pub(super) async fn run(
    core: Rc<Core>,
    protocols: Rc<auto::Builder<LocalTasks>>,
    stream: TcpStream,
    client: Client,
) {
    let answers = service_fn(|request| serve(core.clone(), &client, request));
    let seat = core.drain.sit();
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(stream), answers));
    let mut called = false;
    // How a connection ends concerns the request that was in flight, and that has been counted.
    let _ended = poll_fn(|cx| {
        if !called && seat.is_called(cx.waker()) {
            called = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.is_ok()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}
