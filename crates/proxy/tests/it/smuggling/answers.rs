//! From an application to a client.

use std::net::IpAddr;

use leno_testkit::smuggling::{ANSWERS, Case, Fate, ODD_STREAM_ANSWERS, peers};

use super::Faults;
use super::apps::{self, Next, Script};
use super::clients::{Got, Http1, ask2, message_frames};
use super::legs::{self, Leg, Version};
use super::page::{Page, Row, shown};
use crate::app::serving;

const COLUMNS: [&str; 5] =
    ["what", "the application answers", "rule", "the client gets", "the application's connection"];

/// Every way to applications of one version, and what those are told.
async fn ways(application: Version) -> Vec<(Leg, Script)> {
    let scripts = std::cell::RefCell::new(Vec::new());
    let start = async |version: Version, ip: IpAddr| {
        let script = Script::new();
        scripts.borrow_mut().push(script.clone());
        match version {
            Version::Http1 => serving(ip, move |stream| apps::scripted1(stream, script.clone())).await,
            Version::Http2 => serving(ip, move |stream| apps::scripted2(stream, script.clone())).await,
        }
    };
    let legs = legs::all(start, &[Version::Http1, Version::Http2]).await;
    let ways = legs.into_iter().zip(scripts.into_inner());
    ways.filter(|(leg, _)| leg.application == application).collect()
}

