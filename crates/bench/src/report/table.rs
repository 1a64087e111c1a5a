//! The table: one row per figure, one column per contestant, the median with its spread.

use std::collections::BTreeSet;

use super::Summaries;
use crate::statistics::Summary;

const FIGURE_WIDTH: usize = 42;
const VALUE_WIDTH: usize = 18;

/// All figures, in the order of their names.
pub(super) fn table(summaries: &Summaries) -> String {
    let mut text = format!("\n{:<FIGURE_WIDTH$}", "median ± half of (max − min)");
    for name in summaries.keys() {
        text.push_str(&format!("{:>VALUE_WIDTH$}", name.text()));
    }
    text.push('\n');
    let figures: BTreeSet<&String> = summaries.values().flat_map(|of| of.keys()).collect();
    for figure in figures {
        text.push_str(&format!("{figure:<FIGURE_WIDTH$}"));
        for of in summaries.values() {
            text.push_str(&format!("{:>VALUE_WIDTH$}", of.get(figure).map(cell).unwrap_or_default()));
        }
        text.push('\n');
    }
    text
}

fn cell(summary: &Summary) -> String {
    let half = (summary.max - summary.min) / 2.0;
    let digits = if summary.median.abs() < 100.0 { 1 } else { 0 };
    if half == 0.0 {
        format!("{:.digits$}", summary.median)
    } else {
        format!("{:.digits$} ±{half:.digits$}", summary.median)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::contestant::Name;

    #[test]
    fn rows_have_a_cell_per_contestant() {
        let figure = |values: &[f64]| BTreeMap::from([("a.b".to_owned(), Summary::of(values).unwrap())]);
        let text = table(&BTreeMap::from([
            (Name::Direct, figure(&[1.0, 2.0, 4.0])),
            (Name::Relays, BTreeMap::new()),
            (Name::Envoy, figure(&[250.0])),
        ]));
        let rows: Vec<&str> = text.trim().lines().collect();
        assert!(rows[0].ends_with("envoy"), "{text}");
        assert_eq!(rows[1].split_whitespace().collect::<Vec<_>>(), ["a.b", "2.0", "±1.5", "250"]);
    }
}
