//! The status service.

use std::sync::Arc;

use leno_model::gateway::ListenerProtocol;
use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::unit::{GatewayUnit, ListenerUnit};
use leno_wire::status::{Client, ProxyUnit, StatusError, UnitState};
use leno_wire::{Unit, Version};

use crate::world::{Control, Mesh, Way, subject};

fn gateway() -> Unit {
    let secret =
        TlsSecret { chain: "PEM".into(), key: SecretBytes::new(&b"hunter2"[..]), client_roots: None };
    let listener = ListenerUnit {
        name: "https".into(),
        port: 443,
        protocol: ListenerProtocol::Https,
        hostname: None,
        certificates: vec![Arc::new(secret)],
        proxy_protocol: false,
        hosts: Vec::new(),
    };
    let unit = GatewayUnit {
        namespace: "edge".into(),
        name: "public".into(),
        listeners: vec![listener],
        policies: Vec::new(),
    };
    Unit::Gateway(unit.into())
}

#[tokio::test]
async fn people_see_units_and_no_keys() {
    let mut control = Control::start(Way::Unix, Mesh::of(1, &[])).await;
    let unit = ProxyUnit {
        key: gateway().key(),
        version: Version::of(&gateway().encode()),
        state: UnitState::Rejected("no such key".into()),
        unit: Some(gateway()),
    };
    control.stop().await;
    control.tell(vec![unit.clone()]);
    control.serve().await;
    let mut client = Client::connect(&control.remote()).await.unwrap();
    assert_eq!(client.proxies().await.unwrap().snapshot, 3);
    assert_eq!(client.objects().await.unwrap().snapshot, 3);
    let (snapshot, units) = client.units(&subject().to_string()).await.unwrap();
    assert_eq!((snapshot, units.len()), (3, 1));
    assert_eq!((&units[0].key, units[0].version, &units[0].state), (&unit.key, unit.version, &unit.state));
    let Some(Unit::Gateway(told)) = &units[0].unit else { panic!("no gateway") };
    assert_eq!(told.listeners[0].certificates[0].key.expose(), b"[secret]");
    let error = client.units("workload:a/b").await.unwrap_err();
    assert!(matches!(&error, StatusError::Refused(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "the control plane does not answer: no proxy \"workload:a/b\" is connected (NotFound)"
    );
}
