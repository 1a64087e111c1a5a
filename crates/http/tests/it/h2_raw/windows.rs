//! Flow control in both directions (RFC 9113 §5.2, §6.9).

use leno_http::server::Config;

use super::hpack::block;
use super::server::Expect::{Either, Goaway, Reset, Serves};
use super::server::{Server, check, error_of, is_answered, reset_of};
use super::wire::{
    FRAME, Frame, MAX_WINDOW, PREFACE, WINDOW, bulk, code, data, flag, get, headers, kind, padded, post, rst,
    setting, settings, settings_ack, window_update,
};
use super::{cases, run};

const ROOM: u32 = MAX_WINDOW - 65_535;

cases! { check;
    no_increment_of_the_connection: [window_update(0, 0)] => Goaway(&[code::PROTOCOL]);
    no_increment_of_a_stream: [post(1, "/hold"), window_update(1, 0)] => Either(1, &[code::PROTOCOL]);
    the_largest_window_of_the_connection: [window_update(0, ROOM)] => Serves;
    a_window_of_the_connection_too_large: [window_update(0, ROOM), window_update(0, 1)]
        => Goaway(&[code::FLOW_CONTROL]);
    the_largest_increment_of_the_connection: [window_update(0, MAX_WINDOW)] => Goaway(&[code::FLOW_CONTROL]);
    the_largest_window_of_a_stream: [get(1, "/hold"), window_update(1, ROOM), rst(1, 8)] => Serves;
    a_window_of_a_stream_too_large: [get(1, "/hold"), window_update(1, ROOM), window_update(1, 1)]
        => Either(1, &[code::FLOW_CONTROL]);
    the_largest_increment_of_a_stream: [get(1, "/hold"), window_update(1, MAX_WINDOW)]
        => Either(1, &[code::FLOW_CONTROL]);
    a_window_made_too_large_by_settings:
        [get(1, "/hold"), window_update(1, ROOM), settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)])]
        => Goaway(&[code::FLOW_CONTROL]);
    a_window_made_small_and_large_again: [
        get(1, "/hold"), settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]), window_update(1, MAX_WINDOW),
        settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]), rst(1, 8), settings(&[(setting::INITIAL_WINDOW_SIZE, 99)]),
    ] => Serves;
    an_error_of_one_stream_is_not_another_s: [get(1, "/hold"), window_update(1, MAX_WINDOW), get(3, "/")]
        => Reset(1, &[code::FLOW_CONTROL]);
}

fn size(payload: usize) -> u32 {
    u32::try_from(payload).expect("a window")
}

/// How many bytes of a stream's body came, and whether it ended.
fn body(frames: &[Frame], stream: u32) -> (usize, bool) {
    let own = frames.iter().filter(|frame| frame.is(kind::DATA, stream));
    let ended =
        frames.iter().any(|frame| frame.stream == stream && frame.kind <= 1 && frame.has(flag::END_STREAM));
    (own.map(|frame| frame.payload.len()).sum(), ended)
}

/// Whether one of both errors of flow control was made.
fn is_exceeded(frames: &[Frame], stream: u32) -> bool {
    error_of(frames) == Some(code::FLOW_CONTROL) || reset_of(frames, stream) == Some(code::FLOW_CONTROL)
}

#[test]
fn what_a_stream_s_window_holds_and_no_more() {
    run(|| async {
        let mut server = Server::open().await;
        let window = server.stream_window();
        server.peer.send(&[post(1, "/hold"), bulk(1, window)].concat()).await;
        assert!(server.peer.rest().await.is_empty());
        // No bytes need no window.
        server.peer.send(&[data(1, 0, b""), data(1, 0, b"")].concat()).await;
        server.probe().await;
        server.peer.send(&data(1, 0, b"x")).await;
        let frames = server.peer.rest().await;
        assert!(is_exceeded(&frames, 1), "{frames:?}");
    });
}

#[test]
fn what_the_connection_s_window_holds_and_no_more() {
    run(|| async {
        let mut server = Server::open().await;
        let (window, mut left, mut stream) = (server.stream_window(), server.window, 1);
        assert!(left >= window);
        while left > 0 {
            let bytes = left.min(window - 1);
            server.peer.send(&[post(stream, "/hold"), bulk(stream, bytes)].concat()).await;
            assert!(server.peer.rest().await.is_empty(), "{left}");
            (left, stream) = (left - bytes, stream + 2);
        }
        server.probe().await;
        server.peer.send(&data(stream - 2, 0, b"x")).await;
        let frames = server.peer.rest().await;
        assert!(is_exceeded(&frames, stream - 2), "{frames:?}");
    });
}

