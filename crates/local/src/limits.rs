//! Every limit of this crate, with its reason.

use std::time::Duration;

/// Bytes of a mesh's, service's or workload's name. Both stand in the path of a Unix socket, which has
/// at most 107 bytes; whether a whole path fits is checked where it is made.
pub const NAME_BYTES: usize = 40;

/// Replicas in one mesh. Each has a supervisor, a sidecar and an init process, about 10 MiB together.
pub const REPLICAS: u32 = 1000;

/// Bytes of a Unix socket's path: `sun_path` has 108, one of them for the end.
pub const SOCKET_PATH_BYTES: usize = 107;

/// Bytes of a message between Leno's processes. The kernel takes about 200 KiB at once by default; an
/// environment of 64 KiB fits with room for its JSON form.
pub const MESSAGE_BYTES: usize = 128 * 1024;

/// Blobs in a vault: a sidecar stores about four.
pub const VAULT_NAMES: usize = 16;

/// Bytes of one blob in a vault: a snapshot of what one sidecar uses is below 1 MiB.
pub const VAULT_BLOB_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a vault: a few blobs of the largest size.
pub const VAULT_BYTES: usize = 16 * 1024 * 1024;

/// How often a locked runtime directory is tried again.
pub const LOCK_POLL: Duration = Duration::from_millis(20);

/// How long `leno up` waits for an earlier mesh's janitor, which itself waits [`JANITOR_WAIT`].
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How long the janitor waits for killed processes to be gone. The kernel needs milliseconds.
pub const JANITOR_WAIT: Duration = Duration::from_secs(8);

/// Processes that the janitor watches: a supervisor per replica, control plane and gateway.
pub const JANITOR_PROCESSES: usize = 1100;

/// How long a workload may take to end after SIGTERM, as long as with Docker.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long a proxy may take to drain: its own deadline (10 s), after which it cuts what is left and says so, and a
/// moment for that.
pub const DRAIN_GRACE: Duration = Duration::from_secs(12);

/// How long a new gateway may take until it serves in the place of the running one, which goes on meanwhile.
pub const TAKE_OVER_WAIT: Duration = Duration::from_secs(30);

/// How long a gateway that was replaced may take to finish what it has: a little more than it takes for itself.
pub const REPLACED_GRACE: Duration = Duration::from_secs(65);

/// How long a replica goes on serving after the mesh was told to send it nothing new. A change is in effect at the
/// last proxy within a second, mostly in some 50 ms; what callers had sent until then is answered meanwhile.
pub const SETTLE: Duration = Duration::from_secs(1);

/// How long making a world may take: some fifty mounts, milliseconds on an idle machine.
pub const WORLD_WAIT: Duration = Duration::from_secs(30);

/// The first pause before a crashed process starts again; it doubles each time.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause. Long enough not to burn a core, short enough for a person at the terminal.
pub const BACKOFF_LONGEST: Duration = Duration::from_secs(15);

/// A process that ran this long counts as sound again, and its next crash as its first.
pub const BACKOFF_RESET: Duration = Duration::from_secs(20);

/// Processes that run at once in one world by `leno exec` and health checks.
pub const WORLD_PROCESSES: usize = 64;

/// Orders and reports that wait in a supervisor. The other end is a task that takes them at once.
pub const QUEUED_MESSAGES: usize = 64;

/// How long `leno up` waits, once everything runs, until every proxy knows of it before it calls the mesh ready. It
/// takes some 100 ms; a proxy that has not answered by then is worth a word.
pub const IN_EFFECT_WAIT: Duration = Duration::from_secs(5);

/// How often is asked meanwhile: one question to the control plane, on its Unix socket.
pub const IN_EFFECT_POLL: Duration = Duration::from_millis(20);

/// When a workload that isn't ready yet is worth a word. Most are ready within seconds.
pub const STARTING_PATIENCE: Duration = Duration::from_secs(10);

/// How long the last words of a process that died may take to be read.
pub const LAST_WORDS_WAIT: Duration = Duration::from_millis(200);

/// Bytes of file events that are read at once; one has at most 272.
pub const WATCH_EVENT_BYTES: usize = 4096;

/// Bytes of an HTTP health answer that are read: the status line.
pub const HEALTH_ANSWER_BYTES: usize = 512;

/// Bytes of one line of output; longer ones are cut into several.
pub const LINE_BYTES: usize = 16 * 1024;

/// Bytes of output kept per replica for `leno logs`.
pub const LOG_BYTES: usize = 1024 * 1024;

/// Lines that wait for the terminal. A terminal that is slower than this loses lines, which are counted;
/// `leno logs` still has them.
pub const PRINTED_LINES: usize = 4096;

/// Clients served at once on the control socket.
pub const CLIENTS: usize = 64;

/// How long a client may take to send its request.
pub const CLIENT_WAIT: Duration = Duration::from_secs(5);

/// Mounts that are read from `/proc/self/mountinfo`; the kernel allows 100,000 per namespace.
pub const MOUNTS: usize = 100_000;

/// Directories in `/run` whose like a private `/run` gets, for daemons that expect theirs.
pub const RUN_DIRECTORIES: usize = 256;

/// Clients that may scrape at once: a Prometheus or two, and people who look.
pub const SCRAPERS: usize = 16;

/// How long a scraper's connection may be without a request. Prometheus comes every 15 s to a minute, and connects anew
/// if need be.
pub const SCRAPER_WAIT: Duration = Duration::from_secs(90);

/// How long a process may take to show its metrics. Prometheus waits 10 s for all of them.
pub const EXPOSITION_WAIT: Duration = Duration::from_secs(3);

/// Processes that are asked for their metrics at the same time, so that a scrape of a large mesh doesn't stop it.
pub const EXPOSITIONS_AT_ONCE: usize = 32;

/// Bytes of one process's metrics: a series has about 600, and 10,000 of them are far more than a sidecar has.
pub const EXPOSITION_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of all processes' metrics in one scrape.
pub const EXPOSITIONS_BYTES: usize = 256 * 1024 * 1024;

/// Pause after a connection could not be taken, which is when descriptors are used up.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
