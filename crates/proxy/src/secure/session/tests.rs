//! Sessions against rustls, and against records that nobody well-behaved sends.

use std::sync::Arc;

use leno_testkit::certificates::Authority;
use leno_testkit::tls::Gullible;
use rustls::client::UnbufferedClientConnection;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::super::handshake::shake;
use super::*;

const SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

fn configurations(suite: SupportedCipherSuite) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    with_clients(suite, |_provider, _root| Arc::new(NoClientAuth))
}

/// A server that judges its clients like this.
fn with_clients(
    suite: SupportedCipherSuite,
    clients: impl FnOnce(Arc<CryptoProvider>, CertificateDer<'static>) -> Arc<dyn ClientCertVerifier>,
) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let folder = std::env::temp_dir().join(format!("leno-session-{}", fastrand::u64(..)));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new();
    let files = authority.svid(&folder, "server", "spiffe://a/b");
    let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap();
    let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let provider = Arc::new(provider);
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]);
    let mut client = client
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Gullible::new(&schemes))
        .with_no_client_auth();
    let clients = clients(Arc::clone(&provider), root);
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let mut server = server.unwrap().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap();
    (client.enable_secret_extraction, server.enable_secret_extraction) = (true, true);
    (Arc::new(client), Arc::new(server))
}

fn roots(root: CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    roots
}

/// A session and rustls at the other end of a pipe that holds so many bytes.
async fn against_rustls(
    side: Side,
    suite: SupportedCipherSuite,
    pipe: usize,
) -> (Session, TlsStream<DuplexStream>) {
    let (client, mut server) = configurations(suite);
    if pipe < 5000 {
        // Nobody reads them before the pipe is full.
        Arc::make_mut(&mut server).send_tls13_tickets = 0;
    }
    let name = ServerName::try_from("server").unwrap();
    let (near, far) = duplex(pipe);
    match side {
        Side::Client => {
            let own = UnbufferedClientConnection::new(client, name).unwrap();
            let accepting = TlsAcceptor::from(server).accept(far);
            let (own, peer) = tokio::join!(shake(Box::new(near), own), accepting);
            (own.unwrap().into_session().unwrap(), peer.unwrap().into())
        }
        Side::Server => {
            let own = UnbufferedServerConnection::new(server).unwrap();
            let connecting = TlsConnector::from(client).connect(name, far);
            let (own, peer) = tokio::join!(shake(Box::new(near), own), connecting);
            (own.unwrap().into_session().unwrap(), peer.unwrap().into())
        }
    }
}

fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Sends from one to the other in pieces of one size, reading in pieces of another.
async fn carry(
    from: &mut (impl AsyncWrite + Unpin),
    to: &mut (impl AsyncRead + Unpin),
    sent: &[u8],
    written: usize,
    read: usize,
) {
    let sending = async {
        for piece in sent.chunks(written) {
            from.write_all(piece).await.unwrap();
        }
        from.flush().await.unwrap();
    };
    let receiving = async {
        let (mut got, mut piece) = (Vec::new(), vec![0; read]);
        while got.len() < sent.len() {
            let n = to.read(&mut piece).await.unwrap();
            assert_ne!(n, 0, "an end after {} bytes", got.len());
            got.extend_from_slice(&piece[..n]);
        }
        got
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert!(got == sent, "{} bytes by {written} and {read}", sent.len());
}

#[tokio::test]
async fn what_is_written_arrives_whatever_its_pieces_are() {
    for (suite, side) in SUITES.into_iter().flat_map(|suite| [(suite, Side::Client), (suite, Side::Server)]) {
        for (length, pipe) in [(1, 100), (600, 100), (PLAIN, 5000), (PLAIN + 1, 70_000), (700_000, 40_000)] {
            let (mut own, mut peer) = against_rustls(side, suite, pipe).await;
            let sent = bytes(length);
            for piece in [1000, 20_000, 700_000] {
                carry(&mut own, &mut peer, &sent, piece, 9000).await;
                carry(&mut peer, &mut own, &sent, 20_000, piece).await;
            }
        }
    }
}

#[tokio::test]
async fn what_comes_with_the_end_of_a_handshake_is_read() {
    let (client, server) = configurations(SUITES[0]);
    let (near, far) = duplex(100_000);
    let connecting = async {
        let name = ServerName::try_from("server").unwrap();
        let mut peer = TlsConnector::from(client).connect(name, far).await.unwrap();
        peer.write_all(b"at once").await.unwrap();
        peer.flush().await.unwrap();
        peer
    };
    let (own, _peer) = tokio::join!(
        async {
            let shaken = shake(Box::new(near), UnbufferedServerConnection::new(server).unwrap()).await;
            tokio::task::yield_now().await;
            shaken.unwrap().into_session().unwrap()
        },
        connecting
    );
    let (mut own, mut got) = (own, [0; 7]);
    own.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"at once");
}

