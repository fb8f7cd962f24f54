//! The code of RFC 7541, appendix B, read.
//!
//! Most of what heads hold has five or six bits a letter: one look into a table of 8 KiB gives two of them, mostly. The code is a
//! canonical one (codes of one length count up, in the order of their letters), so that the rare long ones are found by counting.

/// What may be wrong with it: it holds the end of the text, or it ends within a letter, or its padding is none.
#[derive(Debug)]
pub(super) struct Wrong;

/// Bits that are looked up at once. Two letters of five and six bits are in one look.
const SHORT_BITS: u32 = 11;

/// The letters of each length, in order. Behind the last comes the end of the text, which is never written.
const CODE: [(u32, &[u8]); 21] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    ),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\
        \xc5\xe7\xef",
    ),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\
        \x7f\xdc\xf9",
    ),
    (30, b"\x0a\x0d\x16"),
];

/// The first code of each length.
const FIRST: [u32; CODE.len()] = first_codes();

/// What so many bits begin with.
static SHORT: [Short; 1 << SHORT_BITS] = short_codes();

/// One or two letters.
#[derive(Clone, Copy)]
struct Short {
    letters: [u8; 2],
    /// Bits of the first; none if its code is longer than a look.
    first: u8,
    /// Bits of all of them.
    all: u8,
}

/// Bits that have been taken off what is to be read: the topmost so many.
struct Bits<'a> {
    unread: &'a [u8],
    next: u64,
    count: u32,
}

/// Reads a text. The place is made as long as it takes, and can be used again.
pub(super) fn decode<'a>(coded: &[u8], place: &'a mut Vec<u8>) -> Result<&'a [u8], Wrong> {
    // The shortest code has five bits, and two letters are always put.
    let most = coded.len() * 8 / 5 + 2;
    if place.len() < most {
        place.resize(most, 0);
    }
    let mut bits = Bits { unread: coded, next: 0, count: 0 };
    let mut length = 0;
    loop {
        bits.fill();
        let found = bits.short();
        let (letters, taken) = if found.all > 0 && u32::from(found.all) <= bits.count {
            (found.letters, found.all)
        } else if let Some((letter, taken)) = bits.one(found) {
            ([letter, 0], taken)
        } else {
            break;
        };
        place.get_mut(length..length + 2).ok_or(Wrong)?.copy_from_slice(&letters);
        length += 1 + usize::from(taken > found.first);
        bits.take(taken);
    }
    if bits.are_padding() { Ok(&place[..length]) } else { Err(Wrong) }
}

impl Bits<'_> {
    /// Makes it more than the longest code, if there is so much.
    fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some((four, rest)) = self.unread.split_first_chunk() {
            self.next |= u64::from(u32::from_be_bytes(*four)) << (32 - self.count);
            self.count += 32;
            self.unread = rest;
            return;
        }
        while let [next, rest @ ..] = self.unread {
            self.next |= u64::from(*next) << (56 - self.count);
            self.count += 8;
            self.unread = rest;
        }
    }

    fn take(&mut self, taken: u8) {
        self.next <<= taken;
        self.count -= u32::from(taken);
    }

    #[expect(clippy::cast_possible_truncation, reason = "it is of eleven bits")]
    fn short(&self) -> Short {
        SHORT[(self.next >> (64 - SHORT_BITS)) as usize]
    }

    /// The next letter, and its bits, where there is no second one to be had with it; none at the end.
    #[cold]
    fn one(&self, found: Short) -> Option<(u8, u8)> {
        let one = if found.first > 0 { Some((found.letters[0], found.first)) } else { self.long() };
        one.filter(|(_, taken)| u32::from(*taken) <= self.count)
    }

    fn long(&self) -> Option<(u8, u8)> {
        let long = CODE.iter().zip(FIRST).find_map(|((bits, letters), first)| {
            let place = (self.next >> (64 - bits)).checked_sub(u64::from(first))?;
            Some((*letters.get(usize::try_from(place).ok()?)?, *bits))
        });
        long.and_then(|(letter, bits)| Some((letter, u8::try_from(bits).ok()?)))
    }

    /// Whether what is left is less than a byte, and all ones.
    fn are_padding(&self) -> bool {
        self.unread.is_empty() && self.count < 8 && self.next.leading_ones() >= self.count
    }
}

