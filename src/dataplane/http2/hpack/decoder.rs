use bytes::Bytes;

use super::super::super::room::Room;
use super::field::{Field, Name};
use super::huffman;
use super::table::{OVERHEAD, Stored, Table};

/// Reads the heads of one direction of a connection.
#[derive(Debug)]
pub(in crate::dataplane) struct Decoder {
    table: Table,
    /// Where text is put that was coded.
    scratch: Vec<u8>,
}

/// What came is no HPACK, or speaks of what is not there: nothing on its connection can be understood any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::dataplane) enum CompressionError {
    #[error("a head ends within a field")]
    Truncated,
    #[error("a number in a head is too large")]
    Overflow,
    #[error("a head speaks of field {index}, which there is not")]
    NoSuchField { index: usize },
    #[error("a text in a head is no Huffman code")]
    Huffman,
    #[error("a head makes the table {size} bytes large, which is too much")]
    TableTooLarge { size: usize },
    #[error("a head changes the size of the table behind its first field")]
    LateTableSize,
}

/// Scratch of up to so many bytes is kept between heads.
const KEPT: usize = 4 << 10;
/// Bytes of a number behind its first: 28 bits are more than any length or place.
const MOST_OF_NUMBER: usize = 4;

impl Decoder {
    /// Of a table that takes up to so many bytes, as our settings say.
    pub(in crate::dataplane) const fn new(most: usize) -> Self {
        Self { table: Table::new(most), scratch: Vec::new() }
    }

    /// Reads all fields of a head, in order. Each is told with its size as RFC 7541 counts it (section 4.1): name, value and 32 bytes.
    pub(in crate::dataplane) fn decode(
        &mut self,
        block: &[u8],
        room: &Room,
        mut each: impl FnMut(Field, usize),
    ) -> Result<(), CompressionError> {
        let mut unread = Unread(block);
        self.resize(&mut unread)?;
        while let Some(first) = unread.byte() {
            if first & 0x80 != 0 {
                let stored = self.stored(unread.number(first, 0x7f)?)?;
                each(stored.entry.field(), stored.size);
            } else if first & 0x40 != 0 {
                // The table holds it long: it stands for itself, and not on a shelf with others.
                let Stored { entry, size } =
                    self.literal(&mut unread, first, 0x3f, Bytes::copy_from_slice)?;
                self.table.insert(Stored { entry: entry.clone(), size });
                each(entry.into_field(), size);
            } else if first & 0x20 == 0 {
                let literal = self.literal(&mut unread, first, 0x0f, |value| room.keep(value))?;
                let mut field = literal.entry.into_field();
                if let Field::Regular(_, value) = &mut field
                    && first & 0x10 != 0
                {
                    value.set_sensitive(true);
                }
                each(field, literal.size);
            } else {
                return Err(CompressionError::LateTableSize);
            }
        }
        if self.scratch.len() > KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Takes what sets the size of the table, which stands before all fields.
    fn resize(&mut self, unread: &mut Unread<'_>) -> Result<(), CompressionError> {
        while let [first @ 0x20..0x40, rest @ ..] = unread.0 {
            unread.0 = rest;
            let size = unread.number(*first, 0x1f)?;
            if !self.table.resize(size) {
                return Err(CompressionError::TableTooLarge { size });
            }
        }
        Ok(())
    }

    /// Reads a field that stands there itself, all but its name perhaps.
    fn literal(
        &mut self,
        unread: &mut Unread<'_>,
        first: u8,
        mask: u8,
        keep: impl FnOnce(&[u8]) -> Bytes,
    ) -> Result<Stored, CompressionError> {
        let name = match unread.number(first, mask)? {
            0 => Name::read(unread.text(&mut self.scratch)?),
            index => self.stored(index)?.entry.name(),
        };
        let value = unread.text(&mut self.scratch)?;
        let size = name.length() + value.len() + OVERHEAD;
        Ok(Stored { entry: name.with(value, keep), size })
    }

    fn stored(&self, index: usize) -> Result<&Stored, CompressionError> {
        self.table.get(index).ok_or(CompressionError::NoSuchField { index })
    }
}

/// What is left of a head.
struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number (section 5.1) that begins in the bits of the mask.
    fn number(&mut self, first: u8, mask: u8) -> Result<usize, CompressionError> {
        if first & mask == mask { self.long_number(mask) } else { Ok(usize::from(first & mask)) }
    }

    fn long_number(&mut self, mask: u8) -> Result<usize, CompressionError> {
        let mut number = usize::from(mask);
        for place in 0..MOST_OF_NUMBER {
            let next = self.byte().ok_or(CompressionError::Truncated)?;
            number += usize::from(next & 0x7f) << (7 * place);
            if next & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CompressionError::Overflow)
    }

    /// A text (section 5.2), where it stands or decoded.
    fn text<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], CompressionError>
    where
        'a: 's,
    {
        let first = self.byte().ok_or(CompressionError::Truncated)?;
        let length = self.number(first, 0x7f)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(CompressionError::Truncated)?;
        self.0 = rest;
        if first & 0x80 == 0 {
            return Ok(text);
        }
        huffman::decode(text, scratch).map_err(|_| CompressionError::Huffman)
    }
}
