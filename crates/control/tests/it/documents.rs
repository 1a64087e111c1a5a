//! The reference page is what the code says. `UPDATE_DOCS=1` rewrites it.

use std::fmt::Write;
use std::path::Path;

use leno_control::codes;
use leno_control::metrics::Metrics;
use leno_telemetry::{Registry, reference};

#[test]
fn the_reference_page_is_current() {
    let registry = Registry::new();
    let _metrics = Metrics::new(&registry);
    assert!(registry.problems().is_empty(), "{:?}", registry.problems());
    let mut page = "# The control plane\n\nWritten from the code; don't edit.\n\n## Findings\n\n\
        What the control plane finds beyond what reading configuration finds (see [diagnostics](diagnostics.md)).\n\n\
        | code | meaning | what to do |\n|---|---|---|\n"
        .to_owned();
    for code in codes::ALL {
        writeln!(page, "| `{}` | {} | {} |", code.code, code.meaning, code.help).unwrap();
    }
    page.push_str("\n## Metrics\n");
    let own = |name: &str| name.starts_with("leno_control_") || name.starts_with("pilot_");
    let descs: Vec<_> = registry.describe().into_iter().filter(|desc| own(desc.name)).collect();
    page.push_str(&reference::markdown(&descs));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/control-plane.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not current; run with UPDATE_DOCS=1", path.display());
}
