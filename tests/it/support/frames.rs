//! HTTP/2 by hand, for what no library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;

/// How a client's connection begins (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames, and flags (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

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

/// The end of a connection that speaks HTTP/2.
pub(crate) struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// The server's end, after the client's preface and with our settings sent.
    pub(crate) async fn accept(mut stream: TcpStream) -> std::io::Result<Self> {
        stream.read_exact(&mut [0; PREFACE.len()]).await?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(Self { stream })
    }

    /// The client's end, with the preface and our settings sent.
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame that means something to whoever speaks; `None` at the end. Settings and pings are answered.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let told = if kind == PING { &payload[..] } else { &[] };
                    self.stream.write_all(&frame(kind, ACK, 0, told)).await.ok()?;
                }
                DATA | HEADERS | RST_STREAM | GOAWAY => return Some(Frame { kind, flags, stream, payload }),
                _ => {}
            }
        }
    }
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
