//! How heads are read and edited.

use std::borrow::Cow;

use http::{Method, StatusCode};
use leno_model::request::RequestView;
use proptest::prelude::*;

use super::*;
use crate::h1::encode;
use crate::h1::parse::{Limits, Parsed, request};

fn parsed(text: &str) -> RequestHead {
    match request(text.as_bytes(), Limits::default()) {
        Parsed::Complete(parsed, _) => parsed.head,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn some_fields() -> Fields {
    let lines = [("A", "1"), ("Cookie", "x=1"), ("B", "2"), ("a", "3"), ("cookie", "y=2"), ("C", "4")];
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    parsed(&format!("GET / HTTP/1.1\r\nHost: h\r\n{text}\r\n")).parts.fields
}

fn all(fields: &Fields) -> Vec<String> {
    let mut all: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", name.to_lowercase(), String::from_utf8_lossy(value)))
        .collect();
    all.sort();
    all
}

#[test]
fn fields_are_read() {
    let fields = some_fields();
    assert_eq!(fields.get("a"), Some(&b"1"[..]));
    assert_eq!(fields.get_all("a").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(fields.joined("a").as_deref(), Some(&b"1,3"[..]));
    assert_eq!(fields.joined("cookie").as_deref(), Some(&b"x=1; y=2"[..]));
    assert!(matches!(fields.joined("b"), Some(Cow::Borrowed(b"2"))));
    assert_eq!(fields.get("d").or_else(|| fields.get("host")), None);
    assert_eq!(all(&fields), ["a=1", "a=3", "b=2", "c=4", "cookie=x=1", "cookie=y=2"]);
    assert_eq!(fields.size(), 4 * 6 + 2 * 13);
    let debug = format!("{fields:?}").to_lowercase();
    assert!(debug.contains("cookie") && !debug.contains("x=1"), "values may be secrets: {debug}");
}

#[test]
fn fields_are_edited() {
    let mut fields = some_fields();
    fields.set("a", b"9").expect("set");
    fields.append("e", b"5").expect("appended");
    fields.append("e", b"").expect("appended");
    assert!(fields.remove("cookie") && !fields.remove("cookie"));
    fields.remove_where(|name| name.eq_ignore_ascii_case(b"c"));
    assert_eq!(all(&fields), ["a=9", "b=2", "e=", "e=5"]);
}

#[test]
fn what_could_break_a_message_is_not_set() {
    use InvalidField as I;
    let mut fields = some_fields();
    let before = all(&fields);
    for (name, value, why) in [
        ("", "x", I::Name),
        ("A", "x", I::Name),
        ("a b", "x", I::Name),
        ("a:", "x", I::Name),
        ("ä", "x", I::Name),
        ("a", "x\r\ny: z", I::Value),
        ("a", "x\0", I::Value),
        ("a", "x\n", I::Value),
        ("a", "\u{7f}", I::Value),
        ("a", " x", I::Value),
        ("host", "x", I::Managed),
        (":path", "x", I::Managed),
        ("content-length", "0", I::Managed),
        ("transfer-encoding", "chunked", I::Managed),
        ("connection", "close", I::Managed),
        ("upgrade", "x", I::Managed),
        ("te", "x", I::Managed),
    ] {
        assert_eq!(fields.set(name, value.as_bytes()), Err(why), "{name:?} {value:?}");
        assert_eq!(fields.append(name, value.as_bytes()), Err(why), "{name:?} {value:?}");
    }
    assert_eq!(all(&fields), before, "nothing changed");
    fields.set("a", "ü\t\u{80}".as_bytes()).expect("obs-text is allowed");
    let mut head = RequestHead::new(Method::GET, Scheme::Http, "h", "/").expect("well-formed");
    for target in ["", "a", "*", "/a b", "/a#b", "/ü", "/\r\n", "http://x/"] {
        assert_eq!(head.set_target(target), Err(I::Target), "{target:?}");
    }
    assert_eq!(head.set_path("/a?b"), Err(I::Target));
    for authority in ["u@h", "h:x", "h h", "h/x", "h\r\n", "[::1", "a:1:2"] {
        assert_eq!(head.set_authority(authority), Err(I::Authority), "{authority:?}");
    }
    assert_eq!((head.target(), head.authority()), ("/", "h"));
}

#[test]
fn targets_are_edited() {
    let mut head = parsed("GET http://Host/a/b?c=d HTTP/1.1\r\nHost: host\r\n\r\n");
    assert_eq!((head.path(), head.query(), head.authority()), ("/a/b", Some("c=d"), "Host"));
    head.set_path("/x").expect("a path");
    assert_eq!(head.target(), "/x?c=d");
    head.set_target("/y").expect("a target");
    assert_eq!((head.path(), head.query()), ("/y", None));
    head.set_authority("other:80").expect("an authority");
    head.set_method(Method::PUT);
    head.set_method(Method::CONNECT);
    let mut out = Vec::new();
    encode::request(&head, &mut out);
    assert_eq!(out, b"PUT /y HTTP/1.1\r\nhost: other:80\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn views_answer_for_pseudo_fields() {
    let head = parsed("GET /a?b HTTP/1.1\r\nHost: h:1\r\nX: 1\r\n\r\n");
    for (name, value) in [
        ("host", "h:1"),
        (":authority", "h:1"),
        (":path", "/a?b"),
        (":method", "GET"),
        (":scheme", "http"),
        ("x", "1"),
    ] {
        assert_eq!(head.header(name).as_deref(), Some(value.as_bytes()), "{name}");
    }
    assert_eq!(head.header("y"), None);
}

#[test]
fn lengths_follow_the_framing() {
    let mut fields = some_fields();
    fields.set_length(Framing::Length(12));
    assert_eq!(fields.get("content-length"), Some(&b"12"[..]));
    assert!(!fields.remove("content-length"));
    fields.set_length(Framing::Stream);
    assert_eq!(fields.get("content-length"), None);
    let mut head = parsed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nX: y\r\n\r\n");
    head.set_framing(Framing::Stream);
    let mut out = Vec::new();
    encode::request(&head, &mut out);
    assert_eq!(out, b"POST / HTTP/1.1\r\nhost: h\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn grpc_is_told_by_its_content_type() {
    for (kind, is_grpc) in [
        ("application/grpc", true),
        ("Application/GRPC+proto", true),
        ("application/grpc;charset=x", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let mut head = RequestHead::new(Method::POST, Scheme::Http, "h", "/").expect("well-formed");
        head.fields_mut().set("content-type", kind.as_bytes()).expect("set");
        assert_eq!(head.is_grpc(), is_grpc, "{kind}");
    }
    let mut head = ResponseHead::new(StatusCode::OK);
    assert_eq!(head.grpc_status(), None);
    head.fields_mut().set("grpc-status", b"14").expect("set");
    assert_eq!(head.grpc_status(), Some(14));
}

/// `host [":" port]`, by its parts.
fn is_host_and_port(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'+=*".contains(c);
    let (named, port) = match text.split_once(']') {
        Some((address, port)) => {
            let Some(address) = address.strip_prefix('[') else { return false };
            let is_address = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
            (!address.is_empty() && address.chars().all(is_address), (!port.is_empty()).then_some(port))
        }
        None => {
            let host = text.split(':').next().unwrap_or_default();
            (
                !host.is_empty() && host.chars().all(is_name),
                text.get(host.len()..).filter(|rest| !rest.is_empty()),
            )
        }
    };
    named
        && port.is_none_or(|port| {
            port.strip_prefix(':')
                .is_some_and(|digits| digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()))
        })
}

proptest! {
    #[test]
    fn controls_are_found_wherever_they_are(value in "[\\x00-\\xff]{0,30}", at: proptest::sample::Index, byte: u8) {
        let mut value: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c) % 256).expect("a byte")).collect();
        let slow = |value: &[u8]| value.iter().any(|b| matches!(b, 0..=8 | 10..=31 | 127));
        prop_assert_eq!(has_control(&value), slow(&value));
        value.iter_mut().for_each(|b| *b |= 0x20);
        value.retain(|b| *b != 127);
        if !value.is_empty() {
            let at = at.index(value.len());
            value[at] = byte;
        }
        prop_assert_eq!(has_control(&value), slow(&value), "{:?}", value);
    }

    #[test]
    fn authorities_are_told_by_their_parts(
        text in "([a-zA-Z0-9.~_*-]{0,4}|\\[[0-9a-f:.]{0,6}\\])(:[0-9]{0,6})?[\\[\\]:@/?#% ,;()\"\\\\é\u{0}-\u{20}a0]{0,2}",
    ) {
        prop_assert_eq!(is_authority(text.as_bytes()), is_host_and_port(&text), "{:?}", text);
    }
}

#[test]
fn names_that_look_alike_are_told_apart() {
    // Of the same length, with the same first and last letter.
    let text = "GET / HTTP/1.1\r\nHost: h\r\nX-B3-Sampled: 1\r\nx-request-id: 2\r\nX-Request-ID: 3\r\n\r\n";
    let mut fields = parsed(text).parts.fields;
    assert_eq!(fields.get("x-request-id"), Some(&b"2"[..]));
    assert_eq!(fields.get_all("x-request-id").collect::<Vec<_>>(), [b"2", b"3"]);
    assert_eq!(fields.get("x-b3-sampled"), Some(&b"1"[..]));
    assert_eq!(fields.get("x-bequest-id"), None);
    assert!(fields.remove("x-request-id") && !fields.remove("x-request-id"));
    assert_eq!(fields.get("x-b3-sampled"), Some(&b"1"[..]));
    // What differs from a letter by the bit of its case alone is another name.
    let odd = parsed("GET / HTTP/1.1\r\nHost: h\r\n^a~: 1\r\n\r\n").parts.fields;
    assert_eq!((odd.get("^a~"), odd.get("~a^")), (Some(&b"1"[..]), None));
}
