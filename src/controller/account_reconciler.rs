//! The controller of accounts: reads the Secret by name, proves the credential, and says so.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{controller::Action, reflector::ObjectRef},
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{
    Shell,
    account_registry::Standing,
    api_call::{CallError, call},
    now,
};
use crate::account::{Session, SessionSettings};
use nuvo_client::{Credential, Error};
use nuvo_crds::{
    NuvoAccount, NuvoAccountStatus, SecretRef,
    conditions::{AccountReason, ConditionStatus, MAX_MESSAGE, READY, RECONCILING, STALLED},
    names::{CREDENTIAL_LABEL, CREDENTIAL_LABEL_VALUE, FIELD_MANAGER},
};

/// A Secret is read again at least this often.
const REFRESH: Duration = Duration::from_secs(600);
/// The waits before another try: doubled each time, from the first to the second.
const SECRET_WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
const NUVO_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// What was found.
struct Finding {
    reason: AccountReason,
    message: String,
    identity: Option<String>,
    session: Option<Arc<Session>>,
    /// nuvo asks to be left alone for this long.
    wait: Option<Duration>,
}

impl Finding {
    fn bad(reason: AccountReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), identity: None, session: None, wait: None }
    }
}

/// What a proven session rests on. Only a hash of the credential is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Looks at one account.
///
/// # Errors
/// [`CallError`] when the API server cannot be asked or told.
pub async fn reconcile(account: &NuvoAccount, shell: &Shell) -> Result<Action, CallError> {
    let reference = ObjectRef::from_obj(account);
    let finding = look(account, shell).await?;
    let namespace = account.namespace().unwrap_or_default();
    let ready = finding.reason == AccountReason::Ready;
    shell.metrics.account_ready(&namespace, &account.name_any(), ready);
    let standing = match &finding.session {
        Some(session) => Standing::Ready(session.clone()),
        None => Standing::NotReady(format!("NuvoAccount {} is not ready ({}): {}", account.name_any(), finding.reason, finding.message)),
    };
    if !shell.accounts.judge(&reference, standing) {
        shell.forget_account(&namespace, &account.name_any());
        return Ok(Action::await_change());
    }
    // Last: a status that cannot be written keeps no run waiting.
    write(account, &finding, shell).await?;
    let (first, longest) = match finding.reason {
        AccountReason::Ready => (REFRESH, REFRESH),
        AccountReason::SecretNotFound | AccountReason::SecretInvalid => SECRET_WAIT,
        // Only a change of the account, or another start of the operator, mends it.
        AccountReason::OriginNotAllowed => return Ok(Action::requeue(REFRESH)),
        AccountReason::CredentialsRejected | AccountReason::PermissionMissing | AccountReason::NuvoUnavailable => NUVO_WAIT,
    };
    let tries = shell.tries.count(&account.uid().unwrap_or_default(), ready);
    Ok(Action::requeue(backoff(first, longest, tries).max(finding.wait.unwrap_or_default())))
}

/// A wait that doubles with each try.
pub(super) fn backoff(first: Duration, longest: Duration, tries: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(longest)
}

