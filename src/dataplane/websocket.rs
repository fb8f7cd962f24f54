//! What a proxy must know of WebSocket (RFC 6455, RFC 8441): how the handshake is proven, and where frames
//! begin and end. Pure. What frames carry is nobody's business here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use sha1::{Digest, Sha1};

/// The one protocol that can be asked for in the words of the other HTTP version.
pub(super) const WEBSOCKET: &str = "websocket";

/// What is put behind a key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// "Going away" (RFC 6455, section 7.4.1), as the body of a close frame.
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
/// A close frame's first byte: the last fragment, opcode 8.
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;

/// The longest head of a frame: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;

/// Which end a frame is written by: a client masks what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Endpoint,
}

/// A key that nobody has used before. It guards against caches, not against people: any chance will do.
pub(super) fn new_key() -> HeaderValue {
    let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
    HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static(""))
}

/// What proves that a key was read by who knows WebSocket (RFC 6455, section 4.2.2).
pub(super) fn accept(key: &HeaderValue) -> HeaderValue {
    let proof = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(proof)).unwrap_or(HeaderValue::from_static(""))
}

/// A close frame that says "going away", as this end would write it.
pub(super) fn going_away(from: From) -> Vec<u8> {
    let [high, low] = GOING_AWAY;
    match from {
        From::Endpoint => vec![CLOSE, 2, high, low],
        From::Client => {
            let mask = fastrand::u32(..).to_be_bytes();
            vec![CLOSE, MASKED | 2, mask[0], mask[1], mask[2], mask[3], high ^ mask[0], low ^ mask[1]]
        }
    }
}

/// Follows the frames of one direction (RFC 6455, section 5.2): only so can one more be put between two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// These bytes go by.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.left -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if let Some(length) = self.payload() {
                self.closed |= self.head[0] & 0x0f == CLOSE & 0x0f;
                (self.have, self.left) = (0, length);
            }
        }
    }

    /// The bytes up to the end of the frame that has begun go by; tells how many those are.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && !self.is_between() {
            let rest = bytes.len() - passed;
            let next = usize::try_from(self.left).map_or(rest, |left| left.clamp(1, rest));
            self.pass(&bytes[passed..passed + next]);
            passed += next;
        }
        passed
    }

    /// Whether all that has begun has ended.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a close frame has gone by, behind which nothing may come.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The payload's length, if the head is whole.
    fn payload(&self) -> Option<u64> {
        if self.have < 2 {
            return None;
        }
        let second = self.head[1];
        let wide = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        if self.have < 2 + wide + mask {
            return None;
        }
        Some(match wide {
            0 => u64::from(second & !MASKED),
            _ => self.head[2..2 + wide].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: usize) -> Vec<u8> {
        let masked = if mask.is_some() { MASKED } else { 0 };
        let mut frame = vec![first];
        match payload {
            0..=125 => frame.push(masked | u8::try_from(payload).unwrap()),
            126..=65_535 => {
                frame.push(masked + 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked + 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(mask.into_iter().flatten());
        // A payload full of what looks like the head of a close frame.
        frame.resize(frame.len() + payload, CLOSE);
        frame
    }

    #[test]
    fn a_key_is_proven_as_the_standard_says() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(STANDARD.decode(new_key()).unwrap().len(), 16);
        assert_ne!(new_key(), new_key());
    }

    #[test]
    fn a_stream_is_between_frames_exactly_where_one_has_ended() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let frame = frame(0x82, mask, payload);
                for split in [1, 2, 3, 5, 7, 13, 14, 15, 1_000, frame.len()] {
                    let mut frames = Frames::default();
                    let mut gone = 0;
                    for piece in frame.chunks(split) {
                        assert_eq!(frames.is_between(), gone == 0, "{payload} {mask:?} {split}");
                        frames.pass(piece);
                        gone += piece.len();
                    }
                    assert!(frames.is_between() && !frames.is_closed(), "{payload} {mask:?} {split}");
                }
            }
        }
    }

    #[test]
    fn a_frame_that_has_begun_is_finished_and_the_next_is_not_begun() {
        for (payload, begun) in [(0, 1), (5, 1), (5, 6), (300, 3), (70_000, 9), (70_000, 60_000)] {
            let first = frame(0x82, Some([1, 2, 3, 4]), payload);
            let mut stream = first.clone();
            stream.extend(frame(0x82, None, 20));
            let mut frames = Frames::default();
            frames.pass(&stream[..begun]);
            assert_eq!(frames.finish(&stream[begun..]), first.len() - begun, "{payload} {begun}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn a_close_frame_is_seen_wherever_it_is_cut() {
        for from in [From::Client, From::Endpoint] {
            let mut stream = frame(0x01, None, 300);
            stream.extend(frame(0x89, Some([9; 4]), 10));
            stream.extend(going_away(from));
            for cut in 0..stream.len() {
                let mut frames = Frames::default();
                frames.pass(&stream[..cut]);
                assert!(!frames.is_closed() || stream.len() - cut <= 6, "{cut}");
                frames.pass(&stream[cut..]);
                assert!(frames.is_closed() && frames.is_between(), "{cut}");
            }
        }
    }

    #[test]
    fn going_away_is_1001() {
        assert_eq!(going_away(From::Endpoint), [0x88, 0x02, 0x03, 0xe9]);
        let masked = going_away(From::Client);
        assert_eq!(masked[..2], [0x88, 0x82]);
        assert_eq!([masked[6] ^ masked[2], masked[7] ^ masked[3]], [0x03, 0xe9]);
    }
}
