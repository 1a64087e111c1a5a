//! Heads survive a change of version, and what can't be passed on is refused.

use http::{HeaderMap, Method};
use leno_model::request::RequestView as _;
use proptest::prelude::*;

use super::read::{Fault, Reading};
use crate::h1::encode;
use crate::h1::parse::{Limits, Parsed, request};
use crate::h2::hpack::{Decoder, Encoder, Field, Indexing, Sink};
use crate::head::{Fields, Framing, RequestHead, ResponseHead, Scheme, is_managed};

fn parsed(text: &str) -> RequestHead {
    match request(text.as_bytes(), Limits::default()) {
        Parsed::Complete(parsed, _) => parsed.head,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// What a block holds, as `name=value`.
fn told(write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Vec<String> {
    struct Told(Vec<String>);
    impl Sink for Told {
        fn field(&mut self, field: Field<'_>) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            self.0.push(format!("{}={}", text(field.name), text(field.value)));
        }
        fn too_large(&mut self) {
            panic!("too large");
        }
    }
    let mut block = Vec::new();
    write(&mut Encoder::new(), &mut block);
    let mut told = Told(Vec::new());
    Decoder::new(4096).decode(&block, 1 << 16, &mut told).expect("well-formed");
    told.0
}

fn reading(fields: &[(&str, &str)]) -> Reading {
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut block);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Indexed, &mut block);
    }
    let mut reading = Reading::new(4096, 10);
    Decoder::new(4096).decode(&block, 4096, &mut reading).expect("well-formed");
    reading
}

/// Reads blocks of one connection, each with these fields, and says what was wrong with each.
fn faults(blocks: &[&[(&str, &str)]]) -> Vec<Option<Fault>> {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut read = |fields: &&[(&str, &str)]| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in *fields {
            encoder.field(name.as_bytes(), value.as_bytes(), Indexing::Indexed, &mut block);
        }
        let mut reading = Reading::new(4096, 10);
        decoder.decode(&block, 4096, &mut reading).expect("well-formed");
        reading.trailers().err()
    };
    blocks.iter().map(&mut read).collect()
}

#[test]
fn what_is_wrong_with_a_field_of_the_table_is_wrong_as_often_as_it_comes() {
    let (good, bad) = (("x-one", "good"), ("x-one", "b\0d"));
    let control = Some(Fault::Malformed("a field value with a control character"));
    let blocks: [&[_]; 7] = [&[good], &[bad], &[bad], &[bad], &[good], &[good, bad], &[good]];
    assert_eq!(faults(&blocks), [None, control, control, control, None, control, None]);
    let name = Some(Fault::Malformed("a field name that isn't a lower-case token"));
    assert_eq!(faults(&[[("x one", "good")].as_slice(); 3]), [name; 3]);
    let blanks = Some(Fault::Malformed("a field value with blanks at its ends"));
    assert_eq!(faults(&[[("x-one", "good ")].as_slice(); 3]), [blanks; 3]);
}

#[test]
fn nothing_is_looked_at_beyond_the_limits() {
    let field = |value| Field { name: b"x-one", value, never_indexed: false, known: 0, is_plain: false };
    let mut reading = Reading::new(100, 10);
    assert!(reading.is_plain(&field(&[b'a'; 63])));
    assert!(!reading.is_plain(&field(&[b'a'; 64])));
    reading.field(field(&[b'a'; 20]));
    assert!(reading.is_plain(&field(b"a")) && !reading.is_plain(&field(&[b'a'; 7])));
    reading.field(field(b"\0"));
    assert!(!reading.is_plain(&field(b"a")), "the block is refused already");
}

#[test]
fn nothing_is_wrong_with_the_static_table() {
    struct Told(usize);
    impl Sink for Told {
        fn field(&mut self, field: Field<'_>) {
            assert!(field.is_plain && Reading::new(4096, 10).is_plain(&field));
            self.0 += 1;
        }
        fn too_large(&mut self) {
            panic!("too large");
        }
    }
    let block: Vec<u8> = (1..=61).map(|index| 0x80 | index).collect();
    let mut told = Told(0);
    Decoder::new(4096).decode(&block, 4096, &mut told).expect("well-formed");
    assert_eq!(told.0, 61);
}

