//! From a document's text to its tree.

use std::borrow::Cow;
use std::sync::Arc;

use leno_model::span::Diagnostic;
use saphyr_parser::Parser;

use super::build::{Builder, INDENTATION, Step};
use super::node::Node;
use super::split::{Part, parts};
use crate::codes;
use crate::findings::{Findings, Position};
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_REREAD_BYTES};

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document<'t> {
    /// Its tree; `None` when the text is not well-formed or exceeds a limit.
    pub root: Option<Node>,
    /// Its text as far as it is known.
    pub text: &'t str,
    /// Where its text begins.
    pub at: Position,
    /// What is wrong with the text. A document with any of these must not be taken into effect, even if it has a
    /// tree (which then still tells what object it is about).
    pub diagnostics: Vec<Diagnostic>,
}

/// The documents of a file, in order, those without content left out.
#[must_use]
pub fn documents<'t>(file: &Arc<str>, text: &'t str) -> Vec<Document<'t>> {
    let whole = Part { text, lines_before: 0 };
    if text.len() > MAX_FILE_BYTES {
        return vec![refused(file, whole, &format!("the file has more than {MAX_FILE_BYTES} bytes"))];
    }
    let mut found: Vec<Document<'t>> = Vec::new();
    for part in parts(text) {
        if found.len() >= MAX_DOCUMENTS {
            found.push(refused(file, part, &format!("the file has more than {MAX_DOCUMENTS} documents")));
            break;
        }
        if part.text.len() > MAX_DOCUMENT_BYTES {
            found.push(refused(
                file,
                part,
                &format!("the document has more than {MAX_DOCUMENT_BYTES} bytes"),
            ));
        } else {
            read(file, part, &mut found);
        }
    }
    found
}

fn refused<'t>(file: &Arc<str>, part: Part<'t>, message: &str) -> Document<'t> {
    let at = begin(part);
    let findings = Findings::new(file.clone(), None);
    findings.report(codes::LIMIT, at, message);
    Document { root: None, text: part.text, at, diagnostics: findings.into_diagnostics() }
}

fn begin(part: Part<'_>) -> Position {
    Position { line: part.lines_before.saturating_add(1), column: 1 }
}

/// Reads one part, which is one document unless it has `...` markers.
fn read<'t>(file: &Arc<str>, part: Part<'t>, found: &mut Vec<Document<'t>>) {
    if let Some((at, message)) = unprintable(part) {
        let findings = Findings::new(file.clone(), None);
        let hint = "remove the character, or write it as an escape in double quotes";
        findings.report_with(codes::SYNTAX, at, message, hint);
        let diagnostics = findings.into_diagnostics();
        found.push(Document { root: None, text: part.text, at: begin(part), diagnostics });
        return;
    }
    let before = found.len();
    let mut text = Cow::Borrowed(part.text);
    let mut indented = Vec::new();
    let rereads = MAX_REREAD_BYTES / text.len().max(MAX_REREAD_BYTES / 256);
    for _ in 0..=rereads {
        found.truncate(before);
        let Some((line, column)) = attempt(file, part, (&text, &indented), found) else { return };
        let Some(further) = indent(&text, line, column) else { return };
        text = Cow::Owned(further);
        indented.push(line);
    }
}

/// Reads the part's text with some of its lines indented further. Gives the line (from 1) and column (from
/// 0) at which the parser found too little indentation inside brackets.
fn attempt<'t>(
    file: &Arc<str>,
    part: Part<'t>,
    (text, indented): (&str, &[usize]),
    found: &mut Vec<Document<'t>>,
) -> Option<(usize, usize)> {
    let mut parser = Parser::new_from_str(text);
    loop {
        let findings = Findings::new(file.clone(), None);
        let mut builder = Builder::new(&findings, text, part.lines_before, indented);
        let step = builder.run(&mut parser);
        let root = builder.into_root();
        let at = root.as_ref().map_or_else(|| begin(part), |root| root.at);
        let misindented = match step {
            Step::End => return None,
            Step::Document => None,
            Step::Broken => Some(None),
            Step::Misindented(line, column) => Some(Some((line, column))),
        };
        if let Some(misindented) = misindented {
            let diagnostics = findings.into_diagnostics();
            found.push(Document { root: None, text: part.text, at, diagnostics });
            return misindented;
        }
        if found.len() >= MAX_DOCUMENTS {
            found.push(refused(file, part, &format!("the file has more than {MAX_DOCUMENTS} documents")));
            return None;
        }
        if root.as_ref().is_some_and(|root| !root.is_null()) || findings.errors() > 0 {
            found.push(Document { root, text: part.text, at, diagnostics: findings.into_diagnostics() });
        }
    }
}

/// Indents a line that begins at `column` further than anything else. YAML wants the lines of a bracketed list or
/// mapping to be indented further than its key (§7.4), but other readers don't mind, and people write
/// `hosts: [` with the closing bracket right below the key. `None` when the line has something before.
fn indent(text: &str, line: usize, column: usize) -> Option<String> {
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let (before, rest) = text.split_at_checked(start)?;
    if !rest.bytes().take(column).all(|b| b == b' ') || rest.starts_with('\n') {
        return None;
    }
    Some(format!("{before}{:INDENTATION$}{rest}", ""))
}

/// The first character that YAML does not allow unescaped (§5.1), and carriage returns on their own, at which
/// editors and parsers disagree about lines.
fn unprintable(part: Part<'_>) -> Option<(Position, String)> {
    let mut at = begin(part);
    let mut characters = part.text.chars().peekable();
    while let Some(character) = characters.next() {
        let printable = match character {
            '\t' | '\n' | '\u{85}' => true,
            '\r' => characters.peek() == Some(&'\n'),
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
            _ => !character.is_control(),
        };
        if !printable {
            return Some((at, format!("the character U+{:04X} is not allowed here", u32::from(character))));
        }
        if character == '\n' {
            at = Position { line: at.line.saturating_add(1), column: 1 };
        } else {
            at.column = at.column.saturating_add(1);
        }
    }
    None
}
