//! From the parser's events to a tree, within limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::node::{Entry, Kind, Node, Scalar, Style};
use super::scalar::is_null;
use crate::codes;
use crate::findings::{Findings, Position};
use crate::limits::{MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_NODES};

/// How far the parser got.
pub(super) enum Step {
    /// A document has ended.
    Document,
    /// The text has ended.
    End,
    /// The text is not well-formed from here on, or exceeds a limit; the finding is made.
    Broken,
    /// As [`Step::Broken`], because the line (from 1) begins at this column (from 0), too little inside brackets.
    Misindented(usize, usize),
}

/// How much further lines are indented: more than any text that people write, and less than what ends a key on one
/// line (1024).
pub(super) const INDENTATION: usize = 200;

/// The parser's own limit of nesting.
const TOO_DEEP: &str = "recursion limit exceeded";

/// What the parser says of lines that are indented too little; outside of brackets it never says so.
const MISINDENTED: [&str; 2] = ["invalid indentation", "invalid indentation in flow construct"];

/// Builds one document's tree from events, with a stack of its own (no recursion).
pub(super) struct Builder<'f> {
    findings: &'f Findings,
    text: &'f str,
    lines_before: u32,
    /// Lines of the text (from 1) that were indented further by [`INDENTATION`].
    indented: &'f [usize],
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

impl<'f> Builder<'f> {
    /// A builder for a document of a text before which the file has some lines.
    pub(super) fn new(
        findings: &'f Findings,
        text: &'f str,
        lines_before: u32,
        indented: &'f [usize],
    ) -> Self {
        Self {
            findings,
            text,
            lines_before,
            indented,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
            nodes: 0,
            bytes: 0,
        }
    }

    /// The tree, as far as it got.
    pub(super) fn into_root(self) -> Option<Node> {
        self.root
    }

    /// Takes the parser's events up to the end of a document.
    pub(super) fn run<'t>(&mut self, parser: &mut Parser<'t, StrInput<'t>>) -> Step {
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
                    let (line, column) = (error.marker().line(), error.marker().col());
                    let at = self.in_text(line, column);
                    if error.info() == TOO_DEEP {
                        let message = "lists and mappings stand too deep inside of each other";
                        self.findings.report_with(
                            codes::LIMIT,
                            at,
                            message,
                            "write the part that is so deep flatter",
                        );
                    } else {
                        self.findings.report(codes::SYNTAX, at, error.info());
                    }
                    return if MISINDENTED.contains(&error.info()) {
                        Step::Misindented(line, column)
                    } else {
                        Step::Broken
                    };
                }
            }
        }
    }

    /// The place of an error. To the parser a last line without end is followed by another one.
    fn in_text(&self, line: usize, column: usize) -> Position {
        match self.text.split('\n').enumerate().last() {
            Some((last, text)) if line > last + 1 => self.position(last + 1, text.chars().count()),
            _ => self.position(line, column),
        }
    }

    fn position(&self, line: usize, column: usize) -> Position {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let added = if self.indented.contains(&line) { INDENTATION } else { 0 };
        let column = column.saturating_sub(added);
        Position {
            line: self.lines_before.saturating_add(number(line.max(1))),
            column: number(column).saturating_add(1),
        }
    }

    /// Takes one event; `None` when a limit is exceeded.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
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
                if self.open.len() + depth(&node) > MAX_DEPTH {
                    return self.too_deep(at);
                }
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
            return self.too_deep(open.at);
        }
        self.spend((1, 0), open.at)?;
        self.open.push(open);
        Some(())
    }

    fn too_deep(&self, at: Position) -> Option<()> {
        let message = format!("the nesting is deeper than {MAX_DEPTH} levels");
        self.findings.report(codes::LIMIT, at, message);
        None
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

/// How many lists and mappings are inside each other in a tree.
fn depth(node: &Node) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(node, 0)];
    while let Some((node, around)) = rest.pop() {
        let depth = around + usize::from(matches!(node.kind, Kind::List(_) | Kind::Mapping(_)));
        deepest = deepest.max(depth);
        match &node.kind {
            Kind::Null | Kind::Scalar(_) => {}
            Kind::List(items) => rest.extend(items.iter().map(|item| (item, depth))),
            Kind::Mapping(entries) => rest.extend(entries.iter().map(|entry| (&entry.value, depth))),
        }
    }
    deepest
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
