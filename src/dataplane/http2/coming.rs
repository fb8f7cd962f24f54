//! What comes over a connection, frame by frame. Pieces of bodies are passed on as they come; all other frames are looked at when
//! they are whole.

use std::mem;
use std::rc::Rc;

use http::{Request, StatusCode};

use super::super::headers::has_no_content;
use super::super::room::Room;
use super::frame::{self, Code, Head};
use super::heads::{Fields, Wrong};
use super::session::{Ending, FAREWELL, Role, Session};
use super::stream::{Failed, Stream};
use crate::model::Cause;

/// What is under way of what comes.
#[derive(Default)]
pub(super) struct Coming {
    /// The beginning of a frame.
    partial: Vec<u8>,
    data: Option<Data>,
    block: Option<Block>,
}

/// A piece of a body of which not all has come.
struct Data {
    /// Absent if nobody wants it.
    stream: Option<Rc<Stream>>,
    /// Bytes to come, and those behind them that mean nothing.
    left: usize,
    padding: usize,
    /// Whether the next byte tells how many the latter are.
    is_padded: bool,
    ends: bool,
}

/// A head of which not all has come.
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// What a client has sent that somebody has to look at.
#[expect(clippy::large_enum_variant, reason = "nearly all are requests")]
pub(super) enum Event {
    Asked(Rc<Stream>, Request<()>),
    /// It was told so already.
    Refused(Cause),
}

/// Frames that the head of one message may take.
const MOST_FRAMES: usize = 64;

