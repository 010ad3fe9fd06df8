//! What one reconcile of an account knows.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::NuvoAccount;

/// What one reconcile of an account knows. It begins with what is known without a request; the rest is learned by carrying out acts.
#[derive(Debug, Clone)]
pub struct AccountFacts<'a, C, S> {
    /// The account as the cache has it.
    pub account: &'a NuvoAccount,
    /// The time of day, in whole seconds, as it is written into the status.
    pub now: Timestamp,
    /// Why no credential may be sent to `spec.baseUrl`; none if it may.
    pub base_url_error: Option<String>,
    /// How often in a row the account was found not ready, before this reconcile.
    pub failures: u32,
    /// What the reads of the objects about TLS have given, in the order of [`tls_sources`](super::tls_sources).
    pub tls: Vec<TlsRead<C>>,
    /// What the read of the Secret has given; none before.
    pub secret: Option<SecretRead<C, S>>,
    /// What nuvo says of the credentials; none before it was asked.
    pub verification: Option<Verification<S>>,
    /// The identity that nuvo has shown to the [session](Self::session) as the creator of what the account started.
    pub shown_identity: Option<String>,
    /// Whether the runs of the account know the result.
    pub publication: Publication,
    /// The status has been written, or a newer version of the account made that unnecessary.
    pub status_written: bool,
}

impl<'a, C, S> AccountFacts<'a, C, S> {
    /// What is known before the first act.
    #[must_use]
    pub const fn new(account: &'a NuvoAccount, now: Timestamp, base_url_error: Option<String>, failures: u32) -> Self {
        Self {
            account,
            now,
            base_url_error,
            failures,
            tls: Vec::new(),
            secret: None,
            verification: None,
            shown_identity: None,
            publication: Publication::Pending,
            status_written: false,
        }
    }
}

impl<C, S> AccountFacts<'_, C, S> {
    /// The session whose credentials nuvo has accepted.
    #[must_use]
    pub const fn session(&self) -> Option<&S> {
        match (&self.secret, &self.verification) {
            (_, Some(Verification::Accepted(session)))
            | (Some(SecretRead::Found { value: SecretValue::Text { verified: Some(session), .. }, .. }), _) => Some(session),
            _ => None,
        }
    }

    /// What the credentials were read from.
    pub(super) const fn identity_source(&self) -> Option<&String> {
        match &self.secret {
            Some(SecretRead::Found { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// The identity that nuvo has shown for just these credentials, to this process or as the status keeps it.
    #[must_use]
    pub fn known_identity(&self) -> Option<String> {
        let status = self.account.status.as_ref();
        let same = status.filter(|status| status.identity_source.is_some() && status.identity_source.as_ref() == self.identity_source());
        self.shown_identity.clone().or_else(|| same?.identity.clone())
    }
}

/// What the read of the Secret has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRead<C, S> {
    /// There is no such Secret.
    Missing,
    /// The operator may not read it.
    Forbidden,
    /// It exists.
    Found {
        /// The value of its label `nuvo.dev/credential`.
        label: Option<String>,
        /// What names this version of the Secret, and how the account uses it. Nothing of its content is in it.
        source: String,
        /// What it has under the key.
        value: SecretValue<C, S>,
    },
}

/// What the read of an object about TLS has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsRead<C> {
    /// There is no such object.
    Missing,
    /// The operator may not read it.
    Forbidden,
    /// It exists.
    Found {
        /// The value of its label `nuvo.dev/credential`.
        label: Option<String>,
        /// The PEM in it, or what is wrong with it.
        value: Result<C, String>,
    },
}

/// What a Secret has under the key that the account names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretValue<C, S> {
    /// The key does not exist.
    KeyMissing,
    /// The value is not UTF-8.
    NotText,
    /// A text.
    Text {
        /// The credential.
        credential: C,
        /// The session that works with exactly this credential and spec, if nuvo has accepted the credential and not rejected it since.
        verified: Option<S>,
    },
}

/// What came of the attempt to have nuvo verify the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification<S> {
    /// nuvo accepts them.
    Accepted(S),
    /// nuvo rejects them (401).
    Rejected,
    /// nuvo accepts them, but does not let them read executions (403).
    PermissionMissing,
    /// They cannot be a credential, so nothing was sent.
    Malformed {
        /// The Secret is wrong; otherwise the spec is.
        of_secret: bool,
        /// What is wrong.
        error: String,
    },
    /// nuvo did not say.
    Unknown {
        /// What happened.
        error: String,
        /// The pause that nuvo asks for.
        retry_after: Option<Duration>,
    },
}

/// Whether the runs of an account know the result of its reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// Not yet.
    Pending,
    /// They do.
    Published,
    /// The account was deleted meanwhile, so there is nothing to publish.
    AccountGone,
}
