//! Clients of Envoy.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::wire::{self, As};
use super::{Envoy, LAST, PATIENCE, all_joined, joined};
use crate::differential::known::{self, Peer};
use crate::differential::message::{Message, Reading};
use crate::differential::{Tally, leno};

/// Lets Envoy read what clients send.
pub struct RequestsThere;

impl RequestsThere {
    /// Compares one input, and returns what we send on of it.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn compare(
        envoy: &Envoy,
        input: &[u8],
        tally: &mut Tally,
    ) -> io::Result<Vec<(Message, Vec<u8>)>> {
        let bytes = [input, LAST].concat();
        let (ours, sent) = leno::requests(&bytes);
        let mut theirs = read(envoy, &bytes, Wait::For(&ours)).await?;
        let ours = all_joined(ours);
        let mut found = Tally::default();
        found.compare(Peer::Envoy, &bytes, &ours, &theirs);
        if !found.findings.is_empty() {
            // It may have been slow.
            theirs = read(envoy, &bytes, Wait::Long).await?;
            found = Tally::default();
            found.compare(Peer::Envoy, &bytes, &ours, &theirs);
        }
        tally.add(found);
        let own = ours.messages.into_iter().zip(sent);
        Ok(own
            .filter(|(message, _)| message.target != "/last-of-all" && !message.target.is_empty())
            .collect())
    }

    /// What Envoy makes of an input.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn reading(envoy: &Envoy, input: &[u8]) -> io::Result<Reading> {
        let mut reading = read(envoy, &[input, LAST].concat(), Wait::For(&Reading::default())).await?;
        reading.messages.retain(|message| message.target != "/last-of-all");
        Ok(reading)
    }

    /// Compares what we send on, many messages on one connection.
    ///
    /// # Errors
    /// When Envoy can't be reached.
    pub async fn compare_sent(
        envoy: &Envoy,
        sent: &[(Message, Vec<u8>)],
        tally: &mut Tally,
    ) -> io::Result<()> {
        let mut bytes: Vec<u8> = sent.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        bytes.extend_from_slice(LAST);
        let theirs = read(envoy, &bytes, Wait::Long).await?;
        let alike = sent.iter().zip(&theirs.messages).filter(|((own, _), other)| own.means(other)).count();
        if alike == sent.len() && theirs.messages.len() == alike + 1 {
            tally.sent_on += alike as u64;
            return Ok(());
        }
        // Each by itself tells which it is.
        for (own, bytes) in sent {
            let bytes = [bytes, LAST].concat();
            let mut theirs = read(envoy, &bytes, Wait::Long).await?;
            if theirs.messages.last().is_some_and(|last| last.target == "/last-of-all") {
                theirs.messages.pop();
            }
            tally.compare_sent(Peer::Envoy, &bytes, own, &theirs);
        }
        Ok(())
    }
}

/// How long Envoy may take.
#[derive(Clone, Copy, Debug)]
enum Wait<'r> {
    /// As long as it wants, within reason.
    Long,
    /// No longer than its turn where it has read what we have and nothing that it could do yet would be a finding but
    /// to read more.
    For(&'r Reading),
}

impl Wait<'_> {
    fn is_for_a_turn(self, read: usize) -> bool {
        let Self::For(ours) = self else { return false };
        let is_decided = match &ours.refusal {
            // We wait as well, or have closed.
            None => true,
            // It may read on or not: that is no finding.
            Some(rule) => known::is_meant(Peer::Envoy, rule),
        };
        is_decided && read >= ours.messages.len()
    }
}

/// What Envoy makes of the bytes.
async fn read(envoy: &Envoy, bytes: &[u8], wait: Wait<'_>) -> io::Result<Reading> {
    let mut stream = envoy.requests.connect().await?;
    // Envoy may have refused and closed before it has read everything.
    let _refused = stream.write_all(bytes).await;
    let mut reading = Reading::default();
    let mut got = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(answer) = answer(&got) {
            got.drain(..answer.used);
            match answer.told {
                Told::Nothing => {}
                Told::Seen(message) => reading.messages.push(joined(message)),
                Told::Refused(status) => {
                    reading.is_over = matches!(status.as_str(), "403" | "404");
                    reading.refusal = Some(status);
                    return Ok(reading);
                }
            }
            if answer.is_last {
                reading.is_over = true;
                return Ok(reading);
            }
        }
        let more = stream.read_buf(&mut got);
        let more = if wait.is_for_a_turn(reading.messages.len()) {
            tokio::select! {
                biased;
                more = more => Ok(more),
                turn = envoy.rounds.turn() => Err(turn?),
            }
        } else {
            timeout_at(deadline, more).await.map_err(drop)
        };
        match more {
            Ok(Ok(1..)) => {}
            Ok(_closed) => {
                // What Envoy's router itself answers to HEAD announces a body that doesn't come.
                if let Some(read) = wire::message(&got, As::Bodiless, true) {
                    reading.is_over = matches!(read.message.first.as_str(), "403" | "404");
                    reading.refusal = Some(read.message.first);
                }
                return Ok(reading);
            }
            Err(()) => {
                reading.refusal = Some("still waits".to_owned());
                return Ok(reading);
            }
        }
    }
}

struct Answer {
    told: Told,
    is_last: bool,
    used: usize,
}

enum Told {
    Nothing,
    Seen(Message),
    Refused(String),
}

/// The answer that the bytes begin with.
fn answer(bytes: &[u8]) -> Option<Answer> {
    // The answer to HEAD has a field that tells, and no body.
    let is_to_head =
        wire::message(bytes, As::Bodiless, false).filter(|read| seen_by_field(&read.message).is_some());
    let read = match is_to_head {
        Some(read) => read,
        None => wire::message(bytes, As::Response, false)?,
    };
    let message = seen_by_field(&read.message).or_else(|| wire::unpacked(&read.message.body));
    let told = match message {
        Some(message) => Told::Seen(message),
        None if read.message.first.starts_with('1') => Told::Nothing,
        None => Told::Refused(read.message.first),
    };
    Some(Answer { told, is_last: read.is_last, used: read.used })
}

fn seen_by_field(message: &Message) -> Option<Message> {
    let (_, value) = message.fields.iter().find(|(name, _)| name == "x-seen")?;
    let digits = std::str::from_utf8(value).ok()?;
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    wire::unpacked(&bytes?)
}
