//! Blocks of RFC 7541 Appendix C, errors by name, and what holds for any fields.

use std::collections::HashMap;

use proptest::prelude::*;

use super::table::{Memo, Table};
use super::*;

/// A field's name and value, and whether it is never to be indexed.
type Line = (Vec<u8>, Vec<u8>, bool);

/// Fields as they came, `None` for those above the limit.
#[derive(Debug, Default, PartialEq)]
struct Fields(Vec<Option<Line>>);

impl Sink for Fields {
    fn is_plain(&self, field: &Field<'_>) -> bool {
        (field.name.len() + field.value.len()).is_multiple_of(2)
    }

    fn field(&mut self, field: Field<'_>) {
        let mut statics = (1..=statics::LEN).filter_map(statics::entry);
        let is_static = statics.any(|entry| (entry.name, entry.value) == (field.name, field.value));
        assert!(field.is_plain == self.is_plain(&field) || is_static && field.is_plain);
        let known = statics::index_of(field.name, crate::head::words::hash(0, field.name));
        assert_eq!(field.known, known, "{}", field.name.escape_ascii());
        self.0.push(Some((field.name.to_vec(), field.value.to_vec(), field.never_indexed)));
    }

    fn too_large(&mut self) {
        self.0.push(None);
    }
}

const LIMIT: usize = 16 * 1024;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, CompressionError> {
    let mut fields = Fields::default();
    decoder.decode(block, LIMIT, &mut fields)?;
    Ok(fields)
}

/// Bytes of hexadecimal digits, with blanks anywhere.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit.try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Decodes blocks of one connection, each into fields that are written `name: value`, and says what sizes the table had
/// behind them. Fields that are never to be indexed are marked by `!`.
fn check(blocks: &[(&str, &str, usize)], first: &[u8]) {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, first), Ok(Fields::default()));
    for (hex, expected, size) in blocks {
        let fields = decode(&mut decoder, &bytes(hex)).unwrap();
        let lines: Vec<String> = fields
            .0
            .iter()
            .flatten()
            .map(|(name, value, never)| {
                let mark = if *never { "!" } else { "" };
                format!("{mark}{}: {}", name.escape_ascii(), value.escape_ascii())
            })
            .collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, expected, "{hex}");
        assert_eq!(decoder.table().size(), *size, "{hex}");
    }
}

/// A size update to 256, as the responses of Appendix C have it.
const SMALL: &[u8] = &[0x3f, 0xe1, 0x01];

#[test]
fn integers_of_appendix_c_1() {
    for (first, mask, value, hex) in [(0, 0x1f, 10, "0a"), (0, 0x1f, 1337, "1f 9a 0a"), (0, 0xff, 42, "2a")] {
        let mut out = Vec::new();
        integer::encode(first, mask, value, &mut out);
        assert_eq!(out, bytes(hex));
        let mut rest = &out[1..];
        assert_eq!(integer::decode(out[0] & mask, mask, &mut rest), Ok(value.try_into().unwrap()));
        assert!(rest.is_empty());
    }
}

#[test]
fn fields_of_appendix_c_2() {
    check(
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            55,
        )],
        b"",
    );
    check(&[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0)], b"");
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", "!password: secret", 0)], b"");
    check(&[("82", ":method: GET", 0)], b"");
}

const REQUESTS: [(&str, usize); 3] = [
    (":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com", 57),
    (":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache", 110),
    (
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
        164,
    ),
];

#[test]
fn requests_of_appendix_c_3_and_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let blocks: Vec<_> =
            blocks.iter().zip(REQUESTS).map(|(hex, (fields, size))| (*hex, fields, size)).collect();
        check(&blocks, b"");
    }
}

const RESPONSES: [(&str, usize); 3] = [
    (
        ":status: 302
         cache-control: private
         date: Mon, 21 Oct 2013 20:13:21 GMT
         location: https://www.example.com",
        222,
    ),
    (
        ":status: 307
         cache-control: private
         date: Mon, 21 Oct 2013 20:13:21 GMT
         location: https://www.example.com",
        222,
    ),
    (
        ":status: 200
         cache-control: private
         date: Mon, 21 Oct 2013 20:13:22 GMT
         location: https://www.example.com
         content-encoding: gzip
         set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        215,
    ),
];

