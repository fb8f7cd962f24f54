//! Frames (RFC 9113, sections 4 and 6): how they begin, and how those are written that say something of a connection.

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The longest frame that is taken without another word.
pub(super) const LONGEST: usize = 16 << 10;
/// The most that a window may be.
pub(super) const MOST_WINDOW: i64 = (1 << 31) - 1;
/// What each window is at first.
pub(super) const FIRST_WINDOW: i64 = 65_535;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
/// RFC 8441, section 3.
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Why a stream or a connection ends (RFC 9113, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) const NO_ERROR: Self = Self(0x0);
    pub(super) const PROTOCOL_ERROR: Self = Self(0x1);
    pub(super) const INTERNAL_ERROR: Self = Self(0x2);
    pub(super) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub(super) const STREAM_CLOSED: Self = Self(0x5);
    pub(super) const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub(super) const REFUSED_STREAM: Self = Self(0x7);
    pub(super) const CANCEL: Self = Self(0x8);
    pub(super) const COMPRESSION_ERROR: Self = Self(0x9);
    pub(super) const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// How a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 is the connection itself.
    pub(super) stream: u32,
}

impl Head {
    /// The head that these bytes begin with, if all of it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD>()?;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Self { length, kind, flags, stream: number([s0, s1, s2, s3]) })
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    pub(super) const fn bytes(self) -> [u8; HEAD] {
        let [.., a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// So many bytes, as windows count them.
pub(super) fn weight(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A number of 31 bits: the first one is reserved.
pub(super) const fn number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & (u32::MAX >> 1)
}

/// Writes a frame whose payload is short.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    Head { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    Head { length: settings.len() * 6, kind: SETTINGS, flags: 0, stream: 0 }.write(out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, more: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    write(out, RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

pub(super) fn write_goaway(out: &mut Vec<u8>, last: u32, code: Code) {
    let both = u64::from(last) << 32 | u64::from(code.0);
    write(out, GOAWAY, 0, 0, &both.to_be_bytes());
}

/// Begins the head of a message; [`end_block`] ends it.
pub(super) fn begin_block(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD]);
    at
}

/// Ends a head that began at `at`: it is now a frame, or as many as its length takes.
pub(super) fn end_block(out: &mut Vec<u8>, at: usize, stream: u32, flags: u8) {
    end_in_frames(out, at, stream, flags, LONGEST);
}

fn end_in_frames(out: &mut Vec<u8>, at: usize, stream: u32, flags: u8, longest: usize) {
    let length = out.len() - at - HEAD;
    if length <= longest {
        let head = Head { length, kind: HEADERS, flags: flags | END_HEADERS, stream };
        out[at..at + HEAD].copy_from_slice(&head.bytes());
        return;
    }
    let block = out.split_off(at + HEAD);
    out.truncate(at);
    let last = block.len().div_ceil(longest) - 1;
    for (place, piece) in block.chunks(longest).enumerate() {
        let (kind, first) = if place == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
        let end = if place == last { END_HEADERS } else { 0 };
        write(out, kind, first | end, stream, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head { length: 0x01_02_03, kind: DATA, flags: PADDED, stream: 0x7fff_fffe };
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(Head::read(&out), Some(head));
        assert_eq!(Head::read(&out[..HEAD - 1]), None);
        out[5] |= 0x80;
        assert_eq!(Head::read(&out), Some(head), "the reserved bit says nothing");
    }

    #[test]
    fn a_long_head_takes_more_frames() {
        for length in [0, 9, 10, 11, 20, 25] {
            let mut out = b"before".to_vec();
            let at = begin_block(&mut out);
            out.extend(0..length);
            end_in_frames(&mut out, at, 3, END_STREAM, 10);
            let (mut rest, mut block, mut seen) = (&out[6..], Vec::new(), Vec::new());
            while let Some(head) = Head::read(rest) {
                block.extend_from_slice(&rest[HEAD..HEAD + head.length]);
                seen.push((head.kind, head.flags));
                rest = &rest[HEAD + head.length..];
            }
            assert_eq!(block, (0..length).collect::<Vec<u8>>());
            assert_eq!(
                seen.first().map(|(kind, flags)| (*kind, flags & END_STREAM)),
                Some((HEADERS, END_STREAM))
            );
            assert!(seen[1..].iter().all(|(kind, flags)| *kind == CONTINUATION && flags & END_STREAM == 0));
            assert_eq!(seen.iter().filter(|(_, flags)| flags & END_HEADERS != 0).count(), 1);
        }
    }
}
