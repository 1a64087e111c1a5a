//! Node and its modules, in `target/tools/node`.

use std::path::PathBuf;

use super::{Debian, Unavailable, tools};
use crate::limits::INSTALL;

/// A module of the npm registry in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// The module's name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
}

/// The usual HTTP server of Node programs.
pub const EXPRESS: Module = Module { name: "express", version: "5.3.0" };
/// WebSocket server and client.
pub const WS: Module = Module { name: "ws", version: "8.23.0" };

const NODE: Debian = Debian { command: "node", package: "nodejs" };
const NPM: Debian = Debian { command: "npm", package: "npm" };

/// Node with modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The executable.
    pub program: PathBuf,
    /// What `NODE_PATH` should say for `require`. ES modules don't look there: a script that uses `import`
    /// belongs into the folder above it.
    pub modules: PathBuf,
}

/// A Node that has these modules; with none asked for, npm isn't needed.
///
/// # Errors
/// [`Unavailable`] where Node is missing or npm can't install.
pub fn node(modules: &[Module]) -> Result<Node, Unavailable> {
    let program = NODE.find()?;
    let (root, _lock) = tools::folder("node")?;
    for Module { name, version } in modules {
        let what = format!("{name}@{version}");
        tools::once(&root, &what, || {
            let mut npm = tools::bounded(INSTALL, NPM.find()?);
            npm.args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--no-update-notifier",
                "--ignore-scripts",
            ]);
            npm.arg("--prefix").arg(&root).arg(&what);
            tools::run(&mut npm).map_err(|reason| Unavailable::Install { what: what.clone(), reason })
        })?;
    }
    Ok(Node { program, modules: root.join("node_modules") })
}
