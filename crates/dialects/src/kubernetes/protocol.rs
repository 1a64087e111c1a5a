//! What is spoken on a service port, from its name, `appProtocol` and number.

use leno_model::service::Protocol;

/// Ports on which the server often speaks first, so that looking at the client's bytes would wait in vain: SMTP, DNS,
/// MySQL, MongoDB.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

/// The protocol of a port. `appProtocol` beats the name; of either, the part before the first `-` counts, without
/// regard to case. `Auto` where neither says anything known.
pub(super) fn declared(port: u16, name: &str, app_protocol: Option<&str>) -> Protocol {
    let word = app_protocol.unwrap_or(name).to_ascii_lowercase();
    match word.as_str() {
        "kubernetes.io/h2c" => return Protocol::Http2,
        "kubernetes.io/ws" => return Protocol::Http,
        "kubernetes.io/wss" => return Protocol::Tls,
        _ => {}
    }
    match word.split('-').next().unwrap_or_default() {
        "grpc" if word.starts_with("grpc-web") => Protocol::Http,
        "http" => Protocol::Http,
        "http2" => Protocol::Http2,
        "grpc" => Protocol::Grpc,
        "https" | "tls" => Protocol::Tls,
        "tcp" | "mongo" | "mysql" | "redis" => Protocol::Tcp,
        _ if SERVER_FIRST.contains(&port) => Protocol::Tcp,
        _ => Protocol::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_declared_by_name_or_app_protocol() {
        use Protocol::{Auto, Grpc, Http, Http2, Tcp, Tls};
        for (port, name, app_protocol, expected) in [
            (80, "http", None, Http),
            (80, "HTTP-web", None, Http),
            (80, "http2-web", None, Http2),
            (80, "grpc", None, Grpc),
            (80, "grpc-api", None, Grpc),
            (80, "grpc-web", None, Http),
            (80, "grpc-web-x", None, Http),
            (443, "https", None, Tls),
            (443, "tls-x", None, Tls),
            (80, "tcp-x", None, Tcp),
            (80, "mongo", None, Tcp),
            (80, "httpx", None, Auto),
            (80, "web", None, Auto),
            (80, "", None, Auto),
            (3306, "db", None, Tcp),
            (3306, "http", None, Http),
            (53, "", None, Tcp),
            (80, "tcp", Some("http"), Http),
            (80, "http", Some("tcp"), Tcp),
            (80, "x", Some("kubernetes.io/h2c"), Http2),
            (80, "x", Some("kubernetes.io/ws"), Http),
            (80, "x", Some("kubernetes.io/wss"), Tls),
            (80, "http", Some("example.com/x"), Auto),
        ] {
            assert_eq!(declared(port, name, app_protocol), expected, "{port} {name} {app_protocol:?}");
        }
    }
}
