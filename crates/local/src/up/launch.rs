//! Starting Leno's own processes: this executable again, each part in the surroundings that it needs.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use leno_capture::{
    capability::Set,
    descriptor,
    namespace::{IdMaps, Kinds},
    process::{self, Child, Command},
};

use super::{Arguments, Error};
use crate::{directory::Runtime, handoff};

/// Finds out whether packets can be redirected in a new network namespace, by doing it.
pub(super) fn probe(arguments: &Arguments) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Step("look into what this machine allows", error);
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut command = own_command(&arguments.supervisor, None).map_err(failed)?;
    handoff::give(&mut command, &handoff::SupervisorTask::Probe).map_err(failed)?;
    isolate(&mut command).map_err(failed)?;
    command.own_environment().stderr(write);
    let child = command.spawn().map_err(|error| Error::Forbidden(crate::error_chain(&error)))?;
    let mut reason = String::new();
    // Whatever it managed to say.
    let _read = std::fs::File::from(read).take(4096).read_to_string(&mut reason);
    let exit = child.wait().map_err(failed)?;
    if exit.is_success() { Ok(()) } else { Err(Error::Forbidden(format!("{} ({exit})", reason.trim()))) }
}

/// A command that starts this executable again, with the limit of open files that `leno up` was started with.
pub(super) fn own_command(arguments: &[OsString], open_files: Option<u64>) -> io::Result<Command> {
    let mut command = Command::of_file(process::own_executable()?, "leno".as_ref());
    for argument in arguments {
        command.argument(argument);
    }
    command.open_files(open_files);
    Ok(command)
}

/// Puts a command in a user and network namespace of its own, with every capability there.
pub(super) fn isolate(command: &mut Command) -> io::Result<()> {
    command
        .namespaces(Kinds::USER.and(Kinds::NETWORK))
        .maps(IdMaps::of_caller()?)
        .capabilities(Set::all())
        .session()
        .die_with_parent();
    Ok(())
}

/// A join token: 32 random bytes in hexadecimal, that nobody can guess.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn token() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Starts the janitor; returns also where it is told of processes.
pub(super) fn janitor(arguments: &Arguments, runtime: &Runtime) -> Result<(Child, OwnedFd), Error> {
    let prepare = || {
        let (ours, theirs) = descriptor::message_pair()?;
        let mut command = own_command(&arguments.janitor, None)?;
        let document = handoff::Janitor {
            link: command.hand(theirs)?,
            lock: command.hand(runtime.share_lock()?)?,
            directory: runtime.path.clone(),
        };
        handoff::give(&mut command, &document)?;
        command.session().workdir("/".as_ref());
        command.stderr(io::stderr().as_fd().try_clone_to_owned()?);
        Ok((command, ours))
    };
    let (command, link) = prepare().map_err(|error| Error::Step("prepare the janitor", error))?;
    Ok((command.spawn().map_err(Error::Janitor)?, link))
}
