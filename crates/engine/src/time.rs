//! Times as numbers.

use std::time::Duration;

/// A time in nanoseconds, as long as these can count it (584 years).
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
