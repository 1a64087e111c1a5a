//! Both sides of a process's first instants: `clone3`, the child's preparations, `exec`.
//!
//! The child shares no memory with the parent but started as its copy, maybe in the middle of another
//! thread's `malloc`. So whatever it needs is prepared before `clone3`; afterwards it makes system
//! calls on borrowed memory and neither allocates, nor locks, nor returns.

use std::{
    ffi::{CStr, CString},
    fmt, io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    ptr,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal},
    thread::{CapabilitySet, CapabilitySets, Gid, Uid},
};

use super::{Child, Command, Error, Program};
use crate::limits::HANDED_DESCRIPTORS;

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Waiting for its id maps.
    Maps,
    /// Starting a session.
    Session,
    /// Becoming another user.
    User,
    /// Setting its capabilities.
    Capabilities,
    /// Tying its life to the parent's.
    Tie,
    /// Arranging descriptors.
    Descriptors,
    /// Changing to the working directory.
    Workdir,
    /// Executing the program.
    Execute,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Maps,
        Self::Session,
        Self::User,
        Self::Capabilities,
        Self::Tie,
        Self::Descriptors,
        Self::Workdir,
        Self::Execute,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Maps => "map users",
            Self::Session => "start a session",
            Self::User => "change the user",
            Self::Capabilities => "set capabilities",
            Self::Tie => "watch the parent",
            Self::Descriptors => "arrange descriptors",
            Self::Workdir => "enter the working directory",
            Self::Execute => "execute the program",
        })
    }
}

/// Everything that the child reads, prepared by the parent.
struct Plan<'a> {
    command: &'a Command,
    groups: Vec<Gid>,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// Descriptors in the order of their future numbers; later their copies out of the way.
    handed: Vec<RawFd>,
    /// The open program file, or -1.
    program: RawFd,
    gate: RawFd,
    gate_opener: RawFd,
    report: RawFd,
    parent: RawFd,
}

