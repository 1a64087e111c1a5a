//! `cargo xtask release`: the binary that is given to others, optimized by a profile of itself.
//!
//! A first build counts what it runs, the benchmark lets it serve every kind of load for a minute, and a second build
//! knows from the counts what is worth inlining: fewer instructions for each request. Its functions lie in the order of
//! their counts, so that what runs often is together: fewer of the binary's pages in memory. What comes out does the
//! same as any other build.

mod order;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench,
    command::{cargo, output, succeed, target},
    output,
};

/// What is profiled first: all that the benchmark has but the emulator.
const LOAD: [&str; 8] = [
    "--contestants=leno",
    "--rounds=1",
    "--seconds=2",
    "--only=latency",
    "--only=throughput",
    "--only=memory",
    "--only=transfer",
    "--only=grpc",
];

/// What is profiled then: some of it through proxies that do everything they can to a request. What no profile has seen is
/// built to be small.
const EVERYTHING: [&str; 6] = [
    "--contestants=leno",
    "--rounds=1",
    "--seconds=2",
    "--only=latency",
    "--only=throughput",
    "--everything",
];

/// Lets LLVM solve for how often each block runs. What it does otherwise takes each loop to have one entry, and those in the
/// state machines that async functions become have several: it takes their hot paths for cold ones.
const FREQUENCIES: &str = "-Cllvm-args=-use-iterative-bfi-inference";

/// See the module.
pub(crate) fn run() -> Result<ExitCode> {
    bench::require_root("a release is profiled while it serves", "sudo -E cargo xtask release")?;
    let compiler = Compiler::ask()?;
    let profdata = compiler.profdata()?;
    let folder = target().join("profile");
    let counts = folder.join("counts");
    // Counts of another build would be merged with these, and cargo doesn't see that a profile has changed.
    let guided_build = folder.join("guided");
    for stale in [&counts, &guided_build] {
        if stale.exists() {
            fs::remove_dir_all(stale).with_context(|| format!("can't remove {}", stale.display()))?;
        }
    }

    output::line("release: building a binary that counts what it runs");
    bench::build("release")?;
    let counting = format!("-Cprofile-generate={}", counts.display());
    let counting = compiler.build(&folder.join("counting"), &counting, &[])?;

    output::line("release: counting under load");
    let place = folder.join("load");
    install(&counting, &place)?;
    let report = folder.join("load.json");
    for load in [&LOAD[..], &EVERYTHING] {
        succeed(bench::command(&place).arg("run").args(load).arg("--output").arg(&report))?;
    }
    let profile = folder.join("leno.profdata");
    succeed(Command::new(&profdata).args(["merge", "--output"]).arg(&profile).arg(&counts))?;

    output::line("release: building by these counts");
    let guided = format!("-Cprofile-use={}", profile.display());
    let shown = output(Command::new(&profdata).args(["show", "--all-functions", "--counts"]).arg(&profile))?;
    let order = folder.join("order");
    fs::write(&order, order::of(&shown)).with_context(|| format!("can't write {}", order.display()))?;
    let mut last = compiler.ordering(&order);
    last.push(FREQUENCIES.to_owned());
    let leno = compiler.build(&guided_build, &guided, &last)?;
    let dist = bench::dist();
    install(&leno, &dist)?;
    output::line(&format!("release: {}", dist.join("leno").display()));
    Ok(ExitCode::SUCCESS)
}

/// Puts `leno` into a folder, with what measures it.
fn install(leno: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let release = target().join("release");
    let others = ["leno-sample", "leno-bench"].map(|name| release.join(name));
    for from in others.iter().map(PathBuf::as_path).chain([leno]) {
        let to = folder.join(from.file_name().unwrap_or_default());
        // A copy onto a running program fails, a new file doesn't.
        let _none = fs::remove_file(&to);
        fs::copy(from, &to).with_context(|| format!("can't copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// What `rustc -vV` says.
struct Compiler {
    host: String,
    llvm: String,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        Self::read(&output(Command::new(rustc).arg("-vV"))?).context("rustc doesn't say what it is")
    }

    fn read(text: &str) -> Option<Self> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        let llvm = field("LLVM version: ")?.split('.').next()?;
        Some(Self { host: field("host: ")?.to_owned(), llvm: llvm.to_owned() })
    }

    /// LLVM's tool that merges counts, of the version that the compiler has.
    fn profdata(&self) -> Result<String> {
        let names = [format!("llvm-profdata-{}", self.llvm), "llvm-profdata".to_owned()];
        let wanted = format!("LLVM version {}.", self.llvm);
        let is_it = |name: &String| {
            let said = output(Command::new(name).arg("--version"));
            said.is_ok_and(|said| said.contains(&wanted))
        };
        match names.into_iter().find(is_it) {
            Some(name) => Ok(name),
            None => bail!(
                "a release takes llvm-profdata of LLVM {0}: install the package llvm-{0}, or rustup's component llvm-tools",
                self.llvm
            ),
        }
    }

    /// What tells the linker the order of functions. It has to be lld, which this target has by default.
    fn ordering(&self, order: &Path) -> Vec<String> {
        if self.host != "x86_64-unknown-linux-gnu" {
            return Vec::new();
        }
        let file = format!("-Clink-arg=-Wl,--symbol-ordering-file={}", order.display());
        // What was inlined everywhere is in the list, and not in the binary.
        vec![file, "-Clink-arg=-Wl,--no-warn-symbol-ordering".to_owned()]
    }

    /// Builds `leno` with flags of its own, and others for the last step, in which all crates are optimized together and linked;
    /// says where it is. The target is named so that the flags don't reach what runs while it is built. All else is the same
    /// for both builds: counts are found by symbols, which depend on it.
    fn build(&self, folder: &Path, flags: &str, last: &[String]) -> Result<PathBuf> {
        let mut build = cargo(&["rustc", "--release", "--package", "leno", "--bin", "leno"]);
        build.args(["--target", &self.host]).arg("--target-dir").arg(folder).arg("--").args(last);
        succeed(build.env("RUSTFLAGS", flags))?;
        Ok(folder.join(&self.host).join("release/leno"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_read() {
        let text = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let compiler = Compiler::read(text).expect("complete");
        assert_eq!((compiler.host.as_str(), compiler.llvm.as_str()), ("x86_64-unknown-linux-gnu", "22"));
        assert!(Compiler::read("rustc 1.95.0\n").is_none());
    }
}
