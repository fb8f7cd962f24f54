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

    pub(in crate::dataplane) fn authority(&mut self, out: &mut Vec<u8>, authority: &str) {
        self.write_repeated(out, Called::AUTHORITY, authority.as_bytes());
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

#[expect(clippy::unused_self, reason = "whether a field is remembered is no matter of who has it written")]
impl Encoder {
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
fn write(out: &mut Vec<u8>, literal: Literal, index: u8, name: &[u8], value: &[u8]) {
    let mask = if matches!(literal, Literal::Inserted) { 0x3f } else { 0x0f };
    let bits = literal as u8;
    match u8::try_from(value.len()) {
        // Two or three bytes at once, mostly.
        Ok(length @ ..0x7f) if index >= mask => {
            out.extend_from_slice(&[bits | mask, index - mask, length]);
        }
        Ok(length @ ..0x7f) if index > 0 => out.extend_from_slice(&[bits | index, length]),
        _ => write_long(out, bits, mask, index, name, value.len()),
    }
    out.extend_from_slice(value);
}

/// Writes what stands before a value, whatever its length is.
#[inline(never)]
fn write_long(out: &mut Vec<u8>, bits: u8, mask: u8, index: u8, name: &[u8], length: usize) {
    write_number(out, bits, mask, usize::from(index));
    if index == 0 {
        write_number(out, 0, 0x7f, name.len());
        out.extend_from_slice(name);
    }
    write_number(out, 0, 0x7f, length);
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

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use http::header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, FROM, SERVER, TE, VIA,
    };

    use super::super::super::super::room::Room;
    use super::super::decoder::Decoder;
    use super::super::field::Field;
    use super::*;

    fn head(encoder: &mut Encoder, fields: &[(HeaderName, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value) in fields {
            encoder.field(&mut out, name, &HeaderValue::from_str(value).unwrap());
        }
        out
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let each = |field, size| {
            let (name, value) = match field {
                Field::Method(method) => (":method", method.to_string()),
                Field::Scheme(scheme) => (":scheme", scheme.to_string()),
                Field::Authority(authority) => (":authority", authority.to_string()),
                Field::Path(path) => (":path", path.to_string()),
                Field::Protocol(protocol) => (":protocol", String::from_utf8(protocol.to_vec()).unwrap()),
                Field::Status(status) => (":status", status.as_str().to_owned()),
                Field::Regular(ref name, ref value) => (name.as_str(), value.to_str().unwrap().to_owned()),
                Field::Malformed => panic!("it was none"),
            };
            assert_eq!(size, name.len() + value.len() + OVERHEAD);
            fields.push((name.to_owned(), value));
        };
        decoder.decode(block, &Room::default(), each).unwrap();
        fields
    }

    #[test]
    fn what_the_static_table_has_is_one_byte() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        for method in [Method::GET, Method::POST] {
            encoder.method(&mut out, &method);
        }
        for scheme in [Scheme::HTTP, Scheme::HTTPS] {
            encoder.scheme(&mut out, &scheme);
        }
        encoder.path(&mut out, "/");
        for status in [200, 204, 206, 304, 400, 404, 500] {
            encoder.status(&mut out, StatusCode::from_u16(status).unwrap());
        }
        assert_eq!(out, [0x82, 0x83, 0x86, 0x87, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e]);
        let read: Vec<String> =
            read(&mut Decoder::new(MOST), &out).into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            read,
            ["GET", "POST", "http", "https", "/", "200", "204", "206", "304", "400", "404", "500"]
        );
    }

    #[test]
    fn pseudo_headers_are_read_as_they_were_written() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.method(&mut out, &Method::CONNECT);
        encoder.scheme(&mut out, &Scheme::try_from("ftp").unwrap());
        encoder.authority(&mut out, "a.test:81");
        encoder.path(&mut out, "/a?b");
        encoder.protocol(&mut out, "websocket");
        encoder.status(&mut out, StatusCode::IM_A_TEAPOT);
        let names = [":method", ":scheme", ":authority", ":path", ":protocol", ":status"];
        let values = ["CONNECT", "ftp", "a.test:81", "/a?b", "websocket", "418"];
        let expected: Vec<_> = names.map(str::to_owned).into_iter().zip(values.map(str::to_owned)).collect();
        assert_eq!(read(&mut Decoder::new(MOST), &out), expected);
    }

    #[test]
    fn every_name_of_the_static_table_is_written_as_its_place() {
        for (place, known) in STATIC.iter().enumerate().filter(|(_, known)| !known.name.starts_with(':')) {
            let name = HeaderName::from_static(known.name);
            assert_eq!(usize::from(Called::of(&name).index), place + 1, "{name}");
        }
        for name in ["x", "te", "dat", "datf", "accept-charsex", "x-forwarded-for"] {
            assert_eq!(Called::of(&HeaderName::from_static(name)).index, 0, "{name}");
        }
        assert_eq!(Called::of(&FROM).index, 37);
        assert_eq!(Called::of(&DATE).slot, Called::DATE.slot);
    }

    #[test]
    fn what_is_said_twice_in_a_row_is_a_place_from_then_on() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(MOST));
        let own = HeaderName::from_static("x-own");
        let fields = [(SERVER, "nginx"), (CONTENT_TYPE, "text/html"), (own, "1")];
        let lengths: Vec<usize> = (0..4)
            .map(|_| {
                let block = head(&mut encoder, &fields);
                assert_eq!(read(&mut decoder, &block).len(), 3);
                block.len()
            })
            .collect();
        assert_eq!(lengths, [8 + 12 + 9, 7 + 11 + 9, 3, 3]);
        let (once, again) =
            (head(&mut encoder, &[(SERVER, "other")]), head(&mut encoder, &[(SERVER, "nginx")]));
        assert_eq!((once.len(), again.len()), (8, 1), "what comes between is passed by");
    }

    #[test]
    fn a_date_is_the_same_field_however_it_is_given() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.date(&mut out, b"Sun, 06 Nov 1994 08:49:37 GMT");
        encoder.date(&mut out, b"Sun, 06 Nov 1994 08:49:37 GMT");
        let expected = ("date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
        let mut decoder = Decoder::new(MOST);
        assert_eq!(read(&mut decoder, &out), vec![expected.clone(); 2]);
        let third = head(&mut encoder, &[(DATE, "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert_eq!(third.len(), 1);
        assert_eq!(read(&mut decoder, &third), [expected]);
    }

    #[test]
    fn secrets_and_what_is_never_the_same_stay_out_of_the_table() {
        let mut encoder = Encoder::new();
        let mut secret = HeaderValue::from_static("s3cret");
        secret.set_sensitive(true);
        for _ in 0..3 {
            let block = head(&mut encoder, &[(AUTHORIZATION, "a"), (COOKIE, "b"), (CONTENT_LENGTH, "1")]);
            assert_eq!(block, [0x0f, 8, 1, b'a', 0x0f, 17, 1, b'b', 0x0f, 13, 1, b'1']);
            let mut out = Vec::new();
            encoder.field(&mut out, &SERVER, &secret);
            encoder.field(&mut out, &TE, &secret);
            assert_eq!(out, b"\x1f\x27\x06s3cret\x10\x02te\x06s3cret");
        }
        assert!(encoder.sizes.is_empty());
    }

    #[test]
    fn a_long_value_stays_out_of_the_table() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(MOST));
        let long = "x".repeat(MOST / SHARE);
        for _ in 0..3 {
            let block = head(&mut encoder, &[(SERVER, &long)]);
            assert_eq!(read(&mut decoder, &block), [("server".to_owned(), long.clone())]);
        }
        assert!(encoder.sizes.is_empty());
    }

    #[test]
    fn the_table_is_limited_once_for_all_that_was_said_between_two_heads() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(MOST));
        let fields = [(VIA, "1.1 switchback")];
        encoder.limit_table(65_536);
        assert!(!head(&mut encoder, &[]).starts_with(&[0x3f]), "it has 4096 from the beginning");
        for _ in 0..3 {
            read(&mut decoder, &head(&mut encoder, &fields));
        }
        encoder.limit_table(0);
        encoder.limit_table(100);
        encoder.limit_table(8_192);
        let block = head(&mut encoder, &fields);
        assert_eq!(block[..4], [0x20, 0x3f, 0xe1, 0x1f], "first the least, then the last");
        assert_eq!(read(&mut decoder, &block), [("via".to_owned(), "1.1 switchback".to_owned())]);
        encoder.limit_table(30);
        encoder.limit_table(0);
        assert_eq!(head(&mut encoder, &[])[..], [0x20]);
        for _ in 0..3 {
            assert_eq!(head(&mut encoder, &fields).len(), 17, "nothing fits");
        }
    }

    /// Heads of names and values that repeat themselves often, and of some that do not.
    #[test]
    fn any_heads_are_read_as_they_were_written_whatever_the_peer_allows() {
        let mut inserted = 0;
        for seed in 0..40 {
            let mut random = Rng::with_seed(seed);
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(MOST));
            let own = (0..30).map(|place| HeaderName::try_from(format!("x-own-{place}")).unwrap());
            let names: Vec<HeaderName> =
                own.chain([SERVER, CONTENT_TYPE, COOKIE, DATE, VIA, ACCEPT_ENCODING, TE, FROM]).collect();
            for _ in 0..300 {
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                for _ in 0..random.usize(..3) * usize::from(random.u8(..8) == 0) {
                    encoder.limit_table([0, 40, 300, 1_000, 4_096, 70_000][random.usize(..6)]);
                }
                encoder.begin(&mut out);
                let authority = ["a.test", "b.test"][random.usize(..2)];
                encoder.authority(&mut out, authority);
                expected.push((":authority".to_owned(), authority.to_owned()));
                for _ in 0..random.usize(..12) {
                    let name = &names[random.usize(..names.len())];
                    let length = [0, 1, 7, 8, 9, 30, 126, 127, 200, 600][random.usize(..10)];
                    let value = ["a", "b"][random.usize(..8) / 7].repeat(length);
                    encoder.field(&mut out, name, &HeaderValue::from_str(&value).unwrap());
                    expected.push((name.as_str().to_owned(), value));
                }
                assert_eq!(read(&mut decoder, &out), expected, "seed {seed}");
                assert_eq!(encoder.size, encoder.sizes.iter().sum::<usize>(), "seed {seed}");
                assert!(encoder.size <= encoder.limit, "seed {seed}");
            }
            inserted += encoder.inserted;
        }
        assert!(inserted > 1_000, "{inserted}");
    }
}
