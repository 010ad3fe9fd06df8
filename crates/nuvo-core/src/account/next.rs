//! Which act is next for an account.

use std::time::Duration;

use nuvo_crds::{NuvoAccountStatus, SecretRef, conditions::AccountReason};

use super::{
    facts::{AccountFacts, Publication},
    finding::{Finding, Missing, find},
    status::status,
    tls::TlsSource,
};
use crate::backoff::Backoff;

/// A Secret is read again at least this often.
const REFRESH: Duration = Duration::from_secs(600);
/// The waits while the Secret is missing or invalid.
const SECRET_BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// The waits while nuvo does not answer, or does not let the account read executions.
const NUVO_BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(5), Duration::from_secs(300));
/// The waits while nuvo rejects the credentials: logins that fail again and again look like an attack.
const REJECTED_BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(5), Duration::from_secs(900));

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountAct<C, S> {
    /// Read this object about TLS.
    ReadTls(TlsSource),
    /// Read this Secret.
    ReadSecret(SecretRef),
    /// Make a session of this credential, and have nuvo verify it.
    Verify(C),
    /// Let the runs of the account know.
    Publish(Availability<S>),
    /// Write the status.
    WriteStatus(Box<NuvoAccountStatus>),
    /// Nothing, until the account changes.
    Done {
        /// When to look again all the same; none if only a change counts.
        again: Option<Duration>,
        /// How often in a row the account has been found not ready by now.
        failures: u32,
    },
}

/// Whether the runs of an account can use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability<S> {
    /// They can, with this session.
    Ready(S),
    /// They cannot, and why.
    NotReady(String),
}

/// The next act. The status is written last: one that cannot be written keeps no run waiting.
#[must_use]
pub fn next<C: Clone, S: Clone>(facts: &AccountFacts<'_, C, S>) -> AccountAct<C, S> {
    let finding = match find(facts) {
        Ok(finding) => finding,
        Err(Missing::Tls(source)) => return AccountAct::ReadTls(source),
        Err(Missing::Secret(reference)) => return AccountAct::ReadSecret(reference),
        Err(Missing::Verification(credential)) => return AccountAct::Verify(credential),
    };
    match facts.publication {
        Publication::Pending => return AccountAct::Publish(availability(facts, finding)),
        Publication::AccountGone => return AccountAct::Done { again: None, failures: facts.failures },
        Publication::Published => {}
    }
    let status = status(facts.account, &finding, facts.now);
    if !facts.status_written && facts.account.status.as_ref() != Some(&status) {
        return AccountAct::WriteStatus(Box::new(status));
    }
    done(&finding, facts.failures)
}

fn availability<C, S>(facts: &AccountFacts<'_, C, S>, finding: Finding<S>) -> Availability<S> {
    let name = facts.account.metadata.name.as_deref().unwrap_or_default();
    match finding.session {
        Some(session) => Availability::Ready(session),
        None => Availability::NotReady(format!("NuvoAccount {name} is not ready ({}): {}", finding.reason, finding.message)),
    }
}

fn done<C, S>(finding: &Finding<S>, failures: u32) -> AccountAct<C, S> {
    let backoff = match finding.reason {
        AccountReason::Ready => return AccountAct::Done { again: Some(REFRESH), failures: 0 },
        // Only a change of the account, or another start of the operator, fixes it.
        AccountReason::OriginNotAllowed => return AccountAct::Done { again: Some(REFRESH), failures },
        AccountReason::SecretNotFound | AccountReason::SecretInvalid => SECRET_BACKOFF,
        AccountReason::CredentialsRejected => REJECTED_BACKOFF,
        AccountReason::PermissionMissing | AccountReason::NuvoUnavailable => NUVO_BACKOFF,
    };
    let wait = backoff.wait(failures).max(finding.retry_after.unwrap_or_default());
    AccountAct::Done { again: Some(wait), failures: failures.saturating_add(1) }
}
