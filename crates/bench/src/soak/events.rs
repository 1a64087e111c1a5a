//! What happens meanwhile: faults of `rough`, and changes that nobody may feel.

use std::{collections::BTreeMap, fmt::Write as _};

use leno_testkit::mesh::Mesh;
use rustix::process::{Pid, Signal, kill_process};

use super::{pause, world};
use crate::limits;

/// One after the other, for ever.
#[derive(Default)]
pub(super) struct Events {
    number: u32,
    happened: BTreeMap<&'static str, u32>,
}

type Event = (&'static str, fn(&Mesh, u32));

const EVENTS: [Event; 9] = [
    ("application killed", |mesh, _| signal_application(mesh, "rough", "KILL")),
    ("route edited", |mesh, number| mesh.replace("rough.yaml", &world::route(number))),
    ("application frozen", |mesh, _| {
        signal_application(mesh, "rough-2", "STOP");
        pause(limits::SOAK_FROZEN);
        signal_application(mesh, "rough-2", "CONT");
    }),
    ("settings edited", |mesh, number| mesh.replace("calm.yaml", &world::settings(number))),
    ("proxy killed", |mesh, _| signal(mesh.sidecar("rough-1"), Signal::KILL)),
    ("control plane frozen", |mesh, _| freeze(mesh.part("control"))),
    ("endpoints restarted in order", |mesh, _| drop(mesh.leno(&["restart", "rough"]))),
    ("proxy frozen", |mesh, _| freeze(mesh.sidecar("rough-2"))),
    ("bad edit", |mesh, number| {
        mesh.replace("rough.yaml", &world::route(number).replace("route:", "rout:"));
    }),
];

impl Events {
    /// The next one, until it is over.
    pub(super) fn next(&mut self, mesh: &Mesh) {
        let index = self.number as usize % EVENTS.len();
        if let Some((name, happens)) = EVENTS.get(index) {
            happens(mesh, self.number);
            *self.happened.entry(name).or_default() += 1;
        }
        self.number += 1;
    }

    /// What happened how often.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("happened: certificates renewed every 6 s");
        for (name, count) in &self.happened {
            let _ = write!(text, ", {name} {count} times");
        }
        text
    }
}

fn signal_application(mesh: &Mesh, replica: &str, signal: &str) {
    mesh.exec(replica, &["pkill", &format!("-{signal}"), "leno-sample"]);
}

fn freeze(process: Pid) {
    signal(process, Signal::STOP);
    pause(limits::SOAK_FROZEN);
    signal(process, Signal::CONT);
}

/// A process that is gone needs no signal.
fn signal(process: Pid, signal: Signal) {
    let _gone = kill_process(process, signal);
}
