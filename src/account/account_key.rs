//! The key of an account in this process.

use kube::runtime::reflector::ObjectRef;

use nuvo_crds::{NuvoAccount, PipelineRun};

/// An account by its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl AccountKey {
    /// The account that a run names.
    #[must_use]
    pub fn of(run: &PipelineRun) -> Self {
        Self { namespace: run.metadata.namespace.clone().unwrap_or_default(), name: run.spec.account_ref.name.clone() }
    }

    /// The key of an account.
    #[must_use]
    pub fn of_account(account: &ObjectRef<NuvoAccount>) -> Self {
        Self { namespace: account.namespace.clone().unwrap_or_default(), name: account.name.clone() }
    }
}
