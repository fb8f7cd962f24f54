use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{Protocol, SideConfig};
use crate::model::{Cause, Micros};

use super::super::body::RequestBody;
use super::super::core::Core;
use super::super::http1::endpoint::Http1;
use super::super::http2::endpoint::{Asked, Http2};
use super::super::origin::Origin;
use super::super::waits::{Expired, Limit, within};
use super::{EndpointState, connect};

/// One endpoint's connections on one worker.
pub(in crate::dataplane) struct Pool {
    connections: Connections,
    /// How long one is kept that nobody uses.
    idle_for: Cell<Duration>,
    configured: Cell<Duration>,
}

enum Connections {
    Http1(RefCell<Vec<Idle>>),
    Http2 {
        open: RefCell<Vec<Rc<Shared>>>,
        /// One connection is made at a time: who waits meanwhile shares it.
        making: Arc<Semaphore>,
    },
}

/// An HTTP/1.1 connection that nobody uses.
struct Idle {
    connection: Http1,
    since: Micros,
}

/// An HTTP/2 connection.
pub(in crate::dataplane) struct Shared {
    connection: Http2,
    made: Micros,
    streams: Cell<usize>,
    since: Cell<Micros>,
}

/// A connection for one request. Hand an HTTP/1.1 connection back when the answer has ended.
pub(in crate::dataplane) enum Lease {
    Http1(Http1),
    Http2(Stream),
}

/// A stream's place on its connection, given up when dropped.
pub(in crate::dataplane) struct Stream(Rc<Shared>);

/// Idle connections kept for each endpoint. More than this means that the peak is over.
const MOST_IDLE: usize = 256;
/// An idle connection is closed so long before its endpoint would do it.
const SOONER: Duration = Duration::from_secs(1);
/// An endpoint says how many streams it allows with the first packet of a new connection. It is not waited for any longer.
const SETTLES: Duration = Duration::from_millis(100);
/// Streams on one HTTP/2 connection before another is made, where the endpoint allows so many.
const MOST_STREAMS: usize = 100;

impl Pool {
    pub(super) fn new(side: &SideConfig) -> Self {
        let connections = match side.protocol {
            Protocol::Http1 => Connections::Http1(RefCell::default()),
            Protocol::Http2 => {
                Connections::Http2 { open: RefCell::default(), making: Arc::new(Semaphore::new(1)) }
            }
        };
        let configured = side.idle_connections;
        Self { connections, idle_for: Cell::new(configured), configured: Cell::new(configured) }
    }

    /// The configuration says how long a connection is kept that nobody uses.
    pub(super) fn keep_for(&self, configured: Duration) {
        if self.configured.replace(configured) != configured {
            self.idle_for.set(configured);
        }
    }

    /// The endpoint says how long it keeps a connection that nobody uses (`Keep-Alive: timeout=5`).
    pub(in crate::dataplane) fn heed(&self, keep_alive: &HeaderValue) {
        let timeout = keep_alive.to_str().ok().and_then(|text| {
            let mut parameters = text.split(',').filter_map(|parameter| parameter.trim().split_once('='));
            parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?.1.trim().parse().ok()
        });
        if let Some(seconds) = timeout {
            let kept = Duration::from_secs(seconds).saturating_sub(SOONER).max(SOONER / 2);
            self.idle_for.set(self.idle_for.get().min(kept));
        }
    }

