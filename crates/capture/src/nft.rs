//! Packet rules (nftables) over netlink: a typed table, applied in one transaction.
//!
//! Only what redirection needs: `inet` tables with chains on the output hook, a handful of matches,
//! four verdicts. Invariant: [`Table::apply`] replaces a table of the same name as a whole or changes
//! nothing.

mod encode;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::netlink::Socket;

/// Why the kernel didn't take the rules.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The netlink socket failed.
    #[error("can't talk to the kernel's packet filter")]
    Socket(#[source] io::Error),
    /// The kernel refused one part, and with it the whole transaction.
    #[error("the kernel refused {part}")]
    Refused {
        /// Which part, in words.
        part: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// A table of the `inet` family (IPv4 and IPv6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: String,
    chains: Vec<Chain>,
}

/// A list of rules at one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    name: String,
    kind: Kind,
    rules: Vec<Rule>,
}

/// What a chain may do, and when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rewrites destinations of new local connections, before filters see them.
    NatOutput,
    /// Accepts or rejects outgoing packets.
    FilterOutput,
}

/// Matches that must all hold, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    matches: Vec<Match>,
    verdict: Verdict,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The socket's mark (`SO_MARK`).
    Mark(u32),
    /// Destination in an IPv4 network.
    ToV4(Ipv4Addr, u8),
    /// Destination in an IPv6 network.
    ToV6(Ipv6Addr, u8),
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Destination port; only after [`Match::Tcp`] or [`Match::Udp`].
    Port(u16),
    /// Part of a connection that earlier packets were allowed to establish.
    Established,
}

/// What happens to a packet that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ends this chain; the packet goes on as it is.
    Accept,
    /// Goes to this port of the loopback address instead.
    Redirect(u16),
    /// Refused with "port unreachable", so that the sender learns of it at once.
    Reject,
}

impl Table {
    /// An empty table.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), chains: Vec::new() }
    }

    /// Adds a chain.
    #[must_use]
    pub fn chain(mut self, chain: Chain) -> Self {
        self.chains.push(chain);
        self
    }

    /// Writes the table into this thread's network namespace, replacing one of the same name.
    ///
    /// # Errors
    /// [`Error::Refused`] names the first part that the kernel didn't take; nothing has changed then.
    pub fn apply(&self) -> Result<(), Error> {
        let mut batch = encode::Batch::begin();
        // Deleting needs something to delete; creating is a no-op when the table exists.
        batch.create_table(&self.name);
        batch.delete_table(&self.name);
        batch.create_table(&self.name);
        for chain in &self.chains {
            batch.create_chain(&self.name, chain);
            for rule in &chain.rules {
                batch.create_rule(&self.name, chain, rule);
            }
        }
        commit(batch)
    }
}

impl Chain {
    /// A chain that rewrites where new local connections go.
    pub fn nat_output(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::NatOutput, rules: Vec::new() }
    }

    /// A chain that filters outgoing packets, after rewriting.
    pub fn filter_output(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::FilterOutput, rules: Vec::new() }
    }

    /// Adds a rule: when all `matches` hold, `verdict`.
    #[must_use]
    pub fn rule(mut self, matches: impl IntoIterator<Item = Match>, verdict: Verdict) -> Self {
        self.rules.push(Rule { matches: matches.into_iter().collect(), verdict });
        self
    }
}

/// Removes a table of this name from this thread's network namespace. A table that isn't there is fine.
///
/// # Errors
/// As for [`Table::apply`].
pub fn remove(name: &str) -> Result<(), Error> {
    let mut batch = encode::Batch::begin();
    batch.create_table(name);
    batch.delete_table(name);
    commit(batch)
}

/// Whether this thread may redirect packets in its network namespace, found out by doing it: a
/// redirect and a reject rule are written and removed. A kernel may allow the namespace and yet
/// refuse the rule.
///
/// # Errors
/// As for [`Table::apply`].
pub fn probe() -> Result<(), Error> {
    let name = "leno-probe";
    Table::new(name)
        .chain(Chain::nat_output("nat").rule([Match::Mark(1), Match::Tcp], Verdict::Redirect(1)))
        .chain(Chain::filter_output("filter").rule([Match::Mark(1), Match::Udp], Verdict::Reject))
        .apply()?;
    remove(name)
}

/// Sends a batch and waits for the answer to each of its parts.
fn commit(batch: encode::Batch) -> Result<(), Error> {
    let (bytes, mut parts) = batch.end();
    let socket = Socket::open(Some(rustix::net::netlink::NETFILTER)).map_err(Error::Socket)?;
    socket.send(&bytes).map_err(Error::Socket)?;
    while !parts.is_empty() {
        for answer in socket.answers().map_err(Error::Socket)? {
            // Errors of the batch as a whole carry the number of its first message.
            let part = parts.remove(&answer.sequence).unwrap_or_else(|| "the transaction".to_owned());
            if answer.error != 0 {
                return Err(Error::Refused { part, source: io::Error::from_raw_os_error(answer.error) });
            }
        }
    }
    Ok(())
}
