use std::time::Duration;

use leno_model::name::Host;
use leno_model::unit::{EndpointUnit, HostUnit, MeshSettings};
use prost::Message;

use super::*;
use crate::proto::discovery::{Resource, Status};
use crate::proto::google::protobuf::Any;
use crate::proto::units;
use crate::protocol::read_rejections;
use crate::simulation::world;
use crate::unit::Encoded;
use crate::version::Version;

struct Client {
    machine: Machine,
    now: Instant,
}

impl Client {
    /// A machine on an open stream.
    fn open() -> Self {
        let now = Instant::now();
        let (machine, _) = Machine::new(world::client().subject, "1".into(), None, now);
        let mut client = Self { machine, now };
        assert_eq!(client.event(Event::Connected), []);
        assert_eq!(client.requests().len(), 1);
        client
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        self.machine.handle(event, self.now)
    }

    fn ask(&mut self, waiter: u64, question: &Question) -> Vec<Action> {
        self.event(Event::Ask(Waiter(waiter), question.clone(), self.now + Duration::from_secs(1)))
    }

    fn requests(&mut self) -> Vec<DeltaDiscoveryRequest> {
        std::iter::from_fn(|| self.machine.next_request()).collect()
    }

    /// Delivers a batch; what the machine did with the last response.
    fn batch(&mut self, responses: Vec<DeltaDiscoveryResponse>) -> Vec<Action> {
        let mut actions = Vec::new();
        for response in responses {
            assert_eq!(actions, []);
            actions = self.event(Event::Response(response));
        }
        actions
    }

    /// Delivers a batch that is taken into effect at once.
    fn accept(&mut self, units: &[Unit], removed: &[Key]) -> Vec<Action> {
        let [Action::Apply(_)] = self.batch(batch(units, removed, &[])).as_slice() else { panic!() };
        let actions = self.event(Event::Applied);
        assert_eq!(self.requests(), [protocol::ack("c")]);
        actions
    }

    /// The refusal that the machine sends now.
    fn refusal(&mut self) -> Vec<String> {
        let [request] = &self.requests()[..] else { panic!("no answer") };
        let Some(Status { details, .. }) = &request.error_detail else { panic!("an acknowledgement") };
        assert_eq!((request.response_nonce.as_str(), details.is_empty()), ("c", false));
        read_rejections(request.error_detail.as_ref().unwrap())
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn resource(unit: &Unit) -> Resource {
    let encoded = Encoded::new(unit).unwrap();
    Resource {
        name: unit.key().name(),
        version: encoded.version().to_string(),
        resource: Some(Any { type_url: unit.key().kind().type_url(), value: encoded.content().clone() }),
    }
}

fn response(kind: Kind) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        system_version_info: "7".into(),
        type_url: kind.type_url(),
        nonce: "n".into(),
        ..Default::default()
    }
}

fn set(unit: &Unit) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse { resources: vec![resource(unit)], ..response(unit.key().kind()) }
}

fn commit(changes: usize, absent: &[Key]) -> DeltaDiscoveryResponse {
    let absent = absent
        .iter()
        .map(|key| units::Reference { type_url: key.kind().type_url(), name: key.name() })
        .collect();
    let commit = units::Commit { snapshot: 7, changes: u32::try_from(changes).unwrap(), absent };
    let content = Any { type_url: COMMIT.into(), value: commit.encode_to_vec().into() };
    DeltaDiscoveryResponse {
        type_url: COMMIT.into(),
        nonce: "c".into(),
        resources: vec![Resource { name: "commit".into(), version: "7".into(), resource: Some(content) }],
        ..response(Kind::Mesh)
    }
}

fn batch(units: &[Unit], removed: &[Key], absent: &[Key]) -> Vec<DeltaDiscoveryResponse> {
    let mut responses: Vec<_> = units.iter().map(set).collect();
    responses.extend(
        removed.iter().map(|key| DeltaDiscoveryResponse {
            removed_resources: vec![key.name()],
            ..response(key.kind())
        }),
    );
    responses.push(commit(units.len() + removed.len(), absent));
    responses
}

fn mesh() -> Unit {
    Unit::Mesh(MeshSettings::new("cluster.local".parse().unwrap()).into())
}

fn host(name: &str) -> Host {
    name.parse().unwrap()
}

fn host_unit(name: &str) -> Unit {
    let unit = HostUnit {
        host: host(name),
        namespace: "default".into(),
        name: name.into(),
        vips: Vec::new(),
        ports: Vec::new(),
        headless: false,
        external: false,
        routes: Vec::new(),
        destination: Default::default(),
    };
    Unit::Host(unit.into())
}

fn endpoints(name: &str) -> Unit {
    Unit::Endpoints(EndpointUnit { host: host(name), endpoints: Vec::new() }.into())
}

