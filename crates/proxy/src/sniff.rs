//! What the first bytes of a connection are. Pure.

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detection {
    /// A TLS ClientHello.
    Tls(Hello),
    /// The HTTP/2 preface.
    Http2,
    /// The beginning of an HTTP/1 request line.
    Http1,
    /// None of these.
    Opaque,
    /// Not enough to tell.
    NeedMore,
}

/// What a ClientHello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) alpn: Vec<Vec<u8>>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) fn detect(bytes: &[u8]) -> Detection {
    match bytes.first() {
        None => return Detection::NeedMore,
        Some(0x16) => return tls(bytes),
        Some(_) => {}
    }
    let shared = bytes.len().min(PREFACE.len());
    if bytes.get(..shared) == PREFACE.get(..shared) {
        return if bytes.len() < PREFACE.len() { Detection::NeedMore } else { Detection::Http2 };
    }
    let method = bytes.iter().take(25).take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    match bytes.get(method) {
        Some(b' ') if method > 0 => Detection::Http1,
        None if method < 25 => Detection::NeedMore,
        _ => Detection::Opaque,
    }
}

fn tls(bytes: &[u8]) -> Detection {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = bytes;
    if acceptor.read_tls(&mut rest).is_err() {
        return Detection::Opaque;
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect()).unwrap_or_default();
            Detection::Tls(Hello { alpn })
        }
        Ok(None) => Detection::NeedMore,
        Err(_) => Detection::Opaque,
    }
}
