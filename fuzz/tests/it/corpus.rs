//! Every target on its corpus and on mutations of it.
//!
//! Inputs whose name begins with `ok-` must be accepted and those with `bad-` refused, so that a corpus doesn't rot when
//! formats change; others, such as `found-`, may be either. Mutations come from a seed that is printed:
//! `LENO_FUZZ_SEED` repeats a run, `LENO_FUZZ_RUNS` makes it longer. With `LENO_FUZZ_KEEP` each input is written to a file
//! before it is used, for runs that hang or abort.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leno_fuzz::differential::generate::Asked;
use leno_fuzz::differential::known::Peer;
use leno_fuzz::differential::message::Reading;
use leno_fuzz::differential::{Tally, by_hyper, leno};
use leno_fuzz::{Outcome, TARGETS, Target};

use crate::mutate::{Mutator, dictionary};

/// Mutations per target where nobody asks for more.
const RUNS: u64 = 20_000;

/// After this time a slow machine has done enough.
const ENOUGH: Duration = Duration::from_secs(2);

const SEED: u64 = 0x1eaf;

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_target_is_here_and_has_a_program() {
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), [$(stringify!($name)),*]);
            for target in TARGETS {
                let program = root().join("fuzz_targets").join(target.name).with_extension("rs");
                assert!(program.is_file(), "{}", program.display());
            }
        }
    };
}

targets! {
    http1_request
    http1_response
    http1_body
    http1_relay
    h2_server
    h2_client
    hpack
    detect
    proxy_protocol
    normalize
    hygiene
    yaml
    kubernetes
    gateway_api
    istio
    mesh_file
    open
    unit
    state
    discovery_client
    discovery_server
    spiffe_id
    certificate
    signing_request
    pem
    join_token
    dns
    trace_context
}

/// The folder of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs that are checked in, by name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    let inputs = inputs(name);
    for (file, bytes) in &inputs {
        let outcome = run(target, bytes, &|| format!("corpus/{name}/{file}"));
        match file.split('-').next() {
            Some("ok") => assert_eq!(outcome, Outcome::Accepted, "{name}/{file}"),
            Some("bad") => assert_eq!(outcome, Outcome::Refused, "{name}/{file}"),
            _ => {}
        }
    }
    let is_in = |prefix: &str| inputs.iter().any(|(file, _)| file.starts_with(prefix));
    assert!(is_in("ok-") && is_in("bad-"), "{name} has seeds that are accepted and seeds that are refused");

    let (seed, runs) = (setting("LENO_FUZZ_SEED", SEED), setting("LENO_FUZZ_RUNS", RUNS));
    println!("{name}: LENO_FUZZ_SEED={seed} LENO_FUZZ_RUNS={runs}");
    let seeds = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(seed, seeds, dictionary(name));
    let begun = Instant::now();
    let mut accepted = 0;
    for number in 0..runs {
        let input = mutator.next();
        let what = || format!("mutation {number} of LENO_FUZZ_SEED={seed}");
        accepted += u64::from(run(target, &input, &what) == Outcome::Accepted);
        if runs <= RUNS && begun.elapsed() > ENOUGH {
            println!("{name}: enough after {number} mutations");
            break;
        }
    }
    println!("{name}: {accepted} mutations accepted, {:?}", begun.elapsed());
}

/// Reads inputs made by grammar with hyper as well; see `leno_fuzz::differential`.
#[test]
fn differential() {
    let (seed, runs) = (setting("LENO_FUZZ_SEED", SEED), setting("LENO_FUZZ_RUNS", 10 * RUNS));
    println!("differential: LENO_FUZZ_SEED={seed} LENO_FUZZ_RUNS={runs}");
    let begun = Instant::now();
    let mut tally = Tally::default();
    for number in 0..runs {
        by_hyper(seed, number, &mut tally);
        if let Some(finding) = tally.findings.first() {
            println!("differential fails on mutation {number} of LENO_FUZZ_SEED={seed}:\n{finding}");
            panic!("hyper reads something else");
        }
        if runs <= 10 * RUNS && begun.elapsed() > 2 * ENOUGH {
            println!("differential: enough after {number} inputs");
            break;
        }
    }
    println!("differential: {} alike, {} sent on, {:?}", tally.alike, tally.sent_on, begun.elapsed());
    assert!(tally.alike > tally.known.values().sum(), "most messages are nothing to argue about");
}

/// What Envoy refuses, and we take for a reason: exactly that has one.
#[test]
fn zeros_are_no_length_where_there_is_no_body() {
    for (head, length, is_known) in [
        ("HTTP/1.1 204 No\r\n", "00", true),
        ("HTTP/1.1 103 Hints\r\n", "000", true),
        ("HTTP/1.1 204 No\r\n", "0", false),
        ("HTTP/1.1 205 Reset\r\n", "00", false),
    ] {
        let end = if head.contains("103") { "HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n" } else { "" };
        let input = format!("{head}content-length: {length}\r\n\r\n{end}");
        let (ours, _) = leno::response(input.as_bytes(), Asked::Get);
        assert_eq!(ours.messages.len(), 1, "{input:?}");
        let mut tally = Tally::default();
        tally.compare(Peer::Envoy, input.as_bytes(), &ours, &Reading::default());
        assert_eq!(
            (tally.known.len(), tally.findings.is_empty()),
            (usize::from(is_known), is_known),
            "{input:?}"
        );
    }
}

/// The page that tells how it compares has every difference that is meant.
#[test]
fn known_differences_are_on_the_page() {
    let page = fs::read_to_string(root().join("DIFFERENTIAL.md")).expect("the page is here");
    let (_, meant) = page.split_once("## Differences that are meant").expect("they have a chapter");
    let rows = meant.lines().filter(|line| line.starts_with("| "));
    let names: Vec<&str> =
        rows.filter_map(|row| row.split(" | ").next()?.strip_prefix("| ")).skip(1).collect();
    let known: Vec<&str> = leno_fuzz::differential::known::KNOWN.iter().map(|known| known.name).collect();
    assert_eq!(names, known, "write it by `cargo xtask fuzz --differential --write`");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn run(target: &Target, input: &[u8], what: &dyn Fn() -> String) -> Outcome {
    let mut failure = Failure { target, input, what, is_over: false };
    if std::env::var_os("LENO_FUZZ_KEEP").is_some() {
        failure.keep();
    }
    let outcome = (target.run)(input);
    failure.is_over = true;
    outcome
}

/// Tells which input it was when a target panics, and keeps it.
struct Failure<'a> {
    target: &'a Target,
    input: &'a [u8],
    what: &'a dyn Fn() -> String,
    is_over: bool,
}

impl Failure<'_> {
    fn keep(&self) -> PathBuf {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-failure", self.target.name));
        fs::write(&file, self.input).expect("a file below the target folder");
        file
    }
}

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        println!("{} fails on {}:\n{}", self.target.name, (self.what)(), self.input.escape_ascii());
        println!("the input is kept in {}", self.keep().display());
    }
}
