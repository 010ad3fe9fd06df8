//! A tenant who attacks: it has all rights in a namespace of its own and none elsewhere, and its account may start the victim's pipeline.
//!
//! It knows more than a tenant can: the victim's objects, with their markers, and every execution in nuvo.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::{Client, Error};
use nuvo_crds::well_known::{RESOLVE_ANNOTATION, TRIGGER_ANNOTATION};
use nuvo_crds::{NuvoAccount, PipelineRun};
use nuvo_sim::{Credential, Identity};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::attack::Attack;
use super::manifests::{IDENTIFIER, account, secret};
use super::oracle;
use super::test_cluster::{Failure, TestCluster};
use super::workload::PIPELINE;

const NAME: &str = "tenant";
const TENANT_IDENTIFIER: &str = "tenant@example.com";
const TENANT_KEY: &str = "tenant-license-key";
/// A finalizer that nothing removes.
const FINALIZER: &str = "example.com/stays";
/// The run that competes from the beginning.
const RIVAL: &str = "rival";
const FLOOD: usize = 12;
const RIGHTS_WITHIN: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(50);

/// The credential that nuvo gave the tenant.
pub fn credential() -> Credential {
    Credential::new(TENANT_KEY, Identity::user(TENANT_IDENTIFIER))
}

/// The tenant.
pub struct Tenant {
    pub namespace: String,
    client: Client,
    /// Its runs whose status it has written itself, or that only follow an execution: what they show says nothing about the operator.
    forged: Mutex<BTreeSet<String>>,
    created: AtomicUsize,
}

impl Tenant {
    /// Gives a tenant its namespace, its rights and its account, and lets it create its first run.
    pub fn admit(cluster: &TestCluster, base_url: &str) -> Result<Self, Failure> {
        let namespace = cluster.namespace(NAME)?;
        let client = cluster.block_on(client_of(cluster, &namespace))?;
        let tenant = Self { namespace, client, forged: Mutex::default(), created: AtomicUsize::new(0) };
        cluster.block_on(tenant.settle(base_url))?;
        Ok(tenant)
    }

