//! Conformance of HTTP/2: raw bytes on one side, the public API on the other, for both roles.
//!
//! The cases follow RFC 9113, RFC 7541, RFC 8441 and the attacks that are known. They know nothing of the codec and use
//! none but the small one in `wire` and `hpack`. The clock is paused: silence is told from waiting without luck.
//! Where the RFC lets an endpoint choose (a stream error may always be a connection error, RFC 9113 §5.4.1), either
//! is accepted, unless one client's mistake would cost other clients of a shared connection their requests.

mod answers;
mod blocks;
mod client;
mod client_endings;
mod client_heads;
mod client_limits;
mod client_streams;
mod endings;
mod floods;
mod framing;
mod hpack;
mod mutations;
mod requests;
mod server;
mod settings;
mod streams;
mod targets;
mod windows;
mod wire;

use std::sync::mpsc;
use std::time::Duration;

/// More than any test takes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a test with a paused clock in a thread of its own, so that even one that spins ends.
fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, ended) = mpsc::sync_channel(1);
    let tested = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, Box::pin(test()));
        done.send(()).expect("waiting");
    });
    let is_late = ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
    assert!(!is_late, "it doesn't end");
    tested.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Makes a test of each case: `name: steps => expectation;`. The first argument runs one.
macro_rules! cases {
    ($check:path; $($(#[$meta:meta])* $name:ident: $steps:expr => $expect:expr;)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                $check(|| $steps.into(), $expect);
            }
        )*
    };
}
use cases;

/// What one end writes: each step is followed by silence.
struct Steps(Vec<Vec<u8>>);

/// All at once.
impl From<Vec<u8>> for Steps {
    fn from(bytes: Vec<u8>) -> Self {
        Self(vec![bytes])
    }
}

impl<const N: usize> From<[Vec<u8>; N]> for Steps {
    fn from(frames: [Vec<u8>; N]) -> Self {
        Self(vec![frames.concat()])
    }
}

/// One after the other, with silence between.
fn in_turn<const N: usize>(steps: [Vec<u8>; N]) -> Steps {
    Steps(steps.into())
}
