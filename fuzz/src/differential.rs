//! The same bytes, read by us and by others: hyper in this process, and Envoy over sockets.
//!
//! What is compared is meaning: which messages there are, where each ends, what its method, target, host, fields, body
//! and trailers are; and what becomes of what we send on when another reads it. Two readers that both take a message
//! must take the same one. One that refuses what the other takes is harmless only for a reason that
//! [`known`] has.
//!
//! Inputs come from a grammar of HTTP/1 that also knows how to be wrong ([`generate`]). Each follows from its number
//! and the seed alone.

pub mod envoy;
pub mod generate;
pub mod hyper;
pub mod known;
pub mod leno;
pub mod message;
pub mod page;
pub mod peers;

use std::fmt;

use generate::Asked;
use known::Peer;
use message::{Message, Reading};

/// A difference that nothing explains.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Who else read it.
    pub peer: Peer,
    /// What kind of difference it is.
    pub what: String,
    /// What was read.
    pub input: Vec<u8>,
    /// What either made of it.
    pub readings: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, what, input, readings } = self;
        write!(f, "{peer:?}: {what}\n  {}\n{readings}", input.escape_ascii())
    }
}

/// What came of comparing.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Differences that are known, by name.
    pub known: std::collections::BTreeMap<&'static str, u64>,
    /// Messages that were read alike.
    pub alike: u64,
    /// Messages that we sent on and that were read alike.
    pub sent_on: u64,
    /// Other differences.
    pub findings: Vec<Finding>,
}

impl Tally {
    /// Says in all findings which input they come from.
    pub fn is_of(&mut self, number: u64) {
        for finding in &mut self.findings {
            finding.what = format!("input {number}: {}", finding.what);
        }
    }

    /// Adds what another has found.
    pub fn add(&mut self, other: Self) {
        for (name, count) in other.known {
            *self.known.entry(name).or_default() += count;
        }
        self.alike += other.alike;
        self.sent_on += other.sent_on;
        self.findings.extend(other.findings);
    }

    /// Compares two readings of one input. Of what comes behind a message that only one takes, nothing is compared: for
    /// the other, the connection is over.
    pub fn compare(&mut self, peer: Peer, input: &[u8], ours: &Reading, theirs: &Reading) {
        let mut pairs = ours.messages.iter().zip(&theirs.messages);
        if let Some((own, other)) = pairs.find(|(own, other)| !own.means(other)) {
            return self.differ(peer, input, ours, theirs, &Difference::Meaning(own, other));
        }
        let both = ours.messages.len().min(theirs.messages.len());
        self.alike += both as u64;
        if ours.is_over_after(both) || theirs.is_over_after(both) {
            return;
        }
        match (ours.messages.get(both), theirs.messages.get(both)) {
            (Some(own), None) => {
                self.differ(peer, input, ours, theirs, &Difference::OnlyWeTake(own));
            }
            (None, Some(other)) => {
                self.differ(peer, input, ours, theirs, &Difference::OnlyTheyTake(other));
            }
            _ => {}
        }
    }

    /// Compares what we sent on with what another reads there: exactly that message, and nothing beside it.
    pub fn compare_sent(&mut self, peer: Peer, sent: &[u8], own: &Message, theirs: &Reading) {
        let ours = Reading { messages: vec![own.clone()], ..Reading::default() };
        match theirs.messages.as_slice() {
            [other] if own.means(other) => self.sent_on += 1,
            [other] => self.differ(peer, sent, &ours, theirs, &Difference::SentMeaning(own, other)),
            [] if theirs.is_over_after(0) => {}
            [] => self.differ(peer, sent, &ours, theirs, &Difference::SentRefused(own)),
            [..] => self.differ(peer, sent, &ours, theirs, &Difference::SentSeveral),
        }
    }

    fn differ(
        &mut self,
        peer: Peer,
        input: &[u8],
        ours: &Reading,
        theirs: &Reading,
        difference: &Difference<'_>,
    ) {
        if let Some(known) = known::explain(peer, input, ours, difference) {
            *self.known.entry(known.name).or_default() += 1;
            return;
        }
        self.findings.push(Finding {
            peer,
            what: difference.name(ours),
            input: input.to_vec(),
            readings: format!("  we read {ours:?}\n  {peer:?} reads {theirs:?}"),
        });
    }
}

/// How two readings differ.
#[derive(Clone, Copy, Debug)]
pub enum Difference<'d> {
    /// Both take a message, and not the same.
    Meaning(&'d Message, &'d Message),
    /// We take one that the other doesn't.
    OnlyWeTake(&'d Message),
    /// The other takes one that we don't.
    OnlyTheyTake(&'d Message),
    /// What we sent means something else to the other.
    SentMeaning(&'d Message, &'d Message),
    /// The other doesn't take what we sent.
    SentRefused(&'d Message),
    /// What we sent as one message is several to the other.
    SentSeveral,
}

impl Difference<'_> {
    fn name(&self, ours: &Reading) -> String {
        match self {
            Self::Meaning(..) => "both take it, and differ".to_owned(),
            Self::OnlyWeTake(_) => "we take what the other refuses".to_owned(),
            Self::OnlyTheyTake(_) => format!("we refuse what the other takes: {}", ours.refused()),
            Self::SentMeaning(..) => "what we sent means something else".to_owned(),
            Self::SentRefused(_) => "what we sent is refused".to_owned(),
            Self::SentSeveral => "what we sent is several messages".to_owned(),
        }
    }
}

/// Lets hyper read one input of clients, and what we send on of it.
pub fn requests_by_hyper(input: &[u8], tally: &mut Tally) {
    let (ours, sent) = leno::requests(input);
    tally.compare(Peer::Hyper, input, &ours, &hyper::requests(input));
    for (message, bytes) in ours.messages.iter().zip(&sent) {
        tally.compare_sent(Peer::Hyper, bytes, message, &hyper::requests(bytes));
    }
}

/// Lets hyper read one input of servers, and what we send on of it.
pub fn responses_by_hyper(input: &[u8], asked: Asked, tally: &mut Tally) {
    let (ours, sent) = leno::response(input, asked);
    tally.compare(Peer::Hyper, input, &ours, &hyper::response(input, asked));
    if let (Some(message), Some(bytes)) = (ours.messages.first(), sent) {
        tally.compare_sent(Peer::Hyper, &bytes, message, &hyper::response(&bytes, asked));
    }
}

/// One input by its number: requests, or in every third case an answer.
pub fn by_hyper(seed: u64, number: u64, tally: &mut Tally) {
    let mut generator = generate::Generator::new(seed, number);
    let mut found = Tally::default();
    if number % 3 == 2 {
        let (input, asked) = generator.responses();
        responses_by_hyper(&input, asked, &mut found);
    } else {
        requests_by_hyper(&generator.requests(), &mut found);
    }
    found.is_of(number);
    tally.add(found);
}
