//! Limits that a server sets to its client, and the client to it: streams, windows, frames, and floods.

use bytes::Bytes;
use http::Method;
use leno_http::budget::Budget;
use leno_http::client::Config;
use leno_http::exchange::{Answer, Frame as Body, Outgoing, Progress};
use leno_http::head::{Framing, RequestHead};
use leno_model::failure::Failure;
use tokio::time::timeout;

use super::client::{Client, answer, head, outcome};
use super::hpack::block;
use super::run;
use super::server::{error_of, reset_of};
use super::wire::{
    FRAME, Frame, MAX_WINDOW, SILENCE, WINDOW, bulk, code, data, flag, frame, goaway, headers, kind, ping,
    setting, settings, settings_ack, window_update,
};
use crate::support::local;

const DONE: u8 = flag::END_STREAM;

/// Whether a stream's head was sent.
fn is_sent(frames: &[Frame], stream: u32) -> bool {
    frames.iter().any(|frame| frame.is(kind::HEADERS, stream))
}

fn get() -> RequestHead {
    head(Method::GET, Framing::None)
}

/// A request that waits to be sent; what became of it.
fn waiting(client: &Client) -> tokio::task::JoinHandle<Result<(u16, usize, usize), Failure>> {
    let mut connection = client.connection.clone();
    local(async move {
        let (_outgoing, mut response) = connection.send(&get()).await.map_err(|unsent| unsent.failure)?;
        let Answer::Final(head, _) = response.head().await? else { panic!("an interim answer") };
        Ok((head.status().as_u16(), 0, 0))
    })
}

/// A few bytes may stand for kilobytes (RFC 7541 §7.3): heads that nobody has asked for yet are on the budget.
#[test]
fn heads_that_nobody_reads_are_bounded() {
    run(|| async {
        let budget = Budget::new(100_000);
        let config = Config { budget: Some(budget.clone()), ..Config::default() };
        let mut client = Client::dial(config).await;
        client.peer.send(&[settings(&[]), settings_ack()].concat()).await;
        let (_outgoing, mut response) = client.connection.send(&get()).await.expect("sent");
        let long = "x".repeat(10_000);
        let hints = headers(1, flag::END_HEADERS, &block(&[(":status", "103"), ("link", &long)]));
        client.peer.send(&hints.repeat(5)).await;
        client.peer.rest().await;
        assert!(budget.used() > 40_000 && budget.used() < 60_000, "{}", budget.used());
        client.peer.send(&hints.repeat(10)).await;
        let frames = client.peer.rest().await;
        assert_eq!(reset_of(&frames, 1), Some(code::CALM));
        let mut seen = 0;
        let failure = loop {
            match response.head().await {
                Ok(_) => seen += 1,
                Err(failure) => break failure,
            }
        };
        assert_eq!((seen, failure), (10, Failure::Overload));
        drop((response, _outgoing));
        assert_eq!(budget.used(), 0);
    });
}

#[test]
fn no_more_streams_than_allowed() {
    run(|| async {
        let mut client = Client::open_with(&[(setting::MAX_CONCURRENT_STREAMS, 2)]).await;
        assert_eq!(client.connection.available(), 2);
        let asked: Vec<_> = (0..5).map(|_| waiting(&client)).collect();
        let frames = client.peer.rest().await;
        assert!(is_sent(&frames, 1) && is_sent(&frames, 3) && !is_sent(&frames, 5), "{frames:?}");
        assert_eq!(
            (client.connection.available(), client.connection.active()),
            (0, 5),
            "those who wait count"
        );
        for stream in (1..=9).step_by(2) {
            client.peer.send(&answer(stream, 200, DONE)).await;
            let frames = client.peer.rest().await;
            assert_eq!(is_sent(&frames, stream + 4), stream <= 5, "one for one: {frames:?}");
        }
        for one in asked {
            assert_eq!(one.await.expect("no panic"), Ok((200, 0, 0)));
        }
        client.end().await;
    });
}

