//! What is started, when, and again.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
};

use leno_capture::process::{Command, Exit};
use leno_local::protocol::{Phase, ReplicaStatus};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::json;

use super::one_server;
use crate::{
    leftovers,
    world::{Caller, Mesh, eventually},
};

fn kill(process: u32) {
    let pid = Pid::from_raw(process.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn replica(mesh: &Mesh, name: &str) -> Option<ReplicaStatus> {
    mesh.try_status()?.replicas.into_iter().find(|replica| replica.name == name)
}

pub(super) fn exec_passes_streams_codes_and_signals(mesh: &mut Mesh) {
    one_server(mesh);
    assert_eq!(mesh.inside("web", &["say", "hello", "there"]), "hello there\n");
    assert_eq!(mesh.try_inside("web", &["crash", "42"]).1, Exit::Code(42));
    assert_eq!(mesh.play(&["exec", "web", "/no/such/program"]).1, Exit::Code(70));
    assert_eq!(mesh.play(&["exec", "nobody", "true"]).1, Exit::Code(70));
    // By PATH, with a shell, which ends by a signal.
    assert_eq!(mesh.play(&["exec", "web", "sh", "-c", "kill -TERM $$"]).1, Exit::Code(128 + 15));
    let app = mesh.app(&["idle"]);
    let words: Vec<&str> = ["exec", "web"].into_iter().chain(app.iter().map(String::as_str)).collect();
    let client = mesh.role(&words).spawn().unwrap();
    eventually("the command runs", || mesh.has_processes("web", 3));
    client.signal(Signal::TERM.as_raw()).unwrap();
    let exit = eventually("the client ends", || client.try_wait().unwrap());
    assert_eq!(exit, Exit::Code(128 + 15));
}

pub(super) fn exec_gives_a_terminal_of_its_own(mesh: &mut Mesh) {
    one_server(mesh);
    let (master, slave) = terminal();
    let size = Winsize { ws_row: 33, ws_col: 44, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let script = "test -t 0 && stty size; read x; echo got $x; trap 'echo interrupted; exit 5' INT; echo waiting; \
                  while :; do sleep 0.02; done";
    let mut command = mesh.role(&["exec", "web", "sh", "-c", script]);
    for stream in [Command::stdin, Command::stdout, Command::stderr] {
        stream(&mut command, slave.try_clone().unwrap());
    }
    let client = command.spawn().unwrap();
    drop(slave);
    let mut screen = Screen { master: File::from(master), text: String::new() };
    screen.wait_for("33 44");
    screen.master.write_all(b"hello\r").unwrap();
    screen.wait_for("got hello");
    screen.wait_for("waiting");
    screen.master.write_all(b"\x03").unwrap();
    screen.wait_for("interrupted");
    assert_eq!(eventually("the client ends", || client.try_wait().unwrap()), Exit::Code(5));
}

fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    (master, slave.into())
}

/// What a terminal shows.
struct Screen {
    master: File,
    text: String,
}

impl Screen {
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let Self { master, text: shown } = self;
        eventually(text, || {
            let mut event = [PollFd::new(&*master, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut event, Some(&now)).unwrap() > 0 {
                let mut buffer = [0; 1024];
                let length = master.read(&mut buffer).unwrap_or(0);
                shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            shown.contains(text).then_some(())
        });
    }
}

pub(super) fn a_failing_start_says_why(mesh: &mut Mesh) {
    let hidden = mesh.directory.join("state/leno/m/ca.key");
    mesh.launch(
        json!([]),
        json!([
            {"name": "program", "command": ["no-such-program"]},
            {"name": "place", "command": ["/tmp/program"]},
            {"name": "workdir", "command": ["true"], "workdir": "nowhere"},
            {"name": "share", "command": ["true"], "share": [hidden]},
        ]),
    );
    let note = |name: &str, text: &str| {
        eventually(text, || {
            let note = replica(mesh, name)?.note?;
            note.contains(text).then_some(())
        });
    };
    note(
        "program",
        "it didn't start: no program \"no-such-program\" in PATH (/usr/bin:/bin); give its whole path, or \
         set PATH; starting it again in",
    );
    note(
        "place",
        "it didn't start: there is no /tmp/program; workloads have their own /tmp: name it in `share`;",
    );
    note("workdir", &format!("it didn't start: there is no {}/project/nowhere;", mesh.directory.display()));
    let share =
        format!("can't share {} in the workload's world: No such file or directory", hidden.display());
    note("share", &share);
    assert!(!mesh.output().contains("is ready"), "{}", mesh.output());
}

pub(super) fn crashed_workloads_start_again(mesh: &mut Mesh) {
    let marker = mesh.directory.join("project/crashed");
    let (once, forks, done) = (
        mesh.app(&["crash-once", marker.to_str().unwrap()]),
        mesh.app(&["forks"]),
        mesh.app(&["say", "done"]),
    );
    mesh.start(
        json!([]),
        json!([
            {"name": "once", "command": once},
            {"name": "forks", "command": forks},
            {"name": "job", "command": done},
        ]),
    );
    eventually("the job is done", || replica(mesh, "job").filter(|job| job.phase == Phase::Done));
    eventually("it runs again", || {
        replica(mesh, "once").filter(|once| once.restarts == 1 && once.phase == Phase::Ready)
    });
    assert!(
        mesh.output().contains("once  | it exited with code 3; starting it again in 100 ms"),
        "{}",
        mesh.output()
    );
    // Orphans of the old life are gone when the new one begins.
    eventually("the orphans run", || mesh.has_processes("forks", 5));
    let orphans = leftovers::workload_processes(mesh, "forks");
    assert_eq!(mesh.play(&["restart", "forks"]).1, Exit::Code(0));
    eventually("it was restarted", || replica(mesh, "forks").filter(|forks| forks.restarts == 1));
    eventually("the old ones are gone", || {
        let now = leftovers::processes(&mesh.directory);
        orphans.iter().all(|orphan| !now.contains(orphan)).then_some(())
    });
}

pub(super) fn a_killed_sidecar_finds_its_vault_and_sockets(mesh: &mut Mesh) {
    one_server(mesh);
    for start in 1..=3 {
        assert_eq!(mesh.inside("web", &["connect", "10.1.2.3:80"]), "captured 10.1.2.3:80\n");
        eventually("the sidecar counts its starts", || {
            mesh.logs("web").contains(&format!("sidecar start {start} of web-v1")).then_some(())
        });
        let [sidecar] = leftovers::named(&mesh.directory, "sidecar")[..] else { panic!("one sidecar") };
        kill(sidecar);
        eventually("it is noticed", || replica(mesh, "web-v1").filter(|web| web.sidecar_restarts == start));
        // Whoever connects meanwhile waits in the socket that the supervisor holds.
    }
    assert_eq!(mesh.inside("web", &["connect", "10.1.2.3:80"]), "captured 10.1.2.3:80\n");
    let web = replica(mesh, "web-v1").unwrap();
    assert_eq!((web.restarts, web.phase), (0, Phase::Ready), "the workload didn't notice");
}

pub(super) fn a_killed_supervisor_comes_back_with_its_workload(mesh: &mut Mesh) {
    one_server(mesh);
    let before = replica(mesh, "web-v1").unwrap();
    let mut gone = leftovers::workload_processes(mesh, "web-v1");
    gone.extend(leftovers::named(&mesh.directory, "sidecar"));
    gone.extend(before.supervisor);
    kill(before.supervisor.unwrap());
    eventually("another supervisor", || {
        replica(mesh, "web-v1").filter(|web| {
            web.supervisor.is_some_and(|now| Some(now) != before.supervisor) && web.phase == Phase::Ready
        })
    });
    leftovers::none_of(mesh, &gone);
    assert_eq!(mesh.inside("web", &["connect", "10.1.2.3:80"]), "captured 10.1.2.3:80\n");
    assert_eq!(leftovers::named(&mesh.directory, "sidecar").len(), 1);
}

pub(super) fn a_killed_program_starts_again(mesh: &mut Mesh) {
    one_server(mesh);
    let before = mesh.status().programs[0].process.unwrap();
    kill(before);
    eventually("the control plane is back", || {
        mesh.try_status().filter(|status| status.programs[0].ready && status.programs[0].restarts == 1)
    });
    assert!(mesh.output().contains("the control ended by signal 9; starting it again in 100 ms"));
}

pub(super) fn workloads_wait_for_what_they_depend_on(mesh: &mut Mesh) {
    let gate = mesh.directory.join("project/gate");
    let (first, second) = (mesh.app(&["idle"]), mesh.app(&["say", "second"]));
    mesh.launch(json!([]), json!([
        {"name": "second", "command": second, "dependsOn": ["first"]},
        {"name": "first", "command": first, "health": {"command": ["test", "-e", "gate"], "interval": "50ms"}},
    ]));
    eventually("the first runs", || replica(mesh, "first").filter(|first| first.phase == Phase::Starting));
    eventually("the second has its sidecar", || {
        replica(mesh, "second").filter(|second| second.sidecar_ready)
    });
    assert_eq!(replica(mesh, "second").unwrap().phase, Phase::Waiting);
    fs::write(gate, "").unwrap();
    eventually("the second ran", || replica(mesh, "second").filter(|second| second.phase == Phase::Done));
}

pub(super) fn health_is_noticed(mesh: &mut Mesh) {
    let command = mesh.app(&["serve", "8080"]);
    let health = json!({"http": {"path": "/healthz"}, "interval": "50ms", "failures": 2});
    mesh.start(
        json!([{"name": "web", "port": 8080}]),
        json!([{"service": "web", "command": command, "health": health}]),
    );
    let phase = |phase| eventually("the phase", || replica(mesh, "web").filter(|web| web.phase == phase));
    assert_eq!(mesh.play(&["exec", "web", "touch", "/tmp/unwell"]).1, Exit::Code(0));
    let web = phase(Phase::Unhealthy);
    assert_eq!(web.note.as_deref(), Some("unhealthy: status 500 from /healthz"));
    assert_eq!(mesh.play(&["exec", "web", "rm", "/tmp/unwell"]).1, Exit::Code(0));
    assert_eq!(phase(Phase::Ready).restarts, 0);
}

pub(super) fn output_is_prefixed_and_kept(mesh: &mut Mesh) {
    let (short, long) = (mesh.app(&["say", "hello"]), mesh.app(&["say", "there"]));
    let env = json!({"GREETING": "from the environment"});
    mesh.start(json!([]), json!([
        {"name": "a", "command": short},
        {"name": "longer", "command": long},
        {"name": "shell", "command": "echo \"$GREETING\" in \"$PWD\" as \"$XDG_RUNTIME_DIR\" 1>&2", "env": env},
    ]));
    let output = eventually("all is printed", || {
        let said = ["a      | hello\n", "longer | there\n", "leno   | mesh m is ready: 3 workloads\n"];
        Some(mesh.output()).filter(|output| said.iter().all(|line| output.contains(line)))
    });
    assert!(!output.contains("sidecar start"), "sidecars speak in the logs only: {output}");
    // Who isn't root can run as nobody else.
    let own = rustix::process::geteuid().as_raw();
    let user = if mesh.caller == Caller::Root || own != 0 { own } else { 54_321 };
    let project = mesh.directory.join("project");
    let said = [
        format!("Stderr from the environment in {} as /run/user/{user}\n", project.display()),
        "Sidecar sidecar start 1 of shell\n".to_owned(),
    ];
    eventually("all is kept", || {
        let logs = mesh.logs("shell");
        said.iter().all(|line| logs.contains(line)).then_some(())
    });
}

pub(super) fn a_wrong_mesh_says_what_to_do(mesh: &mut Mesh) {
    mesh.launch(json!([]), json!([{"name": "a", "command": ["a"], "dependsOn": ["b"]}]));
    assert_eq!(mesh.wait_up(), Exit::Code(70));
    let expected =
        "the mesh can't run:\n  spec.workloads[0].dependsOn[0]: no workload \"b\"; did you mean a?\n";
    assert_eq!(mesh.output(), expected);
    assert!(!mesh.directory.join("run/leno/m").exists());
}
