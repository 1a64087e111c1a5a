//! Secret, as far as it holds a certificate with its key.
//!
//! Values are never shown: not in findings, not in `Debug` output.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_model::secret::{SecretBytes, TlsSecret};

use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META};
use crate::kinds::Kind;
use crate::object::Object;
use crate::pem;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// A secret.
pub(crate) static SECRET: Kind = Kind {
    group: "",
    name: "Secret",
    versions: &["v1"],
    namespaced: true,
    shape: Shape::Object(&[
        API_VERSION,
        KIND,
        META,
        Field::text("type"),
        Field::map("data", &Shape::Secret),
        Field::map("stringData", &Shape::Secret),
        Field::any("immutable").irrelevant(),
    ]),
    annotations: &[],
    protects: false,
    read,
};

/// The names under which chain, key and client roots are found: Kubernetes's, then Istio's older ones.
const CHAIN: [&str; 2] = ["tls.crt", "cert"];
const KEY: [&str; 2] = ["tls.key", "key"];
const ROOTS: [&str; 2] = ["ca.crt", "cacert"];

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let kind = fields.text("type").unwrap_or("Opaque");
    let data = fields.value("data").map(|data| data.entries()).unwrap_or_default();
    let texts = fields.value("stringData").map(|texts| texts.entries()).unwrap_or_default();
    let find = |names: [&str; 2]| -> Option<(Value<'_>, bool)> {
        names.iter().find_map(|name| {
            let text =
                texts.iter().find(|(entry, _)| &*entry.key == *name).map(|(_, value)| (value.clone(), false));
            text.or_else(|| {
                data.iter().find(|(entry, _)| &*entry.key == *name).map(|(_, value)| (value.clone(), true))
            })
        })
    };
    let (chain, key, roots) = (find(CHAIN), find(KEY), find(ROOTS));
    if kind != "kubernetes.io/tls" && (kind != "Opaque" || chain.is_none() || key.is_none()) {
        return Some(Object::Inert);
    }
    let missing = |name: &str| {
        let message = format_args!("data[{name}] is missing");
        context.findings.report(codes::REQUIRED, fields.at(), message);
    };
    let chain = chain.or_else(|| {
        missing("tls.crt");
        None
    });
    let key = key.or_else(|| {
        missing("tls.key");
        None
    });
    let roots = roots.map(|roots| text(&roots, pem::CERTIFICATES));
    let chain = text(&chain?, pem::CERTIFICATES);
    let key = text(&key?, pem::KEYS);
    Some(Object::Secret(Arc::new(TlsSecret {
        chain: chain?,
        key: SecretBytes::new(key?.as_bytes()),
        client_roots: match roots {
            Some(roots) => Some(roots?),
            None => None,
        },
    })))
}

/// A value's PEM text, out of base64 where it is in it.
fn text((value, is_base64): &(Value<'_>, bool), wanted: pem::Wanted) -> Option<Arc<str>> {
    let text = value.text()?;
    let text = if *is_base64 {
        let compact: String = text.split_ascii_whitespace().collect();
        let Ok(bytes) = STANDARD.decode(compact) else {
            value.invalid(
                "is not base64",
                "encode it with `base64 -w0`, or put the plain text under stringData",
            );
            return None;
        };
        let Ok(text) = String::from_utf8(bytes) else {
            value.invalid("is not PEM, which is text", "convert it with `openssl x509` or `openssl pkey`");
            return None;
        };
        text
    } else {
        text.to_owned()
    };
    if let Err(error) = pem::check(&text, wanted) {
        value.invalid(error, format!("it must hold {}", wanted.word));
        return None;
    }
    Some(text.into())
}
