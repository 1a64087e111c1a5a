//! The `leno` program for tests that decrypt what they recorded: all its proxies write their sessions' secrets to
//! `$XDG_RUNTIME_DIR/keys.log`. The real program has no such code, so nothing can make it do so.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use leno_identity::tls::{Options, key_log::KeyLogFile};

fn main() -> ExitCode {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
    match KeyLogFile::append(&directory.join(Path::new("keys.log"))) {
        Ok(file) => leno_cli::main_with(Options { key_log: Arc::new(file), ..Options::default() }),
        Err(_) => ExitCode::FAILURE,
    }
}
