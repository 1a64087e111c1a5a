//! Reads the mesh file: the one `LocalMesh` document among the files that were named.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use leno_local::mesh::{self, File, LocalMesh};

/// A mesh and where it is written.
pub(crate) struct MeshFile {
    pub(crate) mesh: LocalMesh,
    pub(crate) path: PathBuf,
    /// The line on which each service begins, in their order.
    pub(crate) service_lines: Vec<u32>,
}

/// Reads the mesh from the files; exactly one of them has it. Whatever is wrong is told at once, each with
/// its place and what to do about it.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<MeshFile> {
    let texts = files.iter().map(|path| {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(File { name: path.display().to_string().into(), text })
    });
    let texts = texts.collect::<anyhow::Result<Vec<_>>>()?;
    let root = leno_local::up::as_root().context("cannot tell who is calling")?;
    let found = mesh::read(&texts, root).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    let path = files.get(found.file).context("the mesh is in none of the files")?.clone();
    Ok(MeshFile { mesh: found.mesh, path, service_lines: found.service_lines })
}
