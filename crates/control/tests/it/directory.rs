//! Files that change under a source, in every way that people and tools change them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_control::source::directory::{Directory, Files, Read};
use tokio::sync::watch;

use crate::temporary::Temporary;

/// Far beyond what is right, for machines that are busy with other things; yet shorter than the interval of the looks
/// without a reason, so that what is seen was heard of.
const PATIENCE: Duration = Duration::from_secs(8);

/// A watched directory and what is read of it.
struct Watched {
    directory: Temporary,
    read: watch::Receiver<Read>,
    _source: Directory,
}

impl Watched {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let directory = Temporary::new();
        prepare(&directory.join("c"));
        Self::of(directory.join("c"), directory)
    }

    fn of(path: PathBuf, directory: Temporary) -> Self {
        let source = Directory::start(vec![path]).unwrap();
        Self { directory, read: source.files(), _source: source }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("c").join(name)
    }

    fn files(&self) -> Arc<Files> {
        Arc::clone(&self.read.borrow().files)
    }

    /// The text of a file.
    fn text(&self, name: &str) -> Option<String> {
        let file = self.path(name).to_string_lossy().into_owned();
        self.files().files.get(file.as_str()).map(ToString::to_string)
    }

    fn names(&self) -> Vec<String> {
        let root = format!("{}/", self.directory.join("c").display());
        self.files().files.keys().map(|file| file.strip_prefix(&root).unwrap_or(file).to_owned()).collect()
    }

    /// Waits until something holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let changed = tokio::time::timeout(left, self.read.changed()).await;
            assert!(changed.is_ok(), "{what}: {:?}, {:?}", self.names(), self.files().problems);
        }
    }

    async fn until_text(&mut self, name: &str, text: &str) {
        self.until(&format!("{name} becomes {text}"), |now| now.text(name).as_deref() == Some(text)).await;
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Replaces a file as careful programs do.
fn replace(path: &Path, text: &str) {
    let draft = path.with_file_name(".draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

#[tokio::test]
async fn configuration_is_read_recursively_by_its_names() {
    let watched = Watched::new(|c| {
        for name in [
            "a.yaml",
            "sub/b.yml",
            "sub/deep/c.json",
            "readme.md",
            ".hidden.yaml",
            ".git/d.yaml",
            "sub/e.yaml~",
        ] {
            write(&c.join(name), name);
        }
        symlink(c, c.join("sub/loop")).unwrap();
    });
    assert_eq!(watched.names(), ["a.yaml", "sub/b.yml", "sub/deep/c.json"]);
    assert_eq!(watched.text("sub/b.yml").as_deref(), Some("sub/b.yml"));
    assert!(watched.files().problems.is_empty());
}

#[tokio::test]
async fn a_file_that_is_named_is_read_whatever_it_is_called() {
    let directory = Temporary::new();
    write(&directory.join("mesh"), "one");
    let mut watched = Watched::of(directory.join("mesh"), directory);
    let text = |watched: &Watched| watched.files().files.values().next().map(ToString::to_string);
    assert_eq!(text(&watched).as_deref(), Some("one"));
    replace(&watched.directory.join("mesh"), "two");
    watched.until("the file is replaced", |now| text(now).as_deref() == Some("two")).await;
}

#[tokio::test]
async fn writes_renames_new_and_removed_files_are_followed() {
    let mut watched = Watched::new(|c| write(&c.join("a.yaml"), "1"));
    replace(&watched.path("a.yaml"), "2");
    watched.until_text("a.yaml", "2").await;
    write(&watched.path("a.yaml"), "3");
    watched.until_text("a.yaml", "3").await;
    write(&watched.path("new/sub/b.yaml"), "b");
    watched.until_text("new/sub/b.yaml", "b").await;
    replace(&watched.path("new/sub/b.yaml"), "c");
    watched.until_text("new/sub/b.yaml", "c").await;
    fs::remove_dir_all(watched.path("new")).unwrap();
    watched.until("the directory is gone", |now| now.names() == ["a.yaml"]).await;
    fs::rename(watched.path("a.yaml"), watched.path("z.yaml")).unwrap();
    watched.until("the file has another name", |now| now.names() == ["z.yaml"]).await;
    fs::remove_file(watched.path("z.yaml")).unwrap();
    watched.until("nothing is left", |now| now.names().is_empty()).await;
}

#[tokio::test]
async fn a_change_is_seen_soon() {
    let mut watched = Watched::new(|c| write(&c.join("a.yaml"), "0"));
    let mut fastest = Duration::MAX;
    for round in 1..=5 {
        let began = Instant::now();
        replace(&watched.path("a.yaml"), &round.to_string());
        watched.until_text("a.yaml", &round.to_string()).await;
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}

#[tokio::test]
async fn a_directory_swapped_behind_a_link_changes_at_once() {
    // As Kubernetes mounts a ConfigMap.
    let version = |c: &Path, name: &str, text: &str| {
        write(&c.join(name).join("a.yaml"), text);
        write(&c.join(name).join("b.yaml"), text);
        symlink(name, c.join("..tmp")).unwrap();
        fs::rename(c.join("..tmp"), c.join("..data")).unwrap();
    };
    let mut watched = Watched::new(|c| {
        version(c, "..1", "one");
        symlink("..data/a.yaml", c.join("a.yaml")).unwrap();
        symlink("..data/b.yaml", c.join("b.yaml")).unwrap();
    });
    assert_eq!(watched.names(), ["a.yaml", "b.yaml"]);
    let root = watched.path("");
    for text in ["two", "three"] {
        version(&root, &format!("..{text}"), text);
        watched.until("a file is swapped", |now| now.text("a.yaml").as_deref() == Some(text)).await;
        assert_eq!(watched.text("b.yaml").as_deref(), Some(text), "both change together");
    }
    fs::remove_dir_all(root.join("..1")).unwrap();
    assert!(watched.files().problems.is_empty());
}

#[tokio::test]
async fn a_linked_root_and_linked_files_are_followed_to_where_they_lead() {
    let directory = Temporary::new();
    for version in ["1", "2"] {
        write(&directory.join(version).join("a.yaml"), version);
    }
    write(&directory.join("elsewhere/b.yaml"), "b");
    symlink(directory.join("elsewhere/b.yaml"), directory.join("2/b.yaml")).unwrap();
    symlink("1", directory.join("c")).unwrap();
    let mut watched = Watched::of(directory.join("c"), directory);
    watched.until_text("a.yaml", "1").await;
    symlink("2", watched.directory.join("next")).unwrap();
    fs::rename(watched.directory.join("next"), watched.directory.join("c")).unwrap();
    watched.until_text("a.yaml", "2").await;
    replace(&watched.directory.join("2/a.yaml"), "3");
    watched.until_text("a.yaml", "3").await;
    replace(&watched.directory.join("elsewhere/b.yaml"), "d");
    watched.until_text("b.yaml", "d").await;
}

#[tokio::test]
async fn what_was_read_stays_while_the_named_directory_is_away() {
    let mut watched = Watched::new(|c| write(&c.join("sub/a.yaml"), "1"));
    let root = watched.path("");
    fs::remove_dir_all(&root).unwrap();
    watched.until("its absence is told", |now| !now.files().problems.is_empty()).await;
    assert_eq!(watched.text("sub/a.yaml").as_deref(), Some("1"));
    let problem = watched.files().problems[0].to_string();
    assert!(problem.contains("does not exist") && problem.contains("help: "), "{problem}");
    write(&root.join("sub/a.yaml"), "2");
    watched.until("it is back", |now| now.files().problems.is_empty()).await;
    watched.until_text("sub/a.yaml", "2").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_disturbs_nothing() {
    let mut watched = Watched::new(|c| {
        write(&c.join("a.yaml"), "a");
        write(&c.join("b.yaml"), "b");
        // Reading it would never end.
        rustix::fs::mkfifoat(rustix::fs::CWD, c.join("pipe.yaml"), rustix::fs::Mode::RUSR).unwrap();
    });
    assert_eq!(watched.names(), ["a.yaml", "b.yaml"]);
    let draft = watched.path(".draft");
    fs::write(&draft, b"kind: \xff").unwrap();
    fs::rename(draft, watched.path("a.yaml")).unwrap();
    replace(&watched.path("b.yaml"), "c");
    watched.until_text("b.yaml", "c").await;
    watched.until("it is told", |now| !now.files().problems.is_empty()).await;
    assert_eq!(watched.text("a.yaml").as_deref(), Some("a"));
    let problem = watched.files().problems[0].to_string();
    assert!(problem.contains("a.yaml") && problem.contains("not UTF-8 (byte 6)"), "{problem}");
    replace(&watched.path("a.yaml"), "d");
    watched.until("it is read again", |now| now.files().problems.is_empty()).await;
    watched.until_text("a.yaml", "d").await;
}

#[tokio::test]
async fn a_file_that_is_being_written_keeps_its_last_content() {
    let mut watched = Watched::new(|c| {
        write(&c.join("slow.yaml"), "whole");
        write(&c.join("other.yaml"), "1");
    });
    let mut file = File::create(watched.path("slow.yaml")).unwrap();
    file.write_all(b"half").unwrap();
    replace(&watched.path("other.yaml"), "2");
    watched.until_text("other.yaml", "2").await;
    assert_eq!(watched.text("slow.yaml").as_deref(), Some("whole"));
    file.write_all(b" and half").unwrap();
    drop(file);
    watched.until_text("slow.yaml", "half and half").await;
}

#[tokio::test]
async fn who_writes_for_too_long_is_not_waited_for() {
    let mut watched = Watched::new(|c| write(&c.join("slow.yaml"), "whole"));
    let mut file = File::create(watched.path("slow.yaml")).unwrap();
    file.write_all(b"half").unwrap();
    watched.until_text("slow.yaml", "half").await;
    drop(file);
}

#[tokio::test]
async fn one_of_a_thousand_files_is_followed_too() {
    let mut watched = Watched::new(|c| {
        for i in 0..1_000 {
            write(&c.join(format!("{}/{i}.yaml", i % 10)), &i.to_string());
        }
    });
    assert_eq!(watched.names().len(), 1_000);
    replace(&watched.path("7/777.yaml"), "changed");
    watched.until_text("7/777.yaml", "changed").await;
    assert_eq!(watched.text("6/776.yaml").as_deref(), Some("776"));
}
