//! Reads the mesh file: the one `LocalMesh` document among the files that were named.

use std::path::PathBuf;

use anyhow::Context as _;
use leno_local::mesh::{self, File, LocalMesh};
use leno_model::span::Diagnostic;

use crate::error::Problem;

/// A mesh and where it is written.
pub(crate) struct MeshFile {
    pub(crate) mesh: LocalMesh,
    /// The file, as it was named.
    pub(crate) name: String,
    /// The line on which each service begins, in their order.
    pub(crate) service_lines: Vec<u32>,
}

/// Reads the mesh from the files; exactly one of them has it. Whatever is wrong is told at once, each with
/// its place and what to do about it.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<MeshFile> {
    let texts = files.iter().map(|path| {
        let unreadable = |source| Problem::Unreadable { path: path.clone(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(File { name: path.display().to_string().into(), text })
    });
    let texts = texts.collect::<Result<Vec<_>, Problem>>()?;
    Ok(find(&texts)?.map_err(Problem::MeshFile)?)
}

/// The same from texts. Findings are not errors of the caller's.
pub(crate) fn find(texts: &[File]) -> anyhow::Result<Result<MeshFile, Vec<Diagnostic>>> {
    let root = leno_local::up::as_root().context("cannot tell who is calling")?;
    Ok(mesh::read(texts, root).map(|found| MeshFile {
        mesh: found.mesh,
        name: texts.get(found.file).map(|file| file.name.to_string()).unwrap_or_default(),
        service_lines: found.service_lines,
    }))
}
