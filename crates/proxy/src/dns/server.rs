//! Mesh DNS: names of the mesh are answered here, all others by the resolver outside, reached through the egress.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_model::failure::Failure;
use leno_model::unit::Answer;
use leno_runtime::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::message::{self, Known, Parsed, Question};
use crate::core::Core;
use crate::dial::dial;
use crate::egress::RESOLVER;
use crate::limits::{CONNECT, DNS_FORWARD, DNS_TCP_CONNECTIONS, DNS_TCP_IDLE, DNS_WAITING};
use crate::local::Local;
use crate::outbound;
use crate::resolve;
use crate::upstream::{self, Client, Spoken, To};

/// Mesh DNS for one workload.
pub(crate) struct Server {
    core: Rc<Core>,
    local: Arc<Local>,
    waiting: Semaphore,
}

impl Server {
    pub(crate) fn new(core: Rc<Core>, local: Arc<Local>) -> Rc<Self> {
        Rc::new(Self { core, local, waiting: Semaphore::new(DNS_WAITING) })
    }

    /// Answers datagrams until the socket fails.
    pub(crate) async fn udp(self: Rc<Self>, socket: UdpSocket) {
        let socket = Rc::new(socket);
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An answer that nobody waits for any more comes back as an error of the socket.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    tracing::warn!(%error, "mesh DNS could not receive");
                    leno_runtime::time::sleep(crate::limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let packet = buffer.get(..length).unwrap_or_default().to_vec();
            let (server, socket) = (Rc::clone(&self), Rc::clone(&socket));
            task::spawn_local("dns", async move {
                if let Some(answer) = server.answer(&packet, true).await {
                    let _gone = socket.send_to(&answer, from).await;
                }
            })
            .detach();
        }
    }

    /// Answers over TCP (RFC 7766) until the listener fails.
    pub(crate) async fn tcp(self: Rc<Self>, listener: TcpListener) {
        let connections = Rc::new(Semaphore::new(DNS_TCP_CONNECTIONS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                leno_runtime::time::sleep(crate::limits::ACCEPT_PAUSE).await;
                continue;
            };
            let (server, connections) = (Rc::clone(&self), Rc::clone(&connections));
            task::spawn_local("dns", async move {
                let Ok(_place) = connections.try_acquire() else { return };
                let _ended = server.tcp_connection(stream).await;
            })
            .detach();
        }
    }

    async fn tcp_connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let packet = match leno_runtime::time::timeout(DNS_TCP_IDLE, framed(&mut stream)).await {
                Ok(packet) => packet?,
                Err(_idle) => return Ok(()),
            };
            let Some(answer) = self.answer(&packet, false).await else { return Ok(()) };
            write_framed(&mut stream, &answer).await?;
        }
    }

    /// The answer to a packet; `None` where none is due.
    async fn answer(&self, packet: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let question = match message::parse(packet) {
            Parsed::Ask(question) => question,
            Parsed::Reply(answer) => return Some(answer),
            Parsed::Drop => return None,
        };
        let limit = if over_udp { question.udp_limit() } else { usize::from(u16::MAX) };
        let Ok(_place) = self.waiting.try_acquire() else {
            return Some(question.answer(&Known::Unavailable, limit));
        };
        let known = match resolve::name(&self.core, &question.name).await {
            Ok(Some(answer)) => self.known(&question, &answer),
            Ok(None) if self.is_ours(&question.name) => Known::Absent,
            Ok(None) => match leno_runtime::time::timeout(DNS_FORWARD, self.forward(packet)).await {
                Ok(Ok(answer)) if over_udp && answer.len() > limit => return Some(question.truncated()),
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(_)) | Err(_) => Known::Unavailable,
            },
            Err(_) => Known::Unavailable,
        };
        Some(question.answer(&known, limit))
    }

    /// Whether the name is one that only the mesh could have, so that nobody else is asked.
    fn is_ours(&self, name: &str) -> bool {
        let view = self.core.view();
        let Some(mesh) = view.mesh.as_deref() else { return false };
        let domain = &*mesh.cluster_domain;
        name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            || !name.contains('.')
    }

    fn known(&self, question: &Question, answer: &Answer) -> Known {
        let view = self.core.view();
        let (host, uid) = match answer {
            Answer::Service(host) => (host, None),
            Answer::Endpoint { host: Some(host), uid } => (host, Some(uid)),
            Answer::Endpoint { host: None, .. } | Answer::Workload { .. } | Answer::Absent { .. } => {
                return Known::Absent;
            }
        };
        let Some(tables) = view.hosts.get(host) else { return Known::Absent };
        let mut addresses: Vec<IpAddr> = match uid {
            None if !tables.unit.headless => tables.unit.vips.clone(),
            uid => tables
                .endpoints
                .endpoints
                .iter()
                .filter(|endpoint| uid.is_none_or(|uid| endpoint.uid == *uid))
                .filter(|endpoint| endpoint.ready)
                .map(|endpoint| endpoint.ip)
                .collect(),
        };
        // Clients take the first: spread them.
        if addresses.len() > 1 {
            let first = usize::try_from(self.core.draw() % addresses.len() as u64).unwrap_or(0);
            addresses.rotate_left(first);
        }
        tracing::trace!(name = question.name, count = addresses.len(), "a name of the mesh was asked for");
        Known::Addresses(addresses)
    }

    /// Asks the resolver outside, over TCP.
    async fn forward(&self, packet: &[u8]) -> Result<Vec<u8>, Failure> {
        let way = {
            let view = self.core.view();
            let to = outbound::external(&view, RESOLVER);
            let To::External { egress: Some(_), .. } = &to else { return Err(Failure::NoDestination) };
            upstream::choose(&self.core, &to, Spoken::Opaque, Client::default(), &[])?.way
        };
        let mut upstream = dial(&self.core, &self.local, &way, CONNECT).await?;
        let broken = |_broken| Failure::UpstreamClosed;
        write_framed(&mut upstream.io, packet).await.map_err(broken)?;
        framed(&mut upstream.io).await.map_err(broken)
    }
}

async fn framed(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn write_framed(stream: &mut (impl AsyncWriteExt + Unpin), packet: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(|_long| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, "a DNS message is at most 65,535 bytes")
    })?;
    let mut framed = Vec::with_capacity(2 + packet.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(packet);
    stream.write_all(&framed).await?;
    stream.flush().await
}
