//! The listeners that aren't HTTP: the stock protocol and the raw echo.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::app::App;
use crate::limits;
use crate::stock::{self, Reply, StockError};
use crate::tasks::Tasks;

/// Serves the stock protocol until the client is done or the process stops; a line under way is answered first.
pub(crate) async fn stock(stream: TcpStream, app: &App) -> Result<(), StockError> {
    let mut io = BufReader::new(stream);
    let greeting = format!("{} {} {}\n", stock::GREETING, app.name, app.version());
    io.write_all(greeting.as_bytes()).await?;
    loop {
        let line = tokio::select! {
            line = stock::read_line(&mut io) => line?,
            () = app.tasks.stopping() => None,
        };
        let Some(line) = line else { break };
        // A failure on purpose is an abrupt close: the protocol has no status for it.
        if app.faults.strike().await.is_some() {
            return Ok(());
        }
        match stock::reply(&line) {
            Reply::Line(reply) => io.write_all(format!("{reply}\n").as_bytes()).await?,
            Reply::Bye => {
                io.write_all(b"BYE\n").await?;
                break;
            }
        }
    }
    io.shutdown().await?;
    Ok(())
}

/// Sends back what comes until the client half-closes, then half-closes too.
pub(crate) async fn echo(mut stream: TcpStream, tasks: &Tasks) -> std::io::Result<()> {
    let mut buffer = vec![0; limits::ECHO_BYTES];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read?,
            () = tasks.stopping() => 0,
        };
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
