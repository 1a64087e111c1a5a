//! The control plane as `leno up` runs it: told by a document, heard on a stream, ended by its supervisor.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use leno_control::bootstrap::{Change, Gateway, Local, Port, Protocol, Service, Token, Workload};
use leno_control::process;
use leno_model::service::{Address, Transport};
use leno_model::unit::Answer;
use leno_runtime::LocalRuntime;
use leno_wire::transport::Endpoint;
use leno_wire::{Key, Unit};

use crate::proxy::{PATIENCE, Proxy, unix};
use crate::temporary::Temporary;

fn document(directory: &Temporary) -> Local {
    let workload = |name: &str, address: [u8; 4]| Workload {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        service_account: "reviews".to_owned(),
        owner: Some("reviews-v1".to_owned()),
        labels: [("app".to_owned(), "reviews".to_owned()), ("version".to_owned(), "v1".to_owned())].into(),
        addresses: vec![address.into()],
        inbound: directory.join(format!("{name}.in")),
        named_ports: Default::default(),
        join_token: Token(format!("the token of {name}")),
        ready: true,
    };
    Local {
        mesh: "test".to_owned(),
        trust_domain: "cluster.local".to_owned(),
        state: directory.join("state"),
        socket: directory.join("control.sock"),
        config: vec![directory.join("mesh.yaml")],
        services: vec![Service {
            name: "reviews".to_owned(),
            namespace: "default".to_owned(),
            ports: vec![Port {
                name: "http".to_owned(),
                port: 80,
                target_port: 9080,
                protocol: Some(Protocol::Http),
            }],
            headless: false,
            file: "mesh.yaml".to_owned(),
            line: 7,
        }],
        workloads: vec![workload("reviews-v1", [10, 240, 0, 2]), workload("reviews-v1-1", [10, 240, 0, 3])],
        gateway: Some(Gateway {
            name: "gateway".to_owned(),
            namespace: "default".to_owned(),
            service_account: "gateway".to_owned(),
            labels: Default::default(),
            join_token: Token("the token of the gateway".to_owned()),
            egress: Some(directory.join("egress.sock")),
        }),
        ranges: vec!["10.240.0.0/16".parse().unwrap()],
        svid_lifetime_seconds: 60,
        svid_renew_after_percent: None,
        changes: None,
        vault: None,
        admin: None,
    }
}

#[test]
fn the_document_survives_json_and_hides_its_tokens() {
    let directory = Temporary::new();
    let document = document(&directory);
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Local>(&text).unwrap(), document);
    assert!(!format!("{document:?}").contains("the token of"));
    let unknown = text.replacen("\"mesh\":", "\"mash\":1,\"mesh\":", 1);
    assert!(serde_json::from_str::<Local>(&unknown).unwrap_err().to_string().contains("mash"));
    let line = "{\"ready\":{\"namespace\":\"default\",\"name\":\"reviews-v1\",\"ready\":true}}";
    let change =
        Change::Ready { namespace: "default".to_owned(), name: "reviews-v1".to_owned(), ready: true };
    assert_eq!(serde_json::from_str::<Change>(line).unwrap(), change);
    assert_eq!(serde_json::to_string(&change).unwrap(), line);
}

#[test]
fn what_a_document_cannot_say_is_told() {
    let directory = Temporary::new();
    let wrong = |change: &dyn Fn(&mut Local)| {
        let mut document = document(&directory);
        change(&mut document);
        process::config(&document).map(drop).unwrap_err().to_string()
    };
    for (message, actual) in [
        ("trust domain is not valid", wrong(&|d| d.trust_domain = "Cluster Local".to_owned())),
        (
            "names an account that is none: default/a b",
            wrong(&|d| d.gateway.as_mut().unwrap().service_account = "a b".to_owned()),
        ),
        ("names a service that can't be: a..b", wrong(&|d| d.services[0].name = "a..b".to_owned())),
        ("describes something that can't be", wrong(&|d| d.workloads[0].addresses.clear())),
    ] {
        assert!(actual.contains(message), "{actual}");
    }
}

