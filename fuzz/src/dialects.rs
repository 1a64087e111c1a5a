//! Kubernetes, Gateway API and Istio: from a text to what proxies do.
//!
//! The properties are the same for all; what differs is the corpus. A text's result is its own: reading it twice gives
//! the same, neither the order of files nor another file changes it, and it changes no other file's. Whatever is not
//! taken as written says why, at a place in the text. Whatever is taken compiles to units that proxies take, and to
//! decisions that they can carry out.

mod served;

use std::net::IpAddr;
use std::sync::Arc;

use leno_dialects::link::Surroundings;
use leno_dialects::load::{Document, LoadOptions, Loaded, Outcome as Read, Parsed, load};
use leno_model::name::Host;
use leno_model::snapshot::Snapshot;
use leno_model::span::Severity;
use leno_model::unit::MeshSettings;

use crate::Outcome;

/// A mesh for the input to refer to. Its file comes first, so that an object of the same name in the input is the one
/// that is refused.
const WORLD: &str = include_str!("dialects/world.yaml");

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Refused };
    leno_dialects::fuzz::load_and_change(text, WORLD);
    let world = Document { file: "a.yaml".into(), text: WORLD };
    let input = Document { file: "b.yaml".into(), text };
    let options = LoadOptions::new("cluster.local".parse().expect("a trust domain"));

    let alone = load(std::slice::from_ref(&world), &options);
    let both = load(&[world.clone(), input.clone()], &options);
    let turned = load(&[input.clone(), world], &options);
    assert_eq!(shown(&both.parsed), shown(&turned.parsed), "the order of files matters");
    let joined = snapshot(&both);
    let is_same = format!("{joined:#?}") == format!("{:#?}", snapshot(&turned));
    assert!(is_same, "the order of files matters, or the run does");
    served::check(joined);

    let (first, second): (Vec<_>, Vec<_>) =
        both.parsed.iter().cloned().partition(|parsed| &*parsed.location.file == "a.yaml");
    assert_eq!(shown(&first), shown(&alone.parsed), "one file changes another");
    second.iter().for_each(|parsed| is_told(parsed, text));
    Outcome::accepted_if(!second.is_empty() && second.iter().all(|parsed| parsed.is_accepted()))
}

/// Whatever isn't taken as it is written says why, at a place in the text.
fn is_told(parsed: &Parsed, text: &str) {
    let lines = text.split('\n').count();
    for found in &parsed.diagnostics {
        let line = found.location.line as usize;
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {found}");
        assert!(!found.message.is_empty());
    }
    let has = |severity: Severity| parsed.diagnostics.iter().any(|found| found.severity == severity);
    match &parsed.outcome {
        Read::Exact(_) => assert!(!has(Severity::Error), "exact with errors: {parsed:?}"),
        Read::Approximated(_) => {
            assert!(!parsed.diagnostics.is_empty(), "nothing says what differs: {parsed:?}")
        }
        Read::Refused { .. } => assert!(has(Severity::Error), "refused without a reason: {parsed:?}"),
        Read::Skipped => {}
    }
}

fn shown(parsed: &[Arc<Parsed>]) -> String {
    format!("{parsed:#?}")
}

fn snapshot(loaded: &Loaded) -> Snapshot {
    let mut vips = |host: &Host| {
        let sum = host.as_str().bytes().fold(0_u8, u8::wrapping_add);
        vec![IpAddr::from([240, 240, 0, sum])]
    };
    let mesh = MeshSettings::new("cluster.local".parse().expect("a trust domain"));
    let surroundings =
        Surroundings { mesh, services: Vec::new(), workloads: Vec::new(), vips: &mut vips, previous: None };
    loaded.snapshot(1, surroundings)
}
