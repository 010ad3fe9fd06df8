//! The API server of a command and the user who calls it: what is configured, and the flags, which come first.

use cluster_connection::{Connection, Selection};
use kube::Config;

use super::{args::ClusterArgs, error::PluginError};

/// Combines what is configured with the flags.
///
/// # Errors
/// [`PluginError::Connection`]
pub fn config(args: &ClusterArgs) -> Result<Config, PluginError> {
    let kubeconfig = cluster_connection::read(args.kubeconfig.as_deref())?;
    let selects = [&args.server, &args.context, &args.cluster, &args.user].into_iter().any(Option::is_some);
    let mut connection = match kubeconfig {
        None if !selects => Connection::of_pod()?,
        kubeconfig => {
            let selection = Selection { context: args.context.as_deref(), cluster: args.cluster.as_deref(), user: args.user.as_deref() };
            Connection::of_kubeconfig(&kubeconfig.unwrap_or_default(), selection)?
        }
    };
    apply(args, &mut connection);
    let mut config = connection.into_config()?;
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

fn apply(args: &ClusterArgs, Connection { cluster, user, .. }: &mut Connection) {
    // Each of these replaces all that the kubeconfig says about trust.
    if args.insecure_skip_tls_verify || args.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(args.insecure_skip_tls_verify);
        cluster.certificate_authority.clone_from(&args.certificate_authority);
        cluster.certificate_authority_data = None;
    }
    // The name in the kubeconfig is that of another server.
    if args.tls_server_name.is_some() || args.server.is_some() {
        cluster.tls_server_name.clone_from(&args.tls_server_name);
    }
    if let Some(server) = &args.server {
        cluster.server = Some(if server.contains("://") { server.clone() } else { format!("http://{server}") });
    }
    if let Some(token) = &args.token {
        user.token = Some(token.clone().into());
        // kube would prefer these to a token.
        (user.auth_provider, user.username) = (None, None);
    }
    if args.client_certificate.is_some() {
        user.client_certificate.clone_from(&args.client_certificate);
        user.client_certificate_data = None;
    }
    if args.client_key.is_some() {
        user.client_key.clone_from(&args.client_key);
        user.client_key_data = None;
    }
    if args.as_user.is_some() {
        user.impersonate.clone_from(&args.as_user);
    }
    if args.as_uid.is_some() {
        user.impersonate_uid.clone_from(&args.as_uid);
    }
    if !args.as_group.is_empty() {
        user.impersonate_groups = Some(args.as_group.clone());
    }
}
