//! Requests over HTTP/2, as they would be turned into HTTP/1 (downgraded) by who doesn't look.

use super::Fate::{Cut, Passed, Refused};
use super::{Fate, Field, Stream};

/// The four pseudo fields, and more.
macro_rules! head {
    ($method:ident $(, $name:literal = $value:literal)*) => {
        &[
            (b":method", stringify!($method).as_bytes()), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/odd"),
            $(($name, $value)),*
        ]
    };
}
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
    Stream { what, rule, head: POST, body: Some(b"hello"), trailers: Some(trailers), fate }
}

const POST: &[Field] = head!(POST);

const LENGTH: &str = "RFC 9113 §8.1.1";
const HOP: &str = "RFC 9113 §8.2.2";
const BYTES: &str = "RFC 9113 §8.2.1";
const PSEUDO: &str = "RFC 9113 §8.3";
const OF_REQUEST: &str = "RFC 9113 §8.3.1";

/// All of them.
pub const STREAMS: &[Stream] = &[
    // H2.CL
    with(
        "H2.CL: a length of zero and a body",
        LENGTH,
        head!(POST, b"content-length" = b"0"),
        b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    with(
        "H2.CL: a length shorter than the body",
        LENGTH,
        head!(POST, b"content-length" = b"1"),
        b"xGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    with(
        "H2.CL: a length longer than the body",
        LENGTH,
        head!(POST, b"content-length" = b"99"),
        b"x",
        Refused,
    ),
    alone("H2.CL: a length and no body", LENGTH, head!(POST, b"content-length" = b"1")),
    with(
        "two lengths that differ",
        LENGTH,
        head!(POST, b"content-length" = b"1", b"content-length" = b"2"),
        b"x",
        Refused,
    ),
    with(
        "two lengths that agree",
        LENGTH,
        head!(POST, b"content-length" = b"1", b"content-length" = b"1"),
        b"x",
        Refused,
    ),
    with("a length with a sign", "RFC 9110 §8.6", head!(POST, b"content-length" = b"+1"), b"x", Refused),
    with("a list of lengths", "RFC 9110 §8.6", head!(POST, b"content-length" = b"1, 1"), b"x", Refused),
    with("an empty length", "RFC 9110 §8.6", head!(POST, b"content-length" = b""), b"x", Refused),
    with(
        "a length with an underscore",
        "CGI (RFC 3875 §4.1.18)",
        head!(POST, b"content_length" = b"1"),
        b"x",
        Refused,
    ),
    with(
        "a length as it should be",
        LENGTH,
        head!(POST, b"content-length" = b"5"),
        b"hello",
        Passed(&["POST /odd hello"]),
    ),
    with(
        "a body that looks like a request",
        LENGTH,
        head!(GET),
        b"GET /smuggled HTTP/1.1\r\nx: a",
        Passed(&["GET /odd GET /smuggled HTTP/1.1\r\nx: a"]),
    ),
    // H2.TE
    with(
        "H2.TE: a coding",
        HOP,
        head!(POST, b"transfer-encoding" = b"chunked"),
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        Refused,
    ),
    with(
        "H2.TE: a coding with an underscore",
        "CGI (RFC 3875 §4.1.18)",
        head!(POST, b"transfer_encoding" = b"chunked"),
        b"0\r\n\r\n",
        Refused,
    ),
    alone("TE that asks for a coding", HOP, head!(GET, b"te" = b"chunked")),
    alone("TE that asks for trailers and a coding", HOP, head!(GET, b"te" = b"trailers, chunked")),
    alone("Connection", HOP, head!(GET, b"connection" = b"close")),
    alone("Connection that names a field", HOP, head!(GET, b"connection" = b"content-length")),
    alone("Keep-Alive", HOP, head!(GET, b"keep-alive" = b"1")),
    alone("Proxy-Connection", HOP, head!(GET, b"proxy-connection" = b"close")),
    alone("Upgrade", HOP, head!(GET, b"upgrade" = b"h2c")),
    // Line ends and the like
    alone("CR LF in a value", BYTES, head!(GET, b"x" = b"a\r\ntransfer-encoding: chunked")),
    alone("LF in a value", BYTES, head!(GET, b"x" = b"a\ntransfer-encoding: chunked")),
    alone("CR in a value", BYTES, head!(GET, b"x" = b"a\rb")),
    alone("NUL in a value", BYTES, head!(GET, b"x" = b"a\0b")),
    alone("CR LF in a name", BYTES, head!(GET, b"x: a\r\ntransfer-encoding" = b"chunked")),
    alone("LF in a name", BYTES, head!(GET, b"x\ny" = b"a")),
    alone("a colon in a name", BYTES, head!(GET, b"transfer-encoding: chunked" = b"a")),
    alone("a blank in a name", BYTES, head!(GET, b"x y" = b"a")),
    alone("a blank behind a name", BYTES, head!(GET, b"transfer-encoding " = b"chunked")),
    alone("a name in capitals", BYTES, head!(GET, b"Transfer-Encoding" = b"chunked")),
    alone("a field without a name", BYTES, head!(GET, b"" = b"a")),
    // Pseudo fields
    alone(
        "CR LF in :path",
        OF_REQUEST,
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/odd HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"),
        ],
    ),
    alone(
        "a version in :path",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/odd HTTP/1.1")],
    ),
    alone(
        "an empty :path",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"")],
    ),
    alone(
        ":path without a slash",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"odd")],
    ),
    alone(
        ":path with a scheme",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"http://b/odd")],
    ),
    alone("no :path", OF_REQUEST, &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a")]),
    alone("two :paths", PSEUDO, head!(GET, b":path" = b"/smuggled")),
    alone(
        "CR LF in :method",
        OF_REQUEST,
        &[
            (b":method", b"GET /smuggled HTTP/1.1\r\nx: "),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/odd"),
        ],
    ),
    alone(
        "a blank in :method",
        OF_REQUEST,
        &[(b":method", b"GET /smuggled"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/odd")],
    ),
    alone(
        "an empty :method",
        OF_REQUEST,
        &[(b":method", b""), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/odd")],
    ),
    alone("two :methods", PSEUDO, head!(GET, b":method" = b"POST")),
    alone(
        "CR LF in :authority",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a\r\nx: b"), (b":path", b"/odd")],
    ),
    alone(
        "a user in :authority",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"b@a"), (b":path", b"/odd")],
    ),
    alone(
        "a path in :authority",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a/smuggled"), (b":path", b"/odd")],
    ),
    alone(
        "a blank in :authority",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a b"), (b":path", b"/odd")],
    ),
    alone("Host says otherwise", OF_REQUEST, head!(GET, b"host" = b"b")),
    alone("two Hosts", OF_REQUEST, head!(GET, b"host" = b"a", b"host" = b"a")),
    alone(
        "neither :authority nor Host",
        OF_REQUEST,
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/odd")],
    ),
    alone(
        "CR LF in :scheme",
        OF_REQUEST,
        &[
            (b":method", b"GET"),
            (b":scheme", b"http://b/smuggled HTTP/1.1\r\nx: "),
            (b":authority", b"a"),
            (b":path", b"/odd"),
        ],
    ),
    alone("no :scheme", OF_REQUEST, &[(b":method", b"GET"), (b":authority", b"a"), (b":path", b"/odd")]),
    alone(
        "a pseudo field behind a field",
        PSEUDO,
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b"x", b"a"),
            (b":path", b"/odd"),
        ],
    ),
    alone("a pseudo field that isn't known", PSEUDO, head!(GET, b":odd" = b"a")),
    alone("a pseudo field of responses", PSEUDO, head!(GET, b":status" = b"200")),
    alone("a pseudo field with CR LF in its name", PSEUDO, head!(GET, b":x\r\ny" = b"a")),
    alone(
        "CONNECT with a :path",
        "RFC 9113 §8.5",
        &[(b":method", b"CONNECT"), (b":scheme", b"http"), (b":authority", b"a:80"), (b":path", b"/odd")],
    ),
    alone(":protocol without CONNECT", "RFC 8441 §4", head!(GET, b":protocol" = b"websocket")),
    alone("CR LF in :protocol", "RFC 8441 §4", head!(CONNECT, b":protocol" = b"websocket\r\nx: a")),
    // Trailers
    trailed(
        "a length among the trailers",
        "RFC 9110 §6.5.1",
        &[(b"content-length", b"28")],
        Passed(&["POST /odd hello"]),
    ),
    trailed("a coding among the trailers", HOP, &[(b"transfer-encoding", b"chunked")], Cut),
    trailed("a pseudo field among the trailers", PSEUDO, &[(b":path", b"/smuggled")], Cut),
    trailed("CR LF in a trailer", BYTES, &[(b"x", b"a\r\n\r\nGET /smuggled HTTP/1.1")], Cut),
    trailed(
        "a trailer that may be one",
        "RFC 9113 §8.1",
        &[(b"checksum", b"1")],
        Passed(&["POST /odd hello"]),
    ),
];
