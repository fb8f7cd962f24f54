//! HTTP/2 by hand, for what no library would send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::endpoint::Endpoint;

/// How a client's connection begins (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames, and flags (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;
pub(crate) const ACK: u8 = 1;

// Settings (RFC 9113, section 6.5.2; RFC 8441, section 3).
pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

// Why a stream or a connection ends (RFC 9113, section 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What a window is at first, and the most that it may be (RFC 9113, section 6.9).
pub(crate) const FIRST_WINDOW: u32 = 65_535;
pub(crate) const MOST_WINDOW: u32 = (1 << 31) - 1;

/// One frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Whether its stream ends with it.
    pub(crate) fn is_last(&self) -> bool {
        match self.kind {
            DATA | HEADERS => self.flags & END_STREAM != 0,
            RST_STREAM => true,
            _ => false,
        }
    }

    /// The status that a head tells, if this is one; of the table that it may refer to only the fixed part is known.
    pub(crate) fn status(&self) -> Option<u16> {
        const FIXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        if self.kind != HEADERS {
            return None;
        }
        // Sizes of the table come first, if at all.
        let rest = self.payload.iter().position(|byte| byte & 0xe0 != 0x20)?;
        match self.payload[rest..] {
            [index @ 0x88..=0x8e, ..] => Some(FIXED[usize::from(index - 0x88)]),
            [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, 3, a, b, c, ..] => {
                std::str::from_utf8(&[a, b, c]).ok()?.parse().ok()
            }
            [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, 0x82 | 0x83, ..] => digits(&self.payload[rest + 2..]),
            _ => None,
        }
    }
}

/// Three digits in Huffman's code of RFC 7541, appendix B.
fn digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u16> = bytes
        .iter()
        .take(3)
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)))
        .collect();
    let value = |from: usize, count: usize| {
        Some(bits.get(from..from + count)?.iter().fold(0, |sum, bit| sum * 2 + bit))
    };
    let (mut number, mut place) = (0, 0);
    for _ in 0..3 {
        // '0' to '2' have five bits, '3' to '9' have six.
        let short = value(place, 5)?;
        let (digit, length) = if short < 3 { (short, 5) } else { (value(place, 6)?.checked_sub(22)?, 6) };
        (number, place) = (number * 10 + digit, place + length);
    }
    Some(number)
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of fields: each literal, not indexed and as it is (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            match u8::try_from(text.len()).unwrap() {
                length @ ..127 => bytes.push(length),
                length @ 127.. => bytes.extend([127, length - 127]),
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A head in one frame.
pub(crate) fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// Settings as they are sent.
pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// Room for so many bytes more of a stream, or of all.
pub(crate) fn room(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// The end of a stream.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The end of a connection.
pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A whole answer.
pub(crate) fn answer(stream: u32, status: &str, body: &[u8]) -> Vec<u8> {
    [head(stream, 0, &[(":status", status)]), frame(DATA, END_STREAM, stream, body)].concat()
}

/// The end of a connection that speaks HTTP/2.
pub(crate) struct Frames {
    stream: TcpStream,
    /// What has come of the next frame.
    came: Vec<u8>,
}

impl Frames {
    /// The server's end, after the client's preface and with our settings sent.
    pub(crate) async fn accept(stream: TcpStream) -> std::io::Result<Self> {
        Self::accept_with(stream, &[]).await
    }

    /// The same with settings.
    pub(crate) async fn accept_with(mut stream: TcpStream, own: &[(u16, u32)]) -> std::io::Result<Self> {
        stream.read_exact(&mut [0; PREFACE.len()]).await?;
        stream.write_all(&settings(own)).await?;
        Ok(Self { stream, came: Vec::new() })
    }

    /// The client's end, with the preface and our settings sent.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut frames = Self::begin(address).await;
        frames.send(&settings(&[])).await.unwrap();
        frames
    }

    /// The client's end, with the preface sent, and nothing else.
    pub(crate) async fn begin(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).await.unwrap();
        Self { stream, came: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame that means something to whoever speaks; `None` at the end. Settings and pings are answered.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let told = if frame.kind == PING { &frame.payload[..] } else { &[] };
                    self.send(&self::frame(frame.kind, ACK, 0, told)).await.ok()?;
                }
                DATA | HEADERS | RST_STREAM | GOAWAY => return Some(frame),
                _ => {}
            }
        }
    }

    /// The next frame, whatever it is; `None` at the end. Nothing is lost if it is not waited for to the end.
    pub(crate) async fn any(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.came).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = self.came.first_chunk()?;
        let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.came.get(9..end)?.to_vec();
        self.came.drain(..end);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), payload })
    }
}

/// One end of a connection, and all that the other has said. Its settings are answered, and nothing else.
pub(crate) struct Talk {
    frames: Frames,
    said: BTreeMap<u32, Said>,
    /// Why the other takes its leave, and the last stream that it has looked at.
    pub(crate) goaways: Vec<(u32, u32)>,
    /// Pings that it has sent, …
    pub(crate) pings: Vec<Vec<u8>>,
    /// … and answered.
    pub(crate) pongs: Vec<Vec<u8>>,
    /// How often it has acknowledged settings.
    pub(crate) agreed: usize,
    /// Room that it has given since the beginning.
    pub(crate) room: u32,
    asked: u8,
}

