//! Division of a file into documents, line by line.
//!
//! A line that begins with `---` always ends the document before it (YAML 1.2 §9.1.2, "forbidden" content), even
//! inside quotes or a block, so the division needs no parser and works around broken documents.

/// One document's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'t> {
    /// The text, beginning with the marker if there is one.
    pub(super) text: &'t str,
    /// How many lines come before it in the file.
    pub(super) lines_before: u32,
}

/// The parts of a file that hold more than comments.
pub(super) fn parts(file: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = file.strip_prefix('\u{feff}').unwrap_or(file);
    let mut lines_before = 0_u32;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        let mut lines = 0_u32;
        for (index, line) in rest.split_inclusive('\n').enumerate() {
            if index > 0 && is_marker(line) {
                break;
            }
            end += line.len();
            lines = lines.saturating_add(1);
        }
        let (text, after) = rest.split_at_checked(end)?;
        let part = Part { text, lines_before };
        rest = after;
        lines_before = lines_before.saturating_add(lines);
        Some(part)
    })
    .filter(|part| !is_bare(part.text))
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether the text is only comments, blank lines, markers and version directives.
fn is_bare(text: &str) -> bool {
    text.lines().all(|line| {
        let content = match line.strip_prefix("---") {
            Some(rest) if is_marker(line) => rest,
            _ => line,
        };
        let content = content.trim();
        content.is_empty() || content == "..." || content.starts_with('#') || line.starts_with("%YAML ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_divide_at_markers() {
        let list = |file: &'static str| -> Vec<(&str, u32)> {
            parts(file).map(|part| (part.text, part.lines_before)).collect()
        };
        assert_eq!(list(""), []);
        assert_eq!(list("# only\n---\n\n--- # nothing\n"), []);
        assert_eq!(list("a: 1"), [("a: 1", 0)]);
        assert_eq!(list("a: 1\n---\nb: 2\n"), [("a: 1\n", 0), ("---\nb: 2\n", 1)]);
        assert_eq!(list("%YAML 1.2\n---\nb: 2\r\n---\r\nc: 3"), [("---\nb: 2\r\n", 1), ("---\r\nc: 3", 3)]);
        assert_eq!(list("a: \"\n---\nb: 2"), [("a: \"\n", 0), ("---\nb: 2", 1)]);
        assert_eq!(list("a: |\n  ---\n  x\n----\n"), [("a: |\n  ---\n  x\n----\n", 0)]);
    }
}
