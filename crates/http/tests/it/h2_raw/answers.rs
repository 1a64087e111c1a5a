//! What the server writes: heads, bodies and trailers (RFC 9113 §8.1, §8.3.2).

use leno_http::server::Config;

use super::run;
use super::server::{Server, is_answered};
use super::wire::{
    FRAME, Frame, PREFACE, data, flag, get, headers, kind, post, request, setting, settings, settings_ack,
    window_update,
};

/// The frames of one stream.
fn of(frames: &[Frame], stream: u32) -> Vec<Frame> {
    frames.iter().filter(|frame| frame.stream == stream).cloned().collect()
}

/// A head of an answer is well-formed whatever was put into it.
fn assert_head(head: &Frame) {
    assert!(head.kind == kind::HEADERS && head.has(flag::END_HEADERS), "{head:?}");
    assert_eq!(head.fields[0].0, ":status", "{head:?}");
    for (name, value) in &head.fields[1..] {
        assert!(!name.starts_with(':') && *name == name.to_ascii_lowercase(), "{head:?}");
        assert!(
            !matches!(&name[..], "connection" | "keep-alive" | "transfer-encoding" | "upgrade"),
            "{head:?}"
        );
        assert!(!value.contains(['\r', '\n', '\0']), "{head:?}");
    }
}

async fn ask(server: &mut Server, stream: u32, path: &str) -> Vec<Frame> {
    server.peer.send(&get(stream, path)).await;
    of(&server.peer.rest().await, stream)
}

#[test]
fn a_body_follows_its_head() {
    run(|| async {
        let mut server = Server::open().await;
        let frames = ask(&mut server, 1, "/whole/40000").await;
        assert_head(&frames[0]);
        assert_eq!(frames[0].field("content-length"), Some("40000"));
        assert!(frames[1..].iter().all(|frame| frame.kind == kind::DATA && frame.flow <= FRAME));
        assert_eq!(frames[1..].iter().map(|frame| frame.payload.len()).sum::<usize>(), 40_000);
        let ends = frames.iter().filter(|frame| frame.has(flag::END_STREAM)).count();
        assert!(ends == 1 && frames.last().is_some_and(|last| last.has(flag::END_STREAM)), "{frames:?}");
        server.probe().await;
    });
}

#[test]
fn the_head_of_an_empty_body_carries_the_end() {
    run(|| async {
        let mut server = Server::open().await;
        let frames = ask(&mut server, 1, "/whole/0").await;
        assert_head(&frames[0]);
        assert!(frames.len() == 1 && frames[0].has(flag::END_STREAM), "{frames:?}");
        server.probe().await;
    });
}

#[test]
fn trailers_carry_the_end() {
    run(|| async {
        let mut server = Server::open().await;
        for (stream, path, bytes) in [(1, "/stream/0", 0), (3, "/stream/25000", 25_000)] {
            let frames = ask(&mut server, stream, path).await;
            assert_head(&frames[0]);
            let [.., trailers] = &frames[..] else { panic!("{frames:?}") };
            assert!(trailers.kind == kind::HEADERS && trailers.has(flag::WHOLE), "{frames:?}");
            assert_eq!(trailers.fields, [("x-sum".to_owned(), "1".to_owned())]);
            assert!(
                frames[..frames.len() - 1].iter().all(|frame| !frame.has(flag::END_STREAM)),
                "{frames:?}"
            );
            let body = frames.iter().filter(|frame| frame.kind == kind::DATA);
            assert_eq!(body.map(|frame| frame.payload.len()).sum::<usize>(), bytes);
        }
        server.probe().await;
    });
}

/// RFC 9110 §8.6: the length that a GET would have had, and no body.
#[test]
fn answers_that_have_no_body() {
    run(|| async {
        let mut server = Server::open().await;
        for (stream, method, path, length) in [
            (1, "HEAD", "/status/200", Some("5")),
            (3, "HEAD", "/whole/7", Some("7")),
            (5, "HEAD", "/stream/10", None),
            (7, "GET", "/status/304", Some("5")),
            (9, "HEAD", "/status/304", Some("5")),
            (11, "HEAD", "/whole/0", Some("0")),
        ] {
            server.peer.send(&headers(stream, flag::END_STREAM, &request(method, path, &[]))).await;
            let frames = of(&server.peer.rest().await, stream);
            assert_head(&frames[0]);
            assert!(frames.len() == 1 && frames[0].has(flag::END_STREAM), "{method} {path} {frames:?}");
            assert_eq!(frames[0].field("content-length"), length, "{method} {path}");
        }
        let frames = ask(&mut server, 13, "/status/204").await;
        assert!(frames.len() == 1 && frames[0].has(flag::END_STREAM), "{frames:?}");
        server.probe().await;
    });
}

