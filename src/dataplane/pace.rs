use std::cell::Cell;
use std::io::{IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::model::Micros;

use super::wire::Wire;

/// How HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client's connection does, below HTTP.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Requests that have no whole answer yet.
    pub(super) in_flight: Cell<u32>,
    /// Times that something came.
    reads: Cell<u32>,
    /// Bytes of [`PREFACE`] that the connection has begun with; more, once it has begun otherwise.
    preface: Cell<usize>,
    /// Bytes that the client's system has taken, or will.
    sent: Cell<u64>,
    /// The client takes nothing more of what is sent to it.
    is_stuck: Cell<bool>,
    /// The wire is to say so when it is let go.
    is_late: Cell<bool>,
    /// The client sends nothing more, and may still wait for an answer.
    has_ended: Cell<bool>,
    /// The last is being said to the client.
    is_closing: Cell<bool>,
    /// All has been said to the client.
    closes: Cell<bool>,
    /// It is nobody's connection any more, but a stream: its ends are its own.
    is_handed_on: Cell<bool>,
}

/// What a client of HTTP/1 is told whose head is late, by whoever lets go of its wire.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\
    proxy-status: switchback; error=http_request_error\r\n\r\n";

/// What is read to know what a client speaks: a common head, whole.
const AHEAD: usize = 4 << 10;

/// A wire that notes its pace.
pub(super) struct Paced {
    wire: Wire,
    /// What has been read, and is to be read again.
    ahead: Box<[u8]>,
    pace: Rc<Pace>,
}

/// How long a client that has shut its end may be without a byte of its answer: it may have said all that it has to say, and
/// may have left; who takes bytes has not. And how long is listened to who sends when all has been said: to close then would reset its connection, and lose it
/// the answer (RFC 9112, section 9.6).
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a client's connection may be without what is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From its first byte to the end of a request's head, and from the beginning of a connection to that. Over HTTP/2, where a
    /// head's first byte is one like any other, it is `idle` that bounds heads.
    pub(super) head: Duration,
    /// From the end of an answer to the next request.
    pub(super) idle: Duration,
    /// Until the client takes more of an answer, or how far it may be behind at `slowest`.
    pub(super) stalled: Duration,
    /// The least bytes a second of what waits to be taken.
    pub(super) slowest: u32,
}

/// What is waited for on a connection, and since when.
#[derive(Debug)]
pub(super) struct Vigil {
    patience: Rc<Patience>,
    waits_for: For,
    since: Micros,
    looked: Micros,
    reads: u32,
    sent: u64,
    /// How much longer the client has taken for what it took than it might.
    behind: Micros,
    was_busy: bool,
    /// Requests that have come.
    asked: u32,
    /// Whether somebody still reads a body, perhaps behind its answer.
    is_read: bool,
}

/// In which version of HTTP a client begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
    /// It has left without a word.
    Nothing,
}

/// What a client is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The head of a request, which it has begun; or that it begins at all.
    Head,
    /// Another request.
    Another,
    /// Room for what is sent to it.
    Room,
    /// The end of the connection, that one of the two has begun.
    End,
    /// Nothing: it is our turn.
    Nothing,
}

impl Pace {
    /// Whether the client has begun as HTTP/2 does.
    fn is_http2(&self) -> bool {
        self.preface.get() == PREFACE.len()
    }

    /// The client's head is late: it is told when the wire is let go, if it has said anything at all. (A browser opens
    /// connections in advance, and would take an answer on one for the answer to its first request.)
    pub(super) fn end_late(&self) {
        let has_spoken = self.reads.get() > 0 && !self.is_http2();
        self.is_late.set(has_spoken);
    }

    /// Whether there is an end that was kept back, which can be told now.
    pub(super) fn takes_end(&self) -> bool {
        let had = self.has_ended.get();
        self.has_ended.set(false);
        had
    }

    /// Whether the connection is being closed.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// The connection has become something else, and is looked after elsewhere.
    pub(super) fn hand_on(&self) {
        self.is_handed_on.set(true);
    }

    /// These bytes have come.
    fn came(&self, bytes: &[u8]) {
        self.reads.set(self.reads.get().wrapping_add(1));
        let begun = self.preface.get();
        if let Some(wanted) = PREFACE.get(begun..).filter(|wanted| !wanted.is_empty()) {
            let compared = wanted.len().min(bytes.len());
            let is_so = wanted[..compared] == bytes[..compared];
            self.preface.set(if is_so { begun + compared } else { usize::MAX });
        }
    }
}

