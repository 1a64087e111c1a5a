//! Tables of heads: what is accepted and as what, what is refused and why.

use leno_model::request::RequestView;
use proptest::prelude::*;

use super::*;
use crate::head::{Connect, Framing, Version};

fn parse_request(text: &str) -> Parsed<ParsedRequest> {
    request(text.as_bytes(), Limits::default())
}

#[track_caller]
fn accepted(text: &str) -> ParsedRequest {
    match parse_request(text) {
        Parsed::Complete(parsed, consumed) => {
            assert_eq!(consumed, text.len(), "{text:?}");
            parsed
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refusal<T>(parsed: Parsed<T>) -> Option<Refusal> {
    match parsed {
        Parsed::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

/// Requests and why each is refused.
#[track_caller]
fn refused(table: &[(&str, Refusal)]) {
    for (text, why) in table {
        assert_eq!(refusal(parse_request(text)), Some(*why), "{text:?}");
    }
}

#[test]
fn lines_that_are_refused() {
    use Refusal as R;
    refused(&[
        // Lines.
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", R::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", R::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", R::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", R::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", R::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX", R::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", R::Control),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", R::Control),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", R::Control),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", R::Fold),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tX: b\r\n\r\n", R::Fold),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", R::Fold),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", R::BlankBeforeColon),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", R::BlankBeforeColon),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", R::FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", R::BlankBeforeColon),
        ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", R::FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", R::FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", R::FieldName),
        ("GET / HTTP/1.1\r\nHost: a\r\nÜ: b\r\n\r\n", R::FieldName),
        // Request lines.
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("GET /\r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET\r\n\r\n", R::RequestLine),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/1.1a\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/1.01\r\nHost: a\r\n\r\n", R::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", R::Version),
        ("\x16\x03\x01\x02\0\x01", R::Control),
    ]);
}

#[test]
fn targets_and_hosts_that_are_refused() {
    use Refusal as R;
    refused(&[
        // Targets.
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET /ü HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", R::Control),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
        ("CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n", R::Target),
        ("CONNECT a:x HTTP/1.1\r\nHost: a:x\r\n\r\n", R::Target),
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n", R::HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n", R::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", R::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n", R::HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", R::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", R::HostInvalid),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", R::HostMismatch),
        ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", R::HostMismatch),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", R::HostInvalid),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", R::HostInvalid),
        ("CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", R::HostMismatch),
    ]);
}

#[test]
fn framing_and_connection_fields_that_are_refused() {
    use Refusal as R;
    refused(&[
        // Lengths and codings.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,1\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", R::LengthInvalid),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", R::LengthRepeated),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n", R::LengthRepeated),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n", R::FieldName),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", R::FieldName),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            R::LengthAndEncoding,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            R::LengthAndEncoding,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", R::Encoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", R::Encoding),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            R::Encoding,
        ),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", R::EncodingInHttp10),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n", R::ConnectBody),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", R::ConnectBody),
        // Connection and Expect.
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", R::ConnectionOption),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n", R::ConnectionOption),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n\r\n", R::ConnectionOption),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: authorization\r\n\r\n", R::ConnectionOption),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-maybe\r\n\r\n", R::Expectation),
    ]);
}

#[test]
fn targets_and_hosts_that_are_accepted() {
    for (line, host, target, authority) in [
        ("GET / HTTP/1.1", "a", "/", "a"),
        ("GET /a/b?c=d&e HTTP/1.1", "a.b:8080", "/a/b?c=d&e", "a.b:8080"),
        ("GET /?? HTTP/1.1", "[::1]:80", "/??", "[::1]:80"),
        ("OPTIONS * HTTP/1.1", "a", "*", "a"),
        ("OPTIONS http://a HTTP/1.1", "a", "*", "a"),
        ("GET http://a HTTP/1.1", "a", "/", "a"),
        ("GET HTTP://A/x?y HTTP/1.1", "a", "/x?y", "A"),
        ("GET https://a?y HTTP/1.1", "a", "/?y", "a"),
        ("get //a\\b|{}^`<>\" HTTP/1.1", "a_b", "//a\\b|{}^`<>\"", "a_b"),
        ("CONNECT a:443 HTTP/1.1", "A:443", "", "a:443"),
        ("CONNECT [::1]:443 HTTP/1.1", "[::1]:443", "", "[::1]:443"),
    ] {
        let head = accepted(&format!("{line}\r\nHost: {host}\r\n\r\n")).head;
        assert_eq!((head.target(), head.authority()), (target, authority), "{line}");
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        assert_eq!((head.path(), head.query()), (path, query), "{line}");
    }
    let head = accepted("GET / HTTP/1.0\r\n\r\n").head;
    assert_eq!((head.authority(), head.version()), ("", Version::Http10));
    let head = accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").head;
    assert_eq!(head.target(), "/", "one empty line may come first");
}

