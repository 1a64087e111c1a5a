//! The trail: which services a request passed through, and which headers each of them saw.
//!
//! Every answer carries the trail of the calls behind it, so that a client at the front can see what a mesh did at
//! each hop. The headers that a well-behaved application passes on are here too.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::proto;

/// One service as it saw the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hop {
    pub(crate) service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
    /// The service that called; filled in by the caller, empty for the first hop.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) from: String,
    /// `HTTP/1.1`, `HTTP/2`, `gRPC` or `TCP`, as the called service saw it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) protocol: String,
    /// The socket address that the called service saw.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) peer: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// Why the call failed, when it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
}

/// Headers that a trail shows, besides `x-b3-*` and `x-shop-*`.
const SHOWN: [&str; 14] = [
    "b3",
    "baggage",
    "forwarded",
    "grpc-timeout",
    "host",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "x-envoy-attempt-count",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// Headers that are passed on to the services called, besides `x-b3-*` and `x-shop-*`.
const PASSED_ON: [&str; 5] = ["b3", "baggage", "traceparent", "tracestate", "x-request-id"];

/// Families of headers that are both shown and passed on: Zipkin's trace context and the shop's own.
const FAMILIES: [&str; 2] = ["x-b3-", "x-shop-"];

fn listed(names: &[&str], name: &HeaderName) -> bool {
    let name = name.as_str();
    names.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The headers of `seen` that belong to the trace or the session and so go on to every service called.
pub(crate) fn passed_on(seen: &HeaderMap) -> HeaderMap {
    seen.iter()
        .filter(|(name, _)| listed(&PASSED_ON, name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The headers of `seen` that a trail shows; several values of one name are joined by commas (RFC 9110 §5.3).
pub(crate) fn shown(seen: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in seen.iter().filter(|(name, _)| listed(&SHOWN, name)) {
        let text = String::from_utf8_lossy(value.as_bytes());
        let kept = headers.entry(name.as_str().to_owned()).or_default();
        if !kept.is_empty() {
            kept.push(',');
        }
        let room = limits::TRAIL_VALUE_BYTES.saturating_sub(kept.len());
        kept.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
    }
    headers
}

/// Appends the trail of a call that `caller` made: its first hop learns who called.
pub(crate) fn append(trail: &mut Vec<Hop>, caller: &str, mut called: Vec<Hop>) {
    if let Some(first) = called.first_mut()
        && first.from.is_empty()
    {
        caller.clone_into(&mut first.from);
    }
    let room = limits::TRAIL_HOPS.saturating_sub(trail.len());
    trail.extend(called.into_iter().take(room));
}

impl From<Hop> for proto::Hop {
    fn from(hop: Hop) -> Self {
        let Hop { service, version, from, protocol, peer, headers, error } = hop;
        Self { service, version, from, protocol, peer, headers, error }
    }
}

impl From<proto::Hop> for Hop {
    fn from(hop: proto::Hop) -> Self {
        let proto::Hop { service, version, from, protocol, peer, headers, error } = hop;
        Self { service, version, from, protocol, peer, headers, error }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn passes_on_trace_and_session_and_nothing_else() {
        let seen = headers(&[
            ("traceparent", "00-1-2-01"),
            ("x-b3-traceid", "7"),
            ("x-shop-reader", "oda"),
            ("cookie", "secret"),
            ("x-forwarded-client-cert", "By=a"),
            ("x-forwarded-for", "10.0.0.1"),
        ]);
        let names: Vec<_> = passed_on(&seen).keys().map(ToString::to_string).collect();
        assert_eq!(names, ["traceparent", "x-b3-traceid", "x-shop-reader"]);
    }

    #[test]
    fn shows_joined_values_within_the_limit() {
        let mut seen = headers(&[("cookie", "secret"), ("via", "a")]);
        seen.append("via", HeaderValue::from_static("b"));
        seen.insert("baggage", HeaderValue::from_str(&"x".repeat(limits::TRAIL_VALUE_BYTES + 5)).unwrap());
        let shown = shown(&seen);
        assert_eq!(shown.get("via").map(String::as_str), Some("a,b"));
        assert_eq!(shown.get("baggage").map(String::len), Some(limits::TRAIL_VALUE_BYTES));
        assert!(!shown.contains_key("cookie"));
    }

    #[test]
    fn appends_with_the_caller_and_within_the_limit() {
        let hop = |service: &str| Hop { service: service.to_owned(), ..Hop::default() };
        let mut trail = vec![hop("shop")];
        append(&mut trail, "shop", vec![hop("catalog"), hop("reviews")]);
        assert_eq!(trail.iter().map(|hop| hop.from.as_str()).collect::<Vec<_>>(), ["", "shop", ""]);
        append(&mut trail, "shop", vec![hop("x"); 100]);
        assert_eq!(trail.len(), limits::TRAIL_HOPS);
    }
}
