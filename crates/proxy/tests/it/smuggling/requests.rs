//! From a client to an application.

use std::net::IpAddr;

use leno_testkit::smuggling::{Case, Fate, REQUESTS, STREAMS, peers};

use super::Faults;
use super::apps::{self, Recorder};
use super::clients::{Got, Http1, ask2, http2 as send2};
use super::legs::{self, Leg, Version};
use super::page::{Page, Row, shown};
use crate::app::serving;
use crate::world::SOON;
use tokio::time::timeout;

const COLUMNS: [&str; 5] = ["what", "sent", "rule", "the client gets", "the application sees"];

/// Every way for clients of one version, and what its application gets.
async fn ways(client: Version) -> Vec<(Leg, Recorder)> {
    let recorders = std::cell::RefCell::new(Vec::new());
    let application = async |version: Version, ip: IpAddr| {
        let recorder = Recorder::default();
        recorders.borrow_mut().push(recorder.clone());
        match version {
            Version::Http1 => serving(ip, move |stream| apps::http1(stream, recorder.clone())).await,
            Version::Http2 => serving(ip, move |stream| apps::http2(stream, recorder.clone())).await,
        }
    };
    let legs = legs::all(application, &[client]).await;
    legs.into_iter().zip(recorders.into_inner()).collect()
}

/// Asks for something else, and gets it.
async fn is_served(leg: &Leg) -> bool {
    let got = match leg.client {
        Version::Http1 => {
            let mut client = Http1::connect(leg.address).await;
            client.send(b"GET /good HTTP/1.1\r\nhost: a\r\n\r\n").await;
            client.read(1, false).await
        }
        Version::Http2 => ask2(leg.address, "GET", "/good").await,
    };
    got.answers.iter().map(|answer| (answer.status, answer.body.as_str())).eq([(200, "/good")])
}

/// What is wrong with what came of a message.
async fn judge(leg: &Leg, recorder: &Recorder, fate: Fate, got: &Got) -> Option<String> {
    let is_served = is_served(leg).await;
    let seen = recorder.take();
    let answers = || got.answers.iter().map(|answer| (answer.status, answer.body.as_str()));
    let is_refusal = match got.answers.as_slice() {
        [answer] => (400..500).contains(&answer.status) && answer.is_whole,
        [] => got.reset.is_some(),
        _ => false,
    };
    let is_odd = |text: &str| text.contains("odd") || text.contains("smuggled");
    let is_right = match fate {
        Fate::Refused => {
            let closed = leg.client == Version::Http2 || got.is_closed;
            is_refusal && closed && !is_odd(&seen.begun) && seen.whole == ["GET /good "]
        }
        Fate::Cut => {
            !seen.whole.iter().any(|request| is_odd(request)) && !answers().any(|(status, _)| status == 200)
        }
        Fate::Passed(wanted) => {
            let targets = wanted.iter().map(|request| request.split(' ').nth(1).unwrap());
            let expected = wanted.iter().chain(&["GET /good "]);
            answers().eq(targets.map(|target| (200, target))) && seen.whole.iter().eq(expected)
        }
    };
    (!is_right || !is_served || got.is_stuck)
        .then(|| format!("{got:?} and {seen:?}, then served: {is_served}"))
}

/// What the application sees, for people to read.
fn seen(fate: Fate) -> String {
    match fate {
        Fate::Refused => String::new(),
        Fate::Cut => "a request without its end".to_owned(),
        Fate::Passed(requests) => {
            let shown = requests.iter().map(|request| request.escape_debug().to_string());
            shown.collect::<Vec<_>>().join("\n")
        }
    }
}

async fn exchange(leg: &Leg, case: &Case) -> Got {
    let mut client = Http1::connect(leg.address).await;
    client.send(&case.bytes()).await;
    let wanted = match case.fate {
        Fate::Passed(requests) => requests.len(),
        Fate::Refused | Fate::Cut => usize::MAX,
    };
    client.read(wanted, false).await
}

