//! Helm, built from its Go module.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::go_program::{Program, Source, home};

/// The version in go.mod, without which Helm says only its minor one.
const VERSION: [&str; 3] = ["4", "3", "1"];

/// Helm, for no cluster: set the variable `KUBECONFIG` of the command for one. It is built if it is missing or older than its go.mod; the
/// first time takes minutes, and says so on standard error.
pub fn helm() -> Result<Command, Error> {
    let program = Program::new(Source {
        name: "helm",
        called: "Helm",
        takes: "4 minutes",
        without_go: "",
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm"),
        package: "helm.sh/helm/v4/cmd/helm",
        version: VERSION,
        ldflags: |[major, minor, patch]| format!("-X helm.sh/helm/v4/internal/version.version=v{major}.{minor}.{patch}"),
    })?;
    let mut command = Command::new(program.built()?);
    // Nothing of the person who runs this: no cluster, no plugins, no repositories.
    let own = home("helm").join("home");
    for (name, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(name, own.join(folder));
    }
    command.env("KUBECONFIG", own.join("no-cluster")).stdin(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_module() {
        let required = format!("helm.sh/helm/v4 v{} // indirect\n", super::VERSION.join("."));
        assert!(include_str!("../../helm/go.mod").contains(&required), "go.mod does not require {required}");
    }
}
