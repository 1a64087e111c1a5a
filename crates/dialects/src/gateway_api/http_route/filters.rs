//! `filters[]`, of rules and of backends.
//!
//! A filter that Leno does not do must not be skipped where it may protect something: then the requests get status
//! 500, as the API demands for filters that cannot be resolved.

use std::sync::Arc;

use leno_model::route::{HeaderEdits, PathRewrite, Redirect, RedirectPort, Rewrite};

use super::super::hostname;
use crate::codes;
use crate::http::{editable_name, editable_value, is_path, push_edit};
use crate::table::nearest;
use crate::yaml::{Fields, Value};

/// What filters say together.
#[derive(Default)]
pub(super) struct Filters<'a> {
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: Option<Rewrite>,
    /// What the filters of type RequestMirror say.
    pub(super) mirrors: Vec<Value<'a>>,
    /// Where a prefix that a match covered is replaced, which needs a prefix match.
    pub(super) needs_prefix: bool,
    /// Whether requests must fail.
    pub(super) fails: bool,
}

const TYPES: &[(&str, &str)] = &[
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
    ("ExtensionRef", "extensionRef"),
    ("ExternalAuth", "externalAuth"),
];

/// Reads a list of filters.
pub(super) fn read<'a>(items: &[Value<'a>]) -> Filters<'a> {
    let mut filters = Filters::default();
    let mut seen: Vec<&str> = Vec::new();
    for item in items {
        let Some(fields) = item.fields() else { continue };
        let Some(kind) = kind(&fields) else { continue };
        if seen.contains(&kind.0) && !matches!(kind.0, "RequestMirror" | "ExtensionRef") {
            item.invalid(format_args!("is a second filter of type {}", kind.0), "put both into one filter");
        }
        seen.push(kind.0);
        filters.take(kind, item, &fields);
        fields.finish();
    }
    if filters.redirect.is_some()
        && filters.rewrite.is_some()
        && let Some(first) = items.first()
    {
        first.invalid("stands among filters that both redirect and rewrite", "keep one of the two");
    }
    filters
}

/// The filter's type and the field that goes with it.
fn kind(fields: &Fields<'_>) -> Option<(&'static str, &'static str)> {
    let value = fields.required("type")?;
    let text = value.text()?;
    let found = TYPES.iter().find(|(name, _)| *name == text).copied();
    let Some((name, field)) = found else {
        let hint = match nearest(text, TYPES.iter().map(|(name, _)| *name)) {
            Some(name) => format!("did you mean {name}?"),
            None => "see the Gateway API for the types of filters".to_owned(),
        };
        value.invalid("is not a type of filters", hint);
        return None;
    };
    for (_, other) in TYPES.iter().filter(|(_, other)| *other != field) {
        if let Some(extra) = fields.value(other) {
            extra.invalid(format_args!("does not belong to a filter of type {name}"), "remove it");
        }
    }
    Some((name, field))
}

impl<'a> Filters<'a> {
    fn take(&mut self, (kind, field): (&str, &str), item: &Value<'a>, fields: &Fields<'a>) {
        let Some(value) = fields.required(field) else { return };
        match kind {
            "RequestHeaderModifier" => self.request = headers(&value).unwrap_or_default(),
            "ResponseHeaderModifier" => self.response = headers(&value).unwrap_or_default(),
            "RequestRedirect" => self.redirect = self.redirect(&value),
            "URLRewrite" => self.rewrite = self.rewrite(&value),
            "RequestMirror" => self.mirrors.push(value),
            "CORS" => {
                let message = "Leno adds no CORS headers yet, so browsers refuse cross-origin answers";
                item.report_with(codes::LEFT_OUT, message, "answer preflight requests in the application");
            }
            _ => {
                self.fails = true;
                item.report_with(
                    codes::FILTER_FAILS,
                    format_args!("a filter of type {kind} is not supported yet, so requests get status 500"),
                    "remove the filter",
                );
            }
        }
    }

