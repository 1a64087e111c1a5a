//! Every bound of this crate, with its reason.

use std::time::Duration;

/// How long one installation by pip or npm may take: the largest package is about 40 MB, and a slow link is
/// told from none at all.
pub const INSTALL: Duration = Duration::from_secs(300);

/// How long a build of one of our own binaries may take when it isn't there yet.
pub const BUILD: Duration = Duration::from_secs(1200);

/// How long a test waits for anything before it gives up: far more than it takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
