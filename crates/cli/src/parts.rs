//! The parts of a mesh that `leno up` starts as processes of their own. Not for people.

use std::os::fd::RawFd;
use std::process::ExitCode;

use anyhow::Context as _;
use leno_identity::tls;
use leno_local::handoff;
use leno_proxy::process::Setup;
use leno_proxy::{bootstrap, process, roles};
use leno_runtime::LocalRuntime;

use crate::access_log::AccessLog;

/// A part and the descriptor that its instructions are behind.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    #[command(hide = true)]
    Control(Bootstrap),
    #[command(hide = true)]
    Gateway(Proxy),
    #[command(hide = true)]
    Sidecar(Proxy),
    #[command(hide = true)]
    Supervise(Bootstrap),
    #[command(hide = true)]
    Init(Bootstrap),
    #[command(hide = true)]
    Janitor(Bootstrap),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bootstrap {
    /// The inherited descriptor of the instructions
    #[arg(long, value_name = "NUMBER")]
    bootstrap_fd: RawFd,
}

/// What `leno up` says to all proxies alike.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxy {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// How the lines of its access log are written
    #[arg(long, value_enum, default_value_t)]
    access_log_format: AccessLog,
}

impl Part {
    pub(crate) fn run(self, tls: tls::Options) -> anyhow::Result<ExitCode> {
        match self {
            Self::Control(Bootstrap { bootstrap_fd }) => control(bootstrap_fd),
            Self::Gateway(Proxy { bootstrap, access_log_format }) => {
                let handoff: bootstrap::GatewayHandoff = handoff::take(bootstrap.bootstrap_fd)?;
                serve(roles::gateway::setup(handoff, access_log_format.into(), tls)?)
            }
            Self::Sidecar(Proxy { bootstrap, access_log_format }) => {
                let handoff: bootstrap::Handoff = handoff::take(bootstrap.bootstrap_fd)?;
                serve(roles::sidecar::setup(handoff, access_log_format.into(), tls)?)
            }
            Self::Supervise(Bootstrap { bootstrap_fd }) => {
                leno_local::supervisor::main(bootstrap_fd)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Init(Bootstrap { bootstrap_fd }) => {
                leno_local::init::main(bootstrap_fd)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Janitor(Bootstrap { bootstrap_fd }) => {
                leno_local::janitor::main(bootstrap_fd)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn serve(setup: Setup) -> anyhow::Result<ExitCode> {
    let runtime = LocalRuntime::new().context("the proxy has no runtime")?;
    runtime.block_on(process::run(setup))?;
    Ok(ExitCode::SUCCESS)
}

fn control(fd: RawFd) -> anyhow::Result<ExitCode> {
    let local: leno_control::bootstrap::Local = handoff::take(fd)?;
    // Without more descriptors it still runs, for fewer proxies.
    let _as_it_is = leno_runtime::process::raise_open_files();
    let runtime = LocalRuntime::new().context("the control plane has no runtime")?;
    runtime.block_on(leno_control::process::run(local))?;
    Ok(ExitCode::SUCCESS)
}