const fn first_codes() -> [u32; CODE.len()] {
    let mut first = [0; CODE.len()];
    let mut at = 1;
    while at < CODE.len() {
        let (before, letters) = CODE[at - 1];
        #[expect(clippy::cast_possible_truncation, reason = "there are 256 letters")]
        let behind = first[at - 1] + letters.len() as u32;
        first[at] = behind << (CODE[at].0 - before);
        at += 1;
    }
    first
}

/// Puts each short letter at all places that begin with its code; and then, behind each first letter, the one that its other
/// bits begin with.
#[expect(clippy::cast_possible_truncation, reason = "a code that is short has eleven bits")]
const fn short_codes() -> [Short; 1 << SHORT_BITS] {
    let mut short = [Short { letters: [0; 2], first: 0, all: 0 }; 1 << SHORT_BITS];
    let mut at = 0;
    while at < CODE.len() && CODE[at].0 <= SHORT_BITS {
        let (bits, letters) = CODE[at];
        let mut place = (FIRST[at] as usize) << (SHORT_BITS - bits);
        let end = place + (letters.len() << (SHORT_BITS - bits));
        while place < end {
            let letter = letters[(place >> (SHORT_BITS - bits)) - FIRST[at] as usize];
            short[place] = Short { letters: [letter, 0], first: bits as u8, all: bits as u8 };
            place += 1;
        }
        at += 1;
    }
    let mut place = 0;
    while place < short.len() {
        let first = short[place].first;
        let second = short[(place << first) & (short.len() - 1)];
        if first > 0 && second.first > 0 && first + second.first <= SHORT_BITS as u8 {
            short[place].letters[1] = second.letters[0];
            short[place].all = first + second.first;
        }
        place += 1;
    }
    short
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The code of a letter, and its bits.
    fn code(letter: u8) -> (u64, u32) {
        let code = CODE.iter().zip(FIRST).find_map(|((bits, letters), first)| {
            let place = letters.iter().position(|one| *one == letter)?;
            Some((u64::from(first) + place as u64, *bits))
        });
        code.unwrap()
    }

    /// Writes a text, padded with so many bytes of ones more than it takes.
    pub(in super::super) fn encode(text: &[u8], padding: usize) -> Vec<u8> {
        let (mut coded, mut next, mut count) = (Vec::new(), 0_u64, 0);
        for letter in text {
            let (code, bits) = code(*letter);
            (next, count) = (next << bits | code, count + bits);
            while count >= 8 {
                count -= 8;
                coded.push((next >> count).to_le_bytes()[0]);
            }
        }
        if count > 0 {
            coded.push((next << (8 - count) | (0xff >> count)).to_le_bytes()[0]);
        }
        coded.resize(coded.len() + padding, 0xff);
        coded
    }

    fn read(coded: &[u8]) -> Option<Vec<u8>> {
        decode(coded, &mut Vec::new()).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn every_byte_and_every_pair_of_bytes_comes_back() {
        let mut place = Vec::new();
        for first in 0..=255 {
            assert_eq!(read(&encode(&[first], 0)), Some(vec![first]));
            for second in 0..=255 {
                let text = [first, second, first];
                assert_eq!(decode(&encode(&text, 0), &mut place).unwrap(), text);
            }
        }
    }

    #[test]
    fn texts_of_any_length_come_back() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut place = Vec::new();
        for length in 0..300 {
            let plain: Vec<u8> = (0..length).map(|_| random.u8(b' '..b'~')).collect();
            let any: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            assert_eq!(decode(&encode(&plain, 0), &mut place).unwrap(), plain);
            assert_eq!(decode(&encode(&any, 0), &mut place).unwrap(), any);
        }
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        assert_eq!(read(&[]), Some(vec![]));
        assert_eq!(read(&[0b0001_1111]), Some(b"a".to_vec()));
        assert_eq!(read(&[0b0001_1110]), None, "zeros are none");
        assert_eq!(read(&[0b0001_1011]), None);
        assert_eq!(read(&[0b0001_1111, 0xff]), None, "a byte of it is too much");
        for text in [&b"a"[..], b"aa", b"hello, world", b"X", b"00000000"] {
            assert_eq!(read(&encode(text, 1)), None, "{text:?}");
        }
        for length in 1..10 {
            assert_eq!(read(&vec![0xff; length]), None, "the end of the text is never written");
        }
    }

    #[test]
    fn a_letter_that_is_cut_off_is_none() {
        let whole = encode(b"\x0a\x16", 0);
        for length in 1..whole.len() {
            let cut = read(&whole[..length]);
            assert!(cut.is_none(), "{length}: {cut:?}");
        }
    }
}
