//! What a first process does without a world: it is the parent of all that is orphaned, and ends them.
//!
//! There is no process namespace that ends with it, so it has to live longer than its supervisor, for a moment. Who kills
//! it by force leaves processes that have left their own parents.

use std::{fs, io};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait},
};

/// Processes whose parents die become this one's children.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills all children, and theirs as they become its own, until there are none.
pub(super) fn end_descendants() -> io::Result<()> {
    loop {
        let own = getpid().as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        for child in children.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?)) {
            // One that has ended is reaped below.
            let _gone = kill_process(child, Signal::KILL);
        }
        match rustix::io::retry_on_intr(|| wait(WaitOptions::empty())) {
            Ok(_) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
