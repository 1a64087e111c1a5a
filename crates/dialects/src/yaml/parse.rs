//! From a document's text to its tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_model::span::Diagnostic;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::node::{Entry, Kind, Node, Scalar, Style};
use super::scalar::is_null;
use super::split::{Part, parts};
use crate::codes;
use crate::findings::{Findings, Position};
use crate::limits::{
    MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_EXPANDED_BYTES, MAX_FILE_BYTES, MAX_NODES,
};

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
        findings.report_with(
            codes::SYNTAX,
            at,
            message,
            "remove the character, or write it as an escape in double quotes",
        );
        let diagnostics = findings.into_diagnostics();
        found.push(Document { root: None, text: part.text, at: begin(part), diagnostics });
        return;
    }
    let mut parser = Parser::new_from_str(part.text);
    loop {
        let findings = Findings::new(file.clone(), None);
        let mut builder = Builder::new(&findings, part);
        let step = builder.run(&mut parser);
        let root = builder.root.take();
        let at = root.as_ref().map_or_else(|| begin(part), |root| root.at);
        match step {
            Step::End => return,
            Step::Document => {}
            Step::Broken => {
                let diagnostics = findings.into_diagnostics();
                found.push(Document { root: None, text: part.text, at, diagnostics });
                return;
            }
        }
        if found.len() >= MAX_DOCUMENTS {
            found.push(refused(file, part, &format!("the file has more than {MAX_DOCUMENTS} documents")));
            return;
        }
        if root.as_ref().is_some_and(|root| !root.is_null()) || findings.errors() > 0 {
            found.push(Document { root, text: part.text, at, diagnostics: findings.into_diagnostics() });
        }
    }
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

enum Step {
    /// A document has ended.
    Document,
    /// The text has ended.
    End,
    /// The text is not well-formed from here on, or exceeds a limit; the finding is made.
    Broken,
}

/// Builds one document's tree from events, with a stack of its own (no recursion).
struct Builder<'f, 't> {
    findings: &'f Findings,
    part: Part<'t>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    bytes: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Mapping { entries: Vec<Entry>, lines: BTreeMap<Arc<str>, u32>, key: PendingKey },
}

enum PendingKey {
    None,
    Key(Arc<str>, Position),
    /// A key that is refused; its value is read and dropped.
    Refused,
}

impl<'f, 't> Builder<'f, 't> {
    fn new(findings: &'f Findings, part: Part<'t>) -> Self {
        Self { findings, part, open: Vec::new(), anchors: BTreeMap::new(), root: None, nodes: 0, bytes: 0 }
    }

    fn run(&mut self, parser: &mut Parser<'t, StrInput<'t>>) -> Step {
        loop {
            match parser.next_event() {
                None | Some(Ok((Event::StreamEnd, _))) => return Step::End,
                Some(Ok((Event::DocumentEnd, _))) => return Step::Document,
                Some(Ok((event, span))) => {
                    if self.take(event, span).is_none() {
                        return Step::Broken;
                    }
                }
                Some(Err(error)) => {
                    let at = self.position(error.marker().line(), error.marker().col());
                    self.findings.report(codes::SYNTAX, at, error.info());
                    return Step::Broken;
                }
            }
        }
    }

    fn position(&self, line: usize, column: usize) -> Position {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Position {
            line: self.part.lines_before.saturating_add(number(line.max(1))),
            column: number(column).saturating_add(1),
        }
    }

