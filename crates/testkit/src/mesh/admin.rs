//! A proxy's admin interface as tests ask it: over its Unix socket, one connection for any number of questions.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::Value;

use crate::limits::PATIENCE;

/// A connection to an admin interface.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<UnixStream>,
}

impl Admin {
    /// Opens the socket of a running proxy.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Status and body of the answer to a GET.
    ///
    /// # Errors
    /// Where the proxy has gone.
    pub fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask("GET", path, "")
    }

    /// Status and body of the answer to a POST.
    ///
    /// # Errors
    /// Where the proxy has gone.
    pub fn post(&mut self, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        self.ask("POST", path, &body.to_string())
    }

    /// All metrics as they are now.
    ///
    /// # Errors
    /// Where the proxy has gone.
    pub fn metrics(&mut self) -> std::io::Result<Metrics> {
        let (_, text) = self.get("/stats/prometheus")?;
        Ok(Metrics::parse(&text))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: {length}\r\n\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no answer but {line:?}")))?;
        let (mut body, mut length, mut is_chunked) = (Vec::new(), 0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        if is_chunked {
            while self.read_chunk(&mut body)? {}
        } else {
            self.read(length, &mut body)?;
        }
        Ok((status, String::from_utf8(body).map_err(std::io::Error::other)?))
    }

    /// False at the last chunk.
    fn read_chunk(&mut self, body: &mut Vec<u8>) -> std::io::Result<bool> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        self.read(size, body)?;
        self.stream.read_line(&mut line)?;
        Ok(size > 0)
    }

    fn read(&mut self, bytes: usize, body: &mut Vec<u8>) -> std::io::Result<()> {
        let at = body.len();
        body.resize(at + bytes, 0);
        self.stream.read_exact(&mut body[at..])
    }
}

/// Metrics of one moment.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads the text format of Prometheus, as far as our own proxies write it.
    fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = format!(",{}", labels.trim_end_matches('}'));
            Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
        };
        Self { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect() }
    }

    /// The sum of all series of a name that have these labels, among others.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            let label = |(key, value): &(&str, &str)| sample.labels.contains(&format!(",{key}=\"{value}\""));
            sample.name == name && labels.iter().all(label)
        };
        self.samples.iter().filter(has).map(|sample| sample.value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_their_labels() {
        let text = "# HELP r x\n# TYPE r counter\nr{a=\"1\",b=\"x\"} 3\nr{a=\"1\",b=\"y\"} 4\nr{a=\"12\",b=\"y\"} 8\nup 1\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("r", &[]), 15.0);
        assert_eq!(metrics.sum("r", &[("a", "1")]), 7.0);
        assert_eq!(metrics.sum("r", &[("a", "1"), ("b", "y")]), 4.0);
        assert_eq!(metrics.sum("up", &[]), 1.0);
        assert_eq!(metrics.sum("r", &[("c", "1")]), 0.0);
    }
}
