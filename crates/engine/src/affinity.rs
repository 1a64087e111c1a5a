//! The key by which a request goes to always the same endpoint, where its destination asks for that.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use leno_model::destination::Balancer;
use leno_model::hash::{ConsistentHash, CookieKey, HashKey};
use leno_model::request::RequestView;

use crate::destination::Cluster;
use crate::destination::table::hash;
use crate::explain::{Event, Explain};
use crate::rng::mix;
use crate::route::query;

/// What binds a request to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Its key, for [`Cluster::pick_for`]; `None` for any endpoint.
    pub key: Option<u64>,
    /// The header `set-cookie` of its answer, where the client is to come back with a key.
    pub set_cookie: Option<String>,
}

impl Cluster {
    /// The key of a request of `client`'s. `draw` makes a cookie's value where nothing tells clients apart.
    #[must_use]
    pub fn affinity(
        &self,
        request: &impl RequestView,
        client: Option<SocketAddr>,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Affinity {
        let Some(settings) = self.by_key() else { return Affinity::default() };
        let mut affinity = Affinity::default();
        match &settings.key {
            HashKey::Header(name) => affinity.key = request.header(name).map(|value| hash(&value)),
            HashKey::Query(name) => {
                let value = request.query().and_then(|text| query::value(text, name));
                affinity.key = value.map(|value| hash(&value));
            }
            HashKey::SourceIp => affinity.key = client.map(|client| of_ip(client.ip())),
            HashKey::Cookie(cookie) => match cookie_value(request, &cookie.name) {
                Some(value) => affinity.key = Some(hash(&value)),
                None => affinity = new_cookie(cookie, client, draw),
            },
        }
        explain.tell(|| Event::Key {
            key: settings.key.clone(),
            found: affinity.key.is_some() && affinity.set_cookie.is_none(),
            given: affinity.set_cookie.is_some(),
        });
        affinity
    }

    /// The key of a connection that is no request's.
    #[must_use]
    pub fn opaque_key(&self, client: Option<IpAddr>) -> Option<u64> {
        match self.by_key()?.key {
            HashKey::SourceIp => client.map(of_ip),
            HashKey::Header(_) | HashKey::Cookie(_) | HashKey::Query(_) => None,
        }
    }

    /// How keys lead to endpoints, where they do.
    #[must_use]
    pub fn by_key(&self) -> Option<&ConsistentHash> {
        match self.policy().balancer.as_ref()? {
            Balancer::Hash(settings) => Some(settings),
            Balancer::PeakEwma | Balancer::RoundRobin | Balancer::Random => None,
        }
    }
}

fn of_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash(&ip.octets()),
        IpAddr::V6(ip) => hash(&ip.octets()),
    }
}

/// The value of the first cookie of that name, without quotes.
fn cookie_value(request: &impl RequestView, name: &str) -> Option<Vec<u8>> {
    let all = request.header("cookie")?;
    // Lines that were joined have commas between them, which no cookie has in it (RFC 6265 §4.1.1).
    let value = all.split(|byte| matches!(byte, b';' | b',')).find_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at_checked(at)?;
        (key == name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
    })?;
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    (!value.is_empty()).then(|| value.to_vec())
}

/// A cookie for a client that has none. Requests side by side on one connection get the same.
fn new_cookie(cookie: &CookieKey, client: Option<SocketAddr>, draw: u64) -> Affinity {
    let Some(ttl) = cookie.ttl else { return Affinity::default() };
    let value = client.map_or(draw, |client| of_ip(client.ip()) ^ mix(u64::from(client.port())));
    let value = format!("{:016x}", mix(value));
    let mut text = format!("{}=\"{value}\"", cookie.name);
    if !ttl.is_zero() {
        let _infallible = write!(text, "; Max-Age={}", ttl.as_secs().max(1));
    }
    if let Some(path) = &cookie.path {
        let _infallible = write!(text, "; Path={path}");
    }
    for (name, value) in &cookie.attributes {
        let equals = if value.is_empty() { "" } else { "=" };
        let _infallible = write!(text, "; {name}{equals}{value}");
    }
    text.push_str("; HttpOnly");
    Affinity { key: Some(hash(value.as_bytes())), set_cookie: Some(text) }
}

#[cfg(test)]
mod tests;