    fn redirect(&mut self, value: &Value<'_>) -> Option<Redirect> {
        let fields = value.fields()?;
        let host = fields.value("hostname").as_ref().map(precise);
        let path = fields.value("path").as_ref().map(|path| self.path(path));
        let status = fields.value("statusCode").map_or(Some(302), |code| redirect_status(&code));
        let redirect = Redirect {
            scheme: fields.choice("scheme").map(Arc::from),
            host: host.flatten(),
            port: fields.port("port").map_or(RedirectPort::Derived, RedirectPort::Fixed),
            path: path.flatten(),
            status: status?,
        };
        fields.finish();
        Some(redirect)
    }

    fn rewrite(&mut self, value: &Value<'_>) -> Option<Rewrite> {
        let fields = value.fields()?;
        let authority = fields.value("hostname").as_ref().and_then(precise);
        let path = fields.value("path").and_then(|path| self.path(&path));
        fields.finish();
        Some(Rewrite { authority, path })
    }

    fn path(&mut self, value: &Value<'_>) -> Option<PathRewrite> {
        let fields = value.fields()?;
        let kind = fields.required("type").and_then(|kind| kind.choice());
        let (full, prefix) = (fields.value("replaceFullPath"), fields.value("replacePrefixMatch"));
        fields.finish();
        let (wanted, other, name) = match kind? {
            "ReplaceFullPath" => (full, prefix, "replaceFullPath"),
            _ => (prefix, full, "replacePrefixMatch"),
        };
        if let Some(other) = other {
            other.invalid("does not belong to this type", format!("use {name}"));
        }
        let Some(wanted) = wanted else {
            value.report_with(codes::REQUIRED, format_args!("{name} is missing"), "add it");
            return None;
        };
        let text = wanted.text()?;
        let is_prefix = name == "replacePrefixMatch";
        let is_valid = is_path(text, false) || (is_prefix && text.is_empty());
        if !is_valid {
            wanted.invalid("is not a path", "begin with / and write other characters as %XX");
            return None;
        }
        self.needs_prefix |= is_prefix;
        Some(if is_prefix { PathRewrite::Matched(text.into()) } else { PathRewrite::Full(text.into()) })
    }
}

fn precise(value: &Value<'_>) -> Option<Arc<str>> {
    let host = hostname(value)?;
    if host.is_wildcard() {
        value.invalid("is a wildcard", "write one name");
        return None;
    }
    Some(host.as_str().into())
}

fn redirect_status(value: &Value<'_>) -> Option<u16> {
    match value.integer(100, 599)? {
        status @ (301 | 302 | 303 | 307 | 308) => u16::try_from(status).ok(),
        _ => {
            value.invalid("is not a redirect", "use 301, 302, 303, 307 or 308");
            None
        }
    }
}

fn headers(value: &Value<'_>) -> Option<HeaderEdits> {
    let fields = value.fields()?;
    let mut edits = HeaderEdits::default();
    for (name, list) in [("set", &mut edits.set), ("add", &mut edits.add)] {
        for item in fields.items(name) {
            if let Some((name, text)) = header(&item) {
                push_edit(list, name, text, &item);
            }
        }
    }
    for item in fields.items("remove") {
        if let Some(name) = item.text().and_then(|text| editable(text, &item)) {
            edits.remove.push(name);
        }
    }
    fields.finish();
    Some(edits)
}

fn header(item: &Value<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let fields = item.fields()?;
    let name = fields.required("name").and_then(|name| editable(name.text()?, &name));
    let text = fields.required("value").as_ref().and_then(editable_value);
    fields.finish();
    Some((name?, text?))
}

fn editable(name: &str, value: &Value<'_>) -> Option<Arc<str>> {
    if name.eq_ignore_ascii_case("host") {
        value.invalid("is not changed as a header", "use a URLRewrite filter with hostname");
        return None;
    }
    editable_name(name, value)
}
