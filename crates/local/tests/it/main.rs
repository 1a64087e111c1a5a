//! Local meshes in real namespaces, as root and as an ordinary user.
//!
//! This one binary is everything: the tests, `leno up` and its parts, a fake sidecar and control plane, the
//! workloads, and what tries to break out of a workload. A *role* is played when the first argument says so.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests and roles assert by panicking and speak on standard output; there is no #[test] around them"
)]

mod app;
mod escapes;
mod leftovers;
mod roles;
mod tests;
mod world;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((world::PLAY, role)) = arguments.split_first().map(|(first, role)| (first.as_str(), role)) {
        std::process::exit(roles::play(role));
    }
    let trials = tests::ALL.iter().flat_map(|(name, test)| {
        world::Caller::ALL
            .map(|caller| Trial::test(format!("{name}::{caller}"), move || world::run(caller, *test)))
    });
    world::prepare_binary();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    world::remove_binary();
    conclusion.exit();
}
