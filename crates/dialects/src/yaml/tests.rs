use std::sync::Arc;

use super::*;
use crate::findings::Findings;
use crate::table::{Field, Shape};

fn file() -> Arc<str> {
    "a.yaml".into()
}

/// Documents as `line:column root` and their findings, one per line.
fn read(text: &str) -> String {
    let mut out = String::new();
    for document in documents(&file(), text) {
        if let Some(root) = &document.root {
            out += &format!("{}:{} {}\n", document.at.line, document.at.column, show(root));
        }
        for diagnostic in &document.diagnostics {
            out += &format!("{}:{diagnostic}\n", diagnostic.location.column);
        }
    }
    out
}

fn show(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar(scalar) => format!("{:?}", scalar.resolve()),
        Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) => {
            let pair = |entry: &Entry| format!("{}: {}", entry.key, show(&entry.value));
            format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn documents_are_read_with_their_places() {
    for (text, expected) in [
        ("", ""),
        ("---\n# nothing\n---\n", ""),
        ("a: 1\n---\n\nb: [x, 'y']\n", "1:1 {a: Integer(1)}\n4:1 {b: [Text(\"x\"), Text(\"y\")]}\n"),
        (
            "{\"a\": {\"b\": [1, true, null, \"\\u00fc\"]}}",
            "1:1 {a: {b: [Integer(1), Boolean(true), null, Text(\"ü\")]}}\n",
        ),
        ("\t{\n\t\"a\": 1\n}", "1:2 {a: Integer(1)}\n"),
        ("a: 1\n...\nb: 2\n", "1:1 {a: Integer(1)}\n3:1 {b: Integer(2)}\n"),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "1:1 {a: Text(\"x\\ny\\n\"), b: Text(\"x y\")}\n"),
        ("a: &x [1]\nb: *x\n", "1:1 {a: [Integer(1)], b: [Integer(1)]}\n"),
        ("a: !!str 1\nb: !!int 2\n", "1:1 {a: Text(\"1\"), b: Integer(2)}\n"),
        ("a:\nb: ~\n", "1:1 {a: null, b: null}\n"),
        (
            "x:\n  a: [\n    'y',\n  ]\n  b: {\n    'c': 'd'\n  }\n",
            "1:1 {x: {a: [Text(\"y\")], b: {c: Text(\"d\")}}}\n",
        ),
        ("x:\n  a: [\n'y'\n]\n", "1:1 {x: {a: [Text(\"y\")]}}\n"),
        ("8080: x\ntrue: y\n", "1:1 {8080: Text(\"x\"), true: Text(\"y\")}\n"),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn a_broken_document_takes_no_other_with_it() {
    let text = "a: 1\n---\nb: [1\n---\nc: \"\n---\nd: 2\n";
    let found = documents(&file(), text);
    let roots: Vec<_> = found.iter().map(|d| d.root.as_ref().map(show)).collect();
    assert_eq!(roots, [Some("{a: Integer(1)}".into()), None, None, Some("{d: Integer(2)}".into())]);
    let lines: Vec<_> =
        found.iter().flat_map(|d| &d.diagnostics).map(|d| (d.code, d.location.line)).collect();
    assert!(matches!(lines.as_slice(), [("LENO0001", 3..=4), ("LENO0001", 5..=6)]), "{lines:?}");
}

#[test]
fn what_is_refused_is_told_with_its_place() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\n", "1:a.yaml:3: error[LENO0002]: the key `a` is already on line 1"),
        (
            "a: !!binary aGk=\n",
            "4:a.yaml:1: error[LENO0004]: the tag tag:yaml.org,2002:!binary is not allowed here",
        ),
        ("a: !x 1\n", "4:a.yaml:1: error[LENO0004]: the tag !x is not allowed here"),
        ("? [a]\n: 1\n", "3:a.yaml:1: error[LENO0005]: a mapping's key must be a text"),
        (
            "x: &x {a: 1}\ny:\n  <<: *x\n",
            "3:a.yaml:3: error[LENO0005]: merge keys (<<) are not part of YAML 1.2",
        ),
        ("a: &x [*x]\n", "8:a.yaml:1: error[LENO0001]: an alias stands inside of what it refers to"),
        ("a: \u{7}\n", "4:a.yaml:1: error[LENO0001]: the character U+0007 is not allowed here"),
        (
            "x:\n  a: [\n    'y'\n  ], !x b\n",
            "4:a.yaml:4: error[LENO0001]: while parsing a block mapping, did not find expected key",
        ),
        (
            "a: b\nc: {",
            "5:a.yaml:2: error[LENO0001]: while parsing a node, did not find expected node content",
        ),
        ("a: b\rc: d\n", "5:a.yaml:1: error[LENO0001]: the character U+000D is not allowed here"),
    ] {
        let found = read(text);
        assert!(found.lines().any(|line| line == expected), "{text}\n{found}");
    }
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(200);
    let deep_block = "- ".repeat(5_000);
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
        laughs += &format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(", "));
    }
    let long_aliases = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100].join(", "));
    let nested_anchors = "x: [&b [&c [&d 1]]]\n".to_owned();
    let deep_by_alias = format!("- &a\n  {}x\n- {}*a\n", "- ".repeat(25), "- ".repeat(25));
    let wide = format!("[{}]", "1,".repeat(450_000));
    let huge = "a".repeat(crate::limits::MAX_DOCUMENT_BYTES + 1);
    for (text, limited) in [
        (&deep, true),
        (&deep_block, true),
        (&laughs, true),
        (&long_aliases, true),
        (&nested_anchors, false),
        (&deep_by_alias, true),
        (&wide, true),
        (&huge, true),
    ] {
        let found = documents(&file(), text);
        let codes: Vec<_> = found.iter().flat_map(|d| &d.diagnostics).map(|d| d.code).collect();
        assert_eq!(codes.contains(&"LENO0003"), limited, "{codes:?} {}", &text[..text.len().min(60)]);
    }
}

