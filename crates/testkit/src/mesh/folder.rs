//! The folder that holds everything of a mesh, and whose it is.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

/// An ordinary user without an entry in `/etc/passwd`, where the tests run as root.
const ORDINARY: u32 = 54_322;

/// Who runs a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// An ordinary user: who runs the test, or one without a name where that is root.
    Ordinary,
    /// Root. A test that wants it is run by root or skips.
    Root,
}

impl User {
    /// Whether this process may run a mesh as this user.
    pub fn is_possible(self) -> bool {
        self == Self::Ordinary || geteuid().is_root()
    }
}

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    user: User,
}

impl Folder {
    pub(super) fn fresh(name: &str, user: User) -> Self {
        assert!(user.is_possible(), "only root runs a mesh as root");
        // Not below /tmp: workloads have one of their own.
        let path = PathBuf::from(format!("/var/tmp/leno-{name}-{}", std::process::id()));
        // What an earlier run that was killed may have left.
        let _fresh = fs::remove_dir_all(&path);
        let folder = Self { path, user };
        for part in ["bin", "mesh", "state", "run"] {
            let part = folder.path.join(part);
            fs::create_dir_all(&part).unwrap();
            fs::set_permissions(&part, fs::Permissions::from_mode(0o700)).unwrap();
        }
        folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn program(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join("bin").join(name)
    }

    /// What `leno up` prints.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("up.log")
    }

    /// A command of the mesh's user that knows this mesh and no other.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let search = format!("{}:/usr/local/bin:/usr/bin:/bin", self.path.join("bin").display());
        command.env_clear().env("PATH", search).env("HOME", &self.path);
        command.env("XDG_STATE_HOME", self.path.join("state"));
        command.env("XDG_RUNTIME_DIR", self.path.join("run"));
        if self.is_given_away() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// Makes everything the user's.
    pub(super) fn give_away(&self) {
        if self.is_given_away() {
            give(&self.path);
        }
    }

    fn is_given_away(&self) -> bool {
        self.user == User::Ordinary && geteuid().is_root()
    }

    /// Processes that run from this folder, and files of its runtime directory.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let Ok(executable) = fs::read_link(path.join("exe")) else { continue };
            if executable.starts_with(&self.path) {
                left.push(format!("{} {}", path.display(), executable.display()));
            }
        }
        let runtime = fs::read_dir(self.path.join("run/leno")).into_iter().flatten().flatten();
        left.extend(runtime.map(|entry| entry.path().display().to_string()));
        left
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.path);
    }
}

fn give(path: &Path) {
    chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
