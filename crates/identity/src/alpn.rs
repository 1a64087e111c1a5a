//! The application protocols that connections of the mesh and of its gateways negotiate.

/// Leno's native transport.
pub const LENO: &[u8] = b"leno/1";

/// HTTP/2; inside the mesh: HBONE.
pub const H2: &[u8] = b"h2";

/// HTTP/1.1.
pub const HTTP1: &[u8] = b"http/1.1";

/// What a proxy accepts where both of the mesh's transports arrive, the better one first.
pub const MESH: &[&[u8]] = &[LENO, H2];

/// What a gateway offers to HTTP clients.
pub const HTTP: &[&[u8]] = &[H2, HTTP1];

/// What Istio's sidecars offer when they dial an application's port directly.
pub const ISTIO: &[&[u8]] =
    &[b"istio-peer-exchange", b"istio-h2", b"istio-http/1.1", b"istio-http/1.0", b"istio"];

/// The list in the form that rustls takes.
pub(crate) fn owned(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}
