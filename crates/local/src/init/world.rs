//! What a workload sees of the file system.
//!
//! It sees the host's, except: its own `/tmp`, `/run`, `/dev` and `/proc`; `/sys` and kernel settings
//! read-only; replaced name-resolution files; the mesh's sockets, state and keys hidden; the mesh's files
//! read-only. In its own directories it finds what is shared, the working directory, and to be read what it
//! is made of: the mesh file's directory and its program. Order matters: first what holds on host paths
//! (hide, protect), then what must stay reachable is opened, then private directories cover their places,
//! then the opened sources come back inside.
//!
//! Hidden and protected places can't be uncovered (their mounts are locked for the workload), nor moved
//! away: every directory above them that the workload could rename is a mount point of its own.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use leno_capture::mount::{self, Source};
use rustix::fs::Access;

use super::mounts;
use crate::{handoff::Init, limits::RUN_DIRECTORIES};

/// A step that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("can't {operation} {path} in the workload's world")]
pub struct Error {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

trait Context<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error { operation, path: path.to_owned(), source })
    }
}

/// What `share` names and can't be found, with what to do about it.
fn missing(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{error}; create it, or take it out of `share`"))
}

/// Devices that every program may expect.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Kernel settings and controls below `/proc` that user 0 could write without any capability.
const KERNEL_CONTROLS: [&str; 7] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"];

/// Turns the caller's mount namespace, a copy of the host's, into the workload's.
pub(super) fn build(init: &Init) -> Result<(), Error> {
    let world = &init.world;
    mount::make_private().at("isolate", Path::new("/"))?;
    mount::set_hostname(&world.hostname).at("name the host in", Path::new("/"))?;
    let private = private_directories(&world.private);
    cover_host_paths(init, &private)?;
    let devices = open_devices()?;
    let exposed = open_exposed(init, &private)?;
    let skeleton = run_skeleton();
    for directory in &private {
        mount::scratch(directory, 0o1777).at("mount", directory)?;
    }
    make_run(init, &skeleton)?;
    make_devices(&devices)?;
    for place in &exposed {
        expose(&place.path, &place.source)?;
        if place.read_only {
            mount::make_read_only(&place.path).at("write-protect", &place.path)?;
        }
    }
    make_kernel_views()?;
    for (path, contents) in &world.files {
        replace_file(path, contents, &world.runtime, &private)?;
    }
    std::env::set_current_dir("/").at("enter", Path::new("/"))
}

/// The private directories by their real paths, each once, none below another.
fn private_directories(wanted: &[PathBuf]) -> BTreeSet<PathBuf> {
    let real: BTreeSet<PathBuf> = wanted.iter().filter_map(|path| path.canonicalize().ok()).collect();
    real.iter().filter(|path| !path.ancestors().skip(1).any(|above| real.contains(above))).cloned().collect()
}

/// Whether a path lies below (or is) one of these directories.
fn is_below(path: &Path, directories: &BTreeSet<PathBuf>) -> bool {
    path.ancestors().any(|above| directories.contains(above))
}

/// Hides and protects on the host's paths, wherever else the same places are mounted.
fn cover_host_paths(init: &Init, private: &BTreeSet<PathBuf>) -> Result<(), Error> {
    let table = mounts::read().at("read", Path::new("/proc/self/mountinfo"))?;
    let everywhere = |paths: &[PathBuf]| -> BTreeSet<PathBuf> {
        let real = paths.iter().filter_map(|path| path.canonicalize().ok());
        real.flat_map(|path| mounts::aliases(&path, &table)).collect()
    };
    let mut hidden = everywhere(&init.world.hidden);
    let protected = everywhere(&init.world.protected);
    for path in ancestors_to_pin(hidden.iter().chain(&protected), private, init.world.root) {
        mount::pin(&path).at("pin", &path)?;
    }
    let other_process_lists =
        table.into_iter().filter(|mount| mount.kind == "proc" && mount.point != Path::new("/proc"));
    hidden.extend(other_process_lists.map(|mount| mount.point));
    for path in protected.iter().filter(|path| !is_below(path, &hidden)) {
        write_protect(path)?;
    }
    for path in hidden.iter().filter(|path| path.is_dir()) {
        mount::hide(path).at("hide", path)?;
    }
    Ok(())
}