#[test]
fn responses_of_appendix_c_5_and_6() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let blocks: Vec<_> =
            blocks.iter().zip(RESPONSES).map(|(hex, (fields, size))| (*hex, fields, size)).collect();
        check(&blocks, SMALL);
    }
}

#[test]
fn errors_by_name() {
    let cases: [(&str, CompressionError); 22] = [
        // Ends within a string, before one, within an integer.
        ("40 01", CompressionError::Truncated),
        ("40 01 61 02 61", CompressionError::Truncated),
        ("41", CompressionError::Truncated),
        ("ff 80 80", CompressionError::Truncated),
        ("3f", CompressionError::Truncated),
        // Five bytes behind the prefix, as an index, a length and a size.
        ("ff ff ff ff ff 00", CompressionError::Integer),
        ("41 7f ff ff ff ff 00", CompressionError::Integer),
        ("3f 80 80 80 80 00", CompressionError::Integer),
        // Index 0; one of an empty table, of a field and of a name.
        ("80", CompressionError::Index),
        ("be", CompressionError::Index),
        ("7e 01 61", CompressionError::Index),
        ("0f 2f 01 61", CompressionError::Index),
        // Zeros as padding, eight bits of padding, a part of a code.
        ("41 81 18", CompressionError::Padding),
        ("41 82 1f ff", CompressionError::Padding),
        ("41 81 ff", CompressionError::Padding),
        ("41 81 fe", CompressionError::Padding),
        ("41 83 ff ff ff", CompressionError::Padding),
        // The code of the end, alone and behind a symbol.
        ("41 84 ff ff ff ff", CompressionError::EndOfString),
        ("41 85 1f ff ff ff ff", CompressionError::EndOfString),
        // 4,097 bytes; an update behind a field; three of them.
        ("3f e2 1f", CompressionError::TableSize),
        ("82 20", CompressionError::UpdatePlace),
        ("20 3f e1 1f 3f e1 1f", CompressionError::UpdatePlace),
    ];
    for (hex, error) in cases {
        assert_eq!(decode(&mut Decoder::new(4096), &bytes(hex)), Err(error), "{hex}");
    }
}

#[test]
fn a_table_may_be_announced_larger_and_not_smaller() {
    let to = |size| {
        let mut block = Vec::new();
        integer::encode(0x20, 0x1f, size, &mut block);
        block
    };
    for (announced, allowed) in [(0, 4096), (4096, 4096), (65536, 65536)] {
        let mut decoder = Decoder::new(announced);
        assert_eq!(decoder.table().max(), 4096);
        assert!(decode(&mut decoder, &to(allowed)).is_ok());
        assert_eq!(decode(&mut decoder, &to(allowed + 1)), Err(CompressionError::TableSize));
    }
}

