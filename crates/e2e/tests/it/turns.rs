//! The scheduler gives a proxy's cores shorter turns than others have.

use std::{fs, time::Duration};

use leno_capture::scheduling::{this_thread, turns_of};

use crate::pair::Pair;

#[test]
fn cores_have_short_turns() {
    let Some(usual) = turns_of(this_thread()).unwrap() else {
        return println!("this kernel takes no requests for turns");
    };
    let pair = Pair::start("turns", &["http"], "");
    let mut cores = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", pair.server_proxy())).unwrap() {
        let thread = entry.unwrap();
        let name = fs::read_to_string(thread.path().join("comm")).unwrap();
        let turns = turns_of(thread.file_name().to_str().unwrap().parse().unwrap()).unwrap().unwrap();
        if name.starts_with("core-") {
            assert_eq!(turns, Duration::from_micros(500), "{name}");
            cores += 1;
        } else if !name.starts_with("blocking") {
            // Those a core may have started.
            assert_eq!(turns, usual, "{name}");
        }
    }
    assert_eq!(cores, 1);
}
