//! Starting a process in the world, and saying why it didn't.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use leno_capture::process::{Child, Command, Error, Step};

use crate::{executable, handoff::Process};

/// Starts a process with these three standard streams.
pub(super) fn start(process: &Process, streams: Vec<OwnedFd>) -> Result<Child, String> {
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(streams) else {
        return Err("its standard streams are missing".to_owned());
    };
    let (program, arguments) = process.words.split_first().ok_or("its command is empty")?;
    let path = find(program, process)?;
    let mut command = Command::new(&path);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    for argument in arguments {
        command.argument(argument);
    }
    for (name, value) in &process.environment {
        command.variable(name, value);
    }
    command.workdir(&process.workdir).session();
    if process.terminal {
        command.terminal();
    }
    if let Some(user) = &process.user {
        command.credentials(user.credentials());
    }
    command.spawn().map_err(|error| explain(&error, &path, process))
}

/// The executable that a shell would run for this word.
fn find(program: &str, process: &Process) -> Result<PathBuf, String> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let candidates = executable::candidates(program, &process.environment, &process.workdir);
    let path = process.environment.get("PATH").map_or("", String::as_str);
    let found = candidates.into_iter().find(|file| executable::is_executable(file));
    found.ok_or_else(|| format!("no program {program:?} in PATH ({path}); give its whole path, or set PATH"))
}

/// The failure in words, with the remedy where the place is the likely reason.
fn explain(error: &Error, program: &Path, process: &Process) -> String {
    let missing = match error {
        Error::Child { step, source, .. } if source.kind() == io::ErrorKind::NotFound => Some(step),
        _ => None,
    };
    let place = match missing {
        Some(Step::Workdir) => &process.workdir,
        Some(Step::Execute) => program,
        _ => return crate::error_chain(error),
    };
    let private = ["/tmp", "/run", "/var/run", "/dev"].iter().find(|private| place.starts_with(private));
    let hint = match private {
        Some(private) => format!("; workloads have their own {private}: name it in `share`"),
        None if missing == Some(&Step::Execute) && place.exists() => {
            "; the file is there, its interpreter isn't".to_owned()
        }
        None if missing == Some(&Step::Workdir) => {
            "; name a directory that there is with `workdir`".to_owned()
        }
        None => "; check the path of the program".to_owned(),
    };
    format!("there is no {}{hint}", place.display())
}
