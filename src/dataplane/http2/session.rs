use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::sync::Notify;

use super::super::pace::PREFACE;
use super::coming::Coming;
use super::frame::{self, Code};
use super::hpack::{Decoder, Encoder};
use super::outbox::Outbox;
use super::stream::{Failed, Stream};

/// What both ends' tasks share of one connection: its streams, its windows, and what is to be sent. Who drives it reads and
/// writes; who reads or sends over a stream only puts something here, or takes it.
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) bounds: Bounds,
    pub(super) streams: HashMap<u32, Rc<Stream>, BuildHasherDefault<IdHasher>>,
    /// What has come of a frame, or of a head in pieces.
    pub(super) coming: Coming,
    pub(super) outbox: Outbox,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) peer: Peer,
    /// So much may be sent, over all streams together.
    pub(super) may_send: i64,
    /// So much may come …
    pub(super) may_come: i64,
    /// … and so much has been read since the peer was last told.
    read: u32,
    /// The last stream that a client has opened.
    pub(super) last: u32,
    pub(super) ending: Ending,
    /// Requests that are being answered, as far as their turn has come: some streams may be no more.
    pub(super) answered: usize,
    /// Rung when the peer's settings have come, or nothing more will.
    pub(super) settled: Rc<Notify>,
    /// Who waits for room that all streams share, …
    pub(super) waiting: Vec<Rc<Stream>>,
    /// … and who does so behind them, having had some.
    pub(super) fed: Vec<Rc<Stream>>,
    driver: Option<Waker>,
    /// Whether who drives it has been called, or is at it.
    is_called: bool,
}

/// Which end is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The other is an endpoint's.
    Client,
    /// The other is a client's.
    Server,
}

/// What is allowed to the peer.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) struct Bounds {
    /// Streams that it may have open at once.
    pub(in crate::dataplane) streams: u32,
    /// What may be under way on one stream that nobody has read yet.
    pub(in crate::dataplane) window: u32,
    /// The same of all together: room for every stream's, or those that are not read would keep others from being read.
    pub(in crate::dataplane) windows: u32,
    /// The size of a head, as HTTP/2 counts it.
    pub(in crate::dataplane) head: u32,
}

/// What the peer's settings allow.
pub(super) struct Peer {
    /// Whether they have come.
    pub(super) is_known: bool,
    pub(super) streams: u32,
    pub(super) window: i64,
    pub(super) allows_connect: bool,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    No,
    /// Whoever opens streams has been told to open no more, and may not have heard it yet.
    Told,
    /// No more streams are opened; those that are open end as they do.
    Last,
    /// Nothing more comes, and what is in the outbox is the last that goes.
    Closed,
}

/// What a ping carries that tells whether a client has heard that it is to open no more streams.
pub(super) const FAREWELL: [u8; 8] = *b"farewell";

/// Of the dynamic table that the peer may use. (RFC 7541, section 4.2; the default.)
const TABLE: usize = 4_096;

