//! Messages that two recipients could take for different ones, and such as only look so: what attacks by request
//! smuggling are made of.
//!
//! Pure data. Whoever sends them asserts what [`Fate`] says: the tests of whole proxies, in both directions, and the
//! differential fuzzer, which also asks others. `/odd` (and `x-odd` in answers) is the message itself, `/smuggled` is
//! what an attacker hides in it.

mod answers;
mod requests;
mod streams;

pub use answers::{ANSWERS, ODD_STREAM_ANSWERS};
pub use requests::REQUESTS;
pub use streams::STREAMS;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody else sees a byte of it.
    Refused,
    /// It goes on with one meaning: for requests what the application sees, `METHOD TARGET BODY` each; for answers
    /// what the client sees, `STATUS BODY`.
    Passed(&'static [&'static str]),
    /// The fault comes after what has gone on already. The message stays incomplete.
    Cut,
}

/// A group of messages that have something in common.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The messages.
    pub cases: &'static [Case],
}

/// A message of HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is special about it.
    pub what: &'static str,
    /// Where that is ruled on.
    pub rule: &'static str,
    /// The bytes. `@MANY` stands for 200 short field lines, `@LONG` for 200,000 letters, `@KILO` for 1,000.
    pub sent: &'static [u8],
    /// What becomes of it.
    pub fate: Fate,
    /// Whether it goes to an application over HTTP/1 only.
    pub http1_only: bool,
}

impl Case {
    /// The bytes with everything in them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let many: String = (0..200).map(|number| format!("x{number}: a\r\n")).collect();
        let long = |count| "a".repeat(count);
        let replaced = replace(self.sent, b"@MANY", many.as_bytes());
        let replaced = replace(&replaced, b"@LONG", long(200_000).as_bytes());
        replace(&replaced, b"@KILO", long(1_000).as_bytes())
    }
}

/// What hyper and Envoy make of a message of HTTP/1, by its group and what is special about it.
#[must_use]
pub fn peers(title: &str, what: &str) -> Option<(&'static str, &'static str)> {
    const TOLD: &str = include_str!("smuggling/peers.tsv");
    TOLD.lines().find_map(|line| {
        let mut cells = line.split('\t');
        let is_it = cells.next() == Some(title) && cells.next() == Some(what);
        if is_it { cells.next().zip(cells.next()) } else { None }
    })
}

fn replace(bytes: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(word.len()).position(|part| part == word) {
        Some(at) => {
            let (before, after) = bytes.split_at(at);
            [before, by, after.get(word.len()..).unwrap_or_default()].concat()
        }
        None => bytes.to_vec(),
    }
}

const fn refused(what: &'static str, rule: &'static str, sent: &'static [u8]) -> Case {
    Case { what, rule, sent, fate: Fate::Refused, http1_only: false }
}

const fn passed(
    what: &'static str,
    rule: &'static str,
    sent: &'static [u8],
    seen: &'static [&'static str],
) -> Case {
    Case { what, rule, sent, fate: Fate::Passed(seen), http1_only: false }
}

/// A field as it is written, and its value.
pub type Field = (&'static [u8], &'static [u8]);

/// A message of HTTP/2, field by field.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// What is special about it.
    pub what: &'static str,
    /// Where that is ruled on.
    pub rule: &'static str,
    /// The head, pseudo fields and all.
    pub head: &'static [Field],
    /// The body; `None` where the head ends the message.
    pub body: Option<&'static [u8]>,
    /// The trailers.
    pub trailers: Option<&'static [Field]>,
    /// What becomes of it.
    pub fate: Fate,
}

impl Stream {
    /// What is sent, for people to read.
    #[must_use]
    pub fn shown(&self) -> String {
        let line = |(name, value): &Field| format!("{}: {}\n", name.escape_ascii(), value.escape_ascii());
        let mut shown: String = self.head.iter().map(line).collect();
        if let Some(body) = self.body {
            shown.push_str(&format!("DATA {}\n", body.escape_ascii()));
        }
        if let Some(trailers) = self.trailers {
            shown.push_str("trailers\n");
            shown.extend(trailers.iter().map(line));
        }
        shown
    }
}
