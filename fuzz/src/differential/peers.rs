//! What others make of the messages of `leno_testkit::smuggling`: the columns of `docs/reference/smuggling.md` about them.

use std::io;

use leno_testkit::smuggling::{ANSWERS, Case, REQUESTS};

use super::envoy::{AnswersThere, Envoy, RequestsThere};
use super::generate::Asked;
use super::hyper;
use super::message::{Message, Reading};

/// A line for each message, as `leno_testkit::smuggling::peers` reads it: group, message, hyper, Envoy.
///
/// # Errors
/// When Envoy can't be reached.
pub async fn lines(envoy: &Envoy) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (groups, is_request) in [(REQUESTS, true), (ANSWERS, false)] {
        for group in groups {
            for case in group.cases {
                let there = match is_request {
                    true => RequestsThere::reading(envoy, &case.bytes()).await?,
                    false => AnswersThere::reading(envoy, &case.bytes()).await?,
                };
                let here = hyper_reads(case, is_request);
                lines.push([group.title, case.what, &told(&here), &told(&there)].join("\t"));
            }
        }
    }
    Ok(lines)
}

fn hyper_reads(case: &Case, is_request: bool) -> Reading {
    if is_request { hyper::requests(&case.bytes()) } else { hyper::response(&case.bytes(), Asked::Get) }
}

/// What a peer takes, `METHOD TARGET BODY` or `STATUS BODY` each.
fn told(reading: &Reading) -> String {
    if reading.messages.is_empty() {
        return "refuses".to_owned();
    }
    let message = |message: &Message| {
        let target = if message.target.is_empty() { String::new() } else { format!(" {}", message.target) };
        let body = message.body.escape_ascii().to_string();
        let body = match body.split_once("GET /last-of-all") {
            Some((before, _)) => format!("{before} and whatever follows"),
            None => body,
        };
        format!("{}{target} {body}", message.first).trim_end().to_owned()
    };
    let taken: Vec<String> = reading.messages.iter().map(message).collect();
    format!("takes {}", taken.join(", then "))
}