fn question(name: &str) -> Question {
    Question::Name(name.into())
}

fn answer(name: &str) -> Unit {
    Unit::Answer(question(name), Answer::Service(host(name)))
}

fn absent(name: &str, under: &str) -> Unit {
    Unit::Answer(question(name), Answer::Absent { under: under.into() })
}

fn names(request: &DeltaDiscoveryRequest) -> (Vec<&str>, Vec<&str>) {
    (
        request.resource_names_subscribe.iter().map(String::as_str).collect(),
        request.resource_names_unsubscribe.iter().map(String::as_str).collect(),
    )
}

#[test]
fn a_server_that_breaks_the_rules_loses_the_stream() {
    let cases: Vec<(Vec<DeltaDiscoveryResponse>, &str)> = vec![
        (
            vec![DeltaDiscoveryResponse { type_url: "x".into(), ..Default::default() }],
            "a response of a type unknown here",
        ),
        (
            vec![
                set(&mesh()),
                DeltaDiscoveryResponse { system_version_info: "8".into(), ..set(&endpoints("a")) },
            ],
            "a batch of more than one snapshot",
        ),
        (vec![set(&mesh()), set(&mesh())], "a resource twice in a batch"),
        (
            vec![
                set(&mesh()),
                DeltaDiscoveryResponse { removed_resources: vec!["mesh".into()], ..response(Kind::Mesh) },
            ],
            "a resource twice in a batch",
        ),
        (batch(&[], &[Key::Mesh], &[]), "a removal of something that is not held"),
        (vec![set(&mesh()), commit(2, &[])], "a commit of another number of changes than its batch has"),
        (
            vec![DeltaDiscoveryResponse { system_version_info: "8".into(), ..set(&mesh()) }, commit(1, &[])],
            "a commit of another snapshot than its batch",
        ),
        (
            vec![DeltaDiscoveryResponse { resources: Vec::new(), ..commit(0, &[]) }],
            "a commit response without its one commit",
        ),
        (
            vec![DeltaDiscoveryResponse { removed_resources: vec!["A".into()], ..response(Kind::Host) }],
            "a type.googleapis.com/leno.discovery.v1alpha1.HostUnit message is malformed",
        ),
    ];
    for (responses, expected) in cases {
        let mut client = Client::open();
        let actions = client.batch(responses);
        let [Action::Close(error)] = actions.as_slice() else { panic!("{expected}: {actions:?}") };
        assert_eq!(error.to_string(), expected);
        assert!(!client.machine.has_request());
    }
}

#[test]
fn nothing_comes_before_the_opening_or_the_last_answer() {
    let now = Instant::now();
    let (machine, _) = Machine::new(world::client().subject, "1".into(), None, now);
    let mut client = Client { machine, now };
    let expect = |actions: Vec<Action>, expected: &str| {
        let [Action::Close(error)] = actions.as_slice() else { panic!("{expected}: {actions:?}") };
        assert_eq!(error.to_string(), expected);
    };
    expect(client.event(Event::Response(set(&mesh()))), "a response before the stream is opened");
    client.event(Event::Connected);
    expect(client.event(Event::Response(set(&mesh()))), "a response before the end of the opening");
    client.event(Event::Connected);
    client.requests();
    let [Action::Apply(_)] = client.batch(batch(&[mesh()], &[], &[])).as_slice() else { panic!() };
    expect(client.event(Event::Response(set(&mesh()))), "a response before the last batch is answered");
}

#[test]
fn a_malformed_resource_is_refused_by_name_and_the_old_stays() {
    let mut client = Client::open();
    client.accept(&[mesh()], &[]);
    let mut bad = set(&host_unit("a"));
    let content = units::HostUnit { host: "a".into(), ..Default::default() }.encode_to_vec();
    bad.resources[0].version = Version::of(&content).to_string();
    bad.resources[0].resource.as_mut().unwrap().value = content.into();
    let mut worse = set(&endpoints("a"));
    worse.resources[0].version = "7".into();
    let mut other = set(&endpoints("b"));
    other.resources[0].version = Version::of(b"").to_string();
    assert_eq!(client.batch(vec![worse, other, bad, commit(3, &[])]), []);
    assert_eq!(
        client.refusal(),
        [
            "EndpointUnit a: version: a version is 32 hexadecimal digits",
            "EndpointUnit b: version: not that of the content",
            "HostUnit a: destination: missing, or of a kind unknown here",
        ]
    );
    assert_eq!(client.machine.state().units.len(), 1);
    client.accept(&[host_unit("a"), endpoints("a")], &[]);
    assert_eq!(client.machine.state().units.len(), 3);
}

