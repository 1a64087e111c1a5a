//! Texts kept in the repository. With `UPDATE_GOLDEN=1` they are rewritten instead of compared.

use std::path::Path;
use std::{env, fs};

/// Compares a text with the file at `path`, relative to the crate.
pub(crate) fn check(path: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs; UPDATE_GOLDEN=1 rewrites it. It should be:\n{actual}",
        path.display()
    );
}
