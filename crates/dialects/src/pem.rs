//! The outer form of PEM texts (RFC 7468). What is inside is for those who use it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a PEM text must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// For messages.
    pub(crate) word: &'static str,
    /// The labels that count.
    labels: &'static [&'static str],
    /// Whether other labels may stand beside them (OpenSSL writes parameters next to keys).
    others: bool,
}

/// One or more certificates and nothing else.
pub(crate) const CERTIFICATES: Wanted =
    Wanted { word: "PEM certificates", labels: &["CERTIFICATE"], others: false };

/// A private key without passphrase.
pub(crate) const KEYS: Wanted = Wanted {
    word: "a PEM private key without passphrase",
    labels: &["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"],
    others: true,
};

/// Why a text is not the PEM that is wanted. Reads as the end of a sentence about the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    #[error("has a PEM block without end")]
    Unended,
    #[error("has a PEM block that is not base64")]
    NotBase64,
    #[error("holds a block {0:?}")]
    Other(String),
    #[error("holds no PEM block of the right kind")]
    Missing,
}

/// Whether the text is PEM of the wanted kind. Text between blocks is allowed (RFC 7468 §2).
pub(crate) fn check(text: &str, wanted: Wanted) -> Result<(), PemError> {
    let mut found = false;
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        loop {
            match lines.next() {
                None => return Err(PemError::Unended),
                Some(line) if line == end => break,
                Some(line) => body.push_str(line),
            }
        }
        if wanted.labels.contains(&label) {
            STANDARD.decode(&body).map_err(|_error| PemError::NotBase64)?;
            found = true;
        } else if !wanted.others {
            return Err(PemError::Other(label.chars().take(40).collect()));
        }
    }
    if found { Ok(()) } else { Err(PemError::Missing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_blocks_pass() {
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let certificate = block("CERTIFICATE", "AAAA\nAAAA");
        let key = block("EC PRIVATE KEY", "AAAA");
        for (text, wanted, expected) in [
            (certificate.clone(), CERTIFICATES, Ok(())),
            (format!("subject: x\n{certificate}{certificate}"), CERTIFICATES, Ok(())),
            (certificate.replace('\n', "\r\n"), CERTIFICATES, Ok(())),
            (key.clone(), KEYS, Ok(())),
            (block("EC PARAMETERS", "AAAA") + &key, KEYS, Ok(())),
            (format!("{certificate}{key}"), CERTIFICATES, Err(PemError::Other("EC PRIVATE KEY".into()))),
            (String::new(), CERTIFICATES, Err(PemError::Missing)),
            (block("ENCRYPTED PRIVATE KEY", "AAAA"), KEYS, Err(PemError::Missing)),
            (block("CERTIFICATE", "A*"), CERTIFICATES, Err(PemError::NotBase64)),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n".into(), CERTIFICATES, Err(PemError::Unended)),
        ] {
            assert_eq!(check(&text, wanted), expected, "{text}");
        }
    }
}
