//! A small mesh that changes at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_model::destination::Destination;
use leno_model::labels::Labels;
use leno_model::name::{Host, WorkloadName};
use leno_model::policy::Mtls;
use leno_model::route::{Action, Backend, Forward, HeaderEdits, MatchOrder, RouteTable, Rule, Target};
use leno_model::service::{Endpoint, Locality, Transport};
use leno_model::span::{Location, ObjectRef, Origin};
use leno_model::unit::{Answer, BundleUnit, EndpointUnit, HostUnit, MeshSettings, Question, WorkloadUnit};

use crate::key::{Key, Subject};
use crate::server::{Catalog, Client};
use crate::unit::{Encoded, Unit};
use crate::version::Version;

const HOSTS: usize = 10;

/// The mesh.
pub(crate) struct World {
    snapshot: u64,
    hosts: [Service; HOSTS],
    /// Counts changes of what every proxy holds.
    residents: u32,
}

#[derive(Clone, Default)]
struct Service {
    exists: bool,
    generation: u32,
    leads_to: Vec<usize>,
    endpoints: usize,
}

/// One state of the mesh.
struct Snapshot {
    number: u64,
    units: BTreeMap<Key, Arc<Encoded>>,
    answers: BTreeMap<Question, Answer>,
}

/// The proxy.
pub(crate) fn client() -> Client {
    let name = WorkloadName { namespace: "default".into(), name: "web-0".into() };
    Client { subject: Subject::Workload(name), identity: None, version: "1".into() }
}

/// Any question.
pub(crate) fn question(random: &mut fastrand::Rng) -> Question {
    let index = random.usize(0..HOSTS + 2);
    match random.bool() {
        true => Question::Name(host(index).as_str().into()),
        false => address(index),
    }
}

fn host(index: usize) -> Host {
    format!("s{index}.zone{}.test", index % 3).parse().unwrap()
}

fn address(index: usize) -> Question {
    Question::Address([10, 0, 0, u8::try_from(index).unwrap()].into(), 80)
}

impl World {
    pub(crate) fn new(random: &mut fastrand::Rng) -> Self {
        let mut world = Self { snapshot: 0, hosts: Default::default(), residents: 0 };
        for _ in 0..HOSTS * 3 {
            world.change(random);
        }
        world
    }

    pub(crate) fn change(&mut self, random: &mut fastrand::Rng) {
        self.snapshot += 1;
        let service = &mut self.hosts[random.usize(0..HOSTS)];
        match random.u32(0..6) {
            0 => service.exists = !service.exists,
            1 => service.generation += 1,
            2 => service.endpoints = random.usize(0..4),
            3 => self.residents += 1,
            _ => {
                let leads_to = (0..random.usize(0..3)).map(|_| random.usize(0..HOSTS));
                service.leads_to = leads_to.collect();
            }
        }
    }

    /// Changes every unit there is.
    pub(crate) fn change_all(&mut self) {
        self.snapshot += 1;
        self.residents += 1;
        for service in &mut self.hosts {
            service.generation += 1;
            // The generation shows in an endpoint.
            service.endpoints = service.endpoints.max(1);
        }
    }

