//! Which authorities may vouch for nuvo: the public ones, those of a file, which is read again when it changes, and those of an account.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret, SecretString};

use super::error::Error;

/// The authorities that all accounts share, and those of one account.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    /// Those of the platform; none if it has none.
    public: Option<Arc<dyn ServerCertVerifier>>,
    additional: Option<Arc<AuthorityFile>>,
    account: Option<Arc<dyn ServerCertVerifier>>,
}

impl Trust {
    /// # Errors
    /// [`Error::Setup`] when there is no TLS provider, or no authority at all.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, Error> {
        let provider = CryptoProvider::get_default().ok_or(Error::Setup { reason: "no TLS provider is installed" })?.clone();
        let public = rustls_platform_verifier::Verifier::new(provider.clone());
        if public.is_err() && file.is_none() {
            return Err(Error::Setup { reason: "the TLS client cannot be built (are there root certificates?)" });
        }
        Ok(Self {
            public: public.ok().map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>),
            additional: file.map(|file| Arc::new(AuthorityFile { path: file.to_owned(), read: Mutex::default() })),
            account: None,
            provider,
        })
    }

    /// Also trusts these authorities.
    ///
    /// # Errors
    /// [`Error::Setup`] when they are not authorities in PEM.
    pub(crate) fn also(&self, pem: &str) -> Result<Self, Error> {
        let account = verifier(pem.as_bytes(), &self.provider).map_err(|_| Error::Setup { reason: "the authorities cannot be used" })?;
        Ok(Self { account: Some(account), ..self.clone() })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let additional = self.additional.as_ref().and_then(|file| file.verifier(&self.provider));
        let mut result = Err(CertificateError::UnknownIssuer.into());
        for verifier in self.public.iter().cloned().chain(additional).chain(self.account.clone()) {
            result = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            // Another one may know the authority.
            if !matches!(result, Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))) {
                break;
            }
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A file with authorities in PEM.
#[derive(Debug)]
struct AuthorityFile {
    path: PathBuf,
    read: Mutex<Read>,
}

/// What was last read of it.
#[derive(Debug, Default)]
struct Read {
    contents: Option<Vec<u8>>,
    verifier: Option<Arc<dyn ServerCertVerifier>>,
}

impl AuthorityFile {
    /// What the file says now, or said when it could last be understood. It is read for each new connection: that is cheap next to a
    /// handshake, and holds for each way in which a file is replaced.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Option<Arc<dyn ServerCertVerifier>> {
        let contents = fs::read(&self.path).ok();
        let mut read = self.read.lock();
        if read.contents != contents {
            let understood = contents.as_deref().ok_or("it cannot be read".to_owned()).and_then(|pem| verifier(pem, provider));
            match understood {
                Ok(verifier) => read.verifier = Some(verifier),
                Err(error) => tracing::warn!(file = %self.path.display(), error, "additional authorities stay as they were"),
            }
            read.contents = contents;
        }
        read.verifier.clone()
    }
}

fn verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let roots = Arc::new(authorities(pem)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
    verifier.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
}

/// Reads a file of authorities once, to find what is wrong with it before it is needed.
///
/// # Errors
/// It cannot be read, has no certificate, or has one that cannot be an authority.
pub fn check_authority_file(file: &Path) -> Result<(), String> {
    authorities(&fs::read(file).map_err(|error| error.to_string())?).map(|_| ())
}

/// Whether this is a certificate chain with its key, in PEM.
///
/// # Errors
/// What is wrong. The text contains nothing of it.
pub fn check_client_certificate(pem: &SecretString) -> Result<(), String> {
    let (chain, key) = client_certificate(pem)?;
    let provider = CryptoProvider::get_default().ok_or("no TLS provider is installed")?;
    CertifiedKey::from_der(chain, key, provider).map(|_| ()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        _ => "the certificate or its key cannot be used".to_owned(),
    })
}

/// The chain and the key in a PEM.
pub(crate) fn client_certificate(pem: &SecretString) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let pem = pem.expose_secret().as_bytes();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("there is no certificate in tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key in tls.key")?;
    Ok((chain, key))
}

/// Whether these are certificates of authorities, in PEM.
///
/// # Errors
/// What is wrong.
pub fn check_authorities(pem: &str) -> Result<(), String> {
    authorities(pem.as_bytes()).map(|_| ())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}
