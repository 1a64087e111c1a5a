//! Workload selectors.

use leno_model::labels::Labels;

use crate::table::Field;
use crate::yaml::Fields;

/// The fields of a `selector`.
pub(super) const SELECTOR: &[Field] = &[Field::labels("matchLabels")];

/// The labels that a workload must carry; none where nothing is selected.
pub(super) fn labels(spec: &Fields<'_>) -> Labels {
    let Some(selector) = spec.object("selector") else { return Labels::default() };
    let labels = selector.labels("matchLabels");
    for (entry, value) in selector.value("matchLabels").map(|value| value.entries()).unwrap_or_default() {
        if entry.key.is_empty() {
            value.invalid("has no key", "name a label");
        }
        if entry.key.contains('*') || value.node().text().is_some_and(|text| text.contains('*')) {
            value.invalid(
                "has a wildcard, which labels cannot be matched by",
                "write the whole key and value",
            );
        }
    }
    selector.finish();
    labels
}
