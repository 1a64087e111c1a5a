//! `relay`: the least that a proxy can do, as the floor of every comparison.
//!
//! One thread, two buffers per connection, plaintext, no look at the bytes. Half-close is passed on.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::Semaphore,
    task::LocalSet,
};

use crate::{limits, options::Relay};

/// See the module. Runs until it is killed.
pub(crate) fn run(arguments: Relay) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, serve(arguments))
}

async fn serve(arguments: Relay) -> Result<()> {
    let address = arguments.listen;
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let mut ended = std::pin::pin!(terminated());
    let places = Arc::new(Semaphore::new(limits::RELAY_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            done = &mut ended => return done,
        };
        let Ok((downstream, _)) = accepted else { continue };
        start(async move {
            // How a connection ends is its peers' affair.
            let _ = forward(downstream, arguments.connect).await;
            drop(place);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the floor of the comparison is bare tokio")]
fn start(task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(task);
}

async fn terminated() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

async fn forward(mut downstream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(address).await?;
    downstream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (from_client, to_client) = downstream.split();
    let (from_server, to_server) = upstream.split();
    tokio::try_join!(copy(from_client, to_server), copy(from_server, to_client))?;
    Ok(())
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; limits::RELAY_BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
