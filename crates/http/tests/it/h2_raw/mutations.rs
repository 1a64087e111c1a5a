//! Conversations that are fine but for what chance has done to them: each role ends in time, and nothing panics.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use http::Method;
use leno_http::client;
use leno_http::head::Framing;
use leno_http::server::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::time::timeout;

use super::client::{answer, head, outcome};
use super::hpack::{block, indexed};
use super::run;
use super::server::serve;
use super::wire::{
    PREFACE, continuation, data, flag, frame, get, goaway, headers, kind, padded, ping, post, priority,
    request, rst, setting, settings, settings_ack, window_update,
};
use crate::support::{http2_server, local};
use leno_http::h2::ClientConnection;

/// Conversations of one run: a second or two.
const SEEDS: u64 = 10_000;

/// More than the longest wait for a peer.
const PATIENCE: Duration = Duration::from_secs(7200);

/// Frames that a client may send.
fn asked(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut frames = vec![PREFACE.to_vec(), settings(&[(setting::INITIAL_WINDOW_SIZE, rng.u32(..100_000))])];
    let paths = ["/", "/hold", "/now", "/drop", "/whole/70000", "/stream/100000", "/hints", "/status/204"];
    for at in 0..rng.u32(1..12) {
        let (stream, path) = (2 * at + 1, paths[rng.usize(..paths.len())]);
        match rng.u8(..5) {
            0 => frames.push(get(stream, path)),
            1 => frames.extend([post(stream, path), data(stream, 0, &[b'x'; 5000]), data(stream, 1, b"y")]),
            2 => {
                let block = [request("POST", path, &[]), indexed(b"x-more", b"1")].concat();
                let (first, rest) = block.split_at(block.len() / 2);
                frames.push(frame(kind::HEADERS, 0, stream, first));
                frames.push(continuation(stream, flag::END_HEADERS, rest));
                frames.push(data(stream, flag::PADDED, &padded(b"z", 200)));
                frames.push(headers(stream, flag::END_STREAM, &super::hpack::block(&[("x-sum", "1")])));
            }
            3 => {
                let fields = [(":method", "CONNECT"), (":authority", "b:1")];
                frames.extend([headers(stream, 0, &block(&fields)), data(stream, 1, b"tunnel")]);
            }
            _ => frames.extend([post(stream, path), rst(stream, rng.u32(..14))]),
        }
        frames.push(other(rng, stream));
    }
    frames
}

/// Frames that a server may send to a client that has asked five times.
fn answered(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut frames = vec![settings(&[(setting::MAX_CONCURRENT_STREAMS, 100)]), settings_ack()];
    for stream in [1, 3, 5, 7, 9] {
        match rng.u8(..4) {
            0 => frames.push(answer(stream, 204, flag::END_STREAM)),
            1 => frames.extend([
                answer(stream, 103, 0),
                answer(stream, 200, 0),
                data(stream, 1, &[b'x'; 9000]),
            ]),
            2 => {
                let trailers = block(&[("x-sum", "1")]);
                frames.extend([answer(stream, 200, 0), data(stream, flag::PADDED, &padded(b"z", 9))]);
                frames.push(headers(stream, flag::END_STREAM, &trailers));
            }
            _ => frames.push(rst(stream, rng.u32(..14))),
        }
        frames.push(other(rng, stream));
    }
    frames.push(goaway(9, 0));
    frames
}

/// A frame that fits anywhere.
fn other(rng: &mut Rng, stream: u32) -> Vec<u8> {
    match rng.u8(..7) {
        0 => ping(b"whatever"),
        1 => settings(&[
            (setting::HEADER_TABLE_SIZE, rng.u32(..5000)),
            (setting::INITIAL_WINDOW_SIZE, rng.u32(..70_000)),
        ]),
        2 => settings_ack(),
        3 => priority(stream, 0, 9),
        4 => window_update(stream, rng.u32(1..100_000)),
        5 => window_update(0, rng.u32(1..100_000)),
        _ => frame(0x42, rng.u8(..), stream, b"unknown"),
    }
}

