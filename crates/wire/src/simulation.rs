//! Both machines against each other, under everything that can happen to them: changes, lost connections, slow and
//! refusing proxies, questions that come and go. Whatever the order, the proxy ends up with exactly what the newest
//! catalog says, and on the way the two sides never disagree about what it has. Every run is its seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_model::unit::{Answer, Question};
use prost::Message;

use crate::client::machine::{Action, Event, Machine};
use crate::client::{AskError, Update, Waiter};
use crate::key::{Key, Kind};
use crate::limits;
use crate::malformed::Rejection;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::server::Catalog;
use crate::server::session::{self, Session};
use crate::state::State;
use crate::unit::Unit;
use crate::version::Version;

pub(crate) mod world;

use world::{World, client, question};

/// Prints the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the failing seed is {}", self.0);
        }
    }
}

/// What may happen in a run.
#[derive(Clone, Copy)]
struct Faults {
    disconnects: bool,
    rejections: bool,
    /// Messages are damaged on their way, so the two sides may take them for something else.
    damage: bool,
}

/// Nothing goes wrong.
const NONE: Faults = Faults { disconnects: false, rejections: false, damage: false };

struct Run {
    random: fastrand::Rng,
    faults: Faults,
    now: Instant,
    world: World,
    catalog: Arc<dyn Catalog>,
    machine: Machine,
    /// A session with what is under way in both directions, while a stream is open.
    stream: Option<Stream>,
    /// The update that the proxy is taking into effect.
    update: Option<Update>,
    /// What the proxy has in effect, from updates alone.
    proxy: BTreeMap<Key, Unit>,
    waiting: BTreeMap<Waiter, Question>,
    next_waiter: u64,
    applied: usize,
    acked: usize,
    /// Changes that the proxy refused on this stream and that must not come again, since nothing happened to them.
    refused: BTreeMap<Key, Option<Version>>,
    /// What was last sent of each.
    sent: BTreeMap<Key, Option<Version>>,
    seen: Seen,
}

/// What has happened in a run, to be sure that the runs are worth something.
#[derive(Clone, Copy, Default)]
struct Seen {
    refusals: usize,
    /// Streams opened while an update was with the proxy.
    late_openings: usize,
    replies: usize,
}

