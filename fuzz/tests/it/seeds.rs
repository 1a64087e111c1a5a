//! Where the corpora come from. `UPDATE_CORPUS=1` writes them anew; without it they must be as they would be written.
//!
//! Only the texts that people write (YAML) are files of their own; whatever is bytes is made here.

mod discovery;
mod first;
mod h2;
mod http1;
mod identity;

use std::fs;

use crate::corpus::root;

/// The inputs of one target, by name.
type Seeds = Vec<(String, Vec<u8>)>;

fn all() -> Vec<(&'static str, Seeds)> {
    vec![
        ("http1_request", http1::requests()),
        ("http1_response", http1::responses()),
        ("http1_body", http1::bodies()),
        ("http1_relay", http1::connections()),
        ("h2_server", h2::clients()),
        ("h2_client", h2::servers()),
        ("hpack", h2::blocks()),
        ("hygiene", http1::claims()),
        ("normalize", http1::targets()),
        ("detect", first::connections()),
        ("proxy_protocol", first::announced()),
        ("dns", first::packets()),
        ("open", discovery::opens()),
        ("unit", discovery::units()),
        ("state", discovery::states()),
        ("discovery_client", discovery::responses()),
        ("discovery_server", discovery::requests()),
        ("spiffe_id", identity::ids()),
        ("join_token", identity::tokens()),
        ("certificate", identity::certificates()),
        ("signing_request", identity::requests()),
        ("pem", identity::texts()),
    ]
}

/// Seeds from texts: what is accepted, what is refused.
fn named(accepted: &[(&str, &str)], refused: &[(&str, &str)]) -> Seeds {
    let accepted = accepted.iter().map(|(name, text)| (format!("ok-{name}"), text.as_bytes().to_vec()));
    let refused = refused.iter().map(|(name, text)| (format!("bad-{name}"), text.as_bytes().to_vec()));
    accepted.chain(refused).collect()
}

#[test]
fn corpora_are_as_written_here() {
    let is_update = std::env::var_os("UPDATE_CORPUS").is_some();
    let mut differing = Vec::new();
    for (target, seeds) in all() {
        let folder = root().join("corpus").join(target);
        for (name, bytes) in seeds {
            let file = folder.join(&name);
            if fs::read(&file).is_ok_and(|own| own == bytes) {
                continue;
            }
            if is_update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, bytes).unwrap();
            } else {
                differing.push(file);
            }
        }
    }
    assert!(differing.is_empty(), "run with UPDATE_CORPUS=1 to write {differing:#?}");
}
