//! A key as rcgen signs certificates and requests with it.

use rcgen::{PublicKeyData, SigningKey, SubjectPublicKeyInfo};
use rustls::SignatureScheme;

use super::KeyPair;
use crate::error::Error;

/// A key with its public half in rcgen's form.
pub(crate) struct CertificateSigner {
    key: KeyPair,
    scheme: SignatureScheme,
    public: SubjectPublicKeyInfo,
}

impl CertificateSigner {
    /// # Errors
    /// [`Error::UnusableKey`] for keys that don't sign certificates here: ECDSA P-521.
    pub(crate) fn new(key: &KeyPair, subject: &str) -> Result<Self, Error> {
        let unusable = || Error::UnusableKey { subject: subject.to_owned() };
        let public = SubjectPublicKeyInfo::from_der(key.public_key()).map_err(|_detail| unusable())?;
        let scheme = match public.algorithm() {
            algorithm if *algorithm == rcgen::PKCS_ECDSA_P256_SHA256 => {
                SignatureScheme::ECDSA_NISTP256_SHA256
            }
            algorithm if *algorithm == rcgen::PKCS_ECDSA_P384_SHA384 => {
                SignatureScheme::ECDSA_NISTP384_SHA384
            }
            algorithm if *algorithm == rcgen::PKCS_RSA_SHA256 => SignatureScheme::RSA_PKCS1_SHA256,
            algorithm if *algorithm == rcgen::PKCS_ED25519 => SignatureScheme::ED25519,
            _ => return Err(unusable()),
        };
        Ok(Self { key: key.clone(), scheme, public })
    }
}

impl PublicKeyData for CertificateSigner {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl SigningKey for CertificateSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.signer().choose_scheme(&[self.scheme]);
        let signer = signer.ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_detail| rcgen::Error::RemoteKeyError)
    }
}
