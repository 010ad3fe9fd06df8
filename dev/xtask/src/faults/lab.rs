//! What all plans share: a control plane, a client of it, and the operator's program.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use controlplane::{ControlPlane, Options};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::build;
use crate::stop::Stop;

/// A failure that crosses threads.
pub type Failure = Box<dyn Error + Send + Sync>;

const OPERATOR: &str = "nuvo-operator";

/// What all plans share.
pub struct Lab {
    pub server: ControlPlane,
    pub client: Client,
    pub program: PathBuf,
    /// A ServiceAccount with the operator's rights and no others.
    pub kubeconfig: PathBuf,
    /// Preloaded, it puts a clock ahead.
    pub ahead: PathBuf,
    runtime: Runtime,
}

impl Lab {
    /// Builds and starts all of it.
    pub fn open(stop: &Stop) -> Result<Self, Box<dyn Error>> {
        let program = build::operator(stop)?;
        // An error: somebody else has chosen the same.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let server = ControlPlane::start(Options::default())?;
        stop.check()?;
        server.apply(&nuvo_crds::crds_yaml()?)?;
        server.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "pipelineruns.nuvo.dev",
            "nuvoaccounts.nuvo.dev",
        ])?;
        server.kubectl(&["create", "namespace", OPERATOR])?;
        let kubeconfig = server.service_account_kubeconfig(OPERATOR, OPERATOR, &nuvo_operator::rbac::rules())?;
        let ahead = compile_ahead(server.folder())?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(async {
            let config = Kubeconfig::read_from(server.admin_kubeconfig())?;
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            Ok::<_, Box<dyn Error>>(Client::try_from(config)?)
        })?;
        Ok(Self { server, client, program, kubeconfig, ahead, runtime })
    }

    /// Runs a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A new namespace whose name begins like this.
    pub fn namespace(&self, prefix: &str) -> Result<String, Failure> {
        let wanted: Namespace = serde_json::from_value(json!({ "metadata": { "generateName": format!("{prefix}-") } }))?;
        let made = self.block_on(Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &wanted))?;
        made.metadata.name.ok_or_else(|| "the API server has made a namespace without a name".into())
    }
}

/// Every machine that can link Rust has a C compiler.
fn compile_ahead(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let source = build::repository().join("dev/xtask/src/faults/ahead.c");
    let library = folder.join("ahead.so");
    let output = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output()?;
    if output.status.success() {
        return Ok(library);
    }
    Err(format!("cc could not compile the clock: {}", String::from_utf8_lossy(&output.stderr)).into())
}
