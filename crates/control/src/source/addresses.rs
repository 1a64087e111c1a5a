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

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    fn texts(addresses: &[IpAddr]) -> String {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_host_keeps_its_addresses_and_gets_them_back() {
        let mut addresses = Addresses::ephemeral();
        let first = addresses.of(&host("a"));
        assert_eq!(texts(&first), "240.240.0.1 fd6c:656e:6f:2::1");
        assert!(ranges().iter().all(|range| first.iter().any(|address| range.contains(address))));
        assert_eq!(addresses.of(&host("a")), first);
        addresses.retain(|_| false);
        assert!(addresses.is_empty());
        assert_eq!(texts(&addresses.of(&host("b"))), "240.240.0.2 fd6c:656e:6f:2::2", "not a's");
        assert_eq!(addresses.of(&host("a")), first);
    }

    #[test]
    fn a_full_pool_gives_what_was_given_back_the_longest_ago() {
        let mut addresses = Addresses::ephemeral();
        let all = usize::from(u16::MAX) - 1;
        addresses.book.held = (0..all).map(|i| (format!("h{i}"), u16::try_from(i + 1).unwrap())).collect();
        assert!(addresses.of(&host("new")).is_empty());
        addresses.retain(|held| held != "h7");
        addresses.retain(|held| held != "h3");
        assert_eq!(texts(&addresses.of(&host("new"))), "240.240.0.8 fd6c:656e:6f:2::8");
        assert_eq!(texts(&addresses.of(&host("newer"))), "240.240.0.4 fd6c:656e:6f:2::4");
        assert!(addresses.of(&host("newest")).is_empty());
    }

    #[test]
    fn the_record_survives_the_process_and_damage_is_put_aside() {
        let path = std::env::temp_dir().join(format!("leno-addresses-{}", std::process::id()));
        let open = || Addresses::open(Arc::new(StateDirectory::open(&path).unwrap())).unwrap();
        let mut addresses = open();
        let (a, b) = (addresses.of(&host("a")), addresses.of(&host("b")));
        addresses.retain(|held| held == "b");
        addresses.keep().unwrap();
        drop(addresses);
        let mut addresses = open();
        assert_eq!((addresses.of(&host("b")), addresses.of(&host("a"))), (b, a));
        drop(addresses);
        std::fs::write(path.join(FILE), r#"{"held":{"a":0,"b":7,"c":7},"retired":[["d",7]],"last":9}"#)
            .unwrap();
        assert_eq!(
            open().book.held,
            BTreeMap::from([("b".to_owned(), 7)]),
            "impossible entries are left out"
        );
        std::fs::write(path.join(FILE), "{").unwrap();
        assert!(open().is_empty());
        assert_eq!(std::fs::read(path.join("addresses.json.damaged")).unwrap(), b"{");
        std::fs::remove_dir_all(&path).unwrap();
    }
}
