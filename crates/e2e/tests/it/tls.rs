//! Reading a recorded TLS 1.3 connection (RFC 8446): records, hellos, and with a key log what was sealed.
//!
//! For tests: whatever isn't as expected panics.

use std::{collections::BTreeMap, path::Path};

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CHANGE_CIPHER_SPEC: u8 = 20;
const TLS_1_3: u16 = 0x0304;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// Secrets by their label and the client's random bytes.
pub(crate) struct KeyLog(BTreeMap<(String, String), Vec<u8>>);

impl KeyLog {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let [Some(label), Some(random), Some(secret)] = [words.next(), words.next(), words.next()] else {
                panic!("{line:?}")
            };
            ((label, random), unhex(&secret))
        };
        Self(text.lines().map(line).collect())
    }

    fn secret(&self, label: &str, random: &[u8]) -> &[u8] {
        let key = (label.to_owned(), hex(random));
        self.0.get(&key).unwrap_or_else(|| panic!("no {label} for {}", key.1))
    }
}

/// What two peers said to each other.
#[derive(Debug)]
pub(crate) struct Opened {
    /// URI names of the first certificate that the client sent.
    pub(crate) client: Vec<String>,
    /// The same of the server.
    pub(crate) server: Vec<String>,
    /// The key exchange, by its number.
    pub(crate) group: u16,
    /// What the client sent after the handshake.
    pub(crate) sent: Vec<u8>,
    /// What the server sent after the handshake.
    pub(crate) received: Vec<u8>,
}

/// Reads both directions of a connection: checks that they are TLS 1.3 and nothing else, and opens them.
pub(crate) fn open(client: &[u8], server: &[u8], keys: &KeyLog) -> Opened {
    let (client, server) = (records(client), records(server));
    let ([hello, client @ ..], [answer, server @ ..]) = (client.as_slice(), server.as_slice()) else {
        panic!("no hellos")
    };
    let (hello, answer) = (Hello::parse(hello, 1), Hello::parse(answer, 2));
    assert_eq!(hello.versions, [TLS_1_3], "the client offers TLS 1.3 alone");
    assert_eq!(answer.versions, [TLS_1_3], "the server takes it");
    let suite = Suite::of(answer.suite);
    let keys = |side: &str| {
        let secret = |label: &str| keys.secret(label, &hello.random);
        let handshake = secret(&format!("{side}_HANDSHAKE_TRAFFIC_SECRET"));
        (suite.key(handshake), suite.key(secret(&format!("{side}_TRAFFIC_SECRET_0"))))
    };
    let (client, sent) = unseal(client, keys("CLIENT"));
    let (server, received) = unseal(server, keys("SERVER"));
    Opened { client: names(&client), server: names(&server), group: answer.group, sent, received }
}

struct Record<'a> {
    kind: u8,
    head: [u8; 5],
    body: &'a [u8],
}

/// The whole records of a direction; the last one may be under way.
fn records(mut bytes: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let [kind, major, minor, high, low] = *head;
        let known = [HANDSHAKE, APPLICATION_DATA, CHANGE_CIPHER_SPEC].contains(&kind);
        assert!(known && major == 3 && (1..=3).contains(&minor), "a TLS record begins with {head:?}");
        let is_hello = records.is_empty();
        assert_eq!(kind == HANDSHAKE, is_hello, "only the hello is in clear");
        let length = usize::from(u16::from_be_bytes([high, low]));
        assert!(length <= 16_640, "RFC 8446 §5.2");
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        assert!(kind != CHANGE_CIPHER_SPEC || body == [1], "{body:?}");
        records.push(Record { kind, head: *head, body });
        bytes = rest;
    }
    records
}

struct Hello {
    random: Vec<u8>,
    suite: u16,
    versions: Vec<u16>,
    group: u16,
}

impl Hello {
    fn parse(record: &Record<'_>, kind: u8) -> Self {
        let mut bytes = Bytes(record.body);
        assert_eq!(bytes.number(1), usize::from(kind));
        let mut bytes = Bytes(bytes.vector(3));
        bytes.number(2);
        let random = bytes.take(32).to_vec();
        bytes.vector(1);
        let is_client = kind == 1;
        let suite = if is_client {
            bytes.vector(2);
            bytes.vector(1);
            0
        } else {
            let suite = bytes.short();
            bytes.number(1);
            suite
        };
        let mut hello = Self { random, suite, versions: Vec::new(), group: 0 };
        let mut extensions = Bytes(bytes.vector(2));
        while !extensions.0.is_empty() {
            let (kind, mut body) = (extensions.short(), Bytes(extensions.vector(2)));
            match kind {
                SUPPORTED_VERSIONS => {
                    let mut list = if is_client { Bytes(body.vector(1)) } else { body };
                    while !list.0.is_empty() {
                        hello.versions.push(list.short());
                    }
                }
                KEY_SHARE if !is_client => hello.group = body.short(),
                _ => {}
            }
        }
        hello
    }
}

