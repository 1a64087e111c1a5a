//! `cargo xtask demo`: builds Leno and the bookshop, starts the mesh, and shows what happened until its gateway answered.
//!
//! The timeline is written by a second process, so that this one can become `leno up` itself and the terminal, Ctrl-C
//! included, belongs to it alone. The watcher asks `leno status` and calls the gateway, as anybody could.

mod hops;
mod mesh_file;
mod timeline;

use std::{
    os::unix::process::{CommandExt as _, parent_id},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    command::{cargo, root, shown, succeed, target},
    limits, output,
};
use timeline::Timeline;

/// The argument that makes this program the watcher; the next one is when the build ended, in nanoseconds since 1970.
pub(crate) const WATCH: &str = "--watch";

const MESH: &str = "bookshop";
const GATEWAY: &str = "http://127.0.0.1:8080/";

/// See the module. Returns only when something went wrong.
pub(crate) fn run() -> Result<ExitCode> {
    let mut build = cargo(&["build", "--bins", "--package", "leno", "--package", "leno-sample"]);
    output::line(&format!("$ {}", shown(&build)));
    succeed(&mut build)?;
    let built = now()?;
    let mesh = mesh()?;
    let own = std::env::current_exe().context("can't find this program")?;
    Command::new(own)
        .args(["demo", WATCH, &built.as_nanos().to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("can't start the watcher")?;
    let mut up = Command::new(binary("leno"));
    up.current_dir(root()).arg("up").arg(mesh).args(["--config", "examples/demo/config"]);
    up.env("PATH", path()?);
    output::line(&format!("$ {}", shown(&up)));
    Err(up.exec()).context("can't run leno")
}

fn now() -> Result<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")
}

fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The caller's `PATH` with our binaries first: the mesh file says `leno-sample`.
fn path() -> Result<std::ffi::OsString> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let own = std::iter::once(target().join("debug"));
    Ok(std::env::join_paths(own.chain(std::env::split_paths(&inherited)))?)
}

/// The mesh file; for root a copy that says as whom each workload runs, which a file for everybody can't.
fn mesh() -> Result<PathBuf> {
    let file = root().join("examples/demo/mesh.yaml");
    let Some(user) = mesh_file::user(&binary("leno-sample"))? else {
        return Ok(PathBuf::from("examples/demo/mesh.yaml"));
    };
    let text = std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let folder = target().join("demo");
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("mesh.yaml");
    std::fs::write(&copy, mesh_file::with_user(&text, &user))
        .with_context(|| format!("can't write {}", copy.display()))?;
    output::line(&format!("root runs the workloads as {user}: {}", copy.display()));
    Ok(copy)
}

/// The watcher: asks until the gateway answers, then prints the timeline. Ends early when `leno up` does.
pub(crate) fn watch(built: u64) -> Result<ExitCode> {
    let (begun, starter) = (UNIX_EPOCH + Duration::from_nanos(built), parent_id());
    let mut timeline = Timeline::default();
    loop {
        let since = SystemTime::now().duration_since(begun).unwrap_or_default();
        if parent_id() != starter {
            return Ok(ExitCode::FAILURE);
        }
        if let Some(status) = ask(&binary("leno"), &["status", "--mesh", MESH, "--output", "json"]) {
            timeline.observe(&status, since);
        }
        if timeline.gateway_is_ready()
            && let Some(answer) = ask(&binary("leno-sample"), &["call", "--output", "json", GATEWAY])
        {
            let since = SystemTime::now().duration_since(begun).unwrap_or_default();
            if timeline.answered(&answer, since) {
                output::line(&timeline.text(GATEWAY));
                return Ok(ExitCode::SUCCESS);
            }
        }
        if since > limits::DEMO_START {
            output::error(&timeline.text(GATEWAY));
            return Ok(ExitCode::FAILURE);
        }
        pause();
    }
}

/// Runs a command whose answer is JSON; `None` while it fails.
fn ask(program: &Path, arguments: &[&str]) -> Option<Value> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

#[expect(clippy::disallowed_methods, reason = "nothing to wait for: others are asked at intervals")]
fn pause() {
    std::thread::sleep(limits::DEMO_POLL);
}
