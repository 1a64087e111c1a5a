//! What connections begin with, and DNS packets.

use super::{Seeds, named};

/// Headers of the PROXY protocol.
pub(super) fn announced() -> Seeds {
    let mut seeds = named(
        &[
            ("line", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\nGET"),
            ("line-ipv6", "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"),
            ("line-unknown", "PROXY UNKNOWN and more\r\n"),
        ],
        &[
            ("request", "GET / HTTP/1.1\r\n"),
            ("line-cut", "PROXY TCP4 192.0.2.1 198.51.100.2 12345"),
            ("line-bare", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"),
            ("line-zero", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
        ],
    );
    let binary = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    let four = b"\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb";
    let valued = b"\x21\x11\0\x12\xc0\0\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb\x01\0\x03h2!";
    seeds.push(("ok-binary".to_owned(), binary(four)));
    seeds.push(("ok-binary-values".to_owned(), binary(valued)));
    seeds.push(("ok-binary-local".to_owned(), binary(b"\x20\0\0\0")));
    seeds.push(("bad-binary-cut".to_owned(), binary(&four[..9])));
    seeds.push(("bad-binary-udp".to_owned(), binary(b"\x21\x12\0\x0c")));
    seeds
}

/// First bytes of connections.
pub(super) fn connections() -> Seeds {
    let mut seeds = named(
        &[
            ("http1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("http1-connect", "CONNECT a:1 HTTP/1.1\r\n"),
            ("http1-absolute", "\r\nget \t http://a/ HTTP/1.0\r\n"),
            ("http1-odd-target", "GET a HTTP/1.1\r\n"),
            ("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"),
        ],
        &[
            ("ssh", "SSH-2.0-OpenSSH_9.6\r\n"),
            ("redis", "*1\r\n$4\r\nPING\r\n"),
            ("smtp", "EHLO a.example\r\n"),
            ("half-a-preface", "PRI * HTTP/2.0\r\n"),
            ("nothing", ""),
        ],
    );
    let hello = hello();
    let records = hello.chunks(40).flat_map(record).collect();
    seeds.push(("ok-tls".into(), record(&hello)));
    seeds.push(("ok-tls-in-records".into(), records));
    seeds.push(("bad-tls-cut".into(), record(&hello)[..60].to_vec()));
    seeds
}

fn record(payload: &[u8]) -> Vec<u8> {
    [&[0x16, 3, 1][..], &length::<2>(payload.len()), payload].concat()
}

fn length<const N: usize>(length: usize) -> [u8; N] {
    let bytes = length.to_be_bytes();
    std::array::from_fn(|at| bytes[bytes.len() - N + at])
}

/// A ClientHello for `a.example` that offers `h2` and `leno/1`.
fn hello() -> Vec<u8> {
    let extension =
        |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &length::<2>(content.len()), content].concat();
    let extensions = [
        extension(0, b"\0\x0c\0\0\x09A.example"),
        extension(10, b"\0\x02\0\x1d"),
        extension(13, b"\0\x02\x04\x03"),
        extension(16, b"\0\x0a\x02h2\x06leno/1"),
        extension(43, b"\x02\x03\x04"),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        b"\0\x02\x13\x01",
        b"\x01\0",
        &length::<2>(extensions.len()),
        &extensions,
    ]
    .concat();
    [&[1][..], &length::<3>(body.len()), &body].concat()
}

/// DNS packets.
pub(super) fn packets() -> Seeds {
    let header = |flags: u8, questions: u8, additional: u8| {
        vec![0xab, 0xcd, flags, 0, 0, questions, 0, 0, 0, 0, 0, additional]
    };
    let question =
        |kind: u8, class: u8| [b"\x07Reviews\x07default\0".as_slice(), &[0, kind, 0, class]].concat();
    let edns = |version: u8| [&[0, 0, 41][..], &4096_u16.to_be_bytes(), &[0, version, 0, 0, 0, 0]].concat();
    let packet = |parts: &[Vec<u8>]| parts.concat();
    [
        ("ok-a", packet(&[header(1, 1, 0), question(1, 1)])),
        ("ok-aaaa-edns", packet(&[header(1, 1, 1), question(28, 1), edns(0)])),
        ("ok-any", packet(&[header(0, 1, 0), question(255, 1)])),
        ("ok-https", packet(&[header(1, 1, 0), question(65, 1)])),
        ("ok-root", packet(&[header(1, 1, 0), vec![0, 0, 2, 0, 1]])),
        ("bad-response", packet(&[header(0x81, 1, 0), question(1, 1)])),
        ("bad-update", packet(&[header(5 << 3, 1, 0), question(1, 1)])),
        ("bad-two-questions", packet(&[header(1, 2, 0), question(1, 1), question(28, 1)])),
        ("bad-class", packet(&[header(1, 1, 0), question(1, 3)])),
        ("bad-edns-version", packet(&[header(1, 1, 1), question(1, 1), edns(1)])),
        ("bad-compression-loop", packet(&[header(1, 1, 0), vec![0xc0, 12, 0, 1, 0, 1]])),
        ("bad-cut", packet(&[header(1, 1, 0), question(1, 1)[..8].to_vec()])),
        ("bad-short", vec![0xab, 0xcd, 1]),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
