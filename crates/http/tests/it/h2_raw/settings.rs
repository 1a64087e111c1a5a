//! SETTINGS and PING (RFC 9113 §6.5 and §6.7).

use leno_http::server::Config;

use super::server::Expect::{Goaway, Serves, Tolerated};
use super::server::{PROBE, Server, check, is_answered};
use super::wire::{MAX_WINDOW, code, flag, frame, get, kind, ping, setting, settings, settings_ack};
use super::{cases, in_turn, run};

cases! { check;
    push_enabled_or_not: [settings(&[(setting::ENABLE_PUSH, 0)]), settings(&[(setting::ENABLE_PUSH, 1)])]
        => Serves;
    push_neither_enabled_nor_not: [settings(&[(setting::ENABLE_PUSH, 2)])] => Goaway(&[code::PROTOCOL]);
    push_of_all_ones: [settings(&[(setting::ENABLE_PUSH, u32::MAX)])] => Goaway(&[code::PROTOCOL]);
    the_largest_window: [settings(&[(setting::INITIAL_WINDOW_SIZE, MAX_WINDOW)])] => Serves;
    a_window_too_large: [settings(&[(setting::INITIAL_WINDOW_SIZE, MAX_WINDOW + 1)])]
        => Goaway(&[code::FLOW_CONTROL]);
    a_window_of_all_ones: [settings(&[(setting::INITIAL_WINDOW_SIZE, u32::MAX)])]
        => Goaway(&[code::FLOW_CONTROL]);
    the_least_and_the_largest_frames:
        [settings(&[(setting::MAX_FRAME_SIZE, 16_384)]), settings(&[(setting::MAX_FRAME_SIZE, 0x00ff_ffff)])]
        => Serves;
    frames_too_small: [settings(&[(setting::MAX_FRAME_SIZE, 16_383)])] => Goaway(&[code::PROTOCOL]);
    frames_of_nothing: [settings(&[(setting::MAX_FRAME_SIZE, 0)])] => Goaway(&[code::PROTOCOL]);
    frames_too_large: [settings(&[(setting::MAX_FRAME_SIZE, 0x0100_0000)])] => Goaway(&[code::PROTOCOL]);
    unknown_settings: [settings(&[(0, 1), (7, 2), (9, 3), (0x0a0a, 4), (0xffff, u32::MAX)])] => Serves;
    no_values: [settings(&[]), settings(&[])] => Serves;
    any_table: [settings(&[(setting::HEADER_TABLE_SIZE, 4096)]), settings(&[(setting::HEADER_TABLE_SIZE, u32::MAX)])]
        => Serves;
    no_streams: [settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)])] => Serves;
    extended_connect: [settings(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)])] => Serves;
    extended_connect_neither_enabled_nor_not: [settings(&[(setting::ENABLE_CONNECT_PROTOCOL, 2)])]
        => Tolerated(0, &[code::PROTOCOL]);
    a_good_and_a_bad_value: [settings(&[(setting::MAX_CONCURRENT_STREAMS, 9), (setting::ENABLE_PUSH, 9)])]
        => Goaway(&[code::PROTOCOL]);
    as_many_values_as_fit: [settings(&[(0x0a0a, 1); 2730])] => Serves;
    an_ack_too_many: [settings_ack(), settings_ack()] => Tolerated(0, &[code::PROTOCOL]);
    a_ping_ack_unasked: [frame(kind::PING, flag::ACK, 0, b"12345678")] => Serves;
    a_small_window_in_turn: in_turn([settings(&[(setting::INITIAL_WINDOW_SIZE, 20)]), get(1, "/")]) => Serves;
}

#[test]
fn each_settings_is_acknowledged_once() {
    run(|| async {
        let mut server = Server::open().await;
        for (count, step) in [
            (1, settings(&[(setting::MAX_CONCURRENT_STREAMS, 7)])),
            (1, settings(&[])),
            (
                3,
                [settings(&[(setting::INITIAL_WINDOW_SIZE, 9)]), settings(&[]), settings(&[(99, 1)])]
                    .concat(),
            ),
        ] {
            server.peer.send(&step).await;
            let frames = server.peer.rest().await;
            let acks = frames.iter().filter(|f| f.is(kind::SETTINGS, 0) && f.flags == flag::ACK);
            assert!(acks.filter(|ack| ack.payload.is_empty()).count() == count, "{frames:?}");
        }
        server.probe().await;
    });
}

