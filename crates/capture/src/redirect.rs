//! The rules by which a network namespace hands its TCP and DNS traffic to a local proxy.
//!
//! In order: what the proxy sends (marked) passes; DNS goes to the DNS port; loopback to loopback stays;
//! all other TCP goes to the proxy, also to the namespace's own addresses; all other UDP is refused.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::nft::{Chain, Error, Match, Table, Verdict};

/// Name of the table that [`Redirect::apply`] writes.
pub const TABLE: &str = "leno";

/// Where captured traffic goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// TCP port for captured connections; listen on 127.0.0.1 and `::1`.
    pub tcp: u16,
    /// UDP and TCP port for DNS; listen on 127.0.0.1 and `::1`.
    pub dns: u16,
    /// Mark of the proxy's own sockets, which are let through.
    pub mark: u32,
}

impl Redirect {
    /// The rules as a table.
    pub fn table(&self) -> Table {
        let marked = || [Match::Mark(self.mark)];
        let loopback_v4 = Match::ToV4(Ipv4Addr::new(127, 0, 0, 0), 8);
        let loopback_v6 = Match::ToV6(Ipv6Addr::LOCALHOST, 128);
        let nat = Chain::nat_output("capture")
            .rule(marked(), Verdict::Accept)
            .rule([loopback_v4.clone()], Verdict::Accept)
            .rule([loopback_v6.clone()], Verdict::Accept)
            .rule([Match::Udp, Match::Port(53)], Verdict::Redirect(self.dns))
            .rule([Match::Tcp, Match::Port(53)], Verdict::Redirect(self.dns))
            .rule([Match::Tcp], Verdict::Redirect(self.tcp));
        let filter = Chain::filter_output("refuse")
            .rule(marked(), Verdict::Accept)
            .rule([loopback_v4], Verdict::Accept)
            .rule([loopback_v6], Verdict::Accept)
            // The DNS port's answers to redirected questions.
            .rule([Match::Established], Verdict::Accept)
            .rule([Match::Udp], Verdict::Reject);
        Table::new(TABLE).chain(nat).chain(filter)
    }

    /// Puts the rules in force in this thread's network namespace.
    ///
    /// # Errors
    /// As for [`Table::apply`].
    pub fn apply(&self) -> Result<(), Error> {
        self.table().apply()
    }
}
