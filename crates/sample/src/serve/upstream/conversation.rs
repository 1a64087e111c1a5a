//! A kept connection to a stock service.

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::CallError;
use crate::client;
use crate::stock::{self, StockError};

/// A conversation with a stock service, past its greeting.
#[derive(Debug)]
pub(super) struct StockClient {
    io: BufReader<TcpStream>,
    pub(super) service: String,
    pub(super) version: String,
}

impl StockClient {
    pub(super) async fn open(address: &str) -> Result<Self, CallError> {
        let mut io = BufReader::new(client::dial(address).await?);
        let line = stock::read_line(&mut io).await?.ok_or(StockError::Closed)?;
        let (service, version) = stock::greeted(&line)?;
        Ok(Self { service: service.to_owned(), version: version.to_owned(), io })
    }

    /// Whether the server neither closed nor said something unasked.
    pub(super) fn is_open(&self) -> bool {
        let nothing = self.io.get_ref().try_read(&mut [0]);
        self.io.buffer().is_empty()
            && nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    pub(super) async fn ask(&mut self, line: &str) -> Result<String, StockError> {
        self.io.write_all(format!("{line}\n").as_bytes()).await?;
        stock::read_line(&mut self.io).await?.ok_or(StockError::Closed)
    }
}
