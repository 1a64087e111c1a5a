//! Names: service hosts and the names of workloads.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Empty, or longer than 253 characters (RFC 1035 §2.3.4).
    #[error("a host name has 1 to 253 characters")]
    Length,
    /// A label is empty, longer than 63 characters, or has a character outside `a-z 0-9 - _`.
    #[error("a host name is labels of at most 63 letters, digits, '-' or '_', separated by dots")]
    Label,
    /// `*` stands elsewhere than as the whole first label.
    #[error("a wildcard is only allowed as the whole first label, as in *.example.com")]
    Wildcard,
}

/// The DNS name of a service, in lower case and without a trailing dot; may begin with a `*.` wildcard label, or
/// be `*` alone. Two hosts are the same exactly when they are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

impl Host {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name stands for many (`*` or `*.example.com`).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether `name` (lower case, no trailing dot) is this host or is covered by its wildcard. A wildcard covers
    /// any number of labels, as in Gateway API and Istio.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => &*self.0 == name,
        }
    }

    /// Sort key for "most specific first": exact names before wildcards, longer before shorter.
    #[must_use]
    pub fn specificity(&self) -> (bool, usize) {
        (!self.is_wildcard(), self.0.len())
    }

    /// The FQDN of a Kubernetes-style service: `<name>.<namespace>.svc.<domain>`.
    ///
    /// # Errors
    /// When a part is not made of host name labels.
    pub fn for_service(name: &str, namespace: &str, domain: &str) -> Result<Self, HostError> {
        format!("{name}.{namespace}.svc.{domain}").parse()
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > 253 {
            return Err(HostError::Length);
        }
        let rest = match text.strip_prefix('*') {
            Some("") => return Ok(Self(text.into())),
            Some(rest) => rest.strip_prefix('.').ok_or(HostError::Wildcard)?,
            None => text,
        };
        for label in rest.split('.') {
            if label.contains('*') {
                return Err(HostError::Wildcard);
            }
            let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(valid) {
                return Err(HostError::Label);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of one running workload: namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadName {
    /// The namespace it runs in.
    pub namespace: Arc<str>,
    /// The instance's own name (a pod's name, or `reviews-v1-0` in a local mesh).
    pub name: Arc<str>,
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_canonical() {
        for (text, canonical) in [
            ("Reviews.Default.svc.cluster.local.", "reviews.default.svc.cluster.local"),
            ("*.Example.com", "*.example.com"),
            ("*", "*"),
            ("a_b", "a_b"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().as_str(), canonical);
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        let long = "a".repeat(64);
        for (text, error) in [
            ("", HostError::Length),
            (".", HostError::Length),
            ("a..b", HostError::Label),
            ("a/b", HostError::Label),
            ("a:80", HostError::Label),
            ("*a.b", HostError::Wildcard),
            ("a.*.b", HostError::Wildcard),
            (long.as_str(), HostError::Label),
        ] {
            assert_eq!(text.parse::<Host>(), Err(error), "{text}");
        }
    }

    #[test]
    fn wildcards_cover_sub_domains_only() {
        let host: Host = "*.example.com".parse().unwrap();
        for (name, covered) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("xexample.com", false),
        ] {
            assert_eq!(host.covers(name), covered, "{name}");
        }
    }
}
