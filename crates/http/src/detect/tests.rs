//! Tables of first bytes, and hellos cut and damaged at every byte.

use proptest::prelude::*;

use super::*;

fn u16_prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &u16_prefixed(content)].concat()
}

/// The handshake message of a hello with these extensions.
fn message(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&u16_prefixed(&[0x13, 0x01]));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&u16_prefixed(extensions));
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

fn record(payload: &[u8]) -> Vec<u8> {
    [&[0x16, 3, 1][..], &u16_prefixed(payload)].concat()
}

fn hello() -> Vec<u8> {
    let name = [&[0][..], &u16_prefixed(b"A.Example")].concat();
    let sni = extension(0, &u16_prefixed(&name));
    let alpn = extension(16, &u16_prefixed(b"\x02h2\x08http/1.1"));
    message(&[sni, extension(43, &[2, 3, 4]), alpn].concat())
}

fn expected() -> Detection {
    let alpn = vec![b"h2"[..].into(), b"http/1.1"[..].into()];
    Detection::Tls(Hello { sni: Some("a.example".into()), alpn })
}

#[test]
fn first_bytes_tell_the_protocol() {
    use Detection::{Http1, Http2, NeedMore, Opaque};
    for (bytes, found) in [
        (&b""[..], NeedMore),
        (b"G", NeedMore),
        (b"GET", NeedMore),
        (b"GET ", NeedMore),
        (b"GET /", Http1),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Http1),
        (b"get /", Http1),
        (b"M-SEARCH * HTTP/1.1", Http1),
        (b"VERSION-CONTROL /x", Http1),
        (b"OPTIONS *", Http1),
        (b"CONNECT a:443", Http1),
        (b"GET h", NeedMore),
        (b"GET http://a/", Http1),
        (b"GET HTTPS://a/", Http1),
        (b"\r\n\r\nGET /", Http1),
        (b"GET\t/", Http1),
        (b"GET  /", Http1),
        (b"GET \\x HTTP/1.1", Http1),
        (b"GET x", NeedMore),
        (b"GET x HTTP/1.1", NeedMore),
        (b"GET x HTTP/1.1\n", Http1),
        (b"hello world", Opaque),
        (b"get x HTTP/1.1\n", Opaque),
        (b"GET /x\n", Http1),
        (b"GET key\r\n", Opaque),
        (b"HELO example.com\r\n", Opaque),
        (b"*1\r\n$4\r\nPING\r\n", Opaque),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", Opaque),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Opaque),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ /", Opaque),
        (b"PRI", NeedMore),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", NeedMore),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Http2),
        (b"PRI * HTTP/2.0\r\n\r\nXX", Http1),
        (b"PRI /", Http1),
        (b"\x16", NeedMore),
        (b"\x16\x03", NeedMore),
        (b"\x16\x03\x2a\0\x05\x01", NeedMore),
        (b"\x16\x02", Opaque),
        (b"\x16\x03\x01\0\0", Opaque),
        (b"\x16\x03\x01\xff\xff", Opaque),
        (b"\x15\x03\x01\0\x02\x02\x28", Opaque),
    ] {
        assert_eq!(detect(bytes), found, "{}", bytes.escape_ascii());
    }
    assert_eq!(detect(&[b'\n'; DETECT_BYTES]), Opaque, "not for ever");
}

#[test]
fn a_hello_is_read_in_one_record_or_many() {
    let message = hello();
    assert_eq!(detect(&record(&message)), expected());
    for size in [1, 3, 50] {
        let records: Vec<u8> = message.chunks(size).flat_map(record).collect();
        assert_eq!(detect(&records), expected(), "records of {size}");
    }
    let whole = record(&message);
    for cut in 0..whole.len() {
        assert_eq!(detect(&whole[..cut]), Detection::NeedMore, "cut at {cut}");
    }
    assert_eq!(detect(&record(&self::message(&[]))), Detection::Tls(Hello::default()));
}

#[test]
fn names_that_are_none_are_left_out() {
    for name in [&b""[..], b"a\0b", b"a b", b"[::1]", "ü".as_bytes(), &[b'a'; 254]] {
        let entry = [&[0][..], &u16_prefixed(name)].concat();
        let bytes = record(&message(&extension(0, &u16_prefixed(&entry))));
        assert_eq!(detect(&bytes), Detection::Tls(Hello::default()), "{}", name.escape_ascii());
    }
}

#[test]
fn lengths_that_lie_are_not_tls() {
    let server_hello = record(&[&[2][..], &hello()[1..]].concat());
    assert_eq!(detect(&server_hello), Detection::Opaque);
    let huge = record(&[1, 0xff, 0xff, 0xff, 3, 3]);
    assert_eq!(detect(&huge), Detection::Opaque);
    let outside = record(&message(&[0, 0, 0, 9, 0]));
    assert_eq!(detect(&outside), Detection::Opaque);
    let empty_protocol = record(&message(&extension(16, &u16_prefixed(&[0]))));
    assert_eq!(detect(&empty_protocol), Detection::Opaque);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = detect(&bytes);
        let _ = detect(&record(&[&[1, 0, 0, u8::try_from(bytes.len()).unwrap_or(255)][..], &bytes].concat()));
    }

    #[test]
    fn damaged_hellos_are_read_or_refused(at in 0_usize..150, byte: u8) {
        let mut bytes = record(&hello());
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = detect(&bytes);
    }
}
