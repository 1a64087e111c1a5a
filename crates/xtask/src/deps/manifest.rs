//! What every manifest of ours must say.

use std::fs;

use anyhow::{Context as _, Result};

use super::graph::Graph;

/// Lines that come from the workspace.
const INHERITED: [&str; 5] = [
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
    "publish.workspace = true",
];

/// Every violation.
pub(crate) fn check(graph: &Graph) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for member in graph.members() {
        let manifest = fs::read_to_string(&member.manifest)
            .with_context(|| format!("can't read {}", member.manifest))?;
        problems.extend(complaints(&manifest).map(|complaint| format!("{}: {complaint}", member.manifest)));
    }
    Ok(problems)
}

fn complaints(manifest: &str) -> impl Iterator<Item = String> {
    let package = section(manifest, "[package]");
    let missing = INHERITED.iter().filter(move |line| !package.contains(*line));
    let missing = missing.map(|line| format!("[package] lacks `{line}`"));
    let lints = section(manifest, "[lints]");
    let unlinted =
        (lints != ["workspace = true"]).then(|| "needs `[lints]` with `workspace = true`".to_owned());
    missing.chain(unlinted)
}

/// The lines of a section that say something.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != name).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inheritance_is_required() {
        let good = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
            rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\n[lints]\nworkspace = true\n";
        let all = |manifest: &str| complaints(manifest).collect::<Vec<_>>().join("\n");
        assert_eq!(all(good), "");
        assert!(all(&good.replace("license.workspace = true\n", "")).contains("license.workspace"));
        assert!(all(&good.replace("[lints]\nworkspace = true\n", "")).contains("[lints]"));
        assert!(
            all(&good.replace("[lints]\nworkspace = true", "[lints]\nworkspace = false")).contains("[lints]")
        );
        let elsewhere =
            good.replace("publish.workspace = true\n", "") + "\n[other]\npublish.workspace = true\n";
        assert!(all(&elsewhere).contains("publish.workspace"));
    }
}
