//! `http[].match[]`: conditions on requests.

use std::sync::Arc;

use leno_model::route::{HeaderMatch, Match, QueryMatch, Scope};
use leno_model::text::{PathMatch, Pattern, TextMatch};

use super::scope;
use crate::codes;
use crate::envelope::Context;
use crate::http::is_header_name;
use crate::pattern;
use crate::yaml::{Fields, Value};

/// Reads one entry. `None` when it is wrong, or asks for something that cannot be checked yet and so never holds.
pub(super) fn read(item: &Value<'_>, context: &Context<'_>, scopes: &[Scope]) -> Option<Match> {
    let fields = item.fields()?;
    let _name_for_metrics = fields.text("name");
    let mut headers = Vec::new();
    let checkable = header_matches(&fields, "headers", false, &mut headers)
        & header_matches(&fields, "withoutHeaders", true, &mut headers);
    let mut read = Match {
        path: fields.value("uri").as_ref().and_then(path),
        path_ignore_case: fields.boolean("ignoreUriCase").unwrap_or(false),
        method: text_field(&fields, "method"),
        scheme: text_field(&fields, "scheme"),
        authority: text_field(&fields, "authority"),
        headers,
        query: query(&fields),
        port: fields.port("port"),
        source_labels: fields.labels("sourceLabels"),
        source_namespace: fields.text("sourceNamespace").filter(|name| !name.is_empty()).map(Arc::from),
        scopes: fields.value("gateways").map(|gateways| match_scopes(&gateways, context, scopes)),
        stream: None,
    };
    if read.path_ignore_case && matches!(read.path, Some(PathMatch::Regex(_))) {
        read.path_ignore_case = false;
        item.report_with(
            codes::INEFFECTIVE,
            "ignoreUriCase has no effect on a regex",
            "begin the regex with (?i)",
        );
    }
    fields.finish();
    checkable.then_some(read)
}

/// What a StringMatch holds; `None` where it is empty.
enum Given<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Regex(Pattern),
}

/// Reads a StringMatch; the outer `None` is a wrong one.
fn given<'a>(value: &Value<'a>) -> Option<Option<Given<'a>>> {
    let fields = value.fields()?;
    fields.at_most_one(&["exact", "prefix", "regex"]);
    let (exact, prefix) = (fields.text("exact"), fields.text("prefix"));
    let regex = fields.value("regex");
    fields.finish();
    if let Some(regex) = regex {
        return Some(Some(Given::Regex(pattern::read(regex.text()?, &regex)?)));
    }
    Some(exact.map(Given::Exact).or_else(|| prefix.map(Given::Prefix)))
}

/// A matcher that must hold something.
fn required<'a>(value: &Value<'a>) -> Option<Given<'a>> {
    let given = given(value)?;
    if given.is_none() {
        value.report_with(codes::REQUIRED, "is empty", "add exact, prefix or regex");
    }
    given
}

fn path(value: &Value<'_>) -> Option<PathMatch> {
    Some(match required(value)? {
        Given::Exact(text) => PathMatch::Exact(text.into()),
        Given::Prefix(text) => PathMatch::Prefix(text.into()),
        Given::Regex(pattern) => PathMatch::Regex(pattern),
    })
}

fn text_field(fields: &Fields<'_>, name: &str) -> Option<TextMatch> {
    Some(text(required(&fields.value(name)?)?))
}

fn text(given: Given<'_>) -> TextMatch {
    match given {
        Given::Exact(text) => TextMatch::Exact(text.into()),
        Given::Prefix(text) => TextMatch::Prefix(text.into()),
        Given::Regex(pattern) => TextMatch::Regex(pattern),
    }
}

/// The pseudo-headers of claim-based routing begin with this.
const CLAIMS: &str = "@request.auth.claims";

/// Keys that Istio ignores among headers, since they have fields of their own.
const OWN_FIELDS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// Reads header conditions; whether all of them can be checked.
fn header_matches(fields: &Fields<'_>, name: &str, invert: bool, matches: &mut Vec<HeaderMatch>) -> bool {
    let mut checkable = true;
    for (entry, value) in fields.value(name).map(|headers| headers.entries()).unwrap_or_default() {
        if entry.key.starts_with(CLAIMS) {
            let message = "claims of tokens are not checked yet, so the match never holds";
            value.report_with(codes::LEFT_OUT, message, "route by a header or path instead");
            let _understood = given(&value);
            checkable = false;
            continue;
        }
        let key = entry.key.to_ascii_lowercase();
        let condition = if value.node().entries().is_empty() { Some(TextMatch::Present) } else { None };
        let condition =
            condition.or_else(|| given(&value).map(|given| given.map_or(TextMatch::Present, text)));
        if OWN_FIELDS.contains(&key.as_str()) {
            value.report_with(
                codes::INEFFECTIVE,
                "is ignored, as in Istio",
                format!("use the field {key} of the match"),
            );
            continue;
        }
        if !is_header_name(&key) && key != ":method" && key != ":path" && key != ":authority" {
            value.invalid(
                format_args!("stands under {key:?}, which is not a header name"),
                "use letters, digits and dashes",
            );
            continue;
        }
        if let Some(condition) = condition {
            matches.push(HeaderMatch { name: key.into(), value: condition, invert });
        }
    }
    checkable
}

fn query(fields: &Fields<'_>) -> Vec<QueryMatch> {
    let entries = fields.value("queryParams").map(|parameters| parameters.entries()).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(entry, value)| {
            let condition = given(&value)?.map_or(TextMatch::Present, text);
            Some(QueryMatch { name: entry.key.clone(), value: condition })
        })
        .collect()
}

/// The places of a match, each of which should be one of the object's.
pub(super) fn match_scopes(gateways: &Value<'_>, context: &Context<'_>, scopes: &[Scope]) -> Vec<Scope> {
    let mut read = Vec::new();
    for value in gateways.items() {
        let Some(scope) = scope(&value, context) else { continue };
        if !scopes.contains(&scope) {
            value.report_with(
                codes::INEFFECTIVE,
                format_args!("{} is not among spec.gateways, so the match never holds there", value.shown()),
                "add it to spec.gateways",
            );
        }
        read.push(scope);
    }
    read
}