struct Suite {
    hash: hkdf::Algorithm,
    cipher: &'static aead::Algorithm,
}

struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
}

impl Suite {
    fn of(number: u16) -> Self {
        match number {
            0x1301 => Self { hash: hkdf::HKDF_SHA256, cipher: &aead::AES_128_GCM },
            0x1302 => Self { hash: hkdf::HKDF_SHA384, cipher: &aead::AES_256_GCM },
            0x1303 => Self { hash: hkdf::HKDF_SHA256, cipher: &aead::CHACHA20_POLY1305 },
            other => panic!("cipher suite {other:#x} isn't one of TLS 1.3"),
        }
    }

    /// RFC 8446 §7.3.
    fn key(&self, secret: &[u8]) -> Key {
        let secret = hkdf::Prk::new_less_safe(self.hash, secret);
        let mut key = vec![0; self.cipher.key_len()];
        expand(&secret, "key", &mut key);
        let mut iv = [0; 12];
        expand(&secret, "iv", &mut iv);
        Key { key: LessSafeKey::new(UnboundKey::new(self.cipher, &key).unwrap()), iv }
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context, RFC 8446 §7.1.
fn expand(secret: &hkdf::Prk, label: &str, out: &mut [u8]) {
    let label = format!("tls13 {label}");
    let length = u16::try_from(out.len()).unwrap().to_be_bytes();
    let info = [&length[..], &[u8::try_from(label.len()).unwrap()], label.as_bytes(), &[0]];
    secret.expand(&info, Length(out.len())).unwrap().fill(out).unwrap();
}

impl Key {
    /// The content type and content of record number `sequence`, RFC 8446 §5.2 and §5.3.
    fn open(&self, sequence: u64, record: &Record<'_>) -> (u8, Vec<u8>) {
        let mut nonce = self.iv;
        for (byte, mask) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *byte ^= mask;
        }
        let mut body = record.body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(record.head), &mut body);
        let mut content = opened.expect("a record that its key opens").to_vec();
        while content.last() == Some(&0) {
            content.pop();
        }
        (content.pop().unwrap(), content)
    }
}

/// Handshake messages up to `Finished`, and application data after it.
fn unseal(records: &[Record<'_>], (handshake, application): (Key, Key)) -> (Vec<u8>, Vec<u8>) {
    let (mut messages, mut data) = (Vec::new(), Vec::new());
    let (mut key, mut sequence, mut is_finished) = (&handshake, 0, false);
    for record in records.iter().filter(|record| record.kind == APPLICATION_DATA) {
        let (kind, content) = key.open(sequence, record);
        sequence += 1;
        match kind {
            HANDSHAKE if !is_finished => {
                messages.extend(content);
                is_finished = self::messages(&messages).any(|(kind, _)| kind == 20);
                if is_finished {
                    (key, sequence) = (&application, 0);
                }
            }
            APPLICATION_DATA => data.extend(content),
            // Alerts, and messages after the handshake.
            _ => {}
        }
    }
    (messages, data)
}

/// Whole handshake messages: type and body.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[kind, a, b, c], body) = rest.split_first_chunk::<4>()?;
        let (body, after) = body.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
        rest = after;
        Some((kind, body))
    })
}

/// URI names of the first certificate in these messages.
fn names(bytes: &[u8]) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let (_, message) = messages(bytes).find(|(kind, _)| *kind == 11).expect("a Certificate message");
    let mut message = Bytes(message);
    message.vector(1);
    let der = Bytes(message.vector(3)).vector(3);
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().expect("a certificate of the mesh has names");
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, width: usize) -> usize {
        self.take(width).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn short(&mut self) -> u16 {
        u16::try_from(self.number(2)).unwrap()
    }

    /// Bytes behind their length, which has this width.
    fn vector(&mut self, width: usize) -> &'a [u8] {
        let length = self.number(width);
        self.take(length)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
