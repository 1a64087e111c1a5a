//! Label sets in the form in which they are shown: `name="value",name="value"`.
//!
//! That text is also a series' key, so a set is kept once. Invariant: a rendered set needs no further escaping.

use std::borrow::Cow;

use crate::limits::LABEL_VALUE;

/// Appends one label. Values are escaped as the exposition formats ask (both the same way) and cut at
/// [`LABEL_VALUE`] bytes.
pub(crate) fn push(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    escape_into(out, cut(value, LABEL_VALUE));
    out.push('"');
}

/// The longest beginning of `text` that has at most `limit` bytes and ends between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

fn escape_into(out: &mut String, value: &str) {
    if !value.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        out.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// A help text, escaped. OpenMetrics escapes quotes in it, the text format doesn't.
pub(crate) fn escape_help(help: &str, quotes: bool) -> Cow<'_, str> {
    if !help.bytes().any(|b| matches!(b, b'\\' | b'\n') || (quotes && b == b'"')) {
        return Cow::Borrowed(help);
    }
    let escaped = help.replace('\\', "\\\\").replace('\n', "\\n");
    Cow::Owned(if quotes { escaped.replace('"', "\\\"") } else { escaped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_cut() {
        let long = "x".repeat(LABEL_VALUE - 1) + "é";
        for (value, shown) in [
            ("plain", "plain"),
            ("", ""),
            ("a\"b\\c\nd", r#"a\"b\\c\nd"#),
            ("ünï", "ünï"),
            (long.as_str(), &long[..LABEL_VALUE - 1]),
        ] {
            let mut out = String::new();
            push(&mut out, "a", value);
            assert_eq!(out, format!("a=\"{shown}\""));
        }
    }

    #[test]
    fn help_is_escaped() {
        assert_eq!(escape_help("a \"b\"\n\\", false), "a \"b\"\\n\\\\");
        assert_eq!(escape_help("a \"b\"\n\\", true), "a \\\"b\\\"\\n\\\\");
        assert!(matches!(escape_help("a \"b\"", false), Cow::Borrowed(_)));
    }
}
