use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::config::ListenerLimits;
use crate::model::Cause;

use super::core::Core;
use super::http1::client::HeadBounds;
use super::http2;
use super::pace::{For, Pace, Paced, Patience, Vigil};
use super::serve::{Client, serve};
use super::serving::Serving;
use super::waits::{Limit, Place};
use super::wire::Wire;

/// What one stream may have under way that nobody has read yet. Its connection has room for every stream's: those that
/// are not read must not keep others from being read. (At most 10,000 streams, so it fits.)
const STREAM_WINDOW: u32 = 64 << 10;

/// How connections are served: HTTP/1 or HTTP/2, as the client begins.
pub(super) struct Protocols {
    pub(super) http1: HeadBounds,
    pub(super) http2: http2::Bounds,
    /// How long is waited for clients.
    pub(super) patience: Rc<Patience>,
}

impl Protocols {
    pub(super) fn new(limits: &ListenerLimits) -> Self {
        let http1 = HeadBounds { bytes: limits.header_bytes as usize, fields: limits.headers };
        let http2 = http2::Bounds {
            streams: limits.streams,
            window: STREAM_WINDOW,
            windows: STREAM_WINDOW * limits.streams,
            head: limits.header_bytes,
        };
        let ListenerLimits { head, idle, stalled, slowest, .. } = *limits;
        Self { http1, http2, patience: Rc::new(Patience { head, idle, stalled, slowest }) }
    }
}

/// How long a connection that has carried no request yet is given for one when a drain begins.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// What a connection of HTTP/1 is read and written with is let go of when its client has been silent for so long: most
/// clients of most services are, and that is nearly all that their connections take.
const RESTS_AFTER: Duration = Duration::from_secs(1);

/// Serves one connection until the client, a limit, or a drain ends it.
///
/// What it needs is put together before it is a future: of an `async fn` each argument would be kept twice, as long as the
/// connection lasts.
pub(super) fn run(
    core: Rc<Core>,
    protocols: Rc<Protocols>,
    wire: Wire,
    mut client: Client,
) -> impl Future<Output = ()> {
    core.keep_beating();
    let mut open = Some(Paced::new(wire, client.requests.pace.clone()));
    let vigil = Vigil::new(protocols.patience.clone(), core.now());
    let place = Place::of_connection(core.clone());
    core.drain.enter();
    let mut watched = Watched { vigil, place };
    async move {
        // What serves is large, and is not kept while there is nothing to serve.
        while open.is_some() {
            open = Box::pin(watched.serve(&core, &protocols, &client, open.take())).await;
            client.rest();
            poll_fn(|cx| watched.poll_rest(cx, &core, &client, open.as_ref())).await;
        }
        client.requests.pace.hand_on();
        drop(watched);
        core.keep_beating();
    }
}

/// A connection, and what is waited for on it.
struct Watched {
    vigil: Vigil,
    place: Place,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.place.core().drain.leave();
    }
}

impl Watched {
    /// Serves it until it ends. Gives its wire back if it is to rest.
    async fn serve(
        &mut self,
        core: &Rc<Core>,
        protocols: &Protocols,
        client: &Client,
        wire: Option<Paced>,
    ) -> Option<Paced> {
        let Self { vigil, place } = self;
        let seen = &client.requests.pace;
        let ListenerLimits { requests, cancelled, streams, .. } = *client.limits;
        let mut serving = Serving::Begins(wire?);
        let mut called = false;
        let mut patience: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            loop {
                let answers = |request| serve(core, client, request);
                if serving.poll(cx, core, protocols, answers).is_ready() {
                    return Poll::Ready(None);
                }
                let in_flight = seen.in_flight.get();
                if in_flight == 0 && seen.takes_end() {
                    continue; // its answer has gone
                }
                vigil.note_asked(client.requests.asked.get());
                vigil.note_read(client.requests.are_read());
                let (waits_for, ends) = vigil.look(seen, in_flight, core.recently());
                let is_done = !client.requests.are_read() && !seen.is_closing() && !called;
                let may_rest = waits_for == For::Another && is_done && serving.may_rest();
                let until = if may_rest { ends.min(vigil.since().after(RESTS_AFTER)) } else { ends };
                if place.poll(cx, Limit { until, recall: None }).is_some() {
                    place.leave();
                    let now = core.now();
                    if now < until {
                        continue; // it waited for something else when it began to
                    }
                    if may_rest && now < ends {
                        return Poll::Ready(serving.rest());
                    }
                    if waits_for == For::Nothing {
                        continue;
                    }
                    if ends_at_once(core, seen, waits_for) || called {
                        return Poll::Ready(None);
                    }
                    called = true;
                    serving.end_gracefully();
                    continue;
                }
                // Whoever does so need not be said goodbye to.
                if client.requests.are_mostly_cancelled(cancelled) {
                    core.refuse(Cause::RapidReset);
                    return Poll::Ready(None);
                }
                if called {
                    let most = requests.saturating_add(streams);
                    return if client.requests.asked.get() > most {
                        Poll::Ready(None)
                    } else {
                        Poll::Pending
                    };
                }
                let is_over = client.requests.asked.get() >= requests;
                if !is_over && !core.drain.is_draining() {
                    return Poll::Pending;
                }
                // Who has just connected may have sent a request that nobody has read yet.
                if client.requests.asked.get() == 0 {
                    let patience = patience.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
                    ready!(patience.as_mut().poll(cx));
                }
                called = true;
                serving.end_gracefully();
            }
        })
        .await
    }

    /// Waits until there is something to do again on a connection that rests: what has come, or a limit that has passed, is for who
    /// serves. One that has ended has nothing to wait for.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        client: &Client,
        wire: Option<&Paced>,
    ) -> Poll<()> {
        let Self { vigil, place } = self;
        let Some(wire) = wire else { return Poll::Ready(()) };
        if wire.poll_readable(cx).is_ready() || core.drain.is_draining() {
            return Poll::Ready(());
        }
        let (_, until) = vigil.look(&client.requests.pace, 0, core.recently());
        place.poll(cx, Limit { until, recall: None }).map_or(Poll::Pending, |_| Poll::Ready(()))
    }
}

/// Whether a connection whose limit has passed ends without another word.
fn ends_at_once(core: &Core, seen: &Pace, waits_for: For) -> bool {
    match waits_for {
        // The requests in flight end with it, and are counted as their client's.
        For::Room | For::End => true,
        For::Head => {
            core.refuse(Cause::HeadTimeout);
            seen.end_late();
            true
        }
        For::Another | For::Nothing => false,
    }
}
