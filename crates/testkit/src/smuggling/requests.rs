//! Requests over HTTP/1.

use super::{Case, Group, passed, refused};

/// All of them.
pub const REQUESTS: &[Group] = &[
    Group { title: "Two lengths", cases: LENGTHS },
    Group { title: "Transfer codings", cases: CODINGS },
    Group { title: "Content-Length", cases: CONTENT_LENGTH },
    Group { title: "Bodies where few expect one (CL.0, 0.CL)", cases: NO_BODY },
    Group { title: "Chunks", cases: CHUNKS },
    Group { title: "Trailers", cases: TRAILERS },
    Group { title: "Line ends and field lines", cases: LINES },
    Group { title: "Hosts", cases: HOSTS },
    Group { title: "The request line", cases: REQUEST_LINE },
    Group { title: "Fields of one hop, Expect and Upgrade", cases: HOPS },
];

const TWO: &str = "RFC 9112 §6.3";
const LENGTHS: &[Case] = &[
    refused(
        "CL.TE: the length comes first",
        TWO,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 37\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nx: ",
    ),
    refused(
        "TE.CL: the coding comes first",
        TWO,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n27\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\nx: abc\r\n0\r\n\r\n",
    ),
    refused(
        "a length of zero and a coding",
        TWO,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    refused(
        "two lengths that differ",
        TWO,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a",
    ),
    refused(
        "two lengths that agree",
        TWO,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    ),
    refused("a list of lengths that differ", TWO, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 28\r\n\r\nx"),
    refused("a list of lengths that agree", TWO, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx"),
    refused(
        "a length beside one with an underscore",
        "CGI (RFC 3875 §4.1.18) can't tell them apart",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent_length: 28\r\n\r\nx",
    ),
];

const CODING: &str = "RFC 9112 §6.1";
const CODINGS: &[Case] = &[
    refused(
        "TE.TE: a second line with another coding",
        CODING,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
    ),
    refused(
        "TE.TE: chunked twice in two lines",
        "RFC 9112 §7.1",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    refused(
        "TE.TE: chunked twice in one line",
        "RFC 9112 §7.1",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    refused("a coding before chunked", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    refused("a coding after chunked", TWO, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    refused("identity, which is no coding any more", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n"),
    refused("chunked and identity", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    refused("a coding that isn't known", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    refused("no coding at all", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n"),
    refused("an empty member of the list", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    refused("chunked with a parameter", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    refused("chunked in quotes", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    refused("a vertical tab before chunked", "RFC 9110 §5.5", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    refused("a byte above ASCII after chunked", CODING, b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\xa0\r\n\r\n0\r\n\r\n"),
    refused("a blank before the colon", "RFC 9112 §5.1", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
    refused("a tab before the colon", "RFC 9112 §5.1", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    refused("a vertical tab before the colon", "RFC 9110 §5.1", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding\x0b: chunked\r\n\r\n0\r\n\r\n"),
    refused("folded away", "RFC 9112 §5.2", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    refused("behind a bare LF", "RFC 9112 §2.2", b"POST /odd HTTP/1.1\r\nhost: a\r\nx: a\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("behind a bare CR", "RFC 9112 §2.2", b"POST /odd HTTP/1.1\r\nhost: a\r\nx: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("with an underscore", "CGI (RFC 3875 §4.1.18)", b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer_encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("in HTTP/1.0", CODING, b"POST /odd HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    passed(
        "blanks around, capitals within",
        "RFC 9110 §5.6.3",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\t ChunKed \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        &["POST /odd hello"],
    ),
];

const LENGTH: &str = "RFC 9110 §8.6";
const CONTENT_LENGTH: &[Case] = &[
    refused("a sign", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx"),
    refused("less than nothing", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\nx"),
    refused("hexadecimal", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\nx"),
    refused("a blank within", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1 1\r\n\r\nx"),
    refused("an underscore within", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1_0\r\n\r\nx"),
    refused("a fraction", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 1.0\r\n\r\nx"),
    refused("nothing", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n"),
    refused("in quotes", LENGTH, b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: \"1\"\r\n\r\nx"),
    refused(
        "digits of another script",
        LENGTH,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: \xd9\xa1\r\n\r\nx",
    ),
    refused(
        "2^63, where sums overflow",
        LENGTH,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775808\r\n\r\nx",
    ),
    refused(
        "2^64 + 1, which wraps around to 1",
        LENGTH,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551617\r\n\r\nx",
    ),
    refused(
        "a vertical tab before it",
        "RFC 9110 §5.5",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: \x0b1\r\n\r\nx",
    ),
    refused(
        "a blank before the colon",
        "RFC 9112 §5.1",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\nx",
    ),
    refused(
        "folded away",
        "RFC 9112 §5.2",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n 1\r\n\r\nx",
    ),
    passed(
        "zeros in front",
        LENGTH,
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 005\r\n\r\nhello",
        &["POST /odd hello"],
    ),
];

const SMUGGLED_BODY: &str = "GET /smuggled HTTP/1.1\r\nx: a";
const ANY_METHOD: &str = "RFC 9110 §6.4.1: any method may have a body";
const NO_BODY: &[Case] = &[
    passed(
        "CL.0: GET with a length",
        ANY_METHOD,
        b"GET /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a",
        &["GET /odd GET /smuggled HTTP/1.1\r\nx: a"],
    ),
    passed(
        "GET in chunks",
        ANY_METHOD,
        b"GET /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1c\r\nGET /smuggled HTTP/1.1\r\nx: a\r\n0\r\n\r\n",
        &["GET /odd GET /smuggled HTTP/1.1\r\nx: a"],
    ),
    passed(
        "OPTIONS with a length",
        ANY_METHOD,
        b"OPTIONS /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a",
        &["OPTIONS /odd GET /smuggled HTTP/1.1\r\nx: a"],
    ),
    passed(
        "POST without a length: what follows is another request",
        "RFC 9112 §6.3",
        b"POST /odd HTTP/1.1\r\nhost: a\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n",
        &["POST /odd ", "GET /second "],
    ),
    passed(
        "0.CL: a length and a whole body",
        "RFC 9112 §6.3",
        b"POST /odd HTTP/1.1\r\nhost: a\r\ncontent-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a",
        &["POST /odd GET /smuggled HTTP/1.1\r\nx: a"],
    ),
    refused("0.CL: the length's name is folded onto the next line", "RFC 9112 §5.2", b"GET /odd HTTP/1.1\r\nhost: a\r\n content-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a"),
    refused("0.CL: a NUL in the length's name", "RFC 9110 §5.1", b"GET /odd HTTP/1.1\r\nhost: a\r\ncontent-length\0: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a"),
    refused("TE.0: OPTIONS with a coding that isn't chunked", CODING, b"OPTIONS /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunk\r\n\r\n1c\r\nGET /smuggled HTTP/1.1\r\nx: a\r\n0\r\n\r\n"),
    refused("CONNECT with a length", "RFC 9110 §9.3.6", b"CONNECT odd:80 HTTP/1.1\r\nhost: odd:80\r\ncontent-length: 1\r\n\r\nx"),
    refused("CONNECT in chunks", "RFC 9110 §9.3.6", b"CONNECT odd:80 HTTP/1.1\r\nhost: odd:80\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
];

const CHUNK: &str = "RFC 9112 §7.1";
const EXTENSION: &str = "RFC 9112 §7.1.1";
macro_rules! chunked {
    ($rest:literal) => {
        concat!("POST /odd HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", $rest).as_bytes()
    };
}
const CHUNKS: &[Case] = &[
    refused("a size with a sign", CHUNK, chunked!("+1\r\nx\r\n0\r\n\r\n")),
    refused("a size below zero", CHUNK, chunked!("-1\r\nx\r\n0\r\n\r\n")),
    refused("a size with 0x", CHUNK, chunked!("0x1\r\nx\r\n0\r\n\r\n")),
    refused("a size with an underscore", CHUNK, chunked!("1_0\r\nx\r\n0\r\n\r\n")),
    refused("a blank before the size", CHUNK, chunked!(" 1\r\nx\r\n0\r\n\r\n")),
    refused("a blank after the size", CHUNK, chunked!("1 \r\nx\r\n0\r\n\r\n")),
    refused("no size", CHUNK, chunked!("\r\nx\r\n0\r\n\r\n")),
    refused("an extension without a size", CHUNK, chunked!(";a=b\r\nx\r\n0\r\n\r\n")),
    refused("a size of letters", CHUNK, chunked!("g\r\nx\r\n0\r\n\r\n")),
    refused(
        "2^64, which wraps around to 0",
        CHUNK,
        chunked!("10000000000000000\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ),
    refused("2^64 - 1", CHUNK, chunked!("ffffffffffffffff\r\nx\r\n0\r\n\r\n")),
    refused("20 digits, most of them zeros", CHUNK, chunked!("00000000000000000001\r\nx\r\n0\r\n\r\n")),
    refused("a bare LF after the size", "RFC 9112 §2.2, §7.1", chunked!("1\nx\r\n0\r\n\r\n")),
    refused("a bare CR after the size", CHUNK, chunked!("1\rx\r\n0\r\n\r\n")),
    refused("two CRs after the size", CHUNK, chunked!("1\r\r\nx\r\n0\r\n\r\n")),
    refused("more data than the size says", CHUNK, chunked!("1\r\nxy\r\n0\r\n\r\n")),
    refused(
        "less data than the size says",
        CHUNK,
        chunked!("3\r\nx\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ),
    refused("a bare LF after the data", CHUNK, chunked!("1\r\nx\n0\r\n\r\n")),
    refused("a bare CR after the data", CHUNK, chunked!("1\r\nx\r0\r\n\r\n")),
    refused("no line end after the data", CHUNK, chunked!("1\r\nx0\r\n\r\n")),
    refused("a bare LF at the very end", CHUNK, chunked!("0\r\n\n")),
    refused("a wrong chunk behind a right one", CHUNK, chunked!("1\r\nx\r\n+1\r\ny\r\n0\r\n\r\n")),
    passed("an extension", EXTENSION, chunked!("5;a=b\r\nhello\r\n0\r\n\r\n"), &["POST /odd hello"]),
    passed(
        "an extension in quotes",
        EXTENSION,
        chunked!("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
        &["POST /odd hello"],
    ),
    passed(
        "an extension of the last chunk",
        EXTENSION,
        chunked!("5\r\nhello\r\n0;a=b\r\n\r\n"),
        &["POST /odd hello"],
    ),
    passed("an empty extension", EXTENSION, chunked!("5;\r\nhello\r\n0\r\n\r\n"), &["POST /odd hello"]),
    refused("blanks before an extension", EXTENSION, chunked!("5 ;a=b\r\nhello\r\n0\r\n\r\n")),
    refused(
        "TERM.EXT: an extension ends in a bare LF",
        EXTENSION,
        chunked!("2;\nxx\r\n2a\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n0\r\n\r\n"),
    ),
    refused(
        "EXT.TERM: a bare LF in an extension that goes on",
        EXTENSION,
        chunked!("2;a\nb\r\nxx\r\n0\r\n\r\n"),
    ),
    refused("an extension ends in a bare CR", EXTENSION, chunked!("2;a\rxx\r\n0\r\n\r\n")),
    refused("a line end in a quoted extension", EXTENSION, chunked!("2;a=\"\r\n\"\r\nxx\r\n0\r\n\r\n")),
    refused(
        "TERM.SPILL: a line end of two other bytes after the data",
        CHUNK,
        chunked!("2\r\nxxXX0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ),
    refused("a NUL in an extension", EXTENSION, chunked!("2;a=\0\r\nxx\r\n0\r\n\r\n")),
    refused("an extension of 1,000 bytes", EXTENSION, chunked!("2;@KILO\r\nxx\r\n0\r\n\r\n")),
];

const TRAILER: &str = "RFC 9110 §6.5.1";
const TRAILERS: &[Case] = &[
    refused("a length", TRAILER, chunked!("1\r\nx\r\n0\r\ncontent-length: 28\r\n\r\n")),
    refused("a coding", TRAILER, chunked!("1\r\nx\r\n0\r\ntransfer-encoding: chunked\r\n\r\n")),
    refused("a host", TRAILER, chunked!("1\r\nx\r\n0\r\nhost: b\r\n\r\n")),
    refused("options of the connection", TRAILER, chunked!("1\r\nx\r\n0\r\nconnection: close\r\n\r\n")),
    refused("who is asking", TRAILER, chunked!("1\r\nx\r\n0\r\nauthorization: b\r\n\r\n")),
    refused(
        "where the request comes from",
        TRAILER,
        chunked!("1\r\nx\r\n0\r\nx-forwarded-for: 10.0.0.1\r\n\r\n"),
    ),
    refused("a bare LF", "RFC 9112 §2.2", chunked!("1\r\nx\r\n0\r\na: b\n\r\n")),
    refused("a fold", "RFC 9112 §5.2", chunked!("1\r\nx\r\n0\r\na: b\r\n c\r\n\r\n")),
    refused("a blank before the colon", "RFC 9112 §5.1", chunked!("1\r\nx\r\n0\r\na : b\r\n\r\n")),
    refused(
        "a line that is no field",
        "RFC 9112 §7.1.2",
        chunked!("1\r\nx\r\n0\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ),
    passed(
        "a field that may be one",
        "RFC 9112 §7.1.2",
        chunked!("5\r\nhello\r\n0\r\nchecksum: 1\r\n\r\n"),
        &["POST /odd hello"],
    ),
];

const LINE: &str = "RFC 9112 §2.2";
const LINES: &[Case] = &[
    refused("every line ends in a bare LF", LINE, b"GET /odd HTTP/1.1\nhost: a\n\n"),
    refused("the request line ends in a bare LF", LINE, b"GET /odd HTTP/1.1\nhost: a\r\n\r\n"),
    refused("a field ends in a bare LF", LINE, b"GET /odd HTTP/1.1\r\nhost: a\nx: b\r\n\r\n"),
    refused(
        "the head ends in a bare LF",
        LINE,
        b"GET /odd HTTP/1.1\r\nhost: a\r\n\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    refused("the head ends in LF CR LF", LINE, b"GET /odd HTTP/1.1\r\nhost: a\n\r\n"),
    refused("a bare CR in a value", LINE, b"GET /odd HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n"),
    refused(
        "a bare CR ends the head",
        LINE,
        b"GET /odd HTTP/1.1\r\nhost: a\r\n\rGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    refused("two CRs at a line's end", LINE, b"GET /odd HTTP/1.1\r\nhost: a\r\r\n\r\n"),
    refused("a NUL in a value", "RFC 9110 §5.5", b"GET /odd HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"),
    refused("a NUL in a name", "RFC 9110 §5.1", b"GET /odd HTTP/1.1\r\nhost: a\r\nx\0: a\r\n\r\n"),
    refused("DEL in a value", "RFC 9110 §5.5", b"GET /odd HTTP/1.1\r\nhost: a\r\nx: \x7f\r\n\r\n"),
    refused(
        "a byte above ASCII in a name",
        "RFC 9110 §5.1",
        b"GET /odd HTTP/1.1\r\nhost: a\r\nx\xff: a\r\n\r\n",
    ),
    refused("a fold", "RFC 9112 §5.2", b"GET /odd HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"),
    refused("a fold by a tab", "RFC 9112 §5.2", b"GET /odd HTTP/1.1\r\nhost: a\r\nx: a\r\n\tb\r\n\r\n"),
    refused("a blank before the first field", LINE, b"GET /odd HTTP/1.1\r\n host: a\r\n\r\n"),
    refused("a blank before the colon", "RFC 9112 §5.1", b"GET /odd HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n"),
    refused("a line without a colon", "RFC 9112 §5", b"GET /odd HTTP/1.1\r\nhost: a\r\nx\r\n\r\n"),
    refused("a field without a name", "RFC 9110 §5.1", b"GET /odd HTTP/1.1\r\nhost: a\r\n: a\r\n\r\n"),
    refused("a blank in a name", "RFC 9110 §5.1", b"GET /odd HTTP/1.1\r\nhost: a\r\nx y: a\r\n\r\n"),
    refused("too many fields", "RFC 9112 §3", b"GET /odd HTTP/1.1\r\nhost: a\r\n@MANY\r\n"),
    refused("a head that is too large", "RFC 9112 §3", b"GET /odd HTTP/1.1\r\nhost: a\r\nx: @LONG\r\n\r\n"),
    passed(
        "one empty line before the request",
        LINE,
        b"\r\nGET /odd HTTP/1.1\r\nhost: a\r\n\r\n",
        &["GET /odd "],
    ),
    refused("two empty lines before the request", LINE, b"\r\n\r\nGET /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a bare LF before the request", LINE, b"\nGET /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a blank before the request", LINE, b" GET /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
];

const HOST: &str = "RFC 9112 §3.2";
const HOSTS: &[Case] = &[
    refused("none", HOST, b"GET /odd HTTP/1.1\r\n\r\n"),
    refused("two that differ", HOST, b"GET /odd HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
    refused("two that agree", HOST, b"GET /odd HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
    refused("a list", HOST, b"GET /odd HTTP/1.1\r\nhost: a, b\r\n\r\n"),
    refused("nothing", HOST, b"GET /odd HTTP/1.1\r\nhost:\r\n\r\n"),
    refused("a blank within", HOST, b"GET /odd HTTP/1.1\r\nhost: a b\r\n\r\n"),
    refused("a path behind it", HOST, b"GET /odd HTTP/1.1\r\nhost: a/smuggled\r\n\r\n"),
    refused("a user before it", HOST, b"GET /odd HTTP/1.1\r\nhost: b@a\r\n\r\n"),
    refused("two ports", HOST, b"GET /odd HTTP/1.1\r\nhost: a:80:81\r\n\r\n"),
    refused("a port that is no number", HOST, b"GET /odd HTTP/1.1\r\nhost: a:b\r\n\r\n"),
    refused("a backslash", HOST, b"GET /odd HTTP/1.1\r\nhost: a\\b\r\n\r\n"),
    refused("an encoded byte", HOST, b"GET /odd HTTP/1.1\r\nhost: a%00b\r\n\r\n"),
    refused("the target names another", "RFC 9112 §3.2.2", b"GET http://b/odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("the target names a user", "RFC 9110 §4.2.4", b"GET http://b@a/odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("the target names none", "RFC 9110 §4.2.1", b"GET http:///odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    passed(
        "the target names the same",
        "RFC 9112 §3.2.2",
        b"GET http://A/odd HTTP/1.1\r\nhost: a\r\n\r\n",
        &["GET /odd "],
    ),
];

const START: &str = "RFC 9112 §3";
const TARGET: &str = "RFC 9112 §3.2";
const REQUEST_LINE: &[Case] = &[
    refused("a method that isn't a token", "RFC 9110 §9.1", b"G(T /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a NUL in the method", "RFC 9110 §9.1", b"G\0T /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused(
        "a method of 40 letters",
        START,
        b"AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD /odd HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    refused("two blanks before the target", START, b"GET  /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a tab before the target", START, b"GET\t/odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("two blanks before the version", START, b"GET /odd  HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a blank after the version", START, b"GET /odd HTTP/1.1 \r\nhost: a\r\n\r\n"),
    refused("a blank in the target", TARGET, b"GET /odd HTTP/1.1 /b HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a fragment", TARGET, b"GET /odd#b HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a byte above ASCII in the target", TARGET, b"GET /odd\xff HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a bare CR in the target", LINE, b"GET /odd\r HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("a target without a slash", TARGET, b"GET odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("an asterisk with GET", "RFC 9112 §3.2.4", b"GET * HTTP/1.1\r\nhost: odd\r\n\r\n"),
    refused("another scheme", TARGET, b"GET ftp://a/odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("CONNECT with a path", "RFC 9112 §3.2.3", b"CONNECT /odd HTTP/1.1\r\nhost: a\r\n\r\n"),
    refused("no version: HTTP/0.9", START, b"GET /odd\r\n\r\n"),
    refused("HTTP/0.9 by name", "RFC 9110 §2.5", b"GET /odd HTTP/0.9\r\nhost: a\r\n\r\n"),
    refused("HTTP/1.2", "RFC 9110 §2.5", b"GET /odd HTTP/1.2\r\nhost: a\r\n\r\n"),
    refused("HTTP/1.10", "RFC 9112 §2.3", b"GET /odd HTTP/1.10\r\nhost: a\r\n\r\n"),
    refused("HTTP/2.0", "RFC 9113 §3.3", b"GET /odd HTTP/2.0\r\nhost: a\r\n\r\n"),
    refused("the version in small letters", "RFC 9112 §2.3", b"GET /odd http/1.1\r\nhost: a\r\n\r\n"),
    refused("a version of another protocol", "RFC 9112 §2.3", b"GET /odd ICAP/1.1\r\nhost: a\r\n\r\n"),
    refused(
        "HTTP/2's preface behind a request line",
        "RFC 9113 §3.4",
        b"PRI /odd HTTP/1.1\r\nhost: a\r\n\r\nSM\r\n\r\n",
    ),
];

const HOP: &str = "RFC 9110 §7.6.1";
const HOPS: &[Case] = &[
    refused("Connection names Content-Length", HOP, b"POST /odd HTTP/1.1\r\nhost: a\r\nconnection: content-length\r\ncontent-length: 28\r\n\r\nGET /smuggled HTTP/1.1\r\nx: a"),
    refused("Connection names Transfer-Encoding", HOP, b"POST /odd HTTP/1.1\r\nhost: a\r\nconnection: close, transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("Connection names Host", HOP, b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: host\r\n\r\n"),
    refused("Connection names Authorization", HOP, b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: authorization\r\nauthorization: b\r\n\r\n"),
    refused("Connection names X-Forwarded-For", HOP, b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for\r\nx-forwarded-for: b\r\n\r\n"),
    refused("another expectation", "RFC 9110 §10.1.1", b"POST /odd HTTP/1.1\r\nhost: a\r\nexpect: y 100-continue\r\ncontent-length: 1\r\n\r\nx"),
    refused("two expectations", "RFC 9110 §10.1.1", b"POST /odd HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx"),
    passed("an expectation without a body", "RFC 9110 §10.1.1", b"GET /odd HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n", &["GET /odd "]),
    passed("an upgrade to h2c", "RFC 9113 §3.1", b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", &["GET /odd "]),
    passed("an upgrade to H2C with a body", "RFC 9113 §3.1", b"POST /odd HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: H2C\r\ncontent-length: 5\r\n\r\nhello", &["POST /odd hello"]),
    passed("an upgrade that Connection doesn't name", "RFC 9110 §7.8", b"GET /odd HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n", &["GET /odd "]),
    Case {
        what: "an upgrade that isn't granted, with a request behind it",
        rule: "RFC 9110 §7.8",
        sent: b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 777\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n",
        fate: super::Fate::Passed(&["GET /odd ", "GET /second "]),
        http1_only: true,
    },
    passed("fields of one hop", HOP, b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: x-hop, keep-alive\r\nkeep-alive: 1\r\nproxy-connection: close\r\nx-hop: 1\r\n\r\n", &["GET /odd "]),
];

const _: () = assert!(SMUGGLED_BODY.len() == 28, "the length that the requests announce");