    pub(crate) fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.snapshot())
    }

    /// What a proxy with these questions should hold, found the simple way.
    pub(crate) fn whole(&self, questions: &BTreeSet<Question>) -> BTreeMap<Key, Version> {
        let snapshot = self.snapshot();
        let answer =
            |question: &Question| Unit::Answer(question.clone(), snapshot.answer(question, &client()));
        let mut whole: BTreeMap<Key, Encoded> = BTreeMap::new();
        for question in questions {
            whole.insert(Key::Answer(question.clone()), Encoded::new(&answer(question)).unwrap());
        }
        for key in snapshot.resident(&client()) {
            whole.insert(key.clone(), (*snapshot.units[&key]).clone());
        }
        loop {
            let references = whole.values().flat_map(|unit| unit.references().to_vec());
            let missing: Vec<Key> = references.filter(|key| !whole.contains_key(key)).collect();
            let found: Vec<_> = missing
                .into_iter()
                .filter_map(|key| Some((key.clone(), snapshot.units.get(&key)?)))
                .collect();
            if found.is_empty() {
                return whole.into_iter().map(|(key, unit)| (key, unit.version())).collect();
            }
            whole.extend(found.into_iter().map(|(key, unit)| (key, (**unit).clone())));
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut units = self.residents();
        let mut answers = BTreeMap::new();
        for (index, service) in self.hosts.iter().enumerate() {
            if service.exists {
                units.push(Unit::Host(service.unit(index).into()));
                units.push(Unit::Endpoints(service.endpoints(index).into()));
                answers.insert(Question::Name(host(index).as_str().into()), Answer::Service(host(index)));
                let uid = format!("{}-0", host(index)).into();
                answers.insert(address(index), Answer::Endpoint { host: Some(host(index)), uid });
            }
        }
        for zone in 0..3 {
            let is_empty = self.hosts.iter().enumerate().all(|(i, service)| i % 3 != zone || !service.exists);
            for index in (0..HOSTS + 2).filter(|index| index % 3 == zone) {
                let question = Question::Name(host(index).as_str().into());
                let under = if is_empty { format!("*.zone{zone}.test") } else { host(index).to_string() };
                answers.entry(question).or_insert_with(|| Answer::Absent { under: under.into() });
            }
        }
        let units = units.into_iter().map(|unit| (unit.key(), Arc::new(Encoded::new(&unit).unwrap())));
        Snapshot { number: self.snapshot, units: units.collect(), answers }
    }

    fn residents(&self) -> Vec<Unit> {
        let mesh = MeshSettings {
            root_namespace: format!("root-{}", self.residents).into(),
            ..MeshSettings::new("cluster.local".parse().unwrap())
        };
        let bundle = BundleUnit {
            trust_domain: "cluster.local".parse().unwrap(),
            roots: vec![[0x30, 0].as_slice().into()],
            sequence: self.residents.into(),
        };
        let Subject::Workload(name) = client().subject else { panic!("not a workload") };
        let workload = WorkloadUnit {
            name,
            identity: "spiffe://cluster.local/ns/default/sa/web".parse().unwrap(),
            labels: Labels::default(),
            owner: format!("web-{}", self.residents).into(),
            addresses: Vec::new(),
            cluster: "local".into(),
            ports: Vec::new(),
            mtls: Mtls::default(),
            policies: Vec::new(),
        };
        vec![Unit::Mesh(mesh.into()), Unit::Bundle(bundle.into()), Unit::Workload(workload.into())]
    }
}

impl Service {
    fn unit(&self, index: usize) -> HostUnit {
        let backends = self.leads_to.iter().map(|to| Backend {
            target: Target::Service { host: host(*to), port: None, subset: None },
            weight: 1,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            origin: origin(),
        });
        let forward = Forward { backends: backends.collect(), ..Forward::default() };
        let rule = Rule {
            name: Some(format!("generation-{}", self.generation).into()),
            origin: origin(),
            matches: Vec::new(),
            priority: 0,
            action: Action::Forward(forward),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        };
        HostUnit {
            host: host(index),
            namespace: "default".into(),
            name: format!("s{index}").into(),
            vips: vec![[10, 0, 0, u8::try_from(index).unwrap()].into()],
            ports: Vec::new(),
            headless: false,
            external: false,
            routes: vec![(0, RouteTable { order: MatchOrder::FirstMatch, rules: vec![rule] })],
            destination: Destination::default(),
        }
    }

    fn endpoints(&self, index: usize) -> EndpointUnit {
        let endpoint = |number: usize| Endpoint {
            uid: format!("s{index}-{number}").into(),
            ip: [10, 1, u8::try_from(index).unwrap(), u8::try_from(number).unwrap()].into(),
            ports: vec![(80, 8080)],
            transport: Transport::Plain,
            identity: None,
            labels: Labels::default(),
            owner: format!("generation-{}", self.generation).into(),
            namespace: "default".into(),
            weight: 1,
            locality: Locality::default(),
            network: "".into(),
            cluster: "local".into(),
            ready: true,
            hostname: None,
        };
        EndpointUnit { host: host(index), endpoints: (0..self.endpoints).map(endpoint).collect() }
    }
}

fn origin() -> Origin {
    Origin {
        object: ObjectRef { kind: "VirtualService".into(), namespace: "default".into(), name: "x".into() },
        location: Location { file: "mesh.yaml".into(), line: 1, column: 1 },
    }
}

impl Catalog for Snapshot {
    fn snapshot(&self) -> u64 {
        self.number
    }

    fn resident(&self, client: &Client) -> Vec<Key> {
        vec![Key::Mesh, Key::Bundle("cluster.local".parse().unwrap()), client.subject.key()]
    }

    fn answer(&self, question: &Question, _client: &Client) -> Answer {
        let absent = || Answer::Absent {
            under: crate::question::name(question).trim_start_matches("address:").into(),
        };
        self.answers.get(question).cloned().unwrap_or_else(absent)
    }

    fn unit(&self, key: &Key, _client: &Client) -> Option<Arc<Encoded>> {
        self.units.get(key).cloned()
    }
}
