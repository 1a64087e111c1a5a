//! What a mesh leaves on a machine: looked for everywhere a mesh puts something.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use leno_testkit::mesh::Mesh;
use rustix::process::Pid;

/// A process by its number and the moment of its start, which together never come again.
type Process = (u32, u64);

/// A running mesh as the host sees it.
#[derive(Debug)]
pub(crate) struct Traces {
    folder: PathBuf,
    name: String,
    /// Every process below `leno up`, itself included.
    pub(crate) processes: BTreeMap<Process, Seen>,
    namespaces: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
    /// When this was looked at, in the unit of a process's start.
    now: u64,
}

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// The beginning of its command line.
    pub(crate) command: String,
}

impl Traces {
    pub(crate) fn of(mesh: &Mesh, name: &str) -> Self {
        let all = processes();
        let up = u32::try_from(mesh.pid().as_raw_nonzero().get()).unwrap();
        let processes = below(&all, up);
        let host = namespaces(std::process::id());
        let own = processes.keys().flat_map(|(number, _)| namespaces(*number));
        let namespaces = own.filter(|namespace| !host.contains(namespace)).collect();
        let now = processes.keys().map(|(_, start)| *start).max().unwrap_or_default();
        let folder = mesh.folder().to_owned();
        Self { files: files(&folder), folder, name: name.to_owned(), processes, namespaces, now }
    }

    /// Commands, each as often as it runs.
    pub(crate) fn commands(&self) -> Vec<&str> {
        let mut commands: Vec<_> = self.processes.values().map(|seen| seen.command.as_str()).collect();
        commands.sort_unstable();
        commands
    }

    /// Every process below this one, itself included.
    pub(crate) fn below(&self, number: u32) -> BTreeSet<Process> {
        below(&self.processes, number).into_keys().collect()
    }

    /// Those of these processes that still run.
    pub(crate) fn alive(gone: &BTreeSet<Process>) -> Vec<Process> {
        let now = processes();
        gone.iter().filter(|process| now.contains_key(*process)).copied().collect()
    }

    /// The namespaces that its processes are in, other than the host's.
    pub(crate) fn has_namespaces(&self) -> bool {
        ["user:", "net:", "mnt:", "pid:", "ipc:", "uts:"]
            .iter()
            .all(|kind| self.namespaces.iter().any(|namespace| namespace.starts_with(kind)))
    }

    /// Whatever is there although the mesh has ended. State should be, and is missed when it isn't.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        self.processes_left(&mut left);
        self.places_left(&mut left);
        self.files_left(&mut left);
        left
    }

    fn processes_left(&self, left: &mut Vec<String>) {
        for ((number, start), seen) in processes() {
            if self.processes.contains_key(&(number, start)) || self.is_named_by(number) {
                left.push(format!("process {number}: {}", seen.command));
            }
            // A number may be another mesh's by now, but not one's that was there before.
            let held = namespaces(number).into_iter().chain(descriptors(number));
            let held = held.filter(|name| self.namespaces.contains(name)).collect::<Vec<_>>();
            if start <= self.now && !held.is_empty() {
                left.push(format!("process {number} ({}) holds {held:?}", seen.command));
            }
        }
    }

    /// Whether a process runs from the mesh's folder or was told of it.
    fn is_named_by(&self, number: u32) -> bool {
        let process = PathBuf::from(format!("/proc/{number}"));
        let mentions = |file: &str| fs::read(process.join(file)).is_ok_and(|text| self.is_in(&text));
        let links = ["exe", "cwd", "root"].map(|link| fs::read_link(process.join(link)));
        let mut links = links.into_iter().flatten();
        mentions("cmdline") || mentions("environ") || links.any(|to| to.starts_with(&self.folder))
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let folder = self.folder.as_os_str().as_encoded_bytes();
        text.windows(folder.len()).any(|window| window == folder)
    }

    /// Mounts, network namespaces with a name, sockets.
    fn places_left(&self, left: &mut Vec<String>) {
        for table in ["/proc/self/mountinfo", "/proc/net/unix"] {
            let text = fs::read_to_string(table).unwrap();
            let mut lines = text.lines();
            let ours = |line: &&str| {
                self.is_in(line.as_bytes())
                    || line.split(' ').any(|field| self.namespaces.contains(field) && line.contains("nsfs"))
            };
            left.extend(lines.by_ref().filter(ours).map(|line| format!("{table}: {line}")));
        }
        for directory in ["/run", "/run/netns", "/run/user/0", "/tmp", "/dev/shm"] {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(&self.name));
            left.extend(named.map(|entry| entry.path().display().to_string()));
        }
    }

    /// Its folder holds what it held, but for the runtime directory. State may have become more until the end.
    fn files_left(&self, left: &mut Vec<String>) {
        let runtime = self.folder.join("run/leno");
        let state = self.folder.join("state/leno").join(&self.name);
        let expected: BTreeSet<_> =
            self.files.iter().filter(|file| !file.starts_with(&runtime)).cloned().collect();
        let found = files(&self.folder).into_iter();
        let found: BTreeSet<_> =
            found.filter(|file| expected.contains(file) || !file.starts_with(&state)).collect();
        left.extend(found.difference(&expected).map(|file| format!("file {}", file.display())));
        left.extend(expected.difference(&found).map(|file| format!("missing: {}", file.display())));
        if !expected.iter().any(|file| file.starts_with(&state)) {
            left.push(format!("missing: any state in {}", state.display()));
        }
        let sockets = self.files.iter().filter(|file| file.starts_with(&runtime));
        let answering = sockets.filter(|socket| UnixStream::connect(socket).is_ok());
        left.extend(answering.map(|socket| format!("socket {}", socket.display())));
    }
}

