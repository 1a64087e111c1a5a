//! Every bound of the automation, with its reason.

use std::time::Duration;

/// Lines that a file may have; a longer one holds a second idea, or is named with its reason in `tidy`.
pub(crate) const FILE_LINES: usize = 600;

/// How long the demo's gateway may take before the timeline gives up. Ready is expected after a few seconds;
/// a machine busy with something else may need many times that.
pub(crate) const DEMO_START: Duration = Duration::from_secs(60);

/// Time between two questions to the starting demo: the timeline's resolution.
pub(crate) const DEMO_POLL: Duration = Duration::from_millis(50);

/// How long a target may look for a planted bug: the ordinary test takes two seconds, on an idle machine.
pub(crate) const PLANTED_RUN: Duration = Duration::from_secs(60);

/// Time between two looks at a running target: the resolution of its seconds.
pub(crate) const PLANTED_POLL: Duration = Duration::from_millis(20);
