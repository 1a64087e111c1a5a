//! Which callers run on this machine, and are therefore not paced.
//!
//! A socket that the kernel has paced once is paced for good, so mesh listeners accept unpaced, and pacing begins when a
//! caller turns out to run elsewhere. Callers of `leno/1` say where they run by a mark: a digest, keyed with the kernel's
//! boot id, of where the connection leads and a salt that is new each time. Whoever doesn't know the boot id learns nothing
//! by it, not even that two callers share a machine, and can't use it for a connection that leads elsewhere. By a lie a
//! caller gains no more than a connection of its own that isn't paced.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use leno_capture::socket;
use leno_wire::open;

/// Differs for each start of a kernel (random(4)). Containers see that of their machine, unless whoever runs them puts
/// another in its place, as systemd-nspawn does. Virtual machines that go on from one snapshot have the same.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The machine that this process runs on, as far as it can tell it from others.
#[derive(Debug)]
pub(crate) struct Machine(Option<hmac::Key>);

/// Whether an address says that whoever has it is on this machine.
pub(crate) fn is_here(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Machine {
    /// That of this process.
    pub(crate) fn this() -> Self {
        Self::new(fs::read_to_string(BOOT_ID).ok().as_deref())
    }

    fn new(boot: Option<&str>) -> Self {
        let boot = boot.map(str::trim).filter(|boot| !boot.is_empty());
        Self(boot.map(|boot| hmac::Key::new(HMAC_SHA256, boot.as_bytes())))
    }

    /// By what those who run on it know it, for a connection that leads to this workload.
    pub(crate) fn mark(&self, target: SocketAddr) -> Option<open::Machine> {
        // From a guessable one others could tell when this process began, and so whom it shares a machine with.
        let mut salt = [0; 8];
        rand::fill(&mut salt).ok()?;
        let salt = u64::from_be_bytes(salt);
        Some(open::Machine { salt, code: self.code(target, salt)? })
    }

    /// Paces a mesh connection that was accepted unpaced, unless the peer runs here, as its address says or its mark, and
    /// where that leads. Where the kernel doesn't let this process choose what it has for others, it goes on unpaced: slower
    /// over lossy networks, and as fair.
    pub(crate) fn pace_others(
        &self,
        socket: BorrowedFd<'_>,
        peer: Option<SocketAddr>,
        mark: Option<(open::Machine, SocketAddr)>,
    ) {
        let runs_here =
            peer.is_some_and(is_here) || mark.is_some_and(|(mark, target)| self.has(mark, target));
        if !runs_here {
            let _gone = socket::pace(&socket);
        }
    }

    fn has(&self, mark: open::Machine, target: SocketAddr) -> bool {
        self.code(target, mark.salt) == Some(mark.code)
    }

    fn code(&self, target: SocketAddr, salt: u64) -> Option<u64> {
        let mut context = hmac::Context::with_key(self.0.as_ref()?);
        match target.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&target.port().to_be_bytes());
        context.update(&salt.to_be_bytes());
        context.sign().as_ref().first_chunk().copied().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use leno_capture::socket::{is_paced, unpace};

    use super::*;

    fn other() -> Machine {
        Machine::new(Some("8d3c4f0e-7f0a-4f5e-9a6b-2f6c1d0e9b7a\n"))
    }

    fn target() -> SocketAddr {
        "10.0.0.7:8080".parse().unwrap()
    }

    #[test]
    fn only_who_runs_here_knows_the_mark() {
        let here = Machine::this();
        let mark = here.mark(target()).expect("a boot id");
        assert!(here.has(mark, target()) && Machine::this().has(mark, target()));
        assert_ne!(here.mark(target()), Some(mark), "two marks tell nothing of each other");
        assert!(!other().has(mark, target()));
        assert!(!here.has(other().mark(target()).unwrap(), target()));
        assert!(!here.has(open::Machine { salt: mark.salt.wrapping_add(1), ..mark }, target()));
    }

    #[test]
    fn a_mark_is_good_for_one_target() {
        let here = Machine::this();
        let mark = here.mark(target()).unwrap();
        for elsewhere in ["10.0.0.7:8081", "10.0.0.8:8080", "[::ffff:10.0.0.7]:8080"] {
            assert!(!here.has(mark, elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }

    #[test]
    fn a_machine_that_does_not_know_itself_says_nothing_and_is_nobodys() {
        let mark = Machine::this().mark(target()).unwrap();
        for unknown in [None, Some(""), Some(" \n")] {
            let unknown = Machine::new(unknown);
            assert_eq!((unknown.mark(target()), unknown.has(mark, target())), (None, false));
        }
    }

    #[test]
    fn who_runs_elsewhere_is_paced_as_usual() {
        let here = Machine::this();
        let usual = is_paced(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
        let (own, others) = (here.mark(target()).unwrap(), other().mark(target()).unwrap());
        let peer = Some("192.0.2.7:1");
        for (peer, mark, is_far) in [
            (peer, Some(own), false),
            (peer, Some(others), true),
            (peer, None, true),
            (Some("127.0.0.1:1"), None, false),
            (Some("[::ffff:127.0.0.1]:1"), Some(others), false),
            (None, None, true),
        ] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            unpace(&listener).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            let mark = mark.map(|mark| (mark, target()));
            here.pace_others(socket.as_fd(), peer.map(|peer| peer.parse().unwrap()), mark);
            assert_eq!(is_paced(&socket).unwrap(), is_far && usual, "{peer:?}, {mark:?}");
        }
    }
}