/// What has been said over a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Of an answer.
    pub(crate) status: Option<u16>,
    /// Heads and trailers, as blocks of fields.
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
    /// Types of its frames.
    pub(crate) kinds: Vec<u8>,
    pub(crate) has_ended: bool,
    pub(crate) reset: Option<u32>,
    pub(crate) room: u32,
}

/// How long something that is bound to be said may take, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

impl Talk {
    pub(crate) const fn new(frames: Frames) -> Self {
        Self {
            frames,
            said: BTreeMap::new(),
            goaways: Vec::new(),
            pings: Vec::new(),
            pongs: Vec::new(),
            agreed: 0,
            room: 0,
            asked: 0,
        }
    }

    /// A client's end, with these settings.
    pub(crate) async fn connect(address: SocketAddr, own: &[(u16, u32)]) -> Self {
        let mut frames = Frames::begin(address).await;
        frames.send(&settings(own)).await.unwrap();
        Self::new(frames)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.frames.send(bytes).await.unwrap();
    }

    /// What has been said over a stream.
    pub(crate) fn of(&self, stream: u32) -> Said {
        self.said.get(&stream).cloned().unwrap_or_default()
    }

    /// Streams over which something has been said.
    pub(crate) fn streams(&self) -> Vec<u32> {
        self.said.keys().copied().collect()
    }

    /// Hears one frame; `false` at the end.
    pub(crate) async fn hear(&mut self) -> bool {
        let Some(frame) = self.frames.any().await else { return false };
        let number = |at: usize| {
            let bytes = frame.payload.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        match (frame.kind, frame.flags & ACK != 0) {
            (SETTINGS, true) => self.agreed += 1,
            (SETTINGS, false) => {
                let _ = self.frames.send(&self::frame(SETTINGS, ACK, 0, &[])).await;
            }
            (PING, true) => self.pongs.push(frame.payload),
            (PING, false) => self.pings.push(frame.payload),
            (GOAWAY, _) => self.goaways.push((number(0), number(4))),
            (WINDOW_UPDATE, _) if frame.stream == 0 => self.room += number(0),
            _ => {
                let said = self.said.entry(frame.stream).or_default();
                said.kinds.push(frame.kind);
                said.has_ended |= frame.is_last() && frame.kind != RST_STREAM;
                match frame.kind {
                    HEADERS => {
                        said.status = said.status.or(frame.status());
                        said.blocks.push(frame.payload);
                    }
                    DATA => said.body.extend(frame.payload),
                    RST_STREAM => said.reset = Some(number(0)),
                    WINDOW_UPDATE => said.room += number(0),
                    _ => {}
                }
            }
        }
        true
    }

    /// Hears until something is so.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let hearing = async {
            while !so(self) {
                assert!(self.hear().await, "ended before: {what}; {:?}", self.goaways);
            }
        };
        if tokio::time::timeout(BOUND, hearing).await.is_err() {
            let short =
                |said: &Said| (said.status, said.body.len(), said.kinds.len(), said.has_ended, said.reset);
            let said: Vec<_> = self.said.iter().map(|(stream, said)| (stream, short(said))).collect();
            panic!("not within {BOUND:?}: {what}; {:?} {said:?}", self.goaways);
        }
    }

    /// Hears to the end of the connection.
    pub(crate) async fn end(&mut self) {
        let hearing = async { while self.hear().await {} };
        assert!(tokio::time::timeout(BOUND, hearing).await.is_ok(), "no end; {:?}", self.goaways);
    }

    /// Hears a whole answer: its status and its body.
    pub(crate) async fn answer(&mut self, stream: u32) -> (Option<u16>, Vec<u8>) {
        self.until(&format!("stream {stream} is answered"), |talk| {
            talk.said.get(&stream).is_some_and(|said| said.has_ended || said.reset.is_some())
        })
        .await;
        let said = self.of(stream);
        assert!(said.has_ended, "stream {stream}: {:?}", said.reset);
        (said.status, said.body)
    }

    /// Hears all that was said before a ping is answered, and whatever follows from what was sent before.
    pub(crate) async fn ping(&mut self) {
        self.asked += 1;
        let ping = vec![self.asked; 8];
        self.send(&frame(PING, 0, 0, &ping)).await;
        self.until("a ping is answered", |talk| talk.pongs.contains(&ping)).await;
    }
}

/// An endpoint whose connections are handed to the test, with these settings said.
pub(crate) async fn handed(own: &'static [(u16, u32)]) -> (Endpoint, UnboundedReceiver<Talk>) {
    let (hand, connections) = mpsc::unbounded_channel();
    let endpoint = Endpoint::raw(move |stream| {
        let hand = hand.clone();
        async move {
            if let Ok(frames) = Frames::accept_with(stream, own).await {
                let _ = hand.send(Talk::new(frames));
            }
        }
    })
    .await;
    (endpoint, connections)
}

/// An endpoint that answers each request with the frames that `answer` makes for its number, from 0 on, and stream.
pub(crate) async fn endpoint(answer: impl Fn(usize, u32) -> Vec<u8> + Send + Sync + 'static) -> Endpoint {
    let answer = std::sync::Arc::new((answer, std::sync::atomic::AtomicUsize::new(0)));
    Endpoint::raw(move |stream| {
        let answer = answer.clone();
        async move {
            let Ok(mut frames) = Frames::accept(stream).await else { return };
            while let Some(frame) = frames.next().await {
                if frame.kind == HEADERS {
                    let number = answer.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if frames.send(&answer.0(number, frame.stream)).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await
}
