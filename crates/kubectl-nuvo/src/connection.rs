//! The API server of a command and the user who calls it: from the kubeconfig, the flags and the pod, as kubectl finds them.

use std::{env, path::PathBuf};

use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster, NamedContext},
};

use super::{args::ClusterArgs, error::PluginError};

/// Combines what is configured with the flags, which come first.
///
/// # Errors
/// [`PluginError::Kubeconfig`], [`PluginError::NoUser`], [`PluginError::NoCluster`], [`PluginError::InsecureWithAuthority`].
pub async fn config(args: &ClusterArgs) -> Result<Config, PluginError> {
    let kubeconfig = read(args)?.filter(|kubeconfig| !kubeconfig.clusters.is_empty());
    let selects = [&args.server, &args.context, &args.cluster, &args.user].into_iter().any(Option::is_some);
    let mut connection = match kubeconfig {
        None if !selects => Connection::of_pod()?,
        kubeconfig => Connection::of_kubeconfig(&kubeconfig.unwrap_or_default(), args)?,
    };
    connection.apply(args);
    if connection.cluster.insecure_skip_tls_verify == Some(true) && connection.has_authority() {
        return Err(PluginError::InsecureWithAuthority);
    }
    let mut config = Config::from_custom_kubeconfig(connection.into_kubeconfig(), &KubeConfigOptions::default()).await?;
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if let Some(timeout) = args.request_timeout.filter(|timeout| !timeout.is_zero()) {
        config.connect_timeout = Some(timeout);
        config.read_timeout = Some(timeout);
        // Else a connection would have less time for an answer the longer it was idle before.
        config.reset_reader_on_write = true;
    }
    Ok(config)
}

/// Reads the file of `--kubeconfig`, or merges the files of `KUBECONFIG` that exist, or reads `~/.kube/config`. None if there is no file.
fn read(args: &ClusterArgs) -> Result<Option<Kubeconfig>, KubeconfigError> {
    if let Some(file) = &args.kubeconfig {
        return Kubeconfig::read_from(file).map(Some);
    }
    let files: Vec<PathBuf> = match env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => env::split_paths(&list).collect(),
        None => env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    };
    // kube fails where kubectl skips a missing file. One that cannot be looked at is not missing: reading it says why.
    files.iter().filter(|file| file.try_exists().unwrap_or(true)).try_fold(None, |merged: Option<Kubeconfig>, file| {
        let next = Kubeconfig::read_from(file)?;
        Ok(Some(merged.unwrap_or_default().merge(next)?))
    })
}

/// What a context of a kubeconfig leads to.
struct Connection {
    namespace: Option<String>,
    cluster: Cluster,
    user: AuthInfo,
}

impl Connection {
    /// That of the pod's ServiceAccount.
    fn of_pod() -> Result<Self, PluginError> {
        let config = Config::incluster()?;
        let authority = config.root_cert_file.map(|file| file.display().to_string());
        let server = Some(config.cluster_url.to_string());
        let cluster = Cluster { server, certificate_authority: authority, ..Cluster::default() };
        Ok(Self { namespace: Some(config.default_namespace), cluster, user: config.auth_info })
    }

    /// Unlike kube, kubectl needs no context if flags say the rest, and refuses an unknown `--user`.
    fn of_kubeconfig(kubeconfig: &Kubeconfig, args: &ClusterArgs) -> Result<Self, PluginError> {
        let named = args.context.as_ref().or(kubeconfig.current_context.as_ref()).filter(|name| !name.is_empty());
        let context = match named {
            Some(name) => {
                let found = kubeconfig.contexts.iter().find(|context| context.name == *name);
                found.and_then(|found| found.context.clone()).ok_or_else(|| KubeconfigError::LoadContext(name.clone()))?
            }
            None => Context::default(),
        };
        let cluster_of = |name: &str| kubeconfig.clusters.iter().find(|found| found.name == name)?.cluster.clone();
        let cluster = match &args.cluster {
            Some(name) => cluster_of(name).ok_or_else(|| KubeconfigError::LoadClusterOfContext(name.clone()))?,
            None => cluster_of(&context.cluster).unwrap_or_default(),
        };
        let user_of = |name: &str| kubeconfig.auth_infos.iter().find(|found| found.name == name)?.auth_info.clone();
        let user = match &args.user {
            Some(name) => user_of(name).ok_or_else(|| PluginError::NoUser(name.clone()))?,
            None => context.user.as_deref().and_then(user_of).unwrap_or_default(),
        };
        Ok(Self { namespace: context.namespace, cluster, user })
    }

    fn has_authority(&self) -> bool {
        self.cluster.certificate_authority.is_some() || self.cluster.certificate_authority_data.is_some()
    }

    fn apply(&mut self, args: &ClusterArgs) {
        // Each of these replaces all that the kubeconfig says about trust.
        if args.insecure_skip_tls_verify || args.certificate_authority.is_some() {
            self.cluster.insecure_skip_tls_verify = Some(args.insecure_skip_tls_verify);
            self.cluster.certificate_authority.clone_from(&args.certificate_authority);
            self.cluster.certificate_authority_data = None;
        }
        // The name in the kubeconfig is that of another server.
        if args.tls_server_name.is_some() || args.server.is_some() {
            self.cluster.tls_server_name.clone_from(&args.tls_server_name);
        }
        if let Some(server) = &args.server {
            self.cluster.server = Some(if server.contains("://") { server.clone() } else { format!("http://{server}") });
        }
        if let Some(token) = &args.token {
            self.user.token = Some(token.clone().into());
            // kube would prefer these to a token.
            (self.user.auth_provider, self.user.username) = (None, None);
        }
        if args.client_certificate.is_some() {
            self.user.client_certificate.clone_from(&args.client_certificate);
            self.user.client_certificate_data = None;
        }
        if args.client_key.is_some() {
            self.user.client_key.clone_from(&args.client_key);
            self.user.client_key_data = None;
        }
        // kube refuses a key without a certificate, which kubectl ignores.
        if self.user.client_certificate.is_none() && self.user.client_certificate_data.is_none() {
            (self.user.client_key, self.user.client_key_data) = (None, None);
        }
        if args.as_user.is_some() {
            self.user.impersonate.clone_from(&args.as_user);
        }
        if args.as_uid.is_some() {
            self.user.impersonate_uid.clone_from(&args.as_uid);
        }
        if !args.as_group.is_empty() {
            self.user.impersonate_groups = Some(args.as_group.clone());
        }
        // kubectl sends no credentials in the clear.
        if self.cluster.server.as_ref().is_some_and(|server| server.starts_with("http://")) {
            let AuthInfo { impersonate, impersonate_uid, impersonate_groups, .. } = std::mem::take(&mut self.user);
            self.user = AuthInfo { impersonate, impersonate_uid, impersonate_groups, ..AuthInfo::default() };
        }
    }

    /// A kubeconfig with nothing else in it.
    fn into_kubeconfig(self) -> Kubeconfig {
        let name = "selected".to_owned();
        let context = Context { cluster: name.clone(), user: Some(name.clone()), namespace: self.namespace, ..Context::default() };
        Kubeconfig {
            current_context: Some(name.clone()),
            contexts: vec![NamedContext { name: name.clone(), context: Some(context), ..NamedContext::default() }],
            clusters: vec![NamedCluster { name: name.clone(), cluster: Some(self.cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo { name, auth_info: Some(self.user), ..NamedAuthInfo::default() }],
            ..Kubeconfig::default()
        }
    }
}
