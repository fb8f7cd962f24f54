//! An upgraded stream, from the answer that agreed to it until both ends have let go.
//!
//! One task carries both directions, and the try with it: the request is in flight as long as the stream is.
//! Bytes pass unread and unchanged; of a WebSocket the heads of frames are followed, to know whether it was
//! closed in good order, and where Switchback can say "going away" in its name.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::model::{Cause, Micros, Outcome};

use super::attempt::Try;
use super::core::Core;
use super::endpoints::Lease;
use super::http1::client::Link;
use super::http1::endpoint::Http1;
use super::incoming::Io;
use super::lifetime::Lifetime;
use super::serve::InFlight;
use super::upgrade::Agreed;
use super::websocket::{self, Frames, From};

/// How long both ends have to take leave, once the stream is to be closed, or the endpoint of a WebSocket has
/// gone. Shorter than what a worker that ends gives its streams.
const LEAVE: Duration = Duration::from_millis(750);

/// Pieces that one direction carries before others get their turn.
const PIECES: usize = 16;

/// Two ends that talk past HTTP.
struct Relay {
    client: Io<Link>,
    endpoint: Io<Http1>,
    up: Direction,
    down: Direction,
    lifetime: Lifetime,
    idle: Duration,
    /// When something last came, from either end.
    last: Micros,
    /// Set when it has to end, whatever the ends do.
    leave_by: Option<Micros>,
    /// What has gone wrong first.
    failed: Option<Cause>,
}

/// What one end sends to the other.
struct Direction {
    from: From,
    /// Absent if it is no WebSocket.
    frames: Option<Frames>,
    /// What the other end has not taken yet; no more is read meanwhile.
    waiting: Vec<u8>,
    written: usize,
    /// Whether something was written that may lie in a buffer.
    unflushed: bool,
    /// Whether the other end has been told that nothing more comes.
    shut: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Passed on as soon as no frame is cut by it: what comes behind is thrown away.
    Closing,
    /// No more is written; the end that sends may not know, and what it sends is thrown away.
    Deaf,
    /// The end that sends has ended, which is passed on.
    Ending,
    Ended,
}

/// Which end has failed.
enum Broken {
    Source,
    Target,
}

/// A connection's place among those of the worker, for as long as the stream takes.
pub(super) struct Stay {
    core: Rc<Core>,
}

impl Stay {
    pub(super) fn new(core: &Rc<Core>) -> Self {
        core.drain.enter();
        Self { core: core.clone() }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.core.drain.leave();
    }
}

