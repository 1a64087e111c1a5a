//! HTTP/1: one input for every refusal.

use std::io::Write as _;

use super::proxy::{Proxy, read_until};
use crate::wrong::page::{Row, Table, text, words};

const HEADS: &[(&str, &str)] = &[
    ("a line ends without CR", "GET /wrong HTTP/1.1\nhost: a\r\n\r\n"),
    ("a CR without LF", "GET /wrong HTTP/1.1\r\nhost: a\rb\r\n\r\n"),
    ("a control character", "GET /wrong HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n"),
    ("no request line", "/wrong\r\n\r\n"),
    ("a method that isn't a token", "G(T /wrong HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("two spaces before the target", "GET  /wrong HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a target of no form", "GET /wrong#x HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a version that isn't HTTP/1", "GET /wrong HTTP/3.0\r\nhost: a\r\n\r\n"),
    ("a folded field line", "GET /wrong HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"),
    ("a field name that isn't a token", "GET /wrong HTTP/1.1\r\nhost: a\r\nx(: a\r\n\r\n"),
    ("a blank before the colon", "GET /wrong HTTP/1.1\r\nhost : a\r\n\r\n"),
    ("no Host", "GET /wrong HTTP/1.1\r\n\r\n"),
    ("several Hosts", "GET /wrong HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
    ("a Host that isn't one", "GET /wrong HTTP/1.1\r\nhost: a b\r\n\r\n"),
    ("the target and Host differ", "GET http://a/wrong HTTP/1.1\r\nhost: b\r\n\r\n"),
    ("a length that isn't a number", "POST /wrong HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx"),
    ("several lengths", "POST /wrong HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx"),
    (
        "a length and a coding",
        "POST /wrong HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "another coding",
        "POST /wrong HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding in HTTP/1.0",
        "POST /wrong HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("Connection names Host", "GET /wrong HTTP/1.1\r\nhost: a\r\nconnection: host\r\n\r\n"),
    ("an unknown expectation", "GET /wrong HTTP/1.1\r\nhost: a\r\nexpect: tea\r\n\r\n"),
    ("CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 1\r\n\r\nx"),
    ("too many fields", "GET /wrong HTTP/1.1\r\nhost: a\r\nMANY\r\n"),
    ("a head that is too large", "GET /wrong HTTP/1.1\r\nhost: a\r\nx: LARGE\r\n\r\n"),
    ("a percent sign without digits", "GET /wrong%2 HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("an encoded NUL in the path", "GET /wrong%00 HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a dot segment with parameters", "GET /wrong/..;/x HTTP/1.1\r\nhost: a\r\n\r\n"),
];

const BODIES: &[(&str, &str)] = &[
    ("a chunk size that isn't a number", "+1\r\nx\r\n0\r\n\r\n"),
    ("a chunk size of 17 digits", "00000000000000001\r\nx\r\n0\r\n\r\n"),
    ("a size line that ends without CR", "1\nx\r\n0\r\n\r\n"),
    ("a chunk without its end", "1\r\nxy\r\n0\r\n\r\n"),
    ("a control character in an extension", "1;a=\0\r\nx\r\n0\r\n\r\n"),
    ("a trailer that sets framing", "1\r\nx\r\n0\r\ncontent-length: 1\r\n\r\n"),
];

pub(super) fn heads(proxy: &mut Proxy) -> Table {
    let rows = HEADS.iter().map(|(what, sent)| row(proxy, what, sent, sent)).collect();
    assert!(!proxy.has_seen("/wrong"), "nothing wrong reached the application");
    Table { title: "HTTP/1: heads".to_owned(), rows }
}

pub(super) fn bodies(proxy: &mut Proxy) -> Table {
    let row = |(what, body): &(&str, &str)| {
        let head = "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        row(proxy, what, body, &format!("{head}{body}"))
    };
    Table { title: "HTTP/1: bodies".to_owned(), rows: BODIES.iter().map(row).collect() }
}

fn row(proxy: &mut Proxy, what: &str, shown: &str, sent: &str) -> Row {
    let many = (0..200).map(|number| format!("x{number}: a\r\n")).collect::<String>();
    let sent = sent.replace("MANY\r\n", &many).replace("LARGE", &"a".repeat(200_000));
    let mut stream = proxy.connect();
    // The proxy may have answered and closed before everything is sent.
    let _closed = stream.write_all(sent.as_bytes());
    let (got, _) = read_until(&mut stream, is_whole);
    drop(stream);
    Row::of(vec![words(what), text(shown.escape_debug().to_string()), text(answer(&got)), text(proxy.log())])
}

/// Whether that is a response after which the connection goes on.
fn is_whole(got: &[u8]) -> bool {
    let got = String::from_utf8_lossy(got);
    let Some((head, body)) = got.split_once("\r\n\r\n") else { return false };
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length == Some(body.len()) && !head.contains("\r\nconnection: close")
}

/// Status and body of a response, and what becomes of the connection.
pub(in super::super) fn answer(got: &[u8]) -> String {
    let text = String::from_utf8_lossy(got);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return format!("{text}(closed)") };
    let end = if is_whole(got) { "" } else { "\n(closed)" };
    format!("{}\n{body}{end}", head.lines().next().unwrap_or_default())
}
