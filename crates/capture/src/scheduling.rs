//! How the kernel's scheduler treats a thread.

use std::{io, mem, time::Duration};

use rustix::thread::gettid;

/// Asks that the calling thread be given turns of `slice`. Its share of a processor stays as it is; a thread with
/// shorter turns than the one that runs has its next turn sooner when it wakes, which suits one that does a little for
/// somebody who waits (`sched_setattr(2)`, EEVDF). Threads that it starts inherit it.
///
/// Whether the kernel took it: Linux does from 6.12 on, and has 0.7 to 2.8 ms for whoever doesn't ask. A thread for which
/// somebody has chosen another policy than the usual one is left alone.
///
/// # Errors
/// When the kernel refuses, or a filter of system calls does.
pub fn ask_for_turns(slice: Duration) -> io::Result<bool> {
    let nanoseconds = u64::try_from(slice.as_nanos()).map_err(io::Error::other)?;
    let mut attributes = attributes(0)?;
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(false);
    }
    attributes.sched_runtime = nanoseconds;
    // SAFETY: the kernel reads as many bytes as the structure says it has, and keeps nothing.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(self::attributes(0)?.sched_runtime == nanoseconds)
}

/// The turns that a thread, by its number, gets; `None` where the kernel doesn't tell.
///
/// # Errors
/// When there is no such thread.
pub fn turns_of(thread: u32) -> io::Result<Option<Duration>> {
    let told = attributes(thread)?.sched_runtime;
    Ok((told > 0).then(|| Duration::from_nanos(told)))
}

/// The number of the calling thread, as below `/proc/PID/task`.
#[must_use]
pub fn this_thread() -> u32 {
    gettid().as_raw_nonzero().get().cast_unsigned()
}

/// What the kernel tells of a thread, 0 being the calling one.
fn attributes(thread: u32) -> io::Result<libc::sched_attr> {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: the kernel writes at most `size` bytes to it.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, thread, &raw mut attributes, size, 0) };
    if done == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const TURNS: Duration = Duration::from_micros(500);

    #[test]
    fn a_thread_gets_the_turns_that_it_asks_for_and_others_keep_theirs() {
        let before = turns_of(this_thread()).unwrap();
        let asked = thread::spawn(|| (ask_for_turns(TURNS).unwrap(), turns_of(this_thread()).unwrap()));
        let (taken, turns) = asked.join().unwrap();
        // Older kernels take no request, and tell no turns either.
        assert_eq!(taken, before.is_some());
        assert_eq!(turns, before.map(|_usual| TURNS));
        assert_eq!(turns_of(this_thread()).unwrap(), before);
    }

    #[test]
    fn a_policy_that_was_chosen_stays() {
        thread::spawn(|| {
            // SAFETY: the structure lives as long as the call.
            let chosen = unsafe {
                libc::sched_setscheduler(0, libc::SCHED_BATCH, &libc::sched_param { sched_priority: 0 })
            };
            assert_eq!(chosen, 0);
            assert!(!ask_for_turns(TURNS).unwrap());
            assert_eq!(attributes(0).unwrap().sched_policy, libc::SCHED_BATCH.cast_unsigned());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_is_not_there_is_an_error() {
        assert!(turns_of(u32::MAX >> 1).is_err());
    }
}