/// A request to the admin interface, and the answer's body.
fn get(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_process_serves_follows_changes_and_ends_when_told() {
    let directory = Temporary::new();
    fs::write(directory.join("mesh.yaml"), "").unwrap();
    let mut document = document(&directory);
    document.state = directory.join("state");
    let (mut supervisor, vault) = UnixStream::pair().unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let (read, mut changes) = std::io::pipe().unwrap();
    document.vault = Some(OwnedFd::from(vault).into_raw_fd());
    document.changes = Some(OwnedFd::from(read).into_raw_fd());
    let admin = UnixListener::bind(directory.join("admin")).unwrap();
    document.admin = Some(OwnedFd::from(admin).into_raw_fd());

    let control = std::thread::spawn(move || {
        LocalRuntime::new().unwrap().block_on(process::run(document)).map_err(|error| error.to_string())
    });
    supervisor.write_all(&[0, 0, 0, 1, 4]).unwrap();
    let mut ready = [0; 5];
    supervisor.read_exact(&mut ready).unwrap();
    assert_eq!(ready, [0, 0, 0, 1, 2]);
    assert!(get(&directory.join("admin"), "/healthz/ready").ends_with("ready\n"));
    assert!(get(&directory.join("admin"), "/metrics").contains("\nleno_control_snapshot 1\n"));
    assert!(get(&directory.join("admin"), "/else").starts_with("HTTP/1.1 404"));

    LocalRuntime::new().unwrap().block_on(async {
        let proxy = |name: &str, subject: &str| {
            let remote = unix(&directory.join("control.sock"), &format!("the token of {name}"));
            Proxy::start(Endpoint::Remote(remote), subject)
        };
        let sidecar = proxy("reviews-v1", "workload:default/reviews-v1");
        let host = "reviews.default.svc.cluster.local".parse().unwrap();
        assert_eq!(sidecar.ask("reviews").await, Answer::Service(host));
        let Some(Unit::Mesh(mesh)) = sidecar.unit(&Key::Mesh) else { panic!("no settings") };
        let egress = mesh.egress.as_ref().unwrap();
        assert_eq!(egress.address, Address::Unix(directory.join("egress.sock")));
        assert_eq!(egress.identity.principal(), "cluster.local/ns/default/sa/gateway");
        assert!(
            mesh.ranges.len() == 3 && mesh.ranges.contains(&"10.240.0.0/16".parse().unwrap()),
            "{:?}",
            mesh.ranges
        );

        let gateway = proxy("the gateway", "gateway:default/gateway");
        gateway.ask("reviews").await;
        assert!(
            gateway.unit(&"gateway:default/gateway".parse::<leno_wire::Subject>().unwrap().key()).is_some()
        );

        let endpoints = Key::Endpoints("reviews.default.svc.cluster.local".parse().unwrap());
        let ready = |proxy: &Proxy| match proxy.unit(&endpoints) {
            Some(Unit::Endpoints(unit)) => unit
                .endpoints
                .iter()
                .map(|endpoint| {
                    assert!(matches!(endpoint.transport, Transport::Native(Address::Unix(_))));
                    (endpoint.uid.to_string(), endpoint.ready)
                })
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let both = [("default/reviews-v1".to_owned(), true), ("default/reviews-v1-1".to_owned(), true)];
        assert_eq!(ready(&sidecar), both);
        writeln!(changes, "no change").unwrap();
        writeln!(
            changes,
            "{{\"ready\":{{\"namespace\":\"default\",\"name\":\"reviews-v1-1\",\"ready\":false}}}}"
        )
        .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while ready(&sidecar)[1].1 {
            assert!(Instant::now() < deadline, "the change is not heard");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });

    supervisor.write_all(&[0, 0, 0, 1, 5]).unwrap();
    assert_eq!(control.join().unwrap(), Ok(()));
    assert!(!directory.join("control.sock").exists());
    drop(changes);
}
