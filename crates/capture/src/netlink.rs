//! A synchronous netlink socket and the few lines of encoding that its messages need.
//!
//! Invariant: every request asks for an acknowledgement, and no call returns before each of its
//! requests was acknowledged, refused, or [`NETLINK_WAIT`] passed.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink},
};

use crate::limits::{NETLINK_ANSWER, NETLINK_WAIT};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// `NLMSG_ERROR`, also the acknowledgement.
const ERROR: u16 = 2;

pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACK: u16 = 4;

pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// The nested-attribute flag (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;

/// The kernel's answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) sequence: u32,
    /// Zero for success, else an errno.
    pub(crate) error: i32,
}

pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn open(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        bind(&fd, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self(fd))
    }

    /// Sends messages in one datagram.
    pub(crate) fn send(&self, messages: &[u8]) -> io::Result<()> {
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        let sent = rustix::net::sendto(&self.0, messages, SendFlags::empty(), &kernel)?;
        if sent == messages.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The answers in the next datagram.
    pub(crate) fn answers(&self) -> io::Result<Vec<Answer>> {
        let wait = Timespec { tv_sec: i64::try_from(NETLINK_WAIT.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        let mut ready = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        if poll(&mut ready, Some(&wait))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buffer = vec![0; NETLINK_ANSWER];
        let (length, _) = rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
        buffer.truncate(length);
        Ok(parse_answers(&buffer))
    }
}

/// Reads the acknowledgements and errors out of a datagram; anything else is skipped.
fn parse_answers(mut datagram: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((length, kind, sequence)) = header(datagram) {
        let Some(message) = datagram.get(..length).filter(|_| length >= HEADER) else { break };
        if kind == ERROR {
            let errno = message.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
            let error = errno.map_or(libc::EPROTO, |bytes| i32::from_ne_bytes(bytes).wrapping_neg());
            answers.push(Answer { sequence, error });
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

fn header(datagram: &[u8]) -> Option<(usize, u16, u32)> {
    let length = u32::from_ne_bytes(datagram.get(0..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    let sequence = u32::from_ne_bytes(datagram.get(8..12)?.try_into().ok()?);
    Some((usize::try_from(length).ok()?, kind, sequence))
}

/// Builds netlink messages: headers, padded attributes, nesting.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends a message; `body` fills in what follows the header.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 4]);
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(flags.to_ne_bytes());
        self.0.extend(sequence.to_ne_bytes());
        self.0.extend([0; 4]);
        body(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.patch(start, &length.to_ne_bytes());
        self.pad();
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |encoder| encoder.raw(value));
    }

    /// A zero-terminated string, as netfilter expects names.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |encoder| {
            encoder.raw(value.as_bytes());
            encoder.raw(&[0]);
        });
    }

    /// A number in network byte order, as netfilter expects its numbers.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.attribute(kind | NESTED, body);
    }

    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        body(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &length.to_ne_bytes());
        self.pad();
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_cover_nested_attributes_and_exclude_padding() {
        let mut encoder = Encoder::default();
        encoder.message(7, REQUEST, 9, |m| m.nested(1, |n| n.text(2, "ab")));
        let bytes = encoder.into_bytes();
        assert_eq!(header(&bytes), Some((bytes.len(), 7, 9)));
        assert_eq!(bytes[16..], [12, 0, 1, 0x80, 7, 0, 2, 0, b'a', b'b', 0, 0]);
    }

    #[test]
    fn answers_survive_any_bytes() {
        let mut datagram = Encoder::default();
        datagram.message(ERROR, 0, 3, |m| m.raw(&0_i32.to_ne_bytes()));
        datagram.message(ERROR, 0, 4, |m| m.raw(&(-1_i32).to_ne_bytes()));
        let bytes = datagram.into_bytes();
        let expected = [Answer { sequence: 3, error: 0 }, Answer { sequence: 4, error: 1 }];
        assert_eq!(parse_answers(&bytes), expected);
        for end in 0..bytes.len() {
            assert!(parse_answers(&bytes[..end]).len() <= 1);
        }
        assert_eq!(parse_answers(&[0; 64]), []);
        assert_eq!(parse_answers(&[0xff; 64]), []);
    }
}
