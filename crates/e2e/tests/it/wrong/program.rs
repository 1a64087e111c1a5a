//! Runs the program as a person would, in a folder with a few files and no running mesh.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest that a command may take; all of them end at once, since something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program and its folder, which is removed when dropped.
pub(super) struct Leno {
    program: PathBuf,
    folder: PathBuf,
}

/// What a command did.
pub(super) struct Ran {
    /// Its exit code; none where it had to be ended.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Leno {
    pub(super) fn new(program: &Path, name: &str) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/leno-wrong-{name}-{}", std::process::id()));
        let _earlier = fs::remove_dir_all(&folder);
        // Without it, root's meshes would be those of the machine.
        fs::create_dir_all(folder.join("run")).unwrap();
        Self { program: program.to_owned(), folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of the folder.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program in this folder, which knows of no mesh.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env_clear().env("HOME", &self.folder);
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.env("XDG_RUNTIME_DIR", self.folder.join("run"));
        command
    }

    pub(super) fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        run(self.command().args(words))
    }

    /// Whether a mesh has left any trace.
    pub(super) fn has_started_anything(&self) -> bool {
        self.folder.join("state").exists() || self.folder.join("run/leno").exists()
    }
}

impl Drop for Leno {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command to its end, or ends it: what is wrong may have been taken for right.
pub(super) fn run(command: &mut Command) -> Ran {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // What is printed fits into the pipes.
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    let mut ran = Ran { code: child.wait().unwrap().code(), out: String::new(), err: String::new() };
    child.stdout.take().unwrap().read_to_string(&mut ran.out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut ran.err).unwrap();
    ran
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Signs of a remedy: our own help, and that about words of the command line.
const REMEDIES: [&str; 6] =
    ["\n  help: ", "\n  tip: ", "[possible values: ", "\nUsage: ", ": write ", "but none was supplied"];

impl Ran {
    /// What it said about the mistake, without the lines of its log, which have their time.
    pub(super) fn said(&self) -> String {
        let is_log = |line: &&str| line.starts_with("20") && line.contains("Z ");
        let lines = self.err.lines().filter(|line| !is_log(line) && !is_pointer(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// What is wrong with the refusal of a command that should have ended with this code and named this place.
    pub(super) fn faults(&self, code: i32, place: &str) -> Vec<String> {
        let said = self.said();
        let rules = [
            (self.code == Some(code), format!("exit code {:?}, not {code}", self.code)),
            (self.out.is_empty(), format!("errors go to standard error: {}", self.out)),
            (said.contains(place), format!("{place:?} isn't named")),
            (REMEDIES.iter().any(|sign| said.contains(sign)), "no remedy".to_owned()),
            (!self.err.contains("panicked"), "a panic".to_owned()),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
    }
}

/// The last line of everything that is said about wrong words.
fn is_pointer(line: &str) -> bool {
    line == "For more information, try '--help'."
}
