//! Which cluster and namespace, as kubectl decides it.

use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

use super::{PluginError, args::PlaceArgs};
use nuvo_crds::PipelineRun;

/// A cluster and a namespace of it.
pub struct Place {
    client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Place {
    /// Reads the kubeconfig; nothing is sent.
    ///
    /// # Errors
    /// [`PluginError::Kubeconfig`], [`PluginError::Client`].
    pub async fn find(args: &PlaceArgs) -> Result<Self, PluginError> {
        let options = KubeConfigOptions { context: args.context.clone(), cluster: args.cluster.clone(), user: args.user.clone() };
        let mut config = match &args.kubeconfig {
            Some(file) => Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?,
            None => Config::from_kubeconfig(&options).await?,
        };
        if let Some(namespace) = &args.namespace {
            config.default_namespace.clone_from(namespace);
        }
        let namespace = config.default_namespace.clone();
        Ok(Self { client: Client::try_from(config).map_err(PluginError::Client)?, namespace })
    }

    /// The runs of the namespace.
    #[must_use]
    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of the namespace, or of all of them.
    #[must_use]
    pub fn those<K>(&self, everywhere: bool) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        if everywhere { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) }
    }

    /// A run that must exist.
    ///
    /// # Errors
    /// [`PluginError::NoSuch`], [`PluginError::Api`].
    pub async fn run(&self, name: &str) -> Result<PipelineRun, PluginError> {
        let found = self.runs().get_opt(name).await.map_err(PluginError::api(format!("PipelineRun {name} cannot be read")))?;
        match found {
            Some(run) => Ok(run),
            None => Err(self.no_run(name)),
        }
    }

    /// There is no run of this name.
    #[must_use]
    pub fn no_run(&self, name: &str) -> PluginError {
        PluginError::NoSuch { kind: "PipelineRun", name: name.to_owned(), namespace: self.namespace.clone(), list: "list" }
    }
}
