//! Checking files without a mesh: read as a control plane would at its start, with what the mesh file announces.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use leno_control::bootstrap::Local;
use leno_control::source::directory::{self, Files};
use leno_control::{Config, Workloads, check, process};
use leno_dialects::limits::MAX_FILE_BYTES;
use leno_dialects::load::{Document, LoadOptions, load};
use leno_local::mesh::{File, is_mesh_file};
use leno_local::plan;
use leno_model::span::Diagnostic;

use super::Checked;
use crate::announce;
use crate::error::Problem;
use crate::finding::Finding;
use crate::mesh_file::{self, MeshFile};

/// The name of what is read from standard input.
const STDIN: &str = "stdin";

/// Checks files and directories.
pub(super) fn check(paths: &[PathBuf]) -> anyhow::Result<Checked> {
    let files = read(paths)?;
    let texts: Vec<File> = files
        .files
        .iter()
        .map(|(name, text)| File { name: name.clone(), text: text.to_string() })
        .filter(is_mesh_file)
        .collect();
    if texts.is_empty() {
        let trust_domain = plan::TRUST_DOMAIN.parse()?;
        let options = LoadOptions::new(trust_domain);
        let workloads = Workloads::new(options.trust_domain.clone());
        return Ok(checked(None, &Config::new(options, workloads), files));
    }
    match mesh_file::find(&texts)? {
        Ok(file) => {
            let config = process::config(&local(&file))?;
            Ok(checked(Some(file.mesh.metadata.name.clone()), &config, files))
        }
        Err(refused) => partly(&files, &refused),
    }
}

/// Everything that the paths name, each file once.
fn read(paths: &[PathBuf]) -> Result<Files, Problem> {
    let (stdin, named): (Vec<&PathBuf>, Vec<&PathBuf>) =
        paths.iter().partition(|path| path.as_path() == Path::new("-"));
    let mut plain = Vec::new();
    for path in &named {
        let unreadable = |source| Problem::Unreadable { path: path.to_path_buf(), source };
        plain.push(path.canonicalize().map_err(unreadable)?);
    }
    let is_within_another = |index: usize, path: &PathBuf| {
        let others = plain.iter().enumerate().filter(|(other, _)| *other != index);
        others.into_iter().any(|(other, root)| path.starts_with(root) && (path != root || other < index))
    };
    let roots = named.iter().zip(&plain).enumerate();
    let roots = roots.filter(|(index, (_, plain))| !is_within_another(*index, plain));
    let mut files = directory::read(roots.map(|(_, (path, _))| path.to_path_buf()).collect());
    if !stdin.is_empty() {
        let mut text = String::new();
        let read = std::io::stdin().take(MAX_FILE_BYTES as u64).read_to_string(&mut text);
        read.map_err(|source| Problem::Unreadable { path: STDIN.into(), source })?;
        files.files.insert(STDIN.into(), text.into());
    }
    Ok(files)
}

/// The mesh as its control plane would be told of it, without what only a running one has.
fn local(file: &MeshFile) -> Local {
    let replicas = plan::replicas(&file.mesh, Path::new(""), &mut plan::Pool::default());
    Local {
        mesh: file.mesh.metadata.name.clone(),
        trust_domain: plan::TRUST_DOMAIN.to_owned(),
        state: PathBuf::new(),
        socket: PathBuf::new(),
        config: Vec::new(),
        services: announce::services(file),
        workloads: replicas.iter().map(|replica| announce::workload(replica, String::new(), true)).collect(),
        gateway: Some(announce::gateway(String::new(), None)),
        ranges: plan::ranges(),
        svid_lifetime_seconds: 0,
        svid_renew_after_percent: None,
        changes: None,
        vault: None,
        admin: None,
    }
}

fn checked(mesh: Option<String>, config: &Config, files: Files) -> Checked {
    let snapshot = check::check(config, files);
    let findings = snapshot.objects.iter().flat_map(|report| &report.diagnostics);
    Checked {
        mesh,
        objects: snapshot.objects.len(),
        findings: findings.map(Finding::from).collect(),
        partly: false,
    }
}

/// What each object says by itself: without the mesh nobody knows which services and workloads there are.
fn partly(files: &Files, refused: &[Diagnostic]) -> anyhow::Result<Checked> {
    let documents = files.files.iter().map(|(file, text)| Document { file: file.clone(), text });
    let documents: Vec<Document<'_>> = documents.collect();
    let loaded = load(&documents, &LoadOptions::new(plan::TRUST_DOMAIN.parse()?));
    let found = refused.iter().chain(&files.problems).chain(loaded.diagnostics());
    let findings = found.map(Finding::from).collect();
    Ok(Checked { mesh: None, objects: loaded.reports().count(), findings, partly: true })
}
