//! The programs of Kubernetes: built here, or found in the folder that `KUBEBUILDER_ASSETS` names.

use std::env;
use std::path::PathBuf;

use crate::go::{Program, Source};
use crate::{Error, repository};

/// The versions that can be built here, with what kubectl and the servers do not know by themselves. The first is that of go.mod; each of
/// the others has a module file of its own in `versions/`.
const VERSIONS: [(&str, [&str; 3]); 3] = [("1.37", ["1", "37", "2"]), ("1.35", ["1", "35", "4"]), ("1.32", ["1", "32", "13"])];

/// The variable that chooses one of the [`versions`]; without it the first is built.
pub const CHOICE: &str = "CONTROLPLANE_KUBERNETES";

/// The versions of Kubernetes that can be built here, such as `1.37`, newest first.
pub fn versions() -> [&'static str; VERSIONS.len()] {
    VERSIONS.map(|(minor, _)| minor)
}

/// The folder with etcd, kube-apiserver and kubectl that is used instead of what would be built.
pub fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The program that is etcd, kube-apiserver and kubectl.
pub fn control_plane() -> Result<Program, Error> {
    Program::new(Source {
        name: "controlplane",
        title: "control plane",
        first_build: "about 5 minutes",
        without_go: ", or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl (README.md)",
        package: ".",
        ..source()?
    })
}

/// kube-controller-manager, which no folder of assets has. Most of its packages are those of the control plane.
pub fn controller_manager() -> Result<Program, Error> {
    Program::new(Source {
        name: "kube-controller-manager",
        title: "kube-controller-manager",
        first_build: "about 1 minute after the control plane, 5 without it",
        without_go: "",
        package: "./kube-controller-manager",
        ..source()?
    })
}

/// The program that is kubelet, kube-proxy and kube-scheduler, for `cargo xtask node`.
pub fn node() -> Result<Program, Error> {
    let [(_, version), ..] = VERSIONS;
    let module = repository().join("dev/node");
    Program::new(Source {
        name: "node",
        title: "kubelet, kube-proxy and kube-scheduler",
        first_build: "about 5 minutes after the control plane",
        package: ".",
        module,
        ..source_of(version, None)
    })
}

/// The version that is chosen, and whether it has a module file of its own.
fn chosen() -> Result<([&'static str; 3], Option<&'static str>), Error> {
    let choice = env::var(CHOICE).unwrap_or_default();
    let [(newest, version), ..] = VERSIONS;
    if choice.is_empty() || choice == newest {
        return Ok((version, None));
    }
    let found = VERSIONS.into_iter().find(|(minor, _)| *minor == choice);
    let (minor, version) =
        found.ok_or_else(|| Error::new(format!("{CHOICE} is {choice}, but has to be one of {}", versions().join(", "))))?;
    Ok((version, Some(minor)))
}

fn source() -> Result<Source, Error> {
    let (version, variant) = chosen()?;
    Ok(source_of(version, variant))
}

fn source_of(version: [&'static str; 3], variant: Option<&'static str>) -> Source {
    Source {
        name: "",
        title: "",
        first_build: "",
        without_go: "",
        package: "",
        module: repository().join("dev/controlplane"),
        tags: "",
        version,
        variant,
        link: None,
        ldflags: |[major, minor, patch]| {
            let of_version = "k8s.io/component-base/version.git";
            format!("-X {of_version}Version=v{major}.{minor}.{patch} -X {of_version}Major={major} -X {of_version}Minor={minor}")
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::VERSIONS;
    use crate::repository;

    fn module_file(name: &str) -> String {
        fs::read_to_string(repository().join("dev/controlplane").join(name)).unwrap()
    }

    /// The names of the modules that the sources import.
    fn direct(module_file: &str) -> BTreeSet<&str> {
        let required = module_file.split("\nrequire (\n").nth(1).and_then(|rest| rest.split("\n)").next()).unwrap_or_default();
        required.lines().filter(|line| !line.ends_with("// indirect")).filter_map(|line| line.split_whitespace().next()).collect()
    }

    #[test]
    fn each_version_is_that_of_its_module_file() {
        let newest = module_file("go.mod");
        for (place, (minor, version)) in VERSIONS.into_iter().enumerate() {
            let file = if place == 0 { newest.clone() } else { module_file(&format!("versions/{minor}.mod")) };
            let [major, of_major, patch] = version;
            assert_eq!(minor, format!("{major}.{of_major}"));
            let required = format!("\tk8s.io/kubernetes v{major}.{of_major}.{patch}\n");
            assert!(file.contains(&required), "the module file of {minor} does not require {required}");
            let replaced = format!("\tk8s.io/apiserver => k8s.io/apiserver v0.{of_major}.{patch}\n");
            assert!(file.contains(&replaced), "the module file of {minor} does not have {replaced}");
            assert_eq!(direct(&file), direct(&newest), "what the module file of {minor} requires");
        }
        let [(minor, [.., patch]), ..] = VERSIONS;
        let required = format!("k8s.io/kubernetes v{minor}.{patch}\n");
        let node = fs::read_to_string(repository().join("dev/node/go.mod")).unwrap();
        assert!(node.contains(&required), "the go.mod of the node does not require {required}");
    }

    #[test]
    fn each_module_file_is_of_a_version() {
        let files = fs::read_dir(repository().join("dev/controlplane/versions")).unwrap();
        let found: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let older = VERSIONS.iter().skip(1);
        let wanted = older.flat_map(|(minor, _)| [format!("{minor}.mod"), format!("{minor}.sum")]).collect();
        assert_eq!(found, wanted);
    }
}
