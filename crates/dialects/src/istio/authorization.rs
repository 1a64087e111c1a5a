//! AuthorizationPolicy.
//!
//! Whatever is wrong or not understood makes the policy stricter. A part that Leno cannot check yet makes its rule
//! `incomplete` (an allow rule then never matches, a deny rule matches by its other parts). A policy with errors is
//! refused, and where there is no last good version it counts in its strictest sense: it allows nothing, or denies
//! everything that it may be about.

mod condition;
mod fields;
mod list;
mod rule;

use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::policy::{Policy, PolicyAction, PolicyRule, PolicyTarget, ScopedPolicy, Selection};

use super::selector;
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::Object;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// An authorization policy.
pub(crate) static AUTHORIZATION_POLICY: Kind = Kind {
    group: "security.istio.io",
    name: "AuthorizationPolicy",
    versions: &["v1", "v1beta1"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", fields::SPEC), STATUS]),
    annotations: &[Field::text(DRY_RUN)],
    protects: true,
    read,
};

const DRY_RUN: &str = "istio.io/dry-run";

/// What `action` says.
#[derive(Clone, Copy, PartialEq)]
enum Action {
    Allow,
    Deny,
    Audit,
    Custom,
}

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let dry_run = context.annotation(DRY_RUN).is_some_and(dry_run);
    let Some(spec) = fields.object("spec") else {
        // An absent spec is an empty one: nothing is allowed in the namespace.
        return Some(policy(context, Action::Allow, dry_run, selection(context), Vec::new()));
    };
    let mut selection = selection(context);
    selection.labels = selector::labels(&spec);
    selection.targets = targets(&spec, context);
    spec.at_most_one(&["selector", "targetRefs", "targetRef"]);
    let action = action(&spec);
    let selected_well = context.findings.errors() == 0;
    let mut rules = Vec::new();
    let mut rule_errors = 0;
    for item in spec.items("rules") {
        let (rule, errors) = rule::read(&item, context);
        rules.push(rule);
        rule_errors += errors;
    }
    spec.finish();
    let broken = context.damaged || context.findings.errors() > rule_errors;
    if broken {
        selection.labels =
            if selected_well && !context.damaged { selection.labels } else { Labels::default() };
        strictest(context, action, &mut rules);
    }
    Some(policy(context, action.unwrap_or(Action::Deny), dry_run, selection, rules))
}

fn selection(context: &Context<'_>) -> Selection {
    let is_root = *context.namespace() == context.options.root_namespace;
    Selection {
        namespace: (!is_root).then(|| context.namespace().clone()),
        labels: Labels::default(),
        targets: Vec::new(),
    }
}

/// With errors outside of the rules it is unknown what the rules are about: none allows, and everything is denied.
fn strictest(context: &Context<'_>, action: Option<Action>, rules: &mut Vec<PolicyRule>) {
    rules.clear();
    if action != Some(Action::Allow) {
        rules.push(PolicyRule {
            origin: context.origin(context.at),
            sources: Vec::new(),
            operations: Vec::new(),
            conditions: Vec::new(),
            incomplete: true,
        });
    }
}

fn policy(
    context: &Context<'_>,
    action: Action,
    dry_run: bool,
    selection: Selection,
    rules: Vec<PolicyRule>,
) -> Object {
    let action = match action {
        Action::Allow => PolicyAction::Allow,
        Action::Deny | Action::Custom => PolicyAction::Deny,
        Action::Audit => return Object::Inert,
    };
    let origin = context.origin(context.at);
    let policy = Arc::new(Policy { origin, action, dry_run, rules });
    Object::Policy(Arc::new(ScopedPolicy { selection, policy }))
}

fn dry_run(value: &Value<'_>) -> bool {
    match value.text() {
        Some("true") => true,
        Some("false") | None => false,
        Some(_) => {
            value.invalid(
                "is neither \"true\" nor \"false\", so the policy is enforced",
                "write \"true\" or \"false\"",
            );
            false
        }
    }
}

/// The action; `None` when it is not understood.
fn action(spec: &Fields<'_>) -> Option<Action> {
    let value = spec.value("action");
    let provider = spec.object("provider").map(|provider| {
        let name = provider.text("name").unwrap_or_default();
        provider.finish();
        name
    });
    let Some(value) = value else { return Some(Action::Allow) };
    match value.choice()? {
        "ALLOW" => Some(Action::Allow),
        "DENY" => Some(Action::Deny),
        "AUDIT" => {
            value.report(codes::AUDIT_IGNORED, "an AUDIT policy has no effect");
            Some(Action::Audit)
        }
        _ => {
            let provider = provider.unwrap_or_default();
            value.report(
                codes::CUSTOM_DENIES,
                format_args!("requests for the authorizer {provider:?} are denied, since Leno cannot ask it"),
            );
            Some(Action::Custom)
        }
    }
}

fn targets(spec: &Fields<'_>, context: &Context<'_>) -> Vec<PolicyTarget> {
    let single = spec.value("targetRef");
    let several = spec.items("targetRefs");
    single.iter().chain(&several).filter_map(|value| target(value, context)).collect()
}

fn target(value: &Value<'_>, context: &Context<'_>) -> Option<PolicyTarget> {
    let fields = value.fields()?;
    let group = fields.text("group").unwrap_or_default();
    let kind = fields.required("kind").and_then(|kind| kind.text());
    let name = fields.required("name").and_then(|name| name.text());
    let namespace = fields.value("namespace");
    fields.finish();
    if let Some(namespace) =
        namespace.filter(|namespace| namespace.text().is_some_and(|text| text != &**context.namespace()))
    {
        namespace
            .invalid("is another namespace than the policy's", "move the policy to its target's namespace");
    }
    let (kind, name) = (kind?, name?);
    match (group, kind) {
        ("gateway.networking.k8s.io", "Gateway") => Some(PolicyTarget::Gateway(name.into())),
        ("" | "core", "Service") => Some(PolicyTarget::Service(name.into())),
        _ => {
            value.report_with(
                codes::UNSUPPORTED,
                format_args!("a policy cannot be attached to a {kind} yet"),
                "use a selector, or a target of kind Gateway or Service",
            );
            None
        }
    }
}