/// The limit may change at any time, below what is open too (RFC 9113 §5.1.2).
#[test]
fn the_limit_of_streams_may_change() {
    run(|| async {
        let limit = |streams| settings(&[(setting::MAX_CONCURRENT_STREAMS, streams)]);
        let mut client = Client::open_with(&[(setting::MAX_CONCURRENT_STREAMS, 3)]).await;
        let mut open = [client.get().await, client.get().await];
        assert!(is_sent(&client.peer.rest().await, 3));
        client.peer.send(&limit(0)).await;
        client.peer.rest().await;
        let asked = [waiting(&client), waiting(&client)];
        assert!(client.peer.rest().await.is_empty(), "none is allowed");
        assert!(client.connection.is_open(), "it may be raised again");
        client.peer.send(&[answer(1, 200, DONE), answer(3, 200, DONE)].concat()).await;
        for response in &mut open {
            assert_eq!(outcome(response).await, Ok((200, 0, 0)), "what is open goes on");
        }
        assert!(client.peer.rest().await.is_empty(), "none is allowed still");
        client.peer.send(&limit(1)).await;
        let frames = client.peer.rest().await;
        assert!(is_sent(&frames, 5) && !is_sent(&frames, 7), "{frames:?}");
        client.peer.send(&limit(2)).await;
        assert!(is_sent(&client.peer.rest().await, 7));
        client.peer.send(&[answer(5, 200, DONE), answer(7, 200, DONE)].concat()).await;
        for one in asked {
            assert_eq!(one.await.expect("no panic"), Ok((200, 0, 0)));
        }
        client.end().await;
    });
}

