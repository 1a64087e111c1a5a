//! Asking the control plane of a running mesh.

use std::path::PathBuf;
use std::time::Duration;

use leno_wire::status::{Client, ListObjectsResponse, ListProxiesResponse, StatusError};
use leno_wire::transport::{Address, Remote};
use tokio::time::timeout;

use crate::mesh::Running;

/// How long an answer may take. One that hangs must not keep anybody from seeing the rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Silence {
    /// It cannot be reached, or does not take the question.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It takes too long.
    #[error("there is no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Every object that was read.
pub(crate) async fn objects(mesh: &Running) -> Result<ListObjectsResponse, Silence> {
    let asking = async { Ok(connect(mesh.control()).await?.objects().await?) };
    timeout(PATIENCE, asking).await.unwrap_or(Err(Silence::Late))
}

/// Every connected proxy, and every object that was read.
pub(crate) async fn everything(
    mesh: &Running,
) -> Result<(ListProxiesResponse, ListObjectsResponse), Silence> {
    let asking = async {
        let mut client = connect(mesh.control()).await?;
        Ok((client.proxies().await?, client.objects().await?))
    };
    timeout(PATIENCE, asking).await.unwrap_or(Err(Silence::Late))
}

/// Every connected proxy, of the control plane at this socket.
pub(crate) async fn proxies(socket: PathBuf) -> Result<ListProxiesResponse, Silence> {
    let asking = async { Ok(connect(socket).await?.proxies().await?) };
    timeout(PATIENCE, asking).await.unwrap_or(Err(Silence::Late))
}

async fn connect(socket: PathBuf) -> Result<Client, StatusError> {
    Client::connect(&Remote { address: Address::Unix(socket), tls: None, token: None }).await
}
