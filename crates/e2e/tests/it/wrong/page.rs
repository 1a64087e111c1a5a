//! The page: sections of tables, one row for each wrong input.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::process::geteuid;

/// A part of the page.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What was done, and what stayed as it was.
    pub(super) about: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) tables: Vec<Table>,
}

pub(super) struct Table {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// One wrong input and its answer.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// What the answer should have and hasn't.
    pub(super) faults: Vec<String>,
}

/// A cell: words, or what was typed and printed.
pub(super) enum Cell {
    Words(String),
    Text(String),
}

pub(super) fn words(text: impl Into<String>) -> Cell {
    Cell::Words(text.into())
}

pub(super) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

impl Row {
    pub(super) fn of(cells: Vec<Cell>) -> Self {
        Self { cells, faults: Vec::new() }
    }
}

impl Section {
    /// Every fault with the row that has it.
    pub(super) fn faults(&self) -> impl Iterator<Item = String> {
        let rows = self.tables.iter().flat_map(|table| table.rows.iter().map(|row| (&table.title, row)));
        rows.flat_map(|(title, row)| {
            let cells: Vec<String> = row.cells.iter().map(cell).collect();
            row.faults.iter().map(move |fault| format!("{title}: {fault}\n    {}", cells.join("\n    ")))
        })
    }
}

const OPENING: &str = "# Wrong inputs

What each of them gets for an answer: where the mistake is, and what to do about it. Written by tests that run the
program; don't edit.
";

/// The parts of the page, in their order.
const TITLES: [&str; 5] =
    ["Arguments", "The mesh file", "Configuration", "A running mesh", "Bytes on the wire"];

/// Asserts that the section has no fault and that the page has it; `UPDATE_DOCS=1` writes it there.
pub(super) fn check(section: &Section) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/wrong-inputs.md");
    let page = fs::read_to_string(&path).unwrap_or_default();
    let now = written(section);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        assert!(geteuid().is_root(), "some rows are only root's; write the page as root");
        let parts = TITLES
            .iter()
            .map(|title| if *title == section.title { now.as_str() } else { part(&page, title) });
        fs::write(&path, format!("{OPENING}{}", parts.collect::<String>())).unwrap();
    }
    let faults: Vec<String> = section.faults().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let page = fs::read_to_string(&path).unwrap_or_default();
    // The lines that whoever runs this can write.
    let mine = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| geteuid().is_root() || !line.contains("(as root)"));
        lines.map(str::to_owned).collect()
    };
    let (now, before) = (mine(&now), mine(part(&page, section.title)));
    let differing = now.iter().zip(&before).find(|(now, before)| now != before);
    assert!(now == before, "{} is not current; run with UPDATE_DOCS=1: {differing:#?}", path.display());
}

/// A section of the page, with its heading.
fn part<'p>(page: &'p str, title: &str) -> &'p str {
    let heading = format!("\n## {title}\n");
    let Some(begin) = page.find(&heading) else { return "" };
    let part = &page[begin..];
    &part[..part[1..].find("\n## ").map_or(part.len(), |end| end + 1)]
}

fn written(section: &Section) -> String {
    let mut page = format!("\n## {}\n\n{}\n", section.title, section.about);
    for table in &section.tables {
        if !table.title.is_empty() {
            write!(page, "\n### {}\n", table.title).unwrap();
        }
        let rows: Vec<Vec<String>> =
            table.rows.iter().map(|row| row.cells.iter().map(cell).collect()).collect();
        // Columns at the end in which nothing stands are left out.
        let filled =
            |row: &Vec<String>| row.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        let width = rows.iter().map(filled).max().unwrap_or_default();
        let (names, rule) = (section.columns[..width].join(" | "), "---|".repeat(width));
        write!(page, "\n| {names} |\n|{rule}\n").unwrap();
        for row in rows {
            writeln!(page, "| {} |", row[..width].join(" | ")).unwrap();
        }
    }
    page
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Words(words) => words.replace('|', "\\|"),
        Cell::Text(text) => {
            let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(code);
            lines.collect::<Vec<_>>().join("<br>")
        }
    }
}

/// One line as code; a table's cell ends at `|` even there.
fn code(line: &str) -> String {
    let fence = if line.contains('`') { "``" } else { "`" };
    let indented = line.len() - line.trim_start().len();
    let blanks = "&nbsp;".repeat(indented);
    let line = line.trim_start().replace('|', "\\|");
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{blanks}{fence}{pad}{line}{pad}{fence}")
}