const INNER: &[Field] = &[Field::text("host"), Field::integer("port"), Field::text("old").deprecated("host")];
const TABLE: &[Field] = &[
    Field::text("name"),
    Field::boolean("on"),
    Field::duration("timeout"),
    Field::choice("mode", &["STRICT", "PERMISSIVE"]),
    Field::list("targets", &Shape::Object(INNER)),
    Field::labels("labels"),
    Field::object("retries", &[Field::integer("attempts")]).not_in_effect("Leno does not retry yet"),
    Field::any("status").irrelevant(),
    Field::text("forgotten"),
];
const ROOT: Shape = Shape::Object(TABLE);

/// The findings of a small parser on a text.
fn parse(text: &str) -> Vec<String> {
    let document = documents(&file(), text).remove(0);
    let root = document.root.unwrap();
    let findings = Findings::new(file(), None);
    if let Some(fields) = Value::new(&root, &ROOT, &findings).fields() {
        let _name = fields.required("name").and_then(|name| name.text());
        let _on = fields.boolean("on");
        let _timeout = fields.duration("timeout");
        let _mode = fields.choice("mode");
        let _labels = fields.labels("labels");
        for target in fields.items("targets") {
            if let Some(fields) = target.fields() {
                let _host = fields.text("host");
                let _port = fields.port("port");
                let _old = fields.text("old");
                fields.at_most_one(&["host", "old"]);
                fields.finish();
            }
        }
        fields.finish();
    }
    findings.into_diagnostics().iter().map(ToString::to_string).collect()
}

#[test]
fn a_right_document_has_no_findings() {
    let text = "name: a\non: true\ntimeout: 1m\nmode: STRICT\ntargets:\n- host: x\n  port: 80\nlabels: {a: b}\nstatus: {x: 1}\nretries:\n";
    assert_eq!(parse(text), Vec::<String>::new());
}

