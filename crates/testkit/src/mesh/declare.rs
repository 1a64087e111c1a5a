//! Saying what a mesh is made of.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Mesh,
    folder::{Folder, User},
    pause,
};
use crate::{limits::PATIENCE, ports, programs};

/// A mesh that isn't running yet.
///
/// ```no_run
/// # use leno_testkit::mesh::Declaration;
/// let mesh = Declaration::new("greeters")
///     .spec(
///         "services: [{name: hello, port: 80, protocol: http}]
/// workloads:
///   - {service: hello, version: v1, command: [leno-sample, serve, hello]}",
///     )
///     .config("mtls.yaml", "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, …}")
///     .start();
/// ```
#[derive(Debug)]
pub struct Declaration {
    name: String,
    user: User,
    spec: Option<String>,
    example: Option<PathBuf>,
    config: Vec<(String, String)>,
    programs: Vec<PathBuf>,
    leno: Option<PathBuf>,
    files: Vec<(String, String)>,
    folders: Vec<(String, PathBuf)>,
    patience: Duration,
    arguments: Vec<String>,
    port: u16,
}

impl Declaration {
    /// A mesh of this name: short, and one's own among all tests.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            user: User::Ordinary,
            spec: None,
            example: None,
            config: Vec::new(),
            programs: Vec::new(),
            leno: None,
            files: Vec::new(),
            folders: Vec::new(),
            patience: PATIENCE,
            arguments: Vec::new(),
            port: free_port(),
        }
    }

    /// A copy of a folder below `examples/`, its gateway at [`Self::port`].
    pub fn example(example: &str, name: &str) -> Self {
        let mut declaration = Self::new(name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
        let front = fs::read_to_string(folder.join("config/front.yaml")).unwrap();
        assert!(front.contains("port: 8080"), "the example's gateway listens on 8080");
        let front = front.replace("port: 8080", &format!("port: {}", declaration.port));
        declaration.example = Some(folder);
        declaration.config("front.yaml", front)
    }

    /// A free port of the loopback interface, for the configuration of a gateway.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A port for it that the caller chose, as one that is published.
    #[must_use]
    pub fn port_is(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Who runs it: [`User::Ordinary`] unless told.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// What stands below `spec:` in the mesh file.
    #[must_use]
    pub fn spec(mut self, yaml: &str) -> Self {
        self.spec = Some(yaml.to_owned());
        self
    }

    /// A file of the configuration.
    #[must_use]
    pub fn config(mut self, name: &str, yaml: impl Into<String>) -> Self {
        self.config.push((name.to_owned(), yaml.into()));
        self
    }

    /// A program that workloads run by its file's name, beside `leno` and `leno-sample`.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        self.programs.push(path.to_owned());
        self
    }

    /// A file beside the mesh file.
    #[must_use]
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// A copy of a folder beside the mesh file, which every user may read.
    #[must_use]
    pub fn folder(mut self, name: &str, from: &Path) -> Self {
        self.folders.push((name.to_owned(), from.to_owned()));
        self
    }

    /// An executable in the place of `leno`.
    #[must_use]
    pub fn leno(mut self, program: &Path) -> Self {
        self.leno = Some(program.to_owned());
        self
    }

    /// How long it may take until all of it is ready, where that isn't a matter of seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A further argument of `leno up`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it and waits until all of it is ready.
    pub fn start(self) -> Mesh {
        let folder = Folder::fresh(&self.name, self.user);
        let leno = self.leno.clone().unwrap_or_else(|| programs::own("leno", "leno").expect("leno builds"));
        let sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
        fs::copy(leno, folder.program("leno")).unwrap();
        for program in [&sample].into_iter().chain(&self.programs) {
            fs::copy(program, folder.program(program.file_name().unwrap())).unwrap();
        }
        let mesh = folder.path().join("mesh");
        self.write(&mesh);
        folder.give_away();
        for (name, from) in &self.folders {
            copy_readable(from, &mesh.join(name));
        }
        let started = Instant::now();
        let up = up(&folder, &self.arguments);
        let Self { name, arguments, port, patience, .. } = self;
        let mut mesh = Mesh { up, folder, arguments, name, started, port };
        mesh.wait_until_ready(patience);
        mesh
    }

    fn write(&self, mesh: &Path) {
        if let Some(example) = &self.example {
            copy(example, mesh);
            let file = mesh.join("mesh.yaml");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("name: bookshop", &format!("name: {}", self.name))).unwrap();
        }
        fs::create_dir_all(mesh.join("config")).unwrap();
        if let Some(spec) = &self.spec {
            fs::write(mesh.join("mesh.yaml"), mesh_file(&self.name, spec)).unwrap();
        }
        for (name, text) in &self.config {
            fs::write(mesh.join("config").join(name), text).unwrap();
        }
        for (name, text) in &self.files {
            fs::write(mesh.join(name), text).unwrap();
        }
    }
}

/// The mesh file with this below `spec:`.
pub(super) fn mesh_file(name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: leno.dev/v1alpha1\nkind: LocalMesh\nmetadata:\n  name: {name}\nspec:\n{spec}")
}

/// Starts `leno up` in a folder that has everything.
pub(super) fn up(folder: &Folder, arguments: &[String]) -> Child {
    let output = File::options().create(true).append(true).open(folder.log()).unwrap();
    let mut command = folder.command(&folder.program("leno"));
    command.args(["up", "mesh.yaml", "--config", "config"]).args(arguments);
    if !arguments.iter().any(|argument| argument == "--metrics") {
        // Tests run beside each other, and the default port is one.
        command.args(["--metrics", "off"]);
    }
    command.current_dir(folder.path().join("mesh"));
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    loop {
        match command.spawn() {
            // Another test that forked during the copy still holds its descriptor for writing, until it executes.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => pause(),
            started => return started.expect("leno starts"),
        }
    }
}

/// Copies a folder with its links, and lets everybody read the copy.
fn copy_readable(from: &Path, to: &Path) {
    let mut commands = [Command::new("cp"), Command::new("chmod")];
    let [copy, open] = &mut commands;
    copy.arg("-a").args([from, to]);
    open.args(["-R", "a+rX"]).arg(to);
    for command in &mut commands {
        assert!(command.status().unwrap().success(), "{command:?}");
    }
}

/// A port of the loopback interface that nobody listens on, and no other test is given.
pub fn free_port() -> u16 {
    ports::free().port()
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
