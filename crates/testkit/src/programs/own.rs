//! The workspace's own binaries, for tests of crates that can't name them by `CARGO_BIN_EXE_*`.

use std::path::{Path, PathBuf};

use super::{Unavailable, debian::is_executable, tools};
use crate::limits::BUILD;

/// Set by `cargo xtask test`, which has built everything just before: binaries are taken as they are.
const BUILT: &str = "LENO_BUILT";

/// The executable `name` of the workspace's package `package`, up to date, in the profile of the running test.
///
/// # Errors
/// [`Unavailable::Build`] where it doesn't compile.
pub fn own(package: &str, name: &str) -> Result<PathBuf, Unavailable> {
    let fail = |reason: String| Unavailable::Build { package: package.to_owned(), reason };
    let folder = profile_folder().ok_or_else(|| fail("this test runs outside a target folder".to_owned()))?;
    let binary = folder.join(name);
    if std::env::var_os(BUILT).is_some() && is_executable(&binary) {
        return Ok(binary);
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = tools::bounded(BUILD, cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.args(["build", "--quiet", "--package", package, "--bin", name, "--profile", profile]);
    tools::run(&mut build).map_err(fail)?;
    if is_executable(&binary) { Ok(binary) } else { Err(fail(format!("cargo left no {}", binary.display()))) }
}

/// `target/PROFILE`, or a folder that a release was put into, seen from an executable in it, in `deps/` or in `examples/`.
fn profile_folder() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let folder = executable.parent()?;
    let is_below = folder.ends_with("deps") || folder.ends_with("examples");
    let folder = if is_below { folder.parent()? } else { folder };
    is_profile(folder).then(|| folder.to_owned())
}

fn is_profile(folder: &Path) -> bool {
    folder.join(".cargo-lock").exists() || folder.join("deps").is_dir() || folder.join("leno").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_this_test_is_found() {
        assert!(profile_folder().is_some_and(|folder| folder.join("deps").is_dir()));
        assert!(!is_profile(Path::new("/")));
    }
}
