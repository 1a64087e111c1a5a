//! The demo's mesh file for root, who must say as whom each workload runs.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Debian's nobody; by number, since the name differs.
const NOBODY: &str = "65534:65534";

/// As whom root should run the workloads, `UID:GID`: who called `sudo`; else nobody, where nobody can run `program`;
/// else the program's owner. `None` for an ordinary user, who runs them as himself.
pub(super) fn user(program: &Path) -> Result<Option<String>> {
    let own = std::fs::metadata("/proc/self").context("can't read /proc")?.uid();
    if own != 0 {
        return Ok(None);
    }
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let (Some(user @ 1..), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) {
        return Ok(Some(format!("{user}:{group}")));
    }
    if is_open_to_all(program)? {
        return Ok(Some(NOBODY.to_owned()));
    }
    let owner = std::fs::metadata(program)?;
    Ok(Some(format!("{}:{}", owner.uid(), owner.gid())))
}

/// Whether everybody may run a file and walk to it.
fn is_open_to_all(program: &Path) -> Result<bool> {
    let program = program.canonicalize().with_context(|| format!("can't find {}", program.display()))?;
    for place in program.ancestors() {
        if std::fs::metadata(place)?.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The file with `user:` in every workload. Services are left alone.
pub(super) fn with_user(text: &str, user: &str) -> String {
    let (mut out, mut is_workload) = (String::new(), false);
    for line in text.lines() {
        if let Some(key) = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#', '-'])) {
            is_workload = key.starts_with("workloads:");
        }
        out.push_str(line);
        out.push('\n');
        if is_workload && line.starts_with("    - ") {
            out.push_str(&format!("      user: \"{user}\"\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_gets_a_user_and_no_service_does() {
        let text = "spec:\n  services:\n    - name: a\n  workloads:\n    # Why.\n    - service: a\n      command:\n        - x\n    - name: b\n";
        let expected = "spec:\n  services:\n    - name: a\n  workloads:\n    # Why.\n    - service: a\n      user: \"1:2\"\n      command:\n        - x\n    - name: b\n      user: \"1:2\"\n";
        assert_eq!(with_user(text, "1:2"), expected);
    }

    #[test]
    fn the_example_has_as_many_users_as_workloads() {
        let text = std::fs::read_to_string(crate::command::root().join("examples/demo/mesh.yaml")).unwrap();
        let changed = with_user(&text, "1:2");
        let count = |what: &str| changed.lines().filter(|line| line.trim_start().starts_with(what)).count();
        assert_eq!(count("user: \"1:2\""), count("command:"));
    }

    #[test]
    fn openness_is_that_of_the_whole_path() {
        assert!(is_open_to_all(Path::new("/bin/sh")).unwrap());
        assert!(!is_open_to_all(Path::new("/etc/passwd")).unwrap());
    }
}
