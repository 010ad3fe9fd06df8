//! What runs the recipes of `examples/orchestrators/`: controllers beside the servers of the node, and images for the pods of steps.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use controlplane::Process;
use programs::home;

use super::Failure;
use super::ingredients::pack_program;
use super::stage::Stage;

/// The plugin in its image, whose name is that in the recipes.
pub const PLUGIN: &str = "/usr/local/bin/kubectl-nuvo";
const PLUGIN_IMAGE: &str = "registry.example.com/kubectl-nuvo:0.1.0";
const ARGO_IMAGE: &str = "localhost/argoexec:1";
const TEKTON_IMAGE: &str = "localhost/tekton-entrypoint:1";
/// The namespaces of the controllers.
const ARGO: &str = "argo";
const TEKTON: &str = "tekton-pipelines";

/// A system that tries steps again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orchestrator {
    CronJob,
    ArgoWorkflows,
    Tekton,
}

impl Orchestrator {
    /// Builds its programs, and packs the images of its pods.
    pub fn prepare(self, packer: &Path, plugin: impl Fn() -> Result<PathBuf, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(home("node"))?;
        if self != Self::ArgoWorkflows {
            pack_program(packer, &plugin()?, PLUGIN, PLUGIN_IMAGE, &image("kubectl-nuvo"))?;
        }
        match self {
            Self::CronJob => Ok(()),
            Self::ArgoWorkflows => {
                programs::argo_controller()?.built()?;
                pack_program(packer, &programs::argo_executor()?.built()?, "/bin/argoexec", ARGO_IMAGE, &image("argoexec"))
            }
            Self::Tekton => {
                programs::tekton_controller()?.built()?;
                let entrypoint = programs::tekton_entrypoint()?.built()?;
                pack_program(packer, &entrypoint, "/ko-app/entrypoint", TEKTON_IMAGE, &image("tekton-entrypoint"))
            }
        }
    }

    /// Brings its images to the node, and starts its controller with the rights of an administrator. It ends with what this returns.
    pub fn start(self, stage: &Stage) -> Result<Option<Process>, Failure> {
        let import = |name: &str| stage.cluster.import(&image(name));
        if self != Self::ArgoWorkflows {
            import("kubectl-nuvo")?;
        }
        let kubeconfig = stage.cluster.control_plane.admin_kubeconfig();
        match self {
            Self::CronJob => Ok(None),
            Self::ArgoWorkflows => {
                import("argoexec")?;
                let definitions = programs::argo_manifests()?.join("base/crds/minimal").display().to_string();
                stage.kubectl(&["apply", "--server-side", "--kustomize", &definitions])?;
                stage.kubectl(&["create", "namespace", ARGO])?;
                stage.kubectl(&["--namespace", ARGO, "create", "configmap", "workflow-controller-configmap"])?;
                let mut controller = Command::new(programs::argo_controller()?.built()?);
                controller.args(["--namespace", ARGO, "--executor-image", ARGO_IMAGE, "--kubeconfig"]).arg(kubeconfig);
                controller.env("LEADER_ELECTION_DISABLE", "true");
                Ok(Some(stage.cluster.spawn("argo-controller", controller)?))
            }
            Self::Tekton => {
                import("tekton-entrypoint")?;
                let manifests = programs::tekton_manifests()?;
                for name in ["100-namespace", "300-crds"] {
                    stage.kubectl(&["apply", "--server-side", "--filename", &manifests.join(name).display().to_string()])?;
                }
                for entry in fs::read_dir(&manifests)? {
                    let name = entry?.file_name().to_string_lossy().into_owned();
                    if name.starts_with("config-") {
                        stage.kubectl(&["apply", "--server-side", "--filename", &manifests.join(name).display().to_string()])?;
                    }
                }
                let mut controller = Command::new(programs::tekton_controller()?.built()?);
                // All but the first are for what no recipe has.
                for flag in [
                    "-entrypoint-image",
                    "-nop-image",
                    "-sidecarlogresults-image",
                    "-workingdirinit-image",
                    "-shell-image",
                    "-shell-image-win",
                ] {
                    controller.args([flag, TEKTON_IMAGE]);
                }
                controller.args(["-disable-ha", "-kubeconfig"]).arg(kubeconfig).env("SYSTEM_NAMESPACE", TEKTON);
                for (name, of) in [
                    ("CONFIG_DEFAULTS_NAME", "config-defaults"),
                    ("CONFIG_LOGGING_NAME", "config-logging"),
                    ("CONFIG_OBSERVABILITY_NAME", "config-observability"),
                    ("CONFIG_FEATURE_FLAGS_NAME", "feature-flags"),
                    ("CONFIG_LEADERELECTION_NAME", "config-leader-election-controller"),
                    ("CONFIG_SPIRE", "config-spire"),
                    ("METRICS_DOMAIN", "tekton.dev/pipeline"),
                ] {
                    controller.env(name, of);
                }
                Ok(Some(stage.cluster.spawn("tekton-controller", controller)?))
            }
        }
    }
}

/// The archive of an image.
fn image(name: &str) -> PathBuf {
    home("node").join(format!("{name}.tar"))
}
