//! A running mesh: `leno up` in a folder of its own, as an ordinary user.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use leno_testkit::programs;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up: far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An ordinary user without an entry in `/etc/passwd`, where the tests run as root.
const USER: u32 = 54_322;

/// A mesh and its folder. Dropping ends and removes both.
pub(crate) struct Mesh {
    up: Child,
    folder: PathBuf,
    /// The gateway's port.
    pub(crate) port: u16,
    log: PathBuf,
}

impl Mesh {
    /// Starts a copy of an example and waits until all of it is ready.
    pub(crate) fn of_example(example: &str, name: &str) -> Option<Self> {
        let leno = programs::own("leno", "leno").expect("leno builds");
        let sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
        // Not below /tmp: workloads have one of their own.
        let folder = PathBuf::from(format!("/var/tmp/leno-{name}-{}", std::process::id()));
        // What an earlier run that was killed may have left.
        let _fresh = fs::remove_dir_all(&folder);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
        copy(&source, &folder.join("mesh"));
        for program in [&leno, &sample] {
            fs::create_dir_all(folder.join("bin")).unwrap();
            let target = folder.join("bin").join(program.file_name().unwrap());
            fs::copy(program, &target).unwrap();
        }
        for own in ["state", "run"] {
            fs::create_dir_all(folder.join(own)).unwrap();
            fs::set_permissions(folder.join(own), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let port = free_port();
        let front = folder.join("mesh/config/front.yaml");
        let text = fs::read_to_string(&front).unwrap();
        assert!(text.contains("port: 8080"), "the example's gateway listens on 8080");
        fs::write(&front, text.replace("port: 8080", &format!("port: {port}"))).unwrap();
        let file = folder.join("mesh/mesh.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("name: bookshop", &format!("name: {name}"))).unwrap();
        give_away(&folder);
        let log = folder.join("up.log");
        let output = fs::File::create(&log).unwrap();
        let mut command = Command::new(folder.join("bin/leno"));
        command.args(["up", "mesh.yaml", "--config", "config"]).current_dir(folder.join("mesh"));
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let up = as_user(&mut command, &folder).spawn().expect("leno starts");
        let mut mesh = Self { up, folder, port, log };
        mesh.wait_until_ready();
        Some(mesh)
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.leno(&["status", "-o", "json"]);
            let status: Option<Value> = serde_json::from_slice(&status.stdout).ok();
            if status.is_some_and(|status| status["ready"] == true) {
                return;
            }
            let ended = self.up.try_wait().unwrap();
            assert!(ended.is_none(), "leno up ended: {ended:?}\n{}", self.output());
            assert!(Instant::now() < deadline, "not ready in time:\n{}", self.output());
            pause();
        }
    }

    /// What `leno up` has printed.
    pub(crate) fn output(&self) -> String {
        let mut text = String::new();
        fs::File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).unwrap();
        text
    }

    /// Runs the program beside the mesh.
    pub(crate) fn leno(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.folder.join("bin/leno"));
        as_user(command.args(arguments), &self.folder).output().unwrap()
    }

    /// Runs the sample's client inside a workload's world.
    pub(crate) fn sample(&self, workload: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["exec", workload, "--", "leno-sample"];
        all.extend(arguments);
        self.leno(&all)
    }

    /// The JSON that a load run inside a workload's world reports.
    pub(crate) fn load(&self, workload: &str, arguments: &[&str]) -> Value {
        let mut all = vec!["load", "--output", "json"];
        all.extend(arguments);
        let output = self.sample(workload, &all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}\n{}", self.output()))
    }

    /// A load run that goes on beside.
    pub(crate) fn start_load(&self, workload: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(self.folder.join("bin/leno"));
        command.args(["exec", workload, "--", "leno-sample", "load", "--output", "json"]).args(arguments);
        as_user(&mut command, &self.folder).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// The answer of the gateway, as JSON.
    pub(crate) fn front(&self) -> Value {
        self.try_front().unwrap_or_else(|why| panic!("{why}\n{}", self.output()))
    }

    /// The same, where it may fail.
    pub(crate) fn try_front(&self) -> Result<Value, String> {
        let mut command = Command::new(self.folder.join("bin/leno-sample"));
        command.args(["call", &format!("http://127.0.0.1:{}/", self.port)]);
        let output = as_user(&mut command, &self.folder).output().unwrap();
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))
    }

    /// A file of the configuration.
    pub(crate) fn config(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("mesh/config").join(name)).unwrap()
    }

    /// Replaces a file of the configuration at once, as editors and deployments do.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let path = self.folder.join("mesh/config").join(name);
        let fresh = path.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &path).unwrap();
    }

    /// Everything that belongs to this mesh and is still there: processes and files of the runtime directory.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let Ok(executable) = fs::read_link(path.join("exe")) else { continue };
            if executable.starts_with(&self.folder) {
                left.push(format!("{} {}", path.display(), executable.display()));
            }
        }
        let runtime = self.folder.join("run/leno");
        left.extend(
            fs::read_dir(runtime).into_iter().flatten().flatten().map(|e| e.path().display().to_string()),
        );
        left
    }

    /// Waits until nothing of it is left.
    pub(crate) fn wait_until_gone(&mut self) {
        self.up.wait().unwrap();
        eventually("nothing is left", || {
            let left = self.leftovers();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    /// The process number of `leno up`.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.up)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if self.up.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _gone = kill_process(self.pid(), Signal::TERM);
            let _ended = self.up.wait();
        }
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// Tries until it succeeds, with a deadline; says why it did not.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(()) => return,
            Err(why) => assert!(Instant::now() < deadline, "{what}: {why}"),
        }
        pause();
    }
}

/// A moment between two looks at something that takes its time.
fn pause() {
    let (tx, rx) = std::sync::mpsc::sync_channel::<()>(1);
    let _nobody = rx.recv_timeout(Duration::from_millis(20));
    drop(tx);
}

fn as_user<'c>(command: &'c mut Command, folder: &Path) -> &'c mut Command {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.join("bin").display());
    command.env_clear().env("PATH", path).env("HOME", folder);
    command.env("XDG_STATE_HOME", folder.join("state")).env("XDG_RUNTIME_DIR", folder.join("run"));
    if geteuid().is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap();
        }
    }
}

fn give_away(path: &Path) {
    if !geteuid().is_root() {
        return;
    }
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}