#[tokio::test]
async fn pieces_that_are_written_together_share_a_record() {
    let (mut own, mut peer) = against_rustls(Side::Server, SUITES[0], 100_000).await;
    let (head, body) = (bytes(300), bytes(1000));
    let pieces = [IoSlice::new(&head), IoSlice::new(&[]), IoSlice::new(&body)];
    assert_eq!(own.write_vectored(&pieces).await.unwrap(), 1300);
    own.flush().await.unwrap();
    let mut got = vec![0; 5000];
    assert_eq!(peer.read(&mut got).await.unwrap(), 1300);
    assert_eq!(got[..1300], [head, body].concat());
}

#[tokio::test]
async fn a_peer_s_new_keys_are_taken_and_answered() {
    for side in [Side::Client, Side::Server] {
        let (mut own, mut peer) = against_rustls(side, SUITES[0], 100_000).await;
        for length in [10, 50_000] {
            match &mut peer {
                TlsStream::Client(peer) => peer.get_mut().1.refresh_traffic_keys().unwrap(),
                TlsStream::Server(peer) => peer.get_mut().1.refresh_traffic_keys().unwrap(),
            }
            let sent = bytes(length);
            carry(&mut peer, &mut own, &sent, 7000, 7000).await;
            carry(&mut own, &mut peer, &sent, 7000, 7000).await;
        }
    }
}

#[tokio::test]
async fn worn_keys_are_changed() {
    let (mut own, mut peer) = against_rustls(Side::Client, SUITES[0], 100_000).await;
    own.sealer = {
        let keys = own.updates.for_sending().unwrap();
        own.post(Content::Handshake, &UPDATE).unwrap();
        Sealer::new(keys, 3).unwrap()
    };
    carry(&mut own, &mut peer, &bytes(500_000), 100_000, 9000).await;
    carry(&mut own, &mut peer, &bytes(500), 10, 9000).await;
}