#[test]
fn padding_counts() {
    run(|| async {
        let mut server = Server::open().await;
        let window = server.stream_window();
        let padded = padded(&[0; FRAME - 256], 255);
        assert!(padded.len() == FRAME && window % FRAME == 0);
        let frames = vec![data(1, flag::PADDED, &padded); window / FRAME].concat();
        server.peer.send(&[post(1, "/hold"), frames].concat()).await;
        let frames = server.peer.rest().await;
        // What was padding may be given back at once.
        let granted: usize = frames.iter().map(|frame| frame.number(0) as usize).sum();
        assert!(frames.iter().all(|frame| frame.kind == kind::WINDOW_UPDATE), "{frames:?}");
        server.peer.send(&bulk(1, granted + 1)).await;
        let frames = server.peer.rest().await;
        assert!(is_exceeded(&frames, 1), "{granted} {frames:?}");
    });
}

/// A sender that keeps to the windows that it is granted.
struct Sender {
    server: Server,
    connection: usize,
}

impl Sender {
    async fn open(config: Config) -> Self {
        let server = Server::open_with(config, &[]).await;
        Self { connection: server.window, server }
    }

    /// What came meanwhile; adds what it grants.
    async fn receive(&mut self, stream: u32, window: &mut usize) -> Vec<Frame> {
        let frames = self.server.peer.rest().await;
        for frame in frames.iter().filter(|frame| frame.kind == kind::WINDOW_UPDATE) {
            let increment = frame.number(0) as usize;
            assert!(increment > 0);
            match frame.stream {
                0 => self.connection += increment,
                own if own == stream => *window += increment,
                _ => {}
            }
        }
        frames
    }

    /// Sends frames of these flags and payloads over and over, within the windows; panics if they aren't opened again.
    async fn send(&mut self, stream: u32, payloads: &[(u8, Vec<u8>)], count: usize) {
        let mut window = self.server.stream_window();
        for (at, (flags, payload)) in payloads.iter().cycle().take(count).enumerate() {
            if payload.len() > window.min(self.connection) {
                let frames = self.receive(stream, &mut window).await;
                let stalled = payload.len() > window.min(self.connection);
                assert!(!stalled, "stalled at {at}: {window} of {} {frames:?}", self.connection);
            }
            window -= payload.len();
            self.connection -= payload.len();
            self.server.peer.send(&data(stream, *flags, payload)).await;
        }
    }
}

/// So many frames, and the end.
async fn upload(config: Config, payloads: &[(u8, Vec<u8>)], count: usize) {
    let mut sender = Sender::open(config).await;
    sender.server.peer.send(&post(1, "/")).await;
    sender.send(1, payloads, count).await;
    sender.server.peer.send(&data(1, flag::END_STREAM, b"")).await;
    let frames = sender.server.peer.rest().await;
    assert!(is_answered(&frames, 1), "{frames:?}");
    sender.server.probe().await;
}

/// Each is more than all windows.
#[test]
fn a_long_body_never_stalls() {
    run(|| async {
        let config = Config::default;
        upload(config(), &[(0, vec![b'x'; FRAME])], 600).await;
        upload(config(), &[(0, vec![b'x'; 1000])], 10_000).await;
        upload(config(), &[(flag::PADDED, padded(&[b'x'; 1000], 255))], 8000).await;
        upload(config(), &[(flag::PADDED, padded(b"x", 200))], 12_000).await;
    });
}

/// As few as no defence against empty frames minds.
#[test]
fn frames_of_padding_alone_never_stall() {
    run(|| async {
        let mut config = Config::default();
        config.h2.stream_window = 8000;
        upload(config, &[(flag::PADDED, padded(b"", 255)), (0, vec![b'x'; 500])], 100).await;
    });
}

/// Bytes that nobody reads any more are still the connection's: otherwise its window would shrink with each stream.
#[test]
fn streams_that_are_over_give_the_connection_its_window_back() {
    run(|| async {
        // The server answers early, drops the exchange, is reset by the client amid the body, or has refused the
        // request; or the client's own frames came too late.
        for case in ["/now", "/drop", "/hold", "malformed", "late"] {
            let mut sender = Sender::open(Config::default()).await;
            for stream in (1..120).step_by(2) {
                let malformed = headers(stream, 0, &block(&[(":method", "POST"), (":path", "/no")]));
                sender
                    .server
                    .peer
                    .send(&match case {
                        "malformed" => malformed,
                        "late" => post(stream, "/drop"),
                        path => post(stream, path),
                    })
                    .await;
                if case == "late" {
                    let mut none = 0;
                    sender.receive(stream, &mut none).await;
                }
                sender.send(stream, &[(0, vec![0; FRAME])], 4).await;
                if case == "/hold" {
                    sender.server.peer.send(&rst(stream, code::CANCEL)).await;
                }
            }
            let frames = sender.server.peer.rest().await;
            assert_eq!(error_of(&frames), None, "{case}");
            sender.server.probe().await;
        }
    });
}