    async fn settle(&self, base_url: &str) -> Result<(), Failure> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let began = Instant::now();
        // The API server learns of the role some milliseconds after it has answered.
        while let Err(error) = secrets.create(&PostParams::default(), &secret(TENANT_KEY)?).await {
            if !matches!(&error, Error::Api(status) if status.is_forbidden()) || began.elapsed() > RIGHTS_WITHIN {
                return Err(error.into());
            }
            tokio::time::sleep(RETRY).await;
        }
        self.accounts().create(&PostParams::default(), &account(base_url, TENANT_IDENTIFIER)?).await?;
        self.create(RIVAL, &json!({}), json!({})).await?;
        Ok(())
    }

    fn accounts(&self) -> Api<NuvoAccount> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Its runs that show what the operator wrote.
    pub async fn honest_runs(&self) -> Result<Vec<PipelineRun>, Failure> {
        let mut runs = self.runs().list(&ListParams::default()).await?.items;
        let forged = self.forged.lock();
        runs.retain(|run| !forged.contains(&oracle::name(run)));
        Ok(runs)
    }

    /// Attacks. `executions`: all in nuvo.
    pub async fn attack(&self, attack: Attack, victims: &[PipelineRun], executions: &[String]) -> Result<(), Failure> {
        match attack {
            Attack::Copy => self.copy(victims).await,
            Attack::Marker => self.forge_markers(victims).await,
            Attack::Claim => self.claim(victims, executions).await,
            Attack::Delete => self.delete_all().await,
            Attack::Flood => self.flood().await,
            Attack::Account => self.change_account().await,
        }
    }

    /// Creates a run with a finalizer. None if there is one of this name.
    async fn create(&self, name: &str, spec: &Value, annotations: Value) -> Result<Option<PipelineRun>, Failure> {
        let mut run = json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": { "name": name, "finalizers": [FINALIZER], "annotations": annotations },
            "spec": spec,
        });
        if let Some(spec) = run.pointer_mut("/spec").and_then(Value::as_object_mut) {
            spec.insert("pipelineId".to_owned(), PIPELINE.into());
        }
        tolerate(self.runs().create(&PostParams::default(), &serde_json::from_value(run)?).await)
    }

    /// Creates a run with a new name.
    async fn create_another(&self, spec: &Value) -> Result<Option<PipelineRun>, Failure> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        self.create(&format!("attack-{number}"), spec, json!({})).await
    }

    async fn patch(&self, run: &PipelineRun, patch: Value) -> Result<(), Failure> {
        tolerate(self.runs().patch(&oracle::name(run), &PatchParams::default(), &Patch::Merge(patch)).await).map(drop)
    }

    async fn copy(&self, victims: &[PipelineRun]) -> Result<(), Failure> {
        for victim in victims {
            let annotations = serde_json::to_value(&victim.metadata.annotations)?;
            self.create(&oracle::name(victim), &json!({}), annotations).await?;
        }
        Ok(())
    }

    async fn forge_markers(&self, victims: &[PipelineRun]) -> Result<(), Failure> {
        for marker in victims.iter().filter_map(marker) {
            let Some(own) = self.create_another(&json!({})).await? else { continue };
            let Value::Object(mut fields) = marker else { continue };
            // Everything of the victim's delivery, for an object of the tenant.
            fields.insert("uid".to_owned(), own.metadata.uid.clone().into());
            fields.insert("namespace".to_owned(), own.metadata.namespace.clone().into());
            fields.insert("name".to_owned(), own.metadata.name.clone().into());
            let text = Value::Object(fields).to_string();
            self.patch(&own, json!({ "metadata": { "annotations": { TRIGGER_ANNOTATION: text } } })).await?;
        }
        Ok(())
    }

    async fn claim(&self, victims: &[PipelineRun], executions: &[String]) -> Result<(), Failure> {
        for victim in victims {
            let Some(status) = &victim.status else { continue };
            let Some(own) = self.create_another(&json!({ "suspend": true })).await? else { continue };
            let (theirs, ours) = (victim.metadata.uid.clone().unwrap_or_default(), own.metadata.uid.clone().unwrap_or_default());
            let mut status: Value = serde_json::from_str(&serde_json::to_string(status)?.replace(&theirs, &ours))?;
            if let Some(status) = status.as_object_mut() {
                status.insert("executionIds".to_owned(), executions.into());
            }
            self.write_status(&own, status).await?;
            let nonce = marker(victim).and_then(|marker| marker.get("nonce")?.as_str().map(str::to_owned)).unwrap_or_default();
            let answer = format!("{nonce}:adopt={}", executions.join(","));
            self.patch(&own, json!({ "metadata": { "annotations": { RESOLVE_ANNOTATION: answer } } })).await?;
        }
        for id in executions {
            if let Some(own) = self.create_another(&json!({ "executionId": id })).await? {
                self.forged.lock().insert(oracle::name(&own));
            }
        }
        Ok(())
    }

    async fn write_status(&self, own: &PipelineRun, status: Value) -> Result<(), Failure> {
        let name = oracle::name(own);
        self.forged.lock().insert(name.clone());
        tolerate(self.runs().patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({ "status": status }))).await).map(drop)
    }

    async fn delete_all(&self) -> Result<(), Failure> {
        let runs = self.runs().list(&ListParams::default()).await?.items;
        try_join_all(runs.iter().map(|run| self.delete(run))).await?;
        Ok(())
    }

    async fn delete(&self, run: &PipelineRun) -> Result<(), Failure> {
        tolerate(self.runs().delete(&oracle::name(run), &DeleteParams::default()).await).map(drop)
    }

    async fn flood(&self) -> Result<(), Failure> {
        let spec = json!({});
        let runs = try_join_all((0..FLOOD).map(|_| self.create_another(&spec))).await?;
        let runs: Vec<PipelineRun> = runs.into_iter().flatten().collect();
        try_join_all(runs.iter().map(|run| self.patch(run, json!({ "spec": { "rerunToken": "again" } })))).await?;
        try_join_all(runs.iter().step_by(2).map(|run| self.delete(run))).await?;
        Ok(())
    }

    async fn change_account(&self) -> Result<(), Failure> {
        let accounts = self.accounts();
        let identity = Patch::Merge(json!({ "status": { "identity": IDENTIFIER } }));
        tolerate(accounts.patch_status("default", &PatchParams::default(), &identity).await)?;
        let identifier = Patch::Merge(json!({ "spec": { "licenseKey": { "identifier": IDENTIFIER } } }));
        tolerate(accounts.patch("default", &PatchParams::default(), &identifier).await)?;
        Ok(())
    }
}

/// The marker of a run, as JSON.
fn marker(run: &PipelineRun) -> Option<Value> {
    let text = run.metadata.annotations.as_ref()?.get(TRIGGER_ANNOTATION)?;
    serde_json::from_str(text).ok()
}

/// What is gone, or there already, or has just been written by the operator, is no failure of an attack.
fn tolerate<T>(result: Result<T, Error>) -> Result<Option<T>, Failure> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(Error::Api(status)) if status.is_not_found() || status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A client with the token of a ServiceAccount that may do anything with runs, accounts and Secrets in this namespace.
async fn client_of(cluster: &TestCluster, namespace: &str) -> Result<Client, Failure> {
    let (admin, create) = (&cluster.client, PostParams::default());
    let metadata = json!({ "name": NAME });
    let kinds = ["pipelineruns", "pipelineruns/status", "nuvoaccounts", "nuvoaccounts/status"];
    let rules = json!([
        { "apiGroups": ["nuvo.dev"], "resources": kinds, "verbs": ["*"] },
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] },
    ]);
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": metadata,
        "roleRef": { "apiGroup": group, "kind": "Role", "name": NAME },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": namespace }],
    });
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    accounts.create(&create, &serde_json::from_value(json!({ "metadata": metadata }))?).await?;
    let role: Role = serde_json::from_value(json!({ "metadata": metadata, "rules": rules }))?;
    Api::namespaced(admin.clone(), namespace).create(&create, &role).await?;
    let binding: RoleBinding = serde_json::from_value(binding)?;
    Api::namespaced(admin.clone(), namespace).create(&create, &binding).await?;
    let wanted = TokenRequest::default();
    let token = accounts.create_token_request(NAME, &create, &wanted).await?.status.ok_or("the API server gave no token")?.token;
    let mut config = cluster.admin_config().await?;
    config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    Ok(Client::try_from(config)?)
}