/// Some frames are lost, doubled, swapped or cut off, and some bytes are others.
fn mutated(mut frames: Vec<Vec<u8>>, rng: &mut Rng) -> Vec<u8> {
    for _ in 0..rng.usize(..3) {
        let (at, to) = (rng.usize(..frames.len()), rng.usize(..frames.len()));
        match rng.u8(..4) {
            0 => drop(frames.remove(at)),
            1 => frames.insert(to, frames[at].clone()),
            2 => frames.swap(at, to),
            _ => frames[at].truncate(rng.usize(..9)),
        }
        if frames.is_empty() {
            return Vec::new();
        }
    }
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..frames.len());
        // Heads of frames are where most of the meaning is.
        let length = frames[at].len();
        let place = if rng.bool() { rng.usize(..9) } else { rng.usize(..length.max(1)) };
        if let Some(byte) = frames[at].get_mut(place) {
            *byte = [rng.u8(..), byte.wrapping_add(1), *byte ^ 1 << rng.u8(..8)][rng.usize(..3)];
        }
    }
    frames.concat()
}

/// Writes in pieces, reads what comes, and closes.
async fn converse(io: DuplexStream, bytes: Vec<u8>, mut rng: Rng) {
    let (mut from, mut to) = split(io);
    let writes = async move {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.usize(1..=rest.len()));
            rest = later;
            if to.write_all(now).await.is_err() {
                break;
            }
            if rng.bool() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // Answers that were begun are read before that.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _gone = to.shutdown().await;
    };
    let mut all = Vec::new();
    let (_read, ()) = tokio::join!(from.read_to_end(&mut all), writes);
}

#[test]
fn a_server_bears_any_client() {
    run(|| async {
        for seed in 0..SEEDS {
            let mut rng = Rng::with_seed(seed);
            let frames = asked(&mut rng);
            let bytes = mutated(frames, &mut rng);
            let (ours, theirs) = duplex([100, 5000, 1 << 20][rng.usize(..3)]);
            let mut connection = http2_server(theirs, Config::default());
            let served = local(async move {
                let mut exchanges = Vec::new();
                while let Some(exchange) = connection.accept().await {
                    exchanges.push(local(serve(exchange, Rc::default())));
                }
                exchanges
            });
            timeout(PATIENCE, converse(ours, bytes, rng)).await.unwrap_or_else(|_| panic!("seed {seed}"));
            let exchanges = timeout(PATIENCE, served).await.unwrap_or_else(|_| panic!("seed {seed}"));
            for exchange in exchanges.expect("no panic") {
                let ended = timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("seed {seed}"));
                ended.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
            }
        }
    });
}

#[test]
fn a_client_bears_any_server() {
    run(|| async {
        for seed in 0..SEEDS {
            let mut rng = Rng::with_seed(seed);
            let frames = answered(&mut rng);
            let bytes = mutated(frames, &mut rng);
            let (ours, theirs) = duplex([100, 5000, 1 << 20][rng.usize(..3)]);
            let (connection, driver) = ClientConnection::new(Box::new(theirs), &client::Config::default());
            let driver = local(driver);
            let asked: Vec<_> = (0..5)
                .map(|at| {
                    let mut connection = connection.clone();
                    local(async move {
                        let asks = [head(Method::GET, Framing::None), head(Method::POST, Framing::Stream)];
                        let Ok((mut outgoing, mut response)) = connection.send(&asks[at % 2]).await else {
                            return;
                        };
                        if at % 2 == 1 && outgoing.ready().await.is_ok() {
                            let _gone = outgoing.data(vec![0; 100_000].into());
                            outgoing.finish();
                        }
                        let _outcome = outcome(&mut response).await;
                    })
                })
                .collect();
            drop(connection);
            timeout(PATIENCE, converse(ours, bytes, rng)).await.unwrap_or_else(|_| panic!("seed {seed}"));
            for asked in asked {
                let ended = timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("seed {seed}"));
                ended.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
            }
            timeout(PATIENCE, driver).await.unwrap_or_else(|_| panic!("seed {seed}")).expect("no panic");
        }
    });
}
