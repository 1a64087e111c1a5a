//! The rules of [`leno_model::text`], compiled. Values are bytes: header values need not be UTF-8, nor decoded paths.

use std::sync::Arc;

use leno_model::text::{PathMatch, TextMatch};
use regex::bytes::Regex;

/// A compiled [`TextMatch`].
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Regex(Regex),
    Present,
}

impl Text {
    /// `None` for a pattern that does not compile, which [`leno_model::text::Pattern`] rules out.
    pub(crate) fn compile(rule: &TextMatch) -> Option<Self> {
        Some(match rule {
            TextMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            TextMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            TextMatch::Suffix(text) => Self::Suffix(Arc::clone(text)),
            TextMatch::Regex(pattern) => Self::Regex(pattern.compile().ok()?),
            TextMatch::Present => Self::Present,
        })
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
        }
    }
}

/// A compiled [`PathMatch`].
#[derive(Clone, Debug)]
pub(crate) enum Path {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Segments(Arc<str>),
    Suffix(Arc<str>),
    Regex(Regex),
    Template(Vec<Segment>),
    Any,
}

/// One segment of a template.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Literal(Box<[u8]>),
    /// `{*}`: one segment that is not empty.
    One,
    /// `{**}`: any text, slashes included, the empty text too.
    Many,
}

impl Path {
    /// `None` for a pattern that does not compile, which [`leno_model::text::Pattern`] rules out.
    pub(crate) fn compile(rule: &PathMatch) -> Option<Self> {
        Some(match rule {
            PathMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            PathMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            PathMatch::Segments(text) => Self::Segments(Arc::clone(text)),
            PathMatch::Suffix(text) => Self::Suffix(Arc::clone(text)),
            PathMatch::Regex(pattern) => Self::Regex(pattern.compile().ok()?),
            PathMatch::Template(text) => Self::Template(template(text)),
            PathMatch::Any => Self::Any,
        })
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == path,
            Self::Prefix(text) => path.starts_with(text.as_bytes()),
            Self::Segments(text) => {
                !path.is_empty() && path.strip_prefix(text.as_bytes()).is_some_and(is_boundary)
            }
            Self::Suffix(text) => path.ends_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(path),
            Self::Template(segments) => fits(segments, path),
            Self::Any => true,
        }
    }

    /// As [`Self::matches`], without regard to the case of ASCII letters where the comparison is exact or by prefix.
    pub(crate) fn matches_ignoring_case(&self, path: &[u8]) -> bool {
        let head = |text: &str| path.split_at_checked(text.len());
        let same = |text: &str, head: &[u8]| text.as_bytes().eq_ignore_ascii_case(head);
        match self {
            Self::Exact(text) => same(text, path),
            Self::Prefix(text) => head(text).is_some_and(|(head, _)| same(text, head)),
            Self::Segments(text) => {
                let split = head(text).filter(|_| !path.is_empty());
                split.is_some_and(|(head, rest)| same(text, head) && is_boundary(rest))
            }
            _ => self.matches(path),
        }
    }
}

/// Whether what follows a prefix shows that it ended with a whole segment.
fn is_boundary(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| *byte == b'/')
}

fn template(text: &str) -> Vec<Segment> {
    text.split('/')
        .map(|segment| match segment {
            "{*}" => Segment::One,
            "{**}" => Segment::Many,
            literal => Segment::Literal(literal.as_bytes().into()),
        })
        .collect()
}

/// Envoy's URI templates, which Istio's notation stands for. Both sides are cut at every slash. `{**}` takes one cut
/// piece or more, each of which may be empty: `/a/{**}` fits `/a/` and `/a/b/c`, and not `/a`.
fn fits(template: &[Segment], path: &[u8]) -> bool {
    let (mut pattern, mut rest) = (template, Some(path));
    // Where to go on when the text after the last `{**}` doesn't fit: let that one take a piece more.
    let mut retry: Option<(&[Segment], &[u8])> = None;
    loop {
        let step = match (pattern.split_first(), rest) {
            (None, None) => return true,
            (Some((segment, following)), Some(text)) => {
                let (piece, after) = cut(text);
                if matches!(segment, Segment::Many) {
                    retry = after.map(|after| (following, after));
                }
                segment.takes(piece).then_some((following, after))
            }
            (None, Some(_)) | (Some(_), None) => None,
        };
        (pattern, rest) = match (step, retry) {
            (Some(next), _) => next,
            (None, Some((following, text))) => {
                let (_, after) = cut(text);
                retry = after.map(|after| (following, after));
                (following, after)
            }
            (None, None) => return false,
        };
    }
}

impl Segment {
    fn takes(&self, piece: &[u8]) -> bool {
        match self {
            Self::Literal(text) => **text == *piece,
            Self::One => !piece.is_empty(),
            Self::Many => true,
        }
    }
}

/// The text up to the next slash, and what follows the slash.
fn cut(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut pieces = text.splitn(2, |byte| *byte == b'/');
    (pieces.next().unwrap_or_default(), pieces.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fit_as_envoy_says() {
        for (template, path, expected) in [
            ("/foo/{*}", "/foo/bar", true),
            ("/foo/{*}", "/foo/bar/baz", false),
            ("/foo/{*}", "/foo/", false),
            ("/foo/{**}", "/foo", false),
            ("/foo/{**}", "/foo/", true),
            ("/foo/{**}", "/foo/a/b/c", true),
            ("/foo/{**}/", "/foo/bar/", true),
            ("/foo/{**}/", "/foo//", true),
            ("/foo/{**}/", "/foo/bar", false),
            ("/foo/{*}/bar/{**}", "/foo/buzz/bar/", true),
            ("/foo/{*}/bar/{**}", "/foo/buzz/bar/baz", true),
            ("/foo/{*}/bar/{**}", "/foo/bar/baz", false),
            ("/{**}/x", "/a/x/x", true),
            ("/{**}/x", "/a/x/y", false),
            ("/{**}/x", "//x", true),
            ("/{**}/x", "/x", false),
            ("/{**}/b/{**}/c", "/a/b/b/x/c", true),
            ("/{**}/b/{**}/c", "/a/b/c", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
        ] {
            assert_eq!(fits(&super::template(template), path.as_bytes()), expected, "{template} {path}");
        }
    }

    #[test]
    fn prefixes_end_where_they_should() {
        let segments = |text: &str| Path::Segments(text.into());
        let prefix = |text: &str| Path::Prefix(text.into());
        for (rule, path, exact_case, any_case) in [
            (segments("/abc"), "/abc", true, true),
            (segments("/abc"), "/abc/", true, true),
            (segments("/abc"), "/abc/d", true, true),
            (segments("/abc"), "/abcd", false, false),
            (segments("/abc"), "/ABC/d", false, true),
            (segments("/abc"), "/ABCd", false, false),
            (segments(""), "/anything", true, true),
            (segments(""), "*", false, false),
            (segments(""), "", false, false),
            (prefix("/abc"), "/abcd", true, true),
            (prefix("/abc"), "/Abcd", false, true),
            (prefix("/abc"), "/ab", false, false),
            (Path::Exact("/a".into()), "/A", false, true),
            (Path::Any, "*", true, true),
        ] {
            assert_eq!(rule.matches(path.as_bytes()), exact_case, "{rule:?} {path}");
            assert_eq!(rule.matches_ignoring_case(path.as_bytes()), any_case, "{rule:?} {path}");
        }
    }
}
