//! The mount table, and where else in it a directory can be seen.

use std::{
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::limits::MOUNTS;

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    device: String,
    /// Which directory of the file system is mounted.
    root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    pub(super) kind: String,
}

/// The mounts of this namespace, in the order in which they were made.
pub(super) fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|&byte| byte == b'\n').take(MOUNTS).filter_map(parse_line).collect()
}

/// Fields: id, parent, device, root, mount point, options, optional ones up to `-`, type, source, options.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').skip(2);
    let device = String::from_utf8_lossy(fields.next()?).into_owned();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let kind = fields.skip_while(|&field| field != b"-").nth(1)?;
    Some(Mount { device, root, point, kind: String::from_utf8_lossy(kind).into_owned() })
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 8).ok())) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Every path by which this directory or file can be reached: itself, and the same place of its file
/// system mounted elsewhere.
pub(super) fn aliases(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    let Ok(identity) = fs::metadata(path).map(|found| (found.dev(), found.ino())) else { return paths };
    for candidate in candidates(path, mounts) {
        let same = fs::metadata(&candidate).is_ok_and(|found| (found.dev(), found.ino()) == identity);
        if same && !paths.contains(&candidate) {
            paths.push(candidate);
        }
    }
    paths
}

/// Paths that lead to the same place, as far as the table tells.
fn candidates(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    let Some(own) = around.rev().max_by_key(|mount| mount.point.as_os_str().len()) else { return Vec::new() };
    let Ok(below) = path.strip_prefix(&own.point) else { return Vec::new() };
    let place = own.root.join(below);
    let others = mounts.iter().filter(|mount| mount.device == own.device);
    others.filter_map(|mount| Some(mount.point.join(place.strip_prefix(&mount.root).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
24 22 254:0 /home/ada /mnt/with\\040space rw - ext4 /dev/vda rw
25 22 254:0 /var /srv rw - ext4 /dev/vda rw
26 22 254:1 / /home rw - ext4 /dev/vdb rw
broken
";

    #[test]
    fn lines() {
        let mounts = parse(TABLE.as_bytes());
        assert_eq!(mounts.len(), 5);
        assert_eq!(mounts[2].point, Path::new("/mnt/with space"));
        assert_eq!(mounts[1].kind, "proc");
    }

    #[test]
    fn the_same_place_elsewhere() {
        let mounts = parse(TABLE.as_bytes());
        let found = |path: &str| candidates(Path::new(path), &mounts);
        assert_eq!(found("/var/lib/x"), [Path::new("/var/lib/x"), Path::new("/srv/lib/x")]);
        assert_eq!(found("/srv/lib"), [Path::new("/var/lib"), Path::new("/srv/lib")]);
        assert_eq!(found("/home/ada/state"), [Path::new("/home/ada/state")], "on another device now");
    }
}
