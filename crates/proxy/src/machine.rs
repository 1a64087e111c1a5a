//! Which callers run on this machine, and are therefore not paced.
//!
//! A socket that the kernel has paced once is paced for good, so mesh listeners accept unpaced, and pacing begins when a
//! caller turns out to run elsewhere. One that does learns nothing of which machine this is, nor whether two of its peers
//! share one: what a caller says is a keyed digest of a salt that is new each time. By a lie it gains no more than a
//! connection of its own that isn't paced.

use std::fs;
use std::os::fd::BorrowedFd;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use leno_capture::socket::{self, CongestionControl};
use leno_wire::open;

/// Differs for each kernel and each of its starts, and is the same in all of its containers (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The machine that this process runs on, as far as it can tell it from others.
#[derive(Debug)]
pub(crate) struct Machine {
    key: Option<hmac::Key>,
    /// What sockets towards other machines have.
    congestion_control: Option<CongestionControl>,
}

impl Machine {
    /// That of this process.
    pub(crate) fn this() -> Self {
        Self::new(fs::read_to_string(BOOT_ID).ok().as_deref(), CongestionControl::usual().ok())
    }

    fn new(boot: Option<&str>, congestion_control: Option<CongestionControl>) -> Self {
        let boot = boot.map(str::trim).filter(|boot| !boot.is_empty());
        Self { key: boot.map(|boot| hmac::Key::new(HMAC_SHA256, boot.as_bytes())), congestion_control }
    }

    /// What tells it to those who run on it.
    pub(crate) fn mark(&self) -> Option<open::Machine> {
        let salt = fastrand::u64(..);
        Some(open::Machine { salt, code: self.code(salt)? })
    }

    /// Paces a connection that was accepted unpaced, unless it has this machine's mark. Failing is harmless: it goes on
    /// unpaced.
    pub(crate) fn pace_others(&self, socket: BorrowedFd<'_>, mark: Option<open::Machine>) {
        let runs_here = mark.is_some_and(|mark| self.has(mark));
        // Whoever has chosen something else for it meanwhile, as BPF programs can, has the last word.
        if !runs_here
            && socket::is_unpaced(&socket).unwrap_or(false)
            && let Some(usual) = &self.congestion_control
        {
            let _gone = usual.set(&socket);
        }
    }

    fn has(&self, mark: open::Machine) -> bool {
        self.code(mark.salt) == Some(mark.code)
    }

    fn code(&self, salt: u64) -> Option<u64> {
        let tag = hmac::sign(self.key.as_ref()?, &salt.to_be_bytes());
        tag.as_ref().first_chunk().copied().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use leno_capture::socket::{is_unpaced, set_unpaced};

    use super::*;

    fn other() -> Machine {
        Machine::new(Some("8d3c4f0e-7f0a-4f5e-9a6b-2f6c1d0e9b7a\n"), None)
    }

    #[test]
    fn only_who_runs_here_knows_the_mark() {
        let here = Machine::this();
        let mark = here.mark().expect("a boot id");
        assert!(here.has(mark) && Machine::this().has(mark));
        assert_ne!(here.mark(), Some(mark), "two marks tell nothing of each other");
        assert!(!other().has(mark) && !here.has(other().mark().unwrap()));
        assert!(!here.has(open::Machine { salt: mark.salt.wrapping_add(1), ..mark }));
    }

    #[test]
    fn a_machine_that_does_not_know_itself_says_nothing_and_is_nobodys() {
        let mark = Machine::this().mark().unwrap();
        for unknown in [None, Some(""), Some(" \n")] {
            let unknown = Machine::new(unknown, None);
            assert_eq!((unknown.mark(), unknown.has(mark)), (None, false));
        }
    }

    #[test]
    fn who_runs_elsewhere_is_paced_as_usual() {
        let here = Machine::this();
        let usual = is_unpaced(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
        let (own, others) = (here.mark(), other().mark());
        for (mark, stays_unpaced) in [(own, true), (others, false), (None, false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            set_unpaced(&listener).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            here.pace_others(socket.as_fd(), mark);
            assert_eq!(is_unpaced(&socket).unwrap(), stays_unpaced || usual, "{mark:?}");
        }
    }
}
