//! Kernel namespaces: which kinds there are, entering them, and mapping users into them.
//!
//! Maps are always identities: a user keeps its number inside, so files look the same on both sides.

use std::{fs, io, os::fd::AsFd};

use rustix::thread::{CapabilitySet, ThreadNameSpaceType, UnshareFlags};

use crate::limits::ID_EXTENTS;

/// A set of namespace kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u32);

impl Kinds {
    /// No namespace.
    pub const NONE: Self = Self(0);
    /// Users, groups and capabilities.
    pub const USER: Self = Self(UnshareFlags::NEWUSER.bits());
    /// Interfaces, routes, ports, packet rules.
    pub const NETWORK: Self = Self(UnshareFlags::NEWNET.bits());
    /// Mounts.
    pub const MOUNT: Self = Self(UnshareFlags::NEWNS.bits());
    /// Process numbers.
    pub const PROCESS: Self = Self(UnshareFlags::NEWPID.bits());
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(UnshareFlags::NEWIPC.bits());
    /// Host name.
    pub const HOSTNAME: Self = Self(UnshareFlags::NEWUTS.bits());

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }
}

/// Moves this thread into new namespaces. A new process namespace takes effect for later children.
///
/// # Errors
/// What `unshare` says: `PermissionDenied` where the kernel forbids it, `InvalidInput` for a user
/// namespace while other threads exist.
pub fn unshare(kinds: Kinds) -> io::Result<()> {
    // SAFETY: `Kinds` can't contain FILES, the one flag that is unsafe to change under other threads.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(kinds.0)) }?)
}

/// Moves this thread into namespaces of the process behind a pidfd.
///
/// # Errors
/// What `setns` says.
pub fn join(pidfd: &impl AsFd, kinds: Kinds) -> io::Result<()> {
    let kinds = ThreadNameSpaceType::from_bits_retain(kinds.0);
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), kinds)?)
}

/// Which users and groups of this namespace exist in a new one, under the same numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    users: String,
    groups: String,
    /// A caller without privileges may map its own group only after giving up `setgroups`.
    deny_setgroups: bool,
}

impl IdMaps {
    /// Everything that the caller may map: for root with `CAP_SETUID` and `CAP_SETGID` every user
    /// that exists here, otherwise the caller's own user and group.
    ///
    /// # Errors
    /// What reading `/proc/self/{uid,gid}_map` says.
    pub fn of_caller() -> io::Result<Self> {
        let needed = CapabilitySet::SETUID.union(CapabilitySet::SETGID);
        let capable = rustix::thread::capabilities(None)?.effective.contains(needed);
        if capable && rustix::process::geteuid().is_root() {
            return Ok(Self {
                users: identity(&fs::read_to_string("/proc/self/uid_map")?)?,
                groups: identity(&fs::read_to_string("/proc/self/gid_map")?)?,
                deny_setgroups: false,
            });
        }
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Self {
            users: format!("{user} {user} 1\n"),
            groups: format!("{group} {group} 1\n"),
            deny_setgroups: true,
        })
    }

    /// Whether more than the caller's own user is mapped, so that daemons can change to another one.
    pub fn has_other_users(&self) -> bool {
        !self.deny_setgroups
    }

    /// Writes the maps of a process that is alone in a new user namespace. Each namespace takes this once.
    ///
    /// # Errors
    /// What the kernel says; `PermissionDenied` when the maps name more than the caller may map.
    pub fn write(&self, process: u32) -> io::Result<()> {
        if self.deny_setgroups {
            fs::write(format!("/proc/{process}/setgroups"), "deny")?;
        }
        fs::write(format!("/proc/{process}/uid_map"), &self.users)?;
        fs::write(format!("/proc/{process}/gid_map"), &self.groups)
    }
}

/// Turns `inside outside count` lines into `inside inside count`: ids of the new namespace equal ours.
fn identity(map: &str) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "unreadable id map");
    let mut lines = String::new();
    for line in map.lines().take(ID_EXTENTS) {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count)), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid());
        };
        lines.push_str(&format!("{inside} {inside} {count}\n"));
    }
    if lines.is_empty() { Err(invalid()) } else { Ok(lines) }
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn maps_become_identities() {
        let cases = [
            ("         0          0 4294967295\n", Some("0 0 4294967295\n")),
            ("0 1000 1\n1 100000 65536\n", Some("0 0 1\n1 1 65536\n")),
            ("", None),
            ("0 0\n", None),
            ("0 0 1 1\n", None),
            ("a b c\n", None),
        ];
        for (map, expected) in cases {
            assert_eq!(identity(map).ok().as_deref(), expected, "{map:?}");
        }
    }
}
