//! What a client sends, and how its streams end: resets, GOAWAY, frames on streams that aren't its own.

use bytes::Bytes;
use http::{HeaderMap, Method};
use leno_http::client::Config;
use leno_http::exchange::{Answer, Frame as Body, Progress, Response};
use leno_http::head::{Framing, RequestHead, Scheme};
use leno_model::failure::Failure;
use tokio::time::timeout;

use super::client::Expect::{Answers, Either, Goaway, Tolerated};
use super::client::{Client, answer, check, head, outcome};
use super::server::{error_of, is_quiet, reset_of};
use super::wire::{
    Frame, MAX_WINDOW, SILENCE, code, continuation, data, flag, frame, goaway, headers, kind, ping, priority,
    rst, setting, settings, settings_ack, window_update,
};
use super::{cases, run};

const DONE: u8 = flag::END_STREAM;

/// A whole answer after something else.
fn after(frames: Vec<u8>) -> [Vec<u8>; 2] {
    [frames, answer(1, 200, DONE)]
}

fn push(stream: u32) -> Vec<u8> {
    frame(
        kind::PUSH_PROMISE,
        4,
        stream,
        &[&[0, 0, 0, 2], &super::wire::request("GET", "/", &[])[..]].concat(),
    )
}

cases! { check;
    // Streams that are none of the client's (RFC 9113 §5.1.1).
    an_answer_on_a_stream_of_the_server: after(answer(2, 200, 1)) => Goaway(&[code::PROTOCOL]);
    an_answer_on_an_idle_stream: after(answer(5, 200, 1)) => Goaway(&[code::PROTOCOL]);
    an_answer_on_the_connection: after(answer(0, 200, 1)) => Goaway(&[code::PROTOCOL]);
    data_of_the_server_on_its_own_stream: after(data(2, 0, b"x")) => Goaway(&[code::PROTOCOL]);
    data_of_the_server_on_an_idle_stream: after(data(5, 0, b"x")) => Goaway(&[code::PROTOCOL]);
    data_of_the_server_on_the_connection: after(data(0, 0, b"x")) => Goaway(&[code::PROTOCOL]);
    rst_stream_of_the_server_on_its_own_stream: after(rst(2, 8)) => Goaway(&[code::PROTOCOL]);
    rst_stream_of_the_server_on_an_idle_stream: after(rst(5, 8)) => Goaway(&[code::PROTOCOL]);
    window_update_of_the_server_on_an_idle_stream: after(window_update(5, 1)) => Goaway(&[code::PROTOCOL]);
    priority_of_the_server: after([priority(1, 0, 1), priority(5, 1, 1), priority(2, 0, 1)].concat())
        => Answers(200, 0, 0);

    // Push is off (RFC 9113 §8.4).
    a_push: after(push(1)) => Goaway(&[code::PROTOCOL]);
    a_push_on_an_idle_stream: after(push(5)) => Goaway(&[code::PROTOCOL]);
    a_push_on_the_connection: after(push(0)) => Goaway(&[code::PROTOCOL]);
    a_server_that_offers_push: after(settings(&[(setting::ENABLE_PUSH, 1)])) => Goaway(&[code::PROTOCOL]);
    a_server_that_offers_no_push: after(settings(&[(setting::ENABLE_PUSH, 0)])) => Answers(200, 0, 0);

    // Frames as such, in short: most is shared with the accepting end.
    settings_of_the_server_on_a_stream: after(frame(kind::SETTINGS, 0, 1, b"")) => Goaway(&[code::PROTOCOL]);
    settings_of_the_server_with_a_rest: after(frame(kind::SETTINGS, 0, 0, b"x")) => Goaway(&[code::FRAME_SIZE]);
    a_window_of_the_server_too_large: after(settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]))
        => Goaway(&[code::FLOW_CONTROL]);
    frames_of_the_server_too_small: after(settings(&[(setting::MAX_FRAME_SIZE, 1)])) => Goaway(&[code::PROTOCOL]);
    extended_connect_of_the_server_neither_enabled_nor_not: after(settings(&[(setting::ENABLE_CONNECT_PROTOCOL, 7)]))
        => Tolerated(&[code::PROTOCOL]);
    unknown_settings_of_the_server: after(settings(&[(0x99, 1), (0xffff, 7)])) => Answers(200, 0, 0);
    an_unknown_frame_of_the_server: after([frame(0xbe, 0xff, 1, b"x"), frame(0xbf, 0, 0, b"")].concat())
        => Answers(200, 0, 0);
    a_short_ping_of_the_server: after(frame(kind::PING, 0, 0, b"1234")) => Goaway(&[code::FRAME_SIZE]);
    a_short_goaway_of_the_server: after(frame(kind::GOAWAY, 0, 0, b"1234")) => Goaway(&[code::FRAME_SIZE]);
    data_of_the_server_larger_than_allowed: [answer(1, 200, 0), data(1, 1, &[0; 16_385])]
        => Either(&[code::FRAME_SIZE]);
    data_of_the_server_with_too_much_padding: [answer(1, 200, 0), data(1, 9, &[7, 0, 0])] => Goaway(&[code::PROTOCOL]);
    continuation_of_the_server_without_a_head: after(continuation(1, 4, b"")) => Goaway(&[code::PROTOCOL]);
    no_increment_by_the_server: after(window_update(0, 0)) => Goaway(&[code::PROTOCOL]);
    too_large_an_increment_by_the_server: after(window_update(0, MAX_WINDOW)) => Goaway(&[code::FLOW_CONTROL]);
    // The stream is half closed here: WINDOW_UPDATE changes nothing any more, but may be checked.
    too_large_an_increment_by_the_server_of_a_stream: after(window_update(1, MAX_WINDOW))
        => Tolerated(&[code::FLOW_CONTROL]);
}