pub(super) fn launch(command: Command) -> Result<Child, Error> {
    let failed = |operation: &'static str| {
        let program = command.name();
        move |source: io::Error| Error::Parent { operation, program, source }
    };
    let (gate, gate_opener) = pipe().map_err(failed("open a pipe"))?;
    let (verdict, report) = pipe().map_err(failed("open a pipe"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed("open /dev/null")(error.into()))?;
    let parent = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(|error| failed("open a pidfd")(error.into()))?;
    let mut plan = Plan::new(&command, &null, [&gate, &gate_opener], &report, &parent);
    let child = clone(&mut plan).map_err(failed("clone"))?;
    drop(gate);
    drop(report);
    if let Some(maps) = &command.maps
        && let Err(source) = maps.write(child.id())
    {
        drop(gate_opener);
        // The child ends because the gate closed; nothing but its status is lost.
        let _ended = child.wait();
        return Err(failed("map users")(source));
    }
    rustix::io::write(&gate_opener, &[1]).map_err(|error| failed("open the gate")(error.into()))?;
    drop(gate_opener);
    match read_report(&verdict) {
        None => Ok(child),
        Some((step, source)) => {
            let _ended = child.wait();
            Err(Error::Child { step, program: command.name(), source })
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// Waits until the report's writing end is closed by `exec` (then `None`) or says what failed.
fn read_report(verdict: &OwnedFd) -> Option<(Step, io::Error)> {
    let mut bytes = [0; 5];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(verdict, &mut bytes)).unwrap_or(0);
    if length < bytes.len() {
        return None;
    }
    let [step, error @ ..] = bytes;
    let step = Step::ALL.get(usize::from(step)).copied().unwrap_or(Step::Execute);
    Some((step, io::Error::from_raw_os_error(i32::from_ne_bytes(error))))
}

impl<'a> Plan<'a> {
    fn new(
        command: &'a Command,
        null: &'a OwnedFd,
        [gate, gate_opener]: [&'a OwnedFd; 2],
        report: &'a OwnedFd,
        parent: &'a OwnedFd,
    ) -> Self {
        let streams = command.streams.iter().map(|stream| stream.as_ref().unwrap_or(null));
        let groups = command.credentials.iter().flat_map(|credentials| &credentials.groups);
        Self {
            groups: groups.map(|&group| Gid::from_raw(group)).collect(),
            arguments: pointers(&command.arguments),
            environment: pointers(&command.environment),
            handed: streams.chain(&command.handed).map(AsRawFd::as_raw_fd).collect(),
            program: match &command.program {
                Program::Path(_) => -1,
                Program::File(file) => file.as_raw_fd(),
            },
            gate: gate.as_raw_fd(),
            gate_opener: gate_opener.as_raw_fd(),
            report: report.as_raw_fd(),
            parent: parent.as_raw_fd(),
            command,
        }
    }
}

/// A descriptor of the plan, for the child's system calls.
fn borrowed<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the plan's numbers are open: its lifetime borrows their owners in the parent, and the child
    // has copies that it never closes.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// A null-terminated array of pointers into `strings`.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Starts the child as a copy of this process, in the wanted namespaces.
fn clone(plan: &mut Plan<'_>) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    // SAFETY: plain data, for which all zeroes mean "not used".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(plan.command.namespaces.bits()) | u64::from(libc::CLONE_PIDFD.unsigned_abs());
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let blocked = BlockedSignals::all()?;
    // SAFETY: like fork: the child gets a copy of this memory and only ever runs `prepare_and_execute`,
    // which keeps to system calls. `arguments` and `pidfd` outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    if result == 0 {
        prepare_and_execute(plan);
    }
    drop(blocked);
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let id = i32::try_from(result).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
    Ok(Child { id, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// All signals blocked while this lives, so that no handler runs in the half-made child.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn all() -> io::Result<Self> {
        // SAFETY: both sets live on this stack frame, and sigfillset initializes the one that is read.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
                0 => Ok(Self(before)),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: a set that pthread_sigmask filled in; failing is impossible for SIG_SETMASK.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// The child, from its first instruction to the program's. Doesn't return.
fn prepare_and_execute(plan: &mut Plan<'_>) -> ! {
    let (step, error) = match prepare(plan) {
        Ok(()) => (Step::Execute, execute(plan)),
        Err(failure) => failure,
    };
    let mut bytes = [0; 5];
    bytes[0] = step as u8;
    bytes[1..].copy_from_slice(&error.raw_os_error().to_ne_bytes());
    // If even this fails, the exit code still says that the program never ran.
    let _sent = rustix::io::write(borrowed(plan.report), &bytes);
    // SAFETY: ends the child at once; no destructor of the copied memory runs.
    unsafe { libc::_exit(127) }
}

type Failure = (Step, Errno);

fn prepare(plan: &mut Plan<'_>) -> Result<(), Failure> {
    let command = plan.command;
    wait_for_gate(plan).map_err(|error| (Step::Maps, error))?;
    if command.session {
        rustix::process::setsid().map_err(|error| (Step::Session, error))?;
    }
    change_user(plan).map_err(|error| (Step::User, error))?;
    set_capabilities(command).map_err(|error| (Step::Capabilities, error))?;
    // After the user, because the kernel forgets the death signal when credentials change.
    tie(plan).map_err(|error| (Step::Tie, error))?;
    arrange_descriptors(plan).map_err(|error| (Step::Descriptors, error))?;
    if command.terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(|error| (Step::Session, error))?;
    }
    if let Some(workdir) = &command.workdir {
        rustix::process::chdir(workdir.as_c_str()).map_err(|error| (Step::Workdir, error))?;
    }
    if let Some(limit) = command.open_files {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum })
            .map_err(|error| (Step::Descriptors, error))?;
    }
    default_signals();
    Ok(())
}

/// Waits until the parent has written the id maps. Without them, or when the parent dies, the gate closes.
fn wait_for_gate(plan: &Plan<'_>) -> Result<(), Errno> {
    // This process's copy of the other end would keep the gate from closing.
    // SAFETY: the number is the child's own copy, of which nothing here is an owner.
    unsafe { libc::close(plan.gate_opener) };
    let mut byte = [0];
    match rustix::io::retry_on_intr(|| rustix::io::read(borrowed(plan.gate), &mut byte))? {
        0 => Err(Errno::CANCELED),
        _ => Ok(()),
    }
}

fn change_user(plan: &Plan<'_>) -> Result<(), Errno> {
    let Some(credentials) = &plan.command.credentials else { return Ok(()) };
    let (user, group) = (Uid::from_raw(credentials.user), Gid::from_raw(credentials.group));
    rustix::thread::set_thread_groups(&plan.groups)?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Makes the wanted capabilities survive `exec` as ambient ones, and all others unreachable.
fn set_capabilities(command: &Command) -> Result<(), Errno> {
    if let Some(wanted) = command.capabilities {
        let keep = rustix::thread::capabilities(None)?.permitted.intersection(wanted);
        let each = (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number));
        for one in each.clone().filter(|one| !wanted.contains(*one)) {
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
        rustix::thread::set_capabilities(
            None,
            CapabilitySets { effective: keep, permitted: keep, inheritable: keep },
        )?;
        for one in each.filter(|one| keep.contains(*one)) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    if command.forbid_gain {
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// Asks for death with the parent, then makes sure that the parent hadn't died before.
fn tie(plan: &Plan<'_>) -> Result<(), Errno> {
    if !plan.command.die_with_parent {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::from_borrowed_fd(borrowed(plan.parent), PollFlags::IN)], Some(&now))? {
        0 => Ok(()),
        _ => Err(Errno::SRCH),
    }
}

/// Gives every descriptor its number and marks all others close-on-exec.
fn arrange_descriptors(plan: &mut Plan<'_>) -> Result<(), Errno> {
    // First everything that is still needed moves out of the way of the numbers given below.
    for fd in plan.handed.iter_mut().chain([&mut plan.report]) {
        *fd = copy_above(*fd)?;
    }
    if plan.program >= 0 {
        plan.program = copy_above(plan.program)?;
    }
    for (&fd, number) in plan.handed.iter().zip(0..) {
        // SAFETY: dup3 only reads numbers; whatever had this number belongs to the copied parent.
        if unsafe { libc::dup3(fd, number, 0) } < 0 {
            return Err(last_error());
        }
    }
    let first_unused = u32::try_from(plan.handed.len()).map_err(|_large| Errno::INVAL)?;
    // SAFETY: only sets a flag on descriptors.
    let closed =
        unsafe { libc::syscall(libc::SYS_close_range, first_unused, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if closed < 0 { Err(last_error()) } else { Ok(()) }
}

/// A copy of a descriptor above all numbers that are handed out.
fn copy_above(fd: RawFd) -> Result<RawFd, Errno> {
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed(fd), HANDED_DESCRIPTORS)?.into_raw_fd())
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Signal dispositions and mask as a shell would set them; Rust programs ignore SIGPIPE, ours shouldn't.
fn default_signals() {
    // SAFETY: sets plain dispositions; numbers that can't be changed only return an error.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

fn execute(plan: &Plan<'_>) -> Errno {
    let (arguments, environment) = (plan.arguments.as_ptr(), plan.environment.as_ptr());
    let empty: &CStr = c"";
    let (directory, path, flags) = match &plan.command.program {
        Program::Path(path) => (libc::AT_FDCWD, path.as_c_str(), 0),
        Program::File(_) => (plan.program, empty, libc::AT_EMPTY_PATH),
    };
    // SAFETY: all pointers are to null-terminated memory that the plan keeps alive; returns only on failure.
    unsafe { libc::syscall(libc::SYS_execveat, directory, path.as_ptr(), arguments, environment, flags) };
    last_error()
}