#[test]
fn framing_is_read() {
    for (fields, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("Content-Length: 00012\r\n", Framing::Length(12)),
        ("content-length:\t9223372036854775807 \r\n", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: Chunked\r\n", Framing::Stream),
    ] {
        let head = accepted(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).head;
        assert_eq!(head.framing(), framing, "{fields:?}");
        assert!(head.fields().get("transfer-encoding").is_none());
    }
}

#[test]
fn connection_fields_end_here() {
    let text = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop ,TE\r\nX-Hop: 1\r\nx-HOP: 2\r\n\
                Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers, deflate\r\nX-End: 3  \r\n\
                Upgrade: websocket\r\nHTTP2-Settings: AAM\r\n\r\n";
    let parsed = accepted(text);
    let left: Vec<_> = parsed.head.fields().iter().collect();
    assert_eq!(left, [("X-End", &b"3"[..])]);
    assert!(parsed.head.accepts_trailers() && parsed.persistent);
    assert_eq!(*parsed.head.connect(), Connect::None, "Connection doesn't name Upgrade");
}

#[test]
fn names_mean_the_same_in_any_case() {
    let any_case = |name: &str| {
        let (first, rest) = name.split_at(1);
        let crossed = name.bytes().enumerate().map(|(at, b)| match at % 2 {
            0 => b.to_ascii_lowercase(),
            _ => b.to_ascii_uppercase(),
        });
        let crossed = String::from_utf8(crossed.collect()).unwrap();
        [name.to_lowercase(), name.to_uppercase(), first.to_uppercase() + rest, crossed]
    };
    for (name, value) in [
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("http2-settings", "AAM"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
    ] {
        for name in any_case(name) {
            let head = accepted(&format!("POST / HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n")).head;
            assert_eq!(head.fields().iter().count(), 0, "{name}");
            // A letter more, or another one, and it is a field like any other.
            for other in [format!("{name}x"), format!("x{name}"), format!("x{}", &name[1..])] {
                let head = accepted(&format!("POST / HTTP/1.1\r\nHost: a\r\n{other}: {value}\r\n\r\n")).head;
                assert_eq!(head.fields().iter().count(), 1, "{other}");
            }
        }
    }
    for (name, value, why) in [
        ("host", "a", Refusal::HostRepeated),
        ("expect", "x", Refusal::Expectation),
        ("content-length", "x", Refusal::LengthInvalid),
        ("transfer-encoding", "x", Refusal::Encoding),
        ("content_length", "1", Refusal::FieldName),
        ("transfer_encoding", "chunked", Refusal::FieldName),
    ] {
        for name in any_case(name) {
            refused(&[(&format!("POST / HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"), why)]);
        }
    }
}

#[test]
fn connection_names_so_many_fields_and_no_more() {
    let head = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("x{number}")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\nX0: 1\r\n\r\n", names.join(","))
    };
    let most = limits::CONNECTION_OPTIONS;
    assert_eq!(accepted(&head(most)).head.fields().iter().count(), 0);
    refused(&[(&head(most + 1), Refusal::TooManyFields)]);
}

#[test]
fn persistence_is_read() {
    for (version, fields, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let parsed = accepted(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(parsed.persistent, persistent, "{version} {fields:?}");
    }
}

#[test]
fn upgrades_and_expectations() {
    for (line, fields, connect, expects) in [
        (
            "GET / HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            Connect::Upgrade("websocket".into()),
            false,
        ),
        (
            "GET / HTTP/1.1",
            "Connection: upgrade\r\nUpgrade: a/1, b\r\n",
            Connect::Upgrade("a/1".into()),
            false,
        ),
        ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", Connect::None, false),
        ("GET / HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", Connect::None, false),
        (
            "POST / HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
            Connect::None,
            false,
        ),
        ("POST / HTTP/1.1", "Content-Length: 1\r\nExpect: 100-Continue\r\n", Connect::None, true),
        ("POST / HTTP/1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n", Connect::None, false),
        ("POST / HTTP/1.0", "Content-Length: 1\r\nExpect: 100-continue\r\n", Connect::None, false),
        ("CONNECT a:1 HTTP/1.0", "", Connect::Connect, false),
    ] {
        let host = if line.starts_with("CONNECT") { "a:1" } else { "a" };
        let head = accepted(&format!("{line}\r\nHost: {host}\r\n{fields}\r\n")).head;
        assert_eq!((head.connect(), head.expects_continue()), (&connect, expects), "{line} {fields:?}");
        assert_eq!(head.fields().get("expect").is_some(), expects);
    }
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 64, fields: 3, ..Limits::default() };
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(64));
    assert_eq!(refusal(request(long.as_bytes(), limits)), Some(Refusal::HeadTooLarge));
    let endless = format!("GET /{}", "y".repeat(64));
    assert_eq!(refusal(request(endless.as_bytes(), limits)), Some(Refusal::HeadTooLarge));
    assert_eq!(refusal(response(endless.as_bytes(), Asked::Plain, limits)), Some(Refusal::HeadTooLarge));
    let many = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n";
    assert_eq!(refusal(request(many.as_bytes(), limits)), Some(Refusal::TooManyFields));
    let method = format!("{} / HTTP/1.1\r\n", "M".repeat(25));
    assert_eq!(refusal(parse_request(&method)), Some(Refusal::Method));
    let method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(24));
    assert_eq!(accepted(&method).head.method().len(), 24);
}

