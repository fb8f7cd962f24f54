use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::time::{Sleep, sleep};

use crate::config::ListenerLimits;
use crate::model::Cause;

use super::core::Core;
use super::pace::{For, Paced, Patience, Vigil};
use super::serve::{Client, serve};
use super::streams::Streams;
use super::waits::{Limit, Place};
use super::wire::Wire;

/// What one stream may have under way that nobody has read yet. Its connection has room for every stream's: those that
/// are not read must not keep others from being read. (At most 10,000 streams, so it fits.)
const STREAM_WINDOW: u32 = 64 << 10;

/// How connections are served: HTTP/1 or HTTP/2, as the client begins.
pub(super) fn protocols(core: &Rc<Core>, limits: &ListenerLimits) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams { core: core.clone(), stalled: limits.stalled });
    let header_bytes = limits.header_bytes as usize;
    builder.http1().pipeline_flush(false).max_buf_size(header_bytes).writev(false);
    if limits.headers != ListenerLimits::default().headers {
        builder.http1().max_headers(limits.headers); // costs an allocation a request
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * limits.streams)
        .max_header_list_size(limits.header_bytes)
        .enable_connect_protocol();
    builder
}

/// How long a connection that has carried no request yet is given for one when a drain begins.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// Serves one connection until the client, a limit, or a drain ends it.
pub(super) async fn run(core: Rc<Core>, protocols: Rc<auto::Builder<Streams>>, wire: Wire, client: Client) {
    let ListenerLimits { head, idle, stalled, slowest, requests, cancelled, .. } = client.limits;
    let answers = service_fn(|request| serve(&core, &client, request));
    let seat = core.drain.sit();
    core.keep_beating();
    let (wire, seen) = Paced::new(wire, client.requests.in_flight.clone());
    let mut vigil = Vigil::new(Patience { head, idle, stalled, slowest }, core.now());
    let mut place = Place::of_connection(core.clone());
    let mut connection = pin!(protocols.serve_connection_with_upgrades(TokioIo::new(wire), answers));
    let mut called = false;
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                note_end(&core, ended);
                return Poll::Ready(());
            }
            let in_flight = client.requests.in_flight.load(Relaxed);
            if in_flight == 0 && seen.takes_end() {
                continue; // its answer has gone
            }
            let (waits_for, until) = vigil.look(&seen, in_flight, core.recently());
            if place.poll(cx, Limit { until, recall: None }).is_some() {
                place.leave();
                if core.now() < until {
                    continue; // it waited for something else when it began to
                }
                match waits_for {
                    For::Nothing => continue,
                    // The requests in flight end with it, and are counted as their client's.
                    For::Room | For::End => return Poll::Ready(()),
                    For::Head => {
                        core.refuse(Cause::HeadTimeout);
                        seen.end_late();
                        return Poll::Ready(());
                    }
                    For::Another if called => return Poll::Ready(()),
                    For::Another => {}
                }
                called = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            // Whoever does so need not be said goodbye to; and one that does not hear a goodbye, and asks on, is not told twice.
            if client.requests.are_mostly_cancelled(cancelled) {
                core.refuse(Cause::RapidReset);
                return Poll::Ready(());
            }
            if called {
                let most = requests.saturating_add(client.limits.streams);
                return if client.requests.asked.get() > most { Poll::Ready(()) } else { Poll::Pending };
            }
            let is_over = client.requests.asked.get() >= requests;
            if !is_over && !seat.is_called(cx.waker()) {
                return Poll::Pending;
            }
            // Who has just connected may have sent a request that nobody has read yet.
            if client.requests.asked.get() == 0 {
                let patience = patience.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
                ready!(patience.as_mut().poll(cx));
            }
            called = true;
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
    seen.hand_on();
    drop(seat);
    core.keep_beating();
}

/// How a connection ends concerns the request that was in flight, and that has been counted: but for a head that never
/// became a request.
fn note_end(core: &Core, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    let Err(error) = ended else { return };
    let Some(error) = error.downcast_ref::<hyper::Error>() else { return };
    if error.is_parse_too_large() {
        core.refuse(Cause::HeadTooLarge);
    } else if error.is_parse() {
        core.refuse(Cause::BadRequest);
    }
}
