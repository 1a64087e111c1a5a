//! Session secrets in the NSS key log format, for tests that decrypt what they recorded.
//!
//! Whoever reads such a file reads the connections. It is written only where code asks for it: no environment variable
//! and no configuration does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustls::KeyLog;

use crate::error::Error;
use crate::octets::Hex;

/// A key log file.
pub struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Appends to a file, which is made for its owner alone when missing.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn append(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self(Mutex::new(file.map_err(|source| Error::file("append to", path, source))?)))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", Hex(client_random), Hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A handshake must not fail for its log; the test that reads the file notices the missing line.
        drop(file.write_all(line.as_bytes()));
    }
}

impl std::fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyLogFile")
    }
}
