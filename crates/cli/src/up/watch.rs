//! `leno up --watch`: what becomes of the mesh file while the mesh runs.

use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;

use leno_control::source::directory::{Directory, Read};
use leno_local::mesh::File;
use leno_local::up::edit;
use leno_model::span::Diagnostic;
use tokio::sync::watch;

use super::{Facts, Known, published};
use crate::announce::{self, GATEWAY};
use crate::finding::Finding;
use crate::mesh_file::{self, MeshFile};

/// The files that were named, watched.
pub(super) struct Edits {
    files: watch::Receiver<Read>,
    /// As they were named, which is how findings name them.
    names: Vec<PathBuf>,
    facts: Rc<Facts>,
    known: Rc<Known>,
    /// What was last read, and is not taken yet.
    read: Option<MeshFile>,
    /// What was last refused, so that it is told once.
    refused: Vec<Diagnostic>,
    _directory: Directory,
}

impl Edits {
    pub(super) fn start(names: &[PathBuf], facts: &Rc<Facts>, known: &Rc<Known>) -> anyhow::Result<Self> {
        let directory = Directory::start(names.to_vec())?;
        Ok(Self {
            files: directory.files(),
            names: names.to_vec(),
            facts: Rc::clone(facts),
            known: Rc::clone(known),
            read: None,
            refused: Vec::new(),
            _directory: directory,
        })
    }

    async fn wait(&mut self) -> edit::Edit {
        loop {
            if self.files.changed().await.is_err() {
                // Nobody watches any more, so there is nothing to wait for.
                std::future::pending::<()>().await;
            }
            match self.look() {
                Ok(Some(file)) => {
                    self.refused.clear();
                    let mesh = file.mesh.clone();
                    self.read = Some(file);
                    return Ok(mesh);
                }
                Ok(None) => self.refused.clear(),
                Err(lines) if lines.is_empty() => {}
                Err(lines) => return Err(lines),
            }
        }
    }

    /// The mesh file as it is now, if it differs from what is in effect.
    fn look(&mut self) -> Result<Option<MeshFile>, Vec<String>> {
        let read = self.files.borrow_and_update().files.clone();
        let texts: Vec<File> = self
            .names
            .iter()
            .filter_map(|name| {
                let name = name.display().to_string();
                let text = read.files.iter().find(|(path, _)| is_same(path, &name))?.1;
                Some(File { name: name.into(), text: text.to_string() })
            })
            .collect();
        let found = mesh_file::find(&texts).map_err(|error| vec![format!("{error:#}")])?;
        let file = found.map_err(|problems| {
            let is_news = problems != self.refused;
            self.refused.clone_from(&problems);
            let lines = problems.iter().flat_map(|problem| lines(&Finding::from(problem)));
            lines.filter(|_| is_news).collect::<Vec<_>>()
        })?;
        let current = self.facts.file.borrow();
        if file.mesh.metadata.name != current.mesh.metadata.name {
            let name = &current.mesh.metadata.name;
            return Err(vec![
                format!("{}: metadata.name: a mesh keeps its name, {name:?}, while it runs", file.name),
                format!("  help: end it with `leno down {name}` and start it again"),
            ]);
        }
        published::check(&file.mesh, &published::of(&current.mesh))
            .map_err(|error| vec![format!("{}: {error}", file.name)])?;
        let is_news = file.mesh != current.mesh || file.service_lines != current.service_lines;
        Ok(is_news.then_some(file))
    }
}

/// Whether a path that was read is one that was named: the former has no `./` at its beginning.
fn is_same(path: &str, name: &str) -> bool {
    path.trim_start_matches("./") == name.trim_start_matches("./")
}

fn lines(finding: &Finding) -> Vec<String> {
    finding.to_string().lines().map(str::to_owned).collect()
}

impl edit::Edits for Edits {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = edit::Edit> + '_>> {
        Box::pin(self.wait())
    }

    fn taken(&mut self) -> Vec<String> {
        let Some(file) = self.read.take() else { return Vec::new() };
        let before = (self.facts.published(), self.facts.host_callers(), self.facts.tracing());
        self.known.services(announce::services(&file));
        *self.facts.file.borrow_mut() = file;
        let after = (self.facts.published(), self.facts.host_callers(), self.facts.tracing());
        if before == after { Vec::new() } else { vec![GATEWAY.to_owned()] }
    }
}
