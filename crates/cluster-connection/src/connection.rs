//! A server, a user and a namespace.

use std::env;

use http::Uri;
use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{error::ConnectionError, proxy};

/// What flags choose in a kubeconfig instead of what it says itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// The name of a context.
    pub context: Option<&'a str>,
    /// The name of a cluster.
    pub cluster: Option<&'a str>,
    /// The name of a user.
    pub user: Option<&'a str>,
}

/// What a context of a kubeconfig leads to. Flags may change it before it becomes the configuration of a client.
#[derive(Debug)]
pub struct Connection {
    /// The namespace of requests that name none.
    pub namespace: Option<String>,
    /// The server.
    pub cluster: Cluster,
    /// The user.
    pub user: AuthInfo,
}

impl Connection {
    /// That of the pod's ServiceAccount.
    ///
    /// # Errors
    /// [`ConnectionError::NoCluster`]
    pub fn of_pod() -> Result<Self, ConnectionError> {
        let config = Config::incluster()?;
        let authority = config.root_cert_file.map(|file| file.display().to_string());
        let server = Some(config.cluster_url.to_string());
        let cluster = Cluster { server, certificate_authority: authority, ..Cluster::default() };
        Ok(Self { namespace: Some(config.default_namespace), cluster, user: config.auth_info })
    }

    /// What is selected in a kubeconfig. Unlike kube, kubectl needs no context if flags say the rest, and refuses an unknown user.
    ///
    /// # Errors
    /// [`ConnectionError::Kubeconfig`], [`ConnectionError::NoUser`]
    pub fn of_kubeconfig(kubeconfig: &Kubeconfig, selection: Selection<'_>) -> Result<Self, ConnectionError> {
        let named = selection.context.or(kubeconfig.current_context.as_deref()).filter(|name| !name.is_empty());
        let context = match named {
            Some(name) => {
                let found = kubeconfig.contexts.iter().find(|context| context.name == *name);
                found.and_then(|found| found.context.clone()).ok_or_else(|| KubeconfigError::LoadContext(name.to_owned()))?
            }
            None => Context::default(),
        };
        let cluster_of = |name: &str| kubeconfig.clusters.iter().find(|found| found.name == name)?.cluster.clone();
        let cluster = match selection.cluster {
            Some(name) => cluster_of(name).ok_or_else(|| KubeconfigError::LoadClusterOfContext(name.to_owned()))?,
            None => cluster_of(&context.cluster).unwrap_or_default(),
        };
        let user_of = |name: &str| kubeconfig.auth_infos.iter().find(|found| found.name == name)?.auth_info.clone();
        let user = match selection.user {
            Some(name) => user_of(name).ok_or_else(|| ConnectionError::NoUser(name.to_owned()))?,
            None => context.user.as_deref().and_then(user_of).unwrap_or_default(),
        };
        Ok(Self { namespace: context.namespace, cluster, user })
    }

    /// The configuration of a client. Reads the files that are named, and the variables of the environment about proxies.
    ///
    /// # Errors
    /// What is configured cannot be used.
    pub fn into_config(mut self) -> Result<Config, ConnectionError> {
        let server = self.cluster.server.as_ref().ok_or(KubeconfigError::MissingClusterUrl)?;
        let server: Uri = server.parse().map_err(KubeconfigError::ParseClusterUrl)?;
        // kubectl sends no credentials in the clear.
        if server.scheme_str() == Some("http") {
            self.user = AuthInfo {
                impersonate: self.user.impersonate,
                impersonate_uid: self.user.impersonate_uid,
                impersonate_groups: self.user.impersonate_groups,
                impersonate_user_extra: self.user.impersonate_user_extra,
                ..AuthInfo::default()
            };
        }
        // kube refuses a key without a certificate, which kubectl ignores.
        if self.user.client_certificate.is_none() && self.user.client_certificate_data.is_none() {
            (self.user.client_key, self.user.client_key_data) = (None, None);
        }
        // It also reads the certificate authority.
        let shown = ExecAuthCluster::try_from(&self.cluster)?;
        let insecure = self.cluster.insecure_skip_tls_verify == Some(true);
        if insecure && shown.certificate_authority_data.is_some() {
            return Err(ConnectionError::InsecureWithAuthority);
        }
        let named = self.cluster.proxy_url.as_deref().filter(|proxy| !proxy.is_empty());
        let mut config = Config::new(server.clone());
        config.proxy_url = match named {
            Some(proxy) => Some(proxy::of_kubeconfig(proxy)?),
            None => proxy::of_environment(&server, |name| env::var(name).ok())?,
        };
        config.root_cert = shown.certificate_authority_data.as_deref().map(certificates).transpose()?;
        // Data comes before a file. A file is read again when it changes.
        if self.cluster.certificate_authority_data.is_none() {
            config.root_cert_file = self.cluster.certificate_authority.map(Into::into);
        }
        config.accept_invalid_certs = insecure;
        config.tls_server_name = self.cluster.tls_server_name;
        config.disable_compression = self.cluster.disable_compression.unwrap_or(false);
        config.default_namespace = self.namespace.unwrap_or_else(|| "default".to_owned());
        if let Some(exec) = self.user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
            exec.cluster = Some(shown);
        }
        config.auth_info = self.user;
        Ok(config)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ConnectionError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).map(|found| found.map(|one| one.to_vec())).collect();
    let read = read.map_err(|error| ConnectionError::Authority(error.to_string()))?;
    if read.is_empty() { Err(ConnectionError::Authority("there is no certificate in it".to_owned())) } else { Ok(read) }
}
