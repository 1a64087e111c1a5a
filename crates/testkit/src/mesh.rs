//! Whole meshes for tests: a declaration in a few lines, run by the real program as an ordinary user or as root.
//!
//! Everything of a mesh lies in one folder of its own: programs, mesh file, configuration, state, runtime
//! directory. So a test can tell what belongs to it, and [`Mesh::leftovers`] what should be gone. Dropping a
//! mesh ends it and removes the folder.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod admin;
mod declare;
mod folder;

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use admin::{Admin, Metrics};
pub use declare::{Declaration, free_port};
pub use folder::User;

use crate::limits::PATIENCE;

/// A running mesh.
#[derive(Debug)]
pub struct Mesh {
    up: Child,
    folder: folder::Folder,
    arguments: Vec<String>,
    name: String,
    started: Instant,
    /// The port of its gateway, see [`Declaration::port`].
    pub port: u16,
}

impl Mesh {
    fn wait_until_ready(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
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
    pub fn output(&self) -> String {
        let mut text = String::new();
        File::open(self.folder.log()).and_then(|mut file| file.read_to_string(&mut text)).unwrap();
        text
    }

    /// A program of the mesh's folder, as the mesh's user and in its environment.
    pub fn program(&self, name: &str) -> Command {
        self.folder.command(&self.folder.program(name))
    }

    /// Any program, as the mesh's user and in its environment.
    pub fn command(&self, program: &Path) -> Command {
        self.folder.command(program)
    }

    /// Runs `leno` with these arguments beside the mesh, as its user.
    pub fn leno(&self, arguments: &[&str]) -> Output {
        self.program("leno").args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// The JSON that `leno` prints when asked for it.
    pub fn leno_json(&self, arguments: &[&str]) -> Value {
        let output = self.program("leno").args(arguments).args(["-o", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The lines of JSON that `leno` prints when asked for it.
    pub fn leno_json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.program("leno").args(arguments).args(["-o", "json"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a command inside a workload's world.
    pub fn exec(&self, workload: &str, command: &[&str]) -> Output {
        let mut all = vec!["exec", workload, "--"];
        all.extend(command);
        self.leno(&all)
    }

    /// Runs the sample's client inside a workload's world.
    pub fn sample(&self, workload: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["leno-sample"];
        all.extend(arguments);
        self.exec(workload, &all)
    }

    /// The JSON that a load run inside a workload's world reports.
    pub fn load(&self, workload: &str, arguments: &[&str]) -> Value {
        let mut all = vec!["load", "--output", "json"];
        all.extend(arguments);
        let output = self.sample(workload, &all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}\n{}", self.output()))
    }

    /// A load run that goes on beside; [`report`] is its result.
    pub fn start_load(&self, workload: &str, arguments: &[&str]) -> Child {
        let mut all = vec!["leno-sample", "load", "--output", "json"];
        all.extend(arguments);
        self.start(workload, &all)
    }

    /// A command inside a workload's world that goes on beside.
    pub fn start(&self, workload: &str, command: &[&str]) -> Child {
        let mut leno = self.program("leno");
        leno.args(["exec", workload, "--"]).args(command);
        leno.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The admin interface of a replica's sidecar, of the `gateway` or of the control plane, `control`.
    pub fn admin(&self, name: &str) -> Admin {
        let runtime = self.folder.path().join("run/leno").join(&self.name);
        let folder = if ["gateway", "control"].contains(&name) { runtime } else { runtime.join("s") };
        let socket = folder.join(format!("{name}.admin"));
        Admin::open(&socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()))
    }

    /// What a replica's sidecar, the `gateway` or `control` has counted so far.
    pub fn counted(&self, name: &str) -> Metrics {
        self.admin(name).metrics().unwrap()
    }

    /// The answer of the gateway to `GET /`, as JSON.
    pub fn front(&self) -> Value {
        self.try_front().unwrap_or_else(|why| panic!("{why}\n{}", self.output()))
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// What came instead.
    pub fn try_front(&self) -> Result<Value, String> {
        let mut command = self.program("leno-sample");
        let output = command.args(["call", &format!("http://127.0.0.1:{}/", self.port)]).output().unwrap();
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))
    }

    /// The metrics of a replica's sidecar, as Prometheus would read them.
    pub fn metrics(&self, replica: &str) -> String {
        self.admin(replica).get("/stats/prometheus").unwrap().1
    }

    /// A file of the configuration.
    pub fn config(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("mesh/config").join(name)).unwrap()
    }

    /// Replaces a file of the configuration at once, as editors and deployments do.
    pub fn replace(&self, name: &str, text: &str) {
        replace(&self.folder.path().join("mesh/config").join(name), text);
    }

    /// Replaces what stands below `spec:` in the mesh file at once.
    pub fn edit(&self, spec: &str) {
        replace(&self.folder.path().join("mesh/mesh.yaml"), &declare::mesh_file(&self.name, spec));
    }

    /// Starts it again, after it has been told to end, with the same state and what stands below `spec:` now.
    pub fn restart_with(&mut self, name: &str, spec: &str) {
        self.wait_until_gone();
        let file = self.folder.path().join("mesh/mesh.yaml");
        fs::write(file, declare::mesh_file(name, spec)).unwrap();
        self.up = declare::up(&self.folder, &self.arguments);
        self.wait_until_ready(PATIENCE);
    }

    /// The folder that holds everything of this mesh.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that belongs to this mesh and is still there: processes and files of the runtime directory.
    pub fn leftovers(&self) -> Vec<String> {
        self.folder.leftovers()
    }

    /// Waits until nothing of it is left. `leno up` must have been told to end.
    pub fn wait_until_gone(&mut self) {
        self.up.wait().unwrap();
        eventually("nothing is left", || {
            let left = self.leftovers();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    /// Time since `leno up` was started for the first time.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The process of one of the mesh's own programs: `control` or `gateway`.
    pub fn part(&self, name: &str) -> Pid {
        let status = self.leno_json(&["status"]);
        let part = status["programs"].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap();
        pid(part["process"].as_i64().unwrap())
    }

    /// The process of a replica's sidecar; the one that started last, where another still drains.
    pub fn sidecar(&self, replica: &str) -> Pid {
        let status = self.leno_json(&["status"]);
        let replica =
            status["replicas"].as_array().unwrap().iter().find(|each| each["name"] == replica).unwrap();
        let supervisor = replica["supervisor"].as_i64().unwrap();
        let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
        let is_sidecar = |child: &&str| {
            let arguments = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            arguments.split('\0').any(|argument| argument == "sidecar")
        };
        pid(children.split_whitespace().rev().find(is_sidecar).unwrap().parse().unwrap())
    }

    /// The mesh's state directory.
    pub fn state(&self) -> PathBuf {
        fs::read_dir(self.folder.path().join("state/leno")).unwrap().next().unwrap().unwrap().path()
    }

    /// The process number of `leno up`.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.up)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if self.up.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _gone = kill_process(self.pid(), Signal::TERM);
            let _ended = self.up.wait();
        }
    }
}

fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(&fresh, path).unwrap();
}

fn pid(number: i64) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

/// The report of a load run that was started beside.
pub fn report(load: Child) -> Value {
    let output = load.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Tries until it succeeds, with a deadline; says why it did not. Returns how long it took.
pub fn eventually(what: &str, mut check: impl FnMut() -> Result<(), String>) -> Duration {
    let begun = Instant::now();
    loop {
        match check() {
            Ok(()) => return begun.elapsed(),
            Err(why) => assert!(begun.elapsed() < PATIENCE, "{what}: {why}"),
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
