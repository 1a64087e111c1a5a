//! Every kind of configuration, wrong in every way that it can be, beside objects that are right.

mod objects;
mod texts;

use std::collections::BTreeSet;

use leno_dialects::kinds::SUPPORTED;

use super::{
    mesh_file::change,
    page::{Row, Section, Table, text, words},
    program::{Leno, Ran},
};
use objects::{Case, KINDS, WORLD};
use texts::TEXTS;

/// The exit code for findings.
pub(super) const FOUND: i32 = 79;

pub(super) fn section(leno: &Leno) -> Section {
    let known: BTreeSet<&str> = SUPPORTED.iter().map(|kind| kind.name).collect();
    let here: BTreeSet<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(known, here, "every kind is here");
    leno.write("beside.yaml", WORLD);
    let mut tables = vec![texts(leno)];
    tables.extend(KINDS.iter().map(|(kind, sound, cases)| {
        let sound_too = analyze(leno, sound);
        assert_eq!((sound_too.code, found(&sound_too)), (Some(0), Vec::new()), "{kind}: {}", sound_too.out);
        let rows = cases.iter().map(|case| row(leno, sound, case)).collect();
        Table { title: (*kind).to_owned(), rows }
    }));
    Section {
        title: "Configuration",
        about: "What `leno analyze beside.yaml wrong.yaml` says, in the same words as the status of a running mesh. Nothing is\n\
                found about the right objects beside the wrong one; in a running mesh they stay in effect, and so does the last\n\
                good version of the wrong one.",
        columns: &["what is wrong", "written", "answer"],
        tables,
    }
}

/// What is no YAML, or no object.
fn texts(leno: &Leno) -> Table {
    let rows = TEXTS.iter().map(|(what, shown, wrong)| {
        let ran = analyze(leno, wrong());
        let shown = if shown.is_empty() {
            String::from_utf8_lossy(&wrong()).escape_debug().to_string()
        } else {
            (*shown).to_owned()
        };
        Row {
            cells: vec![words(*what), text(shown), text(found(&ran).join("\n"))],
            faults: faults(&ran, None),
        }
    });
    Table { title: "Text".to_owned(), rows: rows.collect() }
}

fn row(leno: &Leno, sound: &str, Case { what, from, to }: &Case) -> Row {
    assert!(sound.contains(from), "{from:?} is in {sound}");
    let wrong = sound.replacen(from, to, 1);
    let differ = wrong.lines().zip(sound.lines()).take_while(|(wrong, sound)| wrong == sound).count();
    let ran = analyze(leno, &wrong);
    let faults = faults(&ran, Some(differ + to.lines().count().max(1)));
    Row { cells: vec![words(*what), text(change(from, to)), text(found(&ran).join("\n"))], faults }
}

fn analyze(leno: &Leno, wrong: impl AsRef<[u8]>) -> Ran {
    leno.write("wrong.yaml", wrong);
    leno.run(["analyze", "beside.yaml", "wrong.yaml"])
}

/// The lines of findings, without the counts below them.
fn found(ran: &Ran) -> Vec<&str> {
    let mut lines: Vec<&str> = ran.out.lines().collect();
    let _counts = lines.pop();
    lines
}

/// Findings have a place in the wrong file, a code and a remedy; one of them is near the line that is wrong.
fn faults(ran: &Ran, line: Option<usize>) -> Vec<String> {
    let mut faults = Vec::new();
    let found = found(ran);
    let places: Vec<(usize, usize)> =
        found.iter().enumerate().filter_map(|(index, line)| Some((index, place(line)?))).collect();
    if places.is_empty() {
        faults.push("nothing is said".to_owned());
    }
    let is_error = found.iter().any(|line| line.contains(": error["));
    let code = if is_error { FOUND } else { 0 };
    if ran.code != Some(code) {
        faults.push(format!("exit code {:?}, not {code}", ran.code));
    }
    if !ran.err.is_empty() {
        faults.push(format!("said aside: {}", ran.err));
    }
    if let Some(elsewhere) = found.iter().find(|line| line.starts_with("beside.yaml")) {
        faults.push(format!("another object is disturbed: {elsewhere}"));
    }
    for (index, _) in &places {
        if !found.get(index + 1).is_some_and(|line| line.starts_with("  help: ")) {
            faults.push(format!("no remedy: {}", found[*index]));
        }
    }
    // What is missing is named where the mapping begins that should have it.
    if let Some(line) = line.filter(|line| !places.iter().any(|(_, place)| *place <= *line + 1)) {
        faults.push(format!("neither line {line} nor what it belongs to is named"));
    }
    faults
}

/// The line of the wrong file that a finding names; the first where the file has no lines.
fn place(finding: &str) -> Option<usize> {
    let rest = finding.strip_prefix("wrong.yaml:")?;
    let line = rest.split(':').next()?;
    if line.starts_with(' ') { Some(1) } else { line.parse().ok() }
}
