//! What the calling thread may do: capability sets, and the one-way switches around them.
//!
//! Everything here acts on the calling *thread* only, as the kernel does; call it before the first
//! other thread exists.

use std::io;

use rustix::{
    process::DumpableBehavior,
    thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets},
};

/// The capabilities with which a daemon started as root drops its privileges itself.
pub const DAEMON: CapabilitySet =
    CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::CHOWN).union(CapabilitySet::KILL);

pub use rustix::thread::CapabilitySet as Set;

/// The highest capability number that this version of the kernel might know (40 in Linux 6.18).
const HIGHEST: u32 = 63;

/// Takes everything but `keep` from this thread for good: permitted, effective, inheritable, ambient
/// and bounding set. Whatever it executes can't get more back, be it as user 0.
///
/// # Errors
/// What `prctl` or `capset` say; `PermissionDenied` without `CAP_SETPCAP`.
pub fn reduce_to(keep: CapabilitySet) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    for number in 0..=HIGHEST {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Numbers above the kernel's last capability end the walk.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

/// The capabilities that this thread holds now.
///
/// # Errors
/// What `capget` says.
pub fn effective() -> io::Result<CapabilitySet> {
    Ok(rustix::thread::capabilities(None)?.effective)
}

/// Forgets capabilities that were handed over as ambient, so that the next `exec` doesn't pass them on.
///
/// # Errors
/// What `prctl` says.
pub fn clear_ambient() -> io::Result<()> {
    Ok(rustix::thread::clear_ambient_capability_set()?)
}

/// No later `exec` gains privileges from set-user-id bits or file capabilities.
///
/// # Errors
/// What `prctl` says.
pub fn forbid_gain() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Hides this process's memory, descriptors and environment from others of the same user: no
/// `ptrace`, no `/proc/PID/mem`, no core dump.
///
/// # Errors
/// What `prctl` says.
pub fn hide_memory() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The secure bits of this thread, for tests and diagnostics.
///
/// # Errors
/// What `prctl` says.
pub fn secure_bits() -> io::Result<CapabilitiesSecureBits> {
    Ok(rustix::thread::capabilities_secure_bits()?)
}
