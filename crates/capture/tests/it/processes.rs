//! Started processes have what they were given and nothing else, and end when they should.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use leno_capture::{
    capability::Set,
    descriptor,
    namespace::{IdMaps, Kinds},
    process::{self, Command, Error, Exit, Step},
};

use crate::world::ROLE;

type Test = fn();

pub(crate) const ALL: &[(&str, Test)] = &[
    ("a_process_has_only_the_descriptors_that_it_was_given", only_given_descriptors),
    ("exits_are_told_apart", exits_are_told_apart),
    ("failures_name_their_step", failures_name_their_step),
    ("refused_maps_end_the_child", refused_maps_end_the_child),
    ("a_tied_process_dies_with_its_parent", a_tied_process_dies_with_its_parent),
    ("messages_carry_descriptors_and_end_with_their_sender", messages_carry_descriptors),
    ("sealed_files_stay_as_they_are", sealed_files_stay_as_they_are),
];

fn role(name: &str) -> Command {
    let mut command = Command::of_file(process::own_executable().unwrap(), "it".as_ref());
    command.argument(ROLE).argument(name);
    command
}

/// Starts a command and reads all that it prints.
fn output(mut command: Command) -> (String, Exit) {
    let (mut read, write) = io::pipe().unwrap();
    command.stdout(write.into()).stderr(io::stderr().as_fd().try_clone_to_owned().unwrap());
    let child = command.spawn().unwrap();
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    (text, child.wait().unwrap())
}

#[expect(clippy::print_stdout, reason = "a role speaks on standard output")]
pub(crate) fn print_descriptors() {
    let listed = fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<(i32, String)> = listed
        .map(|entry| entry.unwrap())
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?.display().to_string();
            // The listing's own descriptor.
            (!target.starts_with("/proc/")).then_some((entry.file_name().to_str()?.parse().ok()?, target))
        })
        .collect();
    numbers.sort();
    for (number, target) in numbers {
        println!("{number} {}", target.split(':').next().unwrap());
    }
}

fn only_given_descriptors() {
    // Descriptors on every low number of this process, not close-on-exec, that must not get through.
    let kept: Vec<OwnedFd> = (0..20).map(|_| File::open("/etc/passwd").unwrap().into()).collect();
    for fd in &kept {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).unwrap();
    }
    let mut command = role("descriptors");
    let first = command.hand(File::open("/etc/group").unwrap().into()).unwrap();
    let second = command.hand(File::open("/etc/hosts").unwrap().into()).unwrap();
    let (text, exit) = output(command);
    assert_eq!((first, second, exit), (3, 4, Exit::Code(0)));
    assert_eq!(
        text,
        "0 /dev/null\n1 pipe\n2 pipe\n3 /etc/group\n4 /etc/hosts\n".replace("2 pipe", &stderr_kind())
    );
}

/// What this process's standard error is.
fn stderr_kind() -> String {
    let target = fs::read_link(format!("/proc/self/fd/{}", io::stderr().as_raw_fd())).unwrap();
    format!("2 {}", target.display().to_string().split(':').next().unwrap())
}

fn exits_are_told_apart() {
    let shell = |script: &str| {
        let mut command = Command::new("/bin/sh".as_ref());
        command.argument("-c").argument(script);
        command.spawn().unwrap().wait().unwrap()
    };
    assert_eq!(shell("exit 7"), Exit::Code(7));
    assert_eq!(shell("kill -KILL $$"), Exit::Signal(9));
    // Signals have their default effect, also those that this process ignores.
    assert_eq!(shell("kill -PIPE $$"), Exit::Signal(13));
}

fn failures_name_their_step() {
    let step = |command: Command| match command.spawn() {
        Err(Error::Child { step, source, .. }) => (step, source.kind()),
        other => panic!("{other:?}"),
    };
    assert_eq!(step(Command::new("/no/such".as_ref())), (Step::Execute, ErrorKind::NotFound));
    assert_eq!(step(Command::new("/etc/passwd".as_ref())), (Step::Execute, ErrorKind::PermissionDenied));
    let mut command = Command::new("/bin/true".as_ref());
    command.workdir("/no/such".as_ref());
    assert_eq!(step(command), (Step::Workdir, ErrorKind::NotFound));
}

fn refused_maps_end_the_child() {
    let mut command = role("wait");
    // Without a user namespace there is nothing to map.
    command.maps(IdMaps::of_caller().unwrap());
    let refused = command.spawn();
    assert!(matches!(&refused, Err(Error::Parent { operation: "map users", .. })), "{refused:?}");
}

pub(crate) fn wait_for_ever() {
    loop {
        std::thread::park();
    }
}

/// Starts a tied child, prints its number, and ends without a word to it.
#[expect(clippy::print_stdout, reason = "a role speaks on standard output")]
pub(crate) fn leave_a_child() {
    let mut command = role("wait");
    command
        .namespaces(Kinds::USER.and(Kinds::PROCESS))
        .maps(IdMaps::of_caller().unwrap())
        .capabilities(Set::all())
        .session()
        .die_with_parent();
    println!("{}", command.spawn().unwrap().id());
}

fn a_tied_process_dies_with_its_parent() {
    let (text, exit) = output(role("parent"));
    assert_eq!(exit, Exit::Code(0));
    let child = format!("/proc/{}", text.trim());
    let deadline = Instant::now() + Duration::from_secs(5);
    while fs::exists(&child).unwrap() {
        assert!(Instant::now() < deadline, "{child} lives on");
        std::thread::yield_now();
    }
}

fn messages_carry_descriptors() {
    let (ours, theirs) = descriptor::message_pair().unwrap();
    let (mut read, write) = io::pipe().unwrap();
    descriptor::send(&ours, b"one", &[write.as_fd()]).unwrap();
    descriptor::send(&ours, b"two", &[]).unwrap();
    drop(write);
    let mut buffer = [0; 16];
    let (length, mut descriptors) = descriptor::receive(&theirs, &mut buffer).unwrap();
    assert_eq!((&buffer[..length], descriptors.len()), (&b"one"[..], 1));
    File::from(descriptors.remove(0)).write_all(b"through").unwrap();
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
    // A message that doesn't fit is an error, not a part of a message.
    let cut = descriptor::receive(&theirs, &mut [0; 2]).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::InvalidData);
    drop(ours);
    assert_eq!(descriptor::receive(&theirs, &mut buffer).unwrap().0, 0);
}

fn sealed_files_stay_as_they_are() {
    let sealed = descriptor::sealed("test", b"secret").unwrap();
    let mut file = File::from(sealed.try_clone().unwrap());
    assert_eq!(file.write(b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(descriptor::read_sealed(sealed).unwrap(), b"secret");
    let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(descriptor::read_sealed(open).unwrap_err().kind(), ErrorKind::InvalidData);
    for number in [0, 1, 2, 9999] {
        assert!(descriptor::adopt(number).is_err(), "{number}");
    }
}
