//! HTTP/2 in and out of order, in the targets' short form of frames.

use leno_testkit::frames::{self, Frame};

use super::Seeds;

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/b?c")];
const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/")];

/// `GET http://www.example.com/` of RFC 7541 C.4.1, by tables and Huffman's code.
const CODED: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";

fn short(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, flags, stream, u8::try_from(payload.len()).expect("a short one")], payload].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    frames::block(&fields)
}

fn head(flags: u8, stream: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    short(1, flags, stream, &block(fields))
}

fn get(stream: u8) -> Vec<u8> {
    head(5, stream, GET)
}

fn with(more: &[(&str, &str)]) -> Vec<u8> {
    head(5, 1, &[GET, more].concat())
}

fn body(flags: u8, stream: u8, bytes: &[u8]) -> Vec<u8> {
    short(0, flags, stream, bytes)
}

/// Settings that let the server say a lot, and windows that do.
fn windows() -> Vec<u8> {
    let more = |stream| short(8, 0, stream, &[0x7f, 0, 0, 0]);
    [short(4, 0, 0, &[0, 4, 0, 0x10, 0, 0]), more(0), get(1), more(1)].concat()
}

fn seeds(accepted: Vec<Seed>, refused: Vec<Seed>) -> Seeds {
    let named = |verdict, (name, switches, frames): Seed| {
        (format!("{verdict}-{name}"), [vec![switches], frames.concat()].concat())
    };
    let accepted = accepted.into_iter().map(|seed| named("ok", seed));
    accepted.chain(refused.into_iter().map(|seed| named("bad", seed))).collect()
}

/// A head as the lines of a text.
fn text(flags: u8, stream: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    short(1, flags, stream, lines.join("\n").as_bytes())
}

