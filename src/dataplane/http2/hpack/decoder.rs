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
            } else {
                let (field, size) = self.literal(&mut unread, first, room)?;
                each(field, size);
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
        room: &Room,
    ) -> Result<(Field, usize), CompressionError> {
        if first & 0x40 != 0 {
            // The table holds it long: it stands for itself, and not on a shelf with others.
            let stored = self.entry(unread, first, 0x3f, Bytes::copy_from_slice)?;
            let (field, size) = (stored.entry.field(), stored.size);
            self.table.insert(stored);
            return Ok((field, size));
        }
        if first & 0x20 != 0 {
            return Err(CompressionError::LateTableSize);
        }
        let Stored { entry, size } = self.entry(unread, first, 0x0f, |value| room.keep(value))?;
        let mut field = entry.into_field();
        if first & 0x10 != 0
            && let Field::Regular(_, value) = &mut field
        {
            value.set_sensitive(true);
        }
        Ok((field, size))
    }

    fn entry(
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

#[cfg(test)]
mod tests {
    use super::super::huffman::tests::encode;
    use super::*;

    const MOST: usize = 4096;

    /// A field as `name: value`.
    fn text(field: &Field) -> String {
        match field {
            Field::Method(method) => format!(":method: {method}"),
            Field::Scheme(scheme) => format!(":scheme: {scheme}"),
            Field::Authority(authority) => format!(":authority: {authority}"),
            Field::Path(path) => format!(":path: {path}"),
            Field::Protocol(protocol) => format!(":protocol: {}", protocol.escape_ascii()),
            Field::Status(status) => format!(":status: {}", status.as_u16()),
            Field::Regular(name, value) => format!("{name}: {}", value.as_bytes().escape_ascii()),
            Field::Malformed => "malformed".to_owned(),
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, CompressionError> {
        let mut fields = Vec::new();
        decoder.decode(block, &Room::default(), |field, _| fields.push(text(&field)))?;
        Ok(fields)
    }

    /// Decodes heads one behind the other; what is left of the table has the size.
    fn check(most: usize, heads: &[(&str, &[&str], usize)]) {
        let mut decoder = Decoder::new(most);
        for (hex, expected, size) in heads {
            assert_eq!(fields(&mut decoder, &bytes(hex)).unwrap(), *expected, "{hex}");
            assert_eq!(decoder.table.size, *size, "{hex}");
            let sum: usize =
                (62..).map_while(|index| decoder.table.get(index)).map(|stored| stored.size).sum();
            assert_eq!(sum, *size, "{hex}");
        }
    }

    fn refused(block: &[u8]) -> CompressionError {
        fields(&mut Decoder::new(MOST), block).unwrap_err()
    }

    #[test]
    fn single_fields_are_read_as_the_rfc_shows_them() {
        let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(MOST, &[(custom, &["custom-key: custom-header"], 55)]);
        check(MOST, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], 0)]);
        check(MOST, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], 0)]);
        check(MOST, &[("82", &[":method: GET"], 0)]);
    }

    #[test]
    fn requests_are_read_as_the_rfc_shows_them() {
        let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        let second = [&first[..], &["cache-control: no-cache"]].concat();
        let third = [
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ];
        let plain = [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ];
        let coded = [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ];
        for heads in [plain, coded] {
            check(MOST, &[(heads[0], &first, 57), (heads[1], &second, 110), (heads[2], &third, 164)]);
        }
    }

    #[test]
    fn answers_are_read_as_the_rfc_shows_them_and_drive_each_other_out() {
        let early = "date: Mon, 21 Oct 2013 20:13:21 GMT";
        let late = "date: Mon, 21 Oct 2013 20:13:22 GMT";
        let (private, location) = ("cache-control: private", "location: https://www.example.com");
        let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        let first = [":status: 302", private, early, location];
        let second = [":status: 307", private, early, location];
        let third = [":status: 200", private, late, location, "content-encoding: gzip", cookie];
        let plain = [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17687474
            70733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a
            4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ];
        let coded = [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae
            82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960
            d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ];
        for heads in [plain, coded] {
            check(256, &[(heads[0], &first, 222), (heads[1], &second, 222), (heads[2], &third, 215)]);
        }
    }

    #[test]
    fn every_field_of_the_static_table_is_read() {
        let mut decoder = Decoder::new(MOST);
        for (place, known) in (1..).zip(&super::super::table::STATIC) {
            let (mut read, mut counted) = (String::new(), 0);
            let each = |field: Field, size| (read, counted) = (text(&field), size);
            decoder.decode(&[0x80 | place], &Room::default(), each).unwrap();
            if place == 1 {
                assert_eq!(read, "malformed", "an authority is not empty");
            } else {
                let value = read.strip_prefix(known.name).and_then(|read| read.strip_prefix(": ")).unwrap();
                assert_eq!(counted, known.name.len() + value.len() + OVERHEAD, "{read}");
                assert_eq!(known.stored.entry.name().length(), known.name.len(), "{read}");
            }
        }
        assert_eq!(refused(&[0x80]), CompressionError::NoSuchField { index: 0 });
        assert_eq!(refused(&[0xbe]), CompressionError::NoSuchField { index: 62 });
        assert_eq!(refused(&[0x7f, 0, 0]), CompressionError::NoSuchField { index: 63 });
    }

    #[test]
    fn what_ends_too_early_is_refused() {
        let whole = bytes("400a637573746f6d2d6b65790d637573746f6d2d686561646572");
        for length in 1..whole.len() {
            assert_eq!(refused(&whole[..length]), CompressionError::Truncated, "{length}");
        }
        assert_eq!(refused(&[0xff]), CompressionError::Truncated);
        assert_eq!(refused(&[0xff, 0x80]), CompressionError::Truncated);
        assert_eq!(refused(&[0x00, 0x7f, 0xff, 0xff, 0xff, 0x7f]), CompressionError::Truncated);
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]), CompressionError::Overflow);
        assert_eq!(refused(&[0x3f, 0x80, 0x80, 0x80, 0x80, 0x00]), CompressionError::Overflow);
        let most = 0x7f + (1 << 28) - 1;
        assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0x7f]), CompressionError::NoSuchField { index: most });
        assert_eq!(fields(&mut Decoder::new(1337), &[0x3f, 0x9a, 0x0a]).unwrap(), [""; 0], "it is 1337");
        assert!(fields(&mut Decoder::new(1336), &[0x3f, 0x9a, 0x0a]).is_err());
    }

    #[test]
    fn text_that_is_no_huffman_code_is_refused() {
        for text in [&[0xff][..], &[0x1f, 0xff], &[0x1e], &[0xff; 4], &[0xff, 0xff, 0xff, 0xfc]] {
            let mut block = vec![0x04, 0x80 | u8::try_from(text.len()).unwrap()];
            block.extend_from_slice(text);
            assert_eq!(refused(&block), CompressionError::Huffman, "{text:?}");
        }
    }

    #[test]
    fn the_table_is_resized_only_before_the_first_field_and_only_so_far() {
        assert_eq!(refused(&[0x3f, 0xe2, 0x1f]), CompressionError::TableTooLarge { size: 4097 });
        assert_eq!(refused(&[0x82, 0x20]), CompressionError::LateTableSize);
        let mut decoder = Decoder::new(MOST);
        let custom = bytes("400a637573746f6d2d6b65790c637573746f6d2d76616c7565");
        fields(&mut decoder, &custom).unwrap();
        assert_eq!(fields(&mut decoder, &[0xbe]).unwrap(), ["custom-key: custom-value"]);
        let emptied = [0x20, 0x3f, 0xe1, 0x1f, 0xbe];
        let error = fields(&mut decoder, &emptied).unwrap_err();
        assert_eq!(error, CompressionError::NoSuchField { index: 62 });
        assert_eq!(decoder.table.limit, MOST);
        fields(&mut decoder, &[&[0x3f, 0x16][..], &custom].concat()).unwrap();
        assert_eq!((decoder.table.limit, decoder.table.size), (53, 0), "54 bytes have no place in 53");
    }

    #[test]
    fn a_new_field_may_take_the_name_of_one_that_it_drives_out() {
        let mut decoder = Decoder::new(60);
        let custom = bytes("400a637573746f6d2d6b65790c637573746f6d2d76616c7565");
        fields(&mut decoder, &custom).unwrap();
        assert_eq!(fields(&mut decoder, b"\x7e\x01b").unwrap(), ["custom-key: b"]);
        assert_eq!(fields(&mut decoder, &[0xbe]).unwrap(), ["custom-key: b"]);
        assert_eq!(decoder.table.size, 43);
    }

    #[test]
    fn what_is_malformed_has_its_place_in_the_table_and_spoils_only_what_speaks_of_it() {
        let mut decoder = Decoder::new(MOST);
        let (wrong, right) = (b"\x40\x03X-a\x01b", b"\x40\x03x-a\x01b");
        assert_eq!(fields(&mut decoder, wrong).unwrap(), ["malformed"]);
        assert_eq!(decoder.table.size, 36);
        assert_eq!(fields(&mut decoder, right).unwrap(), ["x-a: b"]);
        assert_eq!(fields(&mut decoder, &[0xbf, 0xbe]).unwrap(), ["malformed", "x-a: b"]);
        assert_eq!(fields(&mut decoder, b"\x0f\x30\x01c").unwrap(), ["malformed"], "its name");
        // A value that is none leaves its name to others.
        assert_eq!(fields(&mut decoder, b"\x44\x01a\x40\x03x-b\x01\0").unwrap(), ["malformed", "malformed"]);
        assert_eq!(fields(&mut decoder, b"\x0f\x2f\x01c\x0f\x30\x02/c").unwrap(), ["x-b: c", ":path: /c"]);
    }

    #[test]
    fn only_what_must_never_be_indexed_is_sensitive() {
        for (first, expected) in [(0x10, true), (0x00, false), (0x40, false)] {
            let block = [&[first][..], b"\x03x-a\x01b"].concat();
            let mut seen = Vec::new();
            let each = |field, _| {
                let Field::Regular(_, value) = field else { panic!("it is a regular one") };
                seen.push(value.is_sensitive());
            };
            Decoder::new(MOST).decode(&block, &Room::default(), each).unwrap();
            assert_eq!(seen, [expected]);
        }
    }

    #[test]
    fn a_long_coded_text_is_read_and_its_place_let_go() {
        let value = "abc:XYZ~".repeat(2_000);
        let coded = encode(value.as_bytes(), 0);
        let mut block = vec![0x0f, 0x2b, 0xff];
        let mut left = coded.len() - 0x7f;
        while left >= 0x80 {
            block.push((left % 0x80).to_le_bytes()[0] | 0x80);
            left /= 0x80;
        }
        block.push(left.to_le_bytes()[0]);
        block.extend_from_slice(&coded);
        let mut decoder = Decoder::new(MOST);
        assert!(fields(&mut decoder, &block).unwrap() == [format!("user-agent: {value}")]);
        assert_eq!(decoder.scratch.capacity(), 0);
    }
}