async fn ask(leg: &Leg, method: &str) -> Got {
    match leg.client {
        Version::Http1 => {
            let mut client = Http1::connect(leg.address).await;
            client.send(format!("{method} /asked HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
            client.read(1, method == "HEAD").await
        }
        Version::Http2 => ask2(leg.address, method, "/asked").await,
    }
}

/// What is wrong with what came of an answer.
async fn judge(leg: &Leg, script: &Script, fate: Fate, got: &Got) -> Option<String> {
    let before = script.reused();
    let good = ask(leg, "GET").await;
    let is_good = |got: &Got| matches!(got.answers.as_slice(), [answer] if (answer.status, answer.body.as_str()) == (200, "good"));
    let raw = String::from_utf8_lossy(&got.raw).to_lowercase();
    let is_right = match fate {
        Fate::Refused => {
            matches!(got.answers.as_slice(), [answer] if answer.status == 502 && answer.is_whole)
                && !raw.contains("odd")
                && !raw.contains("smuggled")
        }
        Fate::Cut => got.answers.iter().all(|answer| !answer.is_whole || answer.status == 502),
        Fate::Passed(wanted) => {
            let told = got.answers.iter().map(|answer| format!("{} {}", answer.status, answer.body));
            told.eq(wanted.iter().copied()) && !raw.contains("smuggled")
        }
    };
    // An answer that is as it should be may be followed by others; nobody here asks again after one that isn't.
    let is_reused = script.reused() > before && fate == Fate::Refused;
    let is_right = is_right && !is_reused && !got.is_stuck && is_good(&good);
    (!is_right).then(|| format!("{got:?} {raw:?}, reused: {is_reused}, then {good:?}"))
}

/// What all ways tell of one answer.
struct Told<'f> {
    what: String,
    answers: Vec<String>,
    faults: &'f mut Faults,
}

impl<'f> Told<'f> {
    fn of(what: String, faults: &'f mut Faults) -> Self {
        Self { what, answers: Vec::new(), faults }
    }

    async fn judge(&mut self, (leg, script): &(Leg, Script), fate: Fate, got: &Got) {
        if let Some(fault) = judge(leg, script, fate, got).await {
            self.faults.push(format!("{}: {}: {fault}", self.what, leg.name));
        }
        self.answers.push(match fate {
            // HTTP/1 closes, HTTP/2 resets.
            Fate::Cut => "an answer without its end".to_owned(),
            Fate::Refused | Fate::Passed(_) => got.told(),
        });
    }

    fn answer(mut self) -> String {
        self.answers.dedup();
        if self.answers.len() > 1 {
            self.faults.push(format!("{}: the ways differ: {:?}", self.what, self.answers));
        }
        self.answers.pop().unwrap_or_default()
    }
}

fn connection(fate: Fate, is_http2: bool) -> String {
    match (fate, is_http2) {
        (Fate::Passed(_), _) => String::new(),
        (_, false) => "closed".to_owned(),
        (_, true) => "stream reset".to_owned(),
    }
}

pub(super) async fn http1(page: &mut Page, faults: &mut Faults) {
    let ways = ways(Version::Http1).await;
    page.section("Answers over HTTP/1");
    for group in ANSWERS {
        let mut rows = Vec::new();
        for case in group.cases {
            let mut told = Told::of(format!("{}: {}", group.title, case.what), faults);
            for way in &ways {
                way.1.set(Next::Bytes(case.bytes()));
                told.judge(way, case.fate, &ask(&way.0, "GET").await).await;
            }
            rows.push(Row { peers: peers(group.title, case.what), ..row(case, told.answer(), case.fate) });
        }
        page.table(group.title, COLUMNS, &rows);
    }
    head(page, faults, &ways).await;
}

fn row(case: &'static Case, answer: String, fate: Fate) -> Row {
    Row {
        what: case.what,
        sent: shown(case.sent),
        rule: case.rule,
        answer,
        seen: connection(fate, false),
        peers: None,
    }
}

/// Answers to HEAD.
async fn head(page: &mut Page, faults: &mut Faults, ways: &[(Leg, Script)]) {
    const CASES: [(&str, &[u8]); 2] = [
        ("a length, which is that of GET's answer", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
        (
            "a body that is another answer",
            b"HTTP/1.1 200 OK\r\ncontent-length: 45\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
        ),
    ];
    let mut rows = Vec::new();
    for (what, answer) in CASES {
        let mut told = Told::of(format!("HEAD: {what}"), faults);
        for way in ways {
            way.1.set(Next::Bytes(answer.to_vec()));
            told.judge(way, Fate::Passed(&["200 "]), &ask(&way.0, "HEAD").await).await;
        }
        rows.push(Row {
            what,
            sent: shown(answer),
            rule: "RFC 9112 §6.3",
            answer: told.answer(),
            seen: String::new(),
            peers: None,
        });
    }
    page.table("Answers to HEAD", COLUMNS, &rows);
}

/// Bodies whose faults come once the head has gone on.
pub(super) async fn late(page: &mut Page, faults: &mut Faults) {
    let ways: Vec<_> = ways(Version::Http1).await;
    page.section("Faults of answers that come late");
    let mut rows = Vec::new();
    let bodies = ANSWERS.iter().filter(|group| group.title == "Chunks and trailers");
    for case in bodies.flat_map(|group| group.cases).filter(|case| case.fate == Fate::Refused) {
        let mut told = Told::of(format!("{} (late)", case.what), faults);
        for way in ways.iter().filter(|(leg, _)| leg.client == Version::Http1) {
            let bytes = case.bytes();
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            way.1.set(Next::InPieces(bytes[..head].to_vec(), bytes[head..].to_vec()));
            let mut client = Http1::connect(way.0.address).await;
            client.send(b"GET /asked HTTP/1.1\r\nhost: a\r\n\r\n").await;
            client.first().await;
            way.1.1.notify_one();
            told.judge(way, Fate::Cut, &client.read(1, false).await).await;
        }
        rows.push(row(case, told.answer(), Fate::Cut));
    }
    page.table("", COLUMNS, &rows);
}

pub(super) async fn http2(page: &mut Page, faults: &mut Faults) {
    let ways = ways(Version::Http2).await;
    page.section("Answers over HTTP/2");
    let mut rows = Vec::new();
    for answer in ODD_STREAM_ANSWERS {
        let mut told = Told::of(answer.what.to_owned(), faults);
        for way in &ways {
            way.1.set(Next::Frames(message_frames(answer, 0)));
            told.judge(way, answer.fate, &ask(&way.0, "GET").await).await;
        }
        let (what, rule, sent) = (answer.what, answer.rule, answer.shown());
        let seen = connection(answer.fate, true);
        rows.push(Row { what, sent, rule, answer: told.answer(), seen, peers: None });
    }
    page.table("", COLUMNS, &rows);
}