    /// Whether one connection carries many requests.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.connections, Connections::Http2 { .. })
    }

    /// How many connections there are that nobody uses; of HTTP/2, how many at all.
    pub(super) fn open(&self) -> usize {
        match &self.connections {
            Connections::Http1(idle) => idle.borrow().len(),
            Connections::Http2 { open, .. } => open.borrow().len(),
        }
    }

    /// A connection that is open and free.
    pub(in crate::dataplane) fn take(&self, now: Micros) -> Option<Lease> {
        match &self.connections {
            Connections::Http1(idle) => take_idle(idle, now, self.too_long()).map(Lease::Http1),
            Connections::Http2 { open, .. } => take_stream(open, Fresh::Any).map(Lease::Http2),
        }
    }

    /// A new connection; over HTTP/2 also one that somebody else has made meanwhile, if it is fresh enough.
    pub(in crate::dataplane) async fn make(
        &self,
        core: &Rc<Core>,
        endpoint: &EndpointState,
        limit: Limit,
        fresh: Fresh,
        origin: Option<&Origin>,
    ) -> Result<Lease, Cause> {
        match &self.connections {
            Connections::Http1(_) => connect::http1(core, endpoint, limit, origin).await.map(Lease::Http1),
            Connections::Http2 { .. } if endpoint.announced.is_some() => {
                let made = connect::http2(core, endpoint, limit, origin).await;
                made.map(|made| Lease::Http2(Stream::alone(made, core.now())))
            }
            Connections::Http2 { open, making } => {
                let turn =
                    within(core, limit, making.clone().acquire_owned()).await.map_err(connect::in_words)?;
                if let Some(stream) = take_stream(open, fresh) {
                    return Ok(Lease::Http2(stream));
                }
                let stream = add_shared(open, connect::http2(core, endpoint, limit, None).await?, core.now());
                let settled = stream.0.connection.settled();
                // Who waits would crowd onto a connection of which nobody knows yet how many streams it may have.
                tokio::task::spawn_local(async move {
                    let _ = timeout(SETTLES, settled).await;
                    drop(turn);
                });
                Ok(Lease::Http2(stream))
            }
        }
    }

    /// Takes back a connection whose answer has ended.
    pub(in crate::dataplane) fn give_back(&self, lease: Lease, now: Micros) {
        match (&self.connections, lease) {
            (Connections::Http1(idle), Lease::Http1(connection)) if connection.is_open() => {
                let mut idle = idle.borrow_mut();
                if idle.len() < MOST_IDLE {
                    idle.push(Idle { connection, since: now });
                }
            }
            (_, Lease::Http2(stream)) => stream.0.since.set(now),
            (_, Lease::Http1(_)) => {}
        }
    }

    /// Closes every connection that is idle: the endpoint does not answer.
    pub(in crate::dataplane) fn close_idle(&self) {
        match &self.connections {
            Connections::Http1(idle) => idle.borrow_mut().clear(),
            Connections::Http2 { open, .. } => open.borrow_mut().clear(),
        }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn tidy(&self, now: Micros) {
        let too_long = self.too_long();
        match &self.connections {
            Connections::Http1(idle) => {
                idle.borrow_mut()
                    .retain(|idle| idle.connection.is_open() && now.since(idle.since).0 < too_long);
            }
            Connections::Http2 { open, .. } => open.borrow_mut().retain(|shared| {
                let busy = shared.streams.get() > 0;
                shared.connection.is_open() && (busy || now.since(shared.since.get()).0 < too_long)
            }),
        }
    }
}

impl Pool {
    fn too_long(&self) -> u64 {
        u64::try_from(self.idle_for.get().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Whether a connection that has carried requests will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Fresh {
    Any,
    /// It must have been made since.
    Since(Micros),
}

impl Lease {
    /// Whether its endpoint has not closed it, as far as the kernel knows.
    pub(in crate::dataplane) fn is_surely_open(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_surely_open(),
            // It is read all the time.
            Self::Http2(_) => true,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl Stream {
    /// A stream on a connection that nobody shares.
    fn alone(connection: Http2, now: Micros) -> Self {
        let (streams, since) = (Cell::new(1), Cell::new(now));
        Self(Rc::new(Shared { connection, made: now, streams, since }))
    }

    /// Begins to ask over it.
    pub(in crate::dataplane) fn ask(
        &self,
        core: &Rc<Core>,
        request: &Request<RequestBody>,
        body: RequestBody,
    ) -> Asked {
        self.0.connection.ask(core, request, body)
    }

    /// Waits until the endpoint allows extended CONNECT. It says so first of all, in its settings: one that has
    /// said nothing by the time that a connection may take does not speak it.
    pub(in crate::dataplane) async fn allows_connect(
        &self,
        core: &Rc<Core>,
        limit: Limit,
    ) -> Result<(), Cause> {
        let time = limit.until.since(core.now());
        let limit = Limit { until: Micros(self.0.made.0 + time.0), ..limit };
        match within(core, limit, self.0.connection.settled()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(Expired::Late) => Err(Cause::Protocol),
            Err(Expired::TakenBack) => Err(Cause::TakenBack),
            Err(Expired::LetOut) => Err(Cause::LetOut),
        }
    }
}

/// The connection that was used last: the others grow old and are closed.
fn take_idle(idle: &RefCell<Vec<Idle>>, now: Micros, too_long: u64) -> Option<Http1> {
    let mut idle = idle.borrow_mut();
    let mut place = idle.len();
    while place > 0 {
        place -= 1;
        if now.since(idle[place].since).0 >= too_long {
            // Its endpoint may be about to close it, and what lies below is older still.
            idle.drain(..=place);
            return None;
        }
        let Idle { connection, .. } = idle.remove(place);
        if connection.is_open() {
            return Some(connection);
        }
    }
    None
}

fn take_stream(open: &RefCell<Vec<Rc<Shared>>>, fresh: Fresh) -> Option<Stream> {
    let mut open = open.borrow_mut();
    open.retain(|shared| shared.connection.is_open());
    let shared = open.iter().find(|shared| {
        let will_do = match fresh {
            Fresh::Any => true,
            Fresh::Since(since) => shared.made >= since,
        };
        will_do && shared.connection.has_room(shared.streams.get(), MOST_STREAMS)
    })?;
    shared.streams.set(shared.streams.get() + 1);
    Some(Stream(shared.clone()))
}

fn add_shared(open: &RefCell<Vec<Rc<Shared>>>, connection: Http2, now: Micros) -> Stream {
    let stream = Stream::alone(connection, now);
    open.borrow_mut().push(stream.0.clone());
    stream
}