/// Encodes a text in the Huffman code, by the plain rule of the code.
fn huffman(text: &[u8]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (code, length) = huffman::code(*byte);
        bits.extend((0..length).rev().map(|at| code >> at & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

/// A literal of the field, with Huffman-coded strings, to be indexed.
fn coded(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0x40];
    for text in [name, value] {
        let code = huffman(text);
        integer::encode(0x80, 0x7f, code.len(), &mut out);
        out.extend(code);
    }
    out
}

#[test]
fn every_symbol_is_decoded_at_every_place() {
    for byte in 0..=u8::MAX {
        for before in 0..20 {
            for behind in 0..4 {
                let text = [&vec![b'a'; before][..], &[byte], &vec![b'~'; behind]].concat();
                let mut out = Vec::new();
                assert_eq!(huffman::decode(&huffman(&text), &mut out, text.len()), Ok(text.len()));
                assert_eq!(out[..text.len()], text);
                let most = text.len() - 1;
                assert_eq!(huffman::decode(&huffman(&text), &mut out, most), Ok(huffman::TOO_LONG));
            }
        }
    }
}

#[test]
fn a_field_above_the_limit_is_passed_over_and_the_table_stays_right() {
    let block = [
        coded(b"name", &[b'a'; 60]),
        vec![0xbe],
        coded(&[b'n'; 101], b"a"),
        vec![0xbe],
        coded(b"small", b"one"),
    ]
    .concat();
    let mut decoder = Decoder::new(4096);
    let mut fields = Fields::default();
    decoder.decode(&block, 63, &mut fields).unwrap();
    let small = Some((b"small".to_vec(), b"one".to_vec(), false));
    assert_eq!(fields.0, [None, None, None, None, small.clone()]);
    assert_eq!(decoder.table().size(), 96 + 134 + 40);
    // Whether or not it is kept, it has to be in the code.
    let padded_wrongly = [vec![0x40, 0x81, 0x1f, 0x82, 0x18, 0xc0], vec![0; 3]].concat();
    for (limit, code) in [(1, &[0x41, 0x81, 0x18][..]), (1, &padded_wrongly)] {
        let mut decoder = Decoder::new(4096);
        decode(&mut decoder, &[0x20]).unwrap();
        let result = decoder.decode(code, limit, &mut Fields::default());
        assert_eq!(result, Err(CompressionError::Padding), "{}", code.escape_ascii());
    }
    // More than the table takes: it is emptied, whether or not the string was kept.
    for limit in [63, 1 << 20] {
        let mut fields = Fields::default();
        decoder.decode(&coded(b"large", &[b'a'; 5000]), limit, &mut fields).unwrap();
        assert_eq!(fields.0[0].is_some(), limit > 5005);
        assert_eq!((decoder.table().size(), decoder.table().len()), (0, 0));
    }
    let mut fields = Fields::default();
    decoder.decode(&[coded(b"small", b"one"), vec![0xbe]].concat(), 63, &mut fields).unwrap();
    assert_eq!(fields.0, [small.clone(), small]);
}

#[test]
fn a_name_may_be_of_the_entry_that_goes() {
    // Two entries fill the table; the third has the name of the older one and evicts it.
    let mut table = Table::new(2 * (32 + 8));
    for round in 0..50_u8 {
        let memo = Memo { known: 0, is_plain: true };
        table.insert(b"name", b"aaaa", memo);
        table.insert(b"othe", b"bbbb", memo);
        table.insert_named_as(1, &[round; 4], false);
        let newest = table.get(0).unwrap();
        assert_eq!((newest.name, newest.value), (&b"name"[..], &[round; 4][..]));
        assert_eq!(table.get(1).unwrap().name, b"othe");
        assert!(table.get(2).is_none());
    }
}

#[test]
fn a_table_that_was_not_used_takes_no_memory() {
    let mut decoder = Decoder::new(4096);
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.begin(&mut out);
    encoder.field(b":method", b"GET", Indexing::Indexed, &mut out);
    encoder.field(b":path", b"/some", Indexing::Passing, &mut out);
    encoder.field(b"authorization", b"secret", Indexing::Never, &mut out);
    decode(&mut decoder, &out).unwrap();
    assert_eq!((decoder.table().memory(), encoder.memory()), (0, 0));
}

/// The length of the block that a field becomes.
fn length(
    encoder: &mut Encoder,
    decoder: &mut Decoder,
    name: &str,
    value: &[u8],
    indexing: Indexing,
) -> usize {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.field(name.as_bytes(), value, indexing, &mut out);
    let expected =
        Some((name.to_ascii_lowercase().into_bytes(), value.to_vec(), indexing == Indexing::Never));
    assert_eq!(decode(decoder, &out).unwrap().0, [expected]);
    out.len()
}

#[test]
fn what_comes_again_becomes_one_byte() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut lengths = |name, value: &[u8], indexing| {
        [(); 3].map(|()| length(&mut encoder, &mut decoder, name, value, indexing))
    };
    use Indexing::{Indexed, Never, Passing};
    for (name, value) in [(":method", "GET"), (":status", "500"), (":path", "/"), (":scheme", "https")] {
        assert_eq!(lengths(name, value.as_bytes(), Passing), [1, 1, 1]);
    }
    assert_eq!(lengths("Accept-Encoding", b"gzip, deflate", Indexed), [1, 1, 1]);
    // A name that was never sent goes into the table at once, one that is known with a field that comes again.
    assert_eq!(lengths("X-Custom", b"value", Indexed), [16, 1, 1]);
    assert_eq!(lengths("x-custom", b"other", Indexed), [8, 7, 1]);
    assert_eq!(lengths("user-agent", b"agent", Indexed), [8, 7, 1]);
    assert_eq!(lengths(":authority", b"host", Indexed), [6, 6, 1]);
    assert_eq!(lengths("x-request-id", b"0123", Passing), [19, 19, 19]);
    assert_eq!(lengths("authorization", b"0123", Never), [7, 7, 7]);
    assert_eq!(lengths("x-large", &[b'a'; 2010], Indexed), [2022, 2022, 2022]);
    let name = "N".repeat(70);
    assert_eq!(lengths(&name, b"0123", Indexed), [77, 1, 1]);
}

#[test]
fn the_table_follows_what_the_peer_allows() {
    let begun = |sizes: &[u32]| {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        for size in sizes {
            encoder.set_max_table(*size);
        }
        encoder.begin(&mut out);
        let first = out.len();
        encoder.begin(&mut out);
        assert_eq!(out.len(), first);
        out
    };
    assert_eq!(begun(&[]), b"");
    assert_eq!(begun(&[4096]), b"");
    assert_eq!(begun(&[65536]), b"");
    assert_eq!(begun(&[0]), [0x20]);
    assert_eq!(begun(&[256, 0, 100_000]), bytes("20 3f e1 1f"));
    assert_eq!(begun(&[256, 128]), bytes("3f 61"));
    assert_eq!(begun(&[128, 256]), bytes("3f 61 3f e1 01"));

    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    encoder.set_max_table(0);
    let mut lengths = || [(); 3].map(|()| length(&mut encoder, &mut decoder, "a", b"b", Indexing::Indexed));
    assert_eq!(lengths(), [6, 5, 5]);
    assert_eq!(encoder.memory(), 0);
}

#[test]
fn entries_are_found_however_many_came_before() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for number in 0..70_000_u32 {
        let name = format!("x-{}", number % 1000);
        length(&mut encoder, &mut decoder, &name, &number.to_le_bytes(), Indexing::Indexed);
        if number % 100 == 0 {
            assert_eq!(
                length(&mut encoder, &mut decoder, &name, &number.to_le_bytes(), Indexing::Indexed),
                1
            );
        }
    }
}