    /// Takes one event; `None` when a limit is exceeded.
    fn take(&mut self, event: Event<'t>, span: Span) -> Option<()> {
        let at = self.position(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), at);
                self.spend((1, text.len()), at)?;
                self.keep(anchor, node)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.findings.report_with(
                        codes::SYNTAX,
                        at,
                        "an alias stands inside of what it refers to",
                        "write the part out",
                    );
                    return None;
                };
                self.spend(size(&node), at)?;
                self.keep(0, node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &["seq"], at);
                self.enter(Open { at, anchor, kind: OpenKind::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &["map"], at);
                let kind =
                    OpenKind::Mapping { entries: Vec::new(), lines: BTreeMap::new(), key: PendingKey::None };
                self.enter(Open { at, anchor, kind })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { at, anchor, kind } = self.open.pop()?;
                let kind = match kind {
                    OpenKind::List(items) => Kind::List(items),
                    OpenKind::Mapping { entries, .. } => Kind::Mapping(entries),
                };
                self.keep(anchor, Node { at, kind })
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn enter(&mut self, open: Open) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("the nesting is deeper than {MAX_DEPTH} levels");
            self.findings.report(codes::LIMIT, open.at, message);
            return None;
        }
        self.spend((1, 0), open.at)?;
        self.open.push(open);
        Some(())
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let style = match tag {
            None => style,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Style::Quoted,
            Some(tag) => {
                self.check_tag(Some(tag), &["int", "float", "bool", "null"], at);
                Style::Plain
            }
        };
        let kind = match style {
            Style::Plain if is_null(text) => Kind::Null,
            Style::Plain | Style::Quoted | Style::Block => Kind::Scalar(Scalar { text: text.into(), style }),
        };
        Node { at, kind }
    }

    fn check_tag(&self, tag: Option<&Tag>, allowed: &[&str], at: Position) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && allowed.contains(&&*tag.suffix))
        {
            self.findings.report(codes::TAG, at, format!("the tag {tag} is not allowed here"));
        }
    }

    /// Puts a complete node where it belongs; `None` when a limit is exceeded.
    fn keep(&mut self, anchor: usize, node: Node) -> Option<()> {
        if anchor != 0 {
            // The copy kept for aliases costs as much as an alias does.
            self.spend(size(&node), node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Mapping { entries, lines, key }) => {
                match std::mem::replace(key, PendingKey::None) {
                    PendingKey::None => *key = new_key(self.findings, &node, lines),
                    PendingKey::Key(key, at) => entries.push(Entry { key, at, value: node }),
                    PendingKey::Refused => {}
                }
            }
        }
        Some(())
    }

    /// Counts what is added to the tree; `None` when that is too much.
    fn spend(&mut self, (nodes, bytes): (usize, usize), at: Position) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes <= MAX_NODES && self.bytes <= MAX_EXPANDED_BYTES {
            return Some(());
        }
        self.findings.report_with(
            codes::LIMIT,
            at,
            format!(
                "with its aliases written out the document has more than {MAX_NODES} values \
                 or {MAX_EXPANDED_BYTES} bytes"
            ),
            "divide the document, or use fewer aliases",
        );
        None
    }
}

/// How many nodes and bytes of text a tree has.
fn size(node: &Node) -> (usize, usize) {
    let (mut nodes, mut bytes) = (0, 0);
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        nodes += 1;
        match &node.kind {
            Kind::Null => {}
            Kind::Scalar(scalar) => bytes += scalar.text.len(),
            Kind::List(items) => rest.extend(items),
            Kind::Mapping(entries) => {
                bytes += entries.iter().map(|entry| entry.key.len()).sum::<usize>();
                rest.extend(entries.iter().map(|entry| &entry.value));
            }
        }
    }
    (nodes, bytes)
}

/// Takes a node for a key; `lines` holds the keys so far.
fn new_key(findings: &Findings, node: &Node, lines: &mut BTreeMap<Arc<str>, u32>) -> PendingKey {
    let Kind::Scalar(Scalar { text, style }) = &node.kind else {
        findings.report(codes::KEY, node.at, "a mapping's key must be a text");
        return PendingKey::Refused;
    };
    if &**text == "<<" && *style == Style::Plain {
        findings.report_with(
            codes::KEY,
            node.at,
            "merge keys (<<) are not part of YAML 1.2",
            "write the fields out",
        );
        return PendingKey::Refused;
    }
    if let Some(line) = lines.get(text) {
        findings.report(
            codes::DUPLICATE_KEY,
            node.at,
            format_args!("the key `{text}` is already on line {line}"),
        );
        return PendingKey::Refused;
    }
    lines.insert(text.clone(), node.at.line);
    PendingKey::Key(text.clone(), node.at)
}
