//! Certificate signing requests (PKCS #10, RFC 2986).
//!
//! A request proves that its sender holds the private key, and nothing else: whom the certificate is for comes from who
//! sent it. A request's subject and extensions are not even read.

use rcgen::{CertificateParams, DistinguishedName, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::error::Error;
use crate::key::{CertificateSigner, KeyPair};
use crate::limits::{MAX_CSR_BYTES, RSA_BITS};
use crate::pem;

/// The first byte of a constructed sequence.
const SEQUENCE: u8 = 0x30;

/// Why a signing request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than [`MAX_CSR_BYTES`].
    #[error("the signing request is larger than 8 KiB")]
    TooLarge,
    /// It is not one DER-encoded PKCS #10 request.
    #[error("not a well-formed signing request")]
    Malformed,
    /// Its key is not ECDSA on P-256 or P-384, RSA of 2048 to 4096 bits, or Ed25519.
    #[error("a key is ECDSA on P-256 or P-384, RSA of 2048 to 4096 bits, or Ed25519")]
    Key,
    /// Its signature is not by its own key, or with SHA-1: the sender has not shown that it holds the key.
    #[error("the signing request is not signed by its own key")]
    Signature,
}

/// A public key whose holder has proved possession.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    der: Vec<u8>,
    public: SubjectPublicKeyInfo,
}

impl SigningRequest {
    /// Makes the DER of a request for this key. It names nobody.
    ///
    /// # Errors
    /// [`Error::UnusableKey`] or [`Error::Sign`].
    pub fn make(key: &KeyPair) -> Result<Vec<u8>, Error> {
        const SUBJECT: &str = "a signing request";
        let signer = CertificateSigner::new(key, SUBJECT)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&signer)
            .map_err(|source| Error::Sign { subject: SUBJECT.to_owned(), source })?;
        Ok(request.der().to_vec())
    }

    /// [`Self::make`] as PEM.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn make_pem(key: &KeyPair) -> Result<String, Error> {
        Ok(pem::text("CERTIFICATE REQUEST", &Self::make(key)?))
    }

    /// Checks a request from outside.
    ///
    /// # Errors
    /// The [`Refusal`] to send back.
    pub fn verify(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > MAX_CSR_BYTES {
            return Err(Refusal::TooLarge);
        }
        // The reader takes a sequence whose tag says that it has no parts; DER knows one spelling only (X.690 §8.9.1).
        let (Some(&SEQUENCE), Ok(([], request))) = (der.first(), X509CertificationRequest::from_der(der))
        else {
            return Err(Refusal::Malformed);
        };
        let key = &request.certification_request_info.subject_pki;
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if !RSA_BITS.contains(&rsa.key_size()) => return Err(Refusal::Key),
            _ => {}
        }
        let public = SubjectPublicKeyInfo::from_der(key.raw).map_err(|_detail| Refusal::Key)?;
        let allowed = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_RSA_SHA256,
            &rcgen::PKCS_ED25519,
        ];
        if !allowed.contains(&rcgen::PublicKeyData::algorithm(&public)) {
            return Err(Refusal::Key);
        }
        let algorithm = &request.signature_algorithm.algorithm;
        if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
            return Err(Refusal::Signature);
        }
        request.verify_signature().map_err(|_detail| Refusal::Signature)?;
        Ok(Self { der: der.to_vec(), public })
    }

    /// The request as it came, for authorities elsewhere that want the proof themselves.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key to certify.
    pub(crate) fn public(&self) -> &SubjectPublicKeyInfo {
        &self.public
    }
}
