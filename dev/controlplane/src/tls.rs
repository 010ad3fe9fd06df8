//! TLS in front of a plain server, with certificates that are right or wrong in a chosen way.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncWriteExt as _, copy, copy_bidirectional, sink};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::certificates::provider;
use crate::listener::Listener;
use crate::{Context, Error, lock};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// It was.
    Expired,
    /// It will be.
    NotYet,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A client certificate is checked before the client sends a request.
    Tls12,
    /// A client certificate is checked while the client already sends.
    Tls13,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// An authority that exists only here.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one.
    pub fn new(name: &str) -> Result<Self, Error> {
        let made = || -> Result<Self, rcgen::Error> {
            let mut ca = CertificateParams::new(Vec::new())?;
            ca.distinguished_name.push(DnType::CommonName, name);
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate()?;
            Ok(Self { pem: ca.self_signed(&key)?.pem(), issuer: Issuer::new(ca, key) })
        };
        made().context(|| format!("the authority {name}"))
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server or a client of this name.
    pub fn issue(&self, name: &str, validity: Validity) -> Result<Identity, Error> {
        let made = || -> Result<Identity, rcgen::Error> {
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            match validity {
                Validity::Now => {}
                Validity::Expired => params.not_after = date_time_ymd(2001, 1, 1),
                Validity::NotYet => params.not_before = date_time_ymd(3001, 1, 1),
            }
            let key = KeyPair::generate()?;
            Ok(Identity { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
        };
        made().context(|| format!("the certificate of {name}"))
    }
}

/// TLS in front of a plain server. It ends when it is dropped.
pub struct TlsFront {
    listener: Listener,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl TlsFront {
    /// Starts in front of this port of 127.0.0.1, as this server.
    pub fn start(upstream: u16, identity: &Identity) -> Result<Self, Error> {
        Self::serve(upstream, acceptor(identity, None)?)
    }

    /// The same for clients with a certificate of this authority only.
    pub fn with_clients_of(upstream: u16, identity: &Identity, clients: &Authority, version: Version) -> Result<Self, Error> {
        Self::serve(upstream, acceptor(identity, Some((clients, version)))?)
    }

    fn serve(upstream: u16, acceptor: TlsAcceptor) -> Result<Self, Error> {
        let acceptor = Arc::new(Mutex::new(acceptor));
        let for_thread = Arc::clone(&acceptor);
        let listener = Listener::start("TLS front", move |stream| forward(stream, lock(&for_thread).clone(), upstream))?;
        Ok(Self { listener, acceptor })
    }

    /// The URL of its origin.
    pub fn origin(&self) -> String {
        format!("https://{}", self.listener.address())
    }

    /// Is another server to connections from now on.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), Error> {
        *lock(&self.acceptor) = acceptor(identity, None)?;
        Ok(())
    }

    /// Accepts only clients with a certificate of this authority from now on.
    pub fn set_clients(&self, identity: &Identity, clients: &Authority, version: Version) -> Result<(), Error> {
        *lock(&self.acceptor) = acceptor(identity, Some((clients, version)))?;
        Ok(())
    }
}

fn acceptor(identity: &Identity, clients: Option<(&Authority, Version)>) -> Result<TlsAcceptor, Error> {
    let made = || -> Result<ServerConfig, Failure> {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let config = ServerConfig::builder_with_provider(provider());
        let config = match clients {
            Some((authority, version)) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
                let version = if version == Version::Tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
                config.with_protocol_versions(&[version])?.with_client_cert_verifier(verifier)
            }
            None => config.with_safe_default_protocol_versions()?.with_no_client_auth(),
        };
        Ok(config.with_single_cert(chain, PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?)?)
    };
    Ok(Arc::new(made().context(|| "the TLS front".to_owned())?).into())
}

async fn forward(stream: TcpStream, acceptor: TlsAcceptor, upstream: u16) -> std::io::Result<()> {
    let mut client = match acceptor.accept(stream).into_fallible().await {
        Ok(client) => client,
        Err((_refused, mut stream)) => {
            // A socket that is closed with unread bytes is reset, and its client may lose the reason.
            stream.shutdown().await?;
            return copy(&mut stream, &mut sink()).await.map(|_| ());
        }
    };
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
