//! What people and programs see.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints a value as JSON in one line.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)
}

/// Prints lines of text.
pub(crate) fn lines<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    Ok(())
}

/// How many columns the reader sees; as many as there are where nobody looks.
pub(crate) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// A table whose columns are as wide as they need to be.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table in so many columns of the screen: where it is too wide the named columns go, in this order, until
    /// it fits.
    pub(crate) fn fit(&mut self, width: usize, expendable: &[&str]) -> &mut Self {
        for head in expendable {
            if self.width() <= width {
                break;
            }
            let column = self.rows.first().and_then(|heads| heads.iter().position(|other| other == head));
            if let Some(column) = column {
                self.rows
                    .iter_mut()
                    .filter(|row| column < row.len())
                    .for_each(|row| drop(row.remove(column)));
            }
        }
        self
    }

    /// The lines of the table.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        lines(self.lines())
    }

    fn width(&self) -> usize {
        self.lines().iter().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (cell, width) in row.iter().zip(&mut widths) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_expendable_ones_go_first() {
        let mut table = Table::new(&["NAME", "SERVICE", "STATE"]);
        table.row(["reviews-v1", "reviews", "ready"].map(str::to_owned));
        table.row(["ü", "", "waits"].map(str::to_owned));
        let whole =
            ["NAME        SERVICE  STATE", "reviews-v1  reviews  ready", "ü                    waits"];
        assert_eq!(table.fit(80, &["SERVICE"]).lines(), whole);
        let narrow = ["NAME        STATE", "reviews-v1  ready", "ü           waits"];
        assert_eq!(table.fit(20, &["SERVICE", "STATE"]).lines(), narrow);
    }
}
