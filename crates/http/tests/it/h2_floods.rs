//! The accepting end of HTTP/2 against raw frames that no well-behaved client sends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use leno_http::exchange::Exchange;
use leno_http::head::{Framing, ResponseHead};
use leno_http::server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::support::{http2_server as connection, in_time, local, local_set};

/// Raw frames, for what no well-behaved client does.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

async fn flood(frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let (ours, theirs) = duplex(1 << 20);
    let mut server = connection(theirs, server::Config::default());
    let served = local(async move { while server.accept().await.is_some() {} });
    let (mut read, mut write) = tokio::io::split(ours);
    write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("preface");
    for at in 0..100_000 {
        if write.write_all(&frames(at)).await.is_err() {
            break;
        }
    }
    drop(in_time(served).await);
    let mut answer = Vec::new();
    drop(in_time(read.read_to_end(&mut answer)).await);
    answer
}

/// Whether a connection's last frame is a GOAWAY with this code.
fn ends_with_goaway(answer: &[u8], code: h2::Reason) -> bool {
    let code = u32::from(code).to_be_bytes();
    answer.windows(17).any(|w| w[3] == 7 && w[5..9] == [0; 4] && w[13..17] == code)
}

#[tokio::test]
async fn floods_end_the_connection() {
    local_set(async {
        // ":method GET, :scheme http, :path /, :authority a" in HPACK, then RST_STREAM at once.
        let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
        let rapid = flood(|at| {
            let mut bytes = frame(1, 0x5, 2 * at + 1, &head);
            bytes.extend(frame(3, 0, 2 * at + 1, &8_u32.to_be_bytes()));
            bytes
        })
        .await;
        assert!(ends_with_goaway(&rapid, h2::Reason::ENHANCE_YOUR_CALM), "{}", rapid.escape_ascii());
        // A head that never ends.
        let continuation = flood(|at| match at {
            0 => frame(1, 0x1, 1, &head),
            _ => frame(9, 0, 1, &[&[0x00, 0x01, b'x', 0x7f, 0x21][..], &[b'y'; 160]].concat()),
        })
        .await;
        assert!(
            ends_with_goaway(&continuation, h2::Reason::ENHANCE_YOUR_CALM),
            "{}",
            continuation.escape_ascii()
        );
        // Streams that make the server reset them.
        let made_you = flood(|at| {
            let mut bytes = frame(1, 0x4, 2 * at + 1, &head);
            bytes.extend(frame(8, 0, 2 * at + 1, &0_u32.to_be_bytes()));
            bytes
        })
        .await;
        assert!(made_you.len() < 1 << 16, "{}", made_you.len());
    })
    .await;
}

/// Sends a body without end, and counts what could be given.
async fn answer_for_ever(exchange: Exchange, given: Rc<Cell<usize>>) {
    let mut head = ResponseHead::new(StatusCode::OK);
    head.set_framing(Framing::Stream);
    let mut outgoing = exchange.reply.head(head);
    while outgoing.ready().await.is_ok() {
        outgoing.data(Bytes::from(vec![0; 16 * 1024])).expect("data");
        given.set(given.get() + 16 * 1024);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_grants_windows_and_does_not_read_gets_a_bounded_queue() {
    local_set(async {
        const STREAMS: u32 = 100;
        let given = Rc::new(Cell::new(0));
        let (ours, theirs) = duplex(4096);
        let mut server = connection(theirs, server::Config::default());
        let count = Rc::clone(&given);
        local(async move {
            while let Some(exchange) = server.accept().await {
                let count = Rc::clone(&count);
                local(answer_for_ever(exchange, count));
            }
        });
        let (_read, mut write) = tokio::io::split(ours);
        let window = frame(4, 0, 0, &[&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat());
        let more = frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
        write
            .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &window[..], &more].concat())
            .await
            .expect("preface");
        for at in 0..STREAMS {
            write
                .write_all(&frame(1, 0x5, 2 * at + 1, &[0x82, 0x86, 0x84, 0x41, 0x01, b'a']))
                .await
                .expect("head");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let bound = leno_http::limits::H2_QUEUE + STREAMS as usize * 16 * 1024;
        assert!(given.get() >= leno_http::limits::H2_QUEUE && given.get() <= bound, "{}", given.get());
    })
    .await;
}
