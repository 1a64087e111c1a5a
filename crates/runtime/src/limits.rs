//! The limits of this crate, each with its reason.

use std::time::Duration;

/// Cores that a proxy uses when nothing else is configured: a sidecar shares its machine with the application
/// it serves, and two cores carry more traffic than most workloads have.
pub const DEFAULT_CORES: usize = 2;

/// Threads for blocking work per runtime. Only name resolution, file reads and compilation run there; more threads
/// would add memory and contend for the same cores.
pub const BLOCKING_THREADS: usize = 4;

/// How long an idle blocking thread is kept, so that a burst of file reads doesn't start a thread for each.
pub const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// Kernel events that one runtime takes at a time. The buffer is allocated up front (12 bytes each), and what doesn't
/// fit comes with the next poll.
pub const IO_EVENTS: usize = 256;

/// How long a drain waits, after its deadline has passed, for the tasks that it told to stop at once. They only have
/// to drop what they hold; one that doesn't return within this time is stuck, and waiting longer won't help.
pub const FORCED_GRACE: Duration = Duration::from_secs(1);

/// How long one reading of the wall clock serves to date instants; a step of the system's clock shows after at most
/// this long.
pub const WALL_ANCHOR: Duration = Duration::from_secs(1);