/// Makes a path and all below it read-only, and impossible to replace.
fn write_protect(path: &Path) -> Result<(), Error> {
    mount::pin(path).at("pin", path)?;
    mount::make_read_only(path).at("write-protect", path)
}

/// Protects paths again that were replaced outside, in a world that is already complete. What the world
/// doesn't show needs no protection.
pub(super) fn protect(paths: &[PathBuf]) -> Result<(), Error> {
    paths.iter().filter(|path| path.exists()).try_for_each(|path| write_protect(path))
}

/// Directories above `paths` that the workload might rename, uppermost first.
fn ancestors_to_pin<'a>(
    paths: impl Iterator<Item = &'a PathBuf>,
    private: &BTreeSet<PathBuf>,
    root: bool,
) -> BTreeSet<PathBuf> {
    let above = paths.flat_map(|path| path.ancestors().skip(1));
    let renamable = |path: &Path| {
        path.parent().is_some_and(|parent| root || rustix::fs::access(parent, Access::WRITE_OK).is_ok())
    };
    above
        .filter(|path| path.parent().is_some() && !is_below(path, private) && renamable(path))
        .map(Path::to_owned)
        .collect()
}

fn open_devices() -> Result<Vec<(PathBuf, Source)>, Error> {
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        match Source::open(&path) {
            Ok(source) => devices.push((path, source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("open", &path),
        }
    }
    Ok(devices)
}

/// Something of the host's that is to be seen inside a private directory.
struct Exposed {
    path: PathBuf,
    source: Source,
    read_only: bool,
}

/// What must stay reachable inside private directories: shared paths, the working directory, and what the
/// workload is made of.
fn open_exposed(init: &Init, private: &BTreeSet<PathBuf>) -> Result<Vec<Exposed>, Error> {
    let mut covered = private.clone();
    covered.insert(PathBuf::from("/dev"));
    let mut exposed = Vec::new();
    for path in &init.world.shared {
        let real = path.canonicalize().map_err(|error| missing(&error)).at("share", path)?;
        if is_below(&real, &covered) {
            let source = Source::open(&real).at("share", path)?;
            exposed.push(Exposed { path: real, source, read_only: false });
        }
    }
    // A private directory itself means the workload's own.
    let is_lost = |path: &Path| is_below(path, &covered) && !covered.contains(path);
    if let Ok(real) = init.workdir.canonicalize()
        && is_lost(&real)
    {
        let source = Source::open(&real).at("open", &real)?;
        exposed.push(Exposed { path: real, source, read_only: false });
    }
    for path in init.world.readable.iter().flat_map(|path| ways(path)).filter(|path| is_lost(path)) {
        if !exposed.iter().any(|place| path.starts_with(&place.path)) {
            let source = Source::open(&path).at("open", &path)?;
            exposed.push(Exposed { path, source, read_only: true });
        }
    }
    // Outer paths first, so that none covers another.
    exposed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(exposed)
}

/// Where something is, and where it is looked for: a name that is itself a symbolic link would be gone with
/// the directory that it lies in.
fn ways(path: &Path) -> BTreeSet<PathBuf> {
    let Ok(real) = path.canonicalize() else { return BTreeSet::new() };
    let name = path.parent().and_then(|parent| Some(parent.canonicalize().ok()?.join(path.file_name()?)));
    [real].into_iter().chain(name).collect()
}

/// A directory of the host's `/run`, which some daemon may expect there.
struct Directory {
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
}

fn run_skeleton() -> Vec<Directory> {
    let entries = fs::read_dir("/run").into_iter().flatten().flatten().take(RUN_DIRECTORIES);
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let known = directories.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    known
        .filter(|(path, _)| !path.ends_with("leno") && !path.ends_with("user"))
        .map(|(path, found)| Directory {
            path,
            mode: found.mode() & 0o7777,
            owner: (found.uid(), found.gid()),
        })
        .collect()
}

/// Fills the private `/run`: empty directories like the host's, and the user's own runtime directory.
fn make_run(init: &Init, skeleton: &[Directory]) -> Result<(), Error> {
    for directory in skeleton {
        let path = &directory.path;
        fs::create_dir_all(path).at("make", path)?;
        // An ordinary user can't give directories away and owns them all.
        if init.world.root {
            chown(path, Some(directory.owner.0), Some(directory.owner.1)).at("give away", path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(directory.mode)).at("open", path)?;
        }
    }
    let runtime = &init.world.runtime;
    fs::create_dir_all(runtime).at("make", runtime)?;
    fs::set_permissions(runtime, fs::Permissions::from_mode(0o700)).at("close", runtime)?;
    if let Some(user) = &init.user {
        chown(runtime, Some(user.user), Some(user.group)).at("give away", runtime)?;
    }
    Ok(())
}

/// A `/dev` with what programs expect and no disk.
fn make_devices(devices: &[(PathBuf, Source)]) -> Result<(), Error> {
    let dev = Path::new("/dev");
    mount::scratch(dev, 0o755).at("mount", dev)?;
    for (path, source) in devices {
        expose(path, source)?;
    }
    for (name, mode) in [("shm", 0o1777), ("pts", 0o755)] {
        let path = dev.join(name);
        fs::create_dir(&path).at("make", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("open", &path)?;
    }
    mount::terminals(&dev.join("pts")).at("mount", &dev.join("pts"))?;
    let links = [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        symlink(target, dev.join(name)).at("link", &dev.join(name))?;
    }
    Ok(())
}

/// Makes a place for an opened source and mounts it there.
fn expose(path: &Path, source: &Source) -> Result<(), Error> {
    if !path.exists() {
        if source.is_directory().at("inspect", path)? {
            make_directories(path)?;
        } else {
            make_file(path, "")?;
        }
    }
    source.bind(path).at("share", path)
}

/// Makes a directory and those above it so that every user may walk through, whatever the caller's mask says.
fn make_directories(path: &Path) -> Result<(), Error> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory).at("make", directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).at("open", directory)?;
    }
    Ok(())
}

