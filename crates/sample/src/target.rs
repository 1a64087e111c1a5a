//! What a client calls: a URL of one of the few schemes that the sample speaks.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// How to speak to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 in clear text with prior knowledge (RFC 9113 §3.3).
    H2c,
    /// gRPC over HTTP/2 in clear text.
    Grpc,
    /// The stock protocol: lines over TCP, the server speaks first.
    Tcp,
    /// Raw bytes that come back, with half-close.
    Echo,
    /// WebSocket over HTTP/1.1.
    Ws,
}

impl Scheme {
    const ALL: [(&'static str, Self, u16); 6] = [
        ("http", Self::Http, 80),
        ("h2c", Self::H2c, 80),
        ("grpc", Self::Grpc, 80),
        ("tcp", Self::Tcp, 7000),
        ("echo", Self::Echo, 7),
        ("ws", Self::Ws, 80),
    ];
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, scheme, _)| scheme == self).map_or("?", |(name, ..)| name);
        f.write_str(name)
    }
}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as they belong into `Host` or `:authority`.
    pub(crate) authority: String,
    /// Path and query; starts with `/`. May contain `{id}` where a caller fills it in.
    pub(crate) path: String,
}

/// Why a text is no target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadTarget {
    #[error("{0:?} is no URL of the form SCHEME://HOST:PORT/PATH")]
    Form(String),
    #[error("scheme {0:?} isn't spoken here; use http, h2c, grpc, tcp, echo or ws")]
    Scheme(String),
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let form = || BadTarget::Form(text.to_owned());
        let (name, _) = text.split_once("://").ok_or_else(form)?;
        let (_, scheme, default_port) = Scheme::ALL
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| BadTarget::Scheme(name.to_owned()))?;
        let uri = Uri::from_str(text).map_err(|_invalid| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(form());
        }
        // `Authority` accepts "host:" and "host:99999"; both are mistakes here.
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => default_port,
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(form)?,
            None => return Err(form()),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            scheme,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }
}

impl Target {
    /// `HOST:PORT` to dial, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The value of a query parameter, as written.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (text, scheme, address, path) in [
            ("http://shop", Scheme::Http, "shop:80", "/"),
            ("http://reviews:9080/reviews/{id}", Scheme::Http, "reviews:9080", "/reviews/{id}"),
            ("h2c://127.0.0.1:1?x=1", Scheme::H2c, "127.0.0.1:1", "/?x=1"),
            ("grpc://ratings:9090", Scheme::Grpc, "ratings:9090", "/"),
            ("tcp://[::1]:7000", Scheme::Tcp, "[::1]:7000", "/"),
            ("echo://[fd00::7]", Scheme::Echo, "[fd00::7]:7", "/"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.scheme, target.address().as_str(), target.path.as_str()),
                (scheme, address, path),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "shop:80",
            "https://shop",
            "http://",
            "http://:80",
            "http://shop:",
            "http://shop:99999",
            "http://a b/",
            "http://u@h/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn finds_query_parameters() {
        let target: Target = "grpc://pricing:9090/Pricing/Quote?book=3&n=".parse().unwrap();
        assert_eq!((target.query("book"), target.query("n"), target.query("x")), (Some("3"), Some(""), None));
    }
}
