//! Capture in real namespaces, as root and as an ordinary user.
//!
//! Namespaces belong to processes, so each test starts this binary again in a *role* and looks at how
//! the role ended. Roles assert by panicking.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "roles assert by panicking; there is no #[test] around them"
)]

mod processes;
mod roles;
mod world;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(world::ROLE) {
        let role = arguments.next().unwrap_or_default();
        roles::run(&role);
        return;
    }
    let trials = roles::IN_A_NETWORK
        .iter()
        .flat_map(|role| world::Caller::ALL.map(|caller| trial(role, caller)))
        .chain(processes::ALL.iter().map(|(name, test)| {
            Trial::test(*name, || {
                test();
                Ok(())
            })
        }))
        .collect();
    world::prepare_binary().unwrap();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    world::remove_binary();
    conclusion.exit();
}

fn trial(role: &'static str, caller: world::Caller) -> Trial {
    Trial::test(format!("{role}::{caller}"), move || world::in_a_network(role, caller))
}