fn make_file(path: &Path, contents: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    fs::write(path, contents).at("write", path)
}

/// `/proc` of this process namespace only, and kernel controls that can be read but not changed.
fn make_kernel_views() -> Result<(), Error> {
    let (sys, proc) = (Path::new("/sys"), Path::new("/proc"));
    if sys.exists() {
        write_protect(sys)?;
    }
    mount::processes(proc).at("mount", proc)?;
    for path in KERNEL_CONTROLS.map(Path::new).into_iter().filter(|path| path.exists()) {
        write_protect(path)?;
    }
    Ok(())
}

/// Puts these contents, read-only, where programs look for this file.
fn replace_file(
    path: &Path,
    contents: &str,
    scratch: &Path,
    private: &BTreeSet<PathBuf>,
) -> Result<(), Error> {
    let target = follow(path);
    if !target.exists() {
        if !is_below(&target, private) {
            return missing_file(path);
        }
        make_file(&target, "")?;
    }
    let name = format!("leno-{}", target.file_name().unwrap_or_default().to_string_lossy());
    let temporary = scratch.join(name);
    make_file(&temporary, contents)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).at("open", &temporary)?;
    let source = Source::open(&temporary).at("open", &temporary)?;
    source.bind(&target).at("replace", &target)?;
    mount::make_read_only(&target).at("write-protect", &target)?;
    fs::remove_file(&temporary).at("remove", &temporary)
}

/// A file that the host lacks, outside the private directories, can't be added. Without `resolv.conf` no
/// program would ask the mesh's DNS; the others have fitting defaults.
fn missing_file(path: &Path) -> Result<(), Error> {
    if !path.ends_with("resolv.conf") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the host has none; create an empty one")).at("replace", path)
}

/// Where a path's last component really lies, even if nothing is there (yet).
fn follow(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&target) else { break };
        let parent = target.parent().unwrap_or_else(|| Path::new("/"));
        target = normal(&parent.canonicalize().unwrap_or_else(|_missing| parent.to_owned()).join(link));
    }
    target
}

/// A path without `.` and `..`, as if no component were a symbolic link.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}