impl Paced {
    pub(super) fn new(wire: Wire, pace: Rc<Pace>) -> Self {
        Self { wire, ahead: Box::default(), pace }
    }

    /// Reads as far as it takes to know what the client speaks.
    pub(super) fn poll_begin(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Speaks> {
        loop {
            match self.pace.preface.get() {
                usize::MAX => return Poll::Ready(Speaks::Http1),
                all if all == PREFACE.len() => return Poll::Ready(Speaks::Http2),
                _ => {}
            }
            let mut buffer = ReadBuf::new(&mut scratch[..AHEAD]);
            let read = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer));
            let came = buffer.filled();
            if read.is_err() || came.is_empty() {
                return Poll::Ready(if self.ahead.is_empty() { Speaks::Nothing } else { Speaks::Http1 });
            }
            self.pace.came(came);
            self.ahead = [&self.ahead, came].concat().into();
        }
    }

    /// Waits until something more may have come.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.poll_readable(cx)
    }

    /// The same, as far as can be told.
    pub(super) fn poll_maybe_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.is_empty() { self.wire.poll_maybe_readable(cx) } else { Poll::Ready(()) }
    }

    /// Whether nothing has come that nobody has read, as far as the runtime has been told: to close then resets nothing.
    pub(super) fn is_bare(&self) -> bool {
        self.ahead.is_empty() && self.wire.is_bare()
    }

    /// The same, and the kernel is asked.
    pub(super) fn is_surely_bare(&self) -> bool {
        self.ahead.is_empty() && self.wire.is_surely_bare()
    }

    /// Says that nothing more comes, as far as closing does not say so.
    pub(super) fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let left = self.wire.poll_leave(cx);
        self.note(left)
    }

    /// What is sent from now on need not leave before the end does.
    pub(super) fn hold(&mut self) {
        self.wire.hold();
    }

    /// What was held back need not wait any longer.
    pub(super) fn let_go(&mut self) {
        self.wire.let_go();
    }

    /// Whether the client sends nothing more, and this is kept back.
    pub(super) fn has_ended(&self) -> bool {
        self.pace.has_ended.get()
    }

    /// These bytes have been read, and nobody has looked at them.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        self.ahead = bytes.into();
    }

    /// Keeps the client's end to itself while an answer is under way: it may wait for that. Over HTTP/2 it is the end of all.
    fn keeps_end(&self) -> bool {
        self.pace.in_flight.get() > 0 && !self.pace.is_http2() && !self.pace.is_handed_on.get()
    }

    fn note_sent(&self, sent: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &sent {
            self.pace.sent.set(self.pace.sent.get().wrapping_add(*bytes as u64));
        }
        self.note(sent)
    }

    fn note<T>(&self, sent: Poll<Result<T>>) -> Poll<Result<T>> {
        self.pace.is_stuck.set(sent.is_pending());
        sent
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if self.pace.is_late.get() {
            let cx = &mut Context::from_waker(Waker::noop());
            // There is room for it: nothing has been sent since the last answer.
            let _ = Pin::new(&mut self.wire).poll_write(cx, TOO_LATE);
            let _ = Pin::new(&mut self.wire).poll_flush(cx);
        }
    }
}

impl Vigil {
    pub(super) fn new(patience: impl Into<Rc<Patience>>, now: Micros) -> Self {
        Self {
            patience: patience.into(),
            waits_for: For::Head,
            since: now,
            looked: now,
            reads: 0,
            sent: 0,
            behind: Micros(0),
            was_busy: false,
            asked: 0,
            is_read: false,
        }
    }

    /// So many requests have come: one that was refused at once was never seen in flight.
    pub(super) const fn note_asked(&mut self, asked: u32) {
        self.was_busy |= asked != self.asked;
        self.asked = asked;
    }

    /// Somebody still reads a body, or nobody does: what comes of one is no other request's.
    pub(super) const fn note_read(&mut self, is_read: bool) {
        self.is_read = is_read;
    }

    /// Since when it is waited for what is waited for.
    pub(super) const fn since(&self) -> Micros {
        self.since
    }

