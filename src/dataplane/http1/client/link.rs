use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::super::super::pace::Paced;
use super::super::framing::Left;
use super::super::source::Source;
use super::super::wake;

/// A client's connection, between who serves it and who reads a request's body.
#[derive(Clone)]
pub(in crate::dataplane) struct Link(Rc<Shared>);

struct Shared {
    ends: RefCell<Ends>,
    progress: Cell<Progress>,
    /// Who serves, while somebody reads a body, …
    server: Cell<Option<Waker>>,
    /// … and who reads it.
    reader: Cell<Option<Waker>>,
}

pub(super) struct Ends {
    pub(super) source: Source<Paced>,
    /// What is to be sent of heads, and where bodies are put together.
    pub(super) outbox: Vec<u8>,
    /// Whether the client waits to be told that it may send its body.
    pub(super) expects_word: bool,
    /// Who waits for the client's end, if the two agree on another protocol.
    pub(super) switches: Option<oneshot::Sender<Link>>,
}

/// What has become of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it has been read.
    Whole,
    /// Somebody reads it, or may.
    Read,
    /// Nobody wants it; so much is left.
    Unwanted(Left),
    /// It has broken off: what comes behind it cannot be told from it.
    Broken,
    /// Whoever serves has let go of the client, and nothing more is read.
    Cut,
}

impl Link {
    pub(super) fn new(wire: Paced) -> Self {
        let ends =
            Ends { source: Source::new(wire), outbox: Vec::new(), expects_word: false, switches: None };
        Self(Rc::new(Shared {
            ends: ends.into(),
            progress: Cell::new(Progress::Whole),
            server: Cell::default(),
            reader: Cell::default(),
        }))
    }

    /// The wire, if nobody else has it.
    pub(super) fn into_wire(self) -> Option<Paced> {
        let Source { mut wire, came, .. } = Rc::into_inner(self.0)?.ends.into_inner().source;
        // Of a request there may be a beginning.
        if !came.is_empty() {
            wire.give_back(&came);
        }
        Some(wire)
    }

    pub(super) fn is_alone(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    pub(super) fn borrow_mut(&self) -> RefMut<'_, Ends> {
        self.0.ends.borrow_mut()
    }

    /// What has become of a request's body.
    pub(super) fn progress(&self) -> Progress {
        self.0.progress.get()
    }

    pub(super) fn set(&self, progress: Progress) {
        self.0.progress.set(progress);
    }

    /// Nobody wants what is left of it.
    pub(super) fn leave(&self, left: Left) {
        self.set(Progress::Unwanted(left));
        wake(self.0.server.take());
    }

    /// Nothing more of it is read by whoever reads it.
    pub(super) fn cut(&self) {
        self.set(Progress::Cut);
        self.call_reader();
    }

    /// Waits to be called as the one who serves.
    pub(super) fn server_waits(&self, cx: &Context<'_>) {
        self.0.server.set(Some(cx.waker().clone()));
    }

    /// The same as the one who reads a body.
    pub(super) fn reader_waits(&self, cx: &Context<'_>) {
        self.0.reader.set(Some(cx.waker().clone()));
    }

    /// Whoever serves has something to do, unless it is who calls.
    pub(super) fn call_server(&self, cx: &Context<'_>) {
        wake(self.0.server.take().filter(|server| !server.will_wake(cx.waker())));
    }

    /// Whoever reads a body is to look again.
    pub(super) fn call_reader(&self) {
        wake(self.0.reader.take());
    }
}

/// What comes and goes over it once both ends have agreed on another protocol.
impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_shutdown(cx)
    }
}
