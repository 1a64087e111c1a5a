//! Memory of this process that the kernel can have back.
//!
//! Starting runs code that serving never runs again, and the kernel maps whole neighbourhoods of what is run. The
//! mappings stay for as long as the process lives, and with them the pages. [`release_files`] ends that: what is used
//! again comes back from the page cache by minor faults, and nothing else does.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use rustix::mm::{Advice, madvise};

/// A file's mapping as `/proc/self/smaps` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
    /// Resident KiB.
    resident: u64,
}

/// Unmaps the resident pages of files that this process only reads: its code and constants, and its libraries'. To be
/// called when everything that is needed once has run. How many KiB were resident.
///
/// # Errors
/// When `/proc` is not readable.
pub fn release_files() -> io::Result<u64> {
    let mut released = 0;
    for mapping in clean_files(BufReader::new(File::open("/proc/self/smaps")?))? {
        // SAFETY: the range is a file's mapping without a page of this process's own and not writable, so every page
        // that is touched again is read from the file with the content that it has now.
        let done = unsafe {
            madvise(
                std::ptr::without_provenance_mut(mapping.start),
                mapping.end - mapping.start,
                Advice::LinuxDontNeed,
            )
        };
        // A range that is gone meanwhile has nothing to give.
        if done.is_ok() {
            released += mapping.resident;
        }
    }
    Ok(released)
}

/// The mappings that are of files, not writable, and hold no page that differs from its file.
fn clean_files(smaps: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut clean = Vec::new();
    let mut current: Option<Mapping> = None;
    for line in smaps.lines() {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                let Some(mapping) = &mut current else { continue };
                let kib = value.trim().strip_suffix(" kB").and_then(|number| number.trim().parse().ok());
                match (name, kib) {
                    ("Rss", Some(kib)) => mapping.resident = kib,
                    ("Anonymous", Some(0)) => clean.extend(current.take().filter(|kept| kept.resident > 0)),
                    ("Anonymous", _) => current = None,
                    _ => {}
                }
            }
            _ => current = file_mapping(&line),
        }
    }
    Ok(clean)
}

/// Reads `START-END r-xp OFFSET DEVICE INODE /PATH`.
fn file_mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let readable_only = matches!(fields.next()?, "r-xp" | "r--p");
    let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let number = |text| usize::from_str_radix(text, 16).ok();
    (readable_only && is_file).then_some(())?;
    Some(Mapping { start: number(start)?, end: number(end)?, resident: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_without_pages_of_their_own_are_chosen() {
        let smaps = "\
1000-3000 r-xp 00001000 fe:00 77 /bin/leno with blanks
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
3000-4000 r--p 00003000 fe:00 77 /bin/leno
Rss:                   4 kB
Anonymous:             4 kB
4000-5000 rw-p 00004000 fe:00 77 /bin/leno
Rss:                   4 kB
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0 [vvar]
Rss:                   4 kB
Anonymous:             0 kB
6000-7000 r--p 00000000 fe:00 78 /lib/libc.so.6
Rss:                   0 kB
Anonymous:             0 kB
7000-8000 r--s 00000000 fe:00 79 /shared
Rss:                   4 kB
Anonymous:             0 kB
";
        let chosen = clean_files(smaps.as_bytes()).unwrap();
        assert_eq!(chosen, [Mapping { start: 0x1000, end: 0x3000, resident: 8 }]);
    }

    #[test]
    fn a_process_goes_on_without_them() {
        let before = release_files().unwrap();
        assert!(before > 0);
        // Code and constants are still there.
        assert_eq!(format!("{}", 7_u8.pow(2)), "49");
    }
}
