//! First flights of `leno/1`, inside of right TLS.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use leno_wire::open::{Open, Protocol, Source};

use super::http1::answer;
use super::proxy::{Proxy, read_until};
use super::tls::{Stream, connect};
use crate::wrong::page::{Row, Table, text, words};

pub(super) fn table(proxy: &mut Proxy) -> Table {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let open = |ip, port, protocol| {
        Open { ip, port, service: None, protocol, source: Source::default(), machine: None }.encode()
    };
    let http = |open: Vec<u8>, request: &str| [open, request.as_bytes().to_vec()].concat();
    let port = proxy.port;
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("no Open at all", "GET / HTTP/1.1", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("longer than the limit", "length 4097", [&4097_u32.to_be_bytes()[..], &[0; 8]].concat()),
        ("not protobuf", "length 4, ff ff ff ff", [&4_u32.to_be_bytes()[..], &[0xff; 4]].concat()),
        ("without protocol", "length 0", 0_u32.to_be_bytes().to_vec()),
        ("cut off", "length 100, 3 bytes, the end", [&100_u32.to_be_bytes()[..], &[0; 3]].concat()),
        ("port 0, opaque", "127.0.0.1:0", open(here, 0, Protocol::Opaque)),
        (
            "another workload's address",
            "10.9.9.9, opaque",
            open([10, 9, 9, 9].into(), port, Protocol::Opaque),
        ),
        ("a port of Leno's own", "127.0.0.1:15000, opaque", open(here, 15_000, Protocol::Opaque)),
        (
            "a port of Leno's own",
            "127.0.0.1:15000, HTTP",
            http(
                open(here, 15_000, Protocol::Http1),
                "GET /own HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            ),
        ),
        (
            "a wrong request behind a right Open",
            "GET /wrong HTTP/1.1\\n",
            http(open(here, port, Protocol::Http1), "GET /wrong HTTP/1.1\nhost: a\r\n\r\n"),
        ),
    ];
    let mut rows = Vec::new();
    for (what, shown, sent) in cases {
        let mut stream = connect(proxy.mesh, Some(&proxy.peers.member), leno_wire::open::ALPN, false);
        let _closed = stream.write_all(&sent).and_then(|()| stream.flush());
        if what == "cut off" {
            end(&mut stream);
        }
        let mut stream = Ended(stream);
        let (got, _) = read_until(&mut stream, |_| false);
        drop(stream);
        let got = match got.as_slice() {
            [] => "(closed)".to_owned(),
            [byte] => format!("the byte {byte} ({}), closed", reason(*byte)),
            other => answer(other),
        };
        rows.push(Row::of(vec![words(what), text(shown), text(got), text(proxy.log())]));
    }
    assert!(!proxy.has_seen("/wrong") && !proxy.has_seen("/own"), "nothing wrong reached the application");
    Table { title: "`leno/1`".to_owned(), rows }
}

fn end(stream: &mut Stream) {
    stream.conn.send_close_notify();
    let _closed = stream.flush();
}

/// An end without `close_notify` is one all the same.
struct Ended(Stream);

impl std::io::Read for Ended {
    fn read(&mut self, piece: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(piece) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

/// The reasons of opaque connections, as the wire numbers them.
fn reason(byte: u8) -> &'static str {
    const REASONS: [&str; 10] = [
        "accepted",
        "malformed",
        "denied",
        "forbidden",
        "unreachable",
        "timeout",
        "overload",
        "draining",
        "not ready",
        "internal",
    ];
    REASONS.get(usize::from(byte)).copied().unwrap_or("unknown")
}
