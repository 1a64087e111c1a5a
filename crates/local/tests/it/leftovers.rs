//! What a mesh may have left on the machine.

use std::{fs, path::Path};

use crate::world::{Mesh, eventually};

/// Processes that run this mesh's copy of the test binary.
pub(crate) fn processes(directory: &Path) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let binary = directory.join("it");
    let is_ours = |number: &u32| {
        fs::read_link(format!("/proc/{number}/exe")).is_ok_and(|exe| exe.starts_with(&binary))
            || fs::read(format!("/proc/{number}/cmdline")).is_ok_and(|line| {
                let needle = directory.to_str().unwrap().as_bytes();
                line.windows(needle.len()).any(|window| window == needle)
            })
    };
    numbers.filter(is_ours).collect()
}

/// Those of them that call themselves so.
pub(crate) fn named(directory: &Path, name: &str) -> Vec<u32> {
    let is_named = |number: &u32| {
        fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    processes(directory).into_iter().filter(is_named).collect()
}

/// Processes in the world of a replica but its first.
pub(crate) fn workload_processes(mesh: &Mesh, replica: &str) -> Vec<u32> {
    let marker = format!("LENO_REPLICA={replica}\0");
    let is_there = |number: &u32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.windows(marker.len()).any(|window| window == marker.as_bytes())
    };
    processes(&mesh.directory).into_iter().filter(is_there).collect()
}

/// Waits until none of these processes of the mesh is left. With the last process of a namespace the namespace goes;
/// its number says nothing, since the kernel gives it to the next one at once.
#[track_caller]
pub(crate) fn none_of(mesh: &Mesh, gone: &[u32]) {
    eventually("the processes are gone", || {
        let now = processes(&mesh.directory);
        gone.iter().all(|process| !now.contains(process)).then_some(())
    });
}

/// Waits until nothing of a mesh is left: no process, no runtime directory, no mount on the host. Without
/// processes there are no namespaces either, as nothing else holds them, and with those went the rules.
#[track_caller]
pub(crate) fn none(mesh: &Mesh) {
    let runtime = mesh.directory.join("run/leno");
    eventually("the runtime directory is gone", || (!runtime.exists()).then_some(()));
    eventually("all processes are gone", || processes(&mesh.directory).is_empty().then_some(()));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(mesh.directory.to_str().unwrap()), "{mounts}");
    let state = mesh.directory.join("state/leno/m/ca.key");
    assert!(state.exists(), "state is what should be left");
}
