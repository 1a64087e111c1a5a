//! Descriptors that cross process borders: sealed memory files, inherited numbers, passed rights.
//!
//! Invariant: every descriptor that this module returns is close-on-exec.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::Mutex,
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    io::FdFlags,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags,
    },
};

use crate::limits::{DESCRIPTORS_PER_MESSAGE, SEALED_BYTES};

/// Numbers that [`adopt`] has already handed out in this process.
static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes over a descriptor that this process was started with, by its number.
///
/// # Errors
/// `AddrInUse` for a standard stream or a number adopted before, so that no descriptor gets two
/// owners; what `fcntl` says for a number that isn't open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    let mut adopted = ADOPTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if number <= 2 || adopted.contains(&number) {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("descriptor {number} has an owner")));
    }
    // SAFETY: borrowed only for the check below, which fails with EBADF for a number that isn't open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    adopted.insert(number);
    // SAFETY: the number is open (checked above), is handed out once only (`ADOPTED`), and numbers in
    // a bootstrap document were opened for us by the parent before this process's first instruction.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A memory file with these contents that nobody can change any more.
///
/// # Errors
/// What `memfd_create` or `write` say.
pub fn sealed(name: &str, contents: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(contents)?;
    let fd = OwnedFd::from(file);
    rustix::fs::fcntl_add_seals(
        &fd,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(fd)
}

/// Reads a file made by [`sealed`] from its start, whatever the offset is.
///
/// # Errors
/// `InvalidData` if the file isn't sealed against writing or is larger than [`SEALED_BYTES`].
pub fn read_sealed(fd: OwnedFd) -> io::Result<Vec<u8>> {
    if !rustix::fs::fcntl_get_seals(&fd)?.contains(SealFlags::WRITE | SealFlags::GROW) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory file isn't sealed"));
    }
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0))?;
    let limit = u64::try_from(SEALED_BYTES).unwrap_or(u64::MAX);
    let mut contents = Vec::new();
    File::from(fd).take(limit.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() > SEALED_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory file is too large"));
    }
    Ok(contents)
}

/// A pair of connected message sockets (`SOCK_SEQPACKET`): each send arrives whole or not at all, and
/// the end of one side is an empty message on the other.
///
/// # Errors
/// What `socketpair` says.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends bytes together with descriptors over a Unix socket.
///
/// # Errors
/// `InvalidInput` for more than [`DESCRIPTORS_PER_MESSAGE`]; otherwise what `sendmsg` says. A closed
/// peer is an error, never a signal.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if descriptors.len() > DESCRIPTORS_PER_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes and the descriptors that came with them. Zero bytes mean that the peer is gone.
///
/// # Errors
/// `InvalidData` when the message or its descriptors don't fit; they are closed then. Otherwise what
/// `recvmsg` says.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect();
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message doesn't fit"));
    }
    Ok((message.bytes, descriptors))
}

/// Lets a descriptor block, or not.
///
/// # Errors
/// What `fcntl` says.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}
