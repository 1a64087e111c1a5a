//! The built-in authority's state on disk: which roots and intermediates there are, and how far a rotation has come.
//!
//! | file | content |
//! |---|---|
//! | `active.pem` | root key and certificate, intermediate key and certificate |
//! | `next.pem` | key and certificate of the root that a rotation will make active |
//! | `retired.pem` | roots that were active and whose certificates may still be in use |
//! | `sequence` | the bundle's sequence number |
//!
//! Each file is replaced atomically, and every step between two files leaves the same set of roots trusted.

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::Error;
use crate::key::KeyPair;
use crate::state::StateDirectory;
use crate::{pem, svid};

const ACTIVE: &str = "active.pem";
const NEXT: &str = "next.pem";
const RETIRED: &str = "retired.pem";
const SEQUENCE: &str = "sequence";

/// What an authority consists of.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    pub(super) root: Credential,
    pub(super) intermediate: Credential,
    pub(super) next: Option<Credential>,
    pub(super) retired: Vec<CertificateDer<'static>>,
    pub(super) sequence: u64,
}

/// Reads what is there; `None` in a fresh directory. `lost_sequence` stands in for a sequence file that is missing.
pub(super) fn load(directory: &StateDirectory, lost_sequence: u64) -> Result<Option<Authorities>, Error> {
    let Some(active) = directory.read(ACTIVE)? else { return Ok(None) };
    let mut pairs = credentials(directory, ACTIVE, &active)?.into_iter();
    let (Some(root), Some(intermediate), None) = (pairs.next(), pairs.next(), pairs.next()) else {
        let problem = "expected a root and an intermediate, each a key and a certificate";
        return Err(Error::State { path: directory.file(ACTIVE), problem });
    };
    if !signed_by(&intermediate, &root) {
        let problem = "the intermediate is not signed by the root";
        return Err(Error::State { path: directory.file(ACTIVE), problem });
    }
    let next = match directory.read(NEXT)? {
        Some(bytes) => credentials(directory, NEXT, &bytes)?.into_iter().next(),
        None => None,
    };
    // An activation that was cut short has made it the active one already.
    let next = next.filter(|next| next.chain() != root.chain());
    let retired = match directory.read(RETIRED)? {
        Some(bytes) => pem::certificates(&bytes, &directory.file(RETIRED).display().to_string())?,
        None => Vec::new(),
    };
    let sequence = match directory.read(SEQUENCE)? {
        Some(bytes) => {
            std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
                Error::State { path: directory.file(SEQUENCE), problem: "expected a decimal number" }
            })?
        }
        None => lost_sequence,
    };
    Ok(Some(Authorities { root, intermediate, next, retired, sequence }))
}

/// Writes a fresh authority.
pub(super) fn create(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    save_sequence(directory, authorities)?;
    save_active(directory, authorities)
}

/// Writes a new intermediate.
pub(super) fn save_active(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    let pairs = [&authorities.root, &authorities.intermediate];
    directory.write(ACTIVE, text(&pairs).as_bytes())
}

/// Writes the root that a rotation begins with. The number goes first: a gap in it is harmless, a repetition is not.
pub(super) fn save_next(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    save_sequence(directory, authorities)?;
    let pairs: Vec<_> = authorities.next.iter().collect();
    directory.write(NEXT, text(&pairs).as_bytes())
}

/// Writes that the next root has become the active one.
pub(super) fn save_activation(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    directory.write(RETIRED, pem::certificates_text(&authorities.retired).as_bytes())?;
    save_active(directory, authorities)?;
    directory.remove(NEXT)
}

/// Writes that the retired roots are trusted no more.
pub(super) fn save_retirement(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    save_sequence(directory, authorities)?;
    directory.remove(RETIRED)
}

fn save_sequence(directory: &StateDirectory, authorities: &Authorities) -> Result<(), Error> {
    directory.write(SEQUENCE, format!("{}\n", authorities.sequence).as_bytes())
}

fn credentials(directory: &StateDirectory, name: &str, bytes: &[u8]) -> Result<Vec<Credential>, Error> {
    let subject = directory.file(name).display().to_string();
    let keys = pem::private_keys(bytes, &subject)?;
    let certificates = pem::certificates(bytes, &subject)?;
    if keys.len() != certificates.len() {
        let problem = "expected as many keys as certificates";
        return Err(Error::State { path: directory.file(name), problem });
    }
    let pairs = keys.into_iter().zip(certificates);
    pairs
        .map(|(key, certificate)| {
            Credential::new(vec![certificate], KeyPair::from_der(key, &subject)?, &subject)
        })
        .collect()
}

fn signed_by(lower: &Credential, upper: &Credential) -> bool {
    let certificate = |credential: &Credential| credential.chain().first().cloned();
    let (Some(lower), Some(upper)) = (certificate(lower), certificate(upper)) else { return false };
    let (Ok(lower), Ok(upper)) = (svid::parse(&lower), svid::parse(&upper)) else { return false };
    lower.verify_signature(Some(upper.public_key())).is_ok()
}

fn text(pairs: &[&Credential]) -> Zeroizing<String> {
    let parts: Vec<_> = pairs.iter().map(|pair| (pair.key_pem(), pair.chain_pem())).collect();
    let length = parts.iter().map(|(key, chain)| key.len() + chain.len()).sum();
    let mut out = Zeroizing::new(String::with_capacity(length));
    for (key, chain) in &parts {
        out.push_str(key);
        out.push_str(chain);
    }
    out
}
