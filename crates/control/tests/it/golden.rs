//! Golden pairs: each folder `tests/golden/<behaviour>` shows one behaviour of compiling. `in.yaml` is the
//! configuration; its first lines, which begin with `#`, name what is asked for, and `units.txt` is what comes of it.
//! `UPDATE_GOLDEN=1` rewrites the latter.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leno_control::catalog::Memos;
use leno_model::unit::Question;
use leno_wire::{Key, Kind};

use crate::{print, world};

#[test]
fn configuration_becomes_the_expected_units() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} golden pairs found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let actual = run(&fs::read_to_string(case.join("in.yaml")).unwrap());
        let path = case.join("units.txt");
        if fs::read_to_string(&path).ok().as_ref() == Some(&actual) {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, actual).unwrap();
        } else {
            wrong.push(format!("--- {}\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nrun with UPDATE_GOLDEN=1 to accept", wrong.join("\n"));
}

fn run(text: &str) -> String {
    let snapshot = world::snapshot(text);
    let mut out = String::new();
    for report in snapshot.objects.iter().filter(|report| report.verdict.as_str() == "refused") {
        writeln!(out, "refused: {}", report.origin).unwrap();
    }
    let catalog =
        world::catalog(snapshot, &Arc::new(Memos::new(&leno_control::compile::memo::Counts::default())));
    for line in text.lines().map_while(|line| line.strip_prefix("# ")) {
        let (what, client) = line.rsplit_once(" for ").unwrap_or((line, "default"));
        writeln!(out, "{line}").unwrap();
        match catalog.compiled(&key(what), &world::client(client)) {
            Some(compiled) => {
                compiled.encoded.as_ref().unwrap();
                out.push_str(&print::unit(&compiled.unit));
            }
            None => out.push_str("  nothing\n"),
        }
    }
    out
}

/// What a line asks for: `host H`, `endpoints H`, `workload NS/N`, `gateway NS/N`, `mesh`, `name N`, `address A:P`,
/// `caller NS/N`.
fn key(line: &str) -> Key {
    let (what, name) = line.split_once(' ').unwrap_or((line, "mesh"));
    let kind = match what {
        "mesh" => Kind::Mesh,
        "host" => Kind::Host,
        "endpoints" => Kind::Endpoints,
        "workload" => Kind::Workload,
        "gateway" => Kind::Gateway,
        "name" => return Key::Answer(Question::Name(name.into())),
        "address" => return Key::parse(Kind::Answer, &format!("address:{name}")).unwrap(),
        "caller" => return Key::parse(Kind::Answer, &format!("workload:{name}")).unwrap(),
        _ => panic!("{line}"),
    };
    Key::parse(kind, name).unwrap()
}
