//! Adding up the `test result:` lines that test binaries print.

use std::{fmt, ops::AddAssign, time::Duration};

/// Numbers of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    pub(crate) measured: u64,
    pub(crate) filtered: u64,
}

impl Counts {
    /// Reads a line such as `test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; …`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, numbers) = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?;
        let mut counts = Self::default();
        for part in numbers.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            match what {
                "passed" => counts.passed = number,
                "failed" => counts.failed = number,
                "ignored" => counts.ignored = number,
                "measured" => counts.measured = number,
                "filtered out" => counts.filtered = number,
                _ => {}
            }
        }
        Some(counts)
    }

    /// The same line for all of them.
    pub(crate) fn line(&self, is_good: bool, took: Duration) -> String {
        let verdict = if is_good { "ok" } else { "FAILED" };
        format!("test result: {verdict}. {self}; finished in {:.2}s", took.as_secs_f64())
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.measured += other.measured;
        self.filtered += other.filtered;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed; {} failed; {} ignored; {} measured; {} filtered out",
            self.passed, self.failed, self.ignored, self.measured, self.filtered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_added_and_written_alike() {
        let lines = [
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s",
        ];
        let mut sum = Counts::default();
        for line in lines {
            sum += Counts::parse(line).unwrap();
        }
        let line = sum.line(false, Duration::from_millis(9010));
        assert_eq!(
            line,
            "test result: FAILED. 8 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 9.01s"
        );
        assert_eq!(Counts::parse(&line), Some(sum));
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in
            ["", "test a::b ... ok", "running 7 tests", "test result: ", "a test result: ok. 1 passed"]
        {
            assert_eq!(Counts::parse(line), None, "{line:?}");
        }
    }
}
