//! `leno proxy`: one proxy by itself, with its control plane in the same process and certificates from files.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use leno_control::server::Signer;
use leno_control::{Config, ControlPlane, Workloads};
use leno_dialects::load::LoadOptions;
use leno_identity::{Bundle, Svid};
use leno_model::name::{Host, WorkloadName};
use leno_proxy::process;
use leno_proxy::roles::standalone::{self, Options};
use leno_runtime::LocalRuntime;
use leno_telemetry::access::Target;
use leno_wire::Subject;
use leno_wire::transport::Endpoint;

use crate::access_log::AccessLog;

/// Run one proxy by itself: an edge, or one side of a pair
///
/// Its control plane runs in the same process and reads a directory of ordinary configuration. A workload that other
/// proxies dial is a WorkloadEntry with the label leno.dev/transport: native.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A directory or file of configuration, watched for changes; may be given several times
    #[arg(long, short, required = true, value_name = "DIR")]
    config: Vec<PathBuf>,
    /// The workload that it serves, NAMESPACE/NAME
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        required_unless_present = "gateway",
        conflicts_with = "gateway"
    )]
    workload: Option<String>,
    /// The gateway that it is, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME")]
    gateway: Option<String>,
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
    #[arg(long, value_name = "LISTEN=HOST:PORT")]
    outbound: Vec<String>,
    /// A port for the own workload, ADDRESS:PORT=WORKLOAD-PORT; may be given several times
    #[arg(long, value_name = "LISTEN=PORT")]
    inbound: Vec<String>,
    /// A port where other proxies dial it; may be given several times
    #[arg(long, value_name = "LISTEN")]
    mesh: Vec<SocketAddr>,
    /// The address that a gateway's listeners bind to
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    bind: IpAddr,
    /// A Unix socket for the admin interface
    #[arg(long, value_name = "PATH")]
    admin: Option<PathBuf>,
    /// An address where metrics are scraped and readiness is asked for over HTTP: /stats/prometheus, /healthz/ready
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Data cores; chosen by the machine when left out
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Write an access log to this file, `-` for standard output; none by default
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// How its lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    access_log_format: AccessLog,
    /// Begin the draws between weighted backends here, so that a run can be repeated
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let svid = Svid::load(&arguments.cert, &arguments.key)?;
    let trust_domain = svid.id().trust_domain().parse()?;
    let roots = Bundle::load(trust_domain, &arguments.roots)?;
    let subject = subject(&arguments)?;
    let runtime = LocalRuntime::new().context("the proxy has no runtime")?;
    runtime.block_on(async {
        let mut config = Config::new(
            LoadOptions::new(roots.trust_domain().clone()),
            Workloads::new(roots.trust_domain().clone()),
        );
        config.paths.clone_from(&arguments.config);
        config.signer = Signer::Nobody(vec![std::sync::Arc::new(roots.clone())]);
        let control = ControlPlane::start(config).await?;
        let setup = standalone::setup(Options {
            subject,
            control: Endpoint::Memory(control.hub()),
            svid,
            roots,
            outbound: arguments.outbound.iter().map(|text| outbound(text)).collect::<Result<_, _>>()?,
            inbound: arguments.inbound.iter().map(|text| inbound(text)).collect::<Result<_, _>>()?,
            mesh: arguments.mesh,
            bind: arguments.bind,
            admin: arguments.admin,
            metrics: arguments.metrics,
            threads: arguments.threads,
            access: arguments.access_log.map(|path| {
                let target = if path.as_os_str() == "-" { Target::Stdout } else { Target::File(path) };
                (target, arguments.access_log_format.into())
            }),
            seed: arguments.seed,
        })?;
        let ended = process::run(setup).await;
        control.stop().await;
        ended.map_err(anyhow::Error::from)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn subject(arguments: &Arguments) -> anyhow::Result<Subject> {
    let split = |text: &str| match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.into(), name.into()))
        }
        _ => bail!("{text:?} is not NAMESPACE/NAME"),
    };
    match (&arguments.workload, &arguments.gateway) {
        (_, Some(gateway)) => split(gateway).map(|(namespace, name)| Subject::Gateway { namespace, name }),
        (Some(workload), None) => {
            split(workload).map(|(namespace, name)| Subject::Workload(WorkloadName { namespace, name }))
        }
        (None, None) => bail!("say whom the proxy serves: --workload or --gateway NAMESPACE/NAME"),
    }
}

fn outbound(text: &str) -> anyhow::Result<(SocketAddr, Host, u16)> {
    let wanted = || format!("--outbound {text:?} is not ADDRESS:PORT=HOST:PORT");
    let (listen, service) = text.split_once('=').with_context(wanted)?;
    let (host, port) = leno_model::request::split_authority(service);
    Ok((listen.parse().with_context(wanted)?, host.parse().with_context(wanted)?, port.with_context(wanted)?))
}

fn inbound(text: &str) -> anyhow::Result<(SocketAddr, u16)> {
    let wanted = || format!("--inbound {text:?} is not ADDRESS:PORT=WORKLOAD-PORT");
    let (listen, port) = text.split_once('=').with_context(wanted)?;
    Ok((listen.parse().with_context(wanted)?, port.parse().with_context(wanted)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_strictly() {
        let (listen, host, port) = outbound("127.0.0.1:8080=web.default.svc.cluster.local:80").unwrap();
        assert_eq!((listen.port(), host.as_str(), port), (8080, "web.default.svc.cluster.local", 80));
        assert_eq!(inbound("[::]:8443=8000").unwrap().1, 8000);
        for wrong in ["8080=web:80", "127.0.0.1:8080=web", "127.0.0.1:8080", "=", "127.0.0.1:1=we b:80"] {
            assert!(outbound(wrong).is_err(), "{wrong}");
        }
        assert!(inbound("127.0.0.1:1=x").is_err());
    }
}