#[tokio::test]
async fn an_end_is_told_from_a_cut_and_leaves_the_other_direction() {
    let (mut own, mut peer) = against_rustls(Side::Server, SUITES[0], 100_000).await;
    own.write_all(b"last").await.unwrap();
    own.shutdown().await.unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    assert_eq!(own.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(peer);
    let (mut own, mut peer) = against_rustls(Side::Client, SUITES[0], 100_000).await;
    peer.shutdown().await.unwrap();
    assert_eq!(own.read(&mut [0; 9]).await.unwrap(), 0, "an end");
    assert_eq!(own.read(&mut [0; 9]).await.unwrap(), 0, "which stays");
    own.write_all(b"still").await.unwrap();
    let (mut own, peer) = against_rustls(Side::Client, SUITES[0], 100_000).await;
    drop(peer);
    assert_eq!(own.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_failed_handshake_is_told_to_the_peer() {
    let (_, server) = configurations(SUITES[0]);
    let (client, _) = configurations(SUITES[1]);
    let (near, far) = duplex(100_000);
    let own = UnbufferedServerConnection::new(server).unwrap();
    let connecting = TlsConnector::from(client).connect(ServerName::try_from("server").unwrap(), far);
    let (own, peer) = tokio::join!(shake(Box::new(near), own), connecting);
    let inner = own.err().unwrap().into_inner().unwrap();
    assert!(inner.downcast_ref::<rustls::Error>().is_some(), "{inner}");
    let told = peer.unwrap_err().into_inner().unwrap();
    let told = told.downcast_ref::<rustls::Error>();
    assert_eq!(told, Some(&rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[tokio::test]
async fn a_refused_certificate_is_told_although_more_has_come_with_it() {
    let (client, server) = configurations(SUITES[0]);
    let mut refusing = (*client).clone();
    let strangers = WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots(CertificateDer::from_pem_slice(Authority::new().root().as_bytes()).unwrap())),
        Arc::new(default_provider()),
    );
    refusing.dangerous().set_certificate_verifier(strangers.build().unwrap());
    let (near, far) = duplex(100_000);
    let own = UnbufferedClientConnection::new(Arc::new(refusing), ServerName::try_from("server").unwrap());
    let accepting = TlsAcceptor::from(server).accept(far);
    let (own, peer) = tokio::join!(shake(Box::new(near), own.unwrap()), accepting);
    let inner = own.err().unwrap().into_inner().unwrap();
    let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
    assert_eq!(inner.downcast_ref::<rustls::Error>(), Some(&refused));
    let told = peer.unwrap_err().into_inner().unwrap();
    let told = told.downcast_ref::<rustls::Error>();
    assert_eq!(told, Some(&rustls::Error::AlertReceived(AlertDescription::DecryptError)));
}

#[tokio::test]
async fn a_client_that_shows_nothing_is_told() {
    let (client, server) = with_clients(SUITES[0], |provider, root| {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(root)), provider).build().unwrap()
    });
    let (near, far) = duplex(100_000);
    let own = UnbufferedServerConnection::new(server).unwrap();
    let connecting = async {
        let name = ServerName::try_from("server").unwrap();
        let mut peer = TlsConnector::from(client).connect(name, far).await.unwrap();
        peer.read(&mut [0; 9]).await
    };
    let (own, peer) = tokio::join!(shake(Box::new(near), own), connecting);
    let inner = own.err().unwrap().into_inner().unwrap();
    assert_eq!(inner.downcast_ref::<rustls::Error>(), Some(&rustls::Error::NoCertificatesPresented));
    let told = peer.unwrap_err().into_inner().unwrap();
    let told = told.downcast_ref::<rustls::Error>();
    assert_eq!(told, Some(&rustls::Error::AlertReceived(AlertDescription::CertificateRequired)));
}

#[tokio::test]
async fn no_handshake_comes_of_anything_else() {
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[22, 3, 1, 255, 255], &[22, 3, 1, 0, 0], &[23, 3, 3, 0, 1, 0]]
    {
        let (_, server) = configurations(SUITES[0]);
        let (near, mut far) = duplex(1000);
        far.write_all(garbage).await.unwrap();
        far.shutdown().await.unwrap();
        let own = UnbufferedServerConnection::new(server).unwrap();
        assert!(shake(Box::new(near), own).await.is_err(), "{garbage:?}");
    }
}

/// Keys that anybody can work out.
struct Known(u8, u8);

fn known(number: u8) -> (u64, ConnectionTrafficSecrets) {
    let (key, iv) = (AeadKey::from([number; 32]), Iv::new([number; 12]));
    (0, ConnectionTrafficSecrets::Aes256Gcm { key, iv })
}

impl Updates for Known {
    fn for_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.0 += 1;
        Ok(known(self.0))
    }

    fn for_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.1 += 1;
        Ok(known(self.1))
    }
}

/// A session whose peer is a test: it sends with keys 100, and what it gets is sealed with keys 1.
fn against_records(side: Side) -> (Session, DuplexStream, Sealer) {
    let (near, far) = duplex(1 << 20);
    let secrets = ExtractedSecrets { tx: known(1), rx: known(100) };
    let agreed = Agreed { secrets, updates: Box::new(Known(1, 100)), limit: u64::MAX, rest: Vec::new() };
    let own = Session::new(Box::new(near), side, agreed).unwrap();
    (own, far, Sealer::new(known(100), u64::MAX).unwrap())
}

/// Sealed records.
fn sealed(sealer: &mut Sealer, records: &[(Content, &[u8])]) -> Vec<u8> {
    let mut outbox = Outbox::default();
    for (content, plain) in records {
        let pieces = [IoSlice::new(plain)];
        sealer.seal(*content, &mut Pieces::new(&pieces), plain.len(), &mut outbox).unwrap();
    }
    outbox.bytes().to_vec()
}