#[test]
fn the_client_s_own_settings_are_valid() {
    run(|| async {
        let client = Client::dial(Config::default()).await;
        let value = |id: u16| client.settings.iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
        assert_eq!(value(setting::ENABLE_PUSH), Some(0), "{:?}", client.settings);
        assert_eq!(value(setting::ENABLE_CONNECT_PROTOCOL), None, "a server's alone (RFC 8441 §3)");
        assert!(value(setting::MAX_FRAME_SIZE).is_none_or(|size| size == 16_384));
        let config = Config::default();
        assert_eq!(value(setting::MAX_HEADER_LIST_SIZE).map(|size| size as usize), Some(config.head_bytes));
        assert_eq!(client.stream_window(), config.h2.stream_window as usize);
        assert_eq!(client.window, config.h2.connection_window as usize);
        client.end().await;
    });
}

/// RFC 9113 §3.4: the server's preface is SETTINGS.
#[test]
fn a_server_without_a_preface() {
    run(|| async {
        for first in [ping(b"12345678"), settings_ack(), answer(1, 200, DONE), window_update(0, 1)] {
            let mut client = Client::dial(Config::default()).await;
            let mut response = client.get().await;
            client.peer.send(&first).await;
            let frames = client.peer.rest().await;
            let error = error_of(&frames);
            assert!(matches!(error, None | Some(code::PROTOCOL)), "{} {frames:?}", first.escape_ascii());
            assert!(client.peer.ended, "{} {frames:?}", first.escape_ascii());
            assert_eq!(outcome(&mut response).await, Err(Failure::UpstreamProtocol));
            assert!(!client.connection.is_open());
            client.end().await;
        }
    });
}

#[test]
fn settings_and_pings_are_answered() {
    run(|| async {
        let mut client = Client::open().await;
        let values = [(setting::INITIAL_WINDOW_SIZE, 5)];
        client
            .peer
            .send(&[settings(&values), ping(b"12345678"), settings(&[]), ping(b"abcdefgh")].concat())
            .await;
        let frames = client.peer.rest().await;
        let pongs: Vec<_> = frames.iter().filter(|f| f.kind == kind::PING && f.has(flag::ACK)).collect();
        assert!(pongs[0].payload == b"12345678" && pongs[1].payload == b"abcdefgh" && pongs.len() == 2);
        assert_eq!(frames.iter().filter(|f| f.is(kind::SETTINGS, 0) && f.flags == flag::ACK).count(), 2);
        client.peer.send(&frame(kind::PING, flag::ACK, 0, b"unasked!")).await;
        assert!(client.peer.rest().await.is_empty());
        client.probe(1).await;
        client.end().await;
    });
}

