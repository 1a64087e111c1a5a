//! A directory of secrets and state that survive the process.
//!
//! The directory is its owner's alone, and so is every file in it. A file is replaced whole or not at all, also when the
//! machine stops in between. One process at a time holds the directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::Error;
use crate::pem;

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// A state directory, locked until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens a directory, made when missing (with its parents).
    ///
    /// # Errors
    /// [`Error::File`] when it can't be made or others may enter it; [`Error::StateInUse`] while another process holds it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIRECTORY)
            .create(path)
            .map_err(|source| Error::file("create", path, source))?;
        let metadata = fs::metadata(path).map_err(|source| Error::file("open", path, source))?;
        if metadata.mode() & OTHERS != 0 {
            let open_to_others = io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it is open to others (mode {:o}); chmod it to 700", metadata.mode() & 0o777),
            );
            return Err(Error::file("keep secrets in", path, open_to_others));
        }
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(PRIVATE_FILE)
            .open(&lock_path)
            .map_err(|source| Error::file("open", &lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::StateInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(Error::file("lock", &lock_path, source)),
        }
    }

    /// Where a file of this name is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file, at most 4 MiB; `None` when there is none. The bytes are wiped when dropped.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Pem`] for one that is too large.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match pem::read(&self.file(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file. When this returns, the content survives a crash.
    ///
    /// # Errors
    /// [`Error::File`]; then the old content is still there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let target = self.file(name);
        // The lock makes this process the only writer, so one name per target is enough and leftovers are reused.
        let draft = self.file(&format!("{name}.new"));
        let result = self.write_draft(&draft, bytes).and_then(|()| fs::rename(&draft, &target));
        result.and_then(|()| self.sync()).map_err(|source| Error::file("write", &target, source))
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let target = self.file(name);
        match fs::remove_file(&target) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove", &target, source))
            }
            _ => self.sync().map_err(|source| Error::file("remove", &target, source)),
        }
    }

    fn write_draft(&self, draft: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(PRIVATE_FILE).open(draft)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}
