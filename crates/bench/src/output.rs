//! Writing to the terminal. Who has closed it has nobody left to tell.

use std::io::{self, Write as _};

/// One line, or several, to standard output.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// One line, or several, to standard error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