/// Pseudo fields first, nothing of HTTP/1, and the end where there is no body.
#[test]
fn requests_are_well_formed() {
    run(|| async {
        let mut client = Client::open().await;
        let connect = RequestHead::new(Method::CONNECT, Scheme::Http, "b:443", "").expect("well-formed");
        let mut stream = 1;
        let mut kept = Vec::new();
        for (ask, method, ends, length) in [
            (head(Method::GET, Framing::None), "GET", true, None),
            (head(Method::POST, Framing::Length(0)), "POST", true, Some("0")),
            (head(Method::POST, Framing::Length(5)), "POST", false, Some("5")),
            (head(Method::PUT, Framing::Stream), "PUT", false, None),
            (head(Method::HEAD, Framing::None), "HEAD", true, None),
            (connect, "CONNECT", false, None),
        ] {
            kept.push(client.ask(&ask).await);
            let head = client.heard(stream).await;
            assert_eq!((head.field(":method"), head.has(flag::END_STREAM)), (Some(method), ends), "{head:?}");
            assert_eq!(head.field("content-length"), length, "{head:?}");
            let is_pseudo = head.fields.iter().map(|(name, _)| name.starts_with(':'));
            assert!(is_pseudo.is_sorted_by(|one, other| one >= other), "{head:?}");
            let names: Vec<_> = head.fields.iter().map(|(name, _)| &name[..]).collect();
            for forbidden in ["host", "connection", "transfer-encoding", "upgrade", "keep-alive"] {
                assert!(!names.contains(&forbidden), "{head:?}");
            }
            let target = match method {
                "CONNECT" => [Some("b:443"), None, None],
                _ => [Some("a"), Some("http"), Some("/x?y")],
            };
            assert_eq!([":authority", ":scheme", ":path"].map(|name| head.field(name)), target, "{head:?}");
            stream += 2;
        }
        drop(kept);
        client.end().await;
    });
}

#[test]
fn a_body_and_its_trailers_are_sent() {
    run(|| async {
        let mut client = Client::open().await;
        let (mut outgoing, mut response) = client.ask(&head(Method::POST, Framing::Stream)).await;
        outgoing.ready().await.expect("ready");
        outgoing.data(Bytes::from_static(b"hello")).expect("given");
        let mut map = HeaderMap::new();
        map.insert("x-sum", "1".parse().expect("a value"));
        outgoing.trailers(map);
        let frames = client.peer.rest().await;
        let kinds: Vec<_> = frames.iter().map(|f| (f.kind, f.has(flag::END_STREAM))).collect();
        assert_eq!(kinds, [(kind::HEADERS, false), (kind::DATA, false), (kind::HEADERS, true)], "{frames:?}");
        assert_eq!(frames[1].payload, b"hello");
        assert_eq!(frames[2].fields, [("x-sum".to_owned(), "1".to_owned())]);
        client.peer.send(&answer(1, 200, DONE)).await;
        assert_eq!(outcome(&mut response).await, Ok((200, 0, 0)));
        client.probe(3).await;
        client.end().await;
    });
}