/// What a session reads to its end, and the alert that it sends, in the clear.
async fn told(
    mut own: Session,
    mut far: DuplexStream,
    sent: &[u8],
) -> (Vec<u8>, io::Result<()>, Option<[u8; 2]>) {
    far.write_all(sent).await.unwrap();
    far.shutdown().await.unwrap();
    let mut got = Vec::new();
    let end = own.read_to_end(&mut got).await.map(drop);
    assert!(end.is_ok() || own.read(&mut [0]).await.is_err(), "an error stays");
    drop(own);
    let (mut answer, mut alert) = (Vec::new(), [0; 3]);
    far.read_to_end(&mut answer).await.unwrap();
    let alert = (answer.len() == 24).then(|| {
        let mut opener = Opener::new(known(1)).unwrap();
        assert_eq!(opener.open_to(&answer, &mut alert).unwrap(), (Content::Alert, 2));
        [alert[0], alert[1]]
    });
    (got, end, alert)
}

const ASK: &[u8] = &[24, 0, 0, 1, 1];
const TICKET: &[u8] = &[4, 0, 0, 3, 1, 2, 3];

#[tokio::test]
async fn broken_rules_end_a_session_and_are_told() {
    use Content::{Alert, Data, Handshake};
    let data = (Data, &b"data"[..]);
    let large = vec![0; PLAIN + 1];
    let empty = [(Data, &[][..]); 33];
    let asks = [(Handshake, ASK); 2];
    for (rule, side, records, alert) in [
        ("an alert of another length", Side::Client, &[data, (Alert, &[1])][..], 50),
        (
            "too many warnings",
            Side::Client,
            &[
                data,
                (Alert, &[1, 90]),
                (Alert, &[1, 90]),
                (Alert, &[1, 90]),
                (Alert, &[1, 90]),
                (Alert, &[1, 90]),
            ],
            10,
        ),
        ("a handshake record without content", Side::Client, &[data, (Handshake, &[])], 10),
        ("a handshake message out of place", Side::Server, &[data, (Handshake, TICKET)], 10),
        ("a handshake message out of place", Side::Client, &[data, (Handshake, &[1, 0, 0, 0])], 10),
        ("a handshake message that is too long", Side::Client, &[data, (Handshake, &[4, 1, 0, 1])], 50),
        ("an update of keys of another kind", Side::Client, &[data, (Handshake, &[24, 0, 0, 1, 2])], 47),
        ("an update of keys of another length", Side::Client, &[data, (Handshake, &[24, 0, 0, 2, 0, 0])], 50),
        ("keys that change within a record", Side::Client, &[data, (Handshake, &[24, 0, 0, 1, 0, 24])], 10),
        ("data within a handshake message", Side::Client, &[data, (Handshake, &TICKET[..5]), data], 10),
        (
            "an alert within a handshake message",
            Side::Client,
            &[data, (Handshake, &TICKET[..5]), (Alert, &CLOSE)],
            10,
        ),
        ("a record that is too large", Side::Client, &[data, (Data, &large)], 22),
        ("too many records without data", Side::Client, &[&[data][..], &empty].concat(), 10),
        ("a record that nobody has sealed", Side::Client, &[&[data][..], &asks].concat(), 20),
    ] {
        let (own, far, mut sealer) = against_records(side);
        let sent = sealed(&mut sealer, records);
        let (got, end, told) = told(own, far, &sent).await;
        assert_eq!(end.unwrap_err().to_string(), rule);
        assert_eq!(got, b"data", "{rule}");
        // The answer to the update that was asked for comes before the alert.
        if rule != "a record that nobody has sealed" {
            assert_eq!(told, Some([2, alert]), "{rule}");
        }
    }
}

#[tokio::test]
async fn records_that_are_not_sealed_are_refused() {
    for (record, rule) in [
        (&[20, 3, 3, 0, 1, 1][..], "a record that isn't sealed"),
        (&[21, 3, 3, 0, 2, 1, 0], "a record that isn't sealed"),
        (&[23, 3, 3, 0, 16, 0], "a record without content"),
        (&[23, 3, 3, 0x41, 1, 0], "a record that is too large"),
        (&[[23, 3, 3, 0, 17].as_slice(), &[0; 17]].concat(), "a record that nobody has sealed"),
    ] {
        let (own, far, mut sealer) = against_records(Side::Client);
        let sent = [sealed(&mut sealer, &[(Content::Data, b"data")]).as_slice(), record].concat();
        let (got, end, _) = told(own, far, &sent).await;
        assert_eq!((got.as_slice(), end.unwrap_err().to_string().as_str()), (&b"data"[..], rule));
    }
}

