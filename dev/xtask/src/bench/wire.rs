//! HTTP/1.1 as far as it takes to read metrics and to fire requests: one connection, one request after the other.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// One connection.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

/// One answer.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECTS_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer. The bodies that come here have a length.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        self.reader.get_mut().write_all(text.as_bytes())?;
        let status = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    Connection::open(address)?.ask("GET", path, "", "")
}

/// The samples of an exposition: the sum over those of this name whose labels contain all of these, as they are written.
pub fn sum(exposition: &str, name: &str, labels: &[&str]) -> f64 {
    let values = samples(exposition, name).filter(|(found, _)| labels.iter().all(|label| found.contains(label)));
    values.map(|(_, value)| value).sum()
}

/// The samples of a name, added up by the values of these labels.
pub fn by_labels<const N: usize>(exposition: &str, name: &str, labels: [&str; N]) -> BTreeMap<[String; N], f64> {
    let mut sums: BTreeMap<[String; N], f64> = BTreeMap::new();
    for (found, value) in samples(exposition, name) {
        *sums.entry(labels.map(|label| label_of(found, label))).or_default() += value;
    }
    sums
}

fn samples<'a>(exposition: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    exposition.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = if rest.starts_with('{') { rest.rsplit_once('}')? } else { ("", rest.strip_prefix(' ')?) };
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

fn label_of(labels: &str, name: &str) -> String {
    let value = labels.split(['{', ',']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
    value.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str =
        "# TYPE a counter\na_total{verb=\"GET\",code=\"200\"} 2\na_total{verb=\"GET\",code=\"404\"} 1\na_total_more 7\nb 1.5\n";

    #[test]
    fn samples_are_added_up() {
        assert!((sum(EXPOSITION, "a_total", &["verb=\"GET\""]) - 3.0).abs() < f64::EPSILON);
        assert!((sum(EXPOSITION, "b", &[]) - 1.5).abs() < f64::EPSILON);
        let by_code = by_labels(EXPOSITION, "a_total", ["code"]);
        assert_eq!(by_code.into_iter().map(|([code], _)| code).collect::<Vec<_>>(), ["200", "404"]);
    }
}
