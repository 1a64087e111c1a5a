//! The preface, and frames as such: sizes, streams, types, flags and padding (RFC 9113 §3.4, §4, §6).

use leno_http::server::Config;

use super::server::Expect::{Either, Goaway, Serves};
use super::server::{Server, check, error_of, is_answered};
use super::wire::{
    FRAME, PREFACE, code, continuation, data, flag, frame, get, goaway, headers, kind, padded, ping, post,
    priority, request, rst, settings, settings_ack, window_update,
};
use super::{cases, run};

/// What isn't HTTP/2's preface ends the connection; whether a GOAWAY says so is free (RFC 9113 §3.4).
#[test]
fn a_wrong_preface_ends_the_connection() {
    run(|| async {
        let wrong = |at: usize| {
            let mut bytes = PREFACE.to_vec();
            bytes[at] ^= 0x20;
            bytes
        };
        for preface in [
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a ClientHello".to_vec(),
            wrong(0),
            wrong(12),
            wrong(23),
        ] {
            let mut server = Server::start(Config::default(), 1 << 16);
            server.peer.send(&[&preface[..], &settings(&[]), &get(1, "/")].concat()).await;
            let frames = server.peer.rest().await;
            let context = format!("{} {frames:?}", preface.escape_ascii());
            assert!(server.peer.ended, "{context}");
            assert!(matches!(error_of(&frames), None | Some(code::PROTOCOL)), "{context}");
            assert_eq!(server.logged(), [""; 0], "{context}");
            assert!(server.end().await.is_some(), "it is known why: {context}");
        }
    });
}

#[test]
fn a_preface_without_settings_ends_the_connection() {
    run(|| async {
        let firsts = [get(1, "/"), ping(b"12345678"), window_update(0, 1), settings_ack(), goaway(0, 0)];
        for first in firsts {
            let mut server = Server::start(Config::default(), 1 << 16);
            server.peer.send(&[PREFACE, &first, &get(3, "/")].concat()).await;
            let frames = server.peer.rest().await;
            let context = format!("{} {frames:?}", first.escape_ascii());
            assert!(server.peer.ended, "{context}");
            assert!(matches!(error_of(&frames), None | Some(code::PROTOCOL)), "{context}");
            assert_eq!(server.logged(), [""; 0], "{context}");
        }
    });
}

#[test]
fn a_preface_that_is_cut_off_ends_the_connection() {
    run(|| async {
        let whole = [PREFACE, &settings(&[(1, 0)])].concat();
        for end in 0..whole.len() {
            let mut server = Server::start(Config::default(), 1 << 16);
            server.peer.send(&whole[..end]).await;
            assert!(error_of(&server.peer.rest().await).is_none(), "{end}");
            let log = server.log.clone();
            server.end().await;
            assert!(log.borrow().is_empty());
        }
    });
}

