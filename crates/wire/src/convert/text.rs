//! Matching of texts and paths, and texts that end up in HTTP heads.

use std::sync::Arc;

use leno_model::text::{PathMatch, Pattern, TextMatch};

use super::{Interner, Within, interned};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::{path_match, text_match};

pub(super) fn write(value: &TextMatch) -> units::TextMatch {
    use text_match::Kind;
    let kind = match value {
        TextMatch::Exact(text) => Kind::Exact(text.to_string()),
        TextMatch::Prefix(text) => Kind::Prefix(text.to_string()),
        TextMatch::Suffix(text) => Kind::Suffix(text.to_string()),
        TextMatch::Regex(pattern) => Kind::Regex(pattern.to_string()),
        TextMatch::Present => Kind::Present(true),
    };
    units::TextMatch { kind: Some(kind) }
}

pub(super) fn read(value: units::TextMatch, texts: &mut Interner) -> Result<TextMatch, Malformed> {
    use text_match::Kind;
    Ok(match value.kind.within("kind")? {
        Kind::Exact(text) => TextMatch::Exact(interned(&text, texts)),
        Kind::Prefix(text) => TextMatch::Prefix(interned(&text, texts)),
        Kind::Suffix(text) => TextMatch::Suffix(interned(&text, texts)),
        Kind::Regex(text) => TextMatch::Regex(pattern(&text).within("regex")?),
        Kind::Present(yes) => {
            marker(yes).within("present")?;
            TextMatch::Present
        }
    })
}

pub(super) fn required(
    field: &'static str,
    value: Option<units::TextMatch>,
    texts: &mut Interner,
) -> Result<TextMatch, Malformed> {
    read(value.within(field)?, texts).within(field)
}

pub(super) fn write_path(value: &PathMatch) -> units::PathMatch {
    use path_match::Kind;
    let kind = match value {
        PathMatch::Exact(text) => Kind::Exact(text.to_string()),
        PathMatch::Prefix(text) => Kind::Prefix(text.to_string()),
        PathMatch::Segments(text) => Kind::Segments(text.to_string()),
        PathMatch::Suffix(text) => Kind::Suffix(text.to_string()),
        PathMatch::Regex(pattern) => Kind::Regex(pattern.to_string()),
        PathMatch::Template(text) => Kind::Template(text.to_string()),
        PathMatch::Any => Kind::Any(true),
    };
    units::PathMatch { kind: Some(kind) }
}

pub(super) fn read_path(value: units::PathMatch, texts: &mut Interner) -> Result<PathMatch, Malformed> {
    use path_match::Kind;
    Ok(match value.kind.within("kind")? {
        Kind::Exact(text) => PathMatch::Exact(interned(&text, texts)),
        Kind::Prefix(text) => PathMatch::Prefix(interned(&text, texts)),
        Kind::Segments(text) if text.ends_with('/') => {
            return Err(Malformed::new("ends with '/'").in_field("segments"));
        }
        Kind::Segments(text) => PathMatch::Segments(interned(&text, texts)),
        Kind::Suffix(text) => PathMatch::Suffix(interned(&text, texts)),
        Kind::Regex(text) => PathMatch::Regex(pattern(&text).within("regex")?),
        Kind::Template(text) => PathMatch::Template(interned(&text, texts)),
        Kind::Any(yes) => {
            marker(yes).within("any")?;
            PathMatch::Any
        }
    })
}

pub(super) fn pattern(text: &str) -> Result<Pattern, Malformed> {
    Pattern::new(text).map_err(Malformed::new)
}

/// A variant without content is written as `true`.
pub(super) fn marker(set: bool) -> Result<(), Malformed> {
    if set { Ok(()) } else { Err(Malformed::new("must be true where it is given")) }
}

/// A header name to match by: any but an empty one or one with capitals, spaces or control characters.
pub(super) fn matched_header(name: &str, texts: &mut Interner) -> Result<Arc<str>, Malformed> {
    let valid = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
    if name.is_empty() || !name.bytes().all(valid) {
        return Err(Malformed::new(format_args!("{name:?} is not a lower-case header name")));
    }
    Ok(interned(name, texts))
}

/// A header name to write: a lower-case token (RFC 9110 §5.6.2), and not `host`, which only a rewrite changes.
pub(super) fn written_header(name: &str, texts: &mut Interner) -> Result<Arc<str>, Malformed> {
    let token = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
    };
    if name.is_empty() || name == "host" || !name.bytes().all(token) {
        return Err(Malformed::new(format_args!(
            "{name:?} is not a lower-case header name that may be changed"
        )));
    }
    Ok(interned(name, texts))
}

/// A header value to write: no control character but tab, so that it cannot begin another header (RFC 9110 §5.5).
pub(super) fn header_value(value: &str, texts: &mut Interner) -> Result<Arc<str>, Malformed> {
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(Malformed::new("a header value has no control characters"));
    }
    Ok(interned(value, texts))
}

/// A text for a request's or location's target: no space or control character.
pub(super) fn target_text(text: &str, texts: &mut Interner) -> Result<Arc<str>, Malformed> {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(Malformed::new("has a space or control character"));
    }
    Ok(interned(text, texts))
}
