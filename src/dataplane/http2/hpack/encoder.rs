use std::collections::VecDeque;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::names::{Called, SLOTS};
use super::table::{OVERHEAD, STATIC};

/// Writes the heads of one direction of a connection.
#[derive(Debug)]
pub(in crate::dataplane) struct Encoder {
    /// What each name's last value was, from the first field on that may be said again.
    slots: Option<Box<[Slot]>>,
    /// Sizes of what stands in the peer's table, the latest first.
    sizes: VecDeque<usize>,
    /// The sum of them.
    size: usize,
    limit: usize,
    /// How many were put there, ever.
    inserted: u64,
    owed: Option<Owed>,
}

/// What is remembered of a name's values; or of those of several names, of which the first that repeats itself stays.
#[derive(Debug, Default)]
struct Slot {
    /// A print of the last one that was written out, and of its name; 0 for none.
    last: u32,
    placed: Option<Box<Placed>>,
}

/// A field that was put into the peer's table, where it is until others have taken its place.
#[derive(Debug, Default)]
struct Placed {
    /// Empty where its slot is the name's own.
    name: Vec<u8>,
    value: Vec<u8>,
    /// It was inserted behind so many.
    behind: u64,
}

/// Sizes of the table that the peer is to be told of: it may have set a smaller one in between (RFC 7541, section 4.2).
#[derive(Clone, Copy, Debug)]
struct Owed {
    lowest: usize,
    last: usize,
}

/// How a literal field is treated (section 6.2), and bits for its name.
#[derive(Clone, Copy)]
enum Literal {
    Inserted = 0x40,
    Passing = 0x00,
    /// Nobody on the way may keep it.
    Secret = 0x10,
}

/// The largest table that we use, which is what a peer has before it says anything.
const MOST: usize = 4 << 10;
/// A field may take so much of the table, so that a few cannot drive out all others.
const SHARE: usize = 8;

/// Names, by their places in the static table, whose values are never put into the peer's: each is another (content-length,
/// location), or it is a secret, which nobody may find out by guessing and looking whether that makes a head shorter.
const PASSING: u64 = {
    let names = [21, 23, 28, 29, 30, 32, 34, 39, 40, 41, 42, 43, 44, 46, 48, 49, 50, 51, 53, 55, 61];
    let (mut bits, mut at) = (0, 0);
    while at < names.len() {
        bits |= 1 << names[at];
        at += 1;
    }
    bits
};

impl Encoder {
    pub(in crate::dataplane) const fn new() -> Self {
        Self { slots: None, sizes: VecDeque::new(), size: 0, limit: MOST, inserted: 0, owed: None }
    }

    /// The peer has set how large its table may be (`SETTINGS_HEADER_TABLE_SIZE`). It is told with the next head.
    pub(in crate::dataplane) fn limit_table(&mut self, size: u32) {
        let last = usize::try_from(size).map_or(MOST, |size| size.min(MOST));
        let lowest = self.owed.map_or(last, |owed| owed.lowest.min(last));
        self.owed = Some(Owed { lowest, last });
    }

