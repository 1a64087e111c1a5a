//! Bytes and handshakes that are wrong where other proxies dial.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use leno_identity::rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use leno_testkit::tls::Gullible;

use super::certificates::Pair;
use super::proxy::{PATIENCE, Proxy, read_until};
use crate::wrong::page::{Row, Table, text, words};

pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Begins TLS with this certificate and protocol.
pub(super) fn connect(to: SocketAddr, pair: Option<&Pair>, alpn: &[u8], old: bool) -> Stream {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = if old { [&TLS12] } else { [&TLS13] };
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).unwrap();
    // What is tested is what servers trust.
    let gullible = Gullible::new(&provider.signature_verification_algorithms.supported_schemes());
    let builder = builder.dangerous().with_custom_certificate_verifier(gullible);
    let mut config = match pair {
        Some(pair) => builder.with_client_auth_cert(pair.chain.clone(), pair.key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = false;
    let name = ServerName::try_from("web.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, stream)
}

/// What ends the handshake, or the connection after it.
fn end(mut stream: Stream) -> String {
    let begun = stream.write_all(b"x").and_then(|()| stream.flush());
    let mut byte = [0];
    match begun.and_then(|()| stream.read(&mut byte)) {
        Ok(count) => format!("TLS, then {count} bytes"),
        Err(error) => error.to_string(),
    }
}

pub(super) fn table(proxy: &mut Proxy) -> Table {
    let mut rows = Vec::new();
    for (what, shown, sent) in [
        ("no TLS", "GET / HTTP/1.1", &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..]),
        ("a record that is too long", "16 03 01 ff ff", b"\x16\x03\x01\xff\xff\x01"),
        (
            "a handshake that isn't a hello",
            "16 03 01 00 04 02 00 00 00",
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        ),
        (
            "a hello that lies about lengths",
            "16 03 01 00 05 01 00 00 01 00",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        ),
    ] {
        let mut stream = TcpStream::connect(proxy.mesh).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(sent).unwrap();
        let (got, _) = read_until(&mut stream, |_| false);
        drop(stream);
        rows.push(Row::of(vec![words(what), text(shown), text(alert(&got)), text(proxy.log())]));
    }
    let mut row = |what, shown, connect: &dyn Fn(&Proxy) -> Stream| {
        let got = end(connect(proxy));
        rows.push(Row::of(vec![words(what), words(shown), text(got), text(proxy.log())]));
    };
    let leno = leno_wire::open::ALPN;
    row("TLS 1.2", "a hello of TLS 1.2", &|proxy| connect(proxy.mesh, Some(&proxy.peers.member), leno, true));
    row("no certificate", "none", &|proxy| connect(proxy.mesh, None, leno, false));
    row("a certificate of another root", "one signed by a root of the same name", &|proxy| {
        connect(proxy.mesh, Some(&proxy.peers.stranger), leno, false)
    });
    row("a certificate without identity", "one for a DNS name", &|proxy| {
        connect(proxy.mesh, Some(&proxy.peers.nameless), leno, false)
    });
    row("an unknown protocol", "ALPN `http/1.1`", &|proxy| {
        connect(proxy.mesh, Some(&proxy.peers.member), b"http/1.1", false)
    });
    Table { title: "TLS between proxies".to_owned(), rows }
}

/// The alert among plain records (RFC 8446 §6).
fn alert(got: &[u8]) -> String {
    match got {
        [] => "(closed)".to_owned(),
        [0x15, 3, _, 0, 2, 2, description, ..] => format!(
            "fatal alert {description} ({}), closed",
            match description {
                10 => "unexpected_message",
                22 => "record_overflow",
                50 => "decode_error",
                70 => "protocol_version",
                _ => "another",
            }
        ),
        other => other.escape_ascii().to_string(),
    }
}
