//! PeerAuthentication.

use leno_model::policy::{MtlsMode, ScopedMtls, Selection};

use super::selector::{self, SELECTOR};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::Object;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// A mutual TLS setting.
pub(crate) static PEER_AUTHENTICATION: Kind = Kind {
    group: "security.istio.io",
    name: "PeerAuthentication",
    versions: &["v1", "v1beta1"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", SPEC), STATUS]),
    annotations: &[],
    protects: true,
    read,
};

const SPEC: &[Field] = &[
    Field::object("selector", SELECTOR),
    Field::object("mtls", MTLS),
    Field::map("portLevelMtls", &Shape::Object(MTLS)),
];

const MTLS: &[Field] = &[Field::choice("mode", &["UNSET", "DISABLE", "PERMISSIVE", "STRICT"])];

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let namespace = context.namespace();
    let is_root = *namespace == context.options.root_namespace;
    let mut setting = ScopedMtls {
        selection: Selection {
            namespace: (!is_root).then(|| namespace.clone()),
            labels: leno_model::labels::Labels::default(),
            targets: Vec::new(),
        },
        mode: None,
        ports: Vec::new(),
        origin: context.origin(context.at),
        age: 0,
    };
    if let Some(spec) = fields.object("spec") {
        setting.selection.labels = selector::labels(&spec);
        setting.mode = spec.value("mtls").as_ref().and_then(mode);
        setting.ports = ports(&spec);
        check_scope(context, &spec, &setting, is_root);
        spec.finish();
    }
    if context.damaged || context.findings.errors() > 0 {
        // The strictest sense: nobody without an identity, wherever the object may be about.
        setting.mode = Some(MtlsMode::Strict);
        setting.ports.clear();
        setting.selection.labels = leno_model::labels::Labels::default();
    } else if is_root && !setting.selection.labels.0.is_empty() {
        return Some(Object::Inert);
    }
    Some(Object::Mtls(setting))
}

fn check_scope(context: &Context<'_>, spec: &Fields<'_>, setting: &ScopedMtls, is_root: bool) {
    let selects = !setting.selection.labels.0.is_empty();
    if !setting.ports.is_empty() && !selects {
        context.findings.report_with(
            codes::INVALID_VALUE,
            spec.at(),
            "spec.portLevelMtls is given without spec.selector",
            "select the workloads whose ports are meant",
        );
    }
    if is_root && selects {
        context.findings.report_with(
            codes::INEFFECTIVE,
            spec.at(),
            format_args!(
                "spec.selector: a PeerAuthentication with a selector has no effect in the root namespace {}",
                context.namespace()
            ),
            "move it to the workloads' namespace, or remove the selector to make it hold for the whole mesh",
        );
    }
}

fn mode(mtls: &Value<'_>) -> Option<MtlsMode> {
    let fields = mtls.fields()?;
    let mode = fields.choice("mode");
    fields.finish();
    match mode? {
        "DISABLE" => Some(MtlsMode::Disable),
        "PERMISSIVE" => Some(MtlsMode::Permissive),
        "STRICT" => Some(MtlsMode::Strict),
        _ => None,
    }
}

fn ports(spec: &Fields<'_>) -> Vec<(u16, Option<MtlsMode>)> {
    let entries = spec.value("portLevelMtls").map(|ports| ports.entries()).unwrap_or_default();
    let mut ports = Vec::new();
    for (entry, value) in entries {
        match entry.key.parse::<u16>() {
            Ok(port) if port > 0 && !entry.key.starts_with(['0', '+']) => ports.push((port, mode(&value))),
            Ok(_) | Err(_) => value.report_with(
                codes::INVALID_VALUE,
                format_args!("`{}` is not a port", entry.key),
                "write the workload's port, a number between 1 and 65535",
            ),
        }
    }
    ports.sort_by_key(|(port, _)| *port);
    ports
}
