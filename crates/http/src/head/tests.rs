//! Both forms of a head behave alike, and survive a change of version.

use std::borrow::Cow;

use http::{HeaderMap, Method, Request, StatusCode};
use leno_model::failure::Failure;
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

/// The same fields in both forms.
fn both() -> [Fields; 2] {
    let lines = [("A", "1"), ("Cookie", "x=1"), ("B", "2"), ("a", "3"), ("cookie", "y=2"), ("C", "4")];
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let spans = parsed(&format!("GET / HTTP/1.1\r\nHost: h\r\n{text}\r\n")).parts.fields;
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(
            http::HeaderName::from_bytes(name.as_bytes()).expect("name"),
            value.parse().expect("value"),
        );
    }
    [spans, Fields(Repr::Map(map))]
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
fn both_forms_read_alike() {
    for fields in both() {
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
}

#[test]
fn a_map_is_read_alike_whether_it_holds_few_lines_or_many() {
    for lines in [0, 1, 19, 20, 21, 60] {
        let mut map = HeaderMap::new();
        for line in 0..lines {
            let name: http::HeaderName = format!("name-{}", line / 2).parse().expect("name");
            map.append(name, line.into());
        }
        let mut fields = Fields(Repr::Map(map.clone()));
        for name in ["name-0", "NAME-9", "name-29", "name", "", "no name", "ä"] {
            assert_eq!(fields.get(name), map.get(name).map(|value| value.as_bytes()), "{lines} {name}");
            assert_eq!(fields.remove(name), map.remove(name).is_some(), "{lines} {name}");
            assert_eq!(fields.iter().count(), map.len());
        }
    }
}

#[test]
fn both_forms_are_edited_alike() {
    for mut fields in both() {
        fields.set("a", b"9").expect("set");
        fields.append("e", b"5").expect("appended");
        fields.append("e", b"").expect("appended");
        assert!(fields.remove("cookie") && !fields.remove("cookie"));
        fields.remove_where(|name| name.eq_ignore_ascii_case(b"c"));
        assert_eq!(all(&fields), ["a=9", "b=2", "e=", "e=5"]);
    }
}

#[test]
fn what_could_break_a_message_is_not_set() {
    use InvalidField as I;
    for mut fields in both() {
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
    }
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
    for mut fields in both() {
        fields.set_length(Framing::Length(12));
        assert_eq!(fields.get("content-length"), Some(&b"12"[..]));
        assert!(!fields.remove("content-length"));
        fields.set_length(Framing::Stream);
        assert_eq!(fields.get("content-length"), None);
    }
    let mut head = parsed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nX: y\r\n\r\n");
    head.set_framing(Framing::Stream);
    let mut out = Vec::new();
    encode::request(&head, &mut out);
    assert_eq!(out, b"POST / HTTP/1.1\r\nhost: h\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn http1_becomes_http2() {
    let head = parsed(
        "POST /a?b=\"<`> HTTP/1.1\r\nHost: h:1\r\nX-Name: Value \r\nContent-Length: 3\r\nTE: trailers\r\nGone: 1\r\n\
         Connection: gone\r\n\r\n",
    );
    let request = convert::to_h2_request(&head).expect("convertible");
    assert_eq!(request.uri().to_string(), "http://h:1/a?b=%22%3C%60%3E");
    let fields: Vec<_> =
        request.headers().iter().map(|(n, v)| format!("{n}={}", v.to_str().expect("text"))).collect();
    assert_eq!(fields, ["x-name=Value", "content-length=3", "te=trailers"]);
    let asterisk =
        convert::to_h2_request(&parsed("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")).expect("convertible");
    assert_eq!(asterisk.uri().path(), "*");
    let bare = convert::to_h2_request(&parsed("GET /x HTTP/1.0\r\n\r\n")).expect("convertible");
    assert_eq!((bare.uri().authority(), bare.uri().path()), (None, "/x"));
}

#[test]
fn http2_becomes_http1() {
    let ask = Request::builder()
        .method(Method::POST)
        .uri("https://h:1/a?b")
        .header("x", "1")
        .header("cookie", "a=1")
        .header("te", "trailers")
        .header("x", "2")
        .header("cookie", "b=2")
        .body(())
        .expect("well-formed");
    let head = convert::from_h2_request(ask, false, Scheme::Http, 100).expect("acceptable");
    assert_eq!((head.scheme(), head.framing(), head.accepts_trailers()), ("http", Framing::Stream, true));
    let mut out = Vec::new();
    encode::request(&head, &mut out);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "POST /a?b HTTP/1.1\r\nhost: h:1\r\nx: 1\r\nx: 2\r\ncookie: a=1; b=2\r\nte: trailers\r\nconnection: te\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn http2_responses_are_checked() {
    for (status, ended, is_head, length, framing) in [
        (200, false, false, None, Ok(Framing::Stream)),
        (200, false, false, Some("5"), Ok(Framing::Length(5))),
        (200, true, false, None, Ok(Framing::None)),
        (200, true, true, Some("5"), Ok(Framing::None)),
        (304, true, false, Some("5"), Ok(Framing::None)),
        (200, true, false, Some("5"), Err(Failure::UpstreamProtocol)),
        (200, false, false, Some("+5"), Err(Failure::UpstreamProtocol)),
        (101, false, false, None, Err(Failure::UpstreamProtocol)),
    ] {
        let mut answer = http::Response::builder().status(status);
        if let Some(length) = length {
            answer = answer.header("content-length", length);
        }
        let head = convert::from_h2_response(answer.body(()).expect("well-formed"), ended, is_head, 100);
        assert_eq!(head.map(|head| head.framing()), framing, "{status} {ended} {is_head} {length:?}");
    }
}

#[test]
fn values_that_are_new_with_every_request_stay_out_of_the_peers_table() {
    let text =
        "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: 1\r\nTraceparent: 2\r\nA: 3\r\ntraceparent: 4\r\n\r\n";
    let spans = parsed(text);
    let request = convert::to_h2_request(&spans).expect("convertible");
    let map = convert::from_h2_request(request, true, Scheme::Http, 100).expect("acceptable");
    for head in [spans, map] {
        let request = convert::to_h2_request(&head).expect("convertible");
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.is_sensitive()));
        let expected = [("x-request-id", true), ("traceparent", true), ("traceparent", true), ("a", false)];
        assert_eq!(headers.collect::<Vec<_>>(), expected);
    }
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
    let (host, port) = match text.split_once(']') {
        Some((address, port)) => {
            let Some(address) = address.strip_prefix('[') else { return false };
            if address.is_empty() || address.contains(|c: char| !(c.is_ascii_hexdigit() || ":.".contains(c)))
            {
                return false;
            }
            ("", (!port.is_empty()).then_some(port))
        }
        None => match text.split_once(':') {
            Some((host, _)) => (host, text.get(host.len()..)),
            None => (text, None),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'+=*".contains(c);
    let named = text.starts_with('[') || !host.is_empty() && host.chars().all(is_name);
    named
        && port.is_none_or(|port| {
            port.strip_prefix(':')
                .is_some_and(|digits| digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()))
        })
}

proptest! {
    #[test]
    fn authorities_are_told_by_their_parts(
        text in "([a-zA-Z0-9.~_*-]{0,4}|\\[[0-9a-f:.]{0,6}\\])(:[0-9]{0,6})?[\\[\\]:@/?#% ,;()\"\\\\é\u{0}-\u{20}a0]{0,2}",
    ) {
        prop_assert_eq!(is_authority(text.as_bytes()), is_host_and_port(&text), "{:?}", text);
    }

    /// Values go from one version to the other and back without a change.
    #[test]
    fn fields_survive_a_change_of_version(
        lines in proptest::collection::vec(("[a-z][a-z0-9-]{0,12}", "[!-~\u{80}-\u{ff}]{0,20}"), 0..10),
    ) {
        let mut head = RequestHead::new(Method::GET, Scheme::Http, "h", "/").expect("well-formed");
        for (name, value) in &lines {
            if head.fields_mut().append(name, value.as_bytes()).is_err() {
                prop_assert!(is_managed(name));
            }
        }
        head.fields_mut().remove("expect");
        let mut before = all(&head.parts.fields);
        let request = convert::to_h2_request(&head).expect("convertible");
        let again = convert::from_h2_request(request, true, Scheme::Http, 100).expect("acceptable");
        prop_assert_eq!(&all(&again.parts.fields), &before);
        let mut out = Vec::new();
        encode::request(&again, &mut out);
        let back = parsed(std::str::from_utf8(&out).expect("text"));
        // Cookie crumbs have become one line.
        before.retain(|line| !line.starts_with("cookie="));
        let mut after = all(&back.parts.fields);
        after.retain(|line| !line.starts_with("cookie="));
        prop_assert_eq!(after, before);
    }
}