/// The fields of a block that go into no table, after a block of secrets was read as it is told and written again.
fn passed_on(
    fields: &[(&str, &str)],
    write: impl FnOnce(Reading, &mut Encoder, &mut Vec<u8>),
) -> Vec<String> {
    struct Secrets(Vec<String>);
    impl Sink for Secrets {
        fn field(&mut self, field: Field<'_>) {
            if field.never_indexed {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                self.0.push(format!("{}={}", text(field.name), text(field.value)));
            }
        }
        fn too_large(&mut self) {
            panic!("too large");
        }
    }
    let (mut block, mut again) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        Encoder::new().field(name.as_bytes(), value.as_bytes(), Indexing::Never, &mut block);
    }
    let mut reading = Reading::new(4096, 10);
    Decoder::new(4096).decode(&block, 4096, &mut reading).expect("well-formed");
    write(reading, &mut Encoder::new(), &mut again);
    let mut secrets = Secrets(Vec::new());
    Decoder::new(4096).decode(&again, 4096, &mut secrets).expect("well-formed");
    secrets.0
}

/// RFC 7541 §6.2.3: what a sender lets nobody index is passed on in the same way.
#[test]
fn joined_cookies_and_trailers_stay_secrets() {
    let long = "a-cookie-that-is-long-enough-to-be-indexed";
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    let fields = [&pseudo[..], &[("cookie", long), ("cookie", "b=c")]].concat();
    let told = passed_on(&fields, |reading, encoder, out| {
        super::request(&reading.request(true, Scheme::Http).expect("fine"), encoder, out);
    });
    assert_eq!(told, [format!("cookie={long}; b=c")]);
    let told = passed_on(&[("x-sum", "1"), ("x-other", "2")], |reading, encoder, out| {
        super::trailers(&reading.trailers().expect("fine"), encoder, out);
    });
    assert_eq!(told, ["x-sum=1", "x-other=2"]);
}

#[test]
fn a_response_s_host_is_dropped() {
    let head = reading(&[(":status", "200"), ("host", "h"), ("x", "y")]).response(true, false).expect("fine");
    assert_eq!(head.fields().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn http1_becomes_http2() {
    let head = parsed(
        "POST /a?b=\"<`> HTTP/1.1\r\nHost: h:1\r\nX-Name: Value \r\nContent-Length: 3\r\nTE: trailers\r\nGone: 1\r\n\
         Connection: gone\r\n\r\n",
    );
    let pseudo = [":method=POST", ":scheme=http", ":authority=h:1", ":path=/a?b=%22%3C%60%3E"];
    let fields = ["x-name=Value", "content-length=3", "te=trailers"];
    assert_eq!(told(|encoder, out| super::request(&head, encoder, out)), [&pseudo[..], &fields].concat());
    for (text, wanted) in [
        (
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
            &[":method=OPTIONS", ":scheme=http", ":authority=h", ":path=*"][..],
        ),
        ("GET /x HTTP/1.0\r\n\r\n", &[":method=GET", ":scheme=http", ":path=/x"]),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", &[":method=CONNECT", ":authority=h:1"]),
        (
            "GET /c HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
            &[":method=CONNECT", ":scheme=http", ":authority=h", ":path=/c", ":protocol=websocket"],
        ),
    ] {
        assert_eq!(told(|encoder, out| super::request(&parsed(text), encoder, out)), wanted, "{text:?}");
    }
}

#[test]
fn http2_becomes_http1() {
    let ask = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h:1"),
        (":path", "/a?b"),
        ("x", "1"),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("x", "2"),
        ("cookie", "b=2"),
        ("host", "H:1"),
    ];
    let head = reading(&ask).request(false, Scheme::Http).expect("acceptable");
    assert_eq!((head.scheme(), head.framing(), head.accepts_trailers()), ("http", Framing::Stream, true));
    assert_eq!((head.path(), head.query(), head.authority()), ("/a", Some("b"), "h:1"));
    let mut out = Vec::new();
    encode::request(&head, &mut out);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "POST /a?b HTTP/1.1\r\nhost: h:1\r\nx: 1\r\nx: 2\r\ncookie: a=1; b=2\r\nte: trailers\r\nconnection: te\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
}

/// A GET with some fields more.
fn get(more: &[(&str, &str)], ended: bool) -> Result<RequestHead, Fault> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")];
    reading(&[&pseudo[..], more].concat()).request(ended, Scheme::Http)
}

