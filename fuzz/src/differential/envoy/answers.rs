//! Servers behind Envoy.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
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
        twice(tally, async |found| {
            let question = Question { number, asked, keeps: !ours.messages.is_empty() };
            let theirs = read(envoy, question, input).await?;
            found.compare(Peer::Envoy, input, &ours, &theirs);
            Ok(())
        })
        .await?;
        if let (Some(own), Some(sent)) = (ours.messages.first(), sent) {
            twice(tally, async |found| {
                let theirs = read(envoy, Question { number, asked, keeps: true }, &sent).await?;
                found.compare_sent(Peer::Envoy, &sent, own, &theirs);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// What Envoy makes of an answer to GET.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn reading(envoy: &Envoy, input: &[u8]) -> io::Result<Reading> {
        read(envoy, Question { number: 0, asked: Asked::Get, keeps: false }, input).await
    }
}

/// Asks again where there is a finding: Envoy may have been slow.
async fn twice(tally: &mut Tally, compare: impl AsyncFn(&mut Tally) -> io::Result<()>) -> io::Result<()> {
    let mut found = Tally::default();
    compare(&mut found).await?;
    if !found.findings.is_empty() {
        found = Tally::default();
        compare(&mut found).await?;
    }
    tally.add(found);
    Ok(())
}

/// What Envoy is asked for.
#[derive(Clone, Copy, Debug)]
struct Question {
    number: u64,
    asked: Asked,
    /// Whether another is asked on the same connection. What one answer was is nothing to that; but of an answer that
    /// isn't one, only the connection's end shows the end.
    keeps: bool,
}

/// Envoy answers 503 where it used a connection that was being closed; a response that it refuses gets 502.
async fn read(envoy: &Envoy, question: Question, answer: &[u8]) -> io::Result<Reading> {
    for _ in 0..CLOSED_TRIES {
        let reading = read_once(envoy, question, answer).await?;
        if reading.refusal.as_deref() != Some("503") {
            return Ok(reading);
        }
    }
    read_once(envoy, question, answer).await
}

async fn read_once(envoy: &Envoy, question: Question, answer: &[u8]) -> io::Result<Reading> {
    let kept = envoy.kept.borrow_mut().pop_if(|_| question.keeps);
    if let Some(stream) = kept
        && let Some(reading) = ask(envoy, stream, question, answer).await
    {
        return Ok(reading);
    }
    let fresh = envoy.answers.connect().await?;
    let cut = || Reading { refusal: Some("cut".to_owned()), is_over: true, ..Reading::default() };
    Ok(ask(envoy, fresh, question, answer).await.unwrap_or_else(cut))
}

/// None where the connection ends without an answer.
async fn ask(envoy: &Envoy, mut stream: UnixStream, question: Question, answer: &[u8]) -> Option<Reading> {
    let Question { number, asked, keeps } = question;
    envoy.ready.borrow_mut().insert(number, answer.to_vec());
    let (method, read_as) = if asked == Asked::Head { ("HEAD", As::Bodiless) } else { ("GET", As::Response) };
    let option = if keeps { "keep-alive" } else { "close" };
    let request = format!("{method} /{number} HTTP/1.1\r\nhost: a\r\nconnection: {option}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut reading = Reading { is_over: true, ..Reading::default() };
    let (mut got, mut is_closed) = (Vec::new(), false);
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(read) = wire::message(&got, read_as, is_closed) {
            got.drain(..read.used);
            if read.message.first.starts_with('1') {
                continue;
            }
            if keeps && !read.is_last && !is_closed && got.is_empty() {
                envoy.kept.borrow_mut().push(stream);
            }
            let is_own = read.message.fields.iter().any(|(name, _)| name == "x-envoy-local");
            if is_own {
                reading.is_over = false;
                reading.refusal = Some(read.message.first);
            } else {
                reading.messages.push(joined(read.message));
            }
            return Some(reading);
        }
        if is_closed && got.is_empty() {
            return None;
        }
        if is_closed {
            reading.refusal = Some("cut".to_owned());
            return Some(reading);
        }
        is_closed = !matches!(timeout_at(deadline, stream.read_buf(&mut got)).await, Ok(Ok(1..)));
    }
}
