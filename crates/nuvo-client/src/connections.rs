//! The HTTP clients, which all accounts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;

use super::error::Error;
use super::trust::{self, Trust};

/// The HTTP clients that all accounts share. Each holds the root certificates, so that many accounts would otherwise cost many copies of them;
/// it holds nothing of an account.
#[derive(Clone, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    authority_file: Option<PathBuf>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    trust: Option<Arc<Trust>>,
    clients: Vec<(ConnectionSetup, reqwest::Client)>,
}

/// The TLS settings of one account, besides those that all accounts share.
#[derive(Debug, Clone, Default)]
pub struct AccountTls {
    /// Authorities in PEM that may vouch for nuvo as well.
    pub authorities: Option<String>,
    /// The certificate that the client shows, with its key, in PEM.
    pub client_certificate: Option<SecretString>,
}

/// The set-up of an HTTP client; clients with equal ones are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionSetup {
    /// The time for DNS, TCP and TLS.
    pub(crate) connect_timeout: Duration,
    /// Whether idle connections are kept. Without it each request has its own connection, so a failure to connect proves that nothing was
    /// sent.
    pub(crate) reuse: bool,
    /// Whether to use the proxies that the environment names.
    pub(crate) use_env_proxy: bool,
}

impl Connections {
    /// Clients that also trust the authorities of this file.
    #[must_use]
    pub fn trusting(authority_file: PathBuf) -> Self {
        Self(Arc::new(Shared { authority_file: Some(authority_file), made: Mutex::default() }))
    }

    /// The client with this set-up, which is built on first use. One with TLS settings of its own is not shared.
    ///
    /// # Errors
    /// [`Error::Setup`] when TLS cannot be set up.
    pub(crate) fn client(&self, setup: ConnectionSetup, tls: &AccountTls) -> Result<reqwest::Client, Error> {
        let AccountTls { authorities, client_certificate } = tls;
        let is_shared = authorities.is_none() && client_certificate.is_none();
        let mut made = self.0.made.lock();
        if let Some((_, client)) = made.clients.iter().find(|(other, _)| is_shared && *other == setup) {
            return Ok(client.clone());
        }
        let trust = match &made.trust {
            Some(trust) => trust.clone(),
            None => made.trust.insert(Arc::new(Trust::new(self.0.authority_file.as_deref())?)).clone(),
        };
        let trust = match authorities {
            Some(pem) => Arc::new(trust.also(pem)?),
            None => trust,
        };
        let client = build(setup, trust, client_certificate.as_ref())?;
        if is_shared {
            made.clients.push((setup, client.clone()));
        }
        Ok(client)
    }
}

/// Builds a client that never follows, retries, decompresses or uses a proxy unasked.
fn build(setup: ConnectionSetup, trust: Arc<Trust>, certificate: Option<&SecretString>) -> Result<reqwest::Client, Error> {
    let ConnectionSetup { connect_timeout, reuse, use_env_proxy } = setup;
    let unusable = Error::Setup { reason: "the client certificate cannot be used" };
    let tls = rustls::ClientConfig::builder().dangerous().with_custom_certificate_verifier(trust);
    let mut tls = match certificate {
        Some(pem) => {
            let (chain, key) = trust::client_certificate(pem).map_err(|_| unusable.clone())?;
            tls.with_client_auth_cert(chain, key).map_err(|_| unusable)?
        }
        None => tls.with_no_client_auth(),
    };
    // A resumed session would not check the certificate, so that an authority that was removed would still count.
    tls.resumption = rustls::client::Resumption::disabled();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("nuvo-operator/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .connect_timeout(connect_timeout);
    if !reuse {
        builder = builder.pool_max_idle_per_host(0);
    }
    if !use_env_proxy {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|_| Error::Setup { reason: "the TLS client cannot be built" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn http_clients_with_equal_set_up_are_shared() {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let (connections, tls) = (Connections::default(), AccountTls::default());
        let made = || connections.0.made.lock().clients.len();
        let setup = ConnectionSetup { connect_timeout: Duration::from_secs(5), reuse: true, use_env_proxy: false };
        for _ in 0..3 {
            connections.clone().client(setup, &tls).unwrap();
            connections.clone().client(ConnectionSetup { reuse: false, ..setup }, &tls).unwrap();
        }
        assert_eq!(made(), 2);
        connections.client(ConnectionSetup { use_env_proxy: true, ..setup }, &tls).unwrap();
        assert_eq!(made(), 3);
    }
}
