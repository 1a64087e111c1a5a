//! What the process may use and what it uses.
//!
//! Linux only: the figures are read from `/proc/self`.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::limits::DEFAULT_CORES;

/// The limit of open files before and after raising it. `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The soft limit that the process was started with. Children should get it back: some programs loop over all
    /// possible descriptors, or still use `select`, which fails above 1,024.
    pub before: Option<u64>,
    /// The soft limit now, equal to the hard one.
    pub now: Option<u64>,
}

/// Raises the process's limit of open files as far as it may.
///
/// # Errors
/// When the system refuses.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(OpenFiles { before: limit.current, now: limit.maximum })
}

/// CPUs that the process may use: its affinity and its cgroup's quota, rounded down, at least 1.
pub fn cpus() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How many cores to run on: what is configured, else at most [`DEFAULT_CORES`].
pub fn cores(configured: Option<NonZeroUsize>) -> usize {
    configured.map_or_else(|| cpus().get().min(DEFAULT_CORES), NonZeroUsize::get)
}

/// What the process uses. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory.
    pub rss: u64,
    /// The resident memory that is the process's own: no file or shared page.
    pub rss_anon: u64,
    /// Its peak resident memory.
    pub rss_peak: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// CPU time, user and system.
    pub cpu: Duration,
}

impl Usage {
    /// Reads the figures; costs two files and a directory listing.
    ///
    /// # Errors
    /// When `/proc` isn't readable.
    pub fn read() -> io::Result<Self> {
        let mut usage = parse_status(&fs::read_to_string("/proc/self/status")?);
        // The listing itself holds one descriptor.
        usage.open_files = (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1);
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        usage.cpu = Duration::try_from(cpu).unwrap_or_default();
        Ok(usage)
    }
}

/// The process's proportional memory: its own pages, and its share of those that others use too. In bytes.
/// Walks all mappings, so it is for reports rather than for scraping.
///
/// # Errors
/// When `/proc` isn't readable.
pub fn pss() -> io::Result<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    Ok(rollup.lines().find_map(|line| kibibytes(line.strip_prefix("Pss:")?)).unwrap_or(0))
}

fn parse_status(status: &str) -> Usage {
    let mut usage = Usage::default();
    for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
        match name {
            "VmRSS" => usage.rss = kibibytes(value).unwrap_or(0),
            "RssAnon" => usage.rss_anon = kibibytes(value).unwrap_or(0),
            "VmHWM" => usage.rss_peak = kibibytes(value).unwrap_or(0),
            "Threads" => usage.threads = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    usage
}

/// Bytes from a value such as `   1556 kB`.
fn kibibytes(value: &str) -> Option<u64> {
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_parsed() {
        let status =
            "Name:\tleno\nVmHWM:\t    1668 kB\nVmRSS:\t 1600 kB\nRssAnon:\t  112 kB\nThreads:\t3\nodd line\n";
        assert_eq!(
            parse_status(status),
            Usage {
                rss: 1600 << 10,
                rss_anon: 112 << 10,
                rss_peak: 1668 << 10,
                threads: 3,
                ..Usage::default()
            }
        );
        assert_eq!(kibibytes(" 18446744073709551615 kB"), None);
    }

    #[test]
    fn usage_of_this_process() {
        let before = Usage::read().unwrap();
        assert!(before.rss > 0 && before.rss >= before.rss_anon && before.threads >= 1);
        let file = fs::File::open("/proc/self/status").unwrap();
        assert!(before.open_files > 0);
        drop(file);
        assert!(pss().unwrap() > 0);
    }

    #[test]
    fn cores_are_few_unless_configured() {
        assert!((1..=DEFAULT_CORES).contains(&cores(None)));
        assert_eq!(cores(NonZeroUsize::new(7)), 7);
    }

    #[test]
    fn open_files_reach_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, raised.now);
        assert_eq!(raise_open_files().unwrap().before, raised.now);
    }
}
