//! The keys and certificates of one control plane.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::{Context, Error};

/// Files in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// The certificate authority.
    pub(crate) ca: PathBuf,
    /// The certificate of the API server, and of everything that stands in for it on this machine.
    pub(crate) server: PathBuf,
    pub(crate) server_key: PathBuf,
    /// Signs the tokens of service accounts.
    pub(crate) tokens_key: PathBuf,
    pub(crate) tokens_public: PathBuf,
}

impl Certificates {
    /// Makes new ones in this folder.
    pub(crate) fn create(folder: &Path) -> Result<Self, Error> {
        let paths = Self {
            ca: folder.join("ca.crt"),
            server: folder.join("server.crt"),
            server_key: folder.join("server.key"),
            tokens_key: folder.join("service-accounts.key"),
            tokens_public: folder.join("service-accounts.pub"),
        };
        paths.write().context(|| format!("making certificates in {}", folder.display()))?;
        Ok(paths)
    }

    fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "controlplane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate()?;
        fs::write(&self.ca, ca.self_signed(&ca_key)?.pem())?;
        let issuer = Issuer::new(ca, ca_key);

        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"];
        let mut server = CertificateParams::new(names.map(str::to_owned))?;
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
