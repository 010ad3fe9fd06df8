//! Who calls the API, and who creates executions.

use serde::{Deserialize, Serialize};

/// A user or a sub-organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The e-mail address, or the sub-organization's own identifier.
    pub identifier: String,
    /// Which of the two it is.
    #[serde(rename = "type", default)]
    pub kind: IdentityKind,
}

impl Identity {
    /// A user with this address.
    pub fn user(identifier: impl Into<String>) -> Self {
        Self { identifier: identifier.into(), kind: IdentityKind::User }
    }

    /// A sub-organization with this identifier.
    pub fn sub_org(identifier: impl Into<String>) -> Self {
        Self { identifier: identifier.into(), kind: IdentityKind::SubOrg }
    }
}

/// The two kinds of [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IdentityKind {
    /// A user of the organization.
    #[default]
    #[serde(rename = "USER")]
    User,
    /// A sub-organization.
    #[serde(rename = "SUB_ORG")]
    SubOrg,
}
