//! Which file a command's first word means, as a shell would say.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Places where a program is looked for, the first that has it being meant: the word itself where it is a
/// path, else in each directory of `PATH`. Relative ones start at the working directory.
pub(crate) fn candidates(
    program: &str,
    environment: &BTreeMap<String, String>,
    workdir: &Path,
) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![workdir.join(program)];
    }
    let path = environment.get("PATH").map_or("", String::as_str);
    path.split(':').map(|directory| workdir.join(directory).join(program)).collect()
}

/// Whether this is a file that somebody may execute.
pub(crate) fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_files() {
        let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:tools".to_owned())]);
        let found = |program: &str| candidates(program, &environment, Path::new("/srv/shop"));
        assert_eq!(found("serve"), ["/usr/bin/serve", "/srv/shop/tools/serve"].map(PathBuf::from));
        assert_eq!(found("bin/serve"), [Path::new("/srv/shop/bin/serve")]);
        assert_eq!(found("/bin/serve"), [Path::new("/bin/serve")]);
        assert!(is_executable(Path::new("/bin/sh")) && !is_executable(Path::new("/etc/passwd")));
    }
}
