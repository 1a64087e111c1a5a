//! The page with the table.

use std::{fs, path::Path};

use super::{Allowed, Outcome, load::KINDS};

const OPENING: &str = "# What faults and changes cost

Requests that failed, of 500 per second: 125 each of four kinds, from one caller through its sidecar to a service of
nine endpoints (nginx, HAProxy, six of Node, one of the sample's). Answers take 20 ms. A VirtualService lets what may be
repeated be tried twice more, and gives each try 500 ms for the head of its answer. In the last row the caller is the
host, through the gateway. Measured by a test that fails when more is lost than the last column allows.

";

const CLOSING: &str = "
What the last column means:

- **nothing**: no request fails.
- **under way**: what was at the endpoint at that moment and may not be repeated, as nothing may once the client has a part
  of its answer; at most 8 of each kind are under way in all.
- **crossing**: what may not be repeated and is on its way on a kept connection while the application closes it. nginx does so
  without a look at what has just arrived; at most 2 of each kind.
- **arrived**: what went to the endpoint before the balancer knew, and may not be repeated.
- **begun**: the same, whatever may be repeated: the client already has a part of the answer.

After one second, less than 1 % of all requests go to an endpoint that fails, whatever its fault.
";

/// A line of the table, as measured.
pub(super) fn row(outcome: &Outcome) -> String {
    let Outcome { event, reports, arrived } = outcome;
    let failed: Vec<String> = reports.iter().map(|report| report.failed().to_string()).collect();
    let slow = reports.iter().map(|report| report.slow_ms()).fold(0.0, f64::max);
    let arrived = arrived.map_or_else(|| "–".to_owned(), |(all, late)| format!("{all}, {late}"));
    let allowed = match event.allowed {
        Allowed::Nothing => "nothing",
        Allowed::UnderWay => "under way",
        Allowed::Crossing => "crossing",
        Allowed::Arrived => "arrived",
        Allowed::Begun => "begun",
    };
    format!("| {} | {} | {slow:.0} | {arrived} | {allowed} |", event.name, failed.join(" | "))
}

/// Asserts that the page has these rows, whatever their figures; `UPDATE_DOCS=1` writes them.
pub(super) fn check(outcomes: &[Outcome]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/faults.md");
    let kinds = KINDS.map(|kind| kind.name).join(" | ");
    let head = format!(
        "| what happens | {kinds} | slowest of a hundred, ms | requests at the endpoint: since, of them after 1 s | may fail |\n|---|---|---|---|---|---|---|---|\n"
    );
    let rows: String = outcomes.iter().map(|outcome| row(outcome) + "\n").collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{OPENING}{head}{rows}{CLOSING}")).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    let table = page.strip_prefix(OPENING).and_then(|rest| rest.strip_suffix(CLOSING));
    let table = table.and_then(|table| table.strip_prefix(head.as_str()));
    let ends = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        (
            cells.get(1).map(|cell| cell.trim().to_owned()),
            cells.iter().rev().nth(1).map(|cell| cell.trim().to_owned()),
        )
    };
    let same = table.is_some_and(|table| table.lines().map(ends).eq(rows.lines().map(ends)));
    assert!(same, "{} is not current; run with UPDATE_DOCS=1", path.display());
}