#[test]
fn what_http1_would_refuse_is_refused() {
    for more in [
        &[("host", "other")][..],
        &[("host", "h"), ("host", "h")],
        &[("content-length", "+1")],
        &[("content-length", "1"), ("content-length", "1")],
        &[("content_length", "1")],
        &[("transfer_encoding", "chunked")],
        &[("expect", "cake")],
    ] {
        assert!(matches!(get(more, false), Err(Fault::Refused(_))), "{more:?}");
    }
    assert!(get(&[("host", "h")], false).is_ok());
    let many = [("x", "1"); 11];
    assert_eq!(get(&many, false).err(), Some(Fault::TooLarge));
    let long = "x".repeat(4096);
    assert_eq!(get(&[("x", &long)], false).err(), Some(Fault::TooLarge));
}

/// RFC 9113 §8.2.1: no value ends with a blank, so that crumbs of nothing are left out.
#[test]
fn empty_crumbs_leave_no_blank() {
    for (crumbs, joined) in
        [(["a=1", ""], "a=1"), (["", "a=1"], "a=1"), (["", ""], ""), (["a=1", "b=2"], "a=1; b=2")]
    {
        let head = get(&crumbs.map(|crumb| ("cookie", crumb)), true).expect("well-formed");
        assert_eq!(head.fields().get("cookie"), Some(joined.as_bytes()), "{crumbs:?}");
    }
}

#[test]
fn malformed_requests_are_told() {
    for more in [
        &[("Name", "x")][..],
        &[("", "x")],
        &[("a b", "x")],
        &[("x", "a\r\nb")],
        &[("x", "a\0")],
        &[("x", " a")],
        &[("x", "a\t")],
        &[("connection", "close")],
        &[("keep-alive", "x")],
        &[("proxy-connection", "x")],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "x")],
        &[("te", "gzip")],
        &[(":path", "/")],
        &[("x", "1"), (":scheme", "http")],
        &[(":status", "200")],
        &[(":other", "x")],
        &[(":protocol", "x")],
        &[("content-length", "1")],
    ] {
        // The encoder writes names in lower case, so this one is written by hand.
        let result = match more {
            [("Name", _)] => {
                let mut reading = reading(&[]);
                let block = b"\x82\x86\x84\x41\x01h\x00\x04Name\x01x";
                Decoder::new(4096).decode(block, 4096, &mut reading).expect("well-formed");
                reading.request(true, Scheme::Http)
            }
            more => get(more, true),
        };
        assert!(matches!(result, Err(Fault::Malformed(_))), "{more:?}: {result:?}");
    }
    for pseudo in [
        &[(":method", "GET"), (":scheme", "http"), (":authority", "h")][..],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "")],
        &[(":method", "GET"), (":authority", "h"), (":path", "/")],
        &[(":method", "GET"), (":scheme", ""), (":authority", "h"), (":path", "/")],
        &[(":scheme", "http"), (":authority", "h"), (":path", "/")],
        &[(":method", "G T"), (":scheme", "http"), (":authority", "h"), (":path", "/")],
        &[(":method", "CONNECT"), (":scheme", "http"), (":authority", "h:1"), (":path", "/")],
        &[(":method", "CONNECT"), ("host", "h:1")],
        &[(":method", "CONNECT"), (":protocol", "x"), (":authority", "h:1")],
    ] {
        let result = reading(pseudo).request(true, Scheme::Http);
        assert!(matches!(result, Err(Fault::Malformed(_))), "{pseudo:?}: {result:?}");
    }
    for (authority, path) in
        [("u@h", "/"), ("h", "x"), ("h", "*"), ("h", "/a b"), ("h", "/#a"), ("h", "/\u{fc}"), ("", "/")]
    {
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)];
        let result = reading(&pseudo).request(true, Scheme::Http);
        assert!(matches!(result, Err(Fault::Refused(_))), "{authority} {path}");
    }
}