#[test]
fn indexing_goes_by_the_name_in_any_case() {
    use Indexing::{Indexed, Never, Passing};
    let cases = [
        (
            Passing,
            ":path age b3 content-length date etag grpc-timeout location set-cookie traceparent x-b3-spanid",
        ),
        (Passing, "x-request-id x-b3-traceid last-modified if-none-match X-Envoy-Upstream-Service-Time Date"),
        (Never, "authorization Authorization proxy-authorization cookie"),
        (
            Indexed,
            ":method :authority accept user-agent content-type x-custom-id2 dates vary b4 x-b3-sampled link",
        ),
    ];
    for (expected, names) in cases {
        for name in names.split(' ') {
            assert_eq!(indexing(name.as_bytes(), b"short"), expected, "{name}");
        }
    }
    assert_eq!(indexing(b"cookie", &[b'a'; 19]), Never);
    assert_eq!(indexing(b"cookie", &[b'a'; 20]), Indexed);
    assert_eq!(indexing(b"", b""), Indexed);
}

/// A field, how it is indexed, and whether a block begins with it.
type Step = (Vec<u8>, Vec<u8>, Indexing, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop_oneof![
        "[a-cA-C]{0,2}",
        "[a-zA-Z0-9-]{0,80}",
        proptest::sample::select(&[":path", "accept", "Host", ":status", "x-a"][..]).prop_map(String::from),
    ];
    let value = prop_oneof![
        "[a-b]{0,2}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..100),
        proptest::collection::vec(any::<u8>(), 0..3000),
    ];
    let indexing = proptest::sample::select(
        &[Indexing::Indexed, Indexing::Indexed, Indexing::Passing, Indexing::Never][..],
    );
    let step = (name.prop_map(String::into_bytes), value, indexing, proptest::bool::weighted(0.2));
    proptest::collection::vec(step, 0..200)
}