/// A name, switches, and frames.
type Seed = (&'static str, u8, Vec<Vec<u8>>);

/// A POST of five bytes.
fn posted() -> Vec<(&'static str, &'static str)> {
    [POST, &[("content-length", "5")]].concat()
}

/// A connection with one request, as its bytes.
fn raw(stream: u32, fields: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let head = Frame { kind: frames::HEADERS, flags: 5, stream, payload: block(fields) };
    vec![frames::PREFACE.to_vec(), head.bytes()]
}

pub(super) fn clients() -> Seeds {
    seeds([good_clients(), switched_clients()].concat(), bad_clients())
}

fn good_clients() -> Vec<Seed> {
    let posted = posted();
    let several =
        vec![get(1), head(4, 3, POST), get(5), body(0, 3, b"one"), body(1, 3, b"two"), get(7), get(9)];
    let coded = block(GET);
    vec![
        ("get", 0, vec![get(1)]),
        ("coded", 0, vec![short(1, 5, 1, CODED), short(1, 5, 3, b"\x82\x86\x84\xbe")]),
        ("length", 0, vec![head(4, 1, &posted), body(1, 1, b"hello")]),
        ("trailers", 0, vec![head(4, 1, POST), body(0, 1, b"x"), head(5, 1, &[("x-sum", "1")])]),
        (
            "continued",
            0,
            vec![short(1, 1, 1, &coded[..9]), short(9, 0, 1, &coded[9..20]), short(9, 4, 1, &coded[20..])],
        ),
        (
            "padded",
            0,
            vec![
                head(4, 1, POST),
                body(9, 1, b"\x02abxx"),
                short(1, 0x2d, 3, &[b"\x01\0\0\0\0\x07", &coded[..], b"x"].concat()),
            ],
        ),
        ("cookies", 0, vec![with(&[("cookie", "a=b"), ("te", "trailers"), ("cookie", "c=d"), ("x", "y")])]),
        (
            "connect",
            0,
            vec![head(4, 1, &[(":method", "CONNECT"), (":authority", "a:1")]), body(1, 1, b"tunnel")],
        ),
        (
            "extended",
            0,
            vec![
                head(
                    4,
                    1,
                    &[
                        (":method", "CONNECT"),
                        (":protocol", "websocket"),
                        (":scheme", "http"),
                        (":authority", "a"),
                        (":path", "/"),
                    ],
                ),
                body(1, 1, b"x"),
            ],
        ),
        ("expect", 0, vec![head(4, 1, &[POST, &[("expect", "100-continue")]].concat()), body(1, 1, b"x")]),
        ("several", 0, several),
        (
            "taken-back",
            0,
            vec![
                get(1),
                head(4, 3, POST),
                short(3, 0, 3, &[0, 0, 0, 8]),
                get(5),
                short(6, 0, 0, b"whatever"),
            ],
        ),
    ]
}

/// The same by all switches.
fn switched_clients() -> Vec<Seed> {
    let posted = posted();
    let several =
        vec![get(1), head(4, 3, POST), get(5), body(0, 3, b"one"), body(1, 3, b"two"), get(7), get(9)];
    let many = || vec![windows(), get(3), get(5), get(7), get(9), get(11)];
    vec![
        ("raw", 1, raw(1, GET)),
        ("texts", 0x40, vec![text(5, 1, GET), text(4, 3, &posted), body(1, 3, b"hello")]),
        (
            "texts-eager-small",
            0x46,
            vec![
                text(
                    4,
                    1,
                    &[POST, &[("expect", "100-continue"), ("cookie", "a=b"), ("cookie", "c")]].concat(),
                ),
                body(0, 1, b"x"),
                text(5, 1, &[("x-sum", "1")]),
                text(4, 3, &[(":method", "CONNECT"), (":authority", "a:1")]),
                body(1, 3, b"y"),
            ],
        ),
        ("eager", 2, several.clone()),
        ("small", 4, several.clone()),
        ("eager-small-narrow", 14, several),
        ("much-at-once", 2, many()),
        ("much-narrow", 10, many()),
        ("much-blocked", 18, many()),
    ]
}

fn bad_clients() -> Vec<Seed> {
    let (posted, coded) = (posted(), block(GET));
    vec![
        ("preface", 1, vec![b"PRI * HTTP/2.0\r\n\r\nXX".to_vec()]),
        ("cut", 1, vec![raw(1, GET).concat()[..40].to_vec()]),
        ("even", 1, raw(2, GET)),
        ("capitals", 0, vec![with(&[("X-A", "b")])]),
        ("line-end", 0, vec![with(&[("x", "a\r\nb: c")])]),
        ("connection", 0, vec![with(&[("connection", "close")])]),
        ("coding", 0, vec![with(&[("transfer-encoding", "chunked")])]),
        ("no-path", 0, vec![head(5, 1, &GET[..3])]),
        ("hosts", 0, vec![with(&[("host", "b")])]),
        ("long", 0, vec![head(4, 1, &posted), body(1, 1, b"hello!")]),
        ("not-hpack", 0, vec![short(1, 5, 1, &[0xff; 20])]),
        ("body-first", 0, vec![body(1, 1, b"x")]),
        ("interleaved", 0, vec![short(1, 1, 1, &coded[..9]), get(3)]),
        ("no-window", 0, vec![short(8, 0, 0, &[0; 4]), get(1)]),
    ]
}

pub(super) fn servers() -> Seeds {
    let whole = |stream| short(1, 5, stream, &[0x88]);
    let began = |stream, fields: &[(&str, &str)]| short(1, 4, stream, &[&[0x88], &*block(fields)].concat());
    let sized = &[("content-length", "5")];
    seeds(
        vec![
            ("status", 0, vec![whole(1), whole(3), whole(5), whole(7)]),
            ("length", 0, vec![began(1, sized), body(1, 1, b"hello")]),
            (
                "stream",
                0,
                vec![
                    began(1, &[("set-cookie", "a=b"), ("server", "x")]),
                    body(0, 1, b"one"),
                    body(9, 1, b"\x01twox"),
                ],
            ),
            ("hints", 0, vec![head(4, 1, &[(":status", "103"), ("link", "</a>")]), whole(1)]),
            ("trailers", 0, vec![began(1, &[]), body(0, 1, b"x"), head(5, 1, &[("grpc-status", "0")])]),
            ("head", 0, vec![short(1, 5, 3, &[&[0x88], &*block(sized)].concat())]),
            ("no-content", 0, vec![short(1, 5, 1, &[0x89]), short(1, 5, 5, &[0x8b])]),
            ("tunnel", 0, vec![began(7, &[]), body(0, 7, b"bytes"), body(1, 7, b"")]),
            ("farewell", 0, vec![whole(1), short(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])]),
            ("refused", 0, vec![short(3, 0, 3, &[0, 0, 0, 7]), whole(1)]),
            (
                "settings",
                2,
                vec![
                    short(4, 0, 0, &[0, 4, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0]),
                    short(8, 0, 5, &[0, 0, 0, 9]),
                    whole(5),
                ],
            ),
            ("small", 4, vec![whole(1), began(5, sized), body(1, 5, b"hello")]),
            (
                "texts",
                0x40,
                vec![
                    text(4, 1, &[(":status", "103"), ("link", "</a>")]),
                    text(4, 1, &[(":status", "200"), ("content-length", "5"), ("server", "x")]),
                    body(0, 1, b"hello"),
                    text(5, 1, &[("x-sum", "1")]),
                    text(5, 3, &[(":status", "200"), ("content-length", "9")]),
                ],
            ),
            ("raw", 1, vec![b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88".to_vec()]),
        ],
        vec![
            ("nothing", 0, vec![]),
            ("no-settings", 1, vec![b"\0\0\x01\x01\x05\0\0\0\x01\x88".to_vec()]),
            ("http1", 1, vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]),
            ("push", 0, vec![short(5, 4, 1, &[&[0, 0, 0, 2], CODED].concat())]),
            ("switch", 0, vec![head(5, 1, &[(":status", "101")])]),
            ("no-status", 0, vec![head(5, 1, &[("server", "x")])]),
            ("short", 0, vec![began(1, sized), body(1, 1, b"hell")]),
            ("long", 0, vec![began(1, sized), body(0, 1, b"hello!")]),
            ("body-first", 0, vec![body(1, 1, b"x")]),
            ("capitals", 0, vec![began(1, &[("X-A", "b")]), body(1, 1, b"")]),
            ("line-end", 0, vec![began(1, &[("x", "a\r\nb")]), body(1, 1, b"")]),
            ("unasked", 0, vec![whole(9)]),
        ],
    )
}

pub(super) fn blocks() -> Seeds {
    let all = |limit: u8, allowed: u8, blocks: &[&[u8]]| {
        let lengths =
            blocks.iter().map(|block| [&[u8::try_from(block.len()).expect("short")], *block].concat());
        [vec![limit, allowed], lengths.collect::<Vec<_>>().concat()].concat()
    };
    let custom = b"\x40\x0acustom-key\x0dcustom-header";
    let never = b"\x10\x08password\x06secret";
    let sized = [
        b"\x3f\xe1\x01".as_slice(),
        b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
    ]
    .concat();
    [
        ("ok-custom", all(0, 0, &[custom, b"\xbe", b"\x7e\x01a\xbe\xbf"])),
        ("ok-coded", all(0, 0, &[CODED, b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf", b"\xbe\xbf"])),
        ("ok-never", all(0, 0, &[never, b"\x04\x0c/sample/path"])),
        ("ok-sized", all(0, 0x55, &[&sized, b"\xbe", b"\x20\x3f\xe1\x1f", custom, b"\xbe\xbe"])),
        ("ok-small", all(20, 0xff, &[custom, b"\xbe", never, b"\x40\x01a\x01b\xbe\xbf"])),
        ("bad-index", all(0, 0, &[custom, b"\xbf"])),
        ("bad-zero", all(0, 0, &[b"\x80"])),
        ("bad-integer", all(0, 0, &[b"\xff\xff\xff\xff\xff\x00"])),
        ("bad-cut", all(0, 0, &[&custom[..9]])),
        ("bad-padding", all(0, 0, &[b"\x41\x81\x18"])),
        ("bad-end", all(0, 0, &[b"\x41\x84\xff\xff\xff\xff"])),
        ("bad-size", all(0, 0, &[b"\x3f\xe2\x1f"])),
        ("bad-size-behind", all(0, 0, &[b"\x82\x20"])),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