#[tokio::test]
async fn what_a_peer_may_send_between_data_changes_nothing() {
    use Content::{Alert, Data, Handshake};
    let (own, far, mut sealer) = against_records(Side::Client);
    let sent = sealed(
        &mut sealer,
        &[
            (Data, b"da"),
            (Handshake, &TICKET[..3]),
            (Handshake, &TICKET[3..]),
            (Data, &[]),
            (Handshake, &[TICKET, TICKET].concat()),
            (Alert, &[1, 90]),
            (Data, b"ta"),
            (Alert, &CLOSE),
            (Data, b"nothing"),
        ],
    );
    let (got, end, alert) = told(own, far, &sent).await;
    end.unwrap();
    assert_eq!((got.as_slice(), alert), (&b"data"[..], None));
}

#[tokio::test]
async fn padding_is_taken_off_and_nothing_else() {
    let (own, far, sealer) = against_records(Side::Client);
    drop(sealer);
    let mut sent = Vec::new();
    for (number, inner) in [b"data\0\x17\0\0\0".as_slice(), b"\0\0\x17", b"\0\0\0"].iter().enumerate() {
        sent.extend(by_hand(number, inner));
    }
    let (got, end, alert) = told(own, far, &sent).await;
    assert_eq!(got, b"data\0\0\0");
    assert_eq!(end.unwrap_err().to_string(), "a record of padding");
    assert_eq!(alert, Some([2, 10]));
}

/// A record with this plaintext, its type and padding included.
fn by_hand(number: usize, inner: &[u8]) -> Vec<u8> {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[100; 32]).unwrap());
    let mut nonce = [100; 12];
    nonce[11] ^= u8::try_from(number).unwrap();
    let header = [23, 3, 3, 0, u8::try_from(inner.len() + 16).unwrap()];
    let mut sealed = inner.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut sealed)
        .unwrap();
    [header.as_slice(), &sealed].concat()
}

#[tokio::test]
async fn one_answer_does_for_updates_that_nobody_reads_the_answers_to() {
    let (near, mut far) = duplex(40);
    let secrets = ExtractedSecrets { tx: known(1), rx: known(100) };
    let agreed = Agreed { secrets, updates: Box::new(Known(1, 100)), limit: u64::MAX, rest: Vec::new() };
    let mut own = Session::new(Box::new(near), Side::Server, agreed).unwrap();
    let mut keys = 100;
    for _ in 0..200 {
        let mut sealer = Sealer::new(known(keys), u64::MAX).unwrap();
        let records = sealed(&mut sealer, &[(Content::Data, b"x"), (Content::Handshake, ASK)]);
        let (sent, got) = tokio::join!(far.write_all(&records), own.read_u8());
        sent.unwrap();
        assert_eq!(got.unwrap(), b'x');
        keys += u8::from(keys < 255);
        if keys == 255 {
            break;
        }
    }
    assert!(own.outbox.bytes().len() < 100, "{:?}", own.outbox.bytes());
}

#[tokio::test]
async fn changed_bytes_are_never_handed_out() {
    let plain = bytes(3000);
    for _ in 0..500 {
        let (own, far, mut sealer) = against_records(Side::Server);
        let mut sent = sealed(
            &mut sealer,
            &[(Content::Data, &plain), (Content::Data, &plain), (Content::Alert, &CLOSE)],
        );
        let at = fastrand::usize(..sent.len());
        sent[at] ^= 1 << fastrand::u8(..8);
        let (got, end, _) = told(own, far, &sent).await;
        // The version in a header isn't looked at (RFC 8446 §5.1), but it is authenticated.
        end.unwrap_err();
        assert!(got.len() % 3000 == 0 && got.chunks(3000).all(|piece| piece == plain));
    }
}
