//! `target/tools`: where fetched packages live, the lock around it, and running package managers.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::Unavailable;

/// Cargo's target folder.
pub fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace.join(folder),
        None => workspace.join("target"),
    }
}

/// Held while something is installed. The kernel releases it when the process ends in any way.
pub(super) struct Lock {
    _file: File,
}

/// `target/tools/NAME`, created, and a lock on it.
pub(super) fn folder(name: &str) -> Result<(PathBuf, Lock), Unavailable> {
    let path = target().join("tools").join(name);
    let fail = |source| Unavailable::Folder { path: path.clone(), source };
    fs::create_dir_all(&path).map_err(fail)?;
    let file = File::create(path.join(".lock")).map_err(fail)?;
    file.lock().map_err(fail)?;
    Ok((path, Lock { _file: file }))
}

/// Runs `install` unless an earlier run left a mark that the same thing is there.
pub(super) fn once(
    folder: &Path,
    what: &str,
    install: impl FnOnce() -> Result<(), Unavailable>,
) -> Result<(), Unavailable> {
    let mark = folder.join(format!(".has-{}", what.replace('/', "-")));
    if mark.exists() {
        return Ok(());
    }
    install()?;
    fs::write(&mark, "").map_err(|source| Unavailable::Folder { path: mark, source })
}

/// A command that `timeout` ends, with TERM and 10 s later with KILL.
pub(super) fn bounded(limit: Duration, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=10").arg(limit.as_secs().to_string()).arg(program);
    command
}

/// Runs to the end; an error is the last line of standard error, or the status.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(last.map_or_else(|| output.status.to_string(), |line| format!("{} ({line})", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_happens_once() {
        let folder = target().join("testkit-once");
        fs::create_dir_all(&folder).unwrap();
        let mut installed = 0;
        for _ in 0..2 {
            once(&folder, "@scope/thing-1.0", || {
                installed += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(installed, 1);
        let failed = once(&folder, "other", || {
            Err(Unavailable::Install { what: "other".to_owned(), reason: "offline".to_owned() })
        });
        assert!(failed.is_err() && !folder.join(".has-other").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn commands_end_in_time_and_say_why_they_failed() {
        assert_eq!(run(&mut bounded(Duration::from_secs(5), "true")), Ok(()));
        let said = run(bounded(Duration::from_secs(5), "sh").args(["-c", "echo no such thing >&2; exit 3"]));
        assert_eq!(said, Err("exit status: 3 (no such thing)".to_owned()));
        let late = run(bounded(Duration::from_secs(1), "sleep").arg("60"));
        assert_eq!(late, Err("exit status: 124".to_owned()));
    }
}