/// A request that was dropped while it waited takes nobody's place; whether the server hears of it is free.
#[test]
fn a_request_that_is_dropped_while_it_waits() {
    run(|| async {
        let mut client = Client::open_with(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await;
        let mut first = client.get().await;
        assert!(is_sent(&client.peer.rest().await, 1));
        let dropped = waiting(&client);
        let last = waiting(&client);
        assert!(client.peer.rest().await.is_empty());
        dropped.abort();
        assert!(client.peer.rest().await.is_empty(), "it isn't open, so it can't be reset");
        client.peer.send(&answer(1, 200, DONE)).await;
        assert_eq!(outcome(&mut first).await, Ok((200, 0, 0)));
        let frames = client.peer.rest().await;
        let sent = frames.iter().filter(|frame| frame.kind == kind::HEADERS).map(|frame| frame.stream);
        let open: Vec<_> = sent.filter(|stream| reset_of(&frames, *stream).is_none()).collect();
        let [stream] = open[..] else { panic!("{frames:?}") };
        client.peer.send(&answer(stream, 200, DONE)).await;
        assert_eq!(last.await.expect("no panic"), Ok((200, 0, 0)));
        client.end().await;
    });
}

/// What waits for a place on a connection that goes away was never sent.
#[test]
fn requests_that_wait_are_not_sent_after_goaway() {
    run(|| async {
        let mut client = Client::open_with(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await;
        let mut first = client.get().await;
        assert!(is_sent(&client.peer.rest().await, 1));
        let asked = waiting(&client);
        client.peer.rest().await;
        client.peer.send(&[goaway(1, 0), answer(1, 200, DONE)].concat()).await;
        assert_eq!(outcome(&mut first).await, Ok((200, 0, 0)));
        assert!(!client.peer.rest().await.iter().any(|frame| frame.kind == kind::HEADERS));
        let failure = asked.await.expect("no panic").expect_err("not sent");
        assert!(matches!(failure, Failure::UpstreamClosed | Failure::UpstreamRefused), "{failure:?}");
        client.end().await;
    });
}

/// The wish of an HTTP/1.1 client for a WebSocket.
fn upgrade() -> RequestHead {
    use leno_http::h1::parse::{Limits, Parsed, request};
    let text = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let Parsed::Complete(parsed, _) = request(text.as_bytes(), Limits::default()) else {
        panic!("well-formed")
    };
    parsed.head
}

/// RFC 8441 §3: nobody may ask before the server has said that it may be asked.
#[test]
fn extended_connect_waits_for_the_server_s_settings() {
    run(|| async {
        for allowed in [Some(1), Some(0), None] {
            let mut client = Client::dial(Config::default()).await;
            let mut connection = client.connection.clone();
            let asked = local(async move { connection.send(&upgrade()).await });
            assert!(client.peer.rest().await.is_empty(), "nothing is known yet");
            // An ordinary request needn't wait.
            let mut response = client.get().await;
            let stream = client.peer.rest().await.last().expect("a request").stream;
            let values: Vec<_> =
                allowed.map(|value| (setting::ENABLE_CONNECT_PROTOCOL, value)).into_iter().collect();
            client.peer.send(&[settings(&values), settings_ack(), answer(stream, 204, DONE)].concat()).await;
            let frames = client.peer.rest().await;
            assert_eq!(outcome(&mut response).await, Ok((204, 0, 0)));
            let asked = asked.await.expect("no panic");
            if allowed == Some(1) {
                let head = frames.iter().find(|frame| frame.kind == kind::HEADERS).expect("it is sent");
                let fields =
                    [":method", ":protocol", ":scheme", ":path", ":authority"].map(|name| head.field(name));
                let expected = ["CONNECT", "websocket", "http", "/chat", "a"].map(Some);
                assert!(fields == expected && !head.has(DONE), "{head:?}");
                assert!(
                    head.field("upgrade").is_none() && head.field("sec-websocket-key").is_none(),
                    "{head:?}"
                );
                let (mut outgoing, mut response) = asked.expect("sent");
                client
                    .peer
                    .send(&[answer(head.stream, 200, 0), data(head.stream, 0, b"hello")].concat())
                    .await;
                let Ok(Answer::Final(granted, mut body)) = response.head().await else { panic!("granted") };
                assert_eq!(granted.status().as_u16(), 101);
                assert!(matches!(body.frame().await, Body::Data(bytes) if bytes == "hello"));
                outgoing.ready().await.expect("ready");
                outgoing.last(Bytes::from_static(b"bye")).expect("given");
                let bye = client.peer.expect(kind::DATA, head.stream).await;
                assert!(bye.payload == b"bye" && bye.has(DONE));
            } else {
                let unsent = asked.expect_err("refused");
                assert_eq!((unsent.failure, unsent.progress), (Failure::UpgradeRefused, Progress::NotSent));
                assert!(!frames.iter().any(|frame| frame.kind == kind::HEADERS), "{frames:?}");
            }
            client.end().await;
        }
    });
}

/// A server that never says what it allows.
#[test]
fn extended_connect_to_a_server_that_closes() {
    run(|| async {
        let mut client = Client::dial(Config::default()).await;
        let mut connection = client.connection.clone();
        let asked = local(async move { connection.send(&upgrade()).await.map(|_| ()) });
        client.peer.rest().await;
        client.peer.close().await;
        let unsent =
            timeout(SILENCE, asked).await.expect("in time").expect("no panic").expect_err("not sent");
        assert_eq!(unsent.progress, Progress::NotSent);
        client.end().await;
    });
}

/// Gives a body piece by piece, as it is taken.
fn upload(mut outgoing: Outgoing, bytes: usize) -> tokio::task::JoinHandle<Result<(), Failure>> {
    local(async move {
        for chunk in vec![b'x'; bytes].chunks(40_000) {
            outgoing.ready().await?;
            outgoing.data(Bytes::copy_from_slice(chunk))?;
        }
        outgoing.ready().await?;
        outgoing.finish();
        Ok(())
    })
}

fn body(frames: &[Frame]) -> (usize, bool) {
    let bytes = frames.iter().filter(|frame| frame.kind == kind::DATA).map(|frame| frame.payload.len());
    (bytes.sum(), frames.iter().any(|frame| frame.kind == kind::DATA && frame.has(DONE)))
}

#[test]
fn the_server_s_windows_are_kept_to_the_byte() {
    run(|| async {
        let initial = |size| settings(&[(setting::INITIAL_WINDOW_SIZE, size)]);
        let mut client = Client::open_with(&[(setting::INITIAL_WINDOW_SIZE, 1)]).await;
        let (outgoing, mut response) = client.ask(&head(Method::POST, Framing::Length(100_000))).await;
        let uploaded = upload(outgoing, 100_000);
        assert_eq!(body(&client.peer.rest().await), (1, false));
        for (change, bytes) in [
            (window_update(1, 1), 1),
            (initial(11), 10),
            (initial(0), 0),
            (window_update(1, 11), 0),
            (window_update(1, 1), 1),
            (initial(MAX_WINDOW - 13), WINDOW - 13),
            (window_update(0, 7), 7),
        ] {
            client.peer.send(&change).await;
            assert_eq!(body(&client.peer.rest().await), (bytes, false), "{}", change.escape_ascii());
        }
        client.peer.send(&window_update(0, 1 << 20)).await;
        assert_eq!(body(&client.peer.rest().await), (100_000 - WINDOW - 7, true));
        assert_eq!(uploaded.await.expect("no panic"), Ok(()));
        client.peer.send(&answer(1, 200, DONE)).await;
        assert_eq!(outcome(&mut response).await, Ok((200, 0, 0)));
        client.end().await;
    });
}

/// Settings that come after the first request was sent change its window as well.
#[test]
fn a_request_before_the_server_s_settings() {
    run(|| async {
        let mut client = Client::dial(Config::default()).await;
        let (outgoing, _response) = client.ask(&head(Method::POST, Framing::Stream)).await;
        let _uploading = upload(outgoing, 200_000);
        assert_eq!(body(&client.peer.rest().await), (WINDOW, false));
        client
            .peer
            .send(&[settings(&[(setting::INITIAL_WINDOW_SIZE, 10)]), window_update(0, 1 << 20)].concat())
            .await;
        assert_eq!(body(&client.peer.rest().await), (0, false));
        client.peer.send(&window_update(1, 65_525 + 5)).await;
        assert_eq!(body(&client.peer.rest().await), (5, false));
        client.end().await;
    });
}

#[test]
fn bodies_are_split_into_the_server_s_frames() {
    run(|| async {
        for size in [16_384, 20_000, 1 << 20] {
            let values = [(setting::MAX_FRAME_SIZE, size), (setting::INITIAL_WINDOW_SIZE, 1 << 24)];
            let mut client = Client::open_with(&values).await;
            client.peer.max_frame = size as usize;
            client.peer.send(&window_update(0, 1 << 24)).await;
            let (mut outgoing, _response) = client.ask(&head(Method::POST, Framing::Stream)).await;
            outgoing.ready().await.expect("ready");
            outgoing.last(Bytes::from(vec![b'x'; 3_000_001])).expect("given");
            assert_eq!(body(&client.peer.rest().await), (3_000_001, true));
            client.end().await;
        }
    });
}

/// The client's own windows hold what nobody reads, and no more.
#[test]
fn what_the_client_s_windows_hold_and_no_more() {
    run(|| async {
        let mut client = Client::open().await;
        let window = client.stream_window();
        let mut responses = [client.get().await, client.get().await];
        client.heard(3).await;
        client.peer.send(&[answer(1, 200, 0), bulk(1, window), answer(3, 200, 0)].concat()).await;
        assert!(client.peer.rest().await.is_empty(), "nobody has read");
        let Ok(Answer::Final(_, mut unread)) = responses[0].head().await else { panic!("a head") };
        // The other stream goes on.
        client.peer.send(&data(3, DONE, b"x")).await;
        assert_eq!(outcome(&mut responses[1]).await, Ok((200, 1, 0)));
        client.peer.send(&data(1, 0, b"x")).await;
        let frames = client.peer.rest().await;
        let is_reset = reset_of(&frames, 1) == Some(code::FLOW_CONTROL);
        assert!(is_reset || error_of(&frames) == Some(code::FLOW_CONTROL), "{frames:?}");
        let aborted = async {
            loop {
                match unread.frame().await {
                    Body::Data(_) => {}
                    end => break end,
                }
            }
        };
        assert!(matches!(aborted.await, Body::Abort(_)));
        client.end().await;
    });
}

/// Full windows on so many streams, whose exchanges wait for them or were dropped.
async fn download(streams: u32, drops: bool) {
    let mut config = Config::default();
    config.h2.connection_window = 4 * config.h2.stream_window;
    config.h2.grown_window = config.h2.connection_window;
    let mut client = Client::dial(config).await;
    client.peer.send(&[settings(&[]), settings_ack()].concat()).await;
    client.peer.rest().await;
    let mut window = client.window;
    for stream in (0..streams).map(|at| 2 * at + 1) {
        let mut response = client.get().await;
        client.heard(stream).await;
        if drops {
            drop(response);
        } else {
            local(async move { outcome(&mut response).await });
        }
        client.peer.send(&answer(stream, 200, 0)).await;
        for _ in 0..client.stream_window() / FRAME {
            assert!(window >= FRAME, "stalled on {stream}");
            client.peer.send(&data(stream, 0, &[0; FRAME])).await;
            window -= FRAME;
        }
        client.peer.send(&data(stream, DONE, b"")).await;
        let frames = client.peer.rest().await;
        assert_eq!(error_of(&frames), None, "{frames:?}");
        let updates = frames.iter().filter(|frame| frame.is(kind::WINDOW_UPDATE, 0));
        window += updates.map(|frame| frame.number(0) as usize).sum::<usize>();
    }
    client.probe(2 * streams + 1).await;
    client.end().await;
}

/// Reads grant windows; so does what came for streams that were dropped.
#[test]
fn a_long_answer_never_stalls() {
    run(|| async {
        download(300, false).await;
        download(30, true).await;
    });
}

/// RFC 9113 §5.1: whoever resets a stream must bear what was sent before the peer knew, and can't count that as the
/// peer's error.
#[test]
fn late_frames_of_many_dropped_requests_are_borne() {
    run(|| download(300, true));
}

/// A table that becomes smaller must be said so in the next block (RFC 7541 §4.2); the decoder here sees to that.
#[test]
fn the_server_s_table_size_is_respected() {
    run(|| async {
        let mut client = Client::open().await;
        let mut stream = 1;
        let mut ask = get();
        ask.fields_mut().set("x-field", b"value").expect("well-formed");
        for size in [4096, 0, 100, 4096, 0, 65_536] {
            client.peer.send(&settings(&[(setting::HEADER_TABLE_SIZE, size)])).await;
            assert!(client.peer.expect(kind::SETTINGS, 0).await.has(flag::ACK));
            client.peer.allow_table(size as usize);
            for _ in 0..3 {
                let (_outgoing, mut response) = client.ask(&ask).await;
                let head = client.heard(stream).await;
                assert_eq!((head.field("x-field"), head.field(":path")), (Some("value"), Some("/x?y")));
                client.peer.send(&answer(stream, 200, DONE)).await;
                assert_eq!(outcome(&mut response).await, Ok((200, 0, 0)));
                stream += 2;
            }
        }
        client.end().await;
    });
}

/// Floods by a server that doesn't read what it asks for: the client stops reading, or ends the connection.
#[test]
fn answers_to_a_server_that_does_not_read_are_bounded() {
    run(|| async {
        for (name, flood) in [
            ("PING", ping(b"12345678").repeat(200_000)),
            ("SETTINGS", settings(&[]).repeat(300_000)),
            ("SETTINGS with values", settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]).repeat(200_000)),
        ] {
            let mut client = Client::dial_in(4096, Config::default()).await;
            let taken = client.peer.stuff(&[settings(&[]), flood].concat()).await;
            assert!(taken < 1 << 20, "{name}: {taken} bytes were taken");
            client.peer.rest().await;
            client.end().await;
        }
    });
}