#[test]
fn a_stream_s_window_is_kept_to_the_byte() {
    run(|| async {
        for initial in [0, 1, 7] {
            let values = [(setting::INITIAL_WINDOW_SIZE, initial)];
            let mut server = Server::open_with(Config::default(), &values).await;
            server.peer.send(&get(1, "/whole/20")).await;
            let frames = server.peer.rest().await;
            assert_eq!(body(&frames, 1), (initial as usize, false));
            assert!(frames.iter().any(|frame| frame.status() == Some(200)), "a head needs no window");
            for (increment, bytes) in [(1, 1), (2, 2), (1, 1)] {
                server.peer.send(&window_update(1, increment)).await;
                assert_eq!(body(&server.peer.rest().await, 1), (bytes, false));
            }
            // The other streams' windows are their own, and what has no bytes needs none.
            server
                .peer
                .send(&[get(3, "/stream/0"), get(5, "/whole/0"), get(7, "/status/204")].concat())
                .await;
            let frames = server.peer.rest().await;
            assert!([3, 5, 7].iter().all(|stream| body(&frames, *stream) == (0, true)), "{frames:?}");
            server.peer.send(&window_update(1, 100)).await;
            assert_eq!(body(&server.peer.rest().await, 1), (16 - initial as usize, true));
        }
    });
}

/// There are peers that count by a setting only from its acknowledgement on.
#[test]
fn settings_are_acknowledged_before_what_they_allow() {
    run(|| async {
        let initial = |value| [(setting::INITIAL_WINDOW_SIZE, value)];
        let mut server = Server::open_with(Config::default(), &initial(1)).await;
        server.peer.send(&get(1, "/whole/16")).await;
        assert_eq!(body(&server.peer.rest().await, 1), (1, false));
        server.peer.send(&settings(&initial(100))).await;
        let frames = server.peer.rest().await;
        let ack = frames.iter().position(|frame| frame.is(kind::SETTINGS, 0) && frame.has(flag::ACK));
        let rest = frames.iter().position(|frame| frame.is(kind::DATA, 1));
        assert!(ack.is_some() && ack < rest && body(&frames, 1) == (15, true), "{frames:?}");
    });
}

#[test]
fn the_connection_s_window_is_kept_to_the_byte() {
    run(|| async {
        let values = [(setting::INITIAL_WINDOW_SIZE, 1 << 20)];
        let mut server = Server::open_with(Config::default(), &values).await;
        server.peer.send(&[get(1, "/whole/100000"), get(3, "/stream/100000")].concat()).await;
        let frames = server.peer.rest().await;
        let (one, other) = (body(&frames, 1).0, body(&frames, 3).0);
        assert_eq!(one + other, WINDOW);
        server.peer.send(&window_update(0, 1)).await;
        let frames = server.peer.rest().await;
        assert_eq!(body(&frames, 1).0 + body(&frames, 3).0, 1);
        // A stream that is reset takes none of it with it.
        server
            .peer
            .send(&[rst(1, code::CANCEL), get(5, "/whole/10"), window_update(0, 200_000)].concat())
            .await;
        let frames = server.peer.rest().await;
        assert_eq!(body(&frames, 5), (10, true));
        assert_eq!(body(&frames, 1).0, 0, "nothing is sent on a stream that was reset");
        assert!(body(&frames, 3).1);
    });
}

