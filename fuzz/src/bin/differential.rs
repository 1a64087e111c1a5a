//! `cargo xtask fuzz --differential`: lets hyper and Envoy read what we read, for as many inputs as one likes.

#![allow(clippy::print_stdout, reason = "this is a program that people run")]

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use leno_fuzz::differential::envoy::{AnswersThere, Envoy, RequestsThere};
use leno_fuzz::differential::generate::Generator;
use leno_fuzz::differential::message::Message;
use leno_fuzz::differential::{Tally, by_hyper, page};
use leno_testkit::programs;
use tokio::task::{JoinSet, LocalSet};

const USAGE: &str = "\
Usage: cargo xtask fuzz --differential [OPTIONS]

  --inputs N    inputs that hyper reads as well (200000)
  --envoy N     inputs that Envoy reads as well (0)
  --minutes N   no more inputs for Envoy after so long (a day); the rest isn't counted
  --seed N      another set of inputs (7855)
  --from N      begin at this input (0), to repeat one
  --threads N   threads that hyper's inputs are shared among (2)
  --write       write fuzz/DIFFERENTIAL.md, if there is no finding
";

/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(30);

/// Inputs that are under way to Envoy at once.
const AT_ONCE: usize = 256;

/// Messages that go to Envoy on one connection as we send them on.
const BATCH: usize = 24;

/// Findings that are shown.
const SHOWN: usize = 50;

struct Options {
    inputs: u64,
    envoy: u64,
    minutes: u64,
    seed: u64,
    from: u64,
    threads: u64,
    writes: bool,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        println!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let hyper = with_hyper(&options);
    println!("hyper: {} inputs{}", options.inputs, told(&hyper));
    let (there, envoy) = match with_envoy(&options) {
        Ok(envoy) => envoy,
        Err(error) => {
            println!("Envoy: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("Envoy: {there} inputs{}", told(&envoy));
    let count = hyper.findings.len() + envoy.findings.len();
    println!("{count} findings");
    if count > 0 {
        return ExitCode::FAILURE;
    }
    if options.writes {
        let page = page::written(options.seed, (options.inputs, &hyper), (there, &envoy));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("DIFFERENTIAL.md");
        if let Err(error) = std::fs::write(&file, page) {
            println!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options =
        Options { inputs: 200_000, envoy: 0, minutes: 1_440, seed: 7855, from: 0, threads: 2, writes: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--inputs" => &mut options.inputs,
            "--envoy" => &mut options.envoy,
            "--minutes" => &mut options.minutes,
            "--seed" => &mut options.seed,
            "--from" => &mut options.from,
            "--threads" => &mut options.threads,
            "--write" => {
                options.writes = true;
                continue;
            }
            _ => return None,
        };
        *place = words.next()?.parse().ok()?;
    }
    Some(options)
}

fn told(tally: &Tally) -> String {
    let mut text = format!(", {} messages read alike, {} as we send them on\n", tally.alike, tally.sent_on);
    for (name, count) in &tally.known {
        text.push_str(&format!("  {count:>10}  {name}\n"));
    }
    text.push_str(&format!("  {:>10}  findings", tally.findings.len()));
    text
}

/// Inputs are handed out in steps, so that threads end together.
const STEP: u64 = 1_000;

fn with_hyper(options: &Options) -> Tally {
    let (next, all) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let begun = Instant::now();
    let told = Mutex::new(begun);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let step = next.fetch_add(STEP, Ordering::Relaxed);
            if step >= options.inputs {
                break;
            }
            for number in step..options.inputs.min(step + STEP) {
                by_hyper(options.seed, options.from + number, &mut tally);
            }
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() > TELL {
                *told = Instant::now();
                println!("hyper: {step} inputs in {} s", begun.elapsed().as_secs());
            }
        }
        add(&mut all.lock().unwrap_or_else(PoisonError::into_inner), tally);
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Adds what was found, and shows the first findings at once: a long run may be ended before its end.
fn add(tally: &mut Tally, found: Tally) {
    for finding in found.findings.iter().take(SHOWN.saturating_sub(tally.findings.len())) {
        println!("FINDING {finding}");
    }
    tally.add(found);
}

/// So many inputs, and what came of them.
fn with_envoy(options: &Options) -> Result<(u64, Tally), Box<dyn std::error::Error>> {
    if options.envoy == 0 {
        return Ok((0, Tally::default()));
    }
    let program = programs::envoy()?;
    let folder = programs::target().join("tmp/differential-envoy");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let envoy = Rc::new(Envoy::start(&program, folder).await?);
        let (mut tally, mut tasks, mut sent) = (Tally::default(), JoinSet::new(), Vec::new());
        let (begun, mut told, mut number) = (Instant::now(), Instant::now(), 0);
        let enough = Duration::from_secs(60 * options.minutes);
        loop {
            if number < options.envoy && tasks.len() < AT_ONCE && begun.elapsed() < enough {
                let (envoy, seed, input) = (Rc::clone(&envoy), options.seed, options.from + number);
                tasks.spawn_local(async move { one(&envoy, seed, input).await });
                number += 1;
                continue;
            }
            let Some(done) = tasks.join_next().await else { break };
            let (found, own) = done??;
            add(&mut tally, found);
            sent.extend(own);
            if sent.len() >= BATCH {
                let (envoy, batch) = (Rc::clone(&envoy), std::mem::take(&mut sent));
                tasks.spawn_local(async move { Ok((sent_on(&envoy, &batch).await?, Vec::new())) });
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                println!(
                    "Envoy: {number} inputs in {} s, {} findings",
                    begun.elapsed().as_secs(),
                    tally.findings.len()
                );
            }
        }
        for batch in sent.chunks(BATCH) {
            add(&mut tally, sent_on(&envoy, batch).await?);
        }
        Ok((number, tally))
    })
}

/// What we send on.
type Own = (Message, Vec<u8>);

async fn sent_on(envoy: &Envoy, batch: &[Own]) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    RequestsThere::compare_sent(envoy, batch, &mut tally).await?;
    Ok(tally)
}

/// One input by its number.
async fn one(envoy: &Envoy, seed: u64, number: u64) -> std::io::Result<(Tally, Vec<Own>)> {
    let (mut tally, mut generator) = (Tally::default(), Generator::new(seed, number));
    if number % 3 == 2 {
        let (input, asked) = generator.responses();
        AnswersThere::compare(envoy, number, &input, asked, &mut tally).await?;
        tally.is_of(number);
        return Ok((tally, Vec::new()));
    }
    let sent = RequestsThere::compare(envoy, &generator.requests(), &mut tally).await?;
    tally.is_of(number);
    Ok((tally, sent))
}
