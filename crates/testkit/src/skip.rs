//! Skips that can't be overlooked.
//!
//! The test harness knows no skip: a test that returns early counts as passed. So the reason goes straight to
//! standard error, which the harness doesn't capture, and where `CI=true` says that everything must be there,
//! a skip is a failure.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Says that the current test can't run here, and why. The test returns afterwards.
///
/// # Panics
/// Where the environment says `CI=true`.
pub fn skip(reason: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    #[expect(clippy::panic, reason = "how a test fails")]
    if is_failure(std::env::var("CI").ok().as_deref()) {
        panic!("{test} would be skipped, which CI=true forbids: {reason}");
    }
    // Nobody is left to tell when standard error itself is gone.
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {reason}");
}

/// The thing itself, or a [`skip`] for its reason.
///
/// # Panics
/// As [`skip`].
pub fn or_skip<T, E: Display>(found: Result<T, E>) -> Option<T> {
    found.map_err(skip).ok()
}

fn is_failure(ci: Option<&str>) -> bool {
    ci == Some("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_makes_a_skip_a_failure() {
        for (ci, expected) in [(None, false), (Some(""), false), (Some("false"), false), (Some("true"), true)]
        {
            assert_eq!(is_failure(ci), expected, "{ci:?}");
        }
    }

    #[test]
    fn what_is_there_is_not_skipped() {
        assert_eq!(or_skip(Ok::<_, &str>(1)), Some(1));
    }
}
