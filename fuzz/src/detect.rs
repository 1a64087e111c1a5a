//! Detection: once decided, more bytes change nothing, so nobody chooses the protocol by how they cut their bytes. What
//! the codec takes for a request is HTTP, and rustls sees the same in a ClientHello.

use leno_http::detect::{Detection, Hello, detect};
use leno_http::h1::parse::{Limits, Parsed, request};
use leno_http::limits::DETECT_BYTES;
use leno_identity::rustls::server::Acceptor;

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    // Nobody asks with more.
    let data = &data[..data.len().min(DETECT_BYTES)];
    let whole = detect(data);
    let step = data.len() / 128 + 1;
    for cut in (0..data.len()).step_by(step) {
        let part = detect(&data[..cut]);
        assert!(part == Detection::NeedMore || part == whole, "{part:?} after {cut} bytes, then {whole:?}");
    }
    if let Parsed::Complete(..) = request(data, Limits::default()) {
        assert_eq!(whole, Detection::Http1, "a request isn't HTTP");
    }
    let theirs = rustls(data);
    match (&whole, theirs) {
        (Detection::Tls(hello), Some(theirs)) => assert_eq!(*hello, theirs, "rustls sees another hello"),
        // It checks further rules.
        (Detection::Tls(_), None) | (_, None) => {}
        (other, Some(theirs)) => panic!("{other:?}, but rustls sees {theirs:?}"),
    }
    Outcome::accepted_if(!matches!(whole, Detection::Opaque | Detection::NeedMore))
}

fn rustls(data: &[u8]) -> Option<Hello> {
    let mut acceptor = Acceptor::default();
    let mut rest = data;
    // It reads in pieces of its own.
    while !rest.is_empty() && acceptor.read_tls(&mut rest).ok()? > 0 {
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let sni = hello.server_name().map(|name| name.to_ascii_lowercase().into());
            let alpn = hello.alpn().map(|names| names.map(Into::into).collect()).unwrap_or_default();
            return Some(Hello { sni, alpn });
        }
    }
    None
}
