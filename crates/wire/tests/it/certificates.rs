//! The certificate service.

use std::time::Duration;

use leno_model::secret::SecretBytes;
use leno_wire::certificate::{CertificateError, request};

use crate::world::{Control, Mesh, Way};

#[tokio::test]
async fn a_token_or_a_certificate_gets_a_certificate() {
    for way in [Way::Unix, Way::UnixTls, Way::TcpTls] {
        let control = Control::start(way, Mesh::of(1, &[])).await;
        let chain = request(&control.remote(), "csr", Duration::from_secs(60)).await.unwrap();
        assert_eq!(chain, ["csr for spiffe://cluster.local/ns/default/sa/web of 60 s", "root"], "{way:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_the_caller_may_know() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[])).await;
    let large = "x".repeat(20_000);
    for (csr, expected) in [
        ("broken", "the control plane refuses the request: csr: not PEM (InvalidArgument)"),
        (
            "later",
            "the control plane gives no certificate now: the certificate cannot be signed now (Unavailable)",
        ),
        (&large, "the control plane refuses the request: csr: more than 16384 bytes (InvalidArgument)"),
    ] {
        let error = request(&control.remote(), csr, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let mut stranger = control.remote();
    stranger.token = Some(SecretBytes::new(&b"guess"[..]));
    let error = request(&stranger, "csr", Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(&error, CertificateError::Refused(reason) if reason.contains("do not prove")),
        "{error}"
    );
    stranger.address = leno_wire::transport::Address::Unix(control.directory.join("nobody"));
    let error = request(&stranger, "csr", Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, CertificateError::Unreachable(_)), "{error}");
}