#[test]
fn wrong_fields_are_told_with_path_value_and_remedy() {
    for (text, expected) in [
        ("on: true", "a.yaml:1: error[LENO0021]: name is missing\n  help: add it"),
        ("name: 1", "a.yaml:1: error[LENO0020]: name: `1` is not a text\n  help: put it in quotes: \"1\""),
        (
            "name: on",
            "a.yaml:1: warning[LENO0006]: name: the unquoted `on` is a text here, but true or false to kubectl\n  help: write \"on\"",
        ),
        ("name: [a]", "a.yaml:1: error[LENO0020]: name: a list is not a text\n  help: write a text"),
        (
            "name: a\non: yes",
            "a.yaml:2: error[LENO0020]: on: `yes` is not true or false\n  help: write true or false, without quotes",
        ),
        (
            "name: a\ntimeout: 5",
            "a.yaml:2: error[LENO0022]: timeout: `5` is not a duration\n  help: write numbers with their units, such as 500ms, 5s or 1h30m",
        ),
        (
            "name: a\ntimeout: 5 sec",
            "a.yaml:2: error[LENO0022]: timeout: `5 sec` is not a duration\n  help: write numbers with their units, such as 500ms, 5s or 1h30m",
        ),
        (
            "name: a\nmode: strict",
            "a.yaml:2: error[LENO0022]: mode: `strict` is not among the words that may stand here\n  help: did you mean STRICT?",
        ),
        (
            "name: a\ntargets:\n- host: x\n  prot: 80",
            "a.yaml:4: error[LENO0023]: targets[0].prot is not a known field\n  help: did you mean port?",
        ),
        (
            "name: a\nxyz: 80",
            "a.yaml:2: error[LENO0023]: xyz is not a known field\n  help: remove it; fields here are name, on, timeout, mode, targets, labels, retries, forgotten",
        ),
        (
            "name: a\ntargets:\n- port: 70000",
            "a.yaml:3: error[LENO0022]: targets[0].port: `70000` is not between 1 and 65535\n  help: choose a number within the range",
        ),
        (
            "name: a\ntargets:\n- port: \"80\"",
            "a.yaml:3: error[LENO0020]: targets[0].port: `80` is not a whole number but a quoted text\n  help: remove the quotes",
        ),
        (
            "name: a\ntargets:\n- port: 080",
            "a.yaml:3: error[LENO0020]: targets[0].port: `080` is not a whole number that all readers agree on\n  help: write it without the leading zero",
        ),
        (
            "name: a\ntargets: {}",
            "a.yaml:2: error[LENO0020]: targets: a mapping is not a list\n  help: write each item on a line of its own, after a dash",
        ),
        (
            "name: a\ntargets:\n- old: x",
            "a.yaml:3: warning[IST0002]: targets[0].old is deprecated\n  help: use host",
        ),
        (
            "name: a\ntargets:\n- {host: x, old: y}",
            "a.yaml:3: error[LENO0022]: targets[0]: only one of host, old may be given\n  help: keep one of them",
        ),
        (
            "name: a\nretries:\n  attempts: 3",
            "a.yaml:2: warning[LENO0024]: retries has no effect: Leno does not retry yet\n  help: remove it, or do without its effect",
        ),
        (
            "name: a\nretries:\n  atempts: 3",
            "a.yaml:3: error[LENO0023]: retries.atempts is not a known field\n  help: did you mean attempts?",
        ),
        (
            "name: a\nlabels:\n  v: 1",
            "a.yaml:3: error[LENO0020]: labels[v]: `1` is not a text\n  help: put it in quotes: \"1\"",
        ),
        (
            "name: a\nforgotten: x",
            "a.yaml:2: error[LENO0025]: forgotten was not read\n  help: please report it",
        ),
        (
            "- name",
            "a.yaml:1: error[LENO0020]: the document: a list is not a mapping\n  help: write fields such as name, on, timeout, mode, targets, labels, retries, forgotten",
        ),
    ] {
        let found = parse(text);
        assert!(found.iter().any(|finding| finding == expected), "{text}\n{}", found.join("\n"));
    }
}

#[test]
fn findings_are_bounded() {
    let text: String = (0..5_000).map(|n| format!("x{n}: 1\n")).collect();
    let found = parse(&text);
    assert_eq!(found.len(), crate::limits::MAX_FINDINGS + 1);
    assert!(found.last().unwrap().contains("info[LENO0007]: 4901 more findings"), "{:?}", found.last());
}

#[test]
fn secrets_are_not_shown() {
    let table: &'static Shape = &Shape::Object(const { &[Field::new("key", Shape::Secret)] });
    let document = documents(&file(), "key: 12345").remove(0);
    let root = document.root.unwrap();
    let findings = Findings::new(file(), None);
    let fields = Value::new(&root, table, &findings).fields().unwrap();
    assert_eq!(fields.text("key"), None);
    let found = format!("{:?} {root:?}", findings.into_diagnostics());
    assert!(!found.contains("12345"), "{found}");
}
