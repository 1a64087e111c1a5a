//! New paths.

use std::borrow::Cow;
use std::sync::Arc;

use leno_model::failure::Failure;
use leno_model::route::PathRewrite;
use regex::{Regex, RegexBuilder};

use crate::limits::{MAX_REWRITE_PROGRAM_BYTES, MAX_REWRITTEN_PATH_BYTES};
use crate::text::Path;

/// A compiled [`PathRewrite`].
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Full(Arc<str>),
    Matched(Arc<str>),
    Regex(Regex, Vec<Part>),
    /// The pattern does not compile; requests fail rather than go to the wrong path.
    Broken,
}

/// A piece of a substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// What the group matched; nothing for a group that the pattern has not.
    Group(usize),
}

impl Edit {
    pub(super) fn compile(rewrite: &PathRewrite) -> Self {
        match rewrite {
            PathRewrite::Full(path) => Self::Full(Arc::clone(path)),
            PathRewrite::Matched(text) => Self::Matched(Arc::clone(text)),
            PathRewrite::Regex { pattern, substitution } => {
                let regex = RegexBuilder::new(pattern.as_str())
                    .size_limit(MAX_REWRITE_PROGRAM_BYTES)
                    .dfa_size_limit(MAX_REWRITE_PROGRAM_BYTES)
                    .build();
                regex.map_or(Self::Broken, |regex| Self::Regex(regex, parts(substitution)))
            }
        }
    }

    /// The new path, which begins with `/`; `None` where nothing changes. `matched` is what the rule's match compared.
    /// `*` and the empty path of `CONNECT` name no resource and never change.
    ///
    /// # Errors
    /// [`Failure::PathRejected`] for a path that grows too long, [`Failure::Internal`] for a broken pattern.
    pub(super) fn apply(&self, path: &str, matched: Option<&Path>) -> Result<Option<Cow<'_, str>>, Failure> {
        if !path.starts_with('/') {
            return Ok(None);
        }
        let new = match self {
            Self::Full(new) => Cow::Borrowed(&**new),
            Self::Matched(new) => replace_matched(path, matched, new),
            Self::Regex(regex, parts) => match substitute(regex, parts, path)? {
                Some(new) => Cow::Owned(new),
                None => return Ok(None),
            },
            Self::Broken => return Err(Failure::Internal),
        };
        let new = if new.starts_with('/') { new } else { Cow::Owned(format!("/{new}")) };
        Ok((new != path).then_some(new))
    }
}

fn replace_matched<'e>(path: &str, matched: Option<&Path>, new: &'e str) -> Cow<'e, str> {
    match matched {
        Some(Path::Prefix(prefix)) => {
            let rest = path.get(prefix.len()..).unwrap_or_default();
            Cow::Owned(format!("{new}{rest}"))
        }
        // Gateway API's table for ReplacePrefixMatch: whole segments, never a doubled slash.
        Some(Path::Segments(prefix)) => {
            let rest = path.get(prefix.len()..).unwrap_or_default();
            Cow::Owned(format!("{}{rest}", new.strip_suffix('/').unwrap_or(new)))
        }
        _ => Cow::Borrowed(new),
    }
}

/// Replaces every match, as RE2's `GlobalReplace` does. `None` where nothing matches.
fn substitute(regex: &Regex, parts: &[Part], path: &str) -> Result<Option<String>, Failure> {
    let mut new = String::new();
    let mut end = 0;
    let mut found = false;
    for captures in regex.captures_iter(path) {
        let Some(whole) = captures.get(0) else { continue };
        found = true;
        new.push_str(path.get(end..whole.start()).unwrap_or_default());
        end = whole.end();
        for part in parts {
            match part {
                Part::Text(text) => new.push_str(text),
                Part::Group(group) => new.push_str(captures.get(*group).map_or("", |group| group.as_str())),
            }
        }
        if new.len() > MAX_REWRITTEN_PATH_BYTES {
            return Err(Failure::PathRejected);
        }
    }
    new.push_str(path.get(end..).unwrap_or_default());
    Ok(found.then_some(new))
}

/// Reads RE2's notation: `\0` is the whole match, `\1` to `\9` are groups, `\\` is a backslash.
fn parts(substitution: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = substitution.chars();
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.next() } else { None };
        match escaped {
            Some(digit @ '0'..='9') => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.extend(
                    digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).map(Part::Group),
                );
            }
            Some(other) => text.push(other),
            None => text.push(character),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

#[cfg(test)]
mod tests {
    use leno_model::text::Pattern;

    use super::*;

    fn check(matched: Option<Path>, rewrite: PathRewrite, path: &str, expected: &str) {
        let edit = Edit::compile(&rewrite);
        let new = edit.apply(path, matched.as_ref()).unwrap();
        assert_eq!(new.as_deref().unwrap_or(path), expected, "{matched:?} {rewrite:?} {path}");
    }

    #[test]
    fn segments_are_replaced_as_gateway_api_tabulates() {
        for (path, prefix, new, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "", "/xyz", "/xyz/foo"),
        ] {
            let matched = Path::Segments(prefix.into());
            check(Some(matched), PathRewrite::Matched(new.into()), path, expected);
        }
    }

    #[test]
    fn prefixes_are_replaced_character_by_character_as_istio_does() {
        for (path, prefix, new, expected) in [
            ("/api/v1/x", "/api", "/v2", "/v2/v1/x"),
            ("/api/x", "/api/", "/", "/x"),
            ("/api/x", "/api", "/", "//x"),
            ("/API/x", "/api", "/v2", "/v2/x"),
            ("/apix", "/api", "/v2", "/v2x"),
        ] {
            check(Some(Path::Prefix(prefix.into())), PathRewrite::Matched(new.into()), path, expected);
        }
    }

    #[test]
    fn whole_paths_are_replaced_where_no_prefix_matched() {
        check(Some(Path::Exact("/a".into())), PathRewrite::Matched("/b".into()), "/a", "/b");
        check(Some(Path::Any), PathRewrite::Matched("/b".into()), "/a/c", "/b");
        check(None, PathRewrite::Full("/b".into()), "/a/c", "/b");
        check(None, PathRewrite::Full("b".into()), "/a/c", "/b");
        check(None, PathRewrite::Full("/b".into()), "*", "*");
        check(None, PathRewrite::Full("/b".into()), "", "");
    }

    #[test]
    fn patterns_are_replaced_as_re2_does() {
        for (pattern, substitution, path, expected) in [
            ("^/old/(.*)$", r"/new/\1", "/old/x/y", "/new/x/y"),
            ("/a", "/b", "/a/a", "/b/b"),
            ("/(\\w+)/(\\w+)", r"/\2/\1", "/x/y", "/y/x"),
            ("x", r"[\0\\]", "/x", r"/[x\]"),
            ("x", r"\7", "/x", "/"),
            ("nothing", "z", "/x", "/x"),
            ("/x", r"\", "/x", r"/\"),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            check(None, PathRewrite::Regex { pattern, substitution: substitution.into() }, path, expected);
        }
    }

    #[test]
    fn a_path_cannot_grow_without_bound() {
        let pattern = Pattern::new("x*").unwrap();
        let edit = Edit::compile(&PathRewrite::Regex { pattern, substitution: "y".repeat(1000).into() });
        assert_eq!(edit.apply(&format!("/{}", "a".repeat(1000)), None), Err(Failure::PathRejected));
    }
}
