//! Reading everything below some paths, and what to watch to notice that it changes.
//!
//! A file is read again when anything about it differs from last time. Hidden entries are left out, so a directory that
//! is swapped as a whole behind a hidden link (as Kubernetes does with mounted configuration) is read once, by its
//! visible names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_dialects::limits::MAX_FILE_BYTES;
use leno_model::span::Location;
use rustix::fs::{Mode, OFlags};

use super::Files;
use super::watch::{Interest, plain};
use crate::codes::{self, finding};
use crate::limits::{MAX_CONFIG_BYTES, MAX_DEPTH, MAX_DIRECTORIES, MAX_FILES, MAX_LINKS};

/// Clocks of file systems tick in steps; what was written shortly before it was read may have been written again since
/// without looking different.
const TICK: Duration = Duration::from_secs(2);

/// Reads files, and remembers what it read.
pub(super) struct Scanner {
    roots: Vec<PathBuf>,
    known: HashMap<PathBuf, Known>,
}

/// A file that was read.
struct Known {
    stamp: Stamp,
    /// Whether it was old enough that its stamp tells whether it was changed.
    is_settled: bool,
    text: Arc<str>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What one look found.
pub(super) struct Scan {
    pub(super) files: Files,
    /// The directories to watch.
    pub(super) watched: BTreeMap<PathBuf, Interest>,
}

/// Whether a name is one of a file of configuration.
pub(super) fn is_config_name(name: &Path) -> bool {
    matches!(name.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml" | "json"))
}

impl Scanner {
    /// Reads nothing yet.
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, known: HashMap::new() }
    }

    /// Reads what is new or different. Files that somebody is `writing` keep their last content.
    pub(super) fn scan(&mut self, writing: &BTreeSet<PathBuf>) -> Scan {
        let known = std::mem::take(&mut self.known);
        let mut look = Look {
            known,
            writing,
            next: HashMap::new(),
            files: Files::default(),
            watched: BTreeMap::new(),
            bytes: 0,
            is_full: false,
        };
        for root in &self.roots {
            look.root(root);
        }
        self.known = look.next;
        Scan { files: look.files, watched: look.watched }
    }
}

/// One look at everything.
struct Look<'w> {
    /// What was read before and not found yet.
    known: HashMap<PathBuf, Known>,
    writing: &'w BTreeSet<PathBuf>,
    next: HashMap<PathBuf, Known>,
    files: Files,
    watched: BTreeMap<PathBuf, Interest>,
    bytes: u64,
    is_full: bool,
}

