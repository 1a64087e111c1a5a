//! What becomes of a mesh when its texts change.

use std::net::IpAddr;
use std::sync::Arc;

use leno_dialects::link::Surroundings;
use leno_dialects::load::{Document, Loaded, load};
use leno_model::policy::PolicyAction;
use leno_model::snapshot::Snapshot;
use leno_model::unit::MeshSettings;

use crate::golden::{options, snapshot};

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n";
const OTHER: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {ports: [{port: 80}]}\n";
const DENY: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny}\nspec:\n  \
                    action: DENY\n  rules: [{to: [{operation: {paths: [/admin]}}]}]\n";

fn read(files: &[(&str, &str)]) -> Loaded {
    let documents: Vec<Document<'_>> =
        files.iter().map(|(file, text)| Document { file: Arc::from(*file), text }).collect();
    load(&documents, &options())
}

fn after(before: &Loaded, files: &[(&str, &str)]) -> Snapshot {
    let mut loaded = read(files);
    loaded.keep_last_good(before);
    snapshot(&loaded)
}

fn hosts(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.services.values().map(|service| &*service.name).collect()
}

#[test]
fn a_refused_change_leaves_the_last_good_version() {
    let before = read(&[("a.yaml", SERVICE), ("b.yaml", OTHER)]);
    for broken in [
        SERVICE.replace("80", "0"),
        SERVICE.replace("spec", "spek"),
        SERVICE.replace("}]}", "}"),
        format!("{SERVICE}spec: {{}}\n"),
        SERVICE.replace("v1", "v9"),
    ] {
        let now = after(&before, &[("a.yaml", &broken), ("b.yaml", OTHER)]);
        assert_eq!(hosts(&now), ["other", "web"], "{broken}");
        let refused = now.objects.iter().find(|report| &*report.origin.object.name == "web").unwrap();
        assert_eq!(refused.verdict.as_str(), "refused", "{broken}");
        assert!(!refused.diagnostics.is_empty(), "{broken}");
    }
}

#[test]
fn the_last_good_version_lasts_through_several_broken_ones() {
    let broken = SERVICE.replace("80", "0");
    let mut second = read(&[("a.yaml", &broken)]);
    second.keep_last_good(&read(&[("a.yaml", SERVICE)]));
    assert_eq!(hosts(&after(&second, &[("a.yaml", &broken.replace('0', "-1"))])), ["web"]);
    assert_eq!(hosts(&after(&second, &[])), Vec::<&str>::new());
}

#[test]
fn a_document_without_a_name_keeps_what_its_file_had() {
    let before = read(&[("a.yaml", SERVICE), ("b.yaml", OTHER)]);
    assert_eq!(hosts(&after(&before, &[("a.yaml", "}{"), ("b.yaml", OTHER)])), ["other", "web"]);
    assert_eq!(hosts(&after(&before, &[("a.yaml", OTHER)])), ["other"]);
}

#[test]
fn a_misspelt_kind_keeps_the_object_that_is_meant() {
    let before = read(&[("a.yaml", SERVICE), ("b.yaml", OTHER)]);
    let misspelt = SERVICE.replace("Service", "Servise");
    let once = read(&[("a.yaml", &misspelt), ("b.yaml", OTHER)]);
    let now = after(&before, &[("a.yaml", &misspelt), ("b.yaml", OTHER)]);
    assert_eq!(hosts(&now), ["other", "web"]);
    assert!(now.objects.iter().any(|report| report.verdict.as_str() == "refused"));
    // It lasts, but not beside the right one, nor for another kind or name.
    let mut still = once.clone();
    still.keep_last_good(&before);
    assert_eq!(hosts(&after(&still, &[("a.yaml", &misspelt)])), ["web"]);
    assert_eq!(hosts(&after(&still, &[("a.yaml", &misspelt.replace("web", "wab"))])), Vec::<&str>::new());
    assert_eq!(hosts(&after(&still, &[("a.yaml", &SERVICE.replace("Service", "Cow"))])), Vec::<&str>::new());
    let both = format!("{misspelt}---\n{SERVICE}");
    assert_eq!(hosts(&after(&still, &[("a.yaml", &both)])), ["web"]);
}

#[test]
fn a_broken_policy_is_strict_at_the_start_and_without_effect_as_a_change() {
    let broken = DENY.replace("paths", "path");
    let start = read(&[("a.yaml", &broken)]);
    let policies = snapshot(&start).policies;
    assert_eq!(policies.len(), 1);
    assert_eq!(policies[0].policy.action, PolicyAction::Deny);
    assert!(policies[0].policy.rules[0].incomplete && policies[0].policy.rules[0].operations.is_empty());
    // A new policy that is refused changes nothing.
    let before = read(&[("s.yaml", SERVICE)]);
    assert!(after(&before, &[("s.yaml", SERVICE), ("a.yaml", &broken)]).policies.is_empty());
    // An edit that is refused leaves the old one.
    let before = read(&[("a.yaml", DENY)]);
    let now = after(&before, &[("a.yaml", &broken)]);
    assert_eq!(now.policies[0].policy.rules[0].operations.len(), 1);
}

#[test]
fn equal_objects_are_shared_with_the_snapshot_before() {
    let loaded = read(&[("a.yaml", SERVICE), ("b.yaml", DENY)]);
    let before = snapshot(&loaded);
    let changed = read(&[("a.yaml", &SERVICE.replace("80", "81")), ("b.yaml", DENY)]);
    let mut vips = |_host: &leno_model::name::Host| vec![IpAddr::from([240, 240, 0, 1])];
    let surroundings = Surroundings {
        mesh: MeshSettings::new(options().trust_domain),
        services: Vec::new(),
        workloads: Vec::new(),
        vips: &mut vips,
        previous: Some(&before),
    };
    let now = changed.snapshot(2, surroundings);
    assert!(Arc::ptr_eq(&now.policies[0], &before.policies[0]));
    assert!(Arc::ptr_eq(&now.mesh, &before.mesh));
    let (new, old) = (now.services.values().next().unwrap(), before.services.values().next().unwrap());
    assert!(!Arc::ptr_eq(new, old));
}

#[test]
fn a_duplicate_object_does_not_hide_the_first() {
    let now = snapshot(&read(&[("a.yaml", SERVICE), ("b.yaml", &SERVICE.replace("80", "81"))]));
    assert_eq!(now.services.values().next().unwrap().ports[0].port, 80);
    assert_eq!(now.objects.len(), 2);
}

#[test]
fn content_changes_with_every_change_that_can_be_told() {
    let content = |text: &str| read(&[("a.yaml", text)]).parsed[0].content;
    let base = content(SERVICE);
    assert_eq!(content(SERVICE), base);
    assert_ne!(content(&SERVICE.replace("80", "81")), base);
    assert_ne!(content(&format!("# a comment moves lines\n{SERVICE}")), base);
    assert_ne!(content(&SERVICE.replace("80", "\"80\"")), base);
}
