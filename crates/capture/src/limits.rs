//! Every limit of this crate, with its reason.

use std::time::Duration;

/// Descriptors in one message. The kernel's own limit is 253 (`SCM_MAX_FD`); the most that any
/// message here carries is an `exec` request's three, so a small number keeps buffers on the stack.
pub const DESCRIPTORS_PER_MESSAGE: usize = 16;

/// Bytes read from a sealed memory file: bootstrap documents are a few KiB, and a file that claims
/// more is not one of ours.
pub const SEALED_BYTES: usize = 1024 * 1024;

/// One netlink answer. The kernel answers with an error that quotes our message, at most a page.
pub(crate) const NETLINK_ANSWER: usize = 32 * 1024;

/// How long the kernel may take to answer over netlink. It answers in microseconds unless it has to
/// load a module first.
pub(crate) const NETLINK_WAIT: Duration = Duration::from_secs(10);

/// Extents of an id map that are copied. The kernel accepts 340 (since Linux 4.15).
pub(crate) const ID_EXTENTS: usize = 340;

/// Descriptor numbers below this are given to a started process; sources are first moved above it,
/// so that no target overwrites a source that is still needed.
pub(crate) const HANDED_DESCRIPTORS: i32 = 64;
