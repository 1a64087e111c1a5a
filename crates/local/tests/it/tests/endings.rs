//! However a mesh ends, nothing is left but its state.

use leno_capture::process::Exit;
use rustix::process::Signal;

use super::one_server;
use crate::{
    leftovers,
    world::{Mesh, eventually},
};

/// Ends a mesh in some way, and looks for what is left.
fn ends(mesh: &mut Mesh, end: impl FnOnce(&mut Mesh)) {
    one_server(mesh);
    let gone = leftovers::processes(&mesh.directory);
    assert!(gone.len() >= 7, "leno up and all its parts: {gone:?}");
    end(mesh);
    leftovers::none(mesh);
    leftovers::none_of(mesh, &gone);
}

pub(super) fn ctrl_c_ends_everything(mesh: &mut Mesh) {
    ends(mesh, |mesh| {
        mesh.signal_up(Signal::INT);
        assert_eq!(mesh.wait_up(), Exit::Code(0));
    });
}

pub(super) fn down_ends_everything(mesh: &mut Mesh) {
    ends(mesh, |mesh| {
        assert_eq!(mesh.play(&["down"]).1, Exit::Code(0));
        assert!(!mesh.directory.join("run/leno/m").exists(), "down waits for the end");
        assert_eq!(mesh.wait_up(), Exit::Code(0));
    });
}

pub(super) fn killing_leno_up_ends_everything(mesh: &mut Mesh) {
    ends(mesh, |mesh| {
        mesh.signal_up(Signal::KILL);
        assert_eq!(mesh.wait_up(), Exit::Signal(9));
    });
}

pub(super) fn killing_both_leaves_a_reusable_directory(mesh: &mut Mesh) {
    one_server(mesh);
    let [janitor] = leftovers::named(&mesh.directory, "leno-janitor")[..] else { panic!("one janitor") };
    let pid = rustix::process::Pid::from_raw(janitor.cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    mesh.signal_up(Signal::KILL);
    mesh.wait_up();
    eventually("all processes are gone", || leftovers::processes(&mesh.directory).is_empty().then_some(()));
    assert!(mesh.directory.join("run/leno/m/up.sock").exists());
    mesh.up_again();
    eventually("it runs again", || mesh.try_status().filter(|status| status.ready));
    mesh.signal_up(Signal::TERM);
    assert_eq!(mesh.wait_up(), Exit::Code(0));
    leftovers::none(mesh);
}

pub(super) fn a_second_mesh_of_that_name_is_refused(mesh: &mut Mesh) {
    one_server(mesh);
    let (_, exit) = mesh.play(&["up"]);
    assert_eq!(exit, Exit::Code(70));
    assert!(mesh.status().ready, "the first one runs on");
}