/// Decodes bit by bit.
fn plainly_decoded(code: &[u8]) -> Option<Vec<u8>> {
    let codes: HashMap<_, _> = (0..=u8::MAX).map(|byte| (huffman::code(byte), byte)).collect();
    let (mut text, mut bits, mut length) = (Vec::new(), 0, 0);
    for at in 0..code.len() * 8 {
        bits = bits << 1 | u32::from(code[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        if let Some(byte) = codes.get(&(bits, length)) {
            text.push(*byte);
            (bits, length) = (0, 0);
        } else if length == 30 {
            return None;
        }
    }
    (length < 8 && bits + 1 == 1 << length).then_some(text)
}

proptest! {
    #[test]
    fn any_code_is_decoded_or_refused_as_bit_by_bit(
        code in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            // Long codes and much padding.
            proptest::collection::vec(prop_oneof![Just(0xff), any::<u8>()], 0..40),
            (any::<Vec<u8>>(), 0_u8..4).prop_map(|(text, more)| [huffman(&text), vec![0xff; more.into()]].concat()),
        ],
    ) {
        let mut out = Vec::new();
        let decoded = huffman::decode(&code, &mut out, usize::MAX / 2).ok().map(|length| out[..length].to_vec());
        prop_assert_eq!(decoded, plainly_decoded(&code));
    }

    #[test]
    fn what_was_encoded_is_decoded(steps in steps(), sizes in proptest::collection::vec(0_u32..6000, 0..20)) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        let (mut block, mut expected) = (Vec::new(), Vec::new());
        let mut sizes = sizes.into_iter();
        for (name, value, indexing, begins) in steps {
            if begins {
                prop_assert_eq!(&decode(&mut decoder, &block).unwrap().0, &expected);
                prop_assert_eq!(decoder.table().size(), encoder.table().size());
                block.clear();
                expected.clear();
                for size in sizes.by_ref().take(value.len() % 4) {
                    encoder.set_max_table(size);
                }
                encoder.begin(&mut block);
            }
            encoder.field(&name, &value, indexing, &mut block);
            expected.push(Some((name.to_ascii_lowercase(), value, indexing == Indexing::Never)));
        }
        prop_assert_eq!(&decode(&mut decoder, &block).unwrap().0, &expected);
        prop_assert!(encoder.memory() <= 2 * 4096 + 2048, "{}", encoder.memory());
    }

    #[test]
    fn huffman_strings_are_decoded(texts in proptest::collection::vec((any::<Vec<u8>>(), "[ -~]{0,60}"), 0..50)) {
        let mut decoder = Decoder::new(4096);
        for (name, value) in texts {
            let fields = decode(&mut decoder, &coded(&name, value.as_bytes())).unwrap();
            prop_assert_eq!(fields.0, [Some((name, value.into_bytes(), false))]);
        }
    }

    #[test]
    fn no_block_makes_panic_or_memory_grow(
        steps in steps(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..10),
        random in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..10),
    ) {
        let (mut encoder, mut block) = (Encoder::new(), Vec::new());
        for (name, value, indexing, _) in steps {
            if indexing == Indexing::Passing {
                block.extend(coded(&name, &value));
            } else {
                encoder.field(&name, &value, Indexing::Indexed, &mut block);
            }
        }
        for (at, byte) in changes.into_iter().filter(|_| !block.is_empty()).collect::<Vec<_>>() {
            let at = at.index(block.len());
            block[at] = byte;
        }
        let mut decoder = Decoder::new(4096);
        for block in random.iter().chain([&block]) {
            let mut sink = Fields::default();
            // Whatever comes of it.
            let _result = decoder.decode(block, 1000, &mut sink);
            prop_assert!(decoder.table().size() <= decoder.table().max());
            prop_assert!(decoder.table().memory() <= 2 * 4096, "{}", decoder.table().memory());
            prop_assert!(sink.0.iter().flatten().all(|(name, value, _)| name.len() + value.len() <= 1000));
        }
    }
}
