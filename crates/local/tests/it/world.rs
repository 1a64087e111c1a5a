//! Runs a mesh in a directory of its own, as one of two callers.

use std::{
    fmt, fs,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use leno_capture::{
    namespace::IdMaps,
    process::{self, Child, Command, Credentials, Exit},
};
use leno_local::protocol::Status;
use libtest_mimic::Failed;
use rustix::pipe::{PipeFlags, pipe_with};

/// First argument of this binary when it plays a role.
pub(crate) const PLAY: &str = "play";

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An ordinary user without an entry in `/etc/passwd`.
const ORDINARY: u32 = 54_321;

/// Who runs the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Root,
    Ordinary,
}

impl Caller {
    pub(crate) const ALL: [Self; 2] = [Self::Root, Self::Ordinary];
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Root { "as_root" } else { "as_ordinary_user" })
    }
}

pub(crate) type Test = fn(&mut Mesh);

/// Runs a test in a directory of its own and cleans up, whatever it left.
pub(crate) fn run(caller: Caller, test: Test) -> Result<(), Failed> {
    let am_root = IdMaps::of_caller()?.has_other_users();
    if caller == Caller::Root && !am_root {
        return skip("needs root");
    }
    let mut mesh = Mesh::new(caller, am_root);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut mesh)));
    if outcome.is_err() {
        eprintln!("--- output of {caller}:\n{}---", mesh.output());
    }
    drop(mesh);
    outcome.map_err(|_panic| Failed::without_message())
}

/// A skip is loud, and a failure where CI=true.
fn skip(reason: &str) -> Result<(), Failed> {
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        return Err(format!("SKIPPED where CI=true: {reason}").into());
    }
    eprintln!("SKIPPED: {reason}");
    Ok(())
}

/// Polls until a condition holds.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        moment();
    }
}

/// The pause between two looks at a condition.
fn moment() {
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    rustix::event::poll(&mut [], Some(&pause)).unwrap();
}

/// A copy of this binary where every user can execute it. Written once, before there are other threads: a
/// file can't be executed while any process, such as one that was just cloned, has it open for writing.
pub(crate) fn prepare_binary() {
    fs::copy(process::own_path().unwrap(), shared_binary()).unwrap();
}

pub(crate) fn remove_binary() {
    fs::remove_file(shared_binary()).unwrap();
}

fn shared_binary() -> PathBuf {
    // Not in /tmp, which workloads don't see.
    PathBuf::from(format!("/var/tmp/leno-it-{}", std::process::id()))
}

/// A mesh that a test runs.
pub(crate) struct Mesh {
    pub(crate) caller: Caller,
    /// Whether roles must become the ordinary user first.
    change_user: bool,
    pub(crate) directory: PathBuf,
    pub(crate) up: Option<Child>,
}