/// RFC 9110 §8.6: a server must not send it.
#[test]
fn a_204_has_no_length() {
    run(|| async {
        let mut server = Server::open().await;
        let frames = ask(&mut server, 1, "/status/204").await;
        assert_eq!(frames[0].field("content-length"), None, "{frames:?}");
        server.probe().await;
    });
}

#[test]
fn interim_answers_come_before_the_final_one() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&post(1, "/hints")).await;
        let frames = of(&server.peer.rest().await, 1);
        let statuses: Vec<_> = frames.iter().filter_map(Frame::status).collect();
        assert_eq!(statuses, [103, 103, 103, 200]);
        assert!(frames[..4].iter().all(|head| !head.has(flag::END_STREAM) && head.kind == kind::HEADERS));
        assert!(frames[..3].iter().all(|head| head.field("content-length").is_none()));
        frames[..4].iter().for_each(assert_head);
        assert!(is_answered(&frames, 1));
        server.peer.send(&data(1, flag::END_STREAM, b"late")).await;
        server.probe().await;
    });
}

/// Answers of many streams are each whole, whatever the order of their frames.
#[test]
fn many_streams_at_once() {
    run(|| async {
        let values = [(setting::INITIAL_WINDOW_SIZE, 1000)];
        let mut server = Server::open_with(Config::default(), &values).await;
        let streams: Vec<u32> = (0..100).map(|at| 2 * at + 1).collect();
        let asks: Vec<u8> = streams.iter().flat_map(|stream| get(*stream, "/whole/3000")).collect();
        server.peer.send(&asks).await;
        let mut frames = server.peer.rest().await;
        server.peer.send(&window_update(0, 1 << 20)).await;
        frames.extend(server.peer.rest().await);
        for stream in &streams {
            let bytes: usize =
                of(&frames, *stream).iter().filter(|f| f.kind == kind::DATA).map(|f| f.payload.len()).sum();
            assert_eq!(bytes, 1000, "{stream}");
        }
        server.peer.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 5000)])).await;
        frames.extend(server.peer.rest().await);
        for stream in streams {
            let own = of(&frames, stream);
            let bytes: usize = own.iter().filter(|f| f.kind == kind::DATA).map(|f| f.payload.len()).sum();
            assert!(bytes == 3000 && is_answered(&own, stream), "{own:?}");
            assert!(own.last().is_some_and(|last| last.has(flag::END_STREAM)));
        }
        server.probe().await;
    });
}

/// A stream whose window is closed doesn't hold the others.
#[test]
fn a_stalled_stream_holds_no_other() {
    run(|| async {
        let values = [(setting::INITIAL_WINDOW_SIZE, 0)];
        let mut server = Server::open_with(Config::default(), &values).await;
        server
            .peer
            .send(&[get(1, "/whole/50000"), get(3, "/stream/50000"), get(5, "/whole/50000")].concat())
            .await;
        let heads = server.peer.rest().await;
        assert!(heads.iter().all(|frame| frame.kind == kind::HEADERS) && heads.len() == 3, "{heads:?}");
        server.peer.send(&window_update(5, 50_000)).await;
        let frames = server.peer.rest().await;
        assert!(frames.iter().all(|frame| frame.is(kind::DATA, 5)), "{frames:?}");
        assert_eq!(frames.iter().map(|frame| frame.payload.len()).sum::<usize>(), 50_000);
        server.peer.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 60_000)])).await;
        server.peer.rest().await;
        server.peer.send(&window_update(0, 1 << 20)).await;
        server.peer.rest().await;
        server.probe().await;
    });
}

/// Answers that are each longer than what can be queued leave in turns, whether the socket or the connection's window
/// is what they wait for.
#[test]
fn streams_share_what_a_connection_can_send() {
    run(|| async {
        for by_window in [false, true] {
            let mut server = Server::start(Config::default(), 64 * 1024);
            let stream_windows = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];
            server.peer.send(&[PREFACE, &settings(&stream_windows), &settings_ack()].concat()).await;
            if !by_window {
                server.peer.send(&window_update(0, 1 << 30)).await;
            }
            let asked: Vec<u8> = (0..8).flat_map(|at| get(2 * at + 1, "/stream/4000000")).collect();
            server.peer.send(&asked).await;
            let mut come = [0; 8];
            while come.iter().sum::<usize>() < 4_000_000 {
                match server.peer.next().await {
                    Some(frame) if frame.kind == kind::DATA => {
                        come[usize::try_from(frame.stream / 2).expect("small")] += frame.payload.len();
                    }
                    Some(_) => {}
                    None => server.peer.send(&window_update(0, 65_535)).await,
                }
            }
            assert!(come.iter().all(|bytes| *bytes > 300_000), "by window: {by_window}, {come:?}");
            server.vanish().await;
        }
    });
}
