use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::model::{Cause, Micros};

use super::broken::Broken;
use super::core::Core;
use super::headers;
use super::incoming::ClientBody;
use super::room::PIECE;
use super::serve::Upload;
use super::waits::{Limit, within};

/// What is sent to an endpoint.
pub(super) enum RequestBody {
    Empty,
    /// Goes by once.
    Streamed(Coming, Rc<Fate>),
    /// Goes by, and is kept so that it can be sent again.
    Kept(Rc<Kept>, Reader),
}

/// A client's body as it comes. What has been begun is heard out for a moment when nobody wants it any more: a client that
/// has sent all but the end would be told of a reset beside its answer, and some take that for a failure.
pub(super) struct Coming {
    /// Absent once there is nothing to come.
    incoming: Option<(ClientBody, Rc<Core>, Upload)>,
    is_begun: bool,
}

/// What became of a client's body.
pub(super) struct Fate {
    core: Rc<Core>,
    bounds: Bounds,
    begun: Micros,
    /// Why it has ended before its end.
    broken: Cell<Option<Cause>>,
    /// Bytes that have come.
    came: Cell<u64>,
    /// Whether somebody waits for the client's next piece.
    awaited: Cell<bool>,
    /// When the last piece came.
    last: Cell<Micros>,
}

/// Bytes of a request's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// That are kept, so that they can be sent again.
    pub(super) kept: usize,
    /// That may come.
    pub(super) most: u64,
    pub(super) pace: LeastPace,
}

/// How slowly a body may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeastPace {
    /// Bytes.
    pub(super) a_second: u32,
    /// So far it may be behind.
    pub(super) grace: Duration,
}

/// A client's body, of which the beginning is kept up to a bound.
pub(super) struct Kept {
    source: RefCell<Source>,
    fate: Fate,
    /// The reader that may read; those before it may not.
    turn: Cell<u32>,
    /// Who waits for the client's next piece.
    waits: RefCell<Option<Waker>>,
}

/// Where one try is in a kept body.
pub(super) struct Reader {
    turn: u32,
    next: usize,
}

struct Source {
    incoming: Coming,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    room: usize,
    too_large: bool,
}

/// Pieces of a body that are kept: also one of one byte has a place of its own.
const MOST_PIECES: usize = 1_024;
/// A piece of less than this is kept without the place that it was read to, which is more than twice as large.
const SMALL: usize = PIECE / 2;

/// How long a body is heard out that nobody wants, …
const HEARD_FOR: Duration = Duration::from_secs(1);
/// … and how many bytes of it at most. Whoever sends more is told to stop.
const MOST_HEARD: usize = 64 << 10;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the client's body broke off: {0}")]
    Client(#[source] Box<Broken>),
    #[error("the body is not as long as its head says")]
    Length,
    #[error("the client's body is larger than it may be")]
    TooLarge,
    #[error("the answer broke off: {0}")]
    Side(#[source] Box<Broken>),
    #[error("the answer fell silent")]
    Silent,
    #[error("the stream was closed")]
    Closed,
    #[error("the request is being sent elsewhere")]
    Elsewhere,
}

impl Coming {
    pub(super) fn new(incoming: ClientBody, core: &Rc<Core>, upload: Upload) -> Self {
        Self { incoming: Some((incoming, core.clone(), upload)), is_begun: false }
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.is_begun = true;
        let Some((incoming, ..)) = &mut self.incoming else { return Poll::Ready(None) };
        Pin::new(incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(|(incoming, ..)| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), |(incoming, ..)| incoming.size_hint())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Who has not been asked for it yet may wait to be: the answer tells that it need not come.
        if let Some((incoming, core, upload)) = self.incoming.take()
            && self.is_begun
            && !incoming.is_end_stream()
        {
            tokio::task::spawn_local(async move {
                hear_out(incoming, core).await;
                drop(upload);
            });
        }
    }
}

/// Reads on for a moment; tells whether that was to the end.
pub(super) async fn hear_out(mut incoming: impl Body<Data = Bytes> + Unpin, core: Rc<Core>) -> bool {
    let limit = Limit { until: core.now().after(HEARD_FOR), recall: None };
    let mut room = MOST_HEARD;
    let heard = poll_fn(|cx| {
        loop {
            match ready!(Pin::new(&mut incoming).poll_frame(cx)) {
                None => return Poll::Ready(true),
                Some(Err(_)) => return Poll::Ready(false),
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let Some(left) = room.checked_sub(length) else { return Poll::Ready(false) };
                    room = left;
                }
            }
        }
    });
    within(&core, limit, heard).await.unwrap_or(false)
}

impl Fate {
    /// A body that has yet to come.
    pub(super) fn new(core: &Rc<Core>, bounds: Bounds) -> Self {
        let begun = core.recently();
        let (broken, awaited) = (Cell::new(None), Cell::new(false));
        Self {
            core: core.clone(),
            bounds,
            begun,
            broken,
            came: Cell::new(0),
            awaited,
            last: Cell::new(begun),
        }
    }

