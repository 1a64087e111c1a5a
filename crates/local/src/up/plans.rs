//! From the mesh file to what each supervisor is told.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::getuid;

use super::{Arguments, Context, Error, Options};
use crate::{
    directory, executable,
    handoff::{Check, Health, Process, Renewal, Supervisor, World},
    loopback::Place,
    mesh::{
        self, LocalMesh, Program, Workload,
        template::{self, Names},
    },
    plan::{HOST_ADDRESS, HOST_NAME, NAME_SERVER, Replica},
    user::{self, User},
};

/// A supervisor's document, without the descriptors that only exist once it starts, and on whom its
/// workload waits.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) document: Supervisor,
    pub(super) depends_on: Vec<String>,
    /// The replica's place among all, in the order of the mesh file.
    pub(super) place: usize,
}

impl Plan {
    /// Whether what runs by one plan runs as the other says. Where the program is found doesn't count: that it is
    /// being built changes nothing of what runs.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let own = &self.document;
        let mut other = other.document.clone();
        other.world.readable.clone_from(&own.world.readable);
        *own == other
    }
}

/// What all plans of a mesh have in common.
pub(super) struct Planner {
    directory: PathBuf,
    protected: Vec<PathBuf>,
    arguments: Arguments,
    renewal: Renewal,
    /// Whether root runs the mesh.
    root: bool,
    mesh: String,
    control: PathBuf,
    /// Directories that no workload sees.
    hidden: Vec<PathBuf>,
}

impl Planner {
    pub(super) fn new(options: &Options, context: &Context, root: bool) -> Result<Self, Error> {
        let hidden = [
            Some(directory::state_base()?),
            Some(directory::runtime_base()),
            context.state.parent().map(Path::to_owned),
        ];
        Ok(Self {
            directory: options.directory.clone(),
            protected: options.protected.clone(),
            arguments: options.arguments.clone(),
            renewal: options.renewal,
            root,
            mesh: context.mesh.clone(),
            control: context.control.clone(),
            hidden: hidden.into_iter().flatten().collect(),
        })
    }

    /// How a replica of a workload of this mesh is run.
    pub(super) fn plan(
        &self,
        mesh: &LocalMesh,
        workload: &Workload,
        replica: Replica,
        join_token: String,
        place: Option<Place>,
    ) -> Result<Plan, Error> {
        let mut process = self.process(workload)?;
        let port = first_port(mesh, workload);
        if let Some(place) = &place {
            let own = std::env::var("XDG_RUNTIME_DIR").ok().filter(|_| process.user.is_none());
            let variables = place.variables(port);
            process.environment.remove("XDG_RUNTIME_DIR");
            process.environment.extend(own.map(|path| ("XDG_RUNTIME_DIR".to_owned(), path)));
            let given = std::mem::take(&mut process.environment);
            process.environment = variables.into_iter().chain(given).collect();
        }
        let names = place.as_ref().map_or_else(|| names(mesh, port), |place| place.names(port));
        let texts = process.words.iter_mut().chain(process.environment.values_mut());
        for text in texts {
            // What is in the mesh file was checked; what is inherited is left as it is where it means nothing.
            *text = template::expand(text, &names).unwrap_or_else(|_unknown| text.clone());
        }
        process.environment.insert("LENO_REPLICA".to_owned(), replica.name.clone());
        let document = Supervisor {
            mesh: self.mesh.clone(),
            health: health(mesh, workload).map(|health| at_place(health, place.as_ref())),
            world: self.world(mesh, &replica, workload, &process),
            process,
            sidecar_arguments: self.arguments.sidecar.clone(),
            init_arguments: self.arguments.init.clone(),
            control: self.control.clone(),
            join_token,
            renewal: self.renewal,
            tracing: mesh.tracing(),
            replica,
            place,
            link: -1,
            stdout: -1,
            stderr: -1,
        };
        Ok(Plan { document, depends_on: workload.depends_on.clone(), place: 0 })
    }

    fn process(&self, workload: &Workload) -> Result<Process, Error> {
        let user = workload.user.as_deref().map(user::find).transpose();
        let user = user.map_err(|source| Error::User { workload: workload.name(), source })?;
        let workdir = workload.workdir.clone().unwrap_or_default();
        Ok(Process {
            words: workload.command.words(),
            environment: environment(workload, user.as_ref()),
            workdir: self.directory.join(workdir).components().collect(),
            user,
            signal_group: matches!(workload.command, Program::Shell(_)),
            finite: workload.service.is_none(),
            terminal: false,
        })
    }

    fn world(&self, mesh: &LocalMesh, replica: &Replica, workload: &Workload, process: &Process) -> World {
        let mut private: Vec<PathBuf> = ["/tmp", "/run", "/var/run"].map(PathBuf::from).into();
        private
            .extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()));
        let mut protected = self.protected.clone();
        protected.extend(std::env::current_exe());
        World {
            hostname: replica.name.clone(),
            files: files(mesh, replica, workload),
            private,
            runtime: runtime_directory(process.user.as_ref()),
            hidden: self.hidden.clone(),
            protected,
            shared: workload.share.clone(),
            readable: [self.directory.clone()].into_iter().chain(program(process)).collect(),
            root: self.root,
        }
    }
}

/// Variables of the caller that every workload gets.
const PASSED_ON: [&str; 9] = ["PATH", "LANG", "LC_ALL", "TERM", "TZ", "HOME", "USER", "LOGNAME", "SHELL"];

