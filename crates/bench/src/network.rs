//! Two network namespaces and a cable between them.
//!
//! They have no names and no files: the kernel keeps them as long as this process holds their descriptors or a
//! process lives in them, so nothing is left behind however the benchmark ends.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow, bail};
use leno_capture::{
    link::{self, End},
    namespace::{Kinds, unshare},
    route,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where the client and its proxy are.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// Where the server and its proxy are.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 2));
const PREFIX: u8 = 24;
const CLIENT_END: End<'static> = End { name: "to-server", index: 100 };
const SERVER_END: End<'static> = End { name: "to-client", index: 100 };

/// The two sides.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) client: Side,
    pub(crate) server: Side,
}

/// One namespace.
#[derive(Debug)]
pub(crate) struct Side(File);

impl Network {
    /// Creates both. This thread stays where it was.
    pub(crate) fn new() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("network namespaces need root: run `sudo -E cargo xtask bench`");
        }
        let home = here()?;
        let made = Self::make();
        move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))
            .context("can't leave the new namespace")?;
        made
    }

    fn make() -> Result<Self> {
        unshare(Kinds::NETWORK).context("can't make a network namespace")?;
        let server = here()?;
        route::loopback_up()?;
        unshare(Kinds::NETWORK).context("can't make a network namespace")?;
        let client = here()?;
        route::loopback_up()?;
        link::cable(CLIENT_END, SERVER_END, server.as_fd())?;
        link::configure(CLIENT_END, CLIENT, PREFIX)?;
        move_into_link_name_space(server.as_fd(), Some(LinkNameSpaceType::Network))?;
        link::configure(SERVER_END, SERVER, PREFIX)?;
        Ok(Self { client: Side(client), server: Side(server) })
    }
}

impl Side {
    /// A file that other processes can open while this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

impl Side {
    /// Runs a function on a thread inside; sockets that it opens stay inside for ever.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("can't enter a network namespace")?;
                work()
            });
            thread.join().map_err(|_panic| anyhow!("a thread of the benchmark panicked"))?
        })
    }
}

/// The namespace of this thread.
fn here() -> Result<File> {
    File::open("/proc/thread-self/ns/net").context("can't open this network namespace")
}
