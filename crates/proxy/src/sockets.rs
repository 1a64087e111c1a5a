//! The listening sockets of the process by their addresses, and those that an earlier process has left to it.
//!
//! Invariant: a socket is listed for as long as somebody accepts from it, so a successor gets all of them, and none
//! whose connections nobody takes. A listing is a duplicate of the descriptor: the queue of connections is one.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leno_runtime::cores;
use serde::{Deserialize, Serialize};

use crate::limits::BACKLOG;
use crate::listener::Socket;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// `None` for a socket without a name.
    pub(crate) fn of(socket: &Socket) -> Option<Self> {
        match socket {
            Socket::Tcp(listener) => Self::tcp(listener),
            Socket::Unix(listener) => Self::unix(listener),
        }
    }

    pub(crate) fn tcp(listener: &TcpListener) -> Option<Self> {
        listener.local_addr().ok().map(Self::Tcp)
    }

    /// `None` for a socket without a name.
    pub(crate) fn unix(listener: &UnixListener) -> Option<Self> {
        listener.local_addr().ok()?.as_pathname().map(|path| Self::Unix(path.to_owned()))
    }
}

/// Sockets that an earlier process has left, until they are claimed.
#[derive(Debug, Default)]
pub struct Inherited(BTreeMap<Address, Vec<Option<OwnedFd>>>);

impl Inherited {
    pub(crate) fn add(&mut self, address: Address, socket: OwnedFd) {
        self.0.entry(address).or_default().push(Some(socket));
    }

    /// The socket at an address where each process has one.
    pub(crate) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.first(&Address::Tcp(address)).map(Into::into)
    }

    /// The same for a path.
    pub(crate) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        self.first(&Address::Unix(path.to_owned())).map(Into::into)
    }

    fn first(&mut self, address: &Address) -> Option<OwnedFd> {
        self.0.get_mut(address)?.iter_mut().find_map(Option::take)
    }

    /// The part of one core of those at an address where each core has its own.
    fn part(&mut self, address: SocketAddr, core: cores::Core) -> Vec<TcpListener> {
        let sockets = self.0.get_mut(&Address::Tcp(address)).into_iter().flatten();
        let own = sockets.skip(core.index).step_by(core.count.max(1));
        own.filter_map(Option::take).map(Into::into).collect()
    }
}

/// The register.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    inherited: Inherited,
    listed: BTreeMap<u64, (Address, OwnedFd)>,
    next: u64,
}

/// Keeps a socket listed.
#[derive(Debug)]
pub(crate) struct Listed {
    number: u64,
    of: Arc<Sockets>,
}

impl Sockets {
    pub(crate) fn new(inherited: Inherited) -> Self {
        Self(Mutex::new(State { inherited, ..State::default() }))
    }

    /// Lists a socket for as long as the answer is kept.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn list(self: &Arc<Self>, address: Address, socket: impl AsFd) -> io::Result<Listed> {
        let duplicate = socket.as_fd().try_clone_to_owned()?;
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.listed.insert(number, (address, duplicate));
        Ok(Listed { number, of: Arc::clone(self) })
    }

    /// The sockets of one core at an address where each core has its own: what an earlier process has left of them, or
    /// a new one.
    ///
    /// # Errors
    /// `AddrInUse` where another process listens there. The kernel would let two of one user share a port, and give each
    /// a part of the connections.
    pub(crate) fn open(
        self: &Arc<Self>,
        address: SocketAddr,
        core: cores::Core,
    ) -> io::Result<Vec<(TcpListener, Listed)>> {
        let mut sockets = self.take(address, core)?;
        if sockets.is_empty() {
            sockets.push(reuse_port(address)?);
        }
        let listed = |socket: TcpListener| {
            let listed = self.list(Address::Tcp(address), &socket)?;
            Ok((socket, listed))
        };
        sockets.into_iter().map(listed).collect()
    }

    fn take(&self, address: SocketAddr, core: cores::Core) -> io::Result<Vec<TcpListener>> {
        let mut state = self.lock();
        let at = Address::Tcp(address);
        let is_ours =
            state.inherited.0.contains_key(&at) || state.listed.values().any(|(listed, _)| *listed == at);
        if !is_ours {
            // Fails where anybody listens, whether or not they share.
            bound(address, false).map(drop)?;
        }
        Ok(state.inherited.part(address, core))
    }

    /// A duplicate of every socket that is listed.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn all(&self) -> io::Result<Vec<(Address, OwnedFd)>> {
        let state = self.lock();
        let each = state.listed.values().map(|(address, socket)| Ok((address.clone(), socket.try_clone()?)));
        each.collect()
    }

    /// Closes what an earlier process has left and nobody has claimed.
    pub(crate) fn drop_inherited(&self) {
        self.lock().inherited = Inherited::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made whole under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.of.lock().listed.remove(&self.number);
    }
}

/// A listener of one core's own, beside those of the other cores on the same port.
fn reuse_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<socket2::Socket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn core(index: usize, count: usize) -> cores::Core {
        cores::Core { index, count }
    }

    #[test]
    fn every_socket_that_was_left_is_some_cores() {
        for count in 1..5 {
            let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
            let mut inherited = Inherited::default();
            for _ in 0..3 {
                inherited.add(Address::Tcp(address), TcpListener::bind(ANY).unwrap().into());
            }
            let parts: Vec<usize> =
                (0..count).map(|index| inherited.part(address, core(index, count)).len()).collect();
            assert_eq!(parts.iter().sum::<usize>(), 3, "{parts:?}");
            assert!(parts.iter().take(3).all(|part| *part > 0), "{parts:?}");
        }
    }

    #[test]
    fn cores_share_a_port_and_processes_do_not() {
        let (ours, others) = (Arc::new(Sockets::default()), Arc::new(Sockets::default()));
        let held = bound(ANY, true).unwrap();
        let address = held.local_addr().unwrap().as_socket().unwrap();
        let first = ours.open(address, core(0, 2)).unwrap();
        let second = ours.open(address, core(1, 2)).unwrap();
        assert_eq!(ours.all().unwrap().len(), 2);
        let refused = others.open(address, core(0, 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop((first, second));
        assert!(ours.all().unwrap().is_empty());
        others.open(address, core(0, 1)).unwrap();
    }
}
