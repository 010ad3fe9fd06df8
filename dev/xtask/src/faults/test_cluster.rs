//! The test cluster that all plans share: a control plane, a client of it, and the operator's program.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use controlplane::{ControlPlane, MovedClock, Options};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::PolicyRule;
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

/// The test cluster that all plans share.
pub struct TestCluster {
    pub server: ControlPlane,
    pub client: Client,
    pub program: PathBuf,
    /// A ServiceAccount with the operator's rights and no others.
    pub kubeconfig: PathBuf,
    /// A clock that is an hour ahead.
    pub clock_ahead: MovedClock,
    runtime: Runtime,
}

impl TestCluster {
    /// Builds and starts all of it, with the operator of this repository or another one.
    pub fn open(other: Option<&Path>, stop: &Stop) -> Result<Self, Box<dyn Error>> {
        let (program, crds, rules) = match other {
            None => (build::operator(stop)?, nuvo_crds::crds_yaml()?, nuvo_operator::rbac::rules()),
            Some(program) => {
                let program = fs::canonicalize(program)?;
                let crds = definitions_of(&program)?;
                (program, crds, vec![all_rights()])
            }
        };
        // An error means that a provider is installed already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let server = ControlPlane::start(Options::default())?;
        stop.check()?;
        server.apply(&crds)?;
        server.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "pipelineruns.nuvo.dev",
            "nuvoaccounts.nuvo.dev",
        ])?;
        server.kubectl(&["create", "namespace", OPERATOR])?;
        let kubeconfig = server.service_account_kubeconfig(OPERATOR, OPERATOR, &rules)?;
        let clock_ahead = MovedClock::new(server.folder())?;
        clock_ahead.set(3_600)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let connect = async { Ok::<_, Failure>(Client::try_from(admin_config(&server).await?)?) };
        let client = runtime.block_on(connect).map_err(|error| error as Box<dyn Error>)?;
        Ok(Self { server, client, program, kubeconfig, clock_ahead, runtime })
    }

    /// Runs a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What a client of the admin needs.
    pub async fn admin_config(&self) -> Result<Config, Failure> {
        admin_config(&self.server).await
    }

    /// Creates a namespace with this prefix.
    pub fn namespace(&self, prefix: &str) -> Result<String, Failure> {
        let wanted: Namespace = serde_json::from_value(json!({ "metadata": { "generateName": format!("{prefix}-") } }))?;
        let made = self.block_on(Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &wanted))?;
        made.metadata.name.ok_or_else(|| "the API server created a namespace without a name".into())
    }
}

async fn admin_config(server: &ControlPlane) -> Result<Config, Failure> {
    let config = Kubeconfig::read_from(server.admin_kubeconfig())?;
    Ok(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)
}

/// The custom resource definitions of another operator.
fn definitions_of(program: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).arg("crds").output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{} crds: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into())
}

/// Another operator may need rights that are not known here.
fn all_rights() -> PolicyRule {
    let all = || Some(vec!["*".to_owned()]);
    PolicyRule { api_groups: all(), resources: all(), verbs: vec!["*".to_owned()], ..PolicyRule::default() }
}