    /// What is waited for now, and until when. Looks at what has happened since the last time.
    pub(super) fn look(&mut self, pace: &Pace, in_flight: u32, now: Micros) -> (For, Micros) {
        let reads = pace.reads.get();
        let (came, was_busy) = (reads != self.reads, self.was_busy);
        (self.reads, self.was_busy) = (reads, in_flight > 0);
        let has_taken = pace.sent.get() != self.sent;
        self.follow(pace.sent.get(), now);
        let waits_for = if pace.closes.get() {
            For::End
        } else if pace.is_stuck.get() {
            For::Room
        } else if in_flight > 0 {
            if pace.has_ended.get() { For::End } else { For::Nothing }
        } else if was_busy || matches!(self.waits_for, For::Room | For::Nothing | For::End) {
            For::Another
        } else if pace.is_http2() {
            // Bytes are no sign of a request here: they may be pings, or drops of a head that never ends.
            For::Another
        } else if came && self.is_read {
            self.waits_for = For::Nothing;
            For::Another
        } else if came {
            For::Head
        } else {
            self.waits_for
        };
        if waits_for != self.waits_for || waits_for == For::End && has_taken {
            (self.waits_for, self.since) = (waits_for, now);
        }
        let patience = match waits_for {
            For::Head => self.patience.head,
            For::Another => self.patience.idle,
            For::Room => {
                let behind = Duration::from_micros(self.behind.0);
                return (waits_for, now.after(self.patience.stalled.saturating_sub(behind)));
            }
            For::End => FAREWELL,
            // Looked at again by then: whoever ends a request need not tell.
            For::Nothing => return (waits_for, now.after(self.patience.idle)),
        };
        (waits_for, self.since.after(patience))
    }

    /// Follows how far a client is behind that takes what is sent to it in small sips: time passes while something
    /// waits, and is earned back by what is taken.
    fn follow(&mut self, sent: u64, now: Micros) {
        let took = sent.wrapping_sub(self.sent).saturating_mul(1_000_000) / u64::from(self.patience.slowest);
        let waited = if self.waits_for == For::Room { now.since(self.looked) } else { Micros(0) };
        self.behind = Micros(self.behind.0 + waited.0).since(Micros(took));
        (self.looked, self.sent) = (now, sent);
    }
}