#[test]
fn responses_that_are_refused() {
    use Refusal as R;
    for (text, why) in [
        ("HTTP/1.1 200 OK\nA: b\r\n\r\n", R::BareLf),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n", R::BareLf),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", R::Fold),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", R::BlankBeforeColon),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", R::StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", R::StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", R::StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", R::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", R::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", R::StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", R::StatusLine),
        ("ICY 200 OK\r\n\r\n", R::StatusLine),
        ("hello", R::StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", R::Control),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", R::LengthRepeated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", R::LengthAndEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", R::Encoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", R::EncodingInHttp10),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1a\r\n\r\n", R::LengthInvalid),
        ("HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n", R::ConnectionOption),
        ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", R::Switch),
    ] {
        assert_eq!(
            refusal(response(text.as_bytes(), Asked::Plain, Limits::default())),
            Some(why),
            "{text:?}"
        );
    }
}

#[test]
fn response_bodies_are_framed() {
    use Asked as A;
    for (status, fields, asked, body, persistent) in [
        ("200", "Content-Length: 3\r\n", A::Plain, Body::Length(3), true),
        ("200", "Content-Length: 0\r\n", A::Plain, Body::Length(0), true),
        ("200", "Transfer-Encoding: chunked\r\n", A::Plain, Body::Chunked, true),
        ("200", "", A::Plain, Body::UntilClose, false),
        ("200", "Connection: close\r\nContent-Length: 3\r\n", A::Plain, Body::Length(3), false),
        ("200", "Content-Length: 3\r\n", A::Head, Body::None, true),
        ("200", "Transfer-Encoding: chunked\r\n", A::Head, Body::None, true),
        ("204", "", A::Plain, Body::None, true),
        ("204", "Content-Length: 0\r\n", A::Plain, Body::None, true),
        ("204", "Content-Length: 000\r\n", A::Plain, Body::None, true),
        ("304", "Content-Length: 3\r\n", A::Plain, Body::None, true),
        ("100", "", A::Plain, Body::None, true),
        ("103", "Link: x\r\n", A::Upgrade, Body::None, true),
        ("103", "Content-Length: 00\r\n", A::Plain, Body::None, true),
        ("101", "Connection: upgrade\r\nUpgrade: websocket\r\n", A::Upgrade, Body::Tunnel, false),
        ("200", "Content-Length: 3\r\n", A::Upgrade, Body::Length(3), true),
        ("200", "Content-Length: 3\r\n", A::Connect, Body::Tunnel, false),
        ("407", "Content-Length: 3\r\n", A::Connect, Body::Length(3), true),
    ] {
        let text = format!("HTTP/1.1 {status} Fine Enough\r\n{fields}\r\n");
        let Parsed::Complete(parsed, _) = response(text.as_bytes(), asked, Limits::default()) else {
            panic!("{text:?}")
        };
        assert_eq!((parsed.body, parsed.persistent), (body, persistent), "{text:?} {asked:?}");
        let announced = parsed.head.fields().get("content-length").is_some();
        let expected = fields.contains("Content-Length")
            && (matches!(body, Body::Length(_)) || asked == A::Head || status == "304");
        assert_eq!(announced, expected, "{text:?} {asked:?}");
    }
    for text in ["HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"] {
        assert!(
            matches!(response(text.as_bytes(), A::Plain, Limits::default()), Parsed::Complete(..)),
            "{text:?}"
        );
    }
}

