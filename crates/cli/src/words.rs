//! Values of flags and arguments, read before anything is done. What is refused is told what to write instead; the flag
//! and the value are named beside it.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::request::split_authority;

/// An IP address.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_not_one| "write an IP address without port, such as 127.0.0.1 or ::".to_owned())
}

/// An IP address with a port.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    let wanted = "write ADDRESS:PORT, such as 127.0.0.1:9090 or [::1]:9090";
    text.parse().map_err(|_not_one| wanted.to_owned())
}

/// How many, or a number that means nothing.
pub(crate) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_not_one| "write a whole number, such as 4".to_owned())
}

/// A whole number of a range.
pub(crate) fn within<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("write a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A share of 100.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "write a number from 0 to 100, such as 1 or 0.5".to_owned())
}

/// A namespaced name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// NAMESPACE/NAME.
pub(crate) fn named(text: &str) -> Result<Named, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Named { namespace: namespace.into(), name: name.into() })
        }
        _ => Err("write NAMESPACE/NAME, such as default/web".to_owned()),
    }
}

/// The name of a namespace.
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.is_empty() && text.chars().all(is_label) {
        return Ok(text.to_owned());
    }
    Err("write the name of one namespace, of a-z, 0-9 and -, such as default".to_owned())
}

/// A port that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outbound {
    pub(crate) listen: SocketAddr,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// ADDRESS:PORT=HOST:PORT.
pub(crate) fn outbound(text: &str) -> Result<Outbound, String> {
    let read = || {
        let (listen, service) = text.split_once('=')?;
        let (host, port) = split_authority(service);
        Some(Outbound { listen: listen.parse().ok()?, host: host.parse().ok()?, port: port? })
    };
    read().ok_or_else(|| {
        "write ADDRESS:PORT=HOST:PORT, such as 127.0.0.1:8080=web.default.svc.cluster.local:80".to_owned()
    })
}

/// A port for the own workload, and the workload's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    pub(crate) listen: SocketAddr,
    pub(crate) port: u16,
}

/// ADDRESS:PORT=WORKLOAD-PORT.
pub(crate) fn inbound(text: &str) -> Result<Inbound, String> {
    let read = || {
        let (listen, port) = text.split_once('=')?;
        Some(Inbound { listen: listen.parse().ok()?, port: port.parse().ok()? })
    };
    read().ok_or_else(|| "write ADDRESS:PORT=WORKLOAD-PORT, such as 0.0.0.0:8080=8000".to_owned())
}

/// A request's method (RFC 9110 §9.1).
pub(crate) fn method(text: &str) -> Result<String, String> {
    if is_token(text) { Ok(text.to_owned()) } else { Err("write a method, such as GET".to_owned()) }
}

/// A header, NAME: VALUE.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if is_token(name.trim()) && !value.contains(['\r', '\n', '\0']) => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write \"NAME: VALUE\", such as \"end-user: jason\"".to_owned()),
    }
}

/// A variable of the environment.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, such as COLOUR=blue".to_owned()),
    }
}

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) authority: String,
    pub(crate) port: u16,
    pub(crate) target: String,
}

/// http://HOST[:PORT]/PATH.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    if text.starts_with("https://") {
        return Err("write http://, since the mesh adds TLS by itself".to_owned());
    }
    let read = || {
        let rest = text.strip_prefix("http://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority);
        // A port that isn't one stays with its host.
        let is_host = !host.is_empty() && (authority.starts_with('[') || !host.contains(':'));
        let is_plain = is_host && text.bytes().all(|byte| byte.is_ascii_graphic());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        is_plain.then(|| Url { authority: authority.to_owned(), port: port.unwrap_or(80), target })
    };
    read().ok_or_else(|| "write http://HOST[:PORT]/PATH, such as http://reviews:9080/reviews/1".to_owned())
}

/// A host or an address.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let is_one = text.parse::<IpAddr>().is_ok() || text.parse::<Host>().is_ok();
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("write a host or an IP address without port, such as reviews".to_owned())
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_strictly() {
        let Outbound { listen, host, port } =
            outbound("127.0.0.1:8080=web.default.svc.cluster.local:80").unwrap();
        assert_eq!((listen.port(), host.as_str(), port), (8080, "web.default.svc.cluster.local", 80));
        assert_eq!(inbound("[::]:8443=8000").unwrap().port, 8000);
        for wrong in ["8080=web:80", "127.0.0.1:8080=web", "127.0.0.1:8080", "=", "127.0.0.1:1=we b:80"] {
            assert!(outbound(wrong).is_err(), "{wrong}");
        }
        assert!(inbound("127.0.0.1:1=x").is_err());
    }

    #[test]
    fn urls_have_their_parts() {
        for (text, authority, port, target) in [
            ("http://reviews:9080/a?b", "reviews:9080", 9080, "/a?b"),
            ("http://reviews", "reviews", 80, "/"),
            ("http://reviews?x", "reviews", 80, "/?x"),
            ("http://[::1]:8080/", "[::1]:8080", 8080, "/"),
        ] {
            let expected = Url { authority: authority.to_owned(), port, target: target.to_owned() };
            assert_eq!(url(text).unwrap(), expected, "{text}");
        }
        for wrong in
            ["https://reviews", "reviews", "http:///x", "http://reviews:http/", "http://a b/", "http://a:/"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_tokens() {
        assert_eq!(named("a/b"), Ok(Named { namespace: "a".into(), name: "b".into() }));
        for wrong in ["", "a", "/b", "a/", "a/b/c"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        assert_eq!(header("a: b:c"), Ok(("a".to_owned(), "b:c".to_owned())));
        assert!(header("a").is_err() && header("a(: b").is_err() && header(": b").is_err());
        assert!(method("GET").is_ok() && method("GE(T").is_err());
        assert!(variable("A=").is_ok() && variable("=b").is_err() && variable("A").is_err());
        assert!(host("reviews").is_ok() && host("::1").is_ok() && host("a/b").is_err());
        assert!(namespace("a-1").is_ok() && namespace("A").is_err());
    }
}
