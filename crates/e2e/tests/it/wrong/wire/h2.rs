//! HTTP/2, as raw frames.

use std::io::Write as _;

use leno_testkit::frames::{self, Frame};

use super::http1::answer;
use super::proxy::{Proxy, read_until};
use crate::wrong::page::{Row, Table, text, words};

/// What opens HTTP/2, without the settings that belong behind it.
const OPENING: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame { kind, flags, stream, payload: payload.to_vec() }.bytes()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    frames::block(&fields)
}

fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, 5, 1, &block(fields))
}

const REQUEST: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/wrong")];

fn request_with(more: (&'static str, &'static str)) -> Vec<u8> {
    headers(&[&REQUEST[..], &[more]].concat())
}

pub(super) fn table(proxy: &mut Proxy) -> Table {
    let settings = frame(4, 0, 0, &[]);
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        (
            "a preface that goes on wrongly",
            "PRI * HTTP/2.0\\r\\n\\r\\nXX",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        ),
        ("SETTINGS on a stream", "SETTINGS, stream 1", frame(4, 0, 1, &[])),
        ("SETTINGS of five bytes", "SETTINGS of 5 bytes", frame(4, 0, 0, &[0; 5])),
        (
            "a frame that is too large",
            "DATA of 16385 bytes",
            [settings.clone(), frame(0, 0, 1, &vec![0; 16_385])].concat(),
        ),
        (
            "DATA on a stream that isn't open",
            "DATA, stream 1",
            [settings.clone(), frame(0, 0, 1, b"x")].concat(),
        ),
        (
            "CONTINUATION of nothing",
            "CONTINUATION, stream 1",
            [settings.clone(), frame(9, 4, 1, &[])].concat(),
        ),
        (
            "a stream with an even number",
            "HEADERS, stream 2",
            [settings.clone(), frame(1, 5, 2, &block(&REQUEST))].concat(),
        ),
        (
            "fields that aren't HPACK",
            "HEADERS 0xff…",
            [settings.clone(), frame(1, 5, 1, &[0xff; 20])].concat(),
        ),
        ("a window of nothing", "WINDOW_UPDATE 0", [settings.clone(), frame(8, 0, 0, &[0; 4])].concat()),
        ("no :path", "HEADERS without :path", [settings.clone(), headers(&REQUEST[..3])].concat()),
        (
            "a field name in capitals",
            "HEADERS with X-A: b",
            [settings.clone(), request_with(("X-A", "b"))].concat(),
        ),
        (
            "a field of the connection",
            "HEADERS with connection: close",
            [settings.clone(), request_with(("connection", "close"))].concat(),
        ),
        (
            "CR and LF in a value",
            "HEADERS with x: a\\r\\nb",
            [settings.clone(), request_with(("x", "a\r\nb"))].concat(),
        ),
        (
            "a length that the body doesn't have",
            "HEADERS with content-length: 5, no DATA",
            [settings.clone(), request_with(("content-length", "5"))].concat(),
        ),
        (
            "an authority and another host",
            "HEADERS with host: b",
            [settings, request_with(("host", "b"))].concat(),
        ),
    ];
    let mut rows = Vec::new();
    for (what, shown, sent) in cases {
        let is_preface = sent.starts_with(b"PRI");
        let sent = if is_preface { sent } else { [OPENING.as_bytes(), &sent].concat() };
        let mut stream = proxy.connect();
        stream.write_all(&sent).unwrap();
        let (got, is_closed) = read_until(&mut stream, |got| !is_preface && verdict(got).is_some());
        let got = match verdict(&got) {
            Some(verdict) => verdict,
            None if is_preface => answer(&got),
            None => format!("nothing (closed: {is_closed})"),
        };
        drop(stream);
        rows.push(Row::of(vec![words(what), text(shown), text(got), text(proxy.log())]));
    }
    assert!(!proxy.has_seen("/wrong"), "nothing wrong reached the application");
    Table { title: "HTTP/2".to_owned(), rows }
}

/// The first frame that ends something.
fn verdict(mut got: &[u8]) -> Option<String> {
    while let Some((frame, used)) = Frame::read(got) {
        match frame.kind {
            frames::HEADERS => return Some(format!("HEADERS {}", frame.status()?)),
            frames::RST_STREAM => return Some(format!("RST_STREAM {}", frame.error()?)),
            frames::GOAWAY if frame.error()? != "NO_ERROR" => {
                return Some(format!("GOAWAY {}", frame.error()?));
            }
            _ => {}
        }
        got = &got[used..];
    }
    None
}
