//! Virtual addresses of services: one IPv4 and one IPv6 for each host, kept in the state directory.
//!
//! Clients cache DNS, so a host's addresses never change while there is a service of it; they are its again when it
//! comes back, and nobody else's for as long as others are free. Both addresses have the same number in their pool.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use leno_identity::Error;
use leno_identity::state::StateDirectory;
use leno_model::name::Host;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_RETIRED_ADDRESSES;

const FILE: &str = "addresses.json";
const V4: Ipv4Addr = Ipv4Addr::new(240, 240, 0, 0);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd6c, 0x656e, 0x6f, 2, 0, 0, 0, 0);
/// The first and last number of a pool: not those of network and broadcast.
const NUMBERS: std::ops::RangeInclusive<u16> = 1..=u16::MAX - 1;

/// The pools: 240.240.0.0/16 and `fd6c:656e:6f:2::/64`.
#[must_use]
pub fn ranges() -> Vec<IpNet> {
    let v4 = Ipv4Net::new(V4, 16).map(IpNet::V4);
    let v6 = Ipv6Net::new(V6, 64).map(IpNet::V6);
    v4.into_iter().chain(v6).collect()
}

/// Who has which address.
#[derive(Debug, Default)]
pub struct Addresses {
    book: Book,
    directory: Option<Arc<StateDirectory>>,
    /// Whether the book was changed since it was kept.
    is_unkept: bool,
}

/// The record, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    /// Numbers of hosts that have a service.
    held: BTreeMap<String, u16>,
    /// Hosts that had one, the longest ago first, with their numbers.
    retired: Vec<(String, u16)>,
    /// The number given out last, after which free ones are looked for.
    last: u16,
}

impl Addresses {
    /// Addresses that are forgotten with the process.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::default()
    }

    /// The addresses of a state directory.
    ///
    /// # Errors
    /// When the record can't be read. One that is there and damaged is put aside under another name and reported, since
    /// a mesh with new addresses is better than none.
    pub fn open(directory: Arc<StateDirectory>) -> Result<Self, Error> {
        let book = match directory.read(FILE)? {
            None => Book::default(),
            Some(bytes) => match serde_json::from_slice::<Book>(&bytes).map_err(|e| e.to_string()) {
                Ok(book) => book.checked(),
                Err(error) => {
                    let aside = format!("{FILE}.damaged");
                    directory.write(&aside, &bytes)?;
                    tracing::error!(
                        error,
                        aside,
                        "the record of virtual addresses is damaged; they begin anew"
                    );
                    Book::default()
                }
            },
        };
        Ok(Self { book, directory: Some(directory), is_unkept: false })
    }

    /// The addresses of a host, which it keeps; none where the pool is exhausted.
    pub fn of(&mut self, host: &Host) -> Vec<IpAddr> {
        let number = match self.book.held.get(host.as_str()) {
            Some(number) => Some(*number),
            None => {
                let number = self.book.choose(host.as_str());
                if let Some(number) = number {
                    self.book.held.insert(host.to_string(), number);
                    self.is_unkept = true;
                }
                number
            }
        };
        number.map(addresses).map_or_else(Vec::new, Vec::from)
    }

    /// Says which hosts have a service: the addresses of all others may be given away, last of all.
    pub fn retain(&mut self, has_service: impl Fn(&str) -> bool) {
        let (held, retired) =
            std::mem::take(&mut self.book.held).into_iter().partition(|(host, _)| has_service(host));
        self.book.held = held;
        let retired: BTreeMap<String, u16> = retired;
        self.is_unkept |= !retired.is_empty();
        self.book.retired.extend(retired);
        let excess = self.book.retired.len().saturating_sub(MAX_RETIRED_ADDRESSES);
        self.book.retired.drain(..excess);
    }

    /// Keeps what was changed. To be called before anybody is told of new addresses.
    ///
    /// # Errors
    /// When it can't be written; it is tried again with the next call.
    pub fn keep(&mut self) -> Result<(), Error> {
        let Some(directory) = self.directory.as_deref().filter(|_| self.is_unkept) else { return Ok(()) };
        let bytes = serde_json::to_vec(&self.book).unwrap_or_default();
        directory.write(FILE, &bytes)?;
        self.is_unkept = false;
        Ok(())
    }

    /// How many hosts have addresses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.book.held.len()
    }

    /// Whether no host has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.book.held.is_empty()
    }
}

impl Book {
    /// Without what nobody could have written here: numbers outside of the pool, or given twice.
    fn checked(mut self) -> Self {
        let mut seen = std::collections::BTreeSet::new();
        self.held.retain(|_, number| NUMBERS.contains(number) && seen.insert(*number));
        self.retired.retain(|(_, number)| NUMBERS.contains(number) && seen.insert(*number));
        self
    }

    /// A number for a host that has none: the one that it had, else the next that nobody has or had, else the one that
    /// was given back the longest ago.
    fn choose(&mut self, host: &str) -> Option<u16> {
        if let Some(at) = self.retired.iter().position(|(retired, _)| retired == host) {
            return Some(self.retired.remove(at).1);
        }
        if let Some(free) = self.next_free() {
            self.last = free;
            return Some(free);
        }
        (!self.retired.is_empty()).then(|| self.retired.remove(0).1)
    }

    fn next_free(&self) -> Option<u16> {
        let taken: std::collections::HashSet<u16> =
            self.held.values().copied().chain(self.retired.iter().map(|(_, number)| *number)).collect();
        if taken.len() >= NUMBERS.len() {
            return None;
        }
        let after = NUMBERS.filter(|number| *number > self.last);
        let before = NUMBERS.filter(|number| *number <= self.last);
        after.chain(before).find(|number| !taken.contains(number))
    }
}

fn addresses(number: u16) -> [IpAddr; 2] {
    let [high, low] = number.to_be_bytes();
    let [a, b, ..] = V4.octets();
    let [s0, s1, s2, s3, ..] = V6.segments();
    [IpAddr::V4(Ipv4Addr::new(a, b, high, low)), IpAddr::V6(Ipv6Addr::new(s0, s1, s2, s3, 0, 0, 0, number))]
}
