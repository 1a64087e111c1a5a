//! Starts roles in fresh user and network namespaces.

use std::{fmt, fs, path::PathBuf};

use leno_capture::{
    capability::Set,
    namespace::{IdMaps, Kinds},
    process::{self, Command, Credentials, Exit},
};
use libtest_mimic::Failed;

/// First argument of this binary when it plays a role.
pub(crate) const ROLE: &str = "play-role";

/// An ordinary user without an entry in `/etc/passwd`.
const ORDINARY: u32 = 54_321;

/// Who creates the namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Root,
    Ordinary,
}

impl Caller {
    pub(crate) const ALL: [Self; 2] = [Self::Root, Self::Ordinary];
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Root { "as_root" } else { "as_ordinary_user" })
    }
}

/// Plays a role in a new user and network namespace of that caller.
pub(crate) fn in_a_network(role: &str, caller: Caller) -> Result<(), Failed> {
    let am_root = IdMaps::of_caller()?.has_other_users();
    match (am_root, caller) {
        (false, Caller::Root) => skip("needs root"),
        (true, Caller::Ordinary) => expect_success(as_ordinary_user(role)?),
        _ => expect_success(own_network(role)?),
    }
}

/// A skip is loud, and a failure where CI=true.
fn skip(reason: &str) -> Result<(), Failed> {
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        return Err(format!("SKIPPED where CI=true: {reason}").into());
    }
    eprintln!("SKIPPED: {reason}");
    Ok(())
}

fn expect_success(exit: Exit) -> Result<(), Failed> {
    if exit.is_success() { Ok(()) } else { Err(format!("the role ended with {exit}").into()) }
}

/// Becomes an ordinary user, and lets that one make the namespaces.
fn as_ordinary_user(role: &str) -> Result<Exit, Failed> {
    let mut command = Command::new(&binary());
    command.argument(ROLE).argument(format!("network/{role}")).own_environment();
    command.credentials(Credentials { user: ORDINARY, group: ORDINARY, groups: vec![] });
    command.workdir(&PathBuf::from("/"));
    run(command)
}

/// Where ordinary users find this program.
fn binary() -> PathBuf {
    std::env::temp_dir().join(format!("leno-capture-{}", std::process::id()))
}

/// Puts it there. To be called while nobody else forks: a child that still holds a copy's descriptor for writing
/// would keep the copy from being executed.
pub(crate) fn prepare_binary() -> std::io::Result<()> {
    fs::copy(process::own_path()?, binary()).map(drop)
}

pub(crate) fn remove_binary() {
    let _gone = fs::remove_file(binary());
}

/// Plays a role in a new user and network namespace of this process's user.
pub(crate) fn own_network(role: &str) -> Result<Exit, Failed> {
    let mut command = Command::of_file(process::own_executable()?, "it".as_ref());
    command.argument(ROLE).argument(role).own_environment();
    command.namespaces(Kinds::USER.and(Kinds::NETWORK)).maps(IdMaps::of_caller()?);
    command.capabilities(Set::all()).die_with_parent();
    run(command)
}

fn run(mut command: Command) -> Result<Exit, Failed> {
    use std::os::fd::AsFd;
    command.stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
    command.stderr(std::io::stderr().as_fd().try_clone_to_owned()?);
    Ok(command.spawn()?.wait()?)
}