#[test]
fn what_is_referred_to_must_be_there() {
    let mut client = Client::open();
    assert_eq!(client.batch(batch(&[host_unit("a"), answer("b")], &[], &[])), []);
    assert_eq!(
        client.refusal(),
        [
            "HostUnit a: refers to EndpointUnit a, which is not there",
            "Answer name:b: refers to HostUnit b, which is not there",
        ]
    );
    client.accept(&[endpoints("a"), host_unit("a")], &[]);
    assert_eq!(client.batch(batch(&[], &[Key::Endpoints(host("a"))], &[])), []);
    assert_eq!(client.refusal(), ["EndpointUnit a: is still referred to by HostUnit a"]);
    // Known not to exist is as good.
    let missing = Key::Host(host("b"));
    let [Action::Apply(_)] = client.batch(batch(&[answer("b")], &[], &[missing])).as_slice() else {
        panic!()
    };
}

#[test]
fn a_proxy_may_refuse_and_nothing_changes() {
    let mut client = Client::open();
    let [Action::Apply(update)] = &client.batch(batch(&[mesh()], &[], &[]))[..] else { panic!() };
    assert_eq!((update.snapshot, update.changed.as_slice()), (7, &[mesh()][..]));
    let reason = "x".repeat(5_000);
    assert_eq!(client.event(Event::Rejected(vec![Rejection { key: Key::Mesh, reason }])), []);
    let [refusal] = &client.refusal()[..] else { panic!() };
    assert!(refusal.starts_with("MeshSettings mesh: xxx") && refusal.len() < 600);
    assert_eq!(client.machine.state(), State::default());
}

#[test]
fn an_update_that_nobody_answers_ends_the_stream() {
    let mut client = Client::open();
    client.batch(batch(&[mesh()], &[], &[]));
    let [Action::Close(error)] = &client.event(Event::Abandoned)[..] else { panic!() };
    assert_eq!(error.to_string(), "the proxy did not answer an update");
}

#[test]
fn an_answer_reaches_every_waiter_when_it_is_in_effect() {
    let mut client = Client::open();
    assert_eq!((client.ask(1, &question("a")), client.ask(2, &question("a"))), (vec![], vec![]));
    let requests = client.requests();
    assert_eq!(requests.iter().map(names).collect::<Vec<_>>(), [(vec!["name:a"], vec![])]);
    let actions = client.accept(&[answer("a"), host_unit("a"), endpoints("a")], &[]);
    let reply = |waiter| Action::Reply(Waiter(waiter), Ok(Answer::Service(host("a"))));
    assert_eq!(actions, [reply(1), reply(2)]);
    assert_eq!(client.ask(3, &question("a")), [reply(3)]);
    assert_eq!(client.requests(), []);
    client.event(Event::Forget(question("a")));
    assert_eq!(client.requests().iter().map(names).collect::<Vec<_>>(), [(vec![], vec!["name:a"])]);
    // Until it is removed it is still good, and asking for it subscribes again.
    assert_eq!(client.ask(4, &question("a")), [reply(4)]);
    assert_eq!(client.requests().iter().map(names).collect::<Vec<_>>(), [(vec!["name:a"], vec![])]);
}

#[test]
fn waiters_are_bounded_in_time() {
    let mut client = Client::open();
    client.ask(1, &question("a"));
    assert_eq!(client.machine.deadline(), Some(client.now + Duration::from_secs(1)));
    client.now += Duration::from_secs(1);
    assert_eq!(client.event(Event::Tick), [Action::Reply(Waiter(1), Err(AskError::TimedOut))]);
    // The question is kept a little longer, then given up.
    client.requests();
    assert_eq!(client.machine.questions().count(), 1);
    client.now = client.machine.deadline().unwrap();
    assert_eq!(client.event(Event::Tick), []);
    assert_eq!(client.machine.questions().count(), 0);
    assert_eq!(client.requests().iter().map(names).collect::<Vec<_>>(), [(vec![], vec!["name:a"])]);
    assert_eq!(client.machine.deadline(), None);
}

#[test]
fn waiters_and_pending_questions_are_bounded_in_number() {
    let too_many = |waiter| vec![Action::Reply(Waiter(waiter), Err(AskError::TooMany))];
    let mut client = Client::open();
    for i in 0..limits::MAX_PENDING_QUESTIONS {
        assert_eq!(client.ask(0, &question(&format!("n{i}"))), []);
    }
    assert_eq!(client.ask(1, &question("x")), too_many(1));
    for _ in limits::MAX_PENDING_QUESTIONS..limits::MAX_WAITERS {
        assert_eq!(client.ask(0, &question("n0")), []);
    }
    assert_eq!(client.ask(2, &question("n0")), too_many(2));
    let told: usize = client.requests().iter().map(|request| names(request).0.len()).sum();
    assert_eq!(told, limits::MAX_PENDING_QUESTIONS);
    client.now += Duration::from_secs(1);
    assert_eq!(client.event(Event::Tick).len(), limits::MAX_WAITERS);
    assert_eq!(client.ask(3, &question("n0")), []);
}

