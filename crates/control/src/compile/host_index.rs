//! Objects by the host that they are about, wildcards included.

use std::collections::HashMap;

use leno_model::name::Host;

/// Objects by host, in the order in which they were added.
#[derive(Debug)]
pub struct HostIndex<T>(HashMap<Host, Vec<T>>);

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> HostIndex<T> {
    /// Adds an object that is about a host.
    pub fn add(&mut self, host: Host, object: T) {
        self.0.entry(host).or_default().push(object);
    }

    /// The objects that are about exactly this host.
    #[must_use]
    pub fn exact(&self, host: &Host) -> &[T] {
        self.0.get(host).map_or(&[], Vec::as_slice)
    }

    /// The objects that are about a host or a wildcard that covers it, the most specific host's first. One look-up per
    /// label.
    pub fn covering<'s>(&'s self, host: &'s Host) -> impl Iterator<Item = &'s [T]> {
        let own = self.0.get(host).map(Vec::as_slice);
        let wildcards =
            wildcards_of(host.as_str()).filter_map(|key| self.0.get(key.as_str()).map(Vec::as_slice));
        own.into_iter().chain(wildcards)
    }
}

/// The wildcards that cover a name (or another wildcard) and are not the same, longest first.
fn wildcards_of(name: &str) -> impl Iterator<Item = String> + '_ {
    let own_dot = if name.starts_with('*') { 1 } else { 0 };
    let suffixes =
        name.match_indices('.').filter(move |(at, _)| *at > own_dot).filter_map(|(at, _)| name.get(at..));
    let every = (name != "*").then(|| "*".to_owned());
    suffixes.map(|suffix| format!("*{suffix}")).chain(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_come_from_long_to_short() {
        for (name, expected) in [("a.b.c", "*.b.c *.c *"), ("*.b.c", "*.c *"), ("a", "*"), ("*", "")] {
            assert_eq!(wildcards_of(name).collect::<Vec<_>>().join(" "), expected, "{name}");
        }
    }

    #[test]
    fn what_covers_a_host_is_found() {
        let mut index = HostIndex::default();
        for host in ["*", "*.c", "*.b.c", "a.b.c", "b.c", "x.b.c"] {
            index.add(host.parse().unwrap(), host);
        }
        let found = |host: &str| {
            index.covering(&host.parse().unwrap()).flatten().copied().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("a.b.c"), "a.b.c *.b.c *.c *");
        assert_eq!(found("b.c"), "b.c *.c *");
        assert_eq!(found("*.b.c"), "*.b.c *.c *");
        assert_eq!(found("z"), "*");
    }
}
