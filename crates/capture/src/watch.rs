//! Descriptors that async tasks wait for. The only part of this crate that needs a runtime.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with the current runtime, which owns it from now on.
///
/// # Errors
/// What the kernel's event queue says, for example for a regular file.
///
/// # Panics
/// When called outside a runtime.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open until it is dropped, always names the same descriptor, and can't be
    // replaced through the shared reference that AsyncFd gives out.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(Into::into)
}
