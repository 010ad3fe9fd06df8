//! The keys and certificates of one control plane.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{Context, Error};

/// Files in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// The certificate authority.
    pub(crate) ca: PathBuf,
    ca_key: PathBuf,
    /// The certificate of the API server, and of everything that stands in for it on this machine.
    pub(crate) server: PathBuf,
    pub(crate) server_key: PathBuf,
    /// Signs the tokens of service accounts.
    pub(crate) tokens_key: PathBuf,
    pub(crate) tokens_public: PathBuf,
}

impl Certificates {
    /// Makes new ones in this folder. The API server has these names, too.
    pub(crate) fn create(folder: &Path, names: &[String]) -> Result<Self, Error> {
        let paths = Self {
            ca: folder.join("ca.crt"),
            ca_key: folder.join("ca.key"),
            server: folder.join("server.crt"),
            server_key: folder.join("server.key"),
            tokens_key: folder.join("service-accounts.key"),
            tokens_public: folder.join("service-accounts.pub"),
        };
        paths.write(names).context(|| format!("making certificates in {}", folder.display()))?;
        Ok(paths)
    }

    /// A certificate and a key in this folder, with which a client is this user of this group.
    pub(crate) fn client(&self, folder: &Path, user: &str, group: Option<&str>) -> Result<(PathBuf, PathBuf), Error> {
        let (certificate, key) = (folder.join(format!("{user}.crt")), folder.join(format!("{user}.key")));
        self.write_client(user, group, &certificate, &key).context(|| format!("making the certificate {}", certificate.display()))?;
        Ok((certificate, key))
    }

    /// What a server with the certificate of the API server needs.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_file_iter(&self.server)?.collect::<Result<Vec<_>, _>>()?;
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(config.with_single_cert(chain, PrivateKeyDer::from_pem_file(&self.server_key)?)?)
    }

    fn write_client(&self, user: &str, group: Option<&str>, certificate: &Path, key: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let issuer = Issuer::new(authority()?, KeyPair::from_pem(&fs::read_to_string(&self.ca_key)?)?);
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            client.distinguished_name.push(DnType::OrganizationName, group);
        }
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate()?;
        fs::write(certificate, client.signed_by(&client_key, &issuer)?.pem())?;
        fs::write(key, client_key.serialize_pem())?;
        Ok(())
    }

    fn write(&self, more_names: &[String]) -> Result<(), Box<dyn std::error::Error>> {
        let (ca, ca_key) = (authority()?, KeyPair::generate()?);
        fs::write(&self.ca, ca.self_signed(&ca_key)?.pem())?;
        fs::write(&self.ca_key, ca_key.serialize_pem())?;
        let issuer = Issuer::new(ca, ca_key);

        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"].map(str::to_owned);
        let mut server = CertificateParams::new([&names, more_names].concat())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        fs::write(&self.server, server.signed_by(&server_key, &issuer)?.pem())?;
        fs::write(&self.server_key, server_key.serialize_pem())?;

        let tokens = KeyPair::generate()?;
        fs::write(&self.tokens_key, tokens.serialize_pem())?;
        fs::write(&self.tokens_public, tokens.public_key_pem())?;
        Ok(())
    }
}

/// Not the provider of the process: a library must neither need nor choose it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "controlplane");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(ca)
}
