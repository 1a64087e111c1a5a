//! The table of wrong inputs: what each gets for an answer, that it names the place and the remedy, and that nothing
//! else is disturbed. `docs/reference/wrong-inputs.md` is written from what really happens; `UPDATE_DOCS=1` rewrites it.

mod commands;
mod kinds;
mod mesh_file;
mod page;
mod program;
mod running;
mod wire;

use std::path::PathBuf;

use leno_testkit::{programs, skip::or_skip};

use program::Leno;

/// The program, or a loud skip.
fn program() -> Option<PathBuf> {
    or_skip(programs::own("leno", "leno"))
}

#[test]
fn wrong_arguments_are_told() {
    let Some(program) = program() else { return };
    page::check(&commands::section(&Leno::new(&program, "commands")));
}

#[test]
fn wrong_mesh_files_are_told() {
    let Some(program) = program() else { return };
    page::check(&mesh_file::section(&Leno::new(&program, "mesh-file")));
}

#[test]
fn wrong_configuration_is_told() {
    let Some(program) = program() else { return };
    page::check(&kinds::section(&Leno::new(&program, "kinds")));
}

#[test]
fn a_running_mesh_tells_what_is_wrong_and_goes_on() {
    page::check(&running::section());
}

#[test]
fn wrong_bytes_are_told() {
    let Some(program) = program() else { return };
    page::check(&wire::section(&program));
}