/// RFC 9113 §8.1: a server that needs no more of a request answers, and then stops it with NO_ERROR. The answer counts.
#[test]
fn an_answer_before_the_request_s_end() {
    run(|| async {
        for stops in [true, false] {
            let mut client = Client::open().await;
            let (mut outgoing, mut response) = client.ask(&head(Method::POST, Framing::Stream)).await;
            outgoing.ready().await.expect("ready");
            outgoing.data(Bytes::from_static(b"hel")).expect("given");
            client.heard(1).await;
            client.peer.send(&[answer(1, 413, 0), data(1, DONE, b"too much")].concat()).await;
            if stops {
                client.peer.send(&rst(1, code::NO_ERROR)).await;
            }
            client.peer.rest().await;
            assert_eq!(outcome(&mut response).await, Ok((413, 8, 0)), "{stops}");
            if stops {
                let stopped = timeout(SILENCE, std::future::poll_fn(|cx| outgoing.poll_stopped(cx))).await;
                stopped.expect("no more is wanted");
                assert!(outgoing.ready().await.is_err());
            } else {
                // It may be finished all the same.
                outgoing.ready().await.expect("ready");
                outgoing.last(Bytes::from_static(b"lo")).expect("given");
                let frames = client.peer.rest().await;
                assert!(
                    frames.last().is_some_and(|last| last.is(kind::DATA, 1) && last.has(DONE)),
                    "{frames:?}"
                );
            }
            drop((outgoing, response));
            assert_eq!(reset_of(&client.peer.rest().await, 1), None, "the stream is over");
            client.probe(3).await;
            client.end().await;
        }
    });
}

#[test]
fn resets_before_and_after_the_head() {
    run(|| async {
        for (code, failure, progress) in [
            (code::REFUSED, Failure::UpstreamRefused, Progress::Refused),
            (code::NO_ERROR, Failure::UpstreamReset, Progress::Sent),
            (code::CANCEL, Failure::UpstreamReset, Progress::Sent),
            (code::PROTOCOL, Failure::UpstreamReset, Progress::Sent),
            (0xdead_beef, Failure::UpstreamReset, Progress::Sent),
        ] {
            let mut client = Client::open().await;
            let (mut early, mut late) = (client.get().await, client.get().await);
            client.heard(3).await;
            client
                .peer
                .send(&[rst(1, code), answer(3, 200, 0), data(3, 0, b"x"), rst(3, code)].concat())
                .await;
            assert_eq!(outcome(&mut early).await, Err(failure), "{code}");
            assert_eq!(early.progress(), progress, "{code}");
            // What came with the answer isn't the whole of it.
            assert_eq!(outcome(&mut late).await, Err(Failure::UpstreamReset), "{code}");
            assert_ne!(late.progress(), Progress::Refused, "an answer was begun");
            assert!(is_quiet(&client.peer.rest().await), "resets aren't answered");
            client.probe(5).await;
            client.end().await;
        }
    });
}

async fn three(client: &mut Client) -> [Response; 3] {
    let asked = [client.get().await, client.get().await, client.get().await];
    client.heard(5).await;
    asked
}

/// RFC 9113 §6.8: streams above the last were not acted on; those up to it go on.
#[test]
fn goaway_refuses_streams_above_its_last() {
    run(|| async {
        for (goodbyes, last) in [
            (goaway(3, code::NO_ERROR), 3),
            (goaway(1, code::CALM), 1),
            (goaway(0, code::NO_ERROR), 0),
            (goaway(5, code::NO_ERROR), 5),
            ([goaway(MAX_WINDOW, code::NO_ERROR), goaway(3, code::NO_ERROR)].concat(), 3),
            (frame(kind::GOAWAY, 0, 0, &[&[0, 0, 0, 3, 0, 0, 0, 0][..], b"and why"].concat()), 3),
        ] {
            let mut client = Client::open().await;
            let mut asked = three(&mut client).await;
            client.peer.send(&goodbyes).await;
            let frames = client.peer.rest().await;
            assert_eq!(error_of(&frames), None, "{frames:?}");
            assert!(!client.connection.is_open(), "no further streams");
            let unsent = client.connection.send(&head(Method::GET, Framing::None)).await.expect_err("closed");
            assert_eq!((unsent.failure, unsent.progress), (Failure::UpstreamClosed, Progress::NotSent));
            let answers: Vec<u8> =
                (1..=last).step_by(2).flat_map(|stream| answer(stream, 200, DONE)).collect();
            client.peer.send(&answers).await;
            for (stream, response) in (1..).step_by(2).zip(&mut asked) {
                let is_refused = stream > last;
                let expected = if is_refused { Err(Failure::UpstreamRefused) } else { Ok((200, 0, 0)) };
                assert_eq!(outcome(response).await, expected, "{stream} of {last}");
                assert_eq!(response.progress() == Progress::Refused, is_refused, "{stream} of {last}");
            }
            client.end().await;
        }
    });
}

