//! Golden pairs: each folder `tests/golden/<dialect>/<behaviour>` shows one behaviour. `in.yaml` is loaded, with other
//! YAML files beside it if there are any; `model.txt` shows what counts and `diagnostics.txt` what is told.
//! `UPDATE_GOLDEN=1` rewrites both.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use leno_dialects::analyze::analyze;
use leno_dialects::link::Surroundings;
use leno_dialects::load::{Document, LoadOptions, Loaded, load};
use leno_model::name::Host;
use leno_model::snapshot::Snapshot;
use leno_model::unit::MeshSettings;

use crate::dump;

#[test]
fn texts_become_the_expected_model_and_findings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let cases: Vec<PathBuf> = folders(&root).iter().flat_map(|dialect| folders(dialect)).collect();
    assert!(cases.len() >= 100, "only {} golden pairs found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (model, diagnostics) = run(case);
        for (name, actual) in [("model.txt", model), ("diagnostics.txt", diagnostics)] {
            let path = case.join(name);
            let expected = fs::read_to_string(&path).ok();
            if expected.as_ref() == Some(&actual) {
                continue;
            }
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, actual).unwrap();
            } else {
                wrong.push(format!(
                    "--- {}\n{}",
                    path.display(),
                    difference(&expected.unwrap_or_default(), &actual)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nrun with UPDATE_GOLDEN=1 to accept", wrong.join("\n"));
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn run(case: &Path) -> (String, String) {
    let mut files: Vec<(String, String)> = fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    let loaded = load(&documents(&files), &options());
    let snapshot = snapshot(&loaded);
    let mut diagnostics: Vec<String> = loaded
        .parsed
        .iter()
        .filter(|parsed| parsed.report().is_none())
        .flat_map(|parsed| &parsed.diagnostics)
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect();
    diagnostics
        .extend(snapshot.objects.iter().flat_map(|report| &report.diagnostics).map(|d| format!("{d}\n")));
    diagnostics.extend(analyze(&snapshot).iter().map(|d| format!("{d}\n")));
    (dump::snapshot(&snapshot), diagnostics.concat())
}

/// The texts as documents.
pub(crate) fn documents(files: &[(String, String)]) -> Vec<Document<'_>> {
    files.iter().map(|(name, text)| Document { file: name.as_str().into(), text }).collect()
}

/// Istio's defaults.
pub(crate) fn options() -> LoadOptions {
    LoadOptions::new("cluster.local".parse().unwrap())
}

/// A snapshot with addresses that follow from the hosts' names.
pub(crate) fn snapshot(loaded: &Loaded) -> Snapshot {
    let mut vips = |host: &Host| {
        let sum = host.as_str().bytes().fold(0_u8, u8::wrapping_add);
        vec![IpAddr::from([240, 240, 0, sum])]
    };
    let mesh = MeshSettings::new("cluster.local".parse().unwrap());
    let surroundings =
        Surroundings { mesh, services: Vec::new(), workloads: Vec::new(), vips: &mut vips, previous: None };
    loaded.snapshot(1, surroundings)
}

/// The lines that differ, old ones with `-`, new ones with `+`.
fn difference(expected: &str, actual: &str) -> String {
    let old = expected.lines().filter(|line| !actual.lines().any(|other| other == *line));
    let new = actual.lines().filter(|line| !expected.lines().any(|other| other == *line));
    old.map(|line| format!("- {line}\n")).chain(new.map(|line| format!("+ {line}\n"))).collect()
}
