//! HPACK (RFC 7541): blocks by hand, and a decoder that is slow, small and strict.

use std::collections::VecDeque;

/// An integer with a prefix of so many bits (RFC 7541 §5.1), below the `flags` of its first byte.
pub(super) fn integer(flags: u8, prefix: u32, value: usize) -> Vec<u8> {
    let most = (1_usize << prefix) - 1;
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if value < most {
        return vec![flags | byte(value)];
    }
    let (mut bytes, mut rest) = (vec![flags | byte(most)], value - most);
    while rest >= 128 {
        bytes.push(byte(rest % 128) | 128);
        rest /= 128;
    }
    bytes.push(byte(rest));
    bytes
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&integer(0, 7, bytes.len())[..], bytes].concat()
}

/// A literal without indexing and with a new name (RFC 7541 §6.2.2).
pub(super) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// A literal with a new name that enters the table (RFC 7541 §6.2.1).
pub(super) fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

/// Literals without indexing.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// A string in Huffman code (RFC 7541 §5.2), with ones behind it.
pub(super) fn huffman(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (length, code) = codes[usize::from(*byte)];
        bits.extend((0..length).rev().map(|at| code >> at & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
    [&integer(0x80, 7, bytes.len())[..], &bytes].concat()
}

/// What decodes the blocks of one connection.
pub(super) struct Decoder {
    /// The youngest first.
    table: VecDeque<(String, String)>,
    /// What the table may hold now, as the encoder has said.
    limit: usize,
    /// The most that it may say.
    allowed: usize,
    /// The least that was allowed since the last block: the encoder must have said no more (RFC 7541 §4.2).
    lowered: Option<usize>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), limit: 4096, allowed: 4096, lowered: None }
    }
}

impl Decoder {
    pub(super) fn allow(&mut self, size: usize) {
        self.allowed = size;
        if size < self.limit {
            self.lowered = Some(self.lowered.map_or(size, |lowered| lowered.min(size)));
        }
    }

    /// The fields of a whole block. Panics where the block is malformed.
    pub(super) fn decode(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            let (prefix, is_indexing) = match first {
                0x80.. => {
                    fields.push(self.entry(take_integer(&mut rest, 7)));
                    continue;
                }
                0x40.. => (6, true),
                0x20.. => {
                    assert!(fields.is_empty(), "a size update behind a field");
                    let size = take_integer(&mut rest, 5);
                    self.resize(size);
                    continue;
                }
                _ => (4, false),
            };
            assert_eq!(self.lowered, None, "a smaller table is acknowledged in the next block");
            let name = match take_integer(&mut rest, prefix) {
                0 => take_string(&mut rest),
                index => self.entry(index).0,
            };
            let field = (name, take_string(&mut rest));
            if is_indexing {
                self.table.push_front(field.clone());
                self.evict();
            }
            fields.push(field);
        }
        fields
    }

    fn entry(&self, index: usize) -> (String, String) {
        assert_eq!(self.lowered, None, "a smaller table is acknowledged in the next block");
        let index = index.checked_sub(1).expect("there is no index 0");
        if let Some((name, value)) = STATIC.get(index) {
            return ((*name).to_owned(), (*value).to_owned());
        }
        self.table.get(index - STATIC.len()).unwrap_or_else(|| panic!("no entry {index}")).clone()
    }

    fn resize(&mut self, size: usize) {
        assert!(size <= self.allowed, "a table of {size}, where {} are allowed", self.allowed);
        if self.lowered.is_some_and(|lowered| size <= lowered) {
            self.lowered = None;
        }
        self.limit = size;
        self.evict();
    }

    fn evict(&mut self) {
        let size = |table: &VecDeque<(String, String)>| {
            table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
        };
        while size(&self.table) > self.limit {
            self.table.pop_back();
        }
    }
}

fn take_byte(rest: &mut &[u8]) -> u8 {
    let (first, more) = rest.split_first().expect("a truncated block");
    *rest = more;
    *first
}

fn take_integer(rest: &mut &[u8], prefix: u32) -> usize {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(take_byte(rest)) & most;
    let mut shift = 0;
    while value >= most {
        let byte = take_byte(rest);
        value += usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn take_string(rest: &mut &[u8]) -> String {
    let is_huffman = rest.first().is_some_and(|byte| byte & 128 != 0);
    let length = take_integer(rest, 7);
    let (bytes, more) = rest.split_at_checked(length).expect("a truncated block");
    *rest = more;
    let bytes = if is_huffman { take_huffman(bytes) } else { bytes.to_vec() };
    String::from_utf8(bytes).expect("text")
}

fn take_huffman(bytes: &[u8]) -> Vec<u8> {
    let codes = codes();
    let (mut text, mut length, mut code) = (Vec::new(), 0, 0_u32);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (length, code) = (length + 1, code << 1 | u32::from(bit));
        if let Some(symbol) = codes.iter().position(|known| *known == (length, code)) {
            text.push(u8::try_from(symbol).expect("EOS isn't sent"));
            (length, code) = (0, 0);
        }
    }
    assert!(length < 8 && code == (1 << length) - 1, "the padding is the beginning of EOS");
    text
}

/// The length and code of each symbol: the code is canonical, so the lengths tell all.
fn codes() -> Vec<(u32, u32)> {
    let mut codes = vec![(0, 0); LENGTHS.len()];
    let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let (mut next, mut before) = (0, u32::from(LENGTHS[order[0]]));
    for symbol in order {
        let length = u32::from(LENGTHS[symbol]);
        next <<= length - before;
        codes[symbol] = (length, next);
        (next, before) = (next + 1, length);
    }
    codes
}

/// The lengths of the Huffman codes of all bytes and EOS (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
    28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6,
    6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7,
    6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22,
    23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21,
    20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23,
    22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// RFC 7541 appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
    ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
    ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
    ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""),
    ("retry-after", ""), ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""),
    ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// RFC 7541 appendix C.6: responses in Huffman code, with entries that are evicted.
#[test]
fn the_decoder_reads_the_rfc_s_examples() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<u8> =
            hex.chars().filter_map(|c| Some(u8::try_from(c.to_digit(16)?).unwrap())).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    let mut decoder = Decoder { limit: 256, allowed: 256, ..Decoder::default() };
    let expected = |status: &str, date: &str| {
        [
            (":status", status),
            ("cache-control", "private"),
            ("date", date),
            ("location", "https://www.example.com"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    };
    let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
                 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    let date = "Mon, 21 Oct 2013 20:13:21 GMT";
    assert_eq!(decoder.decode(&bytes(first)), expected("302", date));
    assert_eq!(decoder.decode(&bytes("4883 640e ffc1 c0bf")), expected("307", date));
    let third = decoder.decode(&bytes(
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ));
    assert_eq!(third[..4], expected("200", "Mon, 21 Oct 2013 20:13:22 GMT"));
    assert_eq!(third[4..][0].1, "gzip");
    assert_eq!(huffman(b"www.example.com"), bytes("8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"));
    assert_eq!(integer(0, 5, 1337), [31, 154, 10]);
}
