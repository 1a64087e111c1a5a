//! Streams: identifiers, states and how many there may be (RFC 9113 §5.1).

use leno_http::server::Config;

use super::hpack::{block, field, indexed};
use super::server::Expect::{Either, Goaway, Reset, Serves, Tolerated};
use super::server::{PROBE, Server, check, error_of, is_answered, is_quiet, reset_of};
use super::wire::{
    MAX_WINDOW, code, continuation, data, flag, frame, get, headers, kind, post, priority, request, rst,
    window_update,
};
use super::{cases, in_turn, run};

/// Fields that end a body.
fn trailers(stream: u32) -> Vec<u8> {
    headers(stream, flag::END_STREAM, &block(&[("x-sum", "1")]))
}

/// HEADERS that name another stream as their parent (RFC 9113 §6.2).
fn depending(stream: u32, parent: u32) -> Vec<u8> {
    let parent = [&parent.to_be_bytes()[..], &[200]].concat();
    headers(stream, flag::END_STREAM | flag::PRIORITY, &[parent, request("GET", "/", &[])].concat())
}

cases! { check;
    // Identifiers (RFC 9113 §5.1.1).
    an_even_stream: [get(2, "/")] => Goaway(&[code::PROTOCOL]);
    an_even_stream_later: [get(1, "/"), get(4, "/")] => Goaway(&[code::PROTOCOL]);
    streams_that_skip_some: [get(3, "/"), get(7, "/"), get(1001, "/")] => Serves;
    a_lower_stream: [get(5, "/"), get(3, "/")] => Goaway(&[code::PROTOCOL, code::STREAM_CLOSED]);
    a_lower_stream_later: in_turn([get(5, "/"), get(3, "/")])
        => Goaway(&[code::PROTOCOL, code::STREAM_CLOSED]);
    a_stream_used_again: in_turn([get(1, "/"), get(1, "/")])
        => Either(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    a_stream_used_again_at_once: [get(1, "/hold"), get(1, "/")]
        => Either(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    a_stream_used_again_after_a_reset: in_turn([get(1, "/hold"), rst(1, code::CANCEL), get(1, "/")])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL]);

    // Idle streams.
    data_on_an_idle_stream: [data(1, 0, b"x")] => Goaway(&[code::PROTOCOL]);
    the_end_of_an_idle_stream: [data(1, flag::END_STREAM, b"")] => Goaway(&[code::PROTOCOL]);
    rst_stream_on_an_idle_stream: [rst(1, code::CANCEL)] => Goaway(&[code::PROTOCOL]);
    window_update_on_an_idle_stream: [window_update(1, 1)] => Goaway(&[code::PROTOCOL]);
    continuation_on_an_idle_stream: [continuation(1, flag::END_HEADERS, b"")] => Goaway(&[code::PROTOCOL]);
    data_on_an_idle_stream_above: [get(1, "/"), data(3, 0, b"x")] => Goaway(&[code::PROTOCOL]);
    rst_stream_on_an_idle_stream_above: [get(1, "/"), rst(3, code::CANCEL)] => Goaway(&[code::PROTOCOL]);
    window_update_on_an_idle_stream_above: [get(1, "/"), window_update(3, 1)] => Goaway(&[code::PROTOCOL]);
    data_on_a_stream_of_the_server: [data(2, 0, b"x")] => Goaway(&[code::PROTOCOL]);
    rst_stream_on_a_stream_of_the_server: [rst(2, code::CANCEL)] => Goaway(&[code::PROTOCOL]);
    window_update_on_a_stream_of_the_server: [window_update(2, 1)] => Goaway(&[code::PROTOCOL]);
    priority_on_idle_streams: [priority(1, 0, 0), priority(9, 3, 255), priority(2, 0, 7), get(1, "/")]
        => Serves;

    // PUSH_PROMISE is the server's alone (RFC 9113 §8.4).
    push_promise_of_a_client: [
        post(1, "/hold"),
        frame(kind::PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2], &request("GET", "/", &[])[..]].concat()),
    ] => Goaway(&[code::PROTOCOL]);
    push_promise_of_a_client_on_an_idle_stream: [frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])]
        => Goaway(&[code::PROTOCOL]);

    // Streams half closed by the client.
    data_after_the_end: [get(1, "/hold"), data(1, 0, b"x")] => Either(1, &[code::STREAM_CLOSED]);
    data_after_the_end_of_data: [post(1, "/hold"), data(1, 1, b"x"), data(1, 1, b"x")]
        => Either(1, &[code::STREAM_CLOSED]);
    empty_data_after_the_end: [get(1, "/hold"), data(1, 0, b"")] => Either(1, &[code::STREAM_CLOSED]);
    headers_after_the_end: [get(1, "/hold"), trailers(1)]
        => Either(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    data_after_trailers: [post(1, "/hold"), trailers(1), data(1, 1, b"x")]
        => Either(1, &[code::STREAM_CLOSED]);
    continuation_after_the_end: [get(1, "/hold"), continuation(1, flag::END_HEADERS, b"")]
        => Goaway(&[code::PROTOCOL, code::STREAM_CLOSED]);
    what_a_half_closed_stream_takes: [get(1, "/hold"), window_update(1, 9), priority(1, 0, 9), rst(1, code::CANCEL)]
        => Serves;

    // Closed streams. What was sent before the peer knew is common, and must do no harm.
    data_on_a_closed_stream: in_turn([get(1, "/"), data(1, 0, b"x")])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    headers_on_a_closed_stream: in_turn([post(1, "/now"), data(1, 1, b"x"), trailers(1)])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL, code::NO_ERROR]);
    what_a_closed_stream_takes: in_turn([get(1, "/"), window_update(1, 9), priority(1, 0, 9), rst(1, code::CANCEL)])
        => Serves;
    what_a_reset_stream_takes: in_turn([get(1, "/hold"), rst(1, code::CANCEL), priority(1, 0, 9)]) => Serves;
    two_resets: in_turn([post(1, "/hold"), rst(1, code::CANCEL), rst(1, code::CANCEL)])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    data_after_the_client_s_reset: in_turn([post(1, "/hold"), rst(1, code::CANCEL), data(1, 0, b"x")])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    window_update_after_the_client_s_reset: in_turn([post(1, "/hold"), rst(1, code::CANCEL), window_update(1, 1)])
        => Tolerated(1, &[code::STREAM_CLOSED, code::PROTOCOL]);
    an_unknown_code_of_a_reset: [post(1, "/hold"), rst(1, 0xdead_beef)] => Serves;

    // Frames that the server's reset overtook (RFC 9113 §5.4.2).
    what_comes_after_the_server_s_reset: in_turn([
        post(1, "/drop"),
        [data(1, 0, b"x"), window_update(1, 9), priority(1, 0, 1), trailers(1)].concat(),
    ]) => Reset(1, &[code::INTERNAL]);
    a_reset_after_the_server_s_reset: in_turn([post(1, "/drop"), rst(1, code::CANCEL)])
        => Reset(1, &[code::INTERNAL]);
    fields_after_the_server_s_reset_enter_the_table: in_turn([
        post(1, "/drop"),
        headers(1, 1, &indexed(b"x-late", b"1")),
        headers(3, 1, &[request("GET", "/", &[]), vec![0xbe]].concat()),
    ]) => Reset(1, &[code::INTERNAL]);

    // A second head ends the message (RFC 9113 §8.1).
    trailers_after_data: [post(1, "/"), data(1, 0, b"hello"), trailers(1)] => Serves;
    trailers_after_nothing: [post(1, "/"), trailers(1)] => Serves;
    trailers_without_fields: [post(1, "/"), data(1, 0, b"hello"), headers(1, flag::END_STREAM, b"")]
        => Serves;
    trailers_that_do_not_end: [post(1, "/"), headers(1, 0, &block(&[("x-sum", "1")]))]
        => Either(1, &[code::PROTOCOL]);
    trailers_that_do_not_end_after_data:
        [post(1, "/"), data(1, 0, b"x"), headers(1, 0, &block(&[("x-sum", "1")])), data(1, 1, b"x")]
        => Either(1, &[code::PROTOCOL]);
    a_second_request_on_the_stream: [post(1, "/"), get(1, "/")] => Either(1, &[code::PROTOCOL]);

    // Dependencies are obsolete (RFC 9113 §5.3.2).
    a_dependency: [depending(1, 0), depending(3, 1), depending(5, 0x8000_0003)] => Serves;
    a_dependency_on_an_idle_stream: [depending(1, 99)] => Serves;
    headers_that_depend_on_themselves: [depending(1, 1)] => Tolerated(1, &[code::PROTOCOL]);
    an_idle_stream_that_depends_on_itself: [priority(1, 1, 9)] => Tolerated(1, &[code::PROTOCOL]);
    a_stream_that_depends_on_itself: [post(1, "/hold"), priority(1, 1, 9)] => Tolerated(1, &[code::PROTOCOL]);
}