impl Session {
    /// Takes what has come, up to the next event. The error is why it means nothing.
    pub(super) fn take(&mut self, came: &mut &[u8], room: &Room) -> Result<Option<Event>, Code> {
        loop {
            if self.coming.data.is_some() {
                self.take_data(came, room)?;
            }
            if came.is_empty() {
                return Ok(None);
            }
            let event = if self.coming.partial.is_empty() {
                let Some(head) = Head::read(came) else {
                    self.keep(came, came.len());
                    return Ok(None);
                };
                self.check(head)?;
                if head.kind == frame::DATA {
                    *came = &came[frame::HEAD..];
                    self.begin_data(head)?;
                    continue;
                }
                let Some((whole, rest)) = came.split_at_checked(frame::HEAD + head.length) else {
                    self.keep(came, came.len());
                    return Ok(None);
                };
                *came = rest;
                self.frame(head, &whole[frame::HEAD..], room)?
            } else {
                let Some(head) = self.complete(came)? else { continue };
                let whole = mem::take(&mut self.coming.partial);
                if head.kind == frame::DATA {
                    self.begin_data(head)?;
                    continue;
                }
                self.frame(head, &whole[frame::HEAD..], room)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Keeps what has come of a frame until there is more of it.
    fn keep(&mut self, came: &mut &[u8], most: usize) {
        let (piece, rest) = came.split_at(most.min(came.len()));
        self.coming.partial.extend_from_slice(piece);
        *came = rest;
    }

    /// Adds to what is kept of a frame; its head if all of it is there now, of a body's piece without what comes of that.
    fn complete(&mut self, came: &mut &[u8]) -> Result<Option<Head>, Code> {
        let missing = frame::HEAD.saturating_sub(self.coming.partial.len());
        self.keep(came, missing);
        let Some(head) = Head::read(&self.coming.partial) else { return Ok(None) };
        if missing > 0 {
            self.check(head)?;
        }
        if head.kind == frame::DATA {
            return Ok(Some(head));
        }
        let missing = frame::HEAD + head.length - self.coming.partial.len();
        self.keep(came, missing);
        Ok((self.coming.partial.len() == frame::HEAD + head.length).then_some(head))
    }

    /// Whether a frame may begin like this, here.
    fn check(&self, head: Head) -> Result<(), Code> {
        if head.length > frame::LONGEST {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        let is_in_order = match &self.coming.block {
            Some(block) => head.kind == frame::CONTINUATION && head.stream == block.stream,
            None => head.kind != frame::CONTINUATION && (self.peer.is_known || head.kind == frame::SETTINGS),
        };
        if is_in_order { Ok(()) } else { Err(Code::PROTOCOL_ERROR) }
    }

    fn begin_data(&mut self, head: Head) -> Result<(), Code> {
        let weight = frame::weight(head.length);
        self.may_come -= weight;
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        if self.may_come < 0 {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        let mut stream = self.streams.get(&head.stream).cloned();
        if let Some(open) = &stream {
            open.may_come.set(open.may_come.get() - weight);
            let wrong = if open.has_ended.get() {
                Some(Code::STREAM_CLOSED)
            } else if !self.is_answered(open) {
                Some(Code::PROTOCOL_ERROR)
            } else {
                (open.may_come.get() < 0).then_some(Code::FLOW_CONTROL_ERROR)
            };
            if let Some(code) = wrong {
                self.reset(open, code, Failed::Malformed);
                stream = None;
            }
        }
        let (is_padded, ends) = (head.has(frame::PADDED), head.has(frame::END_STREAM));
        if is_padded && head.length == 0 {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        self.coming.data = Some(Data { stream, left: head.length, padding: 0, is_padded, ends });
        Ok(())
    }

    /// Whether a body may come: of an answer the head has.
    fn is_answered(&self, stream: &Stream) -> bool {
        self.role == Role::Server || stream.is_answered.get()
    }

    fn take_data(&mut self, came: &mut &[u8], room: &Room) -> Result<(), Code> {
        let Some(mut data) = self.coming.data.take() else { return Ok(()) };
        if data.is_padded {
            let Some((padding, rest)) = came.split_first() else {
                self.coming.data = Some(data);
                return Ok(());
            };
            *came = rest;
            (data.is_padded, data.padding) = (false, usize::from(*padding));
            data.left = data.left.checked_sub(1 + data.padding).ok_or(Code::PROTOCOL_ERROR)?;
            self.pass_over(data.stream.as_deref(), 1 + data.padding);
        }
        let (piece, rest) = came.split_at(data.left.min(came.len()));
        *came = rest;
        data.left -= piece.len();
        if !piece.is_empty() {
            self.deliver(&mut data, piece, room);
        }
        if data.left == 0 {
            let padding = data.padding.min(came.len());
            *came = &came[padding..];
            data.padding -= padding;
        }
        if data.left > 0 || data.padding > 0 {
            self.coming.data = Some(data);
            return Ok(());
        }
        if let Some(stream) = data.stream.filter(|stream| data.ends && stream.failed.get().is_none()) {
            self.end(&stream);
        }
        Ok(())
    }

    /// What nobody reads makes room for as much.
    fn pass_over(&mut self, stream: Option<&Stream>, bytes: usize) {
        match stream {
            Some(stream) => self.release_of(stream, bytes as u64),
            None => self.release(bytes as u64),
        }
    }

    fn deliver(&mut self, data: &mut Data, piece: &[u8], room: &Room) {
        let Some(stream) = data.stream.clone() else { return self.release(piece.len() as u64) };
        if let Some(left) = stream.declared.get() {
            let Some(left) = left.checked_sub(piece.len() as u64) else {
                data.stream = None;
                self.release(piece.len() as u64);
                return self.reset(&stream, Code::PROTOCOL_ERROR, Failed::Malformed);
            };
            stream.declared.set(Some(left));
        }
        if stream.is_unwanted.get() || stream.failed.get().is_some() {
            return self.release(piece.len() as u64);
        }
        stream.inbox.borrow_mut().push(room.keep(piece));
        stream.call_reader();
    }

    fn frame(&mut self, head: Head, payload: &[u8], room: &Room) -> Result<Option<Event>, Code> {
        match head.kind {
            frame::HEADERS => return self.take_head(head, payload, room),
            frame::CONTINUATION => return self.go_on(head, payload, room),
            frame::RST_STREAM => self.take_reset(head, payload)?,
            frame::SETTINGS => self.take_settings(head, payload)?,
            frame::PUSH_PROMISE => return Err(Code::PROTOCOL_ERROR),
            frame::PING => self.take_ping(head, payload)?,
            frame::GOAWAY => self.take_goaway(head, payload)?,
            frame::WINDOW_UPDATE => self.take_window(head, payload)?,
            frame::PRIORITY if head.stream == 0 => return Err(Code::PROTOCOL_ERROR),
            // Nobody goes by it any more, and what is not known is passed over (sections 5.3.2 and 5.5).
            _ => {}
        }
        Ok(None)
    }

    fn take_head(&mut self, head: Head, payload: &[u8], room: &Room) -> Result<Option<Event>, Code> {
        if head.stream == 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let mut block = payload;
        let mut padding = 0;
        if head.has(frame::PADDED) {
            let (first, rest) = block.split_first().ok_or(Code::FRAME_SIZE_ERROR)?;
            (padding, block) = (usize::from(*first), rest);
        }
        if head.has(frame::WITH_PRIORITY) {
            block = block.get(5..).ok_or(Code::FRAME_SIZE_ERROR)?;
        }
        let block = &block[..block.len().checked_sub(padding).ok_or(Code::PROTOCOL_ERROR)?];
        let ends = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.understand(head.stream, ends, block, room);
        }
        self.coming.block = Some(Block { stream: head.stream, ends, bytes: block.to_vec(), frames: 1 });
        Ok(None)
    }

    fn go_on(&mut self, head: Head, payload: &[u8], room: &Room) -> Result<Option<Event>, Code> {
        let Some(mut block) = self.coming.block.take() else { return Err(Code::PROTOCOL_ERROR) };
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        // Nobody needs so many (CVE-2024-27983). Of what is too large, so much is still worth an answer.
        let most = 2 * self.bounds.head as usize + frame::LONGEST;
        if block.frames > MOST_FRAMES || block.bytes.len() > most {
            return Err(Code::ENHANCE_YOUR_CALM);
        }
        if head.has(frame::END_HEADERS) {
            return self.understand(block.stream, block.ends, &block.bytes, room);
        }
        self.coming.block = Some(block);
        Ok(None)
    }

    /// Understands a whole head. Its fields are always read: what they leave in the table is for the next.
    fn understand(&mut self, id: u32, ends: bool, block: &[u8], room: &Room) -> Result<Option<Event>, Code> {
        let mut fields = Fields::new(room.head(), self.bounds.head as usize);
        let read = self.decoder.decode(block, room, |field, size| fields.take(field, size));
        read.map_err(|_| Code::COMPRESSION_ERROR)?;
        if let Some(stream) = self.streams.get(&id).cloned() {
            if stream.has_ended.get() {
                self.reset(&stream, Code::STREAM_CLOSED, Failed::Malformed);
            } else if self.is_answered(&stream) {
                self.take_trailers(&stream, ends, fields);
            } else {
                self.take_answer(&stream, ends, fields);
            }
            return Ok(None);
        }
        match self.role {
            Role::Client if self.is_idle(id) => Err(Code::PROTOCOL_ERROR),
            Role::Server if id.is_multiple_of(2) => Err(Code::PROTOCOL_ERROR),
            Role::Server if id > self.last => Ok(self.take_request(id, ends, fields)),
            // What was still under way to a stream that has ended.
            _ => Ok(None),
        }
    }

    fn take_request(&mut self, id: u32, ends: bool, fields: Fields) -> Option<Event> {
        if self.ending >= Ending::Last {
            return None;
        }
        // Who gives up at once what it asks for does not make room by that.
        if self.streams.len().max(self.answered) >= self.bounds.streams as usize {
            self.last = id;
            frame::write_reset(&mut self.outbox.bytes, id, Code::REFUSED_STREAM);
            return None;
        }
        let declared = fields.length;
        let request = fields.into_request();
        let stream = self.open(id);
        // Who has sent all of it need not be told that nothing more is wanted.
        stream.has_ended.set(ends);
        let is_short = ends && declared.is_some_and(|length| length > 0);
        match request {
            Ok(request) if !is_short => {
                stream.declared.set(declared);
                self.answered += 1;
                Some(Event::Asked(stream, request))
            }
            Err(Wrong::TooLarge) => {
                self.refuse(&stream, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                Some(Event::Refused(Cause::HeadTooLarge))
            }
            Ok(_) | Err(Wrong::Malformed) => {
                self.reset(&stream, Code::PROTOCOL_ERROR, Failed::Malformed);
                Some(Event::Refused(Cause::BadRequest))
            }
        }
    }

    /// Answers what nobody looks at any further.
    fn refuse(&mut self, stream: &Rc<Stream>, status: StatusCode) {
        let at = frame::begin_block(&mut self.outbox.bytes);
        self.encoder.begin(&mut self.outbox.bytes);
        self.encoder.status(&mut self.outbox.bytes, status);
        frame::end_block(&mut self.outbox.bytes, at, stream.id, frame::END_STREAM);
        stream.is_unwanted.set(true);
        self.sent_all(stream);
    }

    fn take_answer(&mut self, stream: &Rc<Stream>, ends: bool, fields: Fields) {
        let declared = fields.length;
        let Ok(response) = fields.into_response() else {
            return self.reset(stream, Code::PROTOCOL_ERROR, Failed::Malformed);
        };
        let status = response.status();
        if status.is_informational() {
            // It says that there is more to come. Nothing is switched to over HTTP/2 (section 8.6).
            if ends || status == StatusCode::SWITCHING_PROTOCOLS {
                self.reset(stream, Code::PROTOCOL_ERROR, Failed::Malformed);
            }
            return;
        }
        if !stream.is_head.get() && !has_no_content(status) {
            if ends && declared.is_some_and(|length| length > 0) {
                return self.reset(stream, Code::PROTOCOL_ERROR, Failed::Malformed);
            }
            stream.declared.set(declared);
        }
        stream.is_answered.set(true);
        stream.inbox.borrow_mut().head = Some(response);
        if ends {
            self.end(stream);
        } else {
            stream.call_reader();
        }
    }

    fn take_trailers(&mut self, stream: &Rc<Stream>, ends: bool, fields: Fields) {
        match fields.into_trailers() {
            Ok(trailers) if ends => {
                stream.inbox.borrow_mut().trailers = Some(trailers);
                self.end(stream);
            }
            Ok(_) | Err(_) => self.reset(stream, Code::PROTOCOL_ERROR, Failed::Malformed),
        }
    }

    fn take_reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let code = Code(u32::from_be_bytes(payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?));
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        let Some(stream) = self.streams.remove(&head.stream) else { return Ok(()) };
        if self.role == Role::Client && stream.has_ended.get() && code == Code::NO_ERROR {
            // It has said all, and does not want the rest of what is sent to it.
            stream.has_sent_all.set(true);
            stream.call_writer();
        } else {
            stream.fail(if code == Code::REFUSED_STREAM { Failed::Refused } else { Failed::Reset(code) });
        }
        Ok(())
    }

    fn take_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() || head.has(frame::ACK) && !payload.is_empty() {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        if head.has(frame::ACK) {
            return Ok(());
        }
        let mut window = None;
        for [n0, n1, value @ ..] in settings {
            self.set(u16::from_be_bytes([*n0, *n1]), u32::from_be_bytes(*value), &mut window)?;
        }
        if let Some(window) = window {
            self.set_window(i64::from(window))?;
        }
        self.peer.is_known = true;
        self.settled.notify_waiters();
        frame::write(&mut self.outbox.bytes, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    fn set(&mut self, name: u16, value: u32, window: &mut Option<u32>) -> Result<(), Code> {
        match name {
            frame::HEADER_TABLE_SIZE => self.encoder.limit_table(value),
            frame::ENABLE_PUSH if value > 1 => return Err(Code::PROTOCOL_ERROR),
            frame::MAX_CONCURRENT_STREAMS => self.peer.streams = value,
            // All streams are looked at for it, and so only once.
            frame::INITIAL_WINDOW_SIZE => *window = Some(value),
            // Longer frames would only keep others waiting.
            frame::MAX_FRAME_SIZE if !(frame::LONGEST..1 << 24).contains(&(value as usize)) => {
                return Err(Code::PROTOCOL_ERROR);
            }
            frame::ENABLE_CONNECT_PROTOCOL => self.peer.allows_connect = value == 1,
            _ => {}
        }
        Ok(())
    }

    /// How much may be sent on each stream from its beginning on.
    fn set_window(&mut self, window: i64) -> Result<(), Code> {
        let more = window - mem::replace(&mut self.peer.window, window);
        if window > frame::MOST_WINDOW {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        for stream in self.streams.values() {
            let window = stream.may_send.get() + more;
            if window > frame::MOST_WINDOW {
                return Err(Code::FLOW_CONTROL_ERROR);
            }
            stream.may_send.set(window);
            stream.call_writer();
        }
        Ok(())
    }

    fn take_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let carried: [u8; 8] = payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?;
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if !head.has(frame::ACK) {
            frame::write(&mut self.outbox.bytes, frame::PING, frame::ACK, 0, &carried);
        } else if carried == FAREWELL && self.ending == Ending::Told {
            // What the client had sent before it heard is here by now.
            self.ending = Ending::Last;
            frame::write_goaway(&mut self.outbox.bytes, self.last, Code::NO_ERROR);
        }
        Ok(())
    }

    fn take_goaway(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let Some(&[a, b, c, d, ..]) = payload.first_chunk::<8>() else { return Err(Code::FRAME_SIZE_ERROR) };
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let last = frame::number([a, b, c, d]);
        self.ending = self.ending.max(Ending::Last);
        if self.role == Role::Server {
            // A client that goes opens no more streams, and those that are open end as they do.
            return Ok(());
        }
        let untouched: Vec<u32> = self.streams.keys().filter(|id| **id > last).copied().collect();
        for id in untouched {
            if let Some(stream) = self.streams.remove(&id) {
                stream.fail(Failed::Refused);
            }
        }
        self.settled.notify_waiters();
        Ok(())
    }

    fn take_window(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let more = i64::from(frame::number(payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?));
        if head.stream == 0 {
            self.may_send += more;
            if more == 0 || self.may_send > frame::MOST_WINDOW {
                return Err(if more == 0 { Code::PROTOCOL_ERROR } else { Code::FLOW_CONTROL_ERROR });
            }
            self.call_waiting();
            return Ok(());
        }
        if self.is_idle(head.stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        let Some(stream) = self.streams.get(&head.stream).cloned() else { return Ok(()) };
        let window = stream.may_send.get() + more;
        if more == 0 {
            self.reset(&stream, Code::PROTOCOL_ERROR, Failed::Malformed);
        } else if window > frame::MOST_WINDOW {
            self.reset(&stream, Code::FLOW_CONTROL_ERROR, Failed::Malformed);
        } else {
            stream.may_send.set(window);
            stream.call_writer();
        }
        Ok(())
    }

    /// Whether a stream has never been opened. (We open none to clients, and none is opened to us by endpoints.)
    const fn is_idle(&self, id: u32) -> bool {
        // Those that a client has opened before it heard that it may open no more are nobody's.
        let is_unheard = matches!((self.role, self.ending), (Role::Server, Ending::Last));
        id.is_multiple_of(2) || id > self.last && !is_unheard
    }
}
