//! Entry points for fuzzing. Each takes any text, uses what it yields as a control plane would, and must return.

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::snapshot::Snapshot;
use leno_model::spiffe::TrustDomain;
use leno_model::unit::MeshSettings;

use crate::analyze::analyze;
use crate::link::Surroundings;
use crate::load::{Document, LoadOptions, Loaded, load};
use crate::yaml;

/// The YAML reader alone.
pub fn yaml(text: &str) {
    let file: Arc<str> = "fuzz.yaml".into();
    for document in yaml::documents(&file, text) {
        assert!(document.root.is_some() || !document.diagnostics.is_empty(), "a document without anything");
        assert!(document.at.line >= 1, "lines are counted from 1");
    }
}

/// Everything from a text to a snapshot, its reports and its analysis; then a change from that text to the second,
/// with the last good versions kept.
pub fn load_and_change(before: &str, after: &str) {
    // The name is a constant that every test parses.
    let Ok(trust_domain) = "cluster.local".parse::<TrustDomain>() else { return };
    let options = LoadOptions::new(trust_domain);
    let file: Arc<str> = "fuzz.yaml".into();
    let first = load(&[Document { file: file.clone(), text: before }], &options);
    let old = use_up(&first, &options, None);
    let mut second = load(&[Document { file, text: after }], &options);
    second.keep_last_good(&first);
    use_up(&second, &options, Some(&old));
}

fn use_up(loaded: &Loaded, options: &LoadOptions, previous: Option<&Snapshot>) -> Snapshot {
    let mut vips = |_host: &leno_model::name::Host| vec![IpAddr::from([240, 240, 0, 1])];
    let surroundings = Surroundings {
        mesh: MeshSettings::new(options.trust_domain.clone()),
        services: Vec::new(),
        workloads: Vec::new(),
        vips: &mut vips,
        previous,
    };
    let snapshot = loaded.snapshot(1, surroundings);
    for diagnostic in loaded.diagnostics().chain(&analyze(&snapshot)) {
        assert!(!diagnostic.to_string().is_empty(), "a finding without text");
    }
    for parsed in &loaded.parsed {
        // Whatever is refused says why.
        assert!(
            parsed.is_accepted() || parsed.report().is_none() || !parsed.diagnostics.is_empty(),
            "{parsed:?}"
        );
    }
    snapshot
}
