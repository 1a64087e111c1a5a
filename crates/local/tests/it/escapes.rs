//! What a workload might try. Each attempt prints `reached` or why it failed, and is played inside a world
//! and, as its positive control, outside.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    path::Path,
    time::Duration,
};

use leno_capture::{
    capability, mount,
    namespace::{self, IdMaps, Kinds},
    nft, socket,
};
use rustix::process::PidfdFlags;

/// Makes one attempt; prints the outcome. Exit code 0 whatever it is.
pub(crate) fn attempt(name: &str, words: &[&str]) -> i32 {
    let outcome = match (name, words) {
        ("dial", [address]) => dial(address),
        ("dial-unix", [path]) => UnixStream::connect(path).map(|_| ()),
        ("dial-abstract", [name]) => UnixAddress::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address))
            .map(|_| ()),
        ("read", [path]) => fs::read(path).map(|_| ()),
        ("write", [path]) => File::options().write(true).open(path).map(|_| ()),
        ("replace", [path]) => replace(Path::new(path)),
        ("rename", [path]) => rename(Path::new(path)),
        ("memory", [process]) => File::open(format!("/proc/{process}/mem")).map(|_| ()),
        ("signal", [process]) => signal(process),
        ("mark", []) => mark(),
        ("flush", []) => nft::remove(leno_capture::redirect::TABLE).map_err(io::Error::other),
        ("flush-of", [process]) => flush_of(process),
        ("unmount", [path]) => {
            rustix::mount::unmount(*path, rustix::mount::UnmountFlags::DETACH).map_err(Into::into)
        }
        ("nested", [name, rest @ ..]) => return nested(name, rest),
        ("bind-below", [path]) => bind_below(Path::new(path)),
        ("overlay-below", [path]) => overlay_below(Path::new(path)),
        ("gain", []) => gain(),
        other => panic!("no attempt {other:?}"),
    };
    match outcome {
        Ok(()) => println!("reached"),
        Err(error) => println!("{error}"),
    }
    0
}

fn dial(address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut text = String::new();
    io::Read::read_to_string(&mut &stream, &mut text)?;
    if text.starts_with("captured") { Err(io::Error::other("captured")) } else { Ok(()) }
}

/// Puts another file in a file's place.
fn replace(path: &Path) -> io::Result<()> {
    let other = path.with_extension("other");
    fs::write(&other, "{}")?;
    let renamed = fs::rename(&other, path);
    let _tidied = fs::remove_file(&other);
    renamed
}

/// Moves a directory away and back.
fn rename(path: &Path) -> io::Result<()> {
    let away = path.with_extension("away");
    fs::rename(path, &away)?;
    fs::rename(&away, path)
}

fn signal(process: &str) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
    Ok(rustix::process::test_kill_process(pid)?)
}

fn mark() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket::set_mark(&socket, 1337)
}

/// Removes the rules of the network in which a process is, by joining its namespaces.
fn flush_of(process: &str) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    namespace::join(&pidfd, Kinds::USER.and(Kinds::NETWORK))?;
    nft::remove(leno_capture::redirect::TABLE).map_err(io::Error::other)
}

/// Becomes root of namespaces of its own first, as anybody may.
fn nested(name: &str, words: &[&str]) -> i32 {
    let mapped = nested_command(name, words, Some(IdMaps::of_caller().unwrap())).spawn();
    // Where the kernel refuses the map, there are still capabilities in the namespace.
    let child = mapped.or_else(|_refused| nested_command(name, words, None).spawn());
    match child {
        Ok(child) => child.wait().unwrap().shell_code(),
        Err(error) => {
            println!("{error:?}");
            0
        }
    }
}

fn nested_command(name: &str, words: &[&str], maps: Option<IdMaps>) -> leno_capture::process::Command {
    let mut command = leno_capture::process::Command::new(&std::env::current_exe().unwrap());
    command.argument(crate::world::PLAY).argument("outside").argument(name);
    for word in words {
        command.argument(word);
    }
    use std::os::fd::AsFd;
    command
        .own_environment()
        .stdout(io::stdout().as_fd().try_clone_to_owned().unwrap())
        .stderr(io::stderr().as_fd().try_clone_to_owned().unwrap())
        .namespaces(Kinds::USER.and(Kinds::MOUNT).and(Kinds::PROCESS).and(Kinds::NETWORK))
        .capabilities(capability::Set::all());
    if let Some(maps) = maps {
        command.maps(maps);
    }
    command
}

/// Looks below mounts by mounting the root once more, without what is mounted on it.
fn bind_below(path: &Path) -> io::Result<()> {
    mount::make_private()?;
    rustix::mount::mount_bind("/", "/mnt")?;
    fs::read(Path::new("/mnt").join(path.strip_prefix("/").unwrap())).map(|_| ())
}

/// Looks below mounts by way of an overlay of the directory.
fn overlay_below(path: &Path) -> io::Result<()> {
    mount::make_private()?;
    mount::scratch(Path::new("/mnt"), 0o755)?;
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(Path::new("/mnt").join(name))?;
    }
    let hidden = path.parent().and_then(Path::parent).unwrap();
    // The directory itself, then its parent, which isn't hidden.
    let mut last = Err(io::ErrorKind::NotFound.into());
    for lower in [hidden, hidden.parent().unwrap(), Path::new("/")] {
        let options = format!("lowerdir={}:/mnt/lower", lower.display());
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        last = rustix::mount::mount("overlay", "/mnt/merged", "overlay", flags, Some(options.as_c_str()))
            .map_err(Into::into);
        if last.is_ok() {
            last = fs::read(Path::new("/mnt/merged").join(path.strip_prefix(lower).unwrap())).map(|_| ());
            if last.is_ok() {
                return Ok(());
            }
        }
    }
    last
}

/// Whether anything could give this process privileges.
fn gain() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let summary = format!(
        "effective {} bounding {} no-new-privs {}",
        field("CapEff:"),
        field("CapBnd:"),
        field("NoNewPrivs:")
    );
    Err(io::Error::other(summary))
}