/// Where programs are found when the caller doesn't say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn environment(workload: &Workload, user: Option<&User>) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    variables.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    if let Some(user) = user {
        variables.insert("HOME".to_owned(), user.home.clone().unwrap_or_else(|| "/".to_owned()));
        let name = user.name.clone().unwrap_or_else(|| user.user.to_string());
        variables.insert("USER".to_owned(), name.clone());
        variables.insert("LOGNAME".to_owned(), name);
    }
    let runtime = runtime_directory(user).display().to_string();
    variables.insert("XDG_RUNTIME_DIR".to_owned(), runtime);
    variables.extend(workload.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// The workload's own runtime directory, in its private `/run`.
fn runtime_directory(user: Option<&User>) -> PathBuf {
    let number = user.map_or_else(|| getuid().as_raw(), |user| user.user);
    PathBuf::from(format!("/run/user/{number}"))
}

/// The file that a workload's first word means; nothing where there is none, which is told when it starts.
fn program(process: &Process) -> Option<PathBuf> {
    let candidates = executable::candidates(process.words.first()?, &process.environment, &process.workdir);
    candidates.into_iter().find(|file| executable::is_executable(file))
}

/// Replaced files, by which names lead to the mesh and nowhere else.
fn files(mesh: &LocalMesh, replica: &Replica, workload: &Workload) -> BTreeMap<PathBuf, String> {
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    // A service's name means the service everywhere, also in the replica that has the same name.
    let is_service = mesh.spec.services.iter().any(|service| service.name == replica.name);
    for address in replica.addresses.iter().filter(|_| !is_service) {
        hosts.push_str(&format!("{address} {}\n", replica.name));
    }
    if !workload.host_access.is_empty() {
        hosts.push_str(&format!("{HOST_ADDRESS} {HOST_NAME}\n"));
    }
    let resolv = format!(
        "nameserver {NAME_SERVER}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n\
         options ndots:3 timeout:2 attempts:2\n"
    );
    let nsswitch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    BTreeMap::from([
        (PathBuf::from("/etc/hosts"), hosts),
        (PathBuf::from("/etc/resolv.conf"), resolv),
        (PathBuf::from("/etc/nsswitch.conf"), hosts_by_dns(&nsswitch)),
    ])
}

/// The host's name-service configuration, with host names from files and DNS alone: other modules ask
/// daemons on the host.
fn hosts_by_dns(nsswitch: &str) -> String {
    let kept = nsswitch.lines().filter(|line| !line.trim_start().starts_with("hosts:"));
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    text.push_str("hosts: files dns\n");
    text
}

/// How often a starting workload is checked, unless its file says otherwise.
const STARTING_INTERVAL: mesh::Duration = mesh::Duration(Duration::from_millis(100));

fn health(mesh: &LocalMesh, workload: &Workload) -> Option<Health> {
    let given = workload.health.as_ref();
    let check = match given {
        Some(health) => given_check(mesh, workload, health)?,
        None => Check::Tcp { port: first_port(mesh, workload)? },
    };
    let interval = given.and_then(|health| health.interval);
    let seconds = |seconds| mesh::Duration(Duration::from_secs(seconds));
    let timeout = given.and_then(|health| health.timeout);
    Some(Health {
        check,
        starting_interval: interval.unwrap_or(STARTING_INTERVAL).min(seconds(1)),
        // A bare connection every few seconds is an error to some servers, which then block their caller;
        // so the check that nobody asked for ends with its first success.
        interval: given.map(|_asked| interval.unwrap_or_else(|| seconds(5))),
        timeout: timeout.unwrap_or_else(|| seconds(2)),
        failures: given.and_then(|health| health.failures).unwrap_or(3),
    })
}

fn given_check(mesh: &LocalMesh, workload: &Workload, health: &mesh::Health) -> Option<Check> {
    if let Some(command) = &health.command {
        return Some(Check::Command { words: command.words() });
    }
    if let Some(port) = health.tcp {
        return Some(Check::Tcp { port });
    }
    let http = health.http.as_ref()?;
    let port = http.port.or_else(|| first_port(mesh, workload))?;
    Some(Check::Http { port, path: http.path.clone().unwrap_or_else(|| "/".to_owned()) })
}

/// A check at the port where the application listens.
fn at_place(mut health: Health, place: Option<&Place>) -> Health {
    if let (Check::Tcp { port } | Check::Http { port, .. }, Some(place)) = (&mut health.check, place) {
        *port = place.ports.get(port).copied().unwrap_or(*port);
    }
    health
}

/// What templates stand for in a world of its own.
fn names(mesh: &LocalMesh, port: Option<u16>) -> Names {
    let services = mesh.spec.services.iter().filter_map(|service| {
        let port = service.all_ports().first()?.port;
        Some((service.name.clone(), (service.name.clone(), port)))
    });
    Names { services: services.collect(), port }
}

/// Where the workload's service sends its first port's traffic.
fn first_port(mesh: &LocalMesh, workload: &Workload) -> Option<u16> {
    let name = workload.service.as_ref()?;
    let service = mesh.spec.services.iter().find(|service| service.name == *name)?;
    service.all_ports().first().map(mesh::Port::target)
}

#[cfg(test)]
mod tests {
    use super::hosts_by_dns;

    #[test]
    fn host_names_come_from_files_and_dns_alone() {
        let host = "passwd: files systemd\nhosts: files mdns4_minimal [NOTFOUND=return] resolve dns\n# end\n";
        assert_eq!(hosts_by_dns(host), "passwd: files systemd\n# end\nhosts: files dns\n");
        assert_eq!(hosts_by_dns(""), "hosts: files dns\n");
    }
}
