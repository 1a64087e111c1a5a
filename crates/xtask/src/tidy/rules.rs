//! The rules, each a pure function over one file.

use crate::limits::FILE_LINES;

/// Source files above [`FILE_LINES`], with the one idea that fills them.
const LONG: [(&str, &str); 0] = [];

/// Marks of work left undone. Written in two parts, since this file is checked, too.
const UNDONE: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// What opens the door to unsafe code; one crate has it.
const UNSAFE: &str = concat!("unsafe", "_code");
/// The crate that may.
const UNSAFE_MAY: &str = "crates/capture/src/";

/// What data cores run. They have no timers but those of `leno_runtime::time`, and tokio's would panic.
const ON_CORES: [&str; 7] = [
    "crates/capture/src/",
    "crates/http/src/",
    "crates/identity/src/",
    "crates/proxy/src/",
    "crates/runtime/src/",
    "crates/telemetry/src/",
    "crates/wire/src/",
];
/// Where those are made.
const TIMERS: &str = "crates/runtime/src/time.rs";

/// Files that quote what others wrote.
const FOREIGN: [&str; 2] = ["Cargo.lock", "LICENSE"];

/// Everything in this file that breaks a rule.
pub(crate) fn check(name: &str, text: &str) -> Vec<String> {
    if FOREIGN.contains(&name) || name.contains("/golden/") || name.contains("/corpus/") {
        return Vec::new();
    }
    let mut problems = undone(name, text);
    problems.extend(ending(name, text));
    if std::path::Path::new(name).extension().is_some_and(|extension| extension == "rs") {
        problems.extend(module_name(name));
        problems.extend(opening(name, text));
        problems.extend(length(name, text));
        problems.extend(safety(name, text));
        problems.extend(timers(name, text));
    }
    problems
}

/// Work that is left belongs into an issue.
fn undone(name: &str, text: &str) -> Vec<String> {
    let is_word = |line: &str, mark: &str| {
        line.split(|character: char| !character.is_alphanumeric() && character != '_')
            .any(|word| word == mark)
    };
    let lines = text.lines().enumerate();
    let marked = lines.filter_map(|(number, line)| {
        let mark = UNDONE.iter().find(|mark| is_word(line, mark))?;
        Some(format!("{name}:{}: {mark}: do it, or file an issue", number + 1))
    });
    marked.collect()
}

fn ending(name: &str, text: &str) -> Option<String> {
    let is_good = text.is_empty() || (text.ends_with('\n') && !text.ends_with("\n\n"));
    (!is_good).then(|| format!("{name}:{}: should end with exactly one newline", text.lines().count().max(1)))
}

/// `foo.rs` beside `foo/`: an editor full of tabs called `mod.rs` helps nobody.
fn module_name(name: &str) -> Option<String> {
    name.ends_with("/mod.rs").then(|| format!("{name}:1: name it after its module"))
}

/// A module says what it is before anything else. Test modules are described by what they test.
fn opening(name: &str, text: &str) -> Option<String> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    let is_good = name.ends_with("/tests.rs") || first.is_some_and(|line| line.starts_with("//!"));
    (!is_good).then(|| format!("{name}:1: should open with //! and what it is"))
}

fn length(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let is_good = lines <= FILE_LINES || LONG.iter().any(|(long, _)| *long == name);
    (!is_good).then(|| format!("{name}:{FILE_LINES}: has {lines} lines: which second idea moved in?"))
}

fn safety(name: &str, text: &str) -> Option<String> {
    if name.starts_with(UNSAFE_MAY) {
        return None;
    }
    let line = text.lines().position(|line| line.contains(UNSAFE))?;
    Some(format!("{name}:{}: unsafe code belongs into capture, behind a safe function", line + 1))
}

/// Functions of `tokio::time`, which are written in lower case, are for tests only.
fn timers(name: &str, text: &str) -> Option<String> {
    let is_checked = ON_CORES.iter().any(|path| name.starts_with(path)) && name != TIMERS;
    if !is_checked || name.ends_with("/tests.rs") {
        return None;
    }
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut line = 1;
    // Imports may be on several lines.
    for statement in product.split_inclusive(';') {
        if let Some(at) = timer(statement) {
            line += statement.get(..at).unwrap_or_default().matches('\n').count();
            return Some(format!("{name}:{line}: data cores set their timers by leno_runtime::time"));
        }
        line += statement.matches('\n').count();
    }
    None
}