impl Mesh {
    fn new(caller: Caller, am_root: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = shared_binary().with_extension(number.to_string());
        let change_user = am_root && caller == Caller::Ordinary;
        for part in ["", "run", "state", "project", "project/config"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).unwrap();
            if change_user {
                chown(&path, Some(ORDINARY), Some(ORDINARY)).unwrap();
            }
        }
        fs::hard_link(shared_binary(), directory.join("it")).unwrap();
        Self { caller, change_user, directory, up: None }
    }

    /// Goes on in a directory below `/tmp`, before anything of it runs.
    pub(crate) fn move_below_tmp(&mut self) {
        let target = Path::new("/tmp").join(self.directory.file_name().unwrap());
        // By other programs: none of ours may hold the binary open for writing.
        let moved = std::process::Command::new("cp").arg("-a").args([&self.directory, &target]).status();
        assert!(moved.unwrap().success());
        fs::remove_dir_all(&self.directory).unwrap();
        self.directory = target;
    }

    pub(crate) fn binary(&self) -> PathBuf {
        self.directory.join("it")
    }

    pub(crate) fn mesh_file(&self) -> PathBuf {
        self.directory.join("project/mesh.json")
    }

    /// The words that make a workload of this binary.
    pub(crate) fn app(&self, words: &[&str]) -> Vec<String> {
        let binary = self.binary().display().to_string();
        [binary.as_str(), PLAY, "app"].iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    /// Starts the mesh with these services and workloads, and waits until all is ready.
    pub(crate) fn start(&mut self, services: serde_json::Value, workloads: serde_json::Value) {
        self.launch(services, workloads);
        eventually("the mesh is ready", || self.try_status().filter(|status| status.ready));
    }

    /// The same without waiting.
    pub(crate) fn launch(&mut self, services: serde_json::Value, mut workloads: serde_json::Value) {
        if self.caller == Caller::Root {
            for workload in workloads.as_array_mut().unwrap() {
                workload["user"].is_null().then(|| workload["user"] = "root".into());
            }
        }
        let document = serde_json::json!({
            "apiVersion": "leno.dev/v1alpha1", "kind": "LocalMesh", "metadata": {"name": "m"},
            "spec": {"services": services, "workloads": workloads},
        });
        fs::write(self.mesh_file(), document.to_string()).unwrap();
        self.up_again();
    }

    /// Starts `leno up` on the mesh file as it is.
    pub(crate) fn up_again(&mut self) {
        let mut command = self.role(&["up"]);
        let log = fs::File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap().into()).stderr(log.into()).session();
        self.up = Some(command.spawn().unwrap());
    }

    /// A role as the mesh's caller.
    pub(crate) fn role(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary());
        command.argument(PLAY);
        for word in words {
            command.argument(word);
        }
        let path = |part: &str| self.directory.join(part);
        command
            .variable("PATH", "/usr/bin:/bin")
            .variable("HOME", &self.directory)
            .variable("LENO_TEST", &self.directory)
            .variable("XDG_RUNTIME_DIR", path("run"))
            .variable("XDG_STATE_HOME", path("state"))
            .variable("RUST_BACKTRACE", "0")
            .workdir(Path::new("/"))
            .die_with_parent();
        if self.change_user {
            command.credentials(Credentials { user: ORDINARY, group: ORDINARY, groups: vec![] });
        }
        command
    }

    /// Runs a role to its end.
    pub(crate) fn play(&self, words: &[&str]) -> (String, Exit) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut command = self.role(words);
        command.stdout(write).stderr(io::stderr().as_fd().try_clone_to_owned().unwrap());
        let child = command.spawn().unwrap();
        let mut output = String::new();
        fs::File::from(read).read_to_string(&mut output).unwrap();
        (output, child.wait().unwrap())
    }

    /// Runs this binary as a program in a workload's world; panics unless it succeeds.
    #[track_caller]
    pub(crate) fn inside(&self, workload: &str, words: &[&str]) -> String {
        let (output, exit) = self.try_inside(workload, words);
        assert!(exit.is_success(), "{words:?} in {workload}: {exit}: {output}");
        output
    }

    pub(crate) fn try_inside(&self, workload: &str, words: &[&str]) -> (String, Exit) {
        let app = self.app(words);
        let words: Vec<&str> = ["exec", workload].into_iter().chain(app.iter().map(String::as_str)).collect();
        self.play(&words)
    }

    pub(crate) fn try_status(&self) -> Option<Status> {
        let (output, exit) = self.play(&["status"]);
        exit.is_success().then(|| serde_json::from_str(&output).unwrap())
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        self.try_status().expect("the mesh runs")
    }

    /// Whether (at least) so many processes are in a workload's world.
    pub(crate) fn has_processes(&self, workload: &str, count: usize) -> Option<()> {
        let (names, _) = self.try_inside(workload, &["list", "/proc"]);
        let processes = names.split(' ').filter(|name| name.trim().parse::<u32>().is_ok());
        // Without the one that counts.
        (processes.count() > count).then_some(())
    }

    /// Makes a file the caller's own.
    pub(crate) fn give_to_caller(&self, path: &str) {
        if self.change_user {
            chown(self.directory.join(path), Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// What `leno up` printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Everything that was logged, sidecars' lines included.
    pub(crate) fn logs(&self, workload: &str) -> String {
        self.play(&["logs", workload]).0
    }

    pub(crate) fn signal_up(&self, signal: rustix::process::Signal) {
        self.up.as_ref().unwrap().signal(signal.as_raw()).unwrap();
    }

    /// Waits until `leno up` has ended.
    #[track_caller]
    pub(crate) fn wait_up(&mut self) -> Exit {
        let up = self.up.take().unwrap();
        eventually("leno up ends", || up.try_wait().unwrap())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if let Some(up) = self.up.take() {
            up.signal(rustix::process::Signal::KILL.as_raw()).unwrap();
            up.wait().unwrap();
            let runtime = self.directory.join("run/leno/m");
            let deadline = Instant::now() + PATIENCE;
            while runtime.exists() && Instant::now() < deadline {
                moment();
            }
        }
        fs::remove_dir_all(&self.directory).unwrap();
    }
}
