use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use tokio::sync::oneshot;

use super::super::broken::Broken;
use super::duplex::Duplex;
use super::frame::Code;

/// One stream, between who drives its connection, who reads what comes over it, and who sends.
pub(super) struct Stream {
    pub(super) id: u32,
    /// So much may be sent. Less than nothing, where the peer has thought better of it.
    pub(super) may_send: Cell<i64>,
    /// So much may come …
    pub(super) may_come: Cell<i64>,
    /// … and so much has been read since the peer was last told.
    pub(super) read: Cell<u32>,
    /// Whether we send nothing more, …
    pub(super) has_sent_all: Cell<bool>,
    /// … and the peer.
    pub(super) has_ended: Cell<bool>,
    /// Whether nobody reads what comes.
    pub(super) is_unwanted: Cell<bool>,
    pub(super) failed: Cell<Option<Failed>>,
    /// Whether an answer to it has no body, whatever its head says.
    pub(super) is_head: Cell<bool>,
    /// Whether the head of the answer has come.
    pub(super) is_answered: Cell<bool>,
    /// What is still to come of a body, as its head says.
    pub(super) declared: Cell<Option<u64>>,
    /// How much had been put into the outbox before its head.
    pub(super) behind: u64,
    pub(super) inbox: RefCell<Inbox>,
    /// Whether it stands among those that wait for room that all streams share, …
    pub(super) is_waiting: Cell<bool>,
    /// … and whether something of it has gone since it last did.
    pub(super) is_fed: Cell<bool>,
    /// Who waits for what comes, …
    reader: Cell<Option<Waker>>,
    /// … and for room for what is sent. The two may be one.
    writer: Cell<Option<Waker>>,
    /// Who waits for the client's end, if the two agree on another protocol.
    pub(super) switches: Cell<Option<oneshot::Sender<Duplex>>>,
}

/// Why nothing more comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// One of the two has reset it.
    Reset(Code),
    /// What came over it means nothing.
    Malformed,
    /// The peer has not looked at it, and says so.
    Refused,
    /// With its connection.
    Closed,
}

/// What has come, and nobody has read.
#[derive(Default)]
pub(super) struct Inbox {
    /// Of an endpoint.
    pub(super) head: Option<Response<()>>,
    /// Most bodies are one.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) bytes: u64,
}

/// So many pieces stand beside each other; then small ones are put together.
const MANY: usize = 16;
/// The largest of those.
const SMALL: usize = 4 << 10;

impl Stream {
    pub(super) fn new(id: u32, may_send: i64, may_come: i64, behind: u64) -> Self {
        Self {
            id,
            may_send: Cell::new(may_send),
            may_come: Cell::new(may_come),
            read: Cell::new(0),
            has_sent_all: Cell::new(false),
            has_ended: Cell::new(false),
            is_unwanted: Cell::new(false),
            failed: Cell::new(None),
            is_head: Cell::new(false),
            is_answered: Cell::new(false),
            declared: Cell::new(None),
            behind,
            inbox: RefCell::default(),
            is_waiting: Cell::new(false),
            is_fed: Cell::new(false),
            reader: Cell::new(None),
            writer: Cell::new(None),
            switches: Cell::new(None),
        }
    }

    /// Waits for what comes.
    pub(super) fn reader_waits(&self, cx: &Context<'_>) {
        waits(&self.reader, cx);
    }

    /// Waits for room for what is sent.
    pub(super) fn writer_waits(&self, cx: &Context<'_>) {
        waits(&self.writer, cx);
    }

    pub(super) fn call_reader(&self) {
        call(&self.reader);
    }

    pub(super) fn call_writer(&self) {
        call(&self.writer);
    }

    /// Nothing more comes or goes, for this reason if there is none yet.
    pub(super) fn fail(&self, failed: Failed) {
        if self.failed.get().is_none() {
            self.failed.set(Some(failed));
        }
        self.call_reader();
        self.call_writer();
    }

    /// Whether nothing more comes or goes.
    pub(super) fn is_over(&self) -> bool {
        self.failed.get().is_some() || self.has_sent_all.get() && self.has_ended.get()
    }
}

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Malformed => Self::Malformed,
            Failed::Reset(_) | Failed::Refused | Failed::Closed => Self::Closed,
        }
    }
}

impl Inbox {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len() as u64;
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(piece);
            return;
        }
        // Whoever sends drops must not make each of them take the room of a piece.
        if self.more.len() >= MANY
            && let Some(last) = self.more.pop_back_if(|last| last.len() + piece.len() <= SMALL)
        {
            let mut both = BytesMut::from(last);
            both.extend_from_slice(&piece);
            self.more.push_back(both.freeze());
            return;
        }
        self.more.push_back(piece);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.first.take().or_else(|| self.more.pop_front())?;
        self.bytes -= piece.len() as u64;
        Some(piece)
    }

    /// What is left of a piece is read next.
    pub(super) fn put_back(&mut self, piece: Bytes) {
        self.bytes += piece.len() as u64;
        if let Some(second) = self.first.replace(piece) {
            self.more.push_front(second);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

fn waits(place: &Cell<Option<Waker>>, cx: &Context<'_>) {
    let waker = place.take().filter(|waker| waker.will_wake(cx.waker()));
    place.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
}

fn call(place: &Cell<Option<Waker>>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_read_in_its_order_and_drops_take_the_room_of_drops() {
        let mut inbox = Inbox::default();
        for byte in 0..=255_u8 {
            inbox.push(Bytes::copy_from_slice(&[byte]));
        }
        assert_eq!(inbox.bytes, 256);
        assert!(inbox.more.len() <= MANY + 1, "{}", inbox.more.len());
        let first = inbox.pop().unwrap();
        inbox.put_back(first);
        let mut all = Vec::new();
        while let Some(piece) = inbox.pop() {
            all.extend_from_slice(&piece);
        }
        assert_eq!(all, (0..=255).collect::<Vec<u8>>());
        assert!(inbox.is_empty());
    }
}
