//! Kubeconfig files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Context, Error};

/// Writes a kubeconfig for one user of one server.
pub(crate) fn write(path: &Path, server: &str, ca: &Path, user: &str, token: &str, namespace: &str) -> Result<(), Error> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "controlplane",
        "contexts": [{ "name": "controlplane", "context": { "cluster": "controlplane", "user": user, "namespace": namespace } }],
        "clusters": [{ "name": "controlplane", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": user, "user": { "token": token } }],
    });
    // JSON is YAML, and needs no other writer.
    fs::write(path, format!("{config:#}\n")).context(|| format!("writing {}", path.display()))
}

/// Copies a kubeconfig to `to`, with this URL for the server of every cluster in it.
pub(crate) fn redirect(from: &Path, to: &Path, server: &str) -> Result<(), Error> {
    let text = fs::read_to_string(from).context(|| format!("reading {}", from.display()))?;
    let mut config: Value = serde_yaml::from_str(&text).context(|| format!("reading {}", from.display()))?;
    let clusters = config.get_mut("clusters").and_then(Value::as_array_mut);
    for cluster in clusters.into_iter().flatten() {
        if let Some(cluster) = cluster.get_mut("cluster").and_then(Value::as_object_mut) {
            cluster.insert("server".to_owned(), server.into());
        }
    }
    fs::write(to, format!("{config:#}\n")).context(|| format!("writing {}", to.display()))
}
