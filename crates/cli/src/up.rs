//! `leno up`: a mesh of plain processes on this machine.

mod known;
mod metrics;
mod published;
mod watch;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;

use leno_control::bootstrap as control;
use leno_identity::limits::{MAX_LEAF_LIFETIME, MIN_LEAF_LIFETIME};
use leno_local::handoff::Renewal;
use leno_local::protocol::Status;
use leno_local::up::{Arguments as Parts, Context, Handover, Options, Print, Program};
use leno_local::{client, mesh, plan};
use leno_proxy::bootstrap as proxy;
use serde_json::Value;

use self::known::Known;
use self::metrics::Metrics;
use crate::access_log::AccessLog;
use crate::announce::{self, GATEWAY};
use crate::error::Problem;
use crate::mesh_file::{self, MeshFile};
use crate::output::Format;
use crate::words;

/// What the authority signs, in seconds: a shorter life would end while the certificate is being delivered.
const LIFETIMES: RangeInclusive<u64> = MIN_LEAF_LIFETIME.as_secs()..=MAX_LEAF_LIFETIME.as_secs();

/// What a rotation takes, in per cent.
const SHARES: RangeInclusive<u8> = 5..=90;

/// Run a mesh of plain processes on this machine
///
/// Starts control plane, gateway and every workload with its sidecar, and ends them all with itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files: one has the LocalMesh document; other documents in them are configuration
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A directory or file of configuration, watched for changes; may be given several times
    #[arg(long, short, value_name = "DIR")]
    config: Vec<PathBuf>,
    /// The address that the gateway's listeners bind to
    #[arg(long, value_name = "ADDRESS", value_parser = words::address, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// How long certificates are valid, in seconds; six hours by default
    #[arg(long, value_name = "SECONDS", value_parser = words::within::<u64>(LIFETIMES))]
    svid_lifetime: Option<u64>,
    /// After which part of a certificate's life the next one is asked for, in per cent; a sixth by default
    #[arg(long, value_name = "PERCENT", value_parser = words::within::<u8>(SHARES))]
    svid_renew_after: Option<u8>,
    /// How the lines of access logs are written, which `leno logs` shows
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    access_log_format: AccessLog,
    /// Where the metrics of all sidecars, the gateway and the control plane are served: ADDRESS:PORT, a port of
    /// 127.0.0.1, or `off`; 127.0.0.1:15020 by default, if that is free
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<Metrics>,
    /// Apply edits of the mesh file to the running mesh; only what has changed is restarted
    #[arg(long, short)]
    watch: bool,
    /// How workloads are kept apart: `isolated`, or `loopback`, which can't keep a workload from bypassing its sidecar and
    /// is for machines that forbid user namespaces
    #[arg(long, value_name = "MODE", value_enum)]
    mode: Option<Mode>,
}

/// How workloads are kept apart.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// Each in namespaces of its own.
    Isolated,
    /// Not at all.
    Loopback,
}

impl From<Mode> for mesh::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Isolated => Self::Isolated,
            Mode::Loopback => Self::Loopback,
        }
    }
}

