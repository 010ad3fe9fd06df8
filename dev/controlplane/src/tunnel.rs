//! A proxy on the way out, as companies have them: HTTP CONNECT and SOCKS5 on one port, with or without TLS. It writes down what it is
//! asked for.
//!
//! Every host is this machine to it, so a test can use any name, also one that does not exist.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::listener::Listener;
use crate::{ControlPlane, Error, lock};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Journal = Arc<Mutex<Vec<String>>>;

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    listener: Listener,
    journal: Journal,
}

impl Tunnel {
    /// Starts a proxy on a free port of 127.0.0.1.
    pub fn start() -> Result<Self, Error> {
        Self::serve(None)
    }

    /// The same with TLS and the certificate of this control plane.
    pub fn with_tls(server: &ControlPlane) -> Result<Self, Error> {
        let config = server.certificates().server_config().map_err(|error| Error::new(error.to_string()))?;
        Self::serve(Some(Arc::new(config).into()))
    }

    fn serve(tls: Option<TlsAcceptor>) -> Result<Self, Error> {
        let journal = Journal::default();
        let for_thread = Arc::clone(&journal);
        let listener = Listener::start("tunnel", move |stream| connection(stream, tls.clone(), Arc::clone(&for_thread)))?;
        Ok(Self { listener, journal })
    }

    /// Its host and port.
    pub fn address(&self) -> &str {
        self.listener.address()
    }

    /// What it was asked for since the last time: lines such as `CONNECT kubernetes.default.svc:443`, with the credentials at the end.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.journal))
    }
}

/// An error is a connection that one side gave up: the journal says what it was for.
async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, journal: Journal) -> Result<(), Failure> {
    match tls {
        Some(tls) => forward(tls.accept(stream).await?, &journal).await,
        None => forward(stream, &journal).await,
    }
}

async fn forward<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, journal: &Journal) -> Result<(), Failure> {
    let first = client.read_u8().await?;
    let port = if first == 5 { socks(&mut client, journal).await? } else { http(&mut client, first, journal).await? };
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads a request and agrees to a CONNECT.
async fn http<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, first: u8, journal: &Journal) -> Result<u16, Failure> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let credentials = head.lines().filter_map(|line| line.split_once(": "));
    let credentials =
        credentials.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization")).map(|(_, value)| format!(" {value}"));
    lock(journal).push(format!("{method} {target}{}", credentials.collect::<String>()));
    if method != "CONNECT" {
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        client.shutdown().await?;
        return Err("only CONNECT is understood".into());
    }
    let port = target.rsplit(':').next().unwrap_or_default().parse()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    Ok(port)
}

/// The handshake of RFC 1928, after its first byte, without credentials.
async fn socks<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, journal: &Journal) -> Result<u16, Failure> {
    counted(client).await?;
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request {
        [5, 1, 0, 1] => IpAddr::from(client.read_u32().await?.to_be_bytes()).to_string(),
        [5, 1, 0, 3] => String::from_utf8(counted(client).await?)?,
        [5, 1, 0, 4] => IpAddr::from(client.read_u128().await?.to_be_bytes()).to_string(),
        other => return Err(format!("not a SOCKS5 request: {other:?}").into()),
    };
    let port = client.read_u16().await?;
    lock(journal).push(format!("SOCKS5 {host}:{port}"));
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(port)
}

/// Bytes whose number comes first.
async fn counted<S: AsyncRead + Unpin>(client: &mut S) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}