#[test]
fn the_largest_streams_are_served() {
    run(|| async {
        let mut server = Server::open().await;
        for stream in [1, PROBE, MAX_WINDOW - 2, MAX_WINDOW] {
            server.peer.send(&get(stream, "/")).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, stream), "{stream} {frames:?}");
        }
        // There can't be another one.
        server.peer.send(&get(MAX_WINDOW, "/")).await;
        server.peer.rest().await;
        assert_eq!(server.logged().len(), 8);
        server.end().await;
    });
}

#[test]
fn streams_that_end_make_room() {
    run(|| async {
        let mut config = Config::default();
        config.h2.streams = 3;
        let mut server = Server::open_with(config, &[]).await;
        for stream in (1..2000).step_by(2) {
            let ending = match stream % 3 {
                0 => get(stream, "/"),
                1 => [post(stream, "/"), data(stream, 1, b"x")].concat(),
                _ => [post(stream, "/now"), data(stream, 1, b"x")].concat(),
            };
            server.peer.send(&ending).await;
            let frames = server.peer.rest().await;
            assert!(is_answered(&frames, stream), "{stream} {frames:?}");
        }
        server.probe().await;
    });
}

/// RFC 9113 §5.1.2: a stream error, of a code that says whether it may be tried again. Fields of what is refused
/// enter the table nevertheless.
#[test]
fn streams_beyond_the_limit_are_refused() {
    run(|| async {
        let mut config = Config::default();
        config.h2.streams = 2;
        let mut server = Server::open_with(config, &[]).await;
        server.peer.send(&[get(1, "/hold"), post(3, "/hold")].concat()).await;
        assert!(server.peer.rest().await.is_empty());
        let refused = headers(5, 1, &[request("GET", "/no", &[]), indexed(b"x-late", b"1")].concat());
        server.peer.send(&[refused, get(7, "/no")].concat()).await;
        let frames = server.peer.rest().await;
        for stream in [5, 7] {
            let code = reset_of(&frames, stream);
            assert!(matches!(code, Some(code::REFUSED | code::PROTOCOL)), "{frames:?}");
        }
        assert_eq!(error_of(&frames), None);
        server.peer.send(&rst(1, code::CANCEL)).await;
        server.peer.rest().await;
        server.peer.send(&headers(9, 1, &[request("GET", "/", &[]), vec![0xbe]].concat())).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 9), "there is room again: {frames:?}");
        assert_eq!(
            server.logged(),
            ["GET /hold", "POST /hold", "/hold DownstreamGone", "GET /", "/ complete"]
        );
        server.probe().await;
    });
}

