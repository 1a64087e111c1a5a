//! Proxies by themselves for tests: `leno proxy` processes that listen and dial over TCP, with certificates of one root
//! and one folder of configuration.
//!
//! Random draws are seeded and each proxy has one core, so that a run can be repeated.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::certificates::{Authority, Files};
use crate::crossing::Transport;
use crate::mesh::{Admin, eventually};
use crate::programs;

/// Where the draws of every proxy begin.
pub const SEED: u64 = 2_026;

/// Proxies that know each other by configuration alone. Dropping them ends them.
#[derive(Debug)]
pub struct Proxies {
    folder: PathBuf,
    authority: Authority,
    leno: PathBuf,
    running: Vec<(String, Child)>,
}

/// A running proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The workload's or gateway's name.
    pub name: String,
    /// Its process.
    pub process: Pid,
    admin: PathBuf,
    log: PathBuf,
}

impl Proxies {
    /// No proxy yet, and no configuration.
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("leno-{name}-{}", std::process::id()));
        // What an earlier run that was killed may have left.
        let _fresh = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("config")).unwrap();
        let authority = Authority::new();
        fs::write(folder.join("root.pem"), authority.root()).unwrap();
        let leno = programs::own("leno", "leno").expect("leno builds");
        Self { folder, authority, leno, running: Vec::new() }
    }

    /// Writes or replaces a file of the configuration, at once.
    pub fn configure(&self, file: &str, text: &str) {
        let fresh = self.folder.join(file);
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, self.folder.join("config").join(file)).unwrap();
    }

    /// Starts a proxy for `--workload` or `--gateway` (`role`), with the identity of a service account of its name, and
    /// waits until it is ready.
    pub fn start(
        &mut self,
        role: &str,
        namespace: &str,
        name: &str,
        account: &str,
        arguments: &[String],
    ) -> Proxy {
        let file = |suffix: &str| self.folder.join(format!("{name}.{suffix}"));
        let identity = format!("spiffe://cluster.local/ns/{namespace}/sa/{account}");
        let svid = self.certificate(name, &identity);
        let (admin, log) = (file("admin"), file("log"));
        let mut command = Command::new(&self.leno);
        command.arg("proxy").arg(format!("--{role}={namespace}/{name}"));
        command.args(["--threads=1", &format!("--seed={SEED}"), "--access-log-format=json"]);
        for (option, path) in [
            ("--config", &self.folder.join("config")),
            ("--cert", &svid.chain),
            ("--key", &svid.key),
            ("--roots", &self.folder.join("root.pem")),
            ("--admin", &admin),
            ("--access-log", &log),
        ] {
            command.arg(option).arg(path);
        }
        command.args(arguments);
        self.run(name, &mut command);
        let process = Pid::from_child(self.program(name));
        let proxy = Proxy { name: name.to_owned(), process, admin, log };
        eventually(&format!("{name} is ready"), || {
            let answer = Admin::open(&proxy.admin).and_then(|mut admin| admin.get("/healthz/ready"));
            match answer {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}\n{}", self.output(name))),
            }
        });
        proxy
    }

    /// Starts a program that ends with the proxies; what it prints goes to `NAME.out`.
    pub fn run(&mut self, name: &str, command: &mut Command) {
        let output = fs::File::create(self.folder.join(format!("{name}.out"))).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        self.running.push((name.to_owned(), child));
    }

    /// Sends a signal to the program that was started last by this name.
    pub fn signal(&mut self, name: &str, signal: Signal) {
        kill_process(Pid::from_child(self.program(name)), signal).unwrap();
    }

    /// Whether that program has ended.
    pub fn has_ended(&mut self, name: &str) -> bool {
        self.program(name).try_wait().unwrap().is_some()
    }

    fn program(&mut self, name: &str) -> &mut Child {
        let found = self.running.iter_mut().rev().find(|(running, _)| running == name);
        &mut found.unwrap_or_else(|| panic!("no {name}")).1
    }

    /// What a program printed so far.
    pub fn output(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{name}.out"))).unwrap_or_default()
    }

    /// A certificate of the mesh, in files of this name.
    pub fn certificate(&self, name: &str, identity: &str) -> Files {
        self.authority.svid(&self.folder, name, identity)
    }

    /// Where everything of it is; `root.pem` is the mesh's root.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Proxy {
    /// Its admin interface.
    pub fn admin(&self) -> Admin {
        Admin::open(&self.admin).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Its access log so far, as JSON lines.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _gone = child.kill();
            let _ended = child.wait();
        }
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// The document of a service in the namespace `default`: port 80, at its workloads the port that they call `http`.
pub fn service(name: &str, selector: &str) -> String {
    service_with(name, selector, "{name: http, port: 80, targetPort: http}")
}

/// The document of a service in the namespace `default`, with these ports.
pub fn service_with(name: &str, selector: &str, ports: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  selector: {{{selector}}}
  ports: [{ports}]
"
    )
}

/// The document of a workload whose proxy listens at `mesh`, and whose application at `port` of the loopback interface.
/// `number` is its own among all workloads.
pub fn workload(
    namespace: &str,
    name: &str,
    number: usize,
    account: &str,
    labels: &str,
    mesh: SocketAddr,
    port: u16,
) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: {name}
  namespace: {namespace}
  labels: {{{}}}
  annotations: {{leno.dev/address: '{mesh}'}}
spec:
  address: 127.0.1.{}
  labels: {labels}
  serviceAccount: {account}
  ports: {{http: {port}}}
",
        Transport::Native.label(),
        number + 1
    )
}