#[test]
fn what_nothing_has_is_not_asked_for_again() {
    let mut client = Client::open();
    client.ask(1, &question("a.x.test"));
    client.requests();
    client.accept(&[absent("a.x.test", "*.x.test")], &[]);
    let reply = |waiter| vec![Action::Reply(Waiter(waiter), Ok(Answer::Absent { under: "*.x.test".into() }))];
    assert_eq!(client.ask(2, &question("b.x.test")), reply(2));
    assert_eq!(client.requests(), []);
    assert_eq!(client.ask(3, &question("y.test")), []);
    assert_eq!(client.requests().len(), 1);
    // What could be no name needs no question at all.
    let odd = question("no such name!");
    assert_eq!(
        client.ask(4, &odd),
        [Action::Reply(Waiter(4), Ok(Answer::Absent { under: "no such name!".into() }))]
    );
    // Something appears: the answer is corrected, and covers no more.
    client.accept(&[answer("a.x.test"), host_unit("a.x.test"), endpoints("a.x.test")], &[]);
    assert_eq!(client.ask(5, &question("b.x.test")), []);
}

#[test]
fn unused_absences_are_let_go_but_not_without_a_control_plane() {
    let mut client = Client::open();
    client.ask(1, &question("a"));
    client.requests();
    client.accept(&[absent("a", "a")], &[]);
    client.event(Event::Disconnected);
    client.now += limits::ABSENT_TTL * 2;
    client.event(Event::Tick);
    assert_eq!(client.machine.deadline(), None);
    assert_eq!(client.machine.questions().count(), 1);
    client.event(Event::Connected);
    client.requests();
    client.event(Event::Tick);
    assert_eq!(client.requests().iter().map(names).collect::<Vec<_>>(), [(vec![], vec!["name:a"])]);
}

#[test]
fn absences_are_bounded_in_number() {
    let mut client = Client::open();
    let all: Vec<String> = (0..=limits::MAX_ABSENT).map(|i| format!("n{i:05}")).collect();
    for names in all.chunks(limits::MAX_PENDING_QUESTIONS) {
        names.iter().for_each(|name| drop(client.ask(0, &question(name))));
        client.requests();
        let units: Vec<Unit> = names.iter().map(|name| absent(name, name)).collect();
        client.batch(batch(&units, &[], &[]));
        client.event(Event::Applied);
    }
    assert_eq!(client.machine.questions().count(), limits::MAX_ABSENT);
    let requests = client.requests();
    assert_eq!(names(&requests[1]), (vec![], vec!["name:n00000"]));
}

#[test]
fn a_stream_opens_with_what_is_held_and_wanted() {
    let mut client = Client::open();
    client.ask(1, &question("a"));
    client.ask(2, &question("pending"));
    client.requests();
    client.accept(&[mesh(), answer("a"), host_unit("a"), endpoints("a")], &[]);
    client.event(Event::Disconnected);
    client.event(Event::Forget(question("a")));
    client.event(Event::Connected);
    let requests = client.requests();
    let node = requests[0].node.as_ref().unwrap();
    assert_eq!((node.id.as_str(), node.user_agent_version.as_str()), ("workload:default/web-0", "1"));
    let held: Vec<String> = requests
        .iter()
        .flat_map(|request| {
            let kind = Kind::from_type_url(&request.type_url);
            request.initial_resource_versions.keys().map(move |name| Key::parse(kind.unwrap(), name).unwrap())
        })
        .map(|key| key.to_string())
        .collect();
    assert_eq!(held, ["MeshSettings mesh", "EndpointUnit a", "HostUnit a", "Answer name:a"]);
    let wanted: Vec<&str> = requests.iter().flat_map(|request| names(request).0).collect();
    assert_eq!(wanted, ["name:pending"]);
    assert_eq!(requests.last().unwrap().type_url, COMMIT);
    assert!(requests[1..].iter().all(|request| request.node.is_none()));
}

#[test]
fn a_stream_waits_for_what_the_proxy_says_to_the_last_one() {
    let mut client = Client::open();
    client.batch(batch(&[mesh()], &[], &[]));
    client.event(Event::Disconnected);
    client.event(Event::Connected);
    assert_eq!(client.requests(), []);
    assert_eq!(client.event(Event::Applied), []);
    let requests = client.requests();
    assert_eq!(requests[0].initial_resource_versions.len(), 1);
    assert_eq!(
        requests.last().unwrap(),
        &DeltaDiscoveryRequest { type_url: COMMIT.into(), ..Default::default() }
    );
}
