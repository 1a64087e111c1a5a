//! `leno status --watch` on a terminal, and where there is none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use leno_testkit::mesh::{Declaration, Mesh, eventually};
use leno_testkit::skip::skip;
use serde_json::Value;

const SPEC: &str = "services:
  - {name: hello, port: 80, protocol: http}
workloads:
  - {service: hello, command: [leno-sample, serve, hello, '--listen=http://:80']}";

/// Gives a program a terminal, and copies what it shows (util-linux).
const SCRIPT: &str = "/usr/bin/script";

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[test]
fn status_is_watched_on_a_terminal_and_elsewhere() {
    if !Path::new(SCRIPT).exists() {
        return skip("nothing here gives a program a terminal");
    }
    let mesh = Declaration::new("watching").spec(SPEC).start();
    a_terminal_gets_a_screen_that_fits_and_is_left_as_it_was(&mesh);
    elsewhere_answers_are_lines(&mesh);
}

/// A shell on a terminal, and what it has shown.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn run(mesh: &Mesh, commands: &str) -> Self {
        let mut command = mesh.command(Path::new(SCRIPT));
        command.args(["-qefc", commands, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let shown = Arc::<Mutex<String>>::default();
        let told = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                told.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { child, shown }
    }

    /// The terminal makes another line end of each.
    fn shown(&self) -> String {
        self.shown.lock().unwrap().replace("\r\r\n", "\r\n")
    }

    /// Waits until the last complete picture is as it should be; its lines, the last of which says what keys do.
    fn picture(&self, what: &str, is_right: impl Fn(&[String]) -> bool) {
        eventually(what, || {
            let shown = self.shown();
            let (whole, _) = shown.rsplit_once("\x1b[0m\x1b[?2026l").ok_or("nothing")?;
            let (_, picture) = whole.rsplit_once("\x1b[?2026h\x1b[H").ok_or("no picture")?;
            let lines: Vec<String> = picture
                .split("\x1b[K\r\n")
                .map(|line| line.trim_start_matches("\x1b[7m").to_owned())
                .collect();
            if is_right(&lines) { Ok(()) } else { Err(format!("{lines:#?}")) }
        });
    }
}

fn a_terminal_gets_a_screen_that_fits_and_is_left_as_it_was(mesh: &Mesh) {
    let leno = mesh.program("leno");
    let leno = leno.get_program().to_str().unwrap();
    let commands = format!("tty; stty rows 30 cols 110; {leno} status --watch; stty -a");
    let mut terminal = Terminal::run(mesh, &commands);
    let fits = |lines: &[String], rows: usize, columns: usize| {
        lines.len() == rows && lines.iter().all(|line| line.chars().count() <= columns)
    };
    terminal.picture("it shows the workload", |lines| {
        fits(lines, 30, 110)
            && lines.iter().any(|line| line.contains("hello"))
            && lines[29].contains("q quit")
    });
    let shown = terminal.shown();
    let (pts, _) = shown.split_once("\r\n").unwrap();
    let resized = mesh.command(Path::new("stty")).args(["-F", pts, "rows", "5", "cols", "40"]).status();
    assert!(resized.unwrap().success(), "{pts}");
    terminal.picture("it fits the smaller window", |lines| {
        fits(lines, 5, 40) && lines[4].contains("lines 1 to 4")
    });
    let mut keys = terminal.child.stdin.take().unwrap();
    keys.write_all(b"j").unwrap();
    terminal.picture("it scrolls", |lines| fits(lines, 5, 40) && lines[4].contains("lines 2 to 5"));
    keys.write_all(b"q").unwrap();
    assert!(terminal.child.wait().unwrap().success());
    eventually("the terminal is as it was", || {
        let shown = terminal.shown();
        let (before, after) = shown.split_once(LEAVE).ok_or_else(|| shown.clone())?;
        assert_eq!(before.matches(ENTER).count(), 1, "{before}");
        let settings: Vec<&str> = after.split([' ', ';', '\r', '\n']).collect();
        if ["icanon", "echo", "speed"].iter().all(|word| settings.contains(word)) {
            Ok(())
        } else {
            Err(shown)
        }
    });
}

fn elsewhere_answers_are_lines(mesh: &Mesh) {
    let arguments = [&["status", "--watch"][..], &["status", "--watch", "-o", "json"]];
    for arguments in arguments {
        let mut command = mesh.program("leno");
        let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        if arguments.contains(&"json") {
            for line in lines.by_ref().take(2) {
                let status: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(status["mesh"], "watching", "{line}");
            }
        } else {
            let second =
                lines.by_ref().skip_while(|line| !line.is_empty()).find(|line| line.contains("hello"));
            assert!(second.is_some_and(|line| !line.contains('\x1b')));
        }
        // Whoever reads has seen enough.
        drop(lines);
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
}
