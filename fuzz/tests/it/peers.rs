//! What hyper and Envoy make of the messages that smuggling is made of: the file that tells it is current.

use std::path::Path;

use leno_fuzz::differential::envoy::Envoy;
use leno_fuzz::differential::peers;
use leno_testkit::programs::{self, or_skip};
use tokio::task::LocalSet;

#[test]
fn others_take_what_is_told() {
    let Some(program) = or_skip(programs::envoy()) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-envoy");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let lines = LocalSet::new().block_on(&runtime, async {
        let envoy = Envoy::start(&program, folder).await.expect("Envoy starts");
        peers::lines(&envoy).await.expect("Envoy answers")
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/testkit/src/smuggling/peers.tsv");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("the file is written");
    }
    let told = std::fs::read_to_string(&path).expect("the file is here");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told, lines, "run with UPDATE_DOCS=1, and then the proxy's tests of smuggling likewise");
}