/// The request is answered although its body never came to an end; what is left of it is asked for no more
/// (RFC 9113 §8.1).
#[test]
fn an_early_answer_stops_the_body() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&[post(1, "/now"), data(1, 0, b"x")].concat()).await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 1), "{frames:?}");
        let code = reset_of(&frames, 1);
        assert!(matches!(code, Some(code::NO_ERROR | code::CANCEL)), "{frames:?}");
        let answered = frames.iter().position(|f| f.is(kind::DATA, 1) && f.has(flag::END_STREAM));
        assert!(
            answered < frames.iter().position(|f| f.is(kind::RST_STREAM, 1)),
            "the answer first: {frames:?}"
        );
        server.probe().await;
    });
}

/// What a request meets with whose client has reset it.
#[test]
fn a_reset_reaches_the_exchange() {
    run(|| async {
        let mut server = Server::open().await;
        server.peer.send(&[post(1, "/"), data(1, 0, b"x"), post(3, "/hold"), get(5, "/hold")].concat()).await;
        server.peer.rest().await;
        server
            .peer
            .send(&[rst(1, code::CANCEL), rst(3, code::NO_ERROR), rst(5, code::INTERNAL)].concat())
            .await;
        assert!(is_quiet(&server.peer.rest().await), "resets aren't answered");
        let log = server.logged();
        assert_eq!(log[3..], ["/ DownstreamGone", "/hold DownstreamGone", "/hold DownstreamGone"]);
        server.probe().await;
    });
}

/// A field of a request that is over enters the table as well.
#[test]
fn malformed_requests_keep_the_table() {
    run(|| async {
        let mut server = Server::open().await;
        let malformed = [request("GET", "/no", &[]), field(b"X", b"y"), indexed(b"x-late", b"1")].concat();
        server.peer.send(&headers(1, flag::END_STREAM, &malformed)).await;
        let frames = server.peer.rest().await;
        assert_eq!(error_of(&frames), None, "one request alone is malformed: {frames:?}");
        server
            .peer
            .send(&headers(3, flag::END_STREAM, &[request("GET", "/", &[]), vec![0xbe]].concat()))
            .await;
        let frames = server.peer.rest().await;
        assert!(is_answered(&frames, 3), "{frames:?}");
        assert_eq!(server.logged(), ["GET /", "/ complete"]);
        server.probe().await;
    });
}
