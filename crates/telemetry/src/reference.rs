//! The reference page of metrics, written from what is registered.

use std::fmt::Write as _;

use crate::registry::Desc;

/// Metrics in Markdown, one section each.
pub fn markdown(descs: &[Desc]) -> String {
    let mut page = String::new();
    for desc in descs {
        let _infallible = write!(page, "\n### `{}`\n\n{} {}", desc.name, kind(desc), desc.help);
        page.push('\n');
        if !desc.labels.is_empty() {
            let labels: Vec<_> = desc.labels.iter().map(|label| format!("`{label}`")).collect();
            let _infallible = write!(page, "\nLabels: {}.\n", labels.join(", "));
        }
        if let Some(buckets) = &desc.buckets {
            let bounds: Vec<_> = buckets.le.iter().map(f64::to_string).collect();
            let _infallible = write!(page, "\nBuckets: {}.\n", bounds.join(", "));
        }
    }
    page
}

fn kind(desc: &Desc) -> &'static str {
    match desc.kind {
        crate::metric::Kind::Counter => "Counter.",
        crate::metric::Kind::Gauge => "Gauge.",
        crate::metric::Kind::Histogram => "Histogram.",
    }
}