async fn look(account: &NuvoAccount, shell: &Shell) -> Result<Finding, CallError> {
    let base = match shell.origins.check(&account.spec.base_url) {
        Ok(base) => base,
        Err(error) => {
            let message = format!(
                "spec.baseUrl: {error}. Correct it, or have the operator started with --allowed-base-url for its origin; plain http is \
                 allowed only in this way."
            );
            return Ok(Finding::bad(AccountReason::OriginNotAllowed, message));
        }
    };
    let Some(reference) = secret_ref(account) else {
        let message = "neither spec.licenseKey nor spec.accessToken is set: set exactly one of them.";
        return Ok(Finding::bad(AccountReason::SecretInvalid, message));
    };
    let secret = match read_secret(account, reference, shell).await? {
        Ok(secret) => secret,
        Err(finding) => return Ok(finding),
    };
    let fingerprint = fingerprint(account, &secret);
    let identity = account.spec.license_key.as_ref().map(|key| key.identifier.clone());
    let me = ObjectRef::from_obj(account);
    if let Some(session) = shell.accounts.session(&me).filter(|session| !session.is_rejected())
        && shell.proven.get(&account.uid().unwrap_or_default()).as_ref() == Some(&fingerprint)
    {
        return Ok(ready(identity, session));
    }
    let Some(credential) = credential(account, secret) else {
        let message = "spec.licenseKey.identityType is not a word that this operator knows: write USER or SUB_ORG.";
        return Ok(Finding::bad(AccountReason::SecretInvalid, message));
    };
    let credential = match credential.validated() {
        Ok(credential) => credential,
        Err(error) => {
            let message = if error.is_of_secret() {
                format!("Secret {} key {}: {error}. Correct the Secret.", reference.name, reference.key)
            } else {
                format!("{error}. Correct the account.")
            };
            return Ok(Finding::bad(AccountReason::SecretInvalid, message));
        }
    };
    let client = match nuvo_client::Client::new(base, credential, shell.nuvo_settings.clone()) {
        Ok(client) => client,
        Err(error) => return Ok(unknown(&error)),
    };
    let (rejected, mut told) = tokio::sync::mpsc::channel(1);
    let accounts = Arc::downgrade(&shell.accounts);
    tokio::spawn(async move {
        while let (Some(()), Some(accounts)) = (told.recv().await, accounts.upgrade()) {
            accounts.wake(&me);
        }
    });
    let metrics = shell.metrics.clone();
    let settings = SessionSettings {
        requests_per_second: u32::try_from(account.spec.requests_per_second).unwrap_or(1),
        poll_period: Duration::from_secs(u64::try_from(account.spec.poll_period_seconds).unwrap_or(10)),
        identity: identity.clone(),
        breaker: shell.breakers.of(&account.namespace().unwrap_or_default(), &client.base().origin()),
        rejected,
        waited: Box::new(move |time| metrics.budget_wait(time)),
    };
    let session = Arc::new(Session::new(client, settings, shell.shutdown.clone()));
    Ok(match session.prove().await {
        Ok(()) => {
            shell.proven.set(account.uid().unwrap_or_default(), fingerprint);
            ready(identity, session)
        }
        Err(Error::Unauthorized) => Finding::bad(
            AccountReason::CredentialsRejected,
            format!(
                "nuvo rejected the credentials of Secret {} key {}: correct the Secret, or the identifier in the account.",
                reference.name, reference.key
            ),
        ),
        Err(Error::Forbidden) => Finding::bad(
            AccountReason::PermissionMissing,
            "nuvo does not let this account read executions: grant it execution.read and execution.create.",
        ),
        Err(error) => unknown(&error),
    })
}

fn unknown(error: &Error) -> Finding {
    let message = format!("Whether the credentials work is not known: {error}. It is tried again.");
    Finding { wait: error.retry_after(), ..Finding::bad(AccountReason::NuvoUnavailable, message) }
}

fn ready(identity: Option<String>, session: Arc<Session>) -> Finding {
    let message = "nuvo accepts the credentials.".to_owned();
    Finding { reason: AccountReason::Ready, message, identity, session: Some(session), wait: None }
}

fn secret_ref(account: &NuvoAccount) -> Option<&SecretRef> {
    let key = account.spec.license_key.as_ref().map(|key| &key.secret_ref);
    key.or_else(|| account.spec.access_token.as_ref().map(|token| &token.secret_ref))
}

/// The inner error is a finding about the account.
async fn read_secret(account: &NuvoAccount, reference: &SecretRef, shell: &Shell) -> Result<Result<SecretString, Finding>, CallError> {
    let api: Api<Secret> = Api::namespaced(shell.client.clone(), &account.namespace().unwrap_or_default());
    let SecretRef { name, key } = reference;
    let missing = |message: String| Ok(Err(Finding::bad(AccountReason::SecretNotFound, message)));
    let secret = match call("read the Secret of the NuvoAccount", api.get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return missing(format!("There is no Secret {name} in this namespace: create it with the key {key}.")),
        Err(error) if error.is_forbidden() => {
            return missing(format!("The operator may not read Secret {name}: grant it get on secrets in this namespace."));
        }
        Err(error) => return Err(error),
    };
    // Who may create an account must not be able to send any Secret of the namespace to a server of their choice.
    if secret.labels().get(CREDENTIAL_LABEL).map(String::as_str) != Some(CREDENTIAL_LABEL_VALUE) {
        return missing(format!(
            "Secret {name} lacks the label {CREDENTIAL_LABEL}: \"{CREDENTIAL_LABEL_VALUE}\", so it is not used: set the label if the Secret \
             is meant for nuvo."
        ));
    }
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return missing(format!("Secret {name} has no key {key}: add it, or correct the key in the account."));
    };
    Ok(match std::str::from_utf8(&value.0) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => Err(Finding::bad(AccountReason::SecretInvalid, format!("Secret {name} key {key} is not text. Correct the Secret."))),
    })
}

