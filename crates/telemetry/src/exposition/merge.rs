//! Puts the expositions of several processes together, so that one port serves them all.
//!
//! Works on text: values are not understood, only moved. Invariant: each family comes once, with one `# TYPE`, and each
//! of its series names the process it came from.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::labels;

/// One process's exposition in the text format.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The process's name, which becomes a label's value.
    pub name: &'a str,
    /// What it shows.
    pub text: &'a str,
}

/// The lines of one family, per source that has it.
#[derive(Default)]
struct Family<'a> {
    comments: Vec<&'a str>,
    /// The index of the source, and a series.
    series: Vec<(usize, &'a str)>,
}

/// Writes all sources as one text, with the label `label` saying which one a series is from. Returns how many lines
/// were left out because they belong to no family.
///
/// # Errors
/// Those of `out`.
pub fn merge(label: &str, sources: &[Source<'_>], out: &mut dyn Write) -> io::Result<usize> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut strays = 0;
    for (index, source) in sources.iter().enumerate() {
        let mut current = None;
        for line in source.text.lines() {
            if let Some(name) = described(line) {
                let family = families.entry(name).or_default();
                // The first source's description serves for all.
                if family.series.is_empty() && !family.comments.contains(&line) {
                    family.comments.push(line);
                }
                current = Some(name);
            } else if line.is_empty() || line.starts_with('#') {
                // Nothing that is needed: a comment, or an OpenMetrics end.
            } else if let Some(family) = current.and_then(|name| families.get_mut(name)) {
                family.series.push((index, line));
            } else {
                strays += 1;
            }
        }
    }
    let names: Vec<String> = sources.iter().map(|source| rendered(label, source.name)).collect();
    for family in families.values() {
        for comment in &family.comments {
            writeln!(out, "{comment}")?;
        }
        for (source, line) in &family.series {
            let name = names.get(*source).map_or("", String::as_str);
            write_labelled(line, name, out)?;
        }
    }
    Ok(strays)
}

fn rendered(label: &str, value: &str) -> String {
    let mut text = String::new();
    labels::push(&mut text, label, value);
    text
}

/// The family that a comment describes.
fn described(line: &str) -> Option<&str> {
    let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "))?;
    described.split(' ').next()
}

/// A series with one more label, which comes first.
fn write_labelled(line: &str, label: &str, out: &mut dyn Write) -> io::Result<()> {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or(line.len()));
    match rest.strip_prefix('{') {
        Some(labels) if labels.starts_with('}') => writeln!(out, "{name}{{{label}{labels}"),
        Some(labels) => writeln!(out, "{name}{{{label},{labels}"),
        None => writeln!(out, "{name}{{{label}}}{rest}"),
    }
}
