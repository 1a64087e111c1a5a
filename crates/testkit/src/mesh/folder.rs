//! The folder that holds everything of a mesh, and whose it is.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, lchown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

/// Debian's nobody, of group nogroup.
const NOBODY: u32 = 65_534;

/// An ordinary user without an entry in `/etc/passwd`, where the tests run as root.
const ORDINARY: u32 = 54_322;

/// Who runs a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// An ordinary user: who runs the test, or one without a name where that is root.
    Ordinary,
    /// The same, but with a name: some programs refuse to run for a number alone.
    Nobody,
    /// Root. A test that wants it is run by root or skips.
    Root,
}

impl User {
    /// Whether this process may run a mesh as this user.
    pub fn is_possible(self) -> bool {
        self != Self::Root || geteuid().is_root()
    }

    /// Whom to become for it; `None` for the caller.
    fn number(self) -> Option<u32> {
        match self {
            Self::Ordinary if geteuid().is_root() => Some(ORDINARY),
            Self::Nobody if geteuid().is_root() => Some(NOBODY),
            _ => None,
        }
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
        // As root, workloads are other users, who run programs and read files of the mesh.
        for (part, mode) in [("", 0o755), ("bin", 0o755), ("mesh", 0o755), ("state", 0o700), ("run", 0o700)] {
            let part = folder.path.join(part);
            fs::create_dir_all(&part).unwrap();
            fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
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
        if let Some(number) = self.user.number() {
            command.uid(number).gid(number);
        }
        command
    }

    /// Makes everything the user's.
    pub(super) fn give_away(&self) {
        if let Some(number) = self.user.number() {
            give(&self.path, number);
        }
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

fn give(path: &Path, number: u32) {
    lchown(path, Some(number), Some(number)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), number);
        }
    }
}
