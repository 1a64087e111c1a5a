//! SPIFFE ids and trust domains, parsed strictly (SPIFFE-ID specification §2).
//!
//! A [`SpiffeId`] in memory is always well-formed, so two ids are the same identity exactly when they are equal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest id accepted, in bytes (SPIFFE-ID §2.3 requires support for 2048 and forbids emitting more).
pub const MAX_ID_BYTES: usize = 2048;

/// Longest trust domain name accepted, in bytes (SPIFFE-ID §2.1).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// Why a text is not a SPIFFE id or trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text does not begin with `spiffe://`.
    #[error("a SPIFFE id begins with `spiffe://`")]
    Scheme,
    /// The trust domain is empty, too long, or has a character outside `a-z 0-9 . - _`.
    #[error("a trust domain is 1 to 255 characters of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain,
    /// The path has an empty or relative segment, a trailing slash, or a character outside `a-z A-Z 0-9 . - _`.
    #[error("a SPIFFE path is segments of a-z, A-Z, 0-9, '.', '-' and '_', none of them empty, '.' or '..'")]
    Path,
    /// The id is longer than [`MAX_ID_BYTES`].
    #[error("a SPIFFE id is at most 2048 bytes long")]
    TooLong,
}

/// A trust domain's name, such as `cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > MAX_TRUST_DOMAIN_BYTES || !text.bytes().all(valid) {
            return Err(ParseError::TrustDomain);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A workload's identity: `spiffe://trust-domain/path`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Length of the trust domain, which begins after `spiffe://`.
    domain: u16,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The identity that Leno (like Istio) gives a service account:
    /// `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`.
    ///
    /// # Errors
    /// When a part has a character that a SPIFFE path may not have.
    pub fn for_service_account(
        domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, ParseError> {
        for segment in [namespace, service_account] {
            if !valid_segment(segment) {
                return Err(ParseError::Path);
            }
        }
        format!("{SCHEME}{domain}/ns/{namespace}/sa/{service_account}").parse()
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain's name.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.parts().0
    }

    /// The path with its leading slash; empty for a trust domain's own id.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts().1
    }

    /// Trust domain and path, without `spiffe://`: the form that Istio's `principals` are written in.
    #[must_use]
    pub fn principal(&self) -> &str {
        self.text.get(SCHEME.len()..).unwrap_or_default()
    }

    /// Namespace and service account, when the path has the form `/ns/<namespace>/sa/<service-account>`.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, rest) = self.path().strip_prefix("/ns/")?.split_once('/')?;
        let account = rest.strip_prefix("sa/")?;
        (!account.contains('/')).then_some((namespace, account))
    }

    fn parts(&self) -> (&str, &str) {
        self.principal().split_at_checked(usize::from(self.domain)).unwrap_or_default()
    }
}

fn valid_segment(segment: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(valid)
}

impl FromStr for SpiffeId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_ID_BYTES {
            return Err(ParseError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(ParseError::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let domain: TrustDomain = domain.parse()?;
        if path.is_some_and(|path| !path.split('/').all(valid_segment)) {
            return Err(ParseError::Path);
        }
        let domain = u16::try_from(domain.as_str().len()).map_err(|_too_long| ParseError::TrustDomain)?;
        Ok(Self { text: text.into(), domain })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_ids_have_their_parts() {
        for (text, domain, path, account) in [
            ("spiffe://cluster.local", "cluster.local", "", None),
            ("spiffe://td/ns/shop/sa/web", "td", "/ns/shop/sa/web", Some(("shop", "web"))),
            ("spiffe://td/ns/shop/sa/web/more", "td", "/ns/shop/sa/web/more", None),
            ("spiffe://td/ns/shop/x/sa/web", "td", "/ns/shop/x/sa/web", None),
            ("spiffe://td/ns/shop/sax/web", "td", "/ns/shop/sax/web", None),
            ("spiffe://td/Web_1.x", "td", "/Web_1.x", None),
        ] {
            let id: SpiffeId = text.parse().unwrap();
            assert_eq!((id.as_str(), id.trust_domain(), id.path()), (text, domain, path));
            assert_eq!(id.service_account(), account, "{text}");
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        use ParseError::{Path, Scheme, TooLong, TrustDomain};
        let long = format!("spiffe://td/{}", "a".repeat(MAX_ID_BYTES));
        let long_domain = format!("spiffe://{}/x", "a".repeat(256));
        for (text, error) in [
            ("", Scheme),
            ("SPIFFE://td/x", Scheme),
            ("https://td/x", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///x", TrustDomain),
            ("spiffe://TD/x", TrustDomain),
            ("spiffe://td:80/x", TrustDomain),
            ("spiffe://user@td/x", TrustDomain),
            ("spiffe://td/", Path),
            ("spiffe://td/x/", Path),
            ("spiffe://td//x", Path),
            ("spiffe://td/../x", Path),
            ("spiffe://td/./x", Path),
            ("spiffe://td/x%2fy", Path),
            ("spiffe://td/x?y", Path),
            ("spiffe://td/x#y", Path),
            ("spiffe://td/ü", Path),
            (long.as_str(), TooLong),
            (long_domain.as_str(), TrustDomain),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_service_account_cannot_smuggle_segments() {
        let domain = "td".parse().unwrap();
        assert_eq!(SpiffeId::for_service_account(&domain, "a/sa/b", "c"), Err(ParseError::Path));
        assert_eq!(SpiffeId::for_service_account(&domain, "..", "c"), Err(ParseError::Path));
        let id = SpiffeId::for_service_account(&domain, "shop", "web").unwrap();
        assert_eq!(id.principal(), "td/ns/shop/sa/web");
    }
}
