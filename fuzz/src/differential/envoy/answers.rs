//! Servers behind Envoy.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::wire::{self, As};
use super::{Envoy, PATIENCE, all_joined, joined};
use crate::differential::generate::Asked;
use crate::differential::known::Peer;
use crate::differential::message::Reading;
use crate::differential::{Tally, leno};

/// How often Envoy may choose a connection that is being closed.
const CLOSED_TRIES: usize = 5;

/// Lets Envoy read what servers answer.
pub struct AnswersThere;

impl AnswersThere {
    /// Compares one input, and what we send on of it.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn compare(
        envoy: &Envoy,
        number: u64,
        input: &[u8],
        asked: Asked,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let (ours, sent) = leno::response(input, asked);
        let ours = all_joined(ours);
        let theirs = read(envoy, number, input, asked).await?;
        tally.compare(Peer::Envoy, input, &ours, &theirs);
        if let (Some(own), Some(sent)) = (ours.messages.first(), sent) {
            let theirs = read(envoy, number, &sent, asked).await?;
            tally.compare_sent(Peer::Envoy, &sent, own, &theirs);
        }
        Ok(())
    }

    /// What Envoy makes of an answer to GET.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn reading(envoy: &Envoy, input: &[u8]) -> io::Result<Reading> {
        read(envoy, 0, input, Asked::Get).await
    }
}

/// Envoy answers 503 where it used a connection that was being closed; a response that it refuses gets 502.
async fn read(envoy: &Envoy, number: u64, answer: &[u8], asked: Asked) -> io::Result<Reading> {
    for _ in 0..CLOSED_TRIES {
        let reading = read_once(envoy, number, answer, asked).await?;
        if reading.refusal.as_deref() != Some("503") {
            return Ok(reading);
        }
    }
    read_once(envoy, number, answer, asked).await
}

async fn read_once(envoy: &Envoy, number: u64, answer: &[u8], asked: Asked) -> io::Result<Reading> {
    envoy.ready.borrow_mut().insert(number, answer.to_vec());
    let mut stream = TcpStream::connect(envoy.answers).await?;
    let (method, read_as) = if asked == Asked::Head { ("HEAD", As::Bodiless) } else { ("GET", As::Response) };
    let request = format!("{method} /{number} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reading = Reading { is_over: true, ..Reading::default() };
    let (mut got, mut is_closed) = (Vec::new(), false);
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(read) = wire::message(&got, read_as, is_closed) {
            got.drain(..read.used);
            if read.message.first.starts_with('1') {
                continue;
            }
            let is_own = read.message.fields.iter().any(|(name, _)| name == "x-envoy-local");
            if is_own {
                reading.is_over = false;
                reading.refusal = Some(read.message.first);
            } else {
                reading.messages.push(joined(read.message));
            }
            return Ok(reading);
        }
        if is_closed {
            reading.refusal = Some("cut".to_owned());
            return Ok(reading);
        }
        match timeout_at(deadline, stream.read_buf(&mut got)).await {
            Ok(Ok(1..)) => {}
            Ok(_closed) => is_closed = true,
            Err(_elapsed) => is_closed = true,
        }
    }
}