/// Carries an upgraded stream; what is `held` is given back at its end. Without a try it has been counted already.
pub(super) async fn run(
    agreed: Agreed,
    held: (Option<Stay>, Option<InFlight>),
    attempt: Option<Try>,
    lease: Lease,
    mut lifetime: Lifetime,
    idle: Duration,
) {
    let core = lifetime.core().clone();
    let Agreed { mut client, endpoint, is_websocket, .. } = agreed;
    let end = |attempt: Option<Try>, outcome| {
        if let Some(attempt) = attempt {
            attempt.finish_answered(outcome);
        }
    };
    let until = core.now().after(idle);
    let taken = poll_fn(|cx| match Pin::new(&mut client).poll(cx) {
        Poll::Ready(taken) => Poll::Ready(taken),
        Poll::Pending => lifetime.poll(cx, until).map(|_| None),
    });
    let Some(client) = taken.await else { return end(attempt, Outcome::Failed(Cause::ClientGone)) };
    lifetime.rest();
    let mut relay = Relay {
        client,
        endpoint,
        up: Direction::new(From::Client, is_websocket),
        down: Direction::new(From::Endpoint, is_websocket),
        last: core.now(),
        lifetime,
        idle,
        leave_by: None,
        failed: None,
    };
    poll_fn(|cx| relay.poll(cx)).await;
    end(attempt, relay.failed.map_or(Outcome::Ok, Outcome::Failed));
    drop((relay, lease, held));
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let moved = self.carry(cx);
            if self.up.state == State::Ended && self.down.state == State::Ended {
                return Poll::Ready(());
            }
            let now = self.lifetime.core().now();
            if moved {
                self.last = now;
            }
            if let Some(by) = self.leave_by {
                return self.lifetime.poll_until(cx, by);
            }
            if self.down.state == State::Ended && self.down.frames.is_some() {
                self.leave_by = Some(now.after(LEAVE));
                self.lifetime.rest();
                continue;
            }
            ready!(self.lifetime.poll(cx, self.last.after(self.idle)));
            self.fail(Cause::Closed);
            self.up.close();
            self.down.close();
            self.leave_by = Some(now.after(LEAVE));
            self.lifetime.rest();
        }
    }

    /// Carries what there is. What an endpoint has said goes first: it may have said it before it broke off.
    fn carry(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { client, endpoint, up, down, lifetime, .. } = self;
        let mut scratch = lifetime.core().scratch.borrow_mut();
        let (mut moved_down, mut moved_up) = (false, false);
        let came = down.poll(cx, endpoint, client, &mut scratch, &mut moved_down);
        let went = up.poll(cx, client, endpoint, &mut scratch, &mut moved_up);
        drop(scratch);
        match came {
            Poll::Ready(Err(Broken::Source)) => self.fail(Cause::Truncated),
            Poll::Ready(Err(Broken::Target)) => self.fail(Cause::ClientGone),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match went {
            Poll::Ready(Err(Broken::Source)) => self.fail(Cause::ClientGone),
            Poll::Ready(Err(Broken::Target)) => self.fail(Cause::Truncated),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        // Only a WebSocket says that it ends before it does.
        if self.down.has_ended_bare() {
            self.fail(Cause::Truncated);
        }
        if self.up.has_ended_bare() {
            self.fail(Cause::ClientGone);
        }
        let client_broke = matches!(went, Poll::Ready(Err(Broken::Source)));
        if client_broke || matches!(came, Poll::Ready(Err(_))) {
            // Whoever is left sees it break off too. What an endpoint has said before it broke off is read yet.
            (self.up.state, self.down.state) = (State::Ended, State::Ended);
        }
        moved_down || moved_up
    }

    /// Notes what went wrong, if it is the first thing, and a WebSocket has not been closed before.
    fn fail(&mut self, cause: Cause) {
        let is_closed = |direction: &Direction| direction.frames.is_some_and(|frames| frames.is_closed());
        if self.failed.is_none() && !is_closed(&self.up) && !is_closed(&self.down) {
            self.failed = Some(cause);
        }
    }
}

impl Direction {
    fn new(from: From, is_websocket: bool) -> Self {
        let frames = is_websocket.then(Frames::default);
        Self {
            from,
            frames,
            waiting: Vec::new(),
            written: 0,
            unflushed: false,
            shut: false,
            state: State::Open,
        }
    }

    /// It is to end where no frame is cut.
    fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Whether a WebSocket's sender has ended without having said so.
    fn has_ended_bare(&self) -> bool {
        let ended = matches!(self.state, State::Ending | State::Ended);
        ended && self.frames.is_some_and(|frames| !frames.is_closed())
    }

    /// Carries what there is, until there is nothing to do or the end.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        target: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        if self.state == State::Ended {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..PIECES {
            if ready!(self.poll_write(cx, target)).is_err() {
                self.state = State::Ended;
                return Poll::Ready(Err(Broken::Target));
            }
            if self.state == State::Closing && self.frames.is_none_or(|frames| frames.is_between()) {
                self.say_goodbye();
                continue;
            }
            if matches!(self.state, State::Deaf | State::Ending) && !self.shut {
                // An end that has gone already need not be told.
                let _ = ready!(Pin::new(&mut *target).poll_shutdown(cx));
                self.shut = true;
            }
            if self.state == State::Ending {
                self.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            let mut piece = ReadBuf::new(scratch);
            match Pin::new(&mut *source).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) => {
                    *moved |= !piece.filled().is_empty();
                    if self.take(cx, piece.filled(), target).is_err() {
                        self.state = State::Ended;
                        return Poll::Ready(Err(Broken::Target));
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.state = State::Ended;
                    return Poll::Ready(Err(Broken::Source));
                }
                Poll::Pending => return self.poll_flush(cx, target),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A piece has come; an empty one is the end. What the other end does not take at once waits.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        piece: &[u8],
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ()> {
        let mut rest = match (self.state, &mut self.frames) {
            _ if piece.is_empty() => {
                self.state = State::Ending;
                return Ok(());
            }
            (State::Open, Some(frames)) => {
                frames.pass(piece);
                piece
            }
            (State::Open, None) => piece,
            (State::Closing, Some(frames)) => &piece[..frames.finish(piece)],
            _ => return Ok(()),
        };
        while !rest.is_empty() {
            match Pin::new(&mut *target).poll_write(cx, rest) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(()),
                Poll::Ready(Ok(written)) => (rest, self.unflushed) = (&rest[written..], true),
                Poll::Pending => {
                    self.waiting.extend_from_slice(rest);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Says "going away" in the sender's name, if it has not closed by itself.
    fn say_goodbye(&mut self) {
        self.state = State::Deaf;
        if let Some(frames) = self.frames.filter(|frames| !frames.is_closed()) {
            debug_assert!(frames.is_between(), "a frame would be cut");
            self.waiting = websocket::going_away(self.from);
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), ()>> {
        while self.written < self.waiting.len() {
            match ready!(Pin::new(&mut *target).poll_write(cx, &self.waiting[self.written..])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(())),
                Ok(written) => (self.written, self.unflushed) = (self.written + written, true),
            }
        }
        // What is quiet takes no room.
        (self.waiting, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Broken>> {
        if self.unflushed {
            if ready!(Pin::new(target).poll_flush(cx)).is_err() {
                self.state = State::Ended;
                return Poll::Ready(Err(Broken::Target));
            }
            self.unflushed = false;
        }
        Poll::Pending
    }
}
