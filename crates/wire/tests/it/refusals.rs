//! Who is not let in, and who is not believed.

use std::sync::Arc;
use std::time::Duration;

use leno_model::secret::SecretBytes;
use leno_runtime::Instant;
use leno_wire::limits;
use leno_wire::transport::{Address, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::world::{Control, Mesh, Proxy, ProxyTls, Way, soon};

#[tokio::test]
async fn without_proof_nobody_gets_anything() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[])).await;
    for token in [None, Some(SecretBytes::new(&b"guess"[..]))] {
        let mut remote = control.remote();
        remote.token = token;
        let proxy = Proxy::start(Endpoint::Remote(remote), None);
        assert_eq!(
            proxy.connected(false).await.unwrap(),
            "the control plane refuses the stream: the credentials do not prove an identity (Unauthenticated)"
        );
    }
    assert!(control.hub.registry().sessions().is_empty());
}

#[tokio::test]
async fn nobody_gets_what_is_for_others() {
    let control = Control::start(Way::UnixTls, Mesh::of(1, &[])).await;
    let other = "workload:payments/db-0".parse().unwrap();
    let proxy = Proxy::start_as(other, control.endpoint(), None);
    assert_eq!(
        proxy.connected(false).await.unwrap(),
        "the stream broke: spiffe://cluster.local/ns/default/sa/web may not be workload:payments/db-0 \
         (PermissionDenied)"
    );
}

#[tokio::test]
async fn a_control_plane_that_is_somebody_else_gets_nothing() {
    let control = Control::start(Way::TcpTls, Mesh::of(1, &[])).await;
    let mut remote = control.remote();
    remote.tls = Some(Arc::new(ProxyTls { is_wary: true, ..ProxyTls::default() }));
    let proxy = Proxy::start(Endpoint::Remote(remote), None);
    let error = proxy.connected(false).await.unwrap();
    assert!(error.ends_with("is not the control plane: not whom I know"), "{error}");
}

#[tokio::test]
async fn an_anonymous_client_needs_a_token() {
    let control = Control::start(Way::TcpTls, Mesh::of(1, &[])).await;
    let mut remote = control.remote();
    remote.tls = Some(Arc::new(ProxyTls { is_anonymous: true, ..ProxyTls::default() }));
    let proxy = Proxy::start(Endpoint::Remote(remote.clone()), None);
    assert!(proxy.connected(false).await.unwrap().contains("do not prove an identity"));
    remote.token = Some(SecretBytes::new(crate::world::TOKEN));
    let proxy = Proxy::start(Endpoint::Remote(remote), None);
    assert_eq!(proxy.connected(true).await, None);
}

#[tokio::test]
async fn a_token_is_never_sent_where_others_could_read_it() {
    let control = Control::start(Way::Tcp, Mesh::of(1, &[])).await;
    let mut remote = control.remote();
    remote.token = Some(SecretBytes::new(crate::world::TOKEN));
    let proxy = Proxy::start(Endpoint::Remote(remote), None);
    let error = proxy.connected(false).await.unwrap();
    assert!(error.contains("a token is sent over TLS or a Unix socket only"), "{error}");
}

#[tokio::test]
async fn a_stranger_on_the_socket_disturbs_nobody() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[])).await;
    let Address::Unix(path) = control.remote().address else { panic!("not a socket") };
    let mut silent = UnixStream::connect(&path).await.unwrap();
    let mut noisy = UnixStream::connect(&path).await.unwrap();
    let _refused = noisy.write_all(&[b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0xff; 100_000]].concat()).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    control.session(|session| session.acked == Some(1)).await;
}

/// On a clock that jumps to the next thing that is due.
#[tokio::test(start_paused = true)]
async fn strangers_hold_no_place_for_long() {
    for (way, limit) in [(Way::Unix, limits::PROOF_TIMEOUT), (Way::UnixTls, limits::ACCEPT_TIMEOUT)] {
        let control = Control::start(way, Mesh::of(1, &[])).await;
        let Address::Unix(path) = control.remote().address else { panic!("not a socket") };
        let began = Instant::now();
        let mut stranger = UnixStream::connect(&path).await.unwrap();
        let _sent = stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        if way == Way::UnixTls {
            // Those bytes are no handshake and end the connection; say nothing instead.
            stranger = UnixStream::connect(&path).await.unwrap();
        }
        let _cut = tokio::time::timeout(limit * 2, stranger.read_to_end(&mut Vec::new())).await.unwrap();
        let lasted = began.elapsed();
        assert!(lasted >= limit && lasted <= limit + Duration::from_secs(1), "{way:?}: {lasted:?}");
    }
}

#[tokio::test]
async fn a_control_plane_that_stops_ends_its_streams() {
    let mut control = Control::start(Way::UnixTls, Mesh::of(1, &[])).await;
    let mut proxies: Vec<Proxy> = (0..5).map(|_| Proxy::start(control.endpoint(), None)).collect();
    for proxy in &mut proxies {
        soon(proxy.take()).await;
    }
    control.stop().await;
    for proxy in &proxies {
        assert!(proxy.connected(false).await.is_some());
    }
    assert!(control.hub.registry().sessions().is_empty());
}
