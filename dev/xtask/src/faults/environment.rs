//! The environment of an operator under test: a namespace with an account, a simulator, and a proxy in front of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use controlplane::{Process, Proxy};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use nuvo_crds::{NuvoAccount, PipelineRun};
use nuvo_sim::{Credential, Identity, Pipeline, Sim, SimConfig};
use serde_json::{Value, json};

use super::attack::Attack;
use super::evidence::{self, Evidence};
use super::manifests::{IDENTIFIER, SECRET, account, secret};
use super::operator_flags::OperatorFlags;
use super::oracle;
use super::tenant::{self, Tenant};
use super::test_cluster::{Failure, TestCluster};

const STOPS_WITHIN: Duration = Duration::from_secs(20);
const FIRST_KEY: &str = "first-license-key";
const SECOND_KEY: &str = "second-license-key";

/// The environment of an operator under test.
pub struct Environment<'a> {
    pub cluster: &'a TestCluster,
    pub namespace: String,
    pub nuvo: Proxy,
    pub sim: Sim,
    pub tenant: Option<Tenant>,
}

fn credentials(key: &str) -> Vec<Credential> {
    vec![Credential::new(key, Identity::user(IDENTIFIER)), tenant::credential()]
}

impl<'a> Environment<'a> {
    /// Creates a namespace with this prefix and an account that works.
    pub fn prepare(cluster: &'a TestCluster, prefix: &str, pipelines: Vec<Pipeline>) -> Result<Self, Failure> {
        let namespace = cluster.namespace(prefix)?;
        let sim = Sim::start(SimConfig { pipelines, credentials: credentials(FIRST_KEY), ..SimConfig::default() })?;
        let nuvo = Proxy::http(sim.address().port())?;
        let environment = Self { cluster, namespace, nuvo, sim, tenant: None };
        environment.put_secret(FIRST_KEY)?;
        environment.put_account()?;
        Ok(environment)
    }

    /// The runs.
    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    fn put_secret(&self, key: &str) -> Result<(), Failure> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        self.cluster.block_on(api.patch(SECRET, &PatchParams::apply("faults").force(), &Patch::Apply(&secret(key)?)))?;
        Ok(())
    }

    fn put_account(&self) -> Result<(), Failure> {
        let account = account(&self.base_url(), IDENTIFIER)?;
        let api: Api<NuvoAccount> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        self.cluster.block_on(api.create(&PostParams::default(), &account))?;
        Ok(())
    }

    fn base_url(&self) -> String {
        format!("{}/dp/api/v1", self.nuvo.url())
    }

    /// Admits a tenant with a namespace of its own, which operators that start later watch, too.
    pub fn admit_tenant(&mut self) -> Result<(), Failure> {
        self.tenant = Some(Tenant::admit(self.cluster, &self.base_url())?);
        Ok(())
    }

    /// Lets the tenant attack.
    pub fn attack(&self, attack: Attack) -> Result<(), Failure> {
        let Some(tenant) = &self.tenant else { return Ok(()) };
        let executions: Vec<String> = self.sim.executions().into_iter().map(|execution| execution.id).collect();
        self.cluster.block_on(async {
            let victims = self.runs().list(&ListParams::default()).await?.items;
            tenant.attack(attack, &victims, &executions).await
        })
    }

    /// Creates a run.
    pub fn create_run(&self, name: &str, pipeline: &str) -> Result<(), Failure> {
        self.create_run_with(name, &json!({ "pipelineId": pipeline }))
    }

    /// Creates a run with this spec.
    pub fn create_run_with(&self, name: &str, spec: &Value) -> Result<(), Failure> {
        let run = serde_json::from_value(
            json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": name }, "spec": spec }),
        )?;
        self.cluster.block_on(self.runs().create(&PostParams::default(), &run))?;
        Ok(())
    }

    /// The list of runs as the API server gives it now.
    pub fn list_text(&self) -> Result<String, Failure> {
        let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/{}/pipelineruns", self.namespace);
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.cluster.block_on(self.cluster.client.request_text(request))?)
    }

    /// The runs that have not ended, with the reason that they give.
    pub fn unended(&self) -> Result<Vec<String>, Failure> {
        let runs = self.cluster.block_on(self.runs().list(&ListParams::default()))?;
        let open = |run: &PipelineRun| run.status.as_ref().is_none_or(|status| status.current.completion_time.is_none());
        let described = |run: PipelineRun| format!("{} ({})", run.metadata.name.clone().unwrap_or_default(), oracle::reason(&run));
        Ok(runs.into_iter().filter(open).map(described).collect())
    }

    /// Rotates the license key in nuvo and in the Secret, and revokes all tokens.
    pub fn rotate(&self) -> Result<(), Failure> {
        self.sim.set_credentials(credentials(SECOND_KEY));
        self.put_secret(SECOND_KEY)?;
        self.sim.revoke_tokens();
        Ok(())
    }

    /// Starts an operator with this kubeconfig.
    pub fn spawn(&self, kubeconfig: &Path, log: &Path, flags: &OperatorFlags) -> Result<Process, Failure> {
        let OperatorFlags { times, leader_elect, clock_ahead } = *flags;
        let mut command = Command::new(&self.cluster.program);
        let namespaces: Vec<&str> =
            [self.namespace.as_str()].into_iter().chain(self.tenant.as_ref().map(|tenant| tenant.namespace.as_str())).collect();
        command.args([
            "--allowed-base-url",
            self.nuvo.url(),
            "--namespaces",
            &namespaces.join(","),
            "--operator-namespace",
            &self.namespace,
        ]);
        command.args(["--leader-elect", if leader_elect { "true" } else { "false" }, "--log-level", "debug"]);
        command.args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]).args(times.arguments());
        command.env("KUBECONFIG", kubeconfig);
        if clock_ahead {
            command.envs(self.cluster.clock_ahead.environment());
        }
        Ok(Process::spawn_guarded(&command, log)?)
    }

    /// Sends SIGTERM to the operators. Returns a complaint for each that does not exit with success in time.
    pub fn stop<'p>(&self, operators: impl Iterator<Item = &'p mut Process>) -> Result<Vec<String>, Failure> {
        let mut operators: Vec<_> = operators.collect();
        for operator in &mut operators {
            operator.signal_term()?;
        }
        let mut complaints = Vec::new();
        for operator in &mut operators {
            let status = operator.wait(STOPS_WITHIN);
            if status.is_none_or(|status| !status.success()) {
                let how = status.map_or_else(|| "still running".to_owned(), |status| status.to_string());
                complaints.push(format!("an operator failed after SIGTERM: {how}"));
            }
        }
        Ok(complaints)
    }

    /// Collects the evidence after the operators have ended. `proxies` are those in front of the API server.
    pub fn evidence<'p>(&self, proxies: impl Iterator<Item = &'p Proxy>) -> Result<Evidence, Failure> {
        let runs = self.cluster.block_on(self.runs().list(&ListParams::default()))?.items;
        let tenant_runs = match &self.tenant {
            Some(tenant) => self.cluster.block_on(tenant.honest_runs())?,
            None => Vec::new(),
        };
        let written: Vec<_> = proxies.flat_map(Proxy::journal).collect();
        let (executions, carried_out) = evidence::executions(&self.sim);
        Ok(Evidence {
            runs,
            tenant_runs,
            deliveries: evidence::deliveries(&self.nuvo.journal()),
            markers: evidence::markers(&written),
            executions,
            carried_out,
            ..Evidence::default()
        })
    }
}