/// None if the account does not say in known words what the identifier of its license key names.
fn credential(account: &NuvoAccount, secret: SecretString) -> Option<Credential> {
    Some(match &account.spec.license_key {
        Some(key) => Credential::LicenseKey {
            key: secret,
            identifier: key.identifier.clone(),
            identity_type: match key.identity_type? {
                nuvo_crds::IdentityType::User => nuvo_client::IdentityType::User,
                nuvo_crds::IdentityType::SubOrg => nuvo_client::IdentityType::SubOrg,
            },
            token_path: key.token_path.clone(),
        },
        None => Credential::AccessToken(secret),
    })
}

fn fingerprint(account: &NuvoAccount, secret: &SecretString) -> Fingerprint {
    use secrecy::ExposeSecret;
    let mut hash = Sha256::new();
    // Debug of the spec names the Secret, never its value.
    hash.update(format!("{:?}\n", account.spec));
    hash.update(secret.expose_secret());
    Fingerprint(hash.finalize().into())
}

async fn write(account: &NuvoAccount, finding: &Finding, shell: &Shell) -> Result<(), CallError> {
    let status = status(account, finding, now());
    if account.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut object = account.clone();
    object.metadata.managed_fields = None;
    object.status = Some(status);
    shell.metrics.kube_write("nuvoaccounts/status");
    let api: Api<NuvoAccount> = Api::namespaced(shell.client.clone(), &account.namespace().unwrap_or_default());
    let request = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match call("write the status of the NuvoAccount", api.replace_status(&account.name_any(), &request, &object)).await {
        // A newer version is on its way through the watch, and is looked at then.
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        result => result.map(|_| ()),
    }
}

fn status(account: &NuvoAccount, finding: &Finding, now: Timestamp) -> NuvoAccountStatus {
    let old = account.status.clone().unwrap_or_default();
    let holds = finding.reason.status();
    let waiting = holds == ConditionStatus::Unknown;
    let wanted = [
        (READY, Some(holds)),
        (RECONCILING, waiting.then_some(ConditionStatus::True)),
        (STALLED, (holds == ConditionStatus::False).then_some(ConditionStatus::True)),
    ];
    let generation = account.metadata.generation;
    let message: String = finding.message.chars().take(MAX_MESSAGE).collect();
    let conditions = wanted
        .into_iter()
        .filter_map(|(kind, holds)| {
            let holds = holds?.as_str();
            let same = old.conditions.iter().find(|condition| condition.type_ == kind && condition.status == holds);
            Some(Condition {
                type_: kind.to_owned(),
                status: holds.to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
            })
        })
        .collect();
    // Who nuvo took the operator for last helps to find out why it does not any more; it is nobody's once other credentials work.
    let earlier = old.identity.filter(|_| finding.reason != AccountReason::Ready);
    NuvoAccountStatus { observed_generation: generation, conditions, identity: finding.identity.clone().or(earlier) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuvo_crds::{IdentityType, LicenseKey, NuvoAccountSpec};

    fn finding(reason: AccountReason, identity: Option<&str>) -> Finding {
        Finding { identity: identity.map(str::to_owned), ..Finding::bad(reason, "because") }
    }

    #[test]
    fn the_identity_is_that_of_the_credentials_that_work() {
        let mut account = NuvoAccount::new("default", NuvoAccountSpec::default());
        let mut identity_after = |finding: &Finding| {
            account.status = Some(status(&account, finding, now()));
            account.status.as_ref().and_then(|status| status.identity.clone())
        };
        let person = Some("me@example.com".to_owned());
        assert_eq!(identity_after(&finding(AccountReason::Ready, Some("me@example.com"))), person);
        assert_eq!(identity_after(&finding(AccountReason::CredentialsRejected, None)), person, "whose credentials were rejected");
        assert_eq!(identity_after(&finding(AccountReason::Ready, None)), None, "an access token does not tell");
    }

    #[test]
    fn an_identity_type_of_tomorrow_is_not_guessed() {
        let key = |identity_type| LicenseKey {
            secret_ref: SecretRef { name: "nuvo".into(), key: "key".into() },
            identifier: "me@example.com".into(),
            identity_type,
            token_path: "auth/access-token".into(),
        };
        let account = |key| NuvoAccount::new("default", NuvoAccountSpec { license_key: Some(key), ..NuvoAccountSpec::default() });
        assert!(credential(&account(key(Some(IdentityType::SubOrg))), SecretString::from("secret")).is_some());
        assert!(credential(&account(key(None)), SecretString::from("secret")).is_none());
    }
}