/// Open descriptors of a process.
pub(crate) fn descriptor_count(process: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).into_iter().flatten().count()
}

/// Whether this network namespace, the host's own, has a table of rules by the name that Leno uses. Only root can
/// tell, and only root could have made one.
pub(crate) fn host_has_rules() -> bool {
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, sendto, socket};
    /// A dump of all tables: `struct nlmsghdr` (length, NFT_MSG_GETTABLE, REQUEST and DUMP, sequence, port) and
    /// `struct nfgenmsg` (any family).
    const TABLES: [u16; 10] = [20, 0, 0x0a01, 0x0301, 1, 0, 0, 0, 0, 0];
    /// NFT_MSG_NEWTABLE, one of the answers; NLMSG_DONE, the last.
    const TABLE: u16 = 0x0a00;
    const DONE: u16 = 3;
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::NETFILTER)).unwrap();
    let question: Vec<u8> = TABLES.iter().flat_map(|half| half.to_ne_bytes()).collect();
    sendto(&socket, &question, SendFlags::empty(), &kernel).unwrap();
    let name = format!("{}\0", leno_capture::redirect::TABLE).into_bytes();
    let mut found = false;
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty()).unwrap();
        let mut answers = &buffer[..length];
        while let [a, b, c, d, low, high, ..] = *answers {
            let kind = u16::from_ne_bytes([low, high]);
            assert!(kind == DONE || kind == TABLE, "the kernel lists tables: {answers:?}");
            let (answer, rest) =
                answers.split_at(u32::from_ne_bytes([a, b, c, d]).next_multiple_of(4) as usize);
            found |= answer.windows(name.len()).any(|window| window == name);
            if kind == DONE {
                return found;
            }
            answers = rest;
        }
    }
}

fn processes() -> BTreeMap<Process, Seen> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(|number| process(number).ok()?).collect()
}

fn process(number: u32) -> io::Result<Option<(Process, Seen)>> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat"))?;
    let line = fs::read(format!("/proc/{number}/cmdline"))?;
    // The name is in parentheses and may hold anything.
    let Some((head, tail)) = stat.rsplit_once(") ") else { return Ok(None) };
    let fields: Vec<&str> = tail.split(' ').collect();
    let field =
        |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    let narrow = |index: usize| u32::try_from(field(index)).unwrap_or_default();
    let words: Vec<_> = line.split(|&byte| byte == 0).take(2).map(String::from_utf8_lossy).collect();
    let name = head.split_once('(').map_or("", |(_, name)| name);
    let command = if line.is_empty() { name.to_owned() } else { words.join(" ") };
    Ok(Some(((number, field(19)), Seen { parent: narrow(1), group: narrow(2), command })))
}

fn below(all: &BTreeMap<Process, Seen>, number: u32) -> BTreeMap<Process, Seen> {
    let mut found = BTreeMap::new();
    let mut wanted = vec![number];
    while let Some(next) = wanted.pop() {
        found.extend(
            all.iter().filter(|((number, _), _)| *number == next).map(|(key, seen)| (*key, seen.clone())),
        );
        wanted.extend(all.iter().filter(|(_, seen)| seen.parent == next).map(|((number, _), _)| *number));
    }
    found
}

/// `net:[4026531840]` and so on.
fn namespaces(number: u32) -> Vec<String> {
    links(Path::new(&format!("/proc/{number}/ns")))
}

fn descriptors(number: u32) -> Vec<String> {
    links(Path::new(&format!("/proc/{number}/fd")))
}

fn links(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.to_owned())).collect()
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}
