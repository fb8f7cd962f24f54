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
static SHORT: [Look; 1 << SHORT_BITS] = short_codes();

/// What is seen at once: one or two letters in the lower half, the other is empty; then how many bits they take, and how many they are.
#[derive(Clone, Copy)]
struct Look(u32);

/// Bits that have been taken off what is to be read: the topmost so many.
struct Bits<'a> {
    unread: &'a [u8],
    next: u64,
    count: u32,
}

/// Reads a text. The place is made as long as it takes, and can be used again.
pub(super) fn decode<'a>(coded: &[u8], place: &'a mut Vec<u8>) -> Result<&'a [u8], Wrong> {
    // The shortest code has five bits, and four letters are always put.
    let most = coded.len() * 8 / 5 + 4;
    if place.len() < most {
        place.resize(most, 0);
    }
    let mut bits = Bits { unread: coded, next: 0, count: 0 };
    let mut length = 0;
    loop {
        bits.fill();
        // Two looks at once, if there is so much and no long code.
        let first = Look::at(bits.next);
        let second = Look::at(bits.next.wrapping_shl(first.taken()));
        let both = first.taken() + second.taken();
        let (letters, added, taken) = if both <= bits.count {
            let letters = first.letters() | second.letters() << (8 * first.added());
            (letters, first.added() + second.added(), both)
        } else if first.taken() <= bits.count {
            (first.letters(), first.added(), first.taken())
        } else if let Some((letter, taken)) = bits.one() {
            (u32::from(letter), 1, taken)
        } else {
            break;
        };
        *place.get_mut(length..).and_then(<[u8]>::first_chunk_mut).ok_or(Wrong)? = letters.to_le_bytes();
        length += added as usize;
        bits.next <<= taken;
        bits.count -= taken;
    }
    if bits.are_padding() { Ok(&place[..length]) } else { Err(Wrong) }
}

impl Look {
    /// There is a long code, which takes more than there ever are.
    const LONG: Self = Self(0xff << 16);

    fn at(next: u64) -> Self {
        SHORT[(next >> (64 - SHORT_BITS)) as usize]
    }

    const fn letters(self) -> u32 {
        self.0 & 0xffff
    }

    const fn taken(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    const fn added(self) -> u32 {
        self.0 >> 24
    }
}

impl Bits<'_> {
    /// Makes it more than the longest code, if there is so much.
    #[inline]
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

    /// The next letter, and its bits, if it is long or the last one; none at the end.
    #[inline(never)]
    fn one(&self) -> Option<(u8, u32)> {
        let found = CODE.iter().zip(FIRST).find_map(|((bits, letters), first)| {
            let place = (self.next >> (64 - bits)).checked_sub(u64::from(first))?;
            Some((*letters.get(usize::try_from(place).ok()?)?, *bits))
        });
        found.filter(|(_, bits)| *bits <= self.count)
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
const fn short_codes() -> [Look; 1 << SHORT_BITS] {
    // Each place's first letter, and its bits.
    let mut first = [(0, 0); 1 << SHORT_BITS];
    let mut at = 0;
    while at < CODE.len() && CODE[at].0 <= SHORT_BITS {
        let (bits, letters) = CODE[at];
        let begin = (FIRST[at] as usize) << (SHORT_BITS - bits);
        let mut place = 0;
        while place < letters.len() << (SHORT_BITS - bits) {
            first[begin + place] = (letters[place >> (SHORT_BITS - bits)] as u32, bits);
            place += 1;
        }
        at += 1;
    }
    let mut short = [Look::LONG; 1 << SHORT_BITS];
    let mut place = 0;
    while place < short.len() {
        let (letter, bits) = first[place];
        let (second, more) = first[(place << bits) & (short.len() - 1)];
        if bits > 0 {
            let has_two = more > 0 && bits + more <= SHORT_BITS;
            short[place] = if has_two {
                Look(letter | second << 8 | (bits + more) << 16 | 2 << 24)
            } else {
                Look(letter | bits << 16 | 1 << 24)
            };
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
        for letter in [b'\x0a', b'\xff', b'\\', b'<'] {
            let whole = encode(&[letter], 0);
            for length in 1..whole.len() {
                assert_eq!(read(&whole[..length]), None, "{letter} {length}");
            }
        }
    }
}
