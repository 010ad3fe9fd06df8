//! Whether an account can be used, and why not.

use std::time::Duration;

use nuvo_crds::{
    NuvoAccount, SecretRef,
    conditions::AccountReason,
    well_known::{CREDENTIAL_LABEL, CREDENTIAL_LABEL_VALUE},
};

use super::{
    facts::{AccountFacts, SecretRead, SecretValue, Verification},
    tls::{TlsSource, problem, tls_sources},
};

/// Whether an account can be used.
pub(super) struct Finding<S> {
    pub reason: AccountReason,
    pub message: String,
    /// The identity as which nuvo knows the account: as it has shown it, else as the account names it.
    pub identity: Option<String>,
    /// For which credentials nuvo has shown it; none if it has not.
    pub identity_source: Option<String>,
    /// There is one if, and only if, the reason is `Ready`.
    pub session: Option<S>,
    /// The pause that nuvo asks for.
    pub retry_after: Option<Duration>,
}

/// What has to be known first.
pub(super) enum Missing<C> {
    Tls(TlsSource),
    Secret(SecretRef),
    Verification(C),
}

fn not_ready<S>(reason: AccountReason, message: impl Into<String>) -> Finding<S> {
    Finding { reason, message: message.into(), identity: None, identity_source: None, session: None, retry_after: None }
}

fn ready<C, S: Clone>(facts: &AccountFacts<'_, C, S>, session: &S) -> Finding<S> {
    let named = facts.account.spec.license_key.as_ref().map(|key| key.identifier.clone());
    let shown = facts.known_identity();
    let message = match (&named, &shown) {
        (Some(named), Some(shown)) if named.to_lowercase() != shown.to_lowercase() => format!(
            "nuvo accepts the credentials. It shows {shown} as the creator of what the account starts, not {named}. By this identity the \
             operator recognizes executions whose trigger is in doubt. Correct spec.licenseKey.identifier if it is wrong."
        ),
        _ => "nuvo accepts the credentials.".to_owned(),
    };
    let identity_source = shown.as_ref().and(facts.identity_source()).cloned();
    Finding { session: Some(session.clone()), identity: shown.or(named), identity_source, ..not_ready(AccountReason::Ready, message) }
}

/// What the facts say of the account.
pub(super) fn find<C: Clone, S: Clone>(facts: &AccountFacts<'_, C, S>) -> Result<Finding<S>, Missing<C>> {
    use AccountReason::{OriginNotAllowed, SecretInvalid, SecretNotFound};

    if let Some(error) = &facts.base_url_error {
        let message = format!(
            "spec.baseUrl: {error}. Correct it, or have the operator started with --allowed-base-url for its origin; plain http is \
             allowed only in this way."
        );
        return Ok(not_ready(OriginNotAllowed, message));
    }
    let Some(reference) = secret_ref(facts.account) else {
        let message = "neither spec.licenseKey nor spec.accessToken is set: set exactly one of them.";
        return Ok(not_ready(SecretInvalid, message));
    };
    for (index, source) in tls_sources(facts.account).into_iter().enumerate() {
        let Some(read) = facts.tls.get(index) else { return Err(Missing::Tls(source)) };
        if let Some((reason, message)) = problem(&source, read) {
            return Ok(not_ready(reason, message));
        }
    }
    let SecretRef { name, key } = reference;
    let Some(secret) = &facts.secret else { return Err(Missing::Secret(reference.clone())) };
    let (label, value) = match secret {
        SecretRead::Missing => {
            return Ok(not_ready(SecretNotFound, format!("There is no Secret {name} in this namespace: create it with the key {key}.")));
        }
        SecretRead::Forbidden => {
            let message = format!("The operator may not read Secret {name}: grant it get on secrets in this namespace.");
            return Ok(not_ready(SecretNotFound, message));
        }
        SecretRead::Found { label, value, .. } => (label, value),
    };
    // Permission to create an account must not be permission to send any Secret of the namespace to a server of one's choice.
    if label.as_deref() != Some(CREDENTIAL_LABEL_VALUE) {
        let message = format!(
            "Secret {name} lacks the label {CREDENTIAL_LABEL}: \"{CREDENTIAL_LABEL_VALUE}\", so it is not used: set the label if the Secret \
             is meant for nuvo."
        );
        return Ok(not_ready(SecretNotFound, message));
    }
    let credential = match value {
        SecretValue::KeyMissing => {
            return Ok(not_ready(SecretNotFound, format!("Secret {name} has no key {key}: add it, or correct the key in the account.")));
        }
        SecretValue::NotText => {
            return Ok(not_ready(SecretInvalid, format!("Secret {name} key {key} is not text. Correct the Secret.")));
        }
        SecretValue::Text { verified: Some(session), .. } => return Ok(ready(facts, session)),
        SecretValue::Text { credential, verified: None } => credential,
    };
    if facts.account.spec.license_key.as_ref().is_some_and(|key| key.identity_type.is_none()) {
        let message = "spec.licenseKey.identityType is not a word that this operator knows: write USER or SUB_ORG.";
        return Ok(not_ready(SecretInvalid, message));
    }
    let Some(verification) = &facts.verification else { return Err(Missing::Verification(credential.clone())) };
    Ok(verified(facts, reference, verification))
}

fn verified<C, S: Clone>(
    facts: &AccountFacts<'_, C, S>,
    SecretRef { name, key }: &SecretRef,
    verification: &Verification<S>,
) -> Finding<S> {
    match verification {
        Verification::Accepted(session) => ready(facts, session),
        Verification::Rejected => not_ready(
            AccountReason::CredentialsRejected,
            format!(
                "nuvo rejected the credentials of Secret {name} key {key}: correct the Secret, or the identifier in the account. After a change \
                 of the Secret, kubectl nuvo refresh {} has it read at once instead of within 15 minutes.",
                facts.account.metadata.name.as_deref().unwrap_or_default()
            ),
        ),
        Verification::PermissionMissing => not_ready(
            AccountReason::PermissionMissing,
            "nuvo does not let this account read executions: grant it execution.read and execution.create.",
        ),
        Verification::Malformed { of_secret: true, error } => {
            not_ready(AccountReason::SecretInvalid, format!("Secret {name} key {key}: {error}. Correct the Secret."))
        }
        Verification::Malformed { of_secret: false, error } => {
            not_ready(AccountReason::SecretInvalid, format!("{error}. Correct the account."))
        }
        Verification::Unknown { error, retry_after } => {
            let message = format!("Whether the credentials work is not known: {error}. It is tried again.");
            Finding { retry_after: *retry_after, ..not_ready(AccountReason::NuvoUnavailable, message) }
        }
    }
}

/// The Secret that an account names.
fn secret_ref(account: &NuvoAccount) -> Option<&SecretRef> {
    let key = account.spec.license_key.as_ref().map(|key| &key.secret_ref);
    key.or_else(|| account.spec.access_token.as_ref().map(|token| &token.secret_ref))
}