/// Frames end anywhere in what one read yields.
#[test]
fn bytes_may_come_one_by_one() {
    run(|| async {
        let mut server = Server::start(Config::default(), 1 << 16);
        let head = request("POST", "/", &[("x", "y")]);
        let (start, end) = head.split_at(20);
        let conversation = [
            PREFACE.to_vec(),
            settings(&[(3, 100)]),
            settings_ack(),
            frame(kind::HEADERS, 0, 1, start),
            continuation(1, flag::END_HEADERS, end),
            data(1, flag::PADDED, &padded(b"hello", 3)),
            ping(b"12345678"),
            frame(0xbe, 0xff, 7, b"unknown"),
            headers(1, flag::END_STREAM, &super::hpack::block(&[("x-sum", "1")])),
        ];
        for byte in conversation.concat() {
            server.peer.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:#?}");
        assert_eq!(server.logged(), ["POST /", "/ complete 5 1"]);
        assert_eq!(server.end().await, None);
    });
}

cases! { check;
    // Streams (RFC 9113 §6): each type belongs to streams or to the connection.
    data_on_the_connection: [data(0, 0, b"x")] => Goaway(&[code::PROTOCOL]);
    headers_on_the_connection: [get(0, "/")] => Goaway(&[code::PROTOCOL]);
    priority_on_the_connection: [priority(0, 1, 0)] => Goaway(&[code::PROTOCOL]);
    rst_stream_on_the_connection: [rst(0, code::CANCEL)] => Goaway(&[code::PROTOCOL]);
    continuation_on_the_connection: [continuation(0, flag::END_HEADERS, b"")] => Goaway(&[code::PROTOCOL]);
    push_promise_on_the_connection: [frame(kind::PUSH_PROMISE, 4, 0, &[0, 0, 0, 2])]
        => Goaway(&[code::PROTOCOL]);
    settings_on_a_stream: [frame(kind::SETTINGS, 0, 1, b"")] => Goaway(&[code::PROTOCOL]);
    settings_ack_on_a_stream: [frame(kind::SETTINGS, flag::ACK, 1, b"")] => Goaway(&[code::PROTOCOL]);
    ping_on_a_stream: [frame(kind::PING, 0, 1, &[0; 8])] => Goaway(&[code::PROTOCOL]);
    goaway_on_a_stream: [frame(kind::GOAWAY, 0, 1, &[0; 8])] => Goaway(&[code::PROTOCOL]);
    settings_on_an_open_stream: [post(1, "/hold"), frame(kind::SETTINGS, 0, 1, b"")]
        => Goaway(&[code::PROTOCOL]);

    // Sizes (RFC 9113 §4.2). What alters the connection's state is a connection error, the rest may be one.
    data_of_the_largest_size: [post(1, "/"), data(1, flag::END_STREAM, &[0; FRAME])] => Serves;
    data_larger_than_allowed: [post(1, "/"), data(1, flag::END_STREAM, &[0; FRAME + 1])]
        => Either(1, &[code::FRAME_SIZE]);
    headers_larger_than_allowed: [headers(1, 1, &request("GET", "/", &[("x", &"y".repeat(FRAME))]))]
        => Goaway(&[code::FRAME_SIZE]);
    continuation_larger_than_allowed:
        [frame(kind::HEADERS, 1, 1, &request("GET", "/", &[])), continuation(1, 4, &[0; FRAME + 1])]
        => Goaway(&[code::FRAME_SIZE]);
    settings_larger_than_allowed: [frame(kind::SETTINGS, 0, 0, &[0xff; 16_386])]
        => Goaway(&[code::FRAME_SIZE]);
    an_unknown_type_larger_than_allowed: [frame(0x16, 0, 0, &[0; FRAME + 1])] => Goaway(&[code::FRAME_SIZE]);
    a_length_of_all_ones: [b"\xff\xff\xff\0\0\0\0\0\x01".to_vec()]
        => Goaway(&[code::FRAME_SIZE, code::PROTOCOL]);
    a_short_ping: [frame(kind::PING, 0, 0, &[0; 7])] => Goaway(&[code::FRAME_SIZE]);
    a_long_ping: [frame(kind::PING, 0, 0, &[0; 9])] => Goaway(&[code::FRAME_SIZE]);
    an_empty_ping: [frame(kind::PING, 0, 0, b"")] => Goaway(&[code::FRAME_SIZE]);
    a_short_priority: [get(1, "/"), frame(kind::PRIORITY, 0, 1, &[0; 4])] => Either(1, &[code::FRAME_SIZE]);
    a_long_priority: [get(1, "/"), frame(kind::PRIORITY, 0, 1, &[0; 6])] => Either(1, &[code::FRAME_SIZE]);
    a_short_rst_stream: [post(1, "/hold"), frame(kind::RST_STREAM, 0, 1, &[0; 3])]
        => Goaway(&[code::FRAME_SIZE]);
    a_long_rst_stream: [post(1, "/hold"), frame(kind::RST_STREAM, 0, 1, &[0; 5])]
        => Goaway(&[code::FRAME_SIZE]);
    a_short_window_update: [frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])] => Goaway(&[code::FRAME_SIZE]);
    a_long_window_update: [frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1, 0])] => Goaway(&[code::FRAME_SIZE]);
    a_long_window_update_of_a_stream: [post(1, "/hold"), frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1, 0])]
        => Goaway(&[code::FRAME_SIZE]);
    settings_cut_in_an_entry: [frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0])] => Goaway(&[code::FRAME_SIZE]);
    settings_with_a_rest: [frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 1, 0, 0])]
        => Goaway(&[code::FRAME_SIZE]);
    a_settings_ack_with_values: [frame(kind::SETTINGS, flag::ACK, 0, &[0, 3, 0, 0, 0, 9])]
        => Goaway(&[code::FRAME_SIZE]);
    a_short_goaway: [frame(kind::GOAWAY, 0, 0, &[0; 7])] => Goaway(&[code::FRAME_SIZE]);
    headers_too_short_for_their_priority: [frame(kind::HEADERS, 0x25, 1, &[0; 4])]
        => Goaway(&[code::FRAME_SIZE, code::PROTOCOL]);
    headers_too_short_for_their_padding: [frame(kind::HEADERS, 0xd, 1, b"")]
        => Goaway(&[code::FRAME_SIZE, code::PROTOCOL]);

    // What isn't known is ignored (RFC 9113 §4.1 and §5.5).
    an_unknown_type_on_the_connection: [frame(0xa, 0, 0, b"x"), frame(0xff, 0xff, 0, &[0; FRAME])] => Serves;
    an_unknown_type_on_streams: [frame(0xa, 0xff, 1, b""), post(3, "/"), frame(0xa, 1, 3, b"x"), data(3, 1, b"x")]
        => Serves;
    an_unknown_type_on_an_idle_stream_does_not_open_it: [frame(0xa, 0, 1001, b"x"), get(1, "/")] => Serves;
    unknown_flags: [frame(kind::PING, 0xfe, 0, &[1; 8]), frame(kind::SETTINGS, 0xfe, 0, b"")] => Serves;
    unknown_flags_of_streams:
        [frame(kind::HEADERS, 0xd6, 1, &request("POST", "/", &[])), frame(kind::DATA, 0xf7, 1, b"x")]
        => Serves;
    unknown_flags_of_window_update_and_rst: [post(1, "/hold"), frame(kind::WINDOW_UPDATE, 0xff, 1, &[0, 0, 0, 1]),
        frame(kind::RST_STREAM, 0xff, 1, &[0, 0, 0, 8])] => Serves;
    reserved_bits: [frame(kind::PING, 0, 0x8000_0000, &[1; 8]), get(0x8000_0001, "/"),
        window_update(0, 0x8000_0001)] => Serves;

    // Padding (RFC 9113 §6.1 and §6.2).
    padded_data: [post(1, "/"), data(1, 9, &padded(b"hello", 255))] => Serves;
    data_with_a_padding_of_nothing: [post(1, "/"), data(1, 9, &padded(b"hello", 0))] => Serves;
    data_of_padding_alone: [post(1, "/"), data(1, 8, &padded(b"", 9)), data(1, 9, &[0])] => Serves;
    padding_as_long_as_the_payload: [post(1, "/"), data(1, 9, &[5, 0, 0, 0, 0])] => Goaway(&[code::PROTOCOL]);
    padding_longer_than_the_payload: [post(1, "/"), data(1, 9, &[200, 0, 0])] => Goaway(&[code::PROTOCOL]);
    padded_data_without_a_payload: [post(1, "/"), data(1, 9, b"")]
        => Goaway(&[code::PROTOCOL, code::FRAME_SIZE]);
    padded_headers: [headers(1, 9, &padded(&request("GET", "/", &[]), 77))] => Serves;
    padded_headers_with_priority:
        [headers(1, 0x29, &padded(&[&[0, 0, 0, 0, 9], &request("GET", "/", &[])[..]].concat(), 7))] => Serves;
    headers_with_too_much_padding: [headers(1, 9, &[&[200], &request("GET", "/", &[])[..]].concat())]
        => Goaway(&[code::PROTOCOL]);
    headers_whose_padding_covers_their_priority: [headers(1, 0x29, &[3, 0, 0, 0, 0, 0, 0])]
        => Goaway(&[code::PROTOCOL, code::FRAME_SIZE]);
}
