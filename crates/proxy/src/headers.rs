//! Changes to headers that configuration asks for, in its order: remove, set, add.

use leno_http::head::Fields;
use leno_model::route::HeaderEdits;

/// Makes the changes. Names that frame or route a message are never among them (the model refuses those), so what
/// can't be set here is left as it is.
pub(crate) fn edit(fields: &mut Fields, edits: &HeaderEdits) {
    if edits.is_empty() {
        return;
    }
    for name in &edits.remove {
        fields.remove(name);
    }
    for (name, value) in &edits.set {
        let _managed = fields.set(name, value.as_bytes());
    }
    for (name, value) in &edits.add {
        let _managed = fields.append(name, value.as_bytes());
    }
}