    /// Begins a head.
    pub(in crate::dataplane) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(Owed { lowest, last }) = self.owed.take() {
            for size in [lowest.min(self.limit), last] {
                if size != self.limit {
                    write_number(out, 0x20, 0x1f, size);
                    self.limit = size;
                    self.shrink(size);
                }
            }
        }
    }

    pub(in crate::dataplane) fn method(&mut self, out: &mut Vec<u8>, method: &Method) {
        match *method {
            Method::GET => out.push(0x82),
            Method::POST => out.push(0x83),
            _ => write(out, Literal::Passing, 2, b":method", method.as_str().as_bytes()),
        }
    }

    pub(in crate::dataplane) fn scheme(&mut self, out: &mut Vec<u8>, scheme: &Scheme) {
        match scheme.as_str() {
            "http" => out.push(0x86),
            "https" => out.push(0x87),
            scheme => write(out, Literal::Passing, 6, b":scheme", scheme.as_bytes()),
        }
    }

    pub(in crate::dataplane) fn authority(&mut self, out: &mut Vec<u8>, authority: &str) {
        self.write_repeated(out, Called::AUTHORITY, authority.as_bytes());
    }

    pub(in crate::dataplane) fn path(&mut self, out: &mut Vec<u8>, path: &str) {
        match path {
            "/" => out.push(0x84),
            _ => write(out, Literal::Passing, 4, b":path", path.as_bytes()),
        }
    }

    pub(in crate::dataplane) fn protocol(&mut self, out: &mut Vec<u8>, protocol: &str) {
        write(out, Literal::Passing, 0, b":protocol", protocol.as_bytes());
    }

    pub(in crate::dataplane) fn status(&mut self, out: &mut Vec<u8>, status: StatusCode) {
        out.push(match status.as_u16() {
            200 => 0x88,
            204 => 0x89,
            206 => 0x8a,
            304 => 0x8b,
            400 => 0x8c,
            404 => 0x8d,
            500 => 0x8e,
            _ => return write(out, Literal::Passing, 8, b":status", status.as_str().as_bytes()),
        });
    }

    pub(in crate::dataplane) fn field(&mut self, out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
        let called = Called::of(name);
        if value.is_sensitive() {
            return write(out, Literal::Secret, called.index, called.text, value.as_bytes());
        }
        if PASSING >> called.index & 1 != 0 {
            return write(out, Literal::Passing, called.index, called.text, value.as_bytes());
        }
        self.write_repeated(out, called, value.as_bytes());
    }

    /// The same for `date`, whose value need not be made one.
    pub(in crate::dataplane) fn date(&mut self, out: &mut Vec<u8>, date: &[u8]) {
        self.write_repeated(out, Called::DATE, date);
    }

    /// Writes a field whose value may come again: as its place in the peer's table if it is there, and into it if it was the
    /// last one, too.
    fn write_repeated(&mut self, out: &mut Vec<u8>, called: Called<'_>, value: &[u8]) {
        let slots = self.slots.get_or_insert_with(|| (0..SLOTS).map(|_| Slot::default()).collect());
        let slot = &mut slots[called.slot];
        let print = print(called, value);
        if let Some(placed) = &slot.placed
            && placed.is(called, value)
        {
            slot.last = print;
            let place = usize::try_from(self.inserted - placed.behind).unwrap_or(usize::MAX);
            if place <= self.sizes.len() {
                return write_number(out, 0x80, 0x7f, STATIC.len() + place);
            }
        } else if slot.last != print {
            slot.last = print;
            return write(out, Literal::Passing, called.index, called.text, value);
        }
        self.insert(out, called, value);
    }

    fn insert(&mut self, out: &mut Vec<u8>, called: Called<'_>, value: &[u8]) {
        let size = called.text.len() + value.len() + OVERHEAD;
        let Some(slots) = self.slots.as_mut().filter(|_| size <= self.limit / SHARE) else {
            return write(out, Literal::Passing, called.index, called.text, value);
        };
        slots[called.slot].placed.get_or_insert_default().set(called, value, self.inserted);
        self.shrink(self.limit - size);
        self.sizes.push_front(size);
        self.size += size;
        self.inserted += 1;
        write(out, Literal::Inserted, called.index, called.text, value);
    }

    fn shrink(&mut self, limit: usize) {
        while self.size > limit
            && let Some(oldest) = self.sizes.pop_back()
        {
            self.size -= oldest;
        }
    }
}

impl Placed {
    fn set(&mut self, called: Called<'_>, value: &[u8], behind: u64) {
        self.name.clear();
        if !called.is_alone_in_its_slot() {
            self.name.extend_from_slice(called.text);
        }
        self.value.clear();
        self.value.extend_from_slice(value);
        self.behind = behind;
    }

    fn is(&self, called: Called<'_>, value: &[u8]) -> bool {
        self.value == value && (called.is_alone_in_its_slot() || self.name == called.text)
    }
}

/// Tells values apart, mostly: by their lengths, their beginnings and their ends. Two that it takes for one cost a place in the table.
fn print(called: Called<'_>, value: &[u8]) -> u32 {
    let mut print = ends(value);
    if !called.is_alone_in_its_slot() {
        print ^= ends(called.text).rotate_left(32);
    }
    let mixed = print.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    u32::try_from(mixed).unwrap_or_default() | 1
}

fn ends(text: &[u8]) -> u64 {
    let ends = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    ends.wrapping_add((text.len() as u64) << 56)
}

/// Writes a field; its name, too, if that has no place in the static table.
#[inline]
fn write(out: &mut Vec<u8>, literal: Literal, index: u8, name: &[u8], value: &[u8]) {
    let (bits, mask) = match literal {
        Literal::Inserted => (literal as u8, 0x3f),
        Literal::Passing | Literal::Secret => (literal as u8, 0x0f),
    };
    match u8::try_from(value.len()) {
        // Two or three bytes at once, mostly.
        Ok(length @ ..0x7f) if index > 0 && index < mask => out.extend_from_slice(&[bits | index, length]),
        Ok(length @ ..0x7f) if index > 0 => out.extend_from_slice(&[bits | mask, index - mask, length]),
        _ => {
            write_number(out, bits, mask, usize::from(index));
            if index == 0 {
                write_number(out, 0, 0x7f, name.len());
                out.extend_from_slice(name);
            }
            write_number(out, 0, 0x7f, value.len());
        }
    }
    out.extend_from_slice(value);
}

/// Writes a number (section 5.1) that begins in the bits of the mask, behind others.
fn write_number(out: &mut Vec<u8>, bits: u8, mask: u8, number: usize) {
    match u8::try_from(number) {
        Ok(number) if number < mask => out.push(bits | number),
        _ => write_long_number(out, bits, mask, number),
    }
}

fn write_long_number(out: &mut Vec<u8>, bits: u8, mask: u8, number: usize) {
    out.push(bits | mask);
    let mut left = number - usize::from(mask);
    while left >= 0x80 {
        out.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    out.push(left.to_le_bytes()[0]);
}
