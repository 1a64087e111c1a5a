//! `cargo xtask tidy`: house rules that no lint knows. They also run as a test of this crate.
//!
//! The rules look at the files that git tracks or would track.

mod rules;

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::{output, root};

/// Everything that breaks a rule, as `FILE:LINE: what`.
pub(crate) fn check() -> Result<Vec<String>> {
    let root = root();
    let mut list = std::process::Command::new("git");
    list.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut problems = Vec::new();
    for name in output(&mut list)?.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        // Deleted but not yet committed, or a symbolic link to a folder.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("can't read {name}"))?;
        // Whatever isn't text has no rules.
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        problems.extend(rules::check(name, text));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let problems = check().unwrap();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
