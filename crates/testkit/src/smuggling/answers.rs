//! Answers of an application, over HTTP/1 and HTTP/2.

use super::Fate::{Cut, Passed, Refused};
use super::{Case, Fate, Field, Group, Stream, passed, refused};

/// Over HTTP/1. The request was a GET, or a HEAD where the title says so.
pub const ANSWERS: &[Group] = &[
    Group { title: "Framing", cases: FRAMING },
    Group { title: "Answers without a body", cases: BODILESS },
    Group { title: "Bytes that nobody asked for", cases: UNASKED },
    Group { title: "Heads", cases: HEADS },
    Group { title: "Chunks and trailers", cases: CHUNKS },
];

const TWO: &str = "RFC 9112 §6.3";
const CODING: &str = "RFC 9112 §6.1";
const FRAMING: &[Case] = &[
    refused("a length and a coding", TWO, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    refused("two lengths that differ", TWO, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\ncontent-length: 0\r\n\r\nodd"),
    refused("two lengths that agree", TWO, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nodd"),
    refused("a list of lengths", TWO, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 3, 3\r\n\r\nodd"),
    refused("a length with a sign", "RFC 9110 §8.6", b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: +3\r\n\r\nodd"),
    refused("a length beyond 2^64", "RFC 9110 §8.6", b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 18446744073709551619\r\n\r\nodd"),
    refused("a coding before chunked", CODING, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    refused("another coding", TWO, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ntransfer-encoding: identity\r\n\r\nodd"),
    refused("chunked twice", "RFC 9112 §7.1", b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    refused("chunked in HTTP/1.0", CODING, b"HTTP/1.0 200 OK\r\nx-odd: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    refused("a coding with an underscore", "CGI (RFC 3875 §4.1.18)", b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ntransfer_encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    refused("Connection names Content-Length", "RFC 9110 §7.6.1", b"HTTP/1.1 200 OK\r\nx-odd: 1\r\nconnection: content-length\r\ncontent-length: 3\r\n\r\nodd"),
    passed("a length as it should be", TWO, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nodd", &["200 odd"]),
    passed("chunked as it should be", CODING, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n", &["200 odd"]),
];

const NO_BODY: &str = "RFC 9110 §8.6, RFC 9112 §6.1";
const BODILESS: &[Case] = &[
    refused("204 with a length", NO_BODY, b"HTTP/1.1 204 No Content\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd"),
    refused("204 with a coding", NO_BODY, b"HTTP/1.1 204 No Content\r\nx-odd: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    passed("204 with a length of zero", NO_BODY, b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", &["204 "]),
    refused("103 with a length", NO_BODY, b"HTTP/1.1 103 Early Hints\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd"),
    refused("100 with a coding", NO_BODY, b"HTTP/1.1 100 Continue\r\nx-odd: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n"),
    passed("304 with a length, which is another answer's", "RFC 9110 §8.6", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", &["304 "]),
    passed("304 with a body", "RFC 9112 §6.3", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 44\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled", &["304 "]),
    refused("101 that nobody asked for", "RFC 9110 §7.8", b"HTTP/1.1 101 Switching Protocols\r\nx-odd: 1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nodd"),
];

const AFTER: &str = "RFC 9112 §6.3";
const UNASKED: &[Case] = &[
    passed("a second answer", AFTER, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noddHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled", &["200 odd"]),
    passed("more bytes than the length says", AFTER, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noddsmuggled", &["200 odd"]),
    passed("bytes behind the last chunk", AFTER, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\nsmuggled", &["200 odd"]),
    passed("an answer behind a 204", AFTER, b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled", &["204 "]),
    passed("an interim answer, and then one", "RFC 9110 §15.2", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nodd", &["200 odd"]),
];

const LINE: &str = "RFC 9112 §2.2";
const STATUS: &str = "RFC 9112 §4";
const HEADS: &[Case] = &[
    refused("every line ends in a bare LF", LINE, b"HTTP/1.1 200 OK\nx-odd: 1\ncontent-length: 3\n\nodd"),
    refused("a field ends in a bare LF", LINE, b"HTTP/1.1 200 OK\r\nx-odd: 1\ncontent-length: 3\r\n\r\nodd"),
    refused("a bare CR in a value", LINE, b"HTTP/1.1 200 OK\r\nx-odd: a\rb\r\ncontent-length: 3\r\n\r\nodd"),
    refused(
        "a NUL in a value",
        "RFC 9110 §5.5",
        b"HTTP/1.1 200 OK\r\nx-odd: a\0b\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused("a fold", "RFC 9112 §5.2", b"HTTP/1.1 200 OK\r\nx-odd: a\r\n b\r\ncontent-length: 3\r\n\r\nodd"),
    refused(
        "a folded length",
        "RFC 9112 §5.2",
        b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length:\r\n 3\r\n\r\nodd",
    ),
    refused(
        "a blank before the colon",
        "RFC 9112 §5.1",
        b"HTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length : 3\r\n\r\nodd",
    ),
    refused(
        "a line without a colon",
        "RFC 9112 §5",
        b"HTTP/1.1 200 OK\r\nx-odd\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused(
        "an empty line before it",
        STATUS,
        b"\r\nHTTP/1.1 200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused("a body alone: HTTP/0.9", STATUS, b"<html>odd</html>"),
    refused("a status of two digits", STATUS, b"HTTP/1.1 20 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd"),
    refused(
        "a status of four digits",
        STATUS,
        b"HTTP/1.1 2000 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused(
        "a status below 100",
        "RFC 9110 §15",
        b"HTTP/1.1 099 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused(
        "two blanks before the status",
        STATUS,
        b"HTTP/1.1  200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused(
        "a control character in the reason",
        STATUS,
        b"HTTP/1.1 200 O\x01K\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd",
    ),
    refused("HTTP/2 by name", "RFC 9110 §2.5", b"HTTP/2 200 OK\r\nx-odd: 1\r\ncontent-length: 3\r\n\r\nodd"),
    refused("ICY", STATUS, b"ICY 200 OK\r\nx-odd: 1\r\n\r\nodd"),
    refused("too many fields", STATUS, b"HTTP/1.1 200 OK\r\nx-odd: 1\r\n@MANYcontent-length: 3\r\n\r\nodd"),
    refused(
        "a head that is too large",
        STATUS,
        b"HTTP/1.1 200 OK\r\nx-odd: @LONG\r\ncontent-length: 3\r\n\r\nodd",
    ),
    passed("no reason", STATUS, b"HTTP/1.1 200 \r\ncontent-length: 3\r\n\r\nodd", &["200 odd"]),
];

const CHUNK: &str = "RFC 9112 §7.1";
macro_rules! chunked {
    ($rest:literal) => {
        concat!("HTTP/1.1 200 OK\r\nx-odd: 1\r\ntransfer-encoding: chunked\r\n\r\n", $rest).as_bytes()
    };
}
const CHUNKS: &[Case] = &[
    refused("a size with a sign", CHUNK, chunked!("+3\r\nodd\r\n0\r\n\r\n")),
    refused("a size that wraps around", CHUNK, chunked!("10000000000000003\r\nodd\r\n0\r\n\r\n")),
    refused("a blank after the size", CHUNK, chunked!("3 \r\nodd\r\n0\r\n\r\n")),
    refused("a bare LF after the size", CHUNK, chunked!("3\nodd\r\n0\r\n\r\n")),
    refused("a bare LF in an extension", "RFC 9112 §7.1.1", chunked!("3;a\nodd\r\n0\r\n\r\n")),
    refused("more data than the size says", CHUNK, chunked!("3\r\nodds\r\n0\r\n\r\n")),
    refused(
        "a length among the trailers",
        "RFC 9110 §6.5.1",
        chunked!("3\r\nodd\r\n0\r\ncontent-length: 3\r\n\r\n"),
    ),
    refused(
        "a cookie among the trailers",
        "RFC 9110 §6.5.1",
        chunked!("3\r\nodd\r\n0\r\nset-cookie: a\r\n\r\n"),
    ),
    refused("a fold among the trailers", "RFC 9112 §5.2", chunked!("3\r\nodd\r\n0\r\na: b\r\n c\r\n\r\n")),
    passed("an extension", "RFC 9112 §7.1.1", chunked!("3;a=b\r\nodd\r\n0\r\n\r\n"), &["200 odd"]),
];

const fn alone(what: &'static str, rule: &'static str, head: &'static [Field]) -> Stream {
    Stream { what, rule, head, body: None, trailers: None, fate: Refused }
}

const fn with(
    what: &'static str,
    rule: &'static str,
    head: &'static [Field],
    body: &'static [u8],
    fate: Fate,
) -> Stream {
    Stream { what, rule, head, body: Some(body), trailers: None, fate }
}

const fn trailed(what: &'static str, rule: &'static str, trailers: &'static [Field], fate: Fate) -> Stream {
    Stream { what, rule, head: OK, body: Some(b"odd"), trailers: Some(trailers), fate }
}

const OK: &[Field] = &[(b":status", b"200"), (b"x-odd", b"1")];
const BYTES: &str = "RFC 9113 §8.2.1";
const HOP: &str = "RFC 9113 §8.2.2";
const PSEUDO: &str = "RFC 9113 §8.3";

/// Over HTTP/2.
pub const ODD_STREAM_ANSWERS: &[Stream] = &[
    with(
        "a length shorter than the body",
        "RFC 9113 §8.1.1",
        &[(b":status", b"200"), (b"content-length", b"1"), (b"x-odd", b"1")],
        b"odd",
        Cut,
    ),
    with(
        "a length longer than the body",
        "RFC 9113 §8.1.1",
        &[(b":status", b"200"), (b"content-length", b"9"), (b"x-odd", b"1")],
        b"odd",
        Cut,
    ),
    with(
        "two lengths",
        "RFC 9113 §8.1.1",
        &[(b":status", b"200"), (b"content-length", b"3"), (b"content-length", b"3"), (b"x-odd", b"1")],
        b"odd",
        Refused,
    ),
    with(
        "a length with a sign",
        "RFC 9110 §8.6",
        &[(b":status", b"200"), (b"content-length", b"+3"), (b"x-odd", b"1")],
        b"odd",
        Refused,
    ),
    with(
        "204 with a length",
        "RFC 9110 §8.6",
        &[(b":status", b"204"), (b"content-length", b"3"), (b"x-odd", b"1")],
        b"odd",
        Refused,
    ),
    with(
        "a coding",
        HOP,
        &[(b":status", b"200"), (b"transfer-encoding", b"chunked"), (b"x-odd", b"1")],
        b"odd",
        Refused,
    ),
    with(
        "Connection",
        HOP,
        &[(b":status", b"200"), (b"connection", b"close"), (b"x-odd", b"1")],
        b"odd",
        Refused,
    ),
    with("Upgrade", HOP, &[(b":status", b"200"), (b"upgrade", b"h2c"), (b"x-odd", b"1")], b"odd", Refused),
    alone("CR LF in a value", BYTES, &[(b":status", b"200"), (b"x-odd", b"1\r\n\r\nHTTP/1.1 200 OK")]),
    alone("NUL in a value", BYTES, &[(b":status", b"200"), (b"x-odd", b"1\x00")]),
    alone("CR LF in a name", BYTES, &[(b":status", b"200"), (b"x-odd: 1\r\ny", b"1")]),
    alone("a name in capitals", BYTES, &[(b":status", b"200"), (b"X-Odd", b"1")]),
    alone("no :status", PSEUDO, &[(b"x-odd", b"1")]),
    alone("a :status that is no number", PSEUDO, &[(b":status", b"2x0"), (b"x-odd", b"1")]),
    alone("CR LF in :status", PSEUDO, &[(b":status", b"200 OK\r\nx: y"), (b"x-odd", b"1")]),
    alone("two :statuses", PSEUDO, &[(b":status", b"200"), (b":status", b"200"), (b"x-odd", b"1")]),
    alone("101", "RFC 9113 §8.6", &[(b":status", b"101"), (b"x-odd", b"1")]),
    alone("a pseudo field of requests", PSEUDO, &[(b":status", b"200"), (b":path", b"/"), (b"x-odd", b"1")]),
    alone(":status behind a field", PSEUDO, &[(b"x-odd", b"1"), (b":status", b"200")]),
    trailed("a pseudo field among the trailers", PSEUDO, &[(b":status", b"200")], Cut),
    trailed("CR LF in a trailer", BYTES, &[(b"x", b"a\r\nb")], Cut),
    trailed(
        "a length among the trailers",
        "RFC 9110 §6.5.1",
        &[(b"content-length", b"9")],
        Passed(&["200 odd"]),
    ),
    with("as it should be", "RFC 9113 §8.1", OK, b"odd", Passed(&["200 odd"])),
];
