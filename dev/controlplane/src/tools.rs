//! Helm and promtool, built from their Go modules: for tests of what is made for them.

use std::process::{Command, Stdio};

use programs::home;

use crate::Error;

/// Helm, for no cluster: set the variable `KUBECONFIG` of the command for one. It is built if it is missing or older than its go.mod; the
/// first time takes minutes, and says so on standard error.
pub fn helm() -> Result<Command, Error> {
    let mut command = Command::new(programs::helm()?.built()?);
    // Nothing of the person who runs this: no cluster, no plugins, no repositories.
    let own = home("helm").join("home");
    for (name, folder) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data"), ("KUBECACHEDIR", "discovery")]
    {
        command.env(name, own.join(folder));
    }
    command.env("KUBECONFIG", own.join("no-cluster")).stdin(Stdio::null());
    Ok(command)
}

/// promtool, which checks and tests rules of Prometheus. Built as [`helm`] is.
pub fn promtool() -> Result<Command, Error> {
    let mut command = Command::new(programs::promtool()?.built()?);
    command.stdin(Stdio::null());
    Ok(command)
}
