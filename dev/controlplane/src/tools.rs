//! Helm and promtool, built from their Go modules: for tests of what is made for them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::go_program::{Program, Source, home};

/// The versions in the go.mod of each. Helm knows only its minor one by itself.
const HELM: [&str; 3] = ["4", "3", "1"];
const PROMTOOL: [&str; 3] = ["0", "315", "0"];

/// Helm, for no cluster: set the variable `KUBECONFIG` of the command for one. It is built if it is missing or older than its go.mod; the
/// first time takes minutes, and says so on standard error.
pub fn helm() -> Result<Command, Error> {
    let program = Program::new(Source {
        name: "helm",
        called: "Helm",
        takes: "3 minutes",
        without_go: "",
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm"),
        package: "helm.sh/helm/v4/cmd/helm",
        tags: "",
        version: HELM,
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

/// promtool, which checks and tests rules of Prometheus. Built as [`helm`] is.
pub fn promtool() -> Result<Command, Error> {
    let program = Program::new(Source {
        name: "promtool",
        called: "promtool",
        takes: "3 minutes",
        without_go: "",
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../promtool"),
        package: "github.com/prometheus/prometheus/cmd/promtool",
        // Rules are tested without the SDKs of all clouds, which are a fifth of what would be compiled.
        tags: "remove_all_sd",
        version: PROMTOOL,
        ldflags: |_| String::new(),
    })?;
    let mut command = Command::new(program.built()?);
    command.stdin(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_versions_are_those_of_the_modules() {
        for (module, version, file) in [
            ("helm.sh/helm/v4", super::HELM, include_str!("../../helm/go.mod")),
            ("github.com/prometheus/prometheus", super::PROMTOOL, include_str!("../../promtool/go.mod")),
        ] {
            let required = format!("{module} v{} // indirect\n", version.join("."));
            assert!(file.contains(&required), "go.mod does not require {required}");
        }
    }
}