#[test]
fn pings_are_answered_with_their_payload_and_in_order() {
    run(|| async {
        let mut server = Server::open().await;
        let sent = [*b"12345678", [0; 8], [0xff; 8], *b"abcdefgh"];
        server.peer.send(&sent.map(|payload| ping(&payload)).concat()).await;
        let frames = server.peer.rest().await;
        let payloads: Vec<_> =
            frames.iter().map(|frame| (frame.kind, frame.flags, &frame.payload[..])).collect();
        assert_eq!(payloads, sent.each_ref().map(|payload| (kind::PING, flag::ACK, &payload[..])));
        // A PING amid a request's frames.
        server
            .peer
            .send(&[super::wire::post(1, "/"), ping(b"amid him"), super::wire::data(1, 1, b"x")].concat())
            .await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1) && frames.iter().any(|f| f.kind == kind::PING && f.has(flag::ACK)));
        // An answer isn't answered.
        server.peer.send(&frame(kind::PING, flag::ACK, 0, b"answered")).await;
        assert!(server.peer.rest().await.is_empty());
        server.probe().await;
    });
}

/// What a server may and should announce.
#[test]
fn the_server_s_own_settings_are_valid() {
    run(|| async {
        let server = Server::open().await;
        let config = Config::default();
        let values = &server.settings;
        assert!(values.iter().all(|(id, value)| (*id, *value) != (setting::ENABLE_PUSH, 1)), "{values:?}");
        assert_eq!(server.setting(setting::MAX_CONCURRENT_STREAMS, 0), config.h2.streams as usize);
        assert_eq!(server.setting(setting::ENABLE_CONNECT_PROTOCOL, 0), 1);
        assert_eq!(server.setting(setting::MAX_HEADER_LIST_SIZE, 0), config.head_bytes);
        assert_eq!(server.setting(setting::MAX_FRAME_SIZE, 16_384), 16_384);
        assert_eq!(server.stream_window(), config.h2.stream_window as usize);
        assert_eq!(server.window, config.h2.connection_window as usize);
        assert_eq!(server.end().await, None);
    });
}

/// Settings may wait to be acknowledged for as long as the connection lasts; the server serves meanwhile.
#[test]
fn a_client_needn_t_acknowledge_before_it_asks() {
    run(|| async {
        let mut server = Server::start(Config::default(), 1 << 16);
        server.peer.send(&[super::wire::PREFACE, &settings(&[]), &get(1, "/")].concat()).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:?}");
        assert!(frames[0].is(kind::SETTINGS, 0) && frames[0].flags == 0);
        server.probe().await;
    });
}

/// A table that becomes smaller must be said so in the next block (RFC 7541 §4.2); the decoder here sees to that.
#[test]
fn the_peer_s_table_size_is_respected() {
    run(|| async {
        let mut server = Server::open().await;
        let mut stream = 1;
        for sizes in [&[4096][..], &[0], &[64], &[4096], &[0, 4096], &[100, 50, 200], &[65_536], &[4096]] {
            for size in sizes {
                server.peer.send(&settings(&[(setting::HEADER_TABLE_SIZE, *size)])).await;
            }
            let acks = server.peer.rest().await;
            assert!(acks.iter().all(|ack| ack.is(kind::SETTINGS, 0)) && acks.len() == sizes.len());
            for size in sizes {
                server.peer.allow_table(usize::try_from(*size).expect("small"));
            }
            for _ in 0..3 {
                server.peer.send(&get(stream, "/stream/5")).await;
                let frames = server.peer.rest().await;
                assert!(is_answered(&frames, stream), "{sizes:?} {frames:?}");
                let trailers =
                    frames.iter().rfind(|frame| frame.is(kind::HEADERS, stream)).expect("trailers");
                assert_eq!(trailers.field("x-sum"), Some("1"));
                stream += 2;
            }
        }
        assert!(stream < PROBE);
        server.probe().await;
    });
}