/// A GOAWAY that refuses nothing announces another one; what is under way goes on, and nothing new begins.
#[test]
fn a_first_goaway_refuses_nothing() {
    run(|| async {
        let mut client = Client::open().await;
        let mut asked = three(&mut client).await;
        client.peer.send(&[goaway(MAX_WINDOW, 0), ping(b"12345678")].concat()).await;
        let frames = client.peer.rest().await;
        assert!(frames.iter().any(|f| f.kind == kind::PING && f.has(flag::ACK)), "{frames:?}");
        assert!(!client.connection.is_open());
        client
            .peer
            .send(&[answer(1, 200, DONE), answer(3, 200, 0), answer(5, 200, DONE), data(3, 1, b"x")].concat())
            .await;
        for (response, bytes) in asked.iter_mut().zip([0, 1, 0]) {
            assert_eq!(outcome(response).await, Ok((200, bytes, 0)));
        }
        client.end().await;
    });
}

/// Each half that is dropped too early cancels the stream; one that was complete does not.
#[test]
fn dropped_exchanges_are_cancelled() {
    run(|| async {
        let mut client = Client::open().await;
        // Before an answer.
        drop(client.get().await);
        assert_eq!(reset_of(&client.peer.rest().await, 1), Some(code::CANCEL));
        // Amid the request.
        let (mut outgoing, response) = client.ask(&head(Method::POST, Framing::Length(9))).await;
        outgoing.ready().await.expect("ready");
        outgoing.data(Bytes::from_static(b"hel")).expect("given");
        drop(outgoing);
        assert_eq!(reset_of(&client.peer.rest().await, 3), Some(code::CANCEL));
        drop(response);
        // Amid the answer.
        let mut response = client.get().await;
        client.heard(5).await;
        client.peer.send(&[answer(5, 200, 0), data(5, 0, b"x")].concat()).await;
        let Ok(Answer::Final(_, mut body)) = response.head().await else { panic!("a head") };
        assert!(matches!(body.frame().await, Body::Data(_)));
        drop((response, body));
        assert_eq!(reset_of(&client.peer.rest().await, 5), Some(code::CANCEL));
        // What was in flight then does no harm.
        client
            .peer
            .send(&[data(5, 0, b"x"), data(5, 1, b"x"), rst(1, 0), window_update(3, 1)].concat())
            .await;
        // After all of it.
        let frames = client.probe(7).await;
        assert!(frames.iter().all(|f| f.kind != kind::RST_STREAM && f.kind != kind::GOAWAY), "{frames:?}");
        assert_eq!(reset_of(&client.peer.rest().await, 7), None);
        client.end().await;
    });
}

/// However the server's socket closes, each exchange learns of it, and none is taken for complete.
#[test]
fn a_server_that_closes_amid_each_frame() {
    run(|| async {
        let frames: [Vec<u8>; 8] = [
            settings(&[(setting::MAX_CONCURRENT_STREAMS, 5)]),
            settings_ack(),
            ping(b"12345678"),
            answer(1, 103, 0),
            frame(kind::HEADERS, 0, 1, &[0x88]),
            continuation(1, flag::END_HEADERS, &super::hpack::block(&[("x", "y")])),
            data(1, 0, b"hello"),
            headers(1, DONE, &super::hpack::block(&[("x", "y")])),
        ];
        let whole = frames.concat();
        for end in 0..=whole.len() {
            let mut client = Client::dial(Config::default()).await;
            let mut response = client.get().await;
            client.heard(1).await;
            client.peer.send(&whole[..end]).await;
            client.peer.close().await;
            let outcome = outcome(&mut response).await;
            let expected = if end == whole.len() { Ok((200, 5, 1)) } else { Err(Failure::UpstreamClosed) };
            assert_eq!(outcome, expected, "{end} of {}", whole.len());
            let _rest: Vec<Frame> = client.peer.rest().await;
            assert!(!client.connection.is_open());
            drop(response);
            client.end().await;
        }
    });
}
