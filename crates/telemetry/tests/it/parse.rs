//! A small reader of both exposition formats, strict where their specifications are.

use std::collections::BTreeSet;

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

/// One family and its samples, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a text; panics with the line that is wrong.
pub(crate) fn parse(text: &str, open: bool) -> Vec<Family> {
    let body = if open { text.strip_suffix("# EOF\n").expect("ends in EOF") } else { text };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line has an end");
    let mut families: Vec<Family> = Vec::new();
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            families.push(Family { name: name.into(), help: unescape(help, open), ..Family::default() });
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let family = families.last_mut().expect(line);
            let (name, kind) = kind.split_once(' ').expect(line);
            assert!(name == family.name && family.kind.is_empty() && family.samples.is_empty(), "{line}");
            family.kind = kind.into();
        } else {
            families.last_mut().expect(line).samples.push(sample(line));
        }
    }
    families.iter().for_each(|family| check(family, open));
    let names: Vec<_> = families.iter().map(|family| &family.name).collect();
    assert!(names.is_sorted() && names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{names:?}");
    families
}

fn unescape(text: &str, quotes: bool) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if quotes => '"',
                other => panic!("{other:?} is no escape in {text}"),
            }),
            '"' if quotes => panic!("an open quote in {text}"),
            c => out.push(c),
        }
    }
    out
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            let end = closing_quote(value).expect(line);
            labels.push((label.to_owned(), unescape(&value[..end], true)));
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    let value = match rest.strip_prefix(' ').expect(line) {
        "+Inf" => f64::INFINITY,
        value => value.parse().expect(line),
    };
    Sample { name: name.into(), labels, value }
}

fn closing_quote(value: &str) -> Option<usize> {
    let mut escaped = false;
    value.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

fn check(family: &Family, open: bool) {
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        let labels: BTreeSet<_> = sample.labels.iter().map(|(name, _)| name).collect();
        assert_eq!(labels.len(), sample.labels.len(), "a label comes twice in {sample:?}");
        assert!(seen.insert(format!("{}{:?}", sample.name, sample.labels)), "{sample:?} comes twice");
        let suffix = sample.name.strip_prefix(family.name.as_str()).expect("named like its family");
        let expected: &[&str] = match family.kind.as_str() {
            "counter" if open => &["_total"],
            "counter" | "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            kind => panic!("{kind} of {}", family.name),
        };
        assert!(expected.contains(&suffix), "{sample:?}");
    }
    if family.kind == "histogram" {
        check_histogram(family, open);
    }
}

/// Buckets ascend and are cumulative, the last is `+Inf` and equals the count.
fn check_histogram(family: &Family, open: bool) {
    let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
    for sample in &family.samples {
        match sample.label("le") {
            Some(le) => {
                let value = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                assert!(value > bound && sample.value >= count, "{sample:?}");
                assert!(
                    !open || le == "+Inf" || le.contains('.') || le.contains('e'),
                    "{le} isn't canonical"
                );
                (bound, count) = (value, sample.value);
            }
            None if sample.name.ends_with("_count") => {
                assert!(bound == f64::INFINITY && sample.value == count, "{sample:?}");
                (bound, count) = (f64::NEG_INFINITY, 0.0);
            }
            None => {}
        }
    }
}