#[test]
fn responses_are_checked() {
    for (status, ended, is_head, length, framing) in [
        ("200", false, false, None, Some(Framing::Stream)),
        ("200", false, false, Some("5"), Some(Framing::Length(5))),
        ("200", true, false, None, Some(Framing::None)),
        ("200", true, true, Some("5"), Some(Framing::None)),
        ("304", true, false, Some("5"), Some(Framing::None)),
        ("103", false, false, None, Some(Framing::Stream)),
        ("200", true, false, Some("5"), None),
        ("200", false, false, Some("+5"), None),
        ("204", true, false, Some("5"), None),
        ("103", false, false, Some("5"), None),
        ("101", false, false, None, None),
        ("20", false, false, None, None),
        ("2000", false, false, None, None),
    ] {
        let length = length.map(|length| ("content-length", length));
        let fields: Vec<_> = [(":status", status)].into_iter().chain(length).collect();
        let head = reading(&fields).response(ended, is_head);
        assert_eq!(head.ok().map(|head| head.framing()), framing, "{status} {ended} {is_head} {length:?}");
    }
    assert!(
        reading(&[]).response(true, false).is_err()
            && reading(&[(":path", "/")]).response(true, false).is_err()
    );
}

#[test]
fn secrets_stay_secrets() {
    struct Marks(Vec<(Vec<u8>, bool)>);
    impl Sink for Marks {
        fn field(&mut self, field: Field<'_>) {
            self.0.push((field.name.to_vec(), field.never_indexed));
        }
        fn too_large(&mut self) {}
    }
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    encoder.field(b":status", b"200", Indexing::Indexed, &mut block);
    encoder.field(b"x-key", b"1", Indexing::Never, &mut block);
    encoder.field(b"x-other", b"1", Indexing::Indexed, &mut block);
    let mut reading = Reading::new(4096, 10);
    Decoder::new(4096).decode(&block, 4096, &mut reading).expect("well-formed");
    let head = reading.response(true, false).expect("acceptable");
    let (mut block, mut marks) = (Vec::new(), Marks(Vec::new()));
    super::response(&head, &mut Encoder::new(), &mut block);
    Decoder::new(4096).decode(&block, 4096, &mut marks).expect("well-formed");
    let wanted = [(&b":status"[..], false), (b"x-key", true), (b"x-other", false)];
    assert_eq!(marks.0, wanted.map(|(name, mark)| (name.to_vec(), mark)));
}

#[test]
fn lengths_of_what_is_not_sent_are_passed_on() {
    let fields = [(":status", "200"), ("content-length", "5"), ("x", "y")];
    let head = reading(&fields).response(true, true).expect("acceptable");
    let wanted = [":status=200", "x=y", "content-length=5"];
    assert_eq!(told(|encoder, out| super::response(&head, encoder, out)), wanted);
    let mut head: ResponseHead = reading(&fields).response(false, false).expect("acceptable");
    head.set_framing(Framing::Stream);
    assert_eq!(told(|encoder, out| super::response(&head, encoder, out)), [":status=200", "x=y"]);
}

#[test]
fn trailers_that_could_be_believed_are_left_out() {
    let trailers =
        reading(&[("grpc-status", "0"), ("content-length", "5"), ("x-forwarded-for", "a")]).trailers();
    let trailers = trailers.expect("acceptable");
    assert_eq!(
        (trailers.len(), trailers.get("grpc-status").map(|value| value.as_bytes())),
        (1, Some(&b"0"[..]))
    );
    assert!(matches!(reading(&[(":status", "200")]).trailers(), Err(Fault::Malformed(_))));
    assert!(matches!(reading(&[("connection", "x")]).trailers(), Err(Fault::Malformed(_))));
    let mut map = HeaderMap::new();
    map.insert("x", "y".parse().expect("value"));
    map.insert("host", "y".parse().expect("value"));
    assert_eq!(told(|encoder, out| super::trailers(&map, encoder, out)), ["x=y"]);
}

fn all(fields: &Fields) -> Vec<String> {
    let mut all: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
    all.sort();
    all
}

proptest! {
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
        head.fields_mut().remove("cookie");
        let before = all(head.fields());
        let mut block = Vec::new();
        super::request(&head, &mut Encoder::new(), &mut block);
        let mut reading = Reading::new(1 << 16, 100);
        Decoder::new(4096).decode(&block, 1 << 16, &mut reading).expect("well-formed");
        let again = reading.request(true, Scheme::Http).expect("acceptable");
        prop_assert_eq!(&all(again.fields()), &before);
        let mut out = Vec::new();
        encode::request(&again, &mut out);
        let back = parsed(std::str::from_utf8(&out).expect("text"));
        prop_assert_eq!(all(back.fields()), before);
    }
}
