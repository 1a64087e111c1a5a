//! `leno proxy`: one proxy by itself, with its control plane in the same process and certificates from files.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use leno_control::server::Signer;
use leno_control::{Config, ControlPlane, Workloads};
use leno_dialects::load::LoadOptions;
use leno_identity::{Bundle, Svid};
use leno_model::name::WorkloadName;
use leno_model::snapshot::Snapshot;
use leno_proxy::process;
use leno_proxy::roles::standalone::{self, Options};
use leno_runtime::LocalRuntime;
use leno_telemetry::access::Target;
use leno_wire::Subject;
use leno_wire::transport::Endpoint;

use crate::access_log::AccessLog;
use crate::error::Problem;
use crate::traces::Tracing;
use crate::words::{self, Inbound, Named, Outbound};

/// Run one proxy by itself: an edge, or one side of a pair
///
/// Its control plane runs in the same process and reads a directory of ordinary configuration. A workload that other
/// proxies dial is a WorkloadEntry with the label leno.dev/transport: native.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A directory or file of configuration, watched for changes; may be given several times
    #[arg(long, short, required = true, value_name = "DIR")]
    config: Vec<PathBuf>,
    #[command(flatten)]
    served: Served,
    /// Its certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The roots of its trust domain, PEM
    #[arg(long, value_name = "FILE")]
    roots: PathBuf,
    /// A port that leads to a service, ADDRESS:PORT=HOST:PORT; may be given several times
    #[arg(long, value_name = "LISTEN=HOST:PORT", value_parser = words::outbound)]
    outbound: Vec<Outbound>,
    /// A port for the own workload, ADDRESS:PORT=WORKLOAD-PORT; may be given several times
    #[arg(long, value_name = "LISTEN=PORT", value_parser = words::inbound)]
    inbound: Vec<Inbound>,
    /// A port where other proxies dial it; may be given several times
    #[arg(long, value_name = "LISTEN", value_parser = words::socket)]
    mesh: Vec<SocketAddr>,
    /// The address that a gateway's listeners bind to
    #[arg(long, value_name = "ADDRESS", value_parser = words::address, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    bind: IpAddr,
    /// A Unix socket for the admin interface
    #[arg(long, value_name = "PATH")]
    admin: Option<PathBuf>,
    /// An address where metrics are scraped and readiness is asked for over HTTP: /stats/prometheus, /healthz/ready
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = words::socket)]
    metrics: Option<SocketAddr>,
    /// Data cores; chosen by the machine when left out
    #[arg(long, value_name = "COUNT", value_parser = words::count::<usize>, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Take the place of the proxy that was started with this path: its listening sockets are taken over once this one
    /// is ready, and it ends when its requests have. Then, and where there is none, wait there for the next
    #[arg(long, value_name = "PATH")]
    take_over: Option<PathBuf>,
    /// Write an access log to this file, `-` for standard output; none by default
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// How its lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    access_log_format: AccessLog,
    #[command(flatten)]
    tracing: Tracing,
    /// Begin the draws between weighted backends here, so that a run can be repeated
    #[arg(long, value_name = "NUMBER", value_parser = words::count::<u64>)]
    seed: Option<u64>,
}

/// Whom it serves.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Served {
    /// The workload that it serves, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = words::named)]
    workload: Option<Named>,
    /// The gateway that it is, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = words::named)]
    gateway: Option<Named>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let svid = Svid::load(&arguments.cert, &arguments.key)?;
    let trust_domain = svid.id().trust_domain().parse()?;
    let roots = Bundle::load(trust_domain, &arguments.roots)?;
    let subject = arguments.served.subject()?;
    for path in &arguments.config {
        path.metadata().map_err(|source| Problem::Unreadable { path: path.clone(), source })?;
    }
    let runtime = LocalRuntime::new().context("the proxy has no runtime")?;
    runtime.block_on(async {
        let mut config = Config::new(
            LoadOptions::new(roots.trust_domain().clone()),
            Workloads::new(roots.trust_domain().clone()),
        );
        config.paths.clone_from(&arguments.config);
        config.signer = Signer::Nobody(vec![std::sync::Arc::new(roots.clone())]);
        let control = ControlPlane::start(config).await?;
        require(&subject, control.catalogs().borrow().configuration(), &arguments.config)?;
        let setup = standalone::setup(Options {
            subject,
            control: Endpoint::Memory(control.hub()),
            svid,
            roots,
            outbound: arguments
                .outbound
                .into_iter()
                .map(|port| (port.listen, port.host, port.port))
                .collect(),
            inbound: arguments.inbound.into_iter().map(|port| (port.listen, port.port)).collect(),
            mesh: arguments.mesh,
            bind: arguments.bind,
            admin: arguments.admin,
            metrics: arguments.metrics,
            threads: arguments.threads,
            access: arguments.access_log.map(|path| {
                let target = if path.as_os_str() == "-" { Target::Stdout } else { Target::File(path) };
                (target, arguments.access_log_format.into())
            }),
            tracing: arguments.tracing.settings(|name| std::env::var(name).ok())?,
            seed: arguments.seed,
            take_over: arguments.take_over,
        })?;
        let ended = process::run(setup).await;
        control.stop().await;
        ended.map_err(anyhow::Error::from)
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Served {
    fn subject(self) -> anyhow::Result<Subject> {
        match (self.workload, self.gateway) {
            (Some(Named { namespace, name }), _) => Ok(Subject::Workload(WorkloadName { namespace, name })),
            (None, Some(Named { namespace, name })) => Ok(Subject::Gateway { namespace, name }),
            (None, None) => bail!("say whom the proxy serves: --workload or --gateway NAMESPACE/NAME"),
        }
    }
}

/// Checks that the configuration has whom the proxy serves: a proxy that waits for somebody who never comes says nothing.
fn require(subject: &Subject, snapshot: &Snapshot, paths: &[PathBuf]) -> Result<(), Problem> {
    let workloads = || snapshot.workloads.keys().map(|name| format!("{}/{}", name.namespace, name.name));
    let gateways = || snapshot.gateways.keys().map(|(namespace, name)| format!("{namespace}/{name}"));
    let (kind, name, known): (_, _, Vec<String>) = match subject {
        Subject::Workload(name) => {
            ("workload", format!("{}/{}", name.namespace, name.name), workloads().collect())
        }
        Subject::Gateway { namespace, name } => {
            ("gateway", format!("{namespace}/{name}"), gateways().collect())
        }
    };
    if known.contains(&name) {
        Ok(())
    } else {
        Err(Problem::NotConfigured { kind, name, known, paths: paths.to_vec() })
    }
}
