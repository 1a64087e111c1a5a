//! Certificates as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line (RFC 7468 §2).
const LINE: usize = 64;

/// One certificate in the textual encoding of RFC 7468.
pub(super) fn certificate(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / LINE + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            let text = super::certificate(&der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(&*CertificateDer::from_pem_slice(text.as_bytes()).unwrap(), der);
        }
    }
}
