//! `fuzz/DIFFERENTIAL.md`.

use std::fmt::Write as _;

use super::Tally;
use super::known::{KNOWN, Peer};

const OPENING: &str = "# The same bytes, read by others

Written by `cargo xtask fuzz --differential --write`, after a run without findings.

Inputs are made by a grammar of HTTP/1 that chooses at each place between what is right, what is legal and rare, and what is
wrong (`src/differential/generate/`). A third of them are wrong at places of one kind only, and often there: first lines, line
ends, hosts, framing, fields, or chunks. Of the others half are damaged as well. Each follows from its number and a seed. Two of
three are what a client sends, one to three requests with their bodies; the others are a server's answers to GET and HEAD.

Every input is read by the proxy's own codec, whole connections and not only heads, and by a peer: hyper in the same process,
and Envoy, as it comes, between sockets. What counts is meaning: method, target, host, end-to-end fields, body, trailers, and
so where one message ends and the next begins. What we accept is also written by the codec that writes to upstreams (answers:
to clients) and read by the peer once more.

| difference | verdict |
|---|---|
| both take a message, and not the same | finding |
| we take what the peer refuses | finding, unless the message has a property that is listed below |
| we refuse what the peer takes | finding, unless the rule that we refuse by is listed below for this peer |
| the peer reads what we sent as something else, as several messages, or refuses it | finding, with the same exceptions |

Each input of a client goes to Envoy on a connection of its own, and each answer of a server comes on one of its own; hundreds
are under way at once, over Unix sockets. Whether Envoy waits for more is told by a request behind each input that all know.
Where we wait as well, or have refused by a rule that is listed below, nothing but more requests could be a finding, and Envoy
gets its turn to take them: nine requests go through it to the application and back meanwhile, one after the other. It has one
thread, and takes what is there in the order in which it came. Everywhere else it may take half a minute. Where it seems to differ
it is asked again, with all that patience.

`cargo xtask fuzz --planted differential` puts bugs back on purpose and fails where it overlooks one.
";

/// The page, with what a run has counted.
#[must_use]
pub fn written(seed: u64, hyper: (u64, &Tally), envoy: (u64, &Tally)) -> String {
    let mut page = OPENING.to_owned();
    let _infallible = write!(
        page,
        "\n## The last run\n\nSeed {seed}. hyper: {} inputs, {} messages read alike, {} alike as we send them on. Envoy: {} inputs, {} \
         messages read alike, {} alike as we send them on. Findings: none.\n\n## Differences that are meant\n\n\
         | difference | hyper | Envoy | why |\n|---|---|---|---|\n",
        hyper.0, hyper.1.alike, hyper.1.sent_on, envoy.0, envoy.1.alike, envoy.1.sent_on
    );
    for known in KNOWN {
        let count = |peer: Peer, tally: &Tally| match tally.known.get(known.name) {
            Some(count) => count.to_string(),
            None if known.peers.contains(&peer) => "0".to_owned(),
            None => String::new(),
        };
        let (hyper, envoy) = (count(Peer::Hyper, hyper.1), count(Peer::Envoy, envoy.1));
        let _infallible =
            writeln!(page, "| {} | {hyper} | {envoy} | {} |", known.name, known.why.replace('|', "\\|"));
    }
    page
}
