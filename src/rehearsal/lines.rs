use std::io::{self, Read};

use super::trace::Malformed;

/// The lines of whatever can be read, without their ends.
///
/// Reads in large pieces, and hands out what is there: who feeds it through a pipe is heard line by line.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// What has been read and not yet looked at.
    at: usize,
    filled: usize,
    /// The number of the last line, from 1.
    number: u64,
    /// Whether the last line was ended as lines are, and not by the end of all.
    ended: bool,
}

/// Why a trace cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A line is not what it should be.
    #[error("{what}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        what: Malformed,
    },
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Read at once; no line is longer.
pub(super) const BUFFER: usize = 1 << 20;

/// What spreadsheets put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// What is wrong with a file that begins like this, if it is no text that can be read. `flags` is what must be said
/// of its text.
pub(super) fn foreign(first: &[u8], flags: &'static str) -> Option<Malformed> {
    let begins = |magic: &[u8]| first.starts_with(magic);
    if begins(GZIP) {
        Some(Malformed::Compressed { unpack: "zcat", flags })
    } else if begins(ZSTD) {
        Some(Malformed::Compressed { unpack: "zstdcat", flags })
    } else if UTF_16.into_iter().any(begins) {
        Some(Malformed::Utf16)
    } else {
        None
    }
}

/// The first line as it would be without the mark that some programs begin with.
pub(super) fn without_mark(first: &[u8]) -> &[u8] {
    first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first)
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BUFFER], at: 0, filled: 0, number: 0, ended: true }
    }

    /// The next line; `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<&[u8]>, TraceError> {
        let mut seen = 0;
        loop {
            let unseen = &self.buffer[self.at + seen..self.filled];
            if let Some(length) = memchr::memchr(b'\n', unseen) {
                let (from, end) = (self.at, self.at + seen + length);
                self.at = end + 1;
                self.number += 1;
                return Ok(Some(self.without_return(from, end)));
            }
            seen = self.filled - self.at;
            if self.read_more()? == 0 {
                let (from, end) = (self.at, self.filled);
                self.at = end;
                self.ended = from == end;
                self.number += u64::from(!self.ended);
                return Ok((!self.ended).then(|| self.without_return(from, end)));
            }
        }
    }

    /// Whether the last line was ended as lines are.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The last line is not what it should be.
    pub(super) fn wrong(&self, what: Malformed) -> TraceError {
        TraceError::Line { line: self.number, what }
    }

    fn without_return(&self, from: usize, end: usize) -> &[u8] {
        let line = &self.buffer[from..end];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Moves what is not a whole line yet to the front, and reads on behind it.
    fn read_more(&mut self) -> Result<usize, TraceError> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.filled == self.buffer.len() {
            return Err(TraceError::Line { line: self.number + 1, what: Malformed::TooLong(BUFFER) });
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(read) => {
                    self.filled += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
