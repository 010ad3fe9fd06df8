//! The cluster and the namespace of a command, selected as kubectl selects them, and the requests that commands share.

use std::fmt::Debug;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use nuvo_crds::PipelineRun;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{args::ClusterArgs, connection, error::PluginError};

/// The name under which the API server records the changes of this plugin.
pub const FIELD_MANAGER: &str = "kubectl-nuvo";

/// The time of day.
pub type Clock = fn() -> Timestamp;

/// A client of a cluster, and a namespace.
pub struct ClusterContext {
    client: Client,
    clock: Clock,
    /// The namespace.
    pub namespace: String,
}

impl ClusterContext {
    /// Reads the kubeconfig, or the ServiceAccount of the pod. Sends nothing.
    ///
    /// # Errors
    /// Those of [`connection::config`], [`PluginError::Client`].
    pub fn load(args: &ClusterArgs, clock: Clock) -> Result<Self, PluginError> {
        let config = connection::config(args)?;
        let namespace = config.default_namespace.clone();
        Ok(Self { client: Client::try_from(config).map_err(PluginError::Client)?, clock, namespace })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The runs of the namespace.
    #[must_use]
    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of the namespace, or of all namespaces.
    #[must_use]
    pub fn objects<K>(&self, all_namespaces: bool) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        if all_namespaces { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) }
    }

    /// Reads a run.
    ///
    /// # Errors
    /// [`PluginError::NotFound`], [`PluginError::Api`].
    pub async fn run(&self, name: &str) -> Result<PipelineRun, PluginError> {
        self.get(name, "PipelineRun", "list").await
    }

    /// Reads an object of the namespace. `list` is the command that lists its kind.
    ///
    /// # Errors
    /// [`PluginError::NotFound`], [`PluginError::Api`].
    pub async fn get<K>(&self, name: &str, kind: &'static str, list: &'static str) -> Result<K, PluginError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let found = self.objects::<K>(false).get_opt(name).await.map_err(PluginError::api(format!("cannot read {kind} {name}")))?;
        found.ok_or_else(|| PluginError::NotFound { kind, name: name.to_owned(), namespace: self.namespace.clone(), list })
    }

    /// Patches exactly the version of the object that was read: the user has decided about what that version showed.
    ///
    /// # Errors
    /// [`PluginError::Conflict`], [`PluginError::Api`].
    pub async fn patch<K>(&self, object: &K, mut patch: Value) -> Result<K, PluginError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
        if let Value::Object(fields) = &mut patch
            && let Value::Object(metadata) = fields.entry("metadata").or_insert_with(|| json!({}))
        {
            metadata.insert("resourceVersion".to_owned(), json!(object.resource_version()));
        }
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let objects: Api<K> = Api::namespaced(self.client.clone(), object.meta().namespace.as_deref().unwrap_or(&self.namespace));
        objects.patch(&name, &params, &Patch::Merge(&patch)).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 409 => PluginError::Conflict { kind, name },
            error => PluginError::api(format!("cannot change {kind} {name}"))(error),
        })
    }
}
