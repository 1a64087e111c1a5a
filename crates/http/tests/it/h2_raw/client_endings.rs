//! How connections to servers end: with the answers that came, and not before the last bytes have left.

use bytes::Bytes;
use http::Method;
use leno_http::client;
use leno_http::head::Framing;
use leno_model::failure::Failure;

use super::client::{Client, answer, head, outcome};
use super::run;
use super::wire::{MAX_WINDOW, code, flag, goaway, kind, setting, settings, settings_ack, window_update};

const ROOM: u32 = MAX_WINDOW - 65_535;

/// What the server said before it closed counts, though nothing can be written to it any more.
#[test]
fn an_answer_is_read_though_the_request_can_t_be_written() {
    run(|| async {
        for last in [code::NO_ERROR, code::CANCEL] {
            let mut client = Client::open().await;
            let (mut upload, mut response) = client.ask(&head(Method::POST, Framing::Stream)).await;
            client.heard(1).await;
            let (mut second, mut refused) = client.ask(&head(Method::POST, Framing::Stream)).await;
            client.heard(3).await;
            for outgoing in [&mut upload, &mut second] {
                outgoing.ready().await.expect("room");
                outgoing.data(Bytes::from_static(b"what nobody reads")).expect("room");
            }
            client.peer.send(&[answer(1, 413, flag::END_STREAM), goaway(1, last)].concat()).await;
            let Client { peer, .. } = client;
            drop(peer);
            assert_eq!(outcome(&mut response).await, Ok((413, 0, 0)));
            assert_eq!(outcome(&mut refused).await, Err(Failure::UpstreamRefused));
        }
    });
}

/// A client whose server goes away leaves once its last request has left, whatever that waited for.
#[test]
fn a_client_leaves_when_its_last_bytes_have_left() {
    run(|| async {
        // What fills the socket and the queue, and half of what comes behind it.
        const WINDOW: u32 = 35 * 16_384 + 50;
        let mut client = Client::dial_in(300_000, client::Config::default()).await;
        let windows = [settings(&[(setting::INITIAL_WINDOW_SIZE, ROOM)]), settings_ack()];
        client.peer.send(&[&windows.concat()[..], &window_update(0, WINDOW - 65_535)].concat()).await;
        client.peer.rest().await;
        let (mut first, mut one) = client.ask(&head(Method::POST, Framing::Stream)).await;
        let (mut second, mut two) = client.ask(&head(Method::POST, Framing::Stream)).await;
        for _ in 0..35 {
            first.ready().await.expect("room");
            first.data(Bytes::from(vec![0; 16_384])).expect("room");
        }
        // Both ends wait for the connection's window, and then for the queue.
        second.last(Bytes::from(vec![0; 100])).expect("the first is taken");
        first.finish();
        let answers =
            [answer(1, 204, flag::END_STREAM), answer(3, 204, flag::END_STREAM), goaway(3, 0)].concat();
        client.peer.send(&[&window_update(0, 1000)[..], &answers].concat()).await;
        assert_eq!(outcome(&mut one).await, Ok((204, 0, 0)));
        assert_eq!(outcome(&mut two).await, Ok((204, 0, 0)));
        drop((first, second, one, two));
        let frames = client.peer.rest().await;
        assert!(
            frames.iter().any(|frame| frame.is(kind::DATA, 3) && frame.has(flag::END_STREAM)),
            "{frames:?}"
        );
        assert!(client.peer.ended, "nothing is left to do");
        client.end().await;
    });
}

/// A server that reads nothing doesn't keep a connection that nobody needs any more.
#[test]
fn a_server_that_does_not_read_keeps_no_client() {
    run(|| async {
        let mut client = Client::dial_in(100, client::Config::default()).await;
        client.peer.send(&[settings(&[]), settings_ack()].concat()).await;
        client.peer.rest().await;
        let (mut outgoing, response) = client.ask(&head(Method::POST, Framing::Stream)).await;
        outgoing.data(Bytes::from(vec![0; 10_000])).expect("the first is taken");
        drop((outgoing, response));
        client.abandon().await;
    });
}
