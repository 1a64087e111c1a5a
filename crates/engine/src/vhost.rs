//! Values by host, of which the most specific that covers a name counts: a gateway's listeners, a listener's virtual
//! hosts, wildcard services.

use std::collections::HashMap;

use leno_model::name::Host;
use leno_model::request::split_authority;

/// A map from hosts, wildcards included. An exact host beats wildcards, and a longer wildcard a shorter one. Finding
/// costs one look-up per label.
#[derive(Clone, Debug)]
pub struct HostMap<T> {
    exact: HashMap<Host, T>,
    /// By what follows the star: `.example.com`, or nothing.
    wildcards: HashMap<Box<str>, (Host, T)>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: HashMap::new() }
    }
}

impl<T> FromIterator<(Host, T)> for HostMap<T> {
    /// Of two entries for one host the first counts.
    fn from_iter<I: IntoIterator<Item = (Host, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (host, value) in entries {
            match host.as_str().strip_prefix('*').map(Box::from) {
                Some(suffix) => {
                    map.wildcards.entry(suffix).or_insert((host, value));
                }
                None => {
                    map.exact.entry(host).or_insert(value);
                }
            }
        }
        map
    }
}

impl<T> HostMap<T> {
    /// The value for the host of an authority: lower case, with or without port and trailing dot. `*` covers a
    /// request without any.
    #[must_use]
    pub fn find(&self, authority: &str) -> Option<(&Host, &T)> {
        let (name, _) = split_authority(authority);
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(found) = self.exact.get_key_value(name) {
            return Some(found);
        }
        if self.wildcards.is_empty() {
            return None;
        }
        let suffixes = name.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| name.get(at..));
        suffixes.chain([""]).find_map(|suffix| self.wildcards.get(suffix)).map(|(host, value)| (host, value))
    }

    /// Every host with its value, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Host, &T)> {
        self.exact.iter().chain(self.wildcards.values().map(|(host, value)| (host, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_host_counts() {
        let hosts = ["*", "*.example.com", "a.example.com", "*.b.example.com", "example.org"];
        let map: HostMap<()> = hosts.iter().map(|host| (host.parse().unwrap(), ())).collect();
        for (authority, expected) in [
            ("a.example.com", "a.example.com"),
            ("a.example.com:8080", "a.example.com"),
            ("a.example.com.", "a.example.com"),
            ("a.example.com.:80", "a.example.com"),
            ("c.example.com", "*.example.com"),
            ("x.a.example.com", "*.example.com"),
            ("x.b.example.com", "*.b.example.com"),
            ("b.example.com", "*.example.com"),
            ("example.com", "*"),
            ("example.org", "example.org"),
            ("x.example.org", "*"),
            ("[::1]:80", "*"),
            ("", "*"),
        ] {
            let found = map.find(authority).map(|(host, ())| host.as_str());
            assert_eq!(found, Some(expected), "{authority}");
        }
        assert_eq!(map.iter().count(), hosts.len());
    }

    #[test]
    fn nothing_covers_a_stranger() {
        let map: HostMap<()> = [("*.example.com".parse().unwrap(), ())].into_iter().collect();
        assert!(map.find("example.com").is_none() && map.find("xexample.com").is_none());
    }
}