impl Session {
    /// A connection that begins. What each end says first is in the outbox.
    pub(super) fn new(role: Role, bounds: Bounds) -> Self {
        let mut outbox = Outbox::default();
        let own = [
            (frame::INITIAL_WINDOW_SIZE, bounds.window),
            (frame::MAX_HEADER_LIST_SIZE, bounds.head),
            match role {
                Role::Client => (frame::ENABLE_PUSH, 0),
                Role::Server => (frame::MAX_CONCURRENT_STREAMS, bounds.streams),
            },
            (frame::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let settings = if role == Role::Client {
            outbox.bytes.extend_from_slice(PREFACE);
            &own[..3]
        } else {
            &own[..]
        };
        frame::write_settings(&mut outbox.bytes, settings);
        let may_come = i64::from(bounds.windows).clamp(frame::FIRST_WINDOW, frame::MOST_WINDOW);
        let more = u32::try_from(may_come - frame::FIRST_WINDOW).unwrap_or(0);
        if more > 0 {
            frame::write_window_update(&mut outbox.bytes, 0, more);
        }
        Self {
            role,
            bounds,
            streams: HashMap::default(),
            coming: Coming::default(),
            outbox,
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE),
            peer: Peer {
                is_known: false,
                streams: u32::MAX,
                window: frame::FIRST_WINDOW,
                allows_connect: false,
            },
            may_send: frame::FIRST_WINDOW,
            may_come,
            read: 0,
            last: 0,
            ending: Ending::No,
            answered: 0,
            settled: Rc::default(),
            waiting: Vec::new(),
            fed: Vec::new(),
            driver: None,
            is_called: false,
        }
    }

    /// Opens a stream: the next of ours, or one of the client's.
    pub(super) fn open(&mut self, id: u32) -> Rc<Stream> {
        let stream =
            Rc::new(Stream::new(id, self.peer.window, i64::from(self.bounds.window), self.outbox.position()));
        self.last = id;
        self.streams.insert(id, stream.clone());
        stream
    }

    /// The number of the next stream of ours, while there is one.
    pub(super) fn next(&self) -> Option<u32> {
        let next = if self.last == 0 { 1 } else { self.last + 2 };
        (self.ending == Ending::No && i64::from(next) <= frame::MOST_WINDOW).then_some(next)
    }

    /// The peer sends nothing more over a stream. What is missing of a body makes its message none.
    pub(super) fn end(&mut self, stream: &Rc<Stream>) {
        if stream.declared.get().is_some_and(|left| left > 0) {
            return self.reset(stream, Code::PROTOCOL_ERROR, Failed::Malformed);
        }
        stream.has_ended.set(true);
        stream.call_reader();
        self.forget_if_over(stream);
    }

    /// We send nothing more over a stream.
    pub(super) fn sent_all(&mut self, stream: &Rc<Stream>) {
        stream.has_sent_all.set(true);
        if self.role == Role::Server && stream.is_unwanted.get() && !stream.has_ended.get() {
            // It need not send the rest, for which there is an answer already (RFC 9113, section 8.1).
            return self.reset(stream, Code::NO_ERROR, Failed::Reset(Code::NO_ERROR));
        }
        self.forget_if_over(stream);
    }

    /// Ends a stream, at both ends.
    pub(super) fn reset(&mut self, stream: &Stream, code: Code, failed: Failed) {
        if self.streams.remove(&stream.id).is_some() {
            frame::write_reset(&mut self.outbox.bytes, stream.id, code);
            self.call_driver();
        }
        stream.fail(failed);
    }

    /// Nobody reads any more what comes over a stream.
    pub(super) fn leave(&mut self, stream: &Stream) {
        let unread = mem::take(&mut *stream.inbox.borrow_mut());
        stream.is_unwanted.set(true);
        self.release(unread.bytes);
        if stream.is_over() || stream.has_ended.get() {
            return;
        }
        match self.role {
            Role::Client => self.reset(stream, Code::CANCEL, Failed::Reset(Code::CANCEL)),
            Role::Server if stream.has_sent_all.get() => {
                self.reset(stream, Code::NO_ERROR, Failed::Reset(Code::NO_ERROR));
            }
            // The client gets its answer first.
            Role::Server => {}
        }
    }

    /// So many bytes of a stream have been read, and as many may come.
    pub(super) fn release_of(&mut self, stream: &Stream, bytes: u64) {
        self.release(bytes);
        let read = stream.read.get().saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        stream.read.set(read);
        if read >= self.bounds.window / 2 && !stream.has_ended.get() && stream.failed.get().is_none() {
            stream.read.set(0);
            stream.may_come.set(stream.may_come.get() + i64::from(read));
            frame::write_window_update(&mut self.outbox.bytes, stream.id, read);
            self.call_driver();
        }
    }

    /// The same of all streams together.
    pub(super) fn release(&mut self, bytes: u64) {
        self.read = self.read.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        // Half of what is left of it: some of it may lie unread, and others are not to wait for that.
        if i64::from(self.read) >= (self.may_come / 2).max(1) {
            let read = mem::take(&mut self.read);
            self.may_come += i64::from(read);
            frame::write_window_update(&mut self.outbox.bytes, 0, read);
            self.call_driver();
        }
    }

    /// There is room again that all streams share.
    pub(super) fn call_waiting(&mut self) {
        if self.may_send <= 0 {
            // They would ask in vain, and be called again at once.
            return;
        }
        for stream in self.waiting.drain(..).chain(self.fed.drain(..)) {
            stream.is_waiting.set(false);
            stream.call_writer();
        }
    }

    /// Asks the client to open no more streams (RFC 9113, section 6.8); or the endpoint is told that we do not.
    pub(super) fn end_gracefully(&mut self) {
        if self.ending != Ending::No {
            return;
        }
        match self.role {
            Role::Client => {
                frame::write_goaway(&mut self.outbox.bytes, 0, Code::NO_ERROR);
                self.ending = Ending::Last;
            }
            Role::Server => {
                // What is under way is answered yet: a ping that comes back tells that nothing is.
                frame::write_goaway(&mut self.outbox.bytes, u32::MAX >> 1, Code::NO_ERROR);
                frame::write(&mut self.outbox.bytes, frame::PING, 0, 0, &FAREWELL);
                self.ending = Ending::Told;
            }
        }
        self.call_driver();
    }

    /// What the peer has sent means nothing: it is told so, and nothing more.
    pub(super) fn break_off(&mut self, code: Code) {
        self.close(Failed::Malformed);
        let last = if self.role == Role::Server { self.last } else { 0 };
        if self.role == Role::Server || self.outbox.is_whole() {
            frame::write_goaway(&mut self.outbox.bytes, last, code);
        }
    }

    /// Nothing more comes or goes over any stream.
    pub(super) fn close(&mut self, why: Failed) {
        self.ending = Ending::Closed;
        if self.role == Role::Client {
            // What has not left may be asked elsewhere, and is not to be heard here too.
            self.outbox.cut();
        }
        for (_, stream) in self.streams.drain() {
            stream.fail(why);
        }
        self.waiting.clear();
        self.fed.clear();
        self.settled.notify_waiters();
    }

    /// Whether nothing is read: a client that takes nothing of what it is told is not heard until it does. (An endpoint is: it may
    /// not read for as long as its answers are not.)
    pub(super) fn is_deaf(&self) -> bool {
        self.role == Role::Server && self.outbox.is_too_full()
    }

    /// Whether nothing is left to do but to send what is in the outbox.
    pub(super) fn is_over(&self) -> bool {
        self.ending >= Ending::Last && self.streams.is_empty()
    }

    /// Whoever drives it begins to.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        self.is_called = true;
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// Whoever drives it waits.
    pub(super) const fn rest(&mut self) {
        self.is_called = false;
    }

    /// There is something to send.
    pub(super) fn call_driver(&mut self) {
        if !mem::replace(&mut self.is_called, true)
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    pub(super) fn forget_if_over(&mut self, stream: &Stream) {
        if stream.is_over() && self.streams.remove(&stream.id).is_some() && self.ending >= Ending::Last {
            self.call_driver();
        }
    }
}

/// Numbers of streams differ in their low bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        // Multiplied by 2^64 over the golden ratio: what differs low differs high, too.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use super::super::super::room::Room;
    use super::*;

    /// Notes that it was called.
    struct Noted(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    fn session() -> Session {
        let mut session = Session::new(
            Role::Server,
            Bounds { streams: 9, window: 1 << 16, windows: 1 << 20, head: 1 << 10 },
        );
        session.peer.is_known = true;
        session
    }

    fn waits(session: &mut Session, stream: &Rc<Stream>, called: &Arc<Mutex<Vec<u32>>>) {
        let waker = Waker::from(Arc::new(Noted(stream.id, called.clone())));
        session.wait_for_room(&Context::from_waker(&waker), stream);
    }

    #[tokio::test]
    async fn no_word_is_put_into_a_frame_that_has_left_in_part() {
        let bounds = Bounds { streams: 0, window: 1 << 16, windows: 1 << 20, head: 1 << 10 };
        for room in [0, 10] {
            let mut session = Session::new(Role::Client, bounds);
            let (mut near, _far) = tokio::io::duplex(room.max(1));
            let mut cx = Context::from_waker(Waker::noop());
            if room > 0 {
                assert!(session.outbox.poll_flush(&mut cx, &mut near).is_pending());
            }
            session.break_off(Code::PROTOCOL_ERROR);
            assert_eq!(session.outbox.is_empty(), room > 0, "{room}");
        }
    }

    #[test]
    fn who_waits_for_the_window_of_all_is_called_once_there_is_room_and_not_before() {
        let (mut session, called) = (session(), Arc::default());
        let stream = session.open(1);
        session.may_send = 0;
        waits(&mut session, &stream, &called);
        session.call_waiting();
        assert!(called.lock().unwrap().is_empty());
        let mut came = Vec::new();
        frame::write_window_update(&mut came, 0, 1);
        assert!(session.take(&mut &came[..], &Room::default()).unwrap().is_none());
        assert_eq!(*called.lock().unwrap(), [1]);
    }

    #[test]
    fn who_has_had_room_stands_behind_who_had_none_and_nobody_twice() {
        let (mut session, called) = (session(), Arc::default());
        let streams = [1, 3, 5].map(|id| session.open(id));
        streams[0].is_fed.set(true);
        for stream in streams.iter().chain(&streams) {
            waits(&mut session, stream, &called);
        }
        session.call_waiting();
        assert_eq!(*called.lock().unwrap(), [3, 5, 1]);
        assert!(session.waiting.is_empty() && session.fed.is_empty());
    }
}
