//! Byte streams, and where HTTP/2's tasks run.

use tokio::io::{AsyncRead, AsyncWrite};

/// A connected stream of bytes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any stream of bytes. Discovery moves little, so a call through a table costs nothing that counts.
pub(crate) type Stream = Box<dyn Io>;

/// Runs what an HTTP/2 connection starts. These tasks end with their connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        leno_runtime::spawn("wire.http2", future).detach();
    }
}
