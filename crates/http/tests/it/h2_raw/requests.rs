//! Malformed requests: fields, lengths and trailers (RFC 9113 §8.1, §8.2). None of them reaches anybody.

use leno_http::server::BrokenStream;
use leno_model::failure::Failure;

use super::hpack::{block, field, huffman};
use super::server::Expect::{Refused, Reset, Serves};
use super::server::{Server, check, error_of, is_answered, reset_of};
use super::wire::{code, continuation, data, flag, frame, headers, kind, padded, post, request, rst};
use super::{Steps, cases, in_turn, run};

/// A whole GET with one more field, which may hold any bytes.
fn odd(name: &[u8], value: &[u8]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &[request("GET", "/no", &[]), field(name, value)].concat())
}

/// A whole GET with more fields.
fn more(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &request("GET", "/no", fields))
}

/// The same where it is to be served.
fn fine(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(1, flag::END_STREAM, &request("GET", "/", fields))
}

cases! { check;
    // Names (RFC 9113 §8.2.1): lower-case tokens.
    a_name_in_upper_case: [odd(b"X-Name", b"y")] => Refused(1);
    a_name_with_a_capital_at_its_end: [odd(b"x-namE", b"y")] => Refused(1);
    a_name_in_upper_case_by_huffman_code:
        [headers(1, 1, &[request("GET", "/no", &[]), vec![0], huffman(b"X"), vec![1, b'y']].concat())]
        => Refused(1);
    no_name: [odd(b"", b"y")] => Refused(1);
    no_name_and_no_value: [odd(b"", b"")] => Refused(1);
    a_name_with_a_space: [odd(b"x y", b"z")] => Refused(1);
    a_name_with_a_space_at_its_end: [odd(b"x ", b"z")] => Refused(1);
    a_name_with_a_space_at_its_start: [odd(b" x", b"z")] => Refused(1);
    a_name_with_a_tab: [odd(b"x\t", b"z")] => Refused(1);
    a_name_with_a_colon: [odd(b"x:y", b"z")] => Refused(1);
    a_name_with_a_colon_at_its_end: [odd(b"x:", b"z")] => Refused(1);
    a_name_with_nul: [odd(b"x\0", b"z")] => Refused(1);
    a_name_with_a_line_feed: [odd(b"x\ny", b"z")] => Refused(1);
    a_name_with_a_carriage_return: [odd(b"x\ry", b"z")] => Refused(1);
    a_name_with_a_line: [odd(b"x: y\r\nevil", b"z")] => Refused(1);
    a_name_with_delete: [odd(b"x\x7f", b"z")] => Refused(1);
    a_name_with_a_high_byte: [odd(b"x\x80", b"z")] => Refused(1);
    a_name_in_utf_8: [odd("größe".as_bytes(), b"z")] => Refused(1);
    a_name_with_quotes: [odd(b"\"x\"", b"z")] => Refused(1);
    a_name_with_brackets: [odd(b"x(y)", b"z")] => Refused(1);
    a_name_with_a_comma: [odd(b"x,y", b"z")] => Refused(1);
    a_name_with_a_slash: [odd(b"x/y", b"z")] => Refused(1);
    a_name_with_an_at: [odd(b"x@y", b"z")] => Refused(1);
    a_name_of_all_tokens: [fine(&[("!#$%&'*+-.^_`|~09az", "y")])] => Serves;

    // Values (RFC 9113 §8.2.1).
    a_value_with_a_line_feed: [odd(b"x", b"y\nz")] => Refused(1);
    a_value_with_a_carriage_return: [odd(b"x", b"y\rz")] => Refused(1);
    a_value_with_a_line: [odd(b"x", b"y\r\nevil: z")] => Refused(1);
    a_value_with_nul: [odd(b"x", b"y\0z")] => Refused(1);
    a_value_of_nul: [odd(b"x", b"\0")] => Refused(1);
    a_value_with_a_control: [odd(b"x", b"y\x01z")] => Refused(1);
    a_value_with_delete: [odd(b"x", b"y\x7f")] => Refused(1);
    a_value_with_a_space_at_its_start: [odd(b"x", b" y")] => Refused(1);
    a_value_with_a_space_at_its_end: [odd(b"x", b"y ")] => Refused(1);
    a_value_with_a_tab_at_its_start: [odd(b"x", b"\ty")] => Refused(1);
    a_value_with_a_tab_at_its_end: [odd(b"x", b"y\t")] => Refused(1);
    a_value_of_a_space: [odd(b"x", b" ")] => Refused(1);
    a_value_of_an_indexed_name_with_a_line_feed:
        [headers(1, 1, &[request("GET", "/no", &[]), b"\x0f\x2b\x03a\nb".to_vec()].concat())] => Refused(1);
    a_value_with_spaces_inside: [fine(&[("x", "y  z\tz")])] => Serves;
    no_value: [fine(&[("x", "")])] => Serves;
    a_value_with_high_bytes: [headers(1, 1, &[request("GET", "/", &[]), field(b"x", b"\x80\xff")].concat())]
        => Serves;
    many_cookies: [fine(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")])] => Serves;

    // What belongs to a connection of HTTP/1 (RFC 9113 §8.2.2).
    connection: [more(&[("connection", "keep-alive")])] => Refused(1);
    connection_close: [more(&[("connection", "close")])] => Refused(1);
    connection_of_nothing: [more(&[("connection", "")])] => Refused(1);
    keep_alive: [more(&[("keep-alive", "timeout=5")])] => Refused(1);
    proxy_connection: [more(&[("proxy-connection", "keep-alive")])] => Refused(1);
    transfer_encoding: [more(&[("transfer-encoding", "chunked")])] => Refused(1);
    transfer_encoding_with_a_body:
        [headers(1, 0, &request("POST", "/no", &[("transfer-encoding", "chunked")])), data(1, 1, b"0\r\n\r\n")]
        => Refused(1);
    upgrade: [more(&[("upgrade", "h2c")])] => Refused(1);
    te_of_gzip: [more(&[("te", "gzip")])] => Refused(1);
    te_of_trailers_and_more: [more(&[("te", "trailers, deflate;q=0.5")])] => Refused(1);
    te_twice: [more(&[("te", "trailers"), ("te", "chunked")])] => Refused(1);
    te_of_trailers: [fine(&[("te", "trailers")])] => Serves;

    // Lengths that are none, or that the head itself belies (RFC 9113 §8.1.1).
    a_length_of_text: [more(&[("content-length", "abc")])] => Refused(1);
    a_length_of_nothing: [more(&[("content-length", "")])] => Refused(1);
    a_negative_length: [more(&[("content-length", "-1")])] => Refused(1);
    a_length_with_a_sign: [more(&[("content-length", "+0")])] => Refused(1);
    a_length_in_hex: [more(&[("content-length", "0x0")])] => Refused(1);
    a_length_with_a_point: [more(&[("content-length", "0.0")])] => Refused(1);
    a_length_of_more_than_64_bits: [more(&[("content-length", "18446744073709551616")])] => Refused(1);
    a_length_of_100_digits: [more(&[("content-length", &"9".repeat(100))])] => Refused(1);
    two_lengths: [more(&[("content-length", "0"), ("content-length", "1")])] => Refused(1);
    two_lengths_in_one: [more(&[("content-length", "0, 1")])] => Refused(1);
    a_length_without_a_body: [more(&[("content-length", "5")])] => Refused(1);
    a_length_of_0_without_a_body: [fine(&[("content-length", "0")])] => Serves;

    // Trailers are fields (RFC 9113 §8.1), but the request was seen when they come.
    trailers_with_a_path: trailers(&block(&[(":path", "/")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_a_status: trailers(&block(&[(":status", "200")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_an_unknown_pseudo_field: trailers(&block(&[(":x", "y")])) => Reset(1, &[code::PROTOCOL]);
    trailers_in_upper_case: trailers(&block(&[("X", "y")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_a_line_feed: trailers(&block(&[("x", "y\nz")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_a_space_at_the_end: trailers(&block(&[("x", "y ")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_connection: trailers(&block(&[("connection", "close")])) => Reset(1, &[code::PROTOCOL]);
    trailers_with_transfer_encoding: trailers(&block(&[("transfer-encoding", "chunked")]))
        => Reset(1, &[code::PROTOCOL]);
    trailers_with_te: trailers(&block(&[("te", "gzip")])) => Reset(1, &[code::PROTOCOL]);
}

fn trailers(block: &[u8]) -> Steps {
    in_turn([[post(1, "/"), data(1, 0, b"x")].concat(), headers(1, flag::END_STREAM, block)])
}

/// A POST of a length, with what follows.
fn announced(length: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    [headers(1, 0, &request("POST", "/", &[("content-length", length)])), frames.concat()].concat()
}

/// A body that isn't as long as announced is a malformed request (RFC 9113 §8.1.1), at the latest when it ends; whoever
/// has seen its head never sees its end.
#[test]
fn lengths_that_bodies_belie() {
    run(|| async {
        let end = |bytes: &[u8]| data(1, flag::END_STREAM, bytes);
        let trailers = headers(1, flag::END_STREAM, &block(&[("x-sum", "1")]));
        for (case, bytes) in [
            ("too short", announced("5", &[end(b"1234")])),
            ("empty", announced("5", &[end(b"")])),
            ("too long", announced("5", &[end(b"123456")])),
            ("too long before its end", announced("5", &[data(1, 0, b"123456")])),
            ("too long by another frame", announced("5", &[data(1, 0, b"12345"), end(b"6")])),
            ("short with trailers", announced("5", &[data(1, 0, b"1234"), trailers.clone()])),
            ("nothing but trailers", announced("5", std::slice::from_ref(&trailers))),
            ("none announced", announced("0", &[end(b"1")])),
            ("padding doesn't count", announced("5", &[data(1, 9, &padded(b"1234", 1))])),
        ] {
            for at_once in [true, false] {
                let mut server = Server::open().await;
                // The head reaches the exchange before its body, or with it.
                let (head, rest) = bytes.split_at(9 + usize::from(bytes[2]));
                server.peer.send(head).await;
                if !at_once {
                    server.peer.rest().await;
                }
                server.peer.send(rest).await;
                let frames = server.peer.rest().await;
                let is_refused = frames.iter().any(|frame| frame.status() == Some(400));
                let is_reset = reset_of(&frames, 1) == Some(code::PROTOCOL);
                let log = server.logged();
                assert!(is_refused || is_reset, "{case} {frames:?} {log:?}");
                assert!(log.iter().all(|line| !line.contains("complete")), "{case} {log:?}");
                assert!(!at_once || log.is_empty(), "{case}: seen by nobody: {log:?}");
                let broken = server.broken.borrow().clone();
                let [BrokenStream { failure: Failure::DownstreamProtocol, rule, is_served }] = broken[..]
                else {
                    panic!("{case}: told once: {broken:?}");
                };
                assert_eq!(
                    (rule, is_served),
                    ("a body of another length than announced", !at_once),
                    "{case}"
                );
                server.probe().await;
            }
        }
    });
}

#[test]
fn lengths_that_are_kept() {
    run(|| async {
        let trailers = headers(1, flag::END_STREAM, &block(&[("x-sum", "1")]));
        for (bytes, log) in [
            (announced("5", &[data(1, 1, b"12345")]), "/ complete 5 0"),
            (announced("5", &[data(1, 0, b"123"), data(1, 0, b"45"), data(1, 1, b"")]), "/ complete 5 0"),
            (announced("5", &[data(1, 9, &padded(b"12345", 9))]), "/ complete 5 0"),
            (announced("5", &[data(1, 0, b"12345"), trailers.clone()]), "/ complete 5 1"),
            (announced("0", &[data(1, 1, b"")]), "/ complete"),
            (announced("00005", &[data(1, 1, b"12345")]), "/ complete 5 0"),
        ] {
            let mut server = Server::open().await;
            server.peer.send(&bytes).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, 1), "{frames:?}");
            assert_eq!(server.logged(), ["POST /", log]);
            server.probe().await;
        }
    });
}

/// However a malformed request goes on, it is over.
#[test]
fn what_follows_a_malformed_request_is_ignored() {
    run(|| async {
        let mut server = Server::open().await;
        let block = request("POST", "/no", &[("connection", "close")]);
        server.peer.send(&frame(kind::HEADERS, 0, 1, &block[..20])).await;
        server.peer.send(&continuation(1, flag::END_HEADERS, &block[20..])).await;
        server.peer.send(&[data(1, 0, b"x"), data(1, 1, b"y"), rst(1, code::CANCEL)].concat()).await;
        let frames = server.peer.rest().await;
        assert_eq!(error_of(&frames), None, "{frames:?}");
        server.probe().await;
        assert_eq!(server.logged(), ["GET /probe", "/probe complete"]);
    });
}
