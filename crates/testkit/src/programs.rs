//! Programs that others wrote, and our own binaries.
//!
//! Debian's programs are only looked up: nothing here installs into the system. Python and Node packages are
//! fetched by name and exact version into `target/tools/`, once, under a lock that test binaries share.
//! Whatever is missing comes back as [`Unavailable`], which names the remedy; [`or_skip`] turns it into a skip.

mod debian;
mod node;
mod own;
mod python;
mod tools;

use std::path::PathBuf;

pub use crate::skip::or_skip;
pub use debian::{
    CURL, Debian, H2LOAD, HAPROXY, MARIADB, MARIADB_CLIENT, MARIADB_INSTALL, NGINX, OPENSSL, POSTGRES,
    POSTGRES_INITDB, POSTGRES_PSQL, PROMETHEUS, REDIS, REDIS_CLI, VALGRIND, WRK,
};
pub use node::{EXPRESS, Module, Node, WS, node};
pub use own::own;
pub use python::{
    ENVOY, GRPCIO, GUNICORN, HTTPBIN, HYPER_H2, Package, Python, ROTEL, envoy, python, python_apart, rotel,
};
pub use tools::target;

/// Why a program can't be had, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// A program that the system doesn't have.
    #[error("{command} isn't installed: `apt-get install {package}` brings it")]
    Missing {
        /// What was looked for.
        command: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// An installation that went wrong.
    #[error("can't install {what}: {reason}")]
    Install {
        /// Package and version.
        what: String,
        /// The last line that the package manager said, or its status.
        reason: String,
    },
    /// A file or folder below `target/tools`.
    #[error("can't use {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One of our own binaries that didn't build.
    #[error("can't build {package}: {reason}")]
    Build {
        /// The workspace's package.
        package: String,
        /// The last line that cargo said, or its status.
        reason: String,
    },
}
