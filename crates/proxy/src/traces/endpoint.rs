//! The address of a collector, as OpenTelemetry writes it.

use std::str::FromStr;

use http::Uri;

/// What is spoken to a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    #[default]
    Grpc,
    /// OTLP over HTTP, in protobuf.
    HttpProtobuf,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::HttpProtobuf];

    /// Its name in configuration, which is OpenTelemetry's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }

    /// The protocol of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Where collectors listen.
    const fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf => 4318,
        }
    }
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether it is spoken in TLS.
    pub tls: bool,
    /// The name, or the address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path of exports.
    pub path: String,
}

/// Why a text is no collector's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("it is not a URL such as http://collector:4317")]
    Url,
    /// Something else is spoken there.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// It has what it must not.
    #[error("it has a user, a query or port 0")]
    Parts,
}

/// Where a collector takes spans over gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Where a collector takes spans over HTTP, unless its address has a path.
const HTTP_PATH: &str = "/v1/traces";

impl Endpoint {
    /// Reads an address: `http://HOST[:PORT]`, `https://…`, for HTTP with the path of exports where it isn't `/v1/traces`.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, EndpointError> {
        let uri = Uri::from_str(text).map_err(|_invalid| EndpointError::Url)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(EndpointError::Scheme),
            None => return Err(EndpointError::Url),
        };
        let authority = uri.authority().ok_or(EndpointError::Url)?;
        let port = uri.port_u16().unwrap_or_else(|| protocol.port());
        if authority.as_str().contains('@') || uri.query().is_some() || port == 0 {
            return Err(EndpointError::Parts);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(EndpointError::Url);
        }
        let path = match (protocol, uri.path()) {
            (Protocol::Grpc, _) => GRPC_PATH,
            (Protocol::HttpProtobuf, "" | "/") => HTTP_PATH,
            (Protocol::HttpProtobuf, path) => path,
        };
        Ok(Self { protocol, tls, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, protocol, expected) in [
            ("http://collector", Protocol::Grpc, Ok((false, "collector", 4317, GRPC_PATH))),
            ("http://collector/ignored", Protocol::Grpc, Ok((false, "collector", 4317, GRPC_PATH))),
            ("https://127.0.0.1:99", Protocol::Grpc, Ok((true, "127.0.0.1", 99, GRPC_PATH))),
            ("http://[::1]:99/", Protocol::HttpProtobuf, Ok((false, "::1", 99, HTTP_PATH))),
            ("http://c", Protocol::HttpProtobuf, Ok((false, "c", 4318, HTTP_PATH))),
            ("http://c/otel/v1/traces", Protocol::HttpProtobuf, Ok((false, "c", 4318, "/otel/v1/traces"))),
            ("collector:4317", Protocol::Grpc, Err(EndpointError::Url)),
            ("grpc://collector:4317", Protocol::Grpc, Err(EndpointError::Scheme)),
            ("http://me@collector", Protocol::Grpc, Err(EndpointError::Parts)),
            ("http://c/?token=1", Protocol::HttpProtobuf, Err(EndpointError::Parts)),
            ("http://c:0", Protocol::Grpc, Err(EndpointError::Parts)),
            ("", Protocol::Grpc, Err(EndpointError::Url)),
        ] {
            let read = Endpoint::parse(text, protocol);
            let parts =
                read.as_ref().map(|read| (read.tls, read.host.as_str(), read.port, read.path.as_str()));
            assert_eq!(parts, expected.as_ref().copied(), "{text}");
        }
        assert_eq!(Endpoint::parse("http://[::1]", Protocol::Grpc).unwrap().authority(), "[::1]:4317");
        assert!(Protocol::ALL.into_iter().all(|protocol| Protocol::named(protocol.name()) == Some(protocol)));
    }
}
