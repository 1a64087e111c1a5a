//! `rules[].matches[]`.

use std::sync::Arc;

use leno_model::route::{HeaderMatch, Match, QueryMatch};
use leno_model::text::{PathMatch, TextMatch};

use crate::codes;
use crate::http::{is_header_name, is_path};
use crate::pattern;
use crate::yaml::{Fields, Value};

/// The match of a rule that has none: every path.
pub(super) fn every() -> Match {
    Match { path: Some(PathMatch::Segments("".into())), ..Match::default() }
}

/// Reads a match.
pub(super) fn read(item: &Value<'_>) -> Option<Match> {
    let fields = item.fields()?;
    let path = match fields.value("path") {
        Some(value) => path(&value),
        None => Some(PathMatch::Segments("".into())),
    };
    let headers =
        named(&fields, "headers", |name| is_header_name(name).then(|| name.to_ascii_lowercase().into()));
    let query = named(&fields, "queryParams", |name| (!name.is_empty()).then(|| name.into()));
    let method = fields.choice("method").map(|method| TextMatch::Exact(method.into()));
    fields.finish();
    Some(Match {
        path: Some(path?),
        method,
        headers: headers
            .into_iter()
            .map(|(name, value)| HeaderMatch { name, value, invert: false })
            .collect(),
        query: query.into_iter().map(|(name, value)| QueryMatch { name, value }).collect(),
        ..Match::default()
    })
}

fn path(value: &Value<'_>) -> Option<PathMatch> {
    let fields = value.fields()?;
    let kind = fields.value("type").map_or(Some("PathPrefix"), |kind| kind.choice());
    let text_value = fields.value("value");
    let text = text_value.as_ref().map_or(Some("/"), |value| value.text());
    fields.finish();
    let (kind, text) = (kind?, text?);
    if kind == "RegularExpression" {
        return pattern::read(text, &text_value.unwrap_or_else(|| value.clone())).map(PathMatch::Regex);
    }
    if !is_plain_path(text) {
        let value = text_value.unwrap_or_else(|| value.clone());
        value.invalid(
            "is not a path to match",
            "begin with /, without //, /./, /../, an encoded slash, # or ?",
        );
        return None;
    }
    Some(match kind {
        "Exact" => PathMatch::Exact(text.into()),
        _ => PathMatch::Segments(text.trim_end_matches('/').into()),
    })
}

/// What the Gateway API allows in exact and prefix matches: nothing that a normalized path would not have.
fn is_plain_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let dotted = |segment: &str| matches!(segment, "." | "..");
    is_path(text, false)
        && text.len() <= 1024
        && !text.contains("//")
        && !lower.contains("%2f")
        && !text.split('/').any(dotted)
}

/// Header or query conditions. Of several with one name the first counts, as the API says.
fn named(
    fields: &Fields<'_>,
    list: &str,
    canonical: impl Fn(&str) -> Option<Arc<str>>,
) -> Vec<(Arc<str>, TextMatch)> {
    let mut read: Vec<(Arc<str>, TextMatch)> = Vec::new();
    for item in fields.items(list) {
        let Some((name, condition)) = condition(&item, &canonical) else { continue };
        if read.iter().any(|(known, _)| *known == name) {
            item.report(
                codes::INEFFECTIVE,
                format_args!("{name} already has a condition above, which counts"),
            );
        } else {
            read.push((name, condition));
        }
    }
    read
}

fn condition(
    item: &Value<'_>,
    canonical: &dyn Fn(&str) -> Option<Arc<str>>,
) -> Option<(Arc<str>, TextMatch)> {
    let fields = item.fields()?;
    let kind = fields.value("type").map_or(Some("Exact"), |kind| kind.choice());
    let name = fields.required("name").and_then(|name| {
        let read = canonical(name.text()?);
        if read.is_none() {
            name.invalid("is not a name", "use letters, digits and dashes");
        }
        read
    });
    let value = fields.required("value");
    fields.finish();
    let value = value?;
    let text = value.text()?;
    let condition = match kind? {
        "RegularExpression" => TextMatch::Regex(pattern::read(text, &value)?),
        _ => TextMatch::Exact(text.into()),
    };
    Some((name?, condition))
}
