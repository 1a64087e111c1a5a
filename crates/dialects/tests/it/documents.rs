//! The reference pages are what the code says. `UPDATE_DOCS=1` rewrites them.

use std::fs;
use std::path::Path;

use leno_dialects::reference;

#[test]
fn the_reference_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, page) in
        [("fields.md", reference::fields_page()), ("diagnostics.md", reference::diagnostics_page())]
    {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page, "{} is not current; run with UPDATE_DOCS=1", path.display());
    }
}