/// RFC 9113 §6.9.2: a change of the initial size changes all streams' windows, below zero too.
#[test]
fn settings_change_the_windows_of_open_streams() {
    run(|| async {
        let initial = |value| settings(&[(setting::INITIAL_WINDOW_SIZE, value)]);
        let mut server = Server::open().await;
        server.peer.send(&[window_update(0, 1 << 20), get(1, "/whole/100000")].concat()).await;
        assert_eq!(body(&server.peer.rest().await, 1), (WINDOW, false));
        for (change, bytes) in [
            (initial(65_545), 10),
            (initial(65_545), 0),
            (initial(0), 0),
            // It is 65,545 below zero now.
            (window_update(1, 65_545), 0),
            (window_update(1, 3), 3),
            (initial(5), 5),
            (initial(2), 0),
            (window_update(1, 3), 0),
            (window_update(1, 1), 1),
            ([initial(1), initial(4)].concat(), 2),
        ] {
            server.peer.send(&change).await;
            assert_eq!(body(&server.peer.rest().await, 1), (bytes, false), "{}", change.escape_ascii());
        }
        // The last of several values in a frame counts (RFC 9113 §6.5.3).
        let id = setting::INITIAL_WINDOW_SIZE;
        server.peer.send(&settings(&[(id, 1 << 20), (id, 3), (id, 6)])).await;
        assert_eq!(body(&server.peer.rest().await, 1), (2, false));
        server.peer.send(&get(3, "/whole/100")).await;
        assert_eq!(body(&server.peer.rest().await, 3), (6, false), "new streams begin with it");
        server.peer.send(&[window_update(1, 1 << 20), window_update(3, 1 << 20)].concat()).await;
        let frames = server.peer.rest().await;
        assert_eq!((body(&frames, 1), body(&frames, 3)), ((100_000 - WINDOW - 23, true), (94, true)));
        server.peer.send(&initial(65_535)).await;
        server.probe().await;
    });
}

/// What is sent never exceeds the peer's frames; that, rather than what was given, makes the pieces.
#[test]
fn bodies_are_split_into_the_peer_s_frames() {
    run(|| async {
        let large = [(setting::INITIAL_WINDOW_SIZE, MAX_WINDOW), (setting::MAX_FRAME_SIZE, 0x00ff_ffff)];
        for values in [&large[..1], &large] {
            let mut server = Server::open_with(Config::default(), values).await;
            let frame = values.get(1).map_or(FRAME, |value| value.1 as usize);
            server.peer.max_frame = frame;
            server
                .peer
                .send(&[window_update(0, ROOM), get(1, "/whole/1000001"), get(3, "/stream/1000001")].concat())
                .await;
            let frames = server.peer.rest().await;
            assert_eq!((body(&frames, 1), body(&frames, 3)), ((1_000_001, true), (1_000_001, true)));
            assert!(
                frames.iter().all(|f| f.kind != kind::DATA || f.flow > 0 || f.has(flag::END_STREAM)),
                "none is empty"
            );
            server.probe().await;
        }
        // A size that changes while a body waits is kept as well.
        let values = [(setting::MAX_FRAME_SIZE, 1 << 20), (setting::INITIAL_WINDOW_SIZE, 0)];
        let mut server = Server::open_with(Config::default(), &values).await;
        server.peer.send(&[get(1, "/whole/200000"), window_update(0, 1 << 20)].concat()).await;
        server.peer.rest().await;
        server.peer.send(&settings(&[(setting::MAX_FRAME_SIZE, size(FRAME))])).await;
        server.peer.rest().await;
        server.peer.send(&window_update(1, 1 << 20)).await;
        assert_eq!(body(&server.peer.rest().await, 1), (200_000, true));
    });
}

/// What came of a request that is taken back before anybody saw it is the connection's window nevertheless.
#[test]
fn requests_taken_back_at_once_give_their_bytes_back() {
    run(|| async {
        let mut server = Server::open().await;
        let mut left = server.window;
        for at in 0..100 {
            let stream = 2 * at + 1;
            let whole = [post(stream, "/hold"), bulk(stream, 10_000), rst(stream, code::CANCEL)].concat();
            assert!(left >= 10_000, "the window is given back");
            server.peer.send(&whole).await;
            left -= 10_000;
            for frame in server.peer.rest().await.iter().filter(|frame| frame.is(kind::WINDOW_UPDATE, 0)) {
                left += usize::try_from(frame.number(0)).expect("a window");
            }
        }
        server.probe().await;
        server.end().await;
    });
}

/// RFC 9113 §6.9.3: a client that hasn't heard of a smaller window yet keeps to the one that all begin with.
#[test]
fn a_smaller_window_binds_nobody_before_it_is_known() {
    run(|| async {
        let mut config = Config::default();
        config.h2.stream_window = 1000;
        let mut server = Server::start(config, 1 << 21);
        let early = [PREFACE, &settings(&[]), &post(1, "/"), &bulk(1, 65_000), &data(1, 1, b"")].concat();
        server.peer.send(&early).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:?}");
        server.peer.send(&[settings_ack(), post(3, "/hold"), bulk(3, 1001)].concat()).await;
        let frames = server.peer.rest().await;
        assert!(frames.iter().any(|frame| frame.is(kind::RST_STREAM, 3)), "{frames:?}");
        server.end().await;
    });
}