impl AsyncRead for Paced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let taken = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..taken]);
            this.ahead = this.ahead[taken..].into();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.wire).poll_read(cx, buffer);
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            this.pace.came(came);
        } else if matches!(read, Poll::Ready(Ok(()))) && this.keeps_end() {
            this.pace.has_ended.set(true);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.wire).poll_write(cx, bytes);
        this.note_sent(sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.wire).poll_write_vectored(cx, pieces);
        this.note_sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.wire).poll_flush(cx);
        this.note(sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        this.pace.is_closing.set(true);
        if !this.pace.closes.get() {
            ready!(Pin::new(&mut this.wire).poll_shutdown(cx))?;
            if this.pace.is_handed_on.get() {
                return Poll::Ready(Ok(()));
            }
            this.pace.closes.set(true);
        }
        let mut unwanted = [MaybeUninit::uninit(); 4 << 10];
        loop {
            let mut unwanted = ReadBuf::uninit(&mut unwanted);
            let read = ready!(Pin::new(&mut this.wire).poll_read(cx, &mut unwanted));
            if read.is_err() || unwanted.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        stalled: Duration::from_mins(1),
        slowest: 240,
    };

    fn second(seconds: u64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    fn read(pace: &Pace) {
        pace.came(b"x");
    }

    #[test]
    fn http2_is_known_by_its_beginning_however_that_comes() {
        for (pieces, is_http2) in [
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"][..], true),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand frames"], true),
            (&["PRI", " * HTTP/2.0\r\n\r", "\nSM\r\n\r\n", "and frames"], true),
            (&["PRI"], false),
            (&["PRI /x HTTP/1.1\r\n"], false),
            (&["PRI * HTTP/2.0\r\nHost: a\r\n\r\n"], false),
            (&["GET / HTTP/1.1"], false),
            (&["P", "OST / HTTP/1.1"], false),
            (&["X", "PRI * HTTP/2.0"], false),
        ] {
            let pace = Pace::default();
            for piece in pieces {
                pace.came(piece.as_bytes());
            }
            assert_eq!(pace.is_http2(), is_http2, "{pieces:?}");
        }
    }

    #[test]
    fn who_says_nothing_or_little_has_until_the_heads_time_and_drops_do_not_lengthen_it() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        assert_eq!(vigil.look(&pace, 0, second(0)), (For::Head, second(10)));
        for at in 1..9 {
            read(&pace);
            assert_eq!(vigil.look(&pace, 0, second(at)), (For::Head, second(10)), "{at}");
        }
    }

    #[test]
    fn between_requests_there_is_time_and_for_the_next_head_again_little() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        read(&pace);
        assert_eq!(vigil.look(&pace, 1, second(1)).0, For::Nothing);
        assert_eq!(vigil.look(&pace, 1, second(500)).0, For::Nothing, "an answer may take long");
        assert_eq!(vigil.look(&pace, 0, second(501)), (For::Another, second(576)));
        assert_eq!(vigil.look(&pace, 0, second(560)), (For::Another, second(576)));
        read(&pace);
        assert_eq!(vigil.look(&pace, 0, second(570)), (For::Head, second(580)));
    }

    #[test]
    fn who_does_not_read_is_let_go_and_who_reads_slowly_is_not() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        vigil.look(&pace, 1, second(1));
        pace.is_stuck.set(true);
        assert_eq!(vigil.look(&pace, 1, second(2)), (For::Room, second(62)));
        assert_eq!(vigil.look(&pace, 1, second(30)), (For::Room, second(62)));
        pace.is_stuck.set(false);
        pace.sent.set(pace.sent.get() + (64 << 10));
        assert_eq!(vigil.look(&pace, 1, second(40)).0, For::Nothing);
        pace.is_stuck.set(true);
        assert_eq!(vigil.look(&pace, 1, second(41)), (For::Room, second(101)));
    }

    #[test]
    fn an_end_that_has_begun_is_not_waited_for_long() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        vigil.look(&pace, 1, second(1));
        pace.has_ended.set(true);
        assert_eq!(vigil.look(&pace, 1, second(2)), (For::End, second(3)));
        pace.sent.set(pace.sent.get() + 1);
        assert_eq!(vigil.look(&pace, 1, second(3)), (For::End, second(4)), "it is there");
        assert_eq!(vigil.look(&pace, 0, second(2)).0, For::Another, "it has its answer");
        pace.closes.set(true);
        pace.is_stuck.set(true);
        assert_eq!(vigil.look(&pace, 0, second(3)), (For::End, second(4)));
    }

    #[test]
    fn neither_pings_nor_drops_of_a_head_keep_an_http2_connection() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        pace.came(PREFACE);
        assert_eq!(vigil.look(&pace, 0, second(1)), (For::Another, second(76)), "before the first request");
        read(&pace);
        assert_eq!(vigil.look(&pace, 0, second(9)), (For::Another, second(76)));
        assert_eq!(vigil.look(&pace, 1, second(9)).0, For::Nothing);
        assert_eq!(vigil.look(&pace, 0, second(20)), (For::Another, second(95)));
        read(&pace);
        assert_eq!(vigil.look(&pace, 0, second(90)), (For::Another, second(95)));
    }

    #[test]
    fn a_client_that_takes_small_sips_of_an_answer_falls_behind() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        vigil.look(&pace, 1, second(0));
        pace.is_stuck.set(true);
        assert_eq!(vigil.look(&pace, 1, second(1)), (For::Room, second(61)));
        // A hundred bytes every ten seconds are worth less than half a second each time.
        for sip in 1..=6 {
            pace.is_stuck.set(false);
            pace.sent.set(pace.sent.get() + 100);
            vigil.look(&pace, 1, second(1 + sip * 10));
            pace.is_stuck.set(true);
            vigil.look(&pace, 1, second(1 + sip * 10));
        }
        let (waits_for, until) = vigil.look(&pace, 1, second(62));
        assert_eq!(waits_for, For::Room);
        assert!(until < second(65), "{until:?}");
        // One gulp makes up for all of it.
        pace.sent.set(pace.sent.get() + (1 << 20));
        assert_eq!(vigil.look(&pace, 1, second(62)), (For::Room, second(122)));
    }

    #[test]
    fn a_slow_endpoint_is_not_a_slow_client() {
        let (pace, mut vigil) = (Pace::default(), Vigil::new(PATIENCE, second(0)));
        for at in 0..600 {
            pace.sent.set(pace.sent.get() + 1);
            assert_eq!(vigil.look(&pace, 1, second(at)).0, For::Nothing);
        }
        pace.is_stuck.set(true);
        assert_eq!(vigil.look(&pace, 1, second(600)), (For::Room, second(660)));
    }
}
