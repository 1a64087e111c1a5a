//! Certificates are replaced under load, and nobody notices.

use std::collections::{BTreeMap, BTreeSet};

use leno_testkit::mesh::{Mesh, eventually};
use serde_json::Value;

use crate::steady::{self, Load, PROXIES, WEB};

const ROTATIONS: usize = 5;

#[test]
fn five_rotations_under_load_cost_no_request() {
    let mesh = steady::mesh("rotation");
    steady::call_all(&mesh).unwrap();
    let before = fingerprint(&mesh);
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let load = Load::start(&mesh, 40, 40);
    // Each renewal comes some five seconds after the last one, so this is over before the load is.
    for part in 1..=2 {
        eventually("every proxy renews its certificate", || {
            for proxy in PROXIES {
                let certificate = steady::certificate(&mesh, proxy);
                assert_eq!(certificate["expired"], false, "{proxy}");
                seen.entry(proxy).or_default().insert(text(&certificate["notAfter"]));
            }
            let wanted = if part == 1 { 3 } else { ROTATIONS + 1 };
            let late: Vec<_> = seen.iter().filter(|(_, ends)| ends.len() < wanted).collect();
            if late.is_empty() { Ok(()) } else { Err(format!("{late:?}")) }
        });
    }
    assert_ne!(before, fingerprint(&mesh), "the servers see new certificates");
    steady::stream_lived(load.succeeds());
    // The last ones are gone from memory only; what was asked for is what the mesh was told.
    for proxy in PROXIES {
        let left = steady::certificate(&mesh, proxy)["secondsLeft"].as_u64().unwrap();
        assert!((45..=steady::LIFETIME).contains(&left), "{proxy}: {left} s");
    }
}

/// Of the certificate that the server saw, as its proxy tells it.
fn fingerprint(mesh: &Mesh) -> String {
    let output = mesh.sample("caller", &["call", WEB]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let xfcc = text(&answer["headers"]["x-forwarded-client-cert"]);
    xfcc.split(';').find_map(|part| part.strip_prefix("Hash=")).expect("a hash").to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}