pub(crate) fn run(arguments: Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let file = mesh_file::read(&arguments.files)?;
    let directory = canonical(Path::new(&file.name))?;
    let directory = directory.parent().unwrap_or_else(|| Path::new("/")).to_owned();
    let watched = arguments.files.iter().chain(&arguments.config).map(|path| canonical(path));
    let watched = watched.collect::<Result<Vec<_>, _>>()?;
    // A mesh that runs already has its ports; that it runs is told later.
    if !client::running().contains(&file.mesh.metadata.name) {
        published::check(&file.mesh, &BTreeSet::new())?;
    }
    let metrics = metrics::listen(arguments.metrics)?;
    let known = Rc::new(Known::default());
    known.services(announce::services(&file));
    let renewal =
        Renewal { lifetime_seconds: arguments.svid_lifetime, after_percent: arguments.svid_renew_after };
    let facts = Rc::new(Facts {
        config: watched.clone(),
        bind: arguments.bind,
        renewal,
        gateway_token: leno_local::up::token()?,
        kept: RefCell::default(),
        file: RefCell::new(file),
    });
    let observer = {
        let known = Rc::clone(&known);
        Box::new(move |status: &Status, context: &Context| known.tell(status, context))
    };
    let in_effect = {
        let known = Rc::clone(&known);
        Box::new(move |context: Rc<Context>| -> Pin<Box<dyn Future<Output = Vec<String>>>> {
            let known = Rc::clone(&known);
            Box::pin(async move { known.in_effect(&context).await })
        })
    };
    let edits = arguments.watch.then(|| watch::Edits::start(&arguments.files, &facts, &known)).transpose()?;
    let mesh = facts.file.borrow().mesh.clone();
    leno_local::up::run(Options {
        mode: arguments.mode.map(Into::into).or(mesh.spec.mode).unwrap_or_default(),
        mesh,
        directory,
        protected: watched,
        arguments: Parts {
            supervisor: part("supervise"),
            init: part("init"),
            janitor: part("janitor"),
            sidecar: proxy_part("sidecar", arguments.access_log_format),
        },
        programs: programs(&facts, &known, arguments.access_log_format),
        renewal,
        terminal: Box::new(io::stdout()),
        print: match format {
            Format::Json => Print::Json,
            Format::Text if io::stdout().is_terminal() => Print::Coloured,
            Format::Text => Print::Plain,
        },
        metrics,
        observer,
        in_effect,
        edits: edits.map(|edits| Box::new(edits) as Box<_>),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn proxy_part(name: &str, format: AccessLog) -> Vec<OsString> {
    vec![name.into(), "--access-log-format".into(), format.as_str().into()]
}

fn canonical(path: &Path) -> Result<PathBuf, Problem> {
    path.canonicalize().map_err(|source| Problem::Unreadable { path: path.to_owned(), source })
}

fn part(name: &str) -> Vec<OsString> {
    vec![name.into()]
}

/// What the mesh's programs are told of.
struct Facts {
    /// The mesh file, as it was last taken.
    file: RefCell<MeshFile>,
    config: Vec<PathBuf>,
    bind: IpAddr,
    renewal: Renewal,
    /// What the gateway joins with; workloads have their own.
    gateway_token: String,
    /// The gateway's Unix listeners, which outlive each of its processes.
    kept: RefCell<BTreeMap<PathBuf, UnixListener>>,
}

fn programs(facts: &Rc<Facts>, known: &Rc<Known>, format: AccessLog) -> Vec<Program> {
    let (for_control, for_gateway) = (Rc::clone(facts), Rc::clone(facts));
    let known = Rc::clone(known);
    vec![
        Program {
            name: "control".to_owned(),
            takes_over: false,
            arguments: part("control"),
            document: Box::new(move |context, handover| for_control.control(&known, context, handover)),
        },
        Program {
            name: GATEWAY.to_owned(),
            takes_over: true,
            arguments: proxy_part("gateway", format),
            document: Box::new(move |context, handover| for_gateway.gateway(context, handover)),
        },
    ]
}

impl Facts {
    fn control(&self, known: &Known, context: &Context, handover: &mut Handover<'_>) -> io::Result<Value> {
        let changes = known.open()?;
        let admin = listen(&context.admin("control"))?;
        to_value(&control::Local {
            mesh: context.mesh.clone(),
            trust_domain: plan::TRUST_DOMAIN.to_owned(),
            state: context.state.clone(),
            socket: context.control.clone(),
            config: self.config.clone(),
            services: known.all_services(),
            workloads: known.all_workloads(),
            gateway: Some(announce::gateway(self.gateway_token.clone(), Some(egress(context)))),
            ranges: plan::ranges(),
            svid_lifetime_seconds: self.renewal.lifetime_seconds.unwrap_or_default(),
            svid_renew_after_percent: self.renewal.after_percent,
            changes: Some(handover.hand(changes)?),
            vault: Some(handover.vault()),
            admin: Some(handover.hand(admin.into())?),
        })
    }

    fn gateway(&self, context: &Context, handover: &mut Handover<'_>) -> io::Result<Value> {
        let admin = self.kept(&context.admin(GATEWAY))?;
        let egress = self.kept(&egress(context))?;
        to_value(&proxy::GatewayHandoff {
            mesh: context.mesh.clone(),
            trust_domain: plan::TRUST_DOMAIN.to_owned(),
            workload: proxy::WorkloadIdentity {
                name: GATEWAY.to_owned(),
                namespace: plan::NAMESPACE.to_owned(),
                service_account: GATEWAY.to_owned(),
                owner: None,
                labels: [("app".to_owned(), GATEWAY.to_owned())].into(),
                addresses: Vec::new(),
                host: None,
            },
            control: proxy::ControlAddress::Unix(context.control.clone()),
            join_token: proxy::JoinToken(self.gateway_token.clone()),
            renewal: proxy::Renewal {
                lifetime_seconds: self.renewal.lifetime_seconds,
                after_percent: self.renewal.after_percent,
            },
            tracing: self.tracing(),
            threads: 0,
            bind: self.bind,
            published: self.published(),
            egress: Some(handover.hand(egress)?),
            take_over: Some(context.runtime.join("gateway.next")),
            host_callers: self.host_callers(),
            admin: handover.hand(admin)?,
            vault: Some(handover.vault()),
        })
    }

    /// The listener at a path, for one more process.
    fn kept(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut kept = self.kept.borrow_mut();
        if let Some(listener) = kept.get(path) {
            return Ok(listener.try_clone()?.into());
        }
        let listener = listen(path)?;
        let handed = listener.try_clone()?;
        kept.insert(path.to_owned(), listener);
        Ok(handed.into())
    }

    /// Traces, as the mesh file has them.
    fn tracing(&self) -> Option<proxy::Tracing> {
        let tracing = self.file.borrow().mesh.tracing()?;
        Some(proxy::Tracing {
            endpoint: tracing.endpoint,
            protocol: tracing.protocol.name().to_owned(),
            sampling: tracing.sampling.value(),
            propagation: tracing.propagation.iter().map(|format| format.name().to_owned()).collect(),
        })
    }

    /// Ports of this machine that lead to services.
    fn published(&self) -> Vec<proxy::Published> {
        let file = self.file.borrow();
        let published = file.mesh.spec.services.iter().flat_map(|service| {
            let ports = service.all_ports().into_iter();
            ports.filter_map(|port| {
                Some(proxy::Published {
                    listen: port.publish?.0,
                    host: format!("{}.{}.svc.cluster.local", service.name, plan::NAMESPACE),
                    port: port.port,
                })
            })
        });
        published.collect()
    }

    /// Who may reach which ports of this machine. Workloads of one service account are told apart by their own
    /// sidecars.
    fn host_callers(&self) -> Vec<proxy::HostCaller> {
        let file = self.file.borrow();
        let callers = file.mesh.spec.workloads.iter().map(|workload| proxy::HostCaller {
            namespace: plan::NAMESPACE.to_owned(),
            service_account: workload.service_account(),
            host: proxy::HostPorts { address: plan::HOST_ADDRESS, ports: workload.host_access.clone() },
        });
        callers.filter(|caller| !caller.host.ports.is_empty()).collect()
    }
}

fn egress(context: &Context) -> PathBuf {
    context.runtime.join("egress.sock")
}

/// A fresh Unix listener in the place of an earlier process's.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

fn to_value(document: &impl serde::Serialize) -> io::Result<Value> {
    serde_json::to_value(document).map_err(io::Error::other)
}
