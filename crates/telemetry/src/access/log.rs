//! Writes access records without letting traffic wait.
//!
//! A record is encoded on the thread that made it, and appended to one shared buffer; a thread of its own swaps that
//! buffer for an empty one and writes it. Invariants: at most [`ACCESS_BACKLOG`] bytes wait; what doesn't fit, or
//! can't be written, is dropped and counted; in steady state nothing is allocated.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leno_runtime::spawn_thread;
use leno_runtime::time::timeout;
use tokio::sync::watch;

use crate::limits::{ACCESS_BACKLOG, ACCESS_CHUNK, ACCESS_FLUSH, ACCESS_SCRATCH};
use crate::{Counter, Registry};

use super::{AccessRecord, Format, Shown};

#[cfg(test)]
mod tests;

/// Where records go.
pub enum Target {
    /// The process's standard output.
    Stdout,
    /// A file, which is appended to, and made readable by owner and group if it is new.
    File(PathBuf),
    /// Anything else.
    Writer(Box<dyn Write + Send>),
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be opened.
    #[error("can't open the access log {path:?}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses another thread.
    #[error("can't start the access log's thread")]
    Thread(#[source] io::Error),
}

/// Takes access records. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    format: Format,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Becomes true when the writer has ended.
    done: watch::Sender<bool>,
    written: Counter,
    dropped: Counter,
    errors: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    records: u64,
    reopen: bool,
    closed: bool,
}

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Shown)> = const { RefCell::new((Vec::new(), Shown::new())) };
}

impl AccessLog {
    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// When the file can't be opened or there is no thread to be had.
    pub fn open(target: Target, format: Format, registry: &Registry) -> Result<Self, OpenError> {
        let mut output = Output::open(target)?;
        let shared = Arc::new(Shared {
            format,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            done: watch::Sender::new(false),
            written: registry.counter("leno_access_log_records_total", "Access records written."),
            dropped: registry.counter(
                "leno_access_log_dropped_total",
                "Access records lost because the log's target was too slow or failed.",
            ),
            errors: registry
                .counter("leno_access_log_errors_total", "Failed writes to the access log's target."),
        });
        let writer = shared.clone();
        // The thread ends when it is told to, in `finish`, or with the process.
        let thread = spawn_thread("access-log", move || {
            writer.write_until_closed(&mut output);
            writer.done.send_replace(true);
        });
        drop(thread.map_err(OpenError::Thread)?);
        Ok(Self(shared))
    }

    /// Writes a record down, or drops and counts it. Never waits for the target.
    pub fn record(&self, record: &AccessRecord<'_>) {
        SCRATCH.with_borrow_mut(|(scratch, shown)| {
            scratch.clear();
            record.encode(self.0.format, shown, scratch);
            self.0.append(scratch);
            scratch.shrink_to(ACCESS_SCRATCH);
        });
    }

    /// Opens the file again before the next write, after a rotation moved it away.
    pub fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.wake.notify_one();
    }

    /// Takes no more records, and waits until those taken are written. Returns false when that takes longer than
    /// `patience`.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.0.lock().closed = true;
        self.0.wake.notify_one();
        let mut done = self.0.done.subscribe();
        timeout(patience, done.wait_for(|done| *done)).await.is_ok()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes.len() + line.len() > ACCESS_BACKLOG {
            drop(waiting);
            return self.dropped.inc();
        }
        let before = waiting.bytes.len();
        waiting.bytes.extend_from_slice(line);
        waiting.records += 1;
        let after = waiting.bytes.len();
        drop(waiting);
        // The writer is woken by the first record, then gathers more until time or size tells it to write.
        if before == 0 || (before < ACCESS_CHUNK && after >= ACCESS_CHUNK) {
            self.wake.notify_one();
        }
    }

    fn write_until_closed(&self, output: &mut Output) {
        let mut bytes = Vec::new();
        loop {
            let waiting = self.lock();
            let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.reopen && !waiting.closed;
            let waiting = self.wake.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
            let gathers = |waiting: &mut Waiting| {
                waiting.bytes.len() < ACCESS_CHUNK && !waiting.reopen && !waiting.closed
            };
            let gathered = self.wake.wait_timeout_while(waiting, ACCESS_FLUSH, gathers);
            let (mut waiting, _timeout) = gathered.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut waiting.bytes, &mut bytes);
            let records = std::mem::take(&mut waiting.records);
            let reopen = std::mem::take(&mut waiting.reopen);
            let closed = waiting.closed;
            drop(waiting);

            if reopen && output.reopen().is_err() {
                self.errors.inc();
            }
            match output.write_all(&bytes) {
                Ok(()) => self.written.add(records),
                Err(_) => {
                    self.errors.inc();
                    self.dropped.add(records);
                }
            }
            bytes.clear();
            // A backlog that was needed once isn't kept for ever; what a chunk takes that has grown by doubling is.
            bytes.shrink_to(2 * ACCESS_CHUNK);
            if closed {
                return;
            }
        }
    }
}

/// The opened target.
enum Output {
    File { path: PathBuf, file: File },
    Writer(Box<dyn Write + Send>),
}

impl Output {
    fn open(target: Target) -> Result<Self, OpenError> {
        Ok(match target {
            Target::Stdout => Self::Writer(Box::new(io::stdout())),
            Target::Writer(writer) => Self::Writer(writer),
            Target::File(path) => match open_file(&path) {
                Ok(file) => Self::File { path, file },
                Err(source) => return Err(OpenError::File { path, source }),
            },
        })
    }

    /// A file that can't be opened again stays the one it was.
    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = open_file(path)?;
        }
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.write_all(bytes),
            Self::Writer(writer) => writer.write_all(bytes).and_then(|()| writer.flush()),
        }
    }
}

fn open_file(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
