//! Programs of the system, by Debian's names.

use std::path::{Path, PathBuf};

use super::Unavailable;

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debian {
    /// The executable's name.
    pub command: &'static str,
    /// The package to install where it is missing.
    pub package: &'static str,
}

/// nginx.
pub const NGINX: Debian = debian("nginx", "nginx");
/// HAProxy.
pub const HAPROXY: Debian = debian("haproxy", "haproxy");
/// Redis.
pub const REDIS: Debian = debian("redis-server", "redis-server");
/// Redis's client.
pub const REDIS_CLI: Debian = debian("redis-cli", "redis-tools");
/// PostgreSQL's server.
pub const POSTGRES: Debian = debian("postgres", "postgresql");
/// Creates a PostgreSQL data directory.
pub const POSTGRES_INITDB: Debian = debian("initdb", "postgresql");
/// PostgreSQL's client.
pub const POSTGRES_PSQL: Debian = debian("psql", "postgresql-client");
/// MariaDB's server.
pub const MARIADB: Debian = debian("mariadbd", "mariadb-server");
/// MariaDB's client.
pub const MARIADB_CLIENT: Debian = debian("mariadb", "mariadb-client");
/// Creates a MariaDB data directory.
pub const MARIADB_INSTALL: Debian = debian("mariadb-install-db", "mariadb-server");
/// Prometheus.
pub const PROMETHEUS: Debian = debian("prometheus", "prometheus");
/// OpenSSL's command line.
pub const OPENSSL: Debian = debian("openssl", "openssl");
/// curl.
pub const CURL: Debian = debian("curl", "curl");
/// Valgrind, for its callgrind.
pub const VALGRIND: Debian = debian("valgrind", "valgrind");
/// The HTTP/2 load generator of nghttp2.
pub const H2LOAD: Debian = debian("h2load", "nghttp2-client");
/// A closed-loop HTTP/1.1 load generator.
pub const WRK: Debian = debian("wrk", "wrk");

/// Where daemons live, which an ordinary user's `PATH` leaves out.
const DAEMONS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
/// One folder per version of PostgreSQL, none of them in `PATH`.
const POSTGRESQL: &str = "/usr/lib/postgresql";

const fn debian(command: &'static str, package: &'static str) -> Debian {
    Debian { command, package }
}

impl Debian {
    /// Where it is.
    ///
    /// # Errors
    /// [`Unavailable::Missing`], naming the package.
    pub fn find(&self) -> Result<PathBuf, Unavailable> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path)
            .chain(DAEMONS.map(PathBuf::from))
            .chain(versions(Path::new(POSTGRESQL)));
        find_in(self.command, folders)
            .ok_or(Unavailable::Missing { command: self.command, package: self.package })
    }
}

/// `ROOT/VERSION/bin`, the newest version first.
fn versions(root: &Path) -> Vec<PathBuf> {
    let number = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let entries = std::fs::read_dir(root).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}

fn find_in(command: &str, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(command)).find(|file| is_executable(file))
}

pub(super) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_executable_and_names_what_is_missing() {
        assert!(debian("sh", "dash").find().is_ok_and(|path| path.ends_with("sh")));
        let missing = debian("no-such-program", "no-such-package").find().unwrap_err().to_string();
        assert!(missing.contains("apt-get install no-such-package"), "{missing}");
        let not_executable = find_in("passwd", [PathBuf::from("/etc")].into_iter());
        assert_eq!(not_executable, None);
    }

    #[test]
    fn newer_versions_come_first() {
        let root = super::super::tools::target().join("testkit-versions");
        for version in ["9", "15", "17"] {
            std::fs::create_dir_all(root.join(version)).unwrap();
        }
        let expected = ["17", "15", "9"].map(|version| root.join(version).join("bin"));
        assert_eq!(versions(&root), expected);
        std::fs::remove_dir_all(root).unwrap();
    }
}
