//! What processes have used, from `/proc`.

use std::{fs::File, io::Read as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::limits;

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cpu {
    /// Time on a processor, exact (schedstat of every thread).
    pub(crate) total: Duration,
    /// Of that in user mode, in ticks of 10 ms (stat).
    pub(crate) user: Duration,
    /// And in the kernel.
    pub(crate) system: Duration,
}

/// Memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident pages, shared ones included.
    pub(crate) rss_kib: u64,
    /// Resident anonymous pages: heap and stacks.
    pub(crate) rss_anon_kib: u64,
    /// Resident pages, shared ones divided by those who share them.
    pub(crate) pss_kib: u64,
}

impl Cpu {
    /// Of a process and its children.
    pub(crate) fn of(process: u32) -> Result<Self> {
        family(process)?.into_iter().try_fold(Self::default(), |sum, one| Ok(sum.and(Self::of_one(one)?)))
    }

    /// Of one process, all its threads that still live.
    fn of_one(process: u32) -> Result<Self> {
        let folder = format!("/proc/{process}");
        let mut total = 0;
        let tasks = std::fs::read_dir(format!("{folder}/task"))
            .with_context(|| format!("process {process} has ended"))?;
        for task in tasks.flatten() {
            // A thread may end meanwhile.
            let Ok(text) = read(&task.path().join("schedstat")) else { continue };
            total += text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
        let (user, system) =
            ticks(&read(Path::new(&format!("{folder}/stat")))?).context("unreadable stat")?;
        Ok(Self { total: Duration::from_nanos(total), user, system })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// User and system time of a `stat` line; the name in it may hold anything.
fn ticks(stat: &str) -> Option<(Duration, Duration)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Fields 14 and 15, counted from 1; the third is the first behind the name. A tick is 10 ms on every Linux.
    let time = |at: usize| Some(Duration::from_millis(fields.get(at)?.parse::<u64>().ok()? * 10));
    Some((time(11)?, time(12)?))
}

impl Memory {
    /// Of a process and its children. What these share counts as often as they are, but in the proportional size.
    pub(crate) fn of(process: u32) -> Result<Self> {
        family(process)?.into_iter().try_fold(Self::default(), |sum, one| {
            let one = Self::of_one(one)?;
            Ok(Self {
                rss_kib: sum.rss_kib + one.rss_kib,
                rss_anon_kib: sum.rss_anon_kib + one.rss_anon_kib,
                pss_kib: sum.pss_kib + one.pss_kib,
            })
        })
    }

    fn of_one(process: u32) -> Result<Self> {
        let rollup = read(Path::new(&format!("/proc/{process}/smaps_rollup")))?;
        let status = read(Path::new(&format!("/proc/{process}/status")))?;
        let size = |text: &str, name: &str| field(text, name).with_context(|| format!("no {name} in /proc"));
        Ok(Self {
            rss_kib: size(&rollup, "Rss")?,
            rss_anon_kib: size(&status, "RssAnon")?,
            pss_kib: size(&rollup, "Pss")?,
        })
    }
}

/// A process and its children: what a proxy with worker processes is.
fn family(process: u32) -> Result<Vec<u32>> {
    let children = read(Path::new(&format!("/proc/{process}/task/{process}/children")))?;
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    Ok(std::iter::once(process).chain(children).collect())
}

/// Sockets that a process and its children have open.
pub(crate) fn sockets(process: u32) -> Result<usize> {
    family(process)?.into_iter().map(sockets_of_one).sum()
}

fn sockets_of_one(process: u32) -> Result<usize> {
    let folder = format!("/proc/{process}/fd");
    let open = std::fs::read_dir(&folder).with_context(|| format!("can't list {folder}"))?;
    let is_socket = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    Ok(open.flatten().filter(is_socket).count())
}

/// The number behind `NAME:`.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

fn read(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
    let mut text = String::new();
    file.take(limits::PROC_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = std::process::id();
        let (cpu, memory) = (Cpu::of(own).unwrap(), Memory::of(own).unwrap());
        assert!(cpu.total > Duration::ZERO && cpu.since(cpu) == Cpu::default());
        assert!(memory.rss_kib > memory.rss_anon_kib && memory.pss_kib > 0, "{memory:?}");
    }

    #[test]
    fn open_sockets_are_counted() {
        let before = sockets(std::process::id()).unwrap();
        let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // Other tests may open and close some meanwhile; this one is there.
        assert!(sockets(std::process::id()).unwrap() > 0 && before < 1000);
        drop(held);
    }

    #[test]
    fn stat_lines_with_odd_names_are_read() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 31 0 0 20 0 1 0 5";
        assert_eq!(ticks(line), Some((Duration::from_millis(2500), Duration::from_millis(310))));
        assert_eq!(ticks("7 (a) S"), None);
        assert_eq!(field("Rss:  12 kB\nPss: 3 kB\n", "Pss"), Some(3));
    }
}
