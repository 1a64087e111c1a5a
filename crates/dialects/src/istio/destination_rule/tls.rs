//! `tls`: what clients do about TLS towards a destination.
//!
//! A part that is wrong or not supported must not end in plaintext: then [`TlsMode::Mesh`] is read, which fails
//! towards every endpoint outside the mesh, and the object is refused.

use std::sync::Arc;

use leno_model::destination::{ExternalTls, TlsMode};

use crate::codes;
use crate::yaml::{Fields, Value};

pub(super) fn read(value: &Value<'_>) -> TlsMode {
    let errors = value.findings().errors();
    let mode = value.fields().map(|fields| mode(value, fields));
    match mode {
        Some(mode) if value.findings().errors() == errors => mode,
        Some(_) | None => TlsMode::Mesh,
    }
}

fn mode(value: &Value<'_>, fields: Fields<'_>) -> TlsMode {
    let mode = fields.value("mode").map_or(Some("DISABLE"), |mode| mode.choice());
    let file = |name: &str| fields.text(name).filter(|text| !text.is_empty()).map(Arc::<str>::from);
    let (certificate, key, roots) = (file("clientCertificate"), file("privateKey"), file("caCertificates"));
    let mut external = ExternalTls {
        client: None,
        roots,
        subject_alt_names: fields.texts("subjectAltNames").into_iter().map(Arc::from).collect(),
        sni: file("sni"),
        insecure_skip_verify: fields.boolean("insecureSkipVerify").unwrap_or(false),
    };
    fields.finish();
    match (mode, certificate, key) {
        (Some("SIMPLE"), _, _) => {
            check_verification(value, &external);
            TlsMode::External(external)
        }
        (Some("MUTUAL"), Some(certificate), Some(key)) => {
            check_verification(value, &external);
            external.client = Some((certificate, key));
            TlsMode::External(external)
        }
        (Some("MUTUAL"), _, _) => {
            let message = "MUTUAL needs clientCertificate and privateKey";
            value.report_with(codes::REQUIRED, message, "name the two files, or use SIMPLE");
            TlsMode::Mesh
        }
        (Some("DISABLE"), _, _) => TlsMode::Disable,
        (Some(_) | None, _, _) => TlsMode::Mesh,
    }
}

fn check_verification(value: &Value<'_>, tls: &ExternalTls) {
    if tls.insecure_skip_verify {
        let code = if value.path().to_string().contains("portLevelSettings") {
            codes::UNVERIFIED_PORT
        } else {
            codes::UNVERIFIED
        };
        value.report(code, "insecureSkipVerify lets anybody answer in the server's place");
    }
}
