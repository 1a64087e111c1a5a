//! PEM in and out (RFC 7468), and bounded reading of the files that hold it.
//!
//! Buffers that may hold a private key are wiped when dropped.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::MAX_PEM_BYTES;

const LINE: usize = 64;

/// Reads a whole file, at most [`MAX_PEM_BYTES`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::file("read", path, source);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(Error::Pem { subject: path.display().to_string(), problem: "larger than 4 MiB" });
    }
    Ok(bytes)
}

/// Every certificate of a text, in order; at least one.
pub(crate) fn certificates(pem: &[u8], subject: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let problem = |problem| Error::Pem { subject: subject.to_owned(), problem };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_detail| problem("not well-formed PEM"))?;
    if found.is_empty() { Err(problem("no certificate in it")) } else { Ok(found) }
}

/// The one private key of a text. More than one is ambiguous and refused.
pub(crate) fn private_key(pem: &[u8], subject: &str) -> Result<PrivateKeyDer<'static>, Error> {
    let problem = |problem| Error::Pem { subject: subject.to_owned(), problem };
    let mut keys = private_keys(pem, subject)?;
    match (keys.pop(), keys.is_empty()) {
        (None, _) => Err(problem("no private key in it")),
        (Some(key), true) => Ok(key),
        (Some(_), false) => Err(problem("more than one private key in it")),
    }
}

/// Every private key of a text, in order.
pub(crate) fn private_keys(pem: &[u8], subject: &str) -> Result<Vec<PrivateKeyDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(pem).collect();
    found.map_err(|_detail| Error::Pem { subject: subject.to_owned(), problem: "not well-formed PEM" })
}

/// Certificates as one text, in order.
pub(crate) fn certificates_text<'a>(chain: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> String {
    let mut out = String::new();
    for certificate in chain {
        write(&mut out, "CERTIFICATE", &STANDARD.encode(certificate));
    }
    out
}

/// One block that is no secret, as text.
pub(crate) fn text(label: &str, der: &[u8]) -> String {
    let mut out = String::new();
    write(&mut out, label, &STANDARD.encode(der));
    out
}

/// A private key as text, wiped when dropped.
pub(crate) fn private_key_text(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let body = Zeroizing::new(STANDARD.encode(key.secret_der()));
    // Room for all of it, since growing would leave an unwiped copy behind.
    let mut out = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 128));
    write(&mut out, label, &body);
    out
}

fn write(out: &mut String, label: &str, base64: &str) {
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
}
