//! Processes of the benchmark: started inside a side, ended with the harness, never left running.

use std::{
    ffi::OsStr,
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{limits, network::Side};

/// A command that will run in a side.
pub(crate) fn inside(side: &Side, program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("can't find this program")?);
    command.arg("enter").arg("--namespace").arg(side.path());
    command.arg("--owner").arg(std::process::id().to_string()).arg("--").arg(program);
    Ok(command)
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    handle: OwnedFd,
    log: PathBuf,
}

impl Process {
    /// Starts a command whose output goes to `FOLDER/NAME.log`.
    pub(crate) fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let errors = File::create(&log).with_context(|| format!("can't create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
        Self::spawn(name, command, log)
    }

    fn spawn(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process number")?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).context("can't watch a process")?;
        Ok(Self { name: name.to_owned(), child, handle, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, or the time has passed.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs().try_into()?, tv_nsec: left.subsec_nanos().into() };
            let mut watched = [PollFd::new(&self.handle, PollFlags::IN)];
            match poll(&mut watched, Some(&left)) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(self.child.try_wait()?),
                Err(rustix::io::Errno::INTR) => {}
                Err(other) => return Err(other).context("can't wait for a process"),
            }
        }
    }

    /// An error when it ends by itself within the time.
    pub(crate) fn survive(&mut self, time: Duration) -> Result<()> {
        match self.wait(time)? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_end()),
        }
    }

    /// The last lines that it said.
    pub(crate) fn log_end(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(limits::LOG_LINES)..).unwrap_or_default().join("\n")
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        // It may have ended already, which `wait` tells.
        let _ = pidfd_send_signal(&self.handle, Signal::TERM);
        match self.wait(limits::STOP)? {
            Some(_) => Ok(()),
            None => bail!("{} didn't end within {:?} of SIGTERM", self.name, limits::STOP),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already can't be ended again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and returns what it printed. After `limit` it is killed. `look` is called once when
/// `midway` has passed, if the command runs so long.
pub(crate) fn output(
    name: &str,
    folder: &Path,
    mut command: Command,
    limit: Duration,
    midway: Duration,
    look: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<u8>> {
    let (out, log) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
    // Files take any amount without anybody reading.
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
    let mut process = Process::spawn(name, command, log)?;
    let mut ended = process.wait(midway)?;
    if ended.is_none() {
        look()?;
        ended = process.wait(limit.saturating_sub(midway))?;
    }
    match ended {
        Some(status) if status.success() => Ok(std::fs::read(&out)?),
        Some(status) => bail!("{name} ended with {status}: {}", process.log_end()),
        None => bail!("{name} took longer than {limit:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let folder = leno_testkit::programs::target().join("bench-process");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_bounded_in_time_and_failures_are_quoted() {
        let (limit, midway) = (Duration::from_secs(10), Duration::from_millis(50));
        let run = |name, script, limit, look: &mut dyn FnMut() -> Result<()>| {
            output(name, &folder(), shell(script), limit, midway, look)
        };
        let unseen = &mut || bail!("looked");
        assert_eq!(run("good", "echo yes", limit, unseen).unwrap(), b"yes\n");
        let failed = run("bad", "echo no >&2; exit 3", limit, unseen).unwrap_err().to_string();
        assert!(failed.contains("exit status: 3: no"), "{failed}");
        let late = run("late", "exec sleep 60", midway * 2, &mut || Ok(())).unwrap_err();
        assert!(late.to_string().contains("longer"), "{late}");
        let looked = run("looked", "exec sleep 60", limit, unseen).unwrap_err();
        assert!(looked.to_string().contains("looked"), "{looked}");
    }

    #[test]
    fn an_early_end_is_an_error_with_the_last_lines() {
        let mut process = Process::start("early", &folder(), shell("echo can\\'t listen; exit 1")).unwrap();
        let ended = process.survive(Duration::from_secs(10)).unwrap_err().to_string();
        assert!(ended.contains("can't listen"), "{ended}");
        let mut lasting = Process::start("lasting", &folder(), shell("exec sleep 60")).unwrap();
        lasting.survive(Duration::from_millis(20)).unwrap();
        lasting.stop().unwrap();
    }
}
