//! Changing what a mount namespace shows: hiding directories, replacing files, making trees read-only.
//!
//! Call these in a mount namespace of one's own, after [`make_private`]. Sources that may become
//! hidden on the way are opened first ([`Source`]), and mounted from the open descriptor.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags},
};

/// Changes in this mount namespace stay in it, and later changes outside don't come in.
///
/// # Errors
/// What `mount` says.
pub fn make_private() -> io::Result<()> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags)?)
}

/// A file or directory that stays reachable after something was mounted over it.
#[derive(Debug)]
pub struct Source(OwnedFd);

impl Source {
    /// Opens a path, following symbolic links.
    ///
    /// # Errors
    /// What `open` says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Whether it is a directory.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn is_directory(&self) -> io::Result<bool> {
        let mode = rustix::fs::fstat(&self.0)?.st_mode;
        Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory)
    }

    /// Mounts it, with everything mounted below, over an existing path of the same sort.
    ///
    /// # Errors
    /// What `mount` says.
    pub fn bind(&self, target: &Path) -> io::Result<()> {
        let source = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(rustix::mount::mount_bind_recursive(source, target)?)
    }
}

/// Mounts a path over itself, so that from now on neither it can be renamed or removed, nor flags set
/// on it reach its surroundings.
///
/// # Errors
/// What `mount` says.
pub fn pin(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(path, path)?)
}

/// Makes a mount and all below it read-only. It must be a mount point.
///
/// # Errors
/// What `mount_setattr` says (Linux 5.12).
pub fn make_read_only(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_RECURSIVE | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: both pointers are valid for the call and the size is that of the struct.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Mounts an empty directory in memory, for use.
///
/// # Errors
/// What `mount` says.
pub fn scratch(target: &Path, mode: u32) -> io::Result<()> {
    tmpfs(target, MountFlags::NOSUID | MountFlags::NODEV, &format!("mode={mode:o}"))
}

/// Mounts an empty, unwritable directory over a directory, to hide it.
///
/// # Errors
/// What `mount` says.
pub fn hide(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    tmpfs(target, flags, "mode=0555,nr_inodes=1,size=4k")
}

fn tmpfs(target: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))?)
}

/// Mounts the process list of the caller's process namespace.
///
/// # Errors
/// What `mount` says; `PermissionDenied` where the surrounding `/proc` is itself partly hidden.
pub fn processes(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("proc", target, "proc", flags, None)?)
}

/// Mounts a fresh set of pseudo-terminals.
///
/// # Errors
/// What `mount` says.
pub fn terminals(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    Ok(rustix::mount::mount("devpts", target, "devpts", flags, Some(options))?)
}

/// Sets the host name of the caller's namespace.
///
/// # Errors
/// What `sethostname` says.
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}