#[test]
fn empty_frames_of_data_end_the_connection_to_a_server() {
    run(|| async {
        let mut client = Client::open().await;
        let mut response = client.get().await;
        client.heard(1).await;
        client.peer.send(&answer(1, 200, 0)).await;
        let Ok(Answer::Final(_, _unread)) = response.head().await else { panic!("a head") };
        let mut error = None;
        for _ in 0..100 {
            client.peer.send(&frame(kind::DATA, 0, 1, b"").repeat(1000)).await;
            let frames = client.peer.rest().await;
            error = error.or_else(|| error_of(&frames));
            if client.peer.ended {
                break;
            }
        }
        assert!(matches!(error, Some(code::CALM | code::FLOW_CONTROL)), "{error:?}");
        client.end().await;
    });
}

/// A thousand requests are given up before the server has heard of it: its answers are late, and harm nobody.
#[test]
fn late_answers_to_many_cancelled_requests_are_borne() {
    run(|| async {
        let mut client = Client::open_with(&[(setting::MAX_CONCURRENT_STREAMS, 2000)]).await;
        let mut kept = client.get().await;
        for _ in 0..1000 {
            drop(client.get().await);
        }
        client.peer.rest().await;
        let late: Vec<u8> = (1..=1000)
            .flat_map(|at| [answer(2 * at + 1, 200, 0), data(2 * at + 1, 1, b"late")].concat())
            .collect();
        client.peer.send(&late).await;
        let frames = client.peer.rest().await;
        assert_eq!(error_of(&frames), None);
        client.peer.send(&answer(1, 204, flag::END_STREAM)).await;
        assert_eq!(outcome(&mut kept).await, Ok((204, 0, 0)));
        client.probe(2003).await;
        client.end().await;
    });
}
