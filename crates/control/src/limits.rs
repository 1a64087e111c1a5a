//! Every limit of this crate, with its reason.

use std::time::Duration;

/// How long certificates are valid unless configured: an outage of the control plane of some hours is survived.
pub const DEFAULT_SVID_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// The share of its own certificate's life after which the control plane renews it, as proxies do.
pub const DEFAULT_SVID_RENEW_AFTER: f64 = 1.0 / 6.0;

/// Workloads that may be announced: one machine runs some hundreds; the rest is room for tests.
pub const MAX_ANNOUNCED: usize = 16_384;

/// Quiet time after which changed files are read. Editors and `cp -r` make bursts of events.
pub const SETTLE: Duration = Duration::from_millis(50);

/// Longest that a change of files waits for quiet: what goes on writing must not hold up everybody else's changes.
pub const SETTLE_LONGEST: Duration = Duration::from_millis(250);

/// How long announcements are gathered: workloads become ready in bursts, and each snapshot costs a look at everything.
pub const GATHER: Duration = Duration::from_millis(10);

/// How often an authority elsewhere is asked for its roots, and the control plane's own certificate is looked at.
pub const ROOTS_INTERVAL: Duration = Duration::from_secs(5);

/// Shortest time between two looks at the control plane's own certificate.
pub const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// How long acknowledgements are gathered before they are measured: a thousand proxies answer one after the other.
pub const MEASURE: Duration = Duration::from_millis(10);

/// Longest that a file which somebody is writing keeps its last content. Whoever holds a file open for longer is no
/// editor.
pub const WRITING_LONGEST: Duration = Duration::from_secs(2);

/// How often files are looked at although nothing was heard: network file systems tell nothing, and a lost event must
/// not lose a change for ever.
pub const RESCAN: Duration = Duration::from_secs(10);

/// How often files are looked at where the kernel can't watch them.
pub const POLL: Duration = Duration::from_secs(1);

/// Files of configuration. A mesh of 10,000 services has about as many; beyond it a wrong directory was named.
pub const MAX_FILES: usize = 50_000;

/// Directories that are looked into, for the same reason. Each costs an inotify watch.
pub const MAX_DIRECTORIES: usize = 4_096;

/// Depth of directories below a named one; it also ends a loop of links.
pub const MAX_DEPTH: usize = 16;

/// Bytes of configuration in all. A mesh of 10,000 services has about 30 MiB.
pub const MAX_CONFIG_BYTES: u64 = 256 << 20;

/// Links that are followed to find what to watch, as the kernel's own limit.
pub const MAX_LINKS: usize = 40;

/// Snapshots that are remembered, for status and for measuring how long a change takes.
pub const HISTORY: usize = 64;

/// Objects that are named as different in a remembered snapshot; the first one of a mesh may have thousands.
pub const MAX_SHOWN_CHANGES: usize = 100;

/// Proxies that are named at one object as waiting, and as refusing: of a thousand the first ones say why.
pub const MAX_SHOWN_PROXIES: usize = 8;

/// Catalogs for which a compiled unit is kept although nobody asked for it. Sessions skip catalogs when they are busy.
pub const MEMO_AGE: u64 = 8;

/// Lengths of a join token: below it can be guessed, above it is no token.
pub const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=8_192;

/// Join tokens given at the start: one for each workload and gateway.
pub const MAX_GIVEN_TOKENS: usize = MAX_ANNOUNCED + 64;

/// Longest line on the stream of changes: a workload's description has a few kilobytes.
pub const MAX_CHANGE_BYTES: usize = 256 << 10;

/// Virtual addresses that remember a host that is gone, so that it gets the same one back, and nobody else soon.
pub const MAX_RETIRED_ADDRESSES: usize = 16_384;

/// Services that one `ExternalName` may lead to, one after the other.
pub const MAX_ALIASES: usize = 8;

/// How long a stop waits for connections to end.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// Connections to the admin interface at a time: a scraper, and people.
pub const ADMIN_CONNECTIONS: usize = 16;

/// Pause after a failed accept, which for lack of descriptors would fail again at once.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time in which a client of the admin interface sends its request, also the next one.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