/// Where a statement names a function of `tokio::time`, or all of it.
fn timer(statement: &str) -> Option<usize> {
    let of_tokio = statement.find("use tokio::{");
    let mut paths = statement.match_indices("time");
    paths.find_map(|(at, word)| {
        let before = statement.get(..at)?;
        let is_tokios = before.ends_with("tokio::")
            || of_tokio.is_some_and(|start| start < at) && before.trim_end().ends_with(['{', ',']);
        let behind = statement.get(at + word.len()..)?;
        let named = match behind.strip_prefix("::") {
            Some(list) if list.starts_with('{') => list.get(1..)?.split('}').next()?,
            Some(path) => path.split(|byte: char| !byte.is_alphanumeric() && byte != '_').next()?,
            None if behind.starts_with(|byte: char| byte.is_alphanumeric() || byte == '_') => return None,
            None => "self",
        };
        let is_function = |word: &str| word.trim().starts_with(|first: char| first.is_ascii_lowercase());
        (is_tokios && named.split(',').any(is_function)).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_files_pass() {
        for (name, text) in [
            ("crates/x/src/lib.rs", "//! X.\n\npub mod y;\n"),
            ("crates/x/src/y.rs", "#![cfg(unix)]\n//! Y.\n"),
            ("crates/x/src/y/tests.rs", "use super::*;\n"),
            ("crates/capture/src/lib.rs", concat!("//! C.\n#![allow(unsafe", "_code, reason = \"…\")]\n")),
            ("crates/http/src/x.rs", "//! X.\nuse tokio::time::{Instant, Sleep};\n"),
            ("crates/http/src/y.rs", "//! Y.\n#[cfg(test)]\nmod tests {\n    use tokio::time::advance;\n}\n"),
            ("crates/http/src/z.rs", "//! Z.\ntokio::time::Instant::now() + wait;\n"),
            ("crates/http/src/y/tests.rs", "use tokio::time::timeout;\n"),
            ("crates/control/src/x.rs", "//! X.\nuse tokio::time::timeout;\n"),
            ("README.md", "# X\n"),
            ("empty", ""),
            ("Cargo.lock", concat!("XX", "X")),
        ] {
            assert_eq!(check(name, text), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn others_are_named_with_their_line() {
        let long = "//! X.\n".repeat(FILE_LINES + 1);
        for (name, text, expected) in [
            ("a.md", concat!("one\nTO", "DO: two\n"), "a.md:2:"),
            ("a.sh", concat!("# FIX", "ME\n"), "a.sh:1:"),
            ("a.md", "no newline", "a.md:1: should end"),
            ("a.md", "two\n\n", "a.md:2: should end"),
            ("crates/x/src/y/mod.rs", "//! Y.\n", "name it after"),
            ("crates/x/src/y.rs", "use std::io;\n", "//!"),
            ("crates/x/src/y.rs", "", "//!"),
            ("crates/x/src/y.rs", long.as_str(), "has 601 lines"),
            ("crates/x/src/y.rs", concat!("//! Y.\n#[allow(unsafe", "_code)]\n"), "y.rs:2: unsafe"),
            ("crates/http/src/x.rs", "//! X.\nuse tokio::time::{Instant, sleep};\n", "x.rs:2: data cores"),
            ("crates/proxy/src/x.rs", "//! X.\nuse tokio::time;\n", "x.rs:2: data cores"),
            ("crates/proxy/src/x.rs", "//! X.\n\n\ntokio::time::timeout(A, b)\n", "x.rs:4: data cores"),
            (
                "crates/wire/src/x.rs",
                "//! X.\nuse tokio::time::{\n    Instant,\n    sleep,\n};\n",
                "x.rs:2: data cores",
            ),
            (
                "crates/wire/src/x.rs",
                "//! X.\nuse tokio::{\n    sync::watch,\n    time::timeout,\n};\n",
                "x.rs:4: data",
            ),
            (
                "crates/http/src/x.rs",
                "//! X.\n#[cfg(test)]\nmod tests;\n\nfn a() {\n    tokio::time::sleep(B)\n}\n",
                "x.rs:6: data cores",
            ),
        ] {
            let problems = check(name, text);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{name}: {problems:?}");
        }
        let words = concat!("//! TO", "DOS and XX", "XX aren't marks.\n");
        assert_eq!(check("a.rs", words), Vec::<String>::new());
    }
}