/// What all ways tell of one message.
struct Told<'f> {
    what: String,
    answers: Vec<String>,
    faults: &'f mut Faults,
}

impl<'f> Told<'f> {
    fn of(what: String, faults: &'f mut Faults) -> Self {
        Self { what, answers: Vec::new(), faults }
    }

    async fn judge(&mut self, (leg, recorder): &(Leg, Recorder), fate: Fate, got: &Got) {
        if let Some(fault) = judge(leg, recorder, fate, got).await {
            self.faults.push(format!("{}: {}: {fault}", self.what, leg.name));
        }
        self.answers.push(if let Fate::Passed(_) = fate { "200".to_owned() } else { got.told() });
    }

    /// The one answer that all give.
    fn answer(mut self) -> String {
        self.answers.dedup();
        if self.answers.len() > 1 {
            self.faults.push(format!("{}: the ways differ: {:?}", self.what, self.answers));
        }
        self.answers.pop().unwrap_or_default()
    }
}

pub(super) async fn http1(page: &mut Page, faults: &mut Faults) {
    let ways = ways(Version::Http1).await;
    page.section("Requests over HTTP/1");
    for group in REQUESTS {
        let mut rows = Vec::new();
        for case in group.cases {
            let mut told = Told::of(format!("{}: {}", group.title, case.what), faults);
            for way in &ways {
                if case.http1_only && way.0.application == Version::Http2 {
                    continue;
                }
                told.judge(way, case.fate, &exchange(&way.0, case).await).await;
            }
            let (what, rule, sent) = (case.what, case.rule, shown(case.sent));
            rows.push(Row {
                what,
                sent,
                rule,
                answer: told.answer(),
                seen: seen(case.fate),
                peers: peers(group.title, case.what),
            });
        }
        page.table(group.title, COLUMNS, &rows);
    }
}

pub(super) async fn http2(page: &mut Page, faults: &mut Faults) {
    let ways = ways(Version::Http2).await;
    page.section("Requests over HTTP/2");
    let mut rows = Vec::new();
    for stream in STREAMS {
        let mut told = Told::of(stream.what.to_owned(), faults);
        for way in &ways {
            told.judge(way, stream.fate, &send2(way.0.address, stream).await).await;
        }
        let (what, rule, sent) = (stream.what, stream.rule, stream.shown());
        rows.push(Row { what, sent, rule, answer: told.answer(), seen: seen(stream.fate), peers: None });
    }
    page.table("", COLUMNS, &rows);
}

/// Bodies whose faults come once the head has gone on.
pub(super) async fn late(page: &mut Page, faults: &mut Faults) {
    let ways = ways(Version::Http1).await;
    page.section("Faults of requests that come late");
    let mut rows = Vec::new();
    let bodies = REQUESTS.iter().filter(|group| matches!(group.title, "Chunks" | "Trailers"));
    for case in bodies.flat_map(|group| group.cases).filter(|case| case.fate == Fate::Refused) {
        let mut told = Told::of(format!("{} (late)", case.what), faults);
        for way in &ways {
            told.judge(way, Fate::Cut, &exchange_late(way, case).await).await;
        }
        let (what, rule, sent) = (case.what, case.rule, shown(case.sent));
        rows.push(Row { what, sent, rule, answer: told.answer(), seen: seen(Fate::Cut), peers: None });
    }
    page.table("", COLUMNS, &rows);
}

/// Sends the body once the application has seen the head.
async fn exchange_late((leg, recorder): &(Leg, Recorder), case: &Case) -> Got {
    let bytes = case.bytes();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut client = Http1::connect(leg.address).await;
    client.send(&bytes[..head]).await;
    if timeout(SOON, recorder.sees("odd")).await.is_err() {
        return Got { is_stuck: true, ..Got::default() };
    }
    client.send(&bytes[head..]).await;
    client.read(usize::MAX, false).await
}