struct Stream {
    session: Session,
    up: VecDeque<DeltaDiscoveryRequest>,
    down: VecDeque<DeltaDiscoveryResponse>,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new(&mut random);
        let now = Instant::now();
        let (machine, actions) = Machine::new(client().subject, "1".into(), None, now);
        assert!(actions.is_empty());
        Self {
            catalog: world.catalog(),
            random,
            faults,
            now,
            world,
            machine,
            stream: None,
            update: None,
            proxy: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_waiter: 0,
            applied: 0,
            acked: 0,
            refused: BTreeMap::new(),
            sent: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    fn step(&mut self) {
        match self.random.u32(0..1_000) {
            0..40 => self.change(),
            40..240 => self.send_up(),
            240..440 => self.send_down(),
            440..610 => self.deliver_up(),
            610..780 => self.deliver_down(),
            780..860 => self.proxy_answers(),
            860..930 => self.ask(),
            930..950 => {
                let question = question(&mut self.random);
                self.event(Event::Forget(question));
            }
            950..965 => {
                self.now += Duration::from_secs(self.random.u64(0..40));
                self.event(Event::Tick);
            }
            _ if self.stream.is_none() => self.connect(),
            965..970 if self.faults.disconnects => self.disconnect(),
            _ => {}
        }
    }

    fn change(&mut self) {
        self.world.change(&mut self.random);
        self.catalog = self.world.catalog();
        self.refused.clear();
        if let Some(stream) = &mut self.stream {
            assert_eq!(stream.session.handle(session::Event::Changed), []);
        }
    }

    fn connect(&mut self) {
        let session = Session::new(client());
        self.refused.clear();
        self.seen.late_openings += usize::from(self.update.is_some());
        self.stream = Some(Stream { session, up: VecDeque::new(), down: VecDeque::new() });
        self.event(Event::Connected);
    }

    fn disconnect(&mut self) {
        self.stream = None;
        self.event(Event::Disconnected);
    }

    fn send_up(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if stream.up.len() < 2 {
            assert_eq!(self.machine.has_request(), {
                let request = self.machine.next_request();
                stream.up.extend(request.clone());
                request.is_some()
            });
        }
    }

    fn send_down(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if stream.down.len() < 2 {
            let (response, actions) = stream.session.next_response(&*self.catalog);
            stream.down.extend(response.clone());
            self.check_refused(response);
            self.server_actions(actions, false);
        }
    }

    fn deliver_up(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if let Some(request) = stream.up.pop_front() {
            if request.type_url == Kind::Answer.type_url() {
                // What was not needed for a while may be tried again.
                self.refused.clear();
            }
            let actions = stream.session.handle(session::Event::Request(request));
            self.server_actions(actions, true);
        }
    }

    fn deliver_down(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if let Some(response) = stream.down.pop_front() {
            self.event(Event::Response(response));
        }
    }

    fn server_actions(&mut self, actions: Vec<session::Action>, by_client: bool) {
        for action in actions {
            match action {
                session::Action::Acked(_) => {
                    self.acked += usize::from(by_client);
                    let stream = self.stream.as_ref().unwrap();
                    if !self.faults.damage {
                        assert_eq!(stream.session.held(), versions(&self.machine.state()));
                    }
                }
                session::Action::Refused(_, rejections) => {
                    self.seen.refusals += 1;
                    for rejection in rejections {
                        let version = self.sent.get(&rejection.key).copied().unwrap();
                        self.refused.insert(rejection.key, version);
                    }
                }
                session::Action::Close(_) if self.faults.damage => self.disconnect(),
                session::Action::Close(error) => panic!("the server gave up: {error}"),
            }
        }
    }

    /// What was refused isn't sent again for no reason.
    fn check_refused(&mut self, response: Option<DeltaDiscoveryResponse>) {
        let Some(response) = response else { return };
        let Some(kind) = Kind::from_type_url(&response.type_url) else { return };
        let set = response.resources.iter().map(|r| (&r.name, Some(r.version.parse().unwrap())));
        let removed = response.removed_resources.iter().map(|name| (name, None));
        for (name, version) in set.chain(removed) {
            let key = Key::parse(kind, name).unwrap();
            assert_ne!(self.refused.remove(&key), Some(version), "{key} again");
            self.sent.insert(key, version);
        }
    }

    fn proxy_answers(&mut self) {
        let Some(update) = self.update.take() else { return };
        let keys = update.changed.iter().map(Unit::key).chain(update.removed.iter().cloned());
        let answers = update.answers.iter().map(|(question, _)| Key::Answer(question.clone()));
        let mut keys: Vec<Key> = keys.chain(answers).collect();
        self.random.shuffle(&mut keys);
        match self.random.u32(0..20) {
            0 if self.faults.disconnects => self.event(Event::Abandoned),
            0..4 if self.faults.rejections => {
                keys.truncate(self.random.usize(1..4));
                let refuse = |key| Rejection { key, reason: "not today".into() };
                self.event(Event::Rejected(keys.into_iter().map(refuse).collect()));
            }
            _ => {
                self.applied += 1;
                self.proxy.extend(update.changed.into_iter().map(|unit| (unit.key(), unit)));
                for (question, answer) in update.answers {
                    let key = Key::Answer(question.clone());
                    match answer {
                        Some(answer) => self.proxy.insert(key, Unit::Answer(question, answer)),
                        None => self.proxy.remove(&key),
                    };
                }
                for key in update.removed {
                    assert!(self.proxy.remove(&key).is_some(), "{key} was not there to be removed");
                }
                self.event(Event::Applied);
            }
        }
        let state = self.machine.state();
        let held: BTreeMap<Key, Unit> = state.units.into_iter().map(|(_, unit)| (unit.key(), unit)).collect();
        assert_eq!(self.proxy, held);
    }

    fn ask(&mut self) {
        let question = question(&mut self.random);
        let waiter = Waiter(self.next_waiter);
        self.next_waiter += 1;
        self.waiting.insert(waiter, question.clone());
        let deadline = self.now + Duration::from_secs(self.random.u64(1..20));
        self.event(Event::Ask(waiter, question, deadline));
    }

    fn event(&mut self, event: Event) {
        for action in self.machine.handle(event, self.now) {
            match action {
                Action::Apply(update) => assert_eq!(self.update.replace(update), None),
                Action::Reply(waiter, reply) => self.replied(waiter, reply),
                Action::Close(error) => {
                    assert!(self.faults.disconnects, "the client gave up: {error}");
                    self.stream = None;
                }
            }
        }
    }

    fn replied(&mut self, waiter: Waiter, reply: Result<Answer, AskError>) {
        let question = self.waiting.remove(&waiter).expect("a second reply");
        self.seen.replies += usize::from(reply.is_ok());
        let key = Key::Answer(question.clone());
        match reply {
            Err(AskError::TimedOut) => {}
            Ok(Answer::Absent { .. }) => {}
            Ok(answer) => assert_eq!(self.proxy.get(&key), Some(&Unit::Answer(question, answer))),
            Err(error) => panic!("{error}"),
        }
    }

    /// Lets everything that is under way come to its end.
    fn settle(&mut self) {
        self.faults = NONE;
        if self.stream.is_none() {
            self.connect();
        }
        for _ in 0..10_000 {
            self.proxy_answers();
            self.send_up();
            self.deliver_up();
            self.send_down();
            self.deliver_down();
            let stream = self.stream.as_ref().unwrap();
            let is_idle = stream.up.is_empty() && stream.down.is_empty() && self.update.is_none();
            if is_idle && !self.machine.has_request() && stream.session.pending().is_none() {
                return;
            }
        }
        panic!("it does not settle");
    }

    fn assert_converged(&mut self) {
        self.settle();
        let wanted: BTreeSet<Question> = self.machine.questions().cloned().collect();
        let whole = self.world.whole(&wanted);
        let held = versions(&self.machine.state());
        assert_eq!(held, whole);
        let session = &self.stream.as_ref().unwrap().session;
        assert_eq!((session.held(), session.acked()), (whole, Some(self.catalog.snapshot())));
        assert_eq!(session.rejections(), []);
    }
}

fn versions(state: &State) -> BTreeMap<Key, Version> {
    state.units.iter().map(|(version, unit)| (unit.key(), *version)).collect()
}

fn run(seed: u64, faults: Faults, steps: usize) -> Run {
    let seed = Seed(seed);
    let mut run = Run::new(seed.0, faults);
    for _ in 0..steps {
        run.step();
    }
    run.settle();
    if !faults.rejections {
        run.assert_converged();
    }
    // What was refused comes again when it changes.
    run.world.change_all();
    run.catalog = run.world.catalog();
    run.stream.as_mut().unwrap().session.handle(session::Event::Changed);
    run.settle();
    let rejections = run.stream.as_ref().unwrap().session.rejections();
    if !rejections.is_empty() {
        // Answers and removals did not change; they are tried again on the next stream.
        let whole = run.world.whole(&run.machine.questions().cloned().collect());
        let unchanged = |key: &Key| key.kind() == Kind::Answer || !whole.contains_key(key);
        assert!(rejections.iter().all(|rejection| unchanged(&rejection.key)), "{rejections:?}");
        run.disconnect();
    }
    run.assert_converged();
    run
}

/// Seeds that are the same every time.
const FIXED: std::ops::Range<u64> = 0..100;

/// Those, and some new ones.
fn seeds() -> impl Iterator<Item = u64> {
    FIXED.chain(std::iter::repeat_with(|| fastrand::u64(..)).take(50))
}

#[test]
fn deltas_lead_to_the_whole() {
    let mut replies = 0;
    for seed in seeds() {
        let run = run(seed, NONE, 1_500);
        // Of thousands of new ones, one or the other has a quiet run.
        let is_busy = run.seen.replies > 30 || !FIXED.contains(&seed);
        assert!(run.applied > 10 && is_busy, "seed {seed}");
        replies += run.seen.replies;
    }
    assert!(replies > 30 * 150, "{replies}");
}

#[test]
fn every_update_is_acknowledged_once() {
    for seed in seeds() {
        let run = run(seed, NONE, 1_000);
        assert_eq!(run.acked, run.applied, "seed {seed}");
    }
}

#[test]
fn lost_streams_lead_to_the_whole() {
    let mut late_openings = 0;
    for seed in seeds() {
        let run = run(seed, Faults { disconnects: true, ..NONE }, 1_500);
        late_openings += run.seen.late_openings;
    }
    assert!(late_openings > 20, "{late_openings}");
}

#[test]
fn refusals_hold_up_only_what_they_name() {
    let mut refusals = 0;
    for seed in seeds() {
        let run = run(seed, Faults { disconnects: true, rejections: true, ..NONE }, 1_500);
        refusals += run.seen.refusals;
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn a_proxy_starts_from_what_it_kept_and_gets_only_the_difference() {
    for seed in seeds() {
        let mut run = run(seed, NONE, 800);
        let state = State::decode(&run.machine.state().encode()).unwrap();
        let (machine, actions) = Machine::new(client().subject, "1".into(), Some(state.clone()), run.now);
        run.machine = machine;
        (run.stream, run.proxy) = (None, BTreeMap::new());
        let [Action::Apply(update)] = <[Action; 1]>::try_from(actions).unwrap() else { panic!() };
        run.update = Some(update);
        run.waiting.clear();
        run.proxy_answers();
        assert_eq!(versions(&run.machine.state()), versions(&state));
        run.change();
        let before = run.applied;
        run.assert_converged();
        assert!(run.applied <= before + 1, "seed {seed}");
    }
}

#[test]
fn a_slow_proxy_gets_only_the_newest() {
    let mut run = Run::new(7, NONE);
    run.ask();
    run.connect();
    while run.update.is_none() {
        run.send_up();
        run.deliver_up();
        run.send_down();
        run.deliver_down();
    }
    for _ in 0..50 {
        run.change();
        run.send_down();
        assert!(run.stream.as_ref().unwrap().down.is_empty(), "a batch before the last is answered");
    }
    run.assert_converged();
    assert!(run.applied <= 3, "{}", run.applied);
}

/// A client that breaks the rules is cut off, with a reason; it costs nobody else anything.
#[test]
fn a_server_refuses_what_no_client_sends() {
    let commit = || DeltaDiscoveryRequest { type_url: crate::protocol::COMMIT.into(), ..Default::default() };
    let of = |kind: Kind| DeltaDiscoveryRequest { type_url: kind.type_url(), ..Default::default() };
    let answer = || of(Kind::Answer);
    let nonce =
        |request: DeltaDiscoveryRequest| DeltaDiscoveryRequest { response_nonce: "1.1".into(), ..request };
    let versions = |name: &str, version: &str| DeltaDiscoveryRequest {
        initial_resource_versions: [(name.to_owned(), version.to_owned())].into(),
        ..of(Kind::Host)
    };
    let hash = Version::of(b"").to_string();
    let cases = [
        (vec![DeltaDiscoveryRequest::default()], "a request of a type unknown here"),
        (vec![commit(), commit()], "a second end of the opening"),
        (vec![nonce(commit())], "an answer to no batch"),
        (vec![nonce(answer())], "an answer to something else than a commit"),
        (vec![commit(), versions("a", &hash)], "initial versions after the opening"),
        (
            vec![versions("A", &hash)],
            "a type.googleapis.com/leno.discovery.v1alpha1.HostUnit message is malformed",
        ),
        (
            vec![versions("a", "7")],
            "a type.googleapis.com/leno.discovery.v1alpha1.HostUnit message is malformed",
        ),
        (
            vec![DeltaDiscoveryRequest { resource_names_subscribe: vec!["a".into()], ..of(Kind::Host) }],
            "a subscription to something else than an answer",
        ),
        (
            vec![DeltaDiscoveryRequest { resource_names_subscribe: vec!["name:A".into()], ..answer() }],
            "a type.googleapis.com/leno.discovery.v1alpha1.Answer message is malformed",
        ),
        (
            vec![DeltaDiscoveryRequest {
                resource_names_subscribe: (0..=limits::MAX_QUESTIONS).map(|i| format!("name:n{i}")).collect(),
                ..answer()
            }],
            "more than 16384 questions",
        ),
    ];
    for (requests, expected) in cases {
        let mut session = Session::new(client());
        let mut actions = Vec::new();
        for request in requests {
            assert_eq!(actions, []);
            actions = session.handle(session::Event::Request(request));
        }
        let [session::Action::Close(error)] = actions.as_slice() else { panic!("{expected}: {actions:?}") };
        assert_eq!(error.to_string(), expected);
    }
}

/// Messages that were valid once, damaged: both sides end the stream or refuse, and go on.
#[test]
fn damaged_messages_harm_nobody() {
    for seed in seeds() {
        let seed = Seed(seed);
        let mut run = Run::new(seed.0, Faults { disconnects: true, rejections: true, damage: true });
        for _ in 0..400 {
            run.step();
            let Some(stream) = &mut run.stream else { continue };
            if let Some(response) = stream.down.front_mut().filter(|_| run.random.u32(0..10) == 0) {
                *response = damaged(response, &mut run.random);
            }
        }
        // The server meets them in a session of its own, which may end at any of them.
        let mut session = Session::new(client());
        let opening =
            DeltaDiscoveryRequest { type_url: crate::protocol::COMMIT.into(), ..Default::default() };
        let subscribe = DeltaDiscoveryRequest {
            type_url: Kind::Answer.type_url(),
            resource_names_subscribe: vec!["name:s1.zone1.test".into(), "address:10.0.0.2:80".into()],
            ..Default::default()
        };
        let refusal = crate::protocol::nack("1.4", &[Rejection { key: Key::Mesh, reason: "no".into() }]);
        for request in [subscribe, opening, refusal] {
            let request = if run.random.bool() { damaged(&request, &mut run.random) } else { request };
            let _actions = session.handle(session::Event::Request(request));
            while let (Some(_), _) = session.next_response(&*run.catalog) {}
        }
    }
}

/// The message with a few bytes changed, as far as it is still a message.
fn damaged<M: Message + Default + Clone>(message: &M, random: &mut fastrand::Rng) -> M {
    let mut bytes = message.encode_to_vec();
    for _ in 0..random.usize(1..4) {
        let length = bytes.len();
        if let Some(byte) = bytes.get_mut(random.usize(0..length.max(1))) {
            *byte = random.u8(..);
        }
    }
    M::decode(bytes.as_slice()).unwrap_or_else(|_unreadable| message.clone())
}
