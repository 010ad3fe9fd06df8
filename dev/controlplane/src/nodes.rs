//! What the servers are told where real nodes run pods.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::Error;
use crate::certificates::Certificates;

/// How nodes and pods reach the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNetwork {
    /// Its address on the network of the nodes.
    pub api_server: Ipv4Addr,
    /// The addresses of Services, such as `10.96.0.0/16`.
    pub services: String,
    /// The first of them, which is that of the API server.
    pub first_service: Ipv4Addr,
}

impl NodeNetwork {
    /// What the certificate of the API server is for, besides this machine.
    pub(crate) fn names(&self) -> Vec<String> {
        [self.api_server, self.first_service].map(|address| address.to_string()).to_vec()
    }

    /// In place of [`without_nodes`].
    pub(crate) fn api_server_args(&self, certificates: &Certificates, folder: &Path) -> Result<Vec<String>, Error> {
        let (certificate, key) = certificates.client(folder, "kube-apiserver-kubelet-client", Some("system:masters"))?;
        Ok(vec![
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", self.api_server),
            format!("--service-cluster-ip-range={}", self.services),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--kubelet-certificate-authority={}", certificates.ca.display()),
            format!("--kubelet-client-certificate={}", certificate.display()),
            format!("--kubelet-client-key={}", key.display()),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ])
    }
}

/// What kube-controller-manager is told: where there are nodes, all controllers run.
pub(crate) fn controller_manager_args(nodes: Option<&NodeNetwork>, certificates: &Certificates) -> Vec<String> {
    if nodes.is_some() {
        return vec![
            format!("--root-ca-file={}", certificates.ca.display()),
            format!("--service-account-private-key-file={}", certificates.tokens_key.display()),
        ];
    }
    // Only what is about objects; the others would make pods, and no kubelet runs them.
    let controllers =
        ["namespace-controller", "garbage-collector-controller", "clusterrole-aggregation-controller", "resourcequota-controller"];
    vec![format!("--controllers={}", controllers.join(","))]
}

/// What the API server is told where there are no nodes.
pub(crate) fn without_nodes() -> Vec<String> {
    let args = [
        "--bind-address=127.0.0.1",
        // There are no pods to route traffic to.
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=RBAC",
        // It would refuse every pod: no controller makes the default ServiceAccount.
        "--disable-admission-plugins=ServiceAccount",
    ];
    args.map(str::to_owned).to_vec()
}