#[test]
fn bodies_are_not_announced_where_there_are_none() {
    for status in ["100", "103", "101", "204"] {
        for field in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
            let text = format!("HTTP/1.1 {status} Fine Enough\r\n{field}\r\n\r\n");
            for asked in [Asked::Plain, Asked::Head, Asked::Upgrade] {
                let parsed = response(text.as_bytes(), asked, Limits::default());
                assert!(matches!(parsed, Parsed::Refused(Refusal::BodyAnnounced)), "{text:?} {asked:?}");
            }
        }
    }
}

#[test]
fn trailers_are_read_and_checked() {
    let Parsed::Complete(map, consumed) = trailers(b"Grpc-Status: 0\r\nx: 1\r\n\r\nGET", Limits::default())
    else {
        panic!("well-formed")
    };
    assert_eq!((map.len(), consumed), (2, 24));
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Host",
        "connection",
        "authorization",
        "x-forwarded-for",
        "te",
    ] {
        let text = format!("{name}: 1\r\n\r\n");
        assert_eq!(
            refusal(trailers(text.as_bytes(), Limits::default())),
            Some(Refusal::TrailerField),
            "{name}"
        );
    }
}

/// Every way of cutting these bytes gives the same result as having them at once, and no byte is looked at twice.
#[test]
fn heads_may_arrive_in_any_pieces() {
    for text in [
        "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y \r\nCookie: c\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\n\r\n",
    ] {
        let whole = format!("{:?}", refusal(parse_request(text)));
        for cut in 1..text.len() {
            let first = &text[..cut];
            match parse_request(first) {
                Parsed::NeedMore => {
                    let mut scan = Scan::default();
                    let scanned = scan.is_complete(first.as_bytes(), 1000);
                    let result = match scanned.and_then(|_| scan.is_complete(text.as_bytes(), 1000)) {
                        Err(refusal) => Some(refusal),
                        Ok(complete) => {
                            assert!(complete, "{text:?} cut at {cut}");
                            refusal(parse_request(text))
                        }
                    };
                    assert_eq!(format!("{result:?}"), whole, "{text:?} cut at {cut}");
                }
                Parsed::Refused(refusal) => {
                    assert_eq!(format!("{:?}", Some(refusal)), whole, "{text:?} cut at {cut}")
                }
                Parsed::Complete(..) => panic!("{text:?} complete at {cut}"),
            }
        }
    }
}

fn head_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec![
        &b"GET / HTTP/1.1\r\n"[..],
        b"Host: a\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, x\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\0",
        b"x: y\r\n",
        b"\xff",
    ]);
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>) {
        let _ = request(&bytes, Limits::default());
        let _ = response(&bytes, Asked::Plain, Limits::default());
        let _ = trailers(&bytes, Limits::default());
    }

    /// What is accepted, written and parsed again is the same.
    #[test]
    fn accepted_heads_survive_being_written(bytes in head_bytes()) {
        let Parsed::Complete(parsed, _) = request(&bytes, Limits::default()) else { return Ok(()) };
        let mut out = Vec::new();
        crate::h1::encode::request(&parsed.head, &mut out);
        let Parsed::Complete(again, consumed) = request(&out, Limits::default()) else {
            return Err(TestCaseError::fail(format!("refused: {}", out.escape_ascii())));
        };
        prop_assert_eq!(consumed, out.len());
        prop_assert_eq!(again.head.framing(), parsed.head.framing());
        prop_assert_eq!(again.head.authority(), parsed.head.authority());
        let fields = |head: &crate::head::RequestHead| -> Vec<(String, Vec<u8>)> {
            let mut all: Vec<_> = head.fields().iter().map(|(n, v)| (n.to_lowercase(), v.to_vec())).collect();
            all.sort();
            all
        };
        prop_assert_eq!(fields(&again.head), fields(&parsed.head));
    }
}
