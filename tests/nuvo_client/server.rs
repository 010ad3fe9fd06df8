//! A server that answers with given bytes, one request per connection, and remembers every request.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(String),
    /// These bytes, then silence.
    ThenHang(String),
    /// The end of the connection.
    Close,
    /// Silence.
    Hang,
    /// Something after a while.
    After(Duration, Box<Answer>),
}

pub fn raw(bytes: &str) -> Answer {
    Answer::Bytes(bytes.to_owned())
}

pub fn json(status: u16, body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

pub struct Server {
    pub origin: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &log, &*answer).await });
            }
        });
        Self { origin, requests, task }
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// How many requests began with this method and path.
    pub fn count(&self, line: &str) -> usize {
        self.requests().iter().filter(|r| r.starts_with(&format!("{line} "))).count()
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, answer: &(dyn Fn(&str) -> Answer + Send + Sync)) {
    let mut bytes = Vec::new();
    let request = loop {
        let mut chunk = [0; 4_096];
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().split("content-length: ").nth(1).and_then(|l| l.lines().next()?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                break text;
            }
        } else if !text.is_ascii() || text.len() > 64 && !text.contains("HTTP/1.1") {
            // Not HTTP (a TLS greeting, for instance).
            return;
        }
    };
    log.lock().push(request.clone());
    let mut answer = answer(&request);
    while let Answer::After(pause, then) = answer {
        tokio::time::sleep(pause).await;
        answer = *then;
    }
    match answer {
        Answer::Bytes(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::ThenHang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Answer::Hang => std::future::pending::<()>().await,
        Answer::Close | Answer::After(..) => {}
    }
}

/// An origin on which nothing listens.
pub async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