    /// When the last piece came, or should have, if the client is slower than it may be; until then an endpoint cannot
    /// have answered.
    pub(super) fn last(&self) -> Micros {
        let LeastPace { a_second, grace } = self.bounds.pace;
        let allowed = self.came.get().saturating_mul(1_000_000) / u64::from(a_second);
        self.last.get().min(self.begun.after(grace + Duration::from_micros(allowed)))
    }

    /// When the last piece came, however late.
    pub(super) fn heard(&self) -> Micros {
        self.last.get()
    }

    /// Whether somebody waits for the client's next piece.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.get()
    }

    /// Why the client's body ended before its end, if it did.
    pub(super) fn broken(&self) -> Option<Cause> {
        self.broken.get()
    }
}

impl Kept {
    /// Keeps what comes in, within these bounds.
    pub(super) fn new(incoming: ClientBody, bounds: Bounds, core: &Rc<Core>, upload: Upload) -> Rc<Self> {
        let (incoming, frames, room) = (Coming::new(incoming, core, upload), Vec::new(), bounds.kept);
        let source = Source { incoming, frames, trailers: None, room, too_large: false };
        Rc::new(Self {
            source: source.into(),
            fate: Fate::new(core, bounds),
            turn: Cell::new(0),
            waits: RefCell::default(),
        })
    }

    /// Whether all that has been read is kept.
    pub(super) fn is_whole(&self) -> bool {
        !self.source.borrow().too_large && self.fate.broken().is_none()
    }

    /// What became of it.
    pub(super) fn fate(&self) -> &Fate {
        &self.fate
    }

    /// The body from its beginning; `None` if it was too large to be kept. Whoever was reading stops.
    pub(super) fn again(self: &Rc<Self>) -> Option<RequestBody> {
        if !self.is_whole() {
            return None;
        }
        self.turn.set(self.turn.get() + 1);
        // Whoever was reading may be a task of its own, which the client would not wake again.
        if let Some(reader) = self.waits.take() {
            reader.wake();
        }
        Some(RequestBody::Kept(self.clone(), Reader { turn: self.turn.get(), next: 0 }))
    }

    /// The body from its beginning, for a try beside another, once all of it has come.
    pub(super) fn beside(self: &Rc<Self>) -> Option<RequestBody> {
        let is_there = self.is_whole() && self.source.borrow().incoming.is_end_stream();
        is_there.then(|| RequestBody::Kept(self.clone(), Reader { turn: self.turn.get(), next: 0 }))
    }

    fn poll_frame(
        &self,
        reader: &mut Reader,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if reader.turn != self.turn.get() {
            return Poll::Ready(Some(Err(BodyError::Elsewhere)));
        }
        let mut source = self.source.borrow_mut();
        if let Some(data) = source.frames.get(reader.next) {
            reader.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if let Some(trailers) = source.trailers.clone().filter(|_| reader.next == source.frames.len()) {
            reader.next += 1;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = poll_client(&mut source.incoming, &self.fate, cx);
        if polled.is_pending() {
            *self.waits.borrow_mut() = Some(cx.waker().clone());
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            source.keep(frame);
            reader.next += 1;
        }
        polled
    }
}

impl Source {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref().filter(|_| !self.too_large) else { return };
        let room = self.room.checked_sub(data.len()).filter(|_| self.frames.len() < MOST_PIECES);
        if let Some(room) = room {
            self.room = room;
            // A small piece is a view of a large buffer.
            let kept = if data.len() < SMALL { Bytes::copy_from_slice(data) } else { data.clone() };
            self.frames.push(kept);
        } else {
            self.too_large = true;
            self.frames = Vec::new();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(incoming, fate) => poll_client(incoming, fate, cx),
            Self::Kept(kept, reader) => kept.poll_frame(reader, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(incoming, _) => incoming.is_end_stream(),
            Self::Kept(kept, reader) => {
                let source = kept.source.borrow();
                reader.turn == kept.turn.get()
                    && reader.next >= source.frames.len()
                    && source.trailers.is_none()
                    && source.incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(incoming, _) => incoming.size_hint(),
            Self::Kept(kept, reader) => {
                let source = kept.source.borrow();
                let kept_bytes: usize = source.frames.iter().skip(reader.next).map(Bytes::len).sum();
                match source.incoming.size_hint().exact() {
                    Some(coming) => SizeHint::with_exact(coming + kept_bytes as u64),
                    None => SizeHint::default(),
                }
            }
        }
    }
}

fn poll_client(
    incoming: &mut Coming,
    fate: &Fate,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let polled = Pin::new(incoming).poll_frame(cx);
    fate.awaited.set(polled.is_pending());
    let Poll::Ready(came) = polled else { return Poll::Pending };
    fate.last.set(fate.core.recently());
    Poll::Ready(came.map(|came| {
        let mut frame = came.map_err(|error| {
            fate.broken.set(Some(Cause::ClientBody));
            BodyError::Client(Box::new(error))
        })?;
        if let Some(trailers) = frame.trailers_mut() {
            headers::strip_trailers(trailers);
        }
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let came = fate.came.get().saturating_add(length);
        fate.came.set(came);
        if came > fate.bounds.most {
            fate.broken.set(Some(Cause::BodyTooLarge));
            return Err(BodyError::TooLarge);
        }
        Ok(frame)
    }))
}
