//! What all contestants share: the network, the server, the certificates and the programs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    certificates, http, limits,
    network::{Network, SERVER, Side},
    options::Options,
    process::{Process, inside},
};

/// The server in its namespace, as the client reaches it without any proxy.
pub(crate) const DIRECT: SocketAddr = SocketAddr::new(SERVER, limits::SERVER_PORT);
/// The server as its own proxy reaches it.
pub(crate) const LOCAL_SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), limits::SERVER_PORT);
/// Where the client finds its proxy.
pub(crate) const CLIENT_PROXY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), limits::CLIENT_PROXY_PORT);
/// Where the client's proxy finds the server's.
pub(crate) const SERVER_PROXY: SocketAddr = SocketAddr::new(SERVER, limits::SERVER_PROXY_PORT);

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: Network,
    /// Configurations, certificates and logs.
    pub(crate) folder: PathBuf,
    /// The folder of our own binaries.
    binaries: PathBuf,
    /// Whether proxies log requests.
    logs_access: bool,
    /// Whether Leno does everything.
    pub(crate) everything: bool,
    _server: Process,
}

impl World {
    /// Builds the network and starts the server.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let folder = leno_testkit::programs::target().join("bench");
        std::fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
        certificates::write(&folder).context("can't issue certificates")?;
        let own = std::env::current_exe().context("can't find this program")?;
        let binaries = own.parent().context("this program lies in no folder")?.to_owned();
        let network = Network::new()?;
        let mut command = inside(&network.server, binaries.join("leno-sample"))?;
        command.args(["serve", "server", "--listen"]).arg(format!("http://0.0.0.0:{}", limits::SERVER_PORT));
        let mut server = Process::start("server", &folder, command)?;
        first_answer(&network.client, DIRECT, std::slice::from_mut(&mut server), limits::START)
            .context("the server doesn't answer")?;
        let (logs_access, everything) = (options.access_log, options.everything);
        Ok(Self { network, folder, binaries, logs_access, everything, _server: server })
    }

    /// One of our own binaries, built beside this one.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The access log of the proxy `name`, where it keeps one.
    pub(crate) fn access_log(&self, name: &str) -> Option<PathBuf> {
        self.logs_access.then(|| self.file(&format!("{name}-access.log")))
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file with a key in it into the folder.
    pub(crate) fn secret(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        certificates::private(&path, text)?;
        Ok(path)
    }
}

/// The path of an answer with a body of so many bytes.
pub(crate) fn body(bytes: u64) -> String {
    format!("/bytes/{bytes}")
}

/// Waits until a request is answered, as long as the processes live.
pub(crate) fn first_answer(
    side: &Side,
    entry: SocketAddr,
    processes: &mut [Process],
    limit: Duration,
) -> Result<Duration> {
    answered(processes, limit, || {
        side.within(|| http::get(entry, &body(limits::BODY_BYTES), limit)).map(drop)
    })
}

/// Asks until there is an answer, as long as the processes live; how long that took.
pub(crate) fn answered(
    processes: &mut [Process],
    limit: Duration,
    ask: impl Fn() -> Result<()>,
) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        let elapsed = begun.elapsed();
        match answer {
            Ok(()) => return Ok(elapsed),
            Err(error) if elapsed > limit => return Err(error.context(format!("no answer within {limit:?}"))),
            Err(_not_yet) => {}
        }
        let Some((first, others)) = processes.split_first_mut() else { bail!("nobody to answer") };
        first.survive(limits::START_POLL)?;
        for other in others {
            other.survive(Duration::ZERO)?;
        }
    }
}

/// Quotes a path for YAML.
pub(crate) fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy().as_ref()).to_string()
}
