//! Lists of values and their `not` twins.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use leno_model::policy::Clause;
use leno_model::text::{PathMatch, TextMatch};

use crate::codes;
use crate::envelope::{Context, is_label};
use crate::yaml::{Fields, Value};

/// Reads a list and its twin. Empty lists and empty texts are errors: in Istio's wire format an empty list is no
/// list, which would allow everybody where somebody meant nobody.
pub(super) fn clause<T>(
    fields: &Fields<'_>,
    name: &str,
    not_name: &str,
    mut read: impl FnMut(&Value<'_>) -> Option<T>,
) -> Clause<T> {
    Clause { any: values(fields, name, &mut read), none: values(fields, not_name, &mut read) }
}

fn values<T>(fields: &Fields<'_>, name: &str, read: &mut dyn FnMut(&Value<'_>) -> Option<T>) -> Vec<T> {
    let Some(list) = fields.value(name) else { return Vec::new() };
    let items = list.items();
    if items.is_empty() {
        list.report_with(codes::INVALID_VALUE, "is an empty list", "list values, or remove the field");
    }
    items.iter().filter_map(read).collect()
}

/// A text that is not empty.
fn filled<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.text()?;
    if text.is_empty() {
        value.invalid("is empty", "write a value, or * for any");
        return None;
    }
    Some(text)
}

/// A text with Istio's stars; a star elsewhere than at one end is taken for itself by Istio and refused here.
pub(super) fn stars(value: &Value<'_>) -> Option<TextMatch> {
    let text = filled(value)?;
    check_stars(value, text)?;
    Some(TextMatch::from_stars(text))
}

fn check_stars(value: &Value<'_>, text: &str) -> Option<()> {
    let inner = text.strip_prefix('*').unwrap_or_else(|| text.strip_suffix('*').unwrap_or(text));
    if inner.contains('*') {
        value.invalid("has a * elsewhere than at one end", "write prefix*, *suffix or *");
        return None;
    }
    Some(())
}

/// A principal. `cluster.local` stands for the mesh's own trust domain, whatever that is called.
pub(super) fn principal(value: &Value<'_>, context: &Context<'_>) -> Option<TextMatch> {
    let text = filled(value)?;
    if text.starts_with("spiffe://") {
        value
            .invalid("begins with spiffe://", "write it without: <trust-domain>/ns/<namespace>/sa/<account>");
        return None;
    }
    check_stars(value, text)?;
    Some(match text.strip_prefix("cluster.local/") {
        Some(rest) => TextMatch::from_stars(&format!("{}/{rest}", context.options.trust_domain)),
        None => TextMatch::from_stars(text),
    })
}

/// A trust domain; `cluster.local` stands for the mesh's own.
pub(super) fn trust_domain(value: &Value<'_>, context: &Context<'_>) -> Option<TextMatch> {
    match filled(value)? {
        "cluster.local" => Some(TextMatch::Exact(context.options.trust_domain.as_str().into())),
        _ => stars(value),
    }
}

/// `namespace/account`, or an account of the policy's own namespace. No stars.
pub(super) fn service_account(value: &Value<'_>, context: &Context<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let text = filled(value)?;
    let (namespace, account) = match text.split_once('/') {
        Some((namespace, account)) => (Arc::from(namespace), account),
        None => (context.namespace().clone(), text),
    };
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !is_label(&namespace) || account.is_empty() || !account.chars().all(valid) {
        value.invalid("is not a service account", "write <namespace>/<account> or <account>, without stars");
        return None;
    }
    Some((namespace, account.into()))
}

/// An address or a range of addresses.
pub(super) fn net(value: &Value<'_>) -> Option<IpNet> {
    let text = filled(value)?;
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    if net.is_none() {
        value.invalid("is not an address or range", "write 10.1.2.3 or 10.1.0.0/16");
    }
    net
}

/// A port, written as text.
pub(super) fn port(value: &Value<'_>) -> Option<u16> {
    let text = filled(value)?;
    let port = text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with(['+', '0']));
    if port.is_none() {
        value.invalid("is not a port", "write a number between 1 and 65535, in quotes");
    }
    port
}

/// A host, compared without regard to case.
pub(super) fn host(value: &Value<'_>) -> Option<TextMatch> {
    let text = filled(value)?.to_ascii_lowercase();
    check_stars(value, &text)?;
    Some(TextMatch::from_stars(&text))
}

/// A path: exact, `/prefix*`, `*/suffix`, `*`, or a template with `{*}` and `{**}`.
pub(super) fn path(value: &Value<'_>) -> Option<PathMatch> {
    let text = filled(value)?;
    if text.contains("{*}") || text.contains("{**}") {
        return template(value, text);
    }
    check_stars(value, text)?;
    Some(match TextMatch::from_stars(text) {
        TextMatch::Exact(text) => PathMatch::Exact(text),
        TextMatch::Prefix(text) => PathMatch::Prefix(text),
        TextMatch::Suffix(text) => PathMatch::Suffix(text),
        TextMatch::Present | TextMatch::Regex(_) => PathMatch::Any,
    })
}

fn template(value: &Value<'_>, text: &str) -> Option<PathMatch> {
    let Some(segments) = text.strip_prefix('/') else {
        value.invalid("does not begin with /", "write a template such as /users/{*}/posts");
        return None;
    };
    let mut rest = false;
    for segment in segments.split('/') {
        if rest {
            value.invalid("has something after {**}", "{**} stands for the rest of the path");
            return None;
        }
        rest = segment == "{**}";
        let special = matches!(segment, "{*}" | "{**}");
        if !special && segment.contains(['*', '{', '}']) {
            value.invalid(
                "mixes a template with other stars or text",
                "{*} and {**} stand for whole segments",
            );
            return None;
        }
    }
    Some(PathMatch::Template(text.into()))
}