impl Look<'_> {
    fn root(&mut self, root: &Path) {
        // Whatever the path leads to by now, it may be put in place of something else.
        let target = self.follow_links(root);
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => self.directory(root, &metadata, &mut Vec::new()),
            Ok(metadata) => self.file(root, &target, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.problem(codes::MISSING, root, "it does not exist".to_owned());
                self.keep_below(root);
            }
            Err(error) => self.unreadable(root, &error),
        }
    }

    /// Watches every link on the way from a path to what it leads to; returns what that is.
    fn follow_links(&mut self, path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if let (Some(parent), Some(name)) = (parent_of(&path), path.file_name()) {
                self.watch(parent, Interest::Names(BTreeSet::from([name.to_owned()])));
            }
            let Ok(target) = fs::read_link(&path) else { break };
            path = path.parent().unwrap_or_else(|| Path::new("")).join(target);
        }
        path
    }

    fn watch(&mut self, directory: PathBuf, interest: Interest) {
        let is_full = self.watched.len() >= MAX_DIRECTORIES;
        match self.watched.get_mut(&directory) {
            Some(known) => known.add(interest),
            None if !is_full => drop(self.watched.insert(directory, interest)),
            // Looked at with the next regular scan.
            None => {}
        }
    }

    fn directory(&mut self, path: &Path, metadata: &Metadata, above: &mut Vec<(u64, u64)>) {
        let identity = (metadata.dev(), metadata.ino());
        if above.contains(&identity) {
            // A link to a directory above: everything in it is read already.
            return;
        }
        if above.len() >= MAX_DEPTH {
            self.problem(codes::TOO_MUCH, path, format!("it is more than {MAX_DEPTH} directories deep"));
            return;
        }
        self.watch(path.to_owned(), Interest::All);
        let entries = match fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(path, &error),
        };
        let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        above.push(identity);
        for name in names {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.entry(&path.join(&name), above);
            }
        }
        above.pop();
    }

    fn entry(&mut self, path: &Path, above: &mut Vec<(u64, u64)>) {
        let is_config = is_config_name(path);
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let target = if is_link { self.follow_links(path) } else { path.to_owned() };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path, &metadata, above),
            Ok(metadata) if is_config => self.file(path, &target, &metadata),
            // Gone since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link => {}
            Err(error) if is_config => self.unreadable(path, &error),
            Ok(_) | Err(_) => {}
        }
    }

    fn file(&mut self, path: &Path, target: &Path, metadata: &Metadata) {
        if !metadata.is_file() {
            // A pipe or a device would be read for ever.
            return;
        }
        if self.next.len() >= MAX_FILES || self.bytes.saturating_add(metadata.len()) > MAX_CONFIG_BYTES {
            if !std::mem::replace(&mut self.is_full, true) {
                let message = format!(
                    "more than {MAX_FILES} files or {} MiB, from here on not read",
                    MAX_CONFIG_BYTES >> 20
                );
                self.problem(codes::TOO_MUCH, path, message);
            }
            return;
        }
        let known = self.known.remove(path);
        let is_being_written = [path, target].iter().any(|path| self.writing.contains(plain(path)));
        match known {
            Some(known) if is_being_written => self.take(path, known),
            Some(known) if known.is_settled && known.stamp == Stamp::of(metadata) => self.take(path, known),
            known => match read(path) {
                Ok(read) => self.take(path, read.sharing(known)),
                Err(error) => {
                    self.problem(codes::UNREADABLE, path, error.to_string());
                    if let Some(known) = known {
                        self.take(path, known);
                    }
                }
            },
        }
    }

    fn take(&mut self, path: &Path, known: Known) {
        self.bytes = self.bytes.saturating_add(known.text.len() as u64);
        self.files.files.insert(name(path), Arc::clone(&known.text));
        self.next.insert(path.to_owned(), known);
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.problem(codes::UNREADABLE, path, error.to_string());
        self.keep_below(path);
    }

    /// Lets everything that was read at or below a path count on.
    fn keep_below(&mut self, path: &Path) {
        let below: Vec<PathBuf> =
            self.known.keys().filter(|known| known.starts_with(path)).cloned().collect();
        for path in below {
            if let Some(known) = self.known.remove(&path) {
                self.take(&path, known);
            }
        }
    }

    fn problem(&mut self, code: &leno_dialects::codes::Code, path: &Path, reason: String) {
        let location = Location { file: name(path), line: 0, column: 0 };
        let message = format!("{} is not read: {reason}", path.display());
        self.files.problems.push(finding(code, None, location, message));
    }
}

impl Known {
    /// The same with the memory of what was known, where the text is the same.
    fn sharing(self, known: Option<Self>) -> Self {
        match known {
            Some(known) if known.text == self.text => Self { text: known.text, ..self },
            _ => self,
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file was last changed long enough before a time that no change after it looks the same.
    fn is_settled(&self, at: SystemTime) -> bool {
        let changed = self.modified.max(self.changed).0;
        let now = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let tick = i64::try_from(TICK.as_secs()).unwrap_or(i64::MAX);
        i64::try_from(now.as_secs()).is_ok_and(|now| now.saturating_sub(changed) > tick)
    }
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is no file")]
    NoFile,
    #[error("it is larger than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
    #[error("it is not UTF-8 (byte {0})")]
    NotText(usize),
}

fn read(path: &Path) -> Result<Known, ReadError> {
    let at = SystemTime::now();
    // What became a pipe in the meantime doesn't hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(ReadError::NoFile);
    }
    let limit = MAX_FILE_BYTES as u64;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge);
    }
    let text =
        String::from_utf8(bytes).map_err(|error| ReadError::NotText(error.utf8_error().valid_up_to()))?;
    let (stamp, after) = (Stamp::of(&before), Stamp::of(&file.metadata()?));
    Ok(Known { stamp, is_settled: stamp == after && stamp.is_settled(at), text: text.into() })
}

/// The name of a file in findings.
fn name(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

/// The directory that a path's last part is in.
fn parent_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}
