//! The controller of accounts: carries out what [`nuvo_core::account`] decides.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{Predicate, controller::Action, predicates, reflector::ObjectRef, watcher},
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    account_registry::AccountState,
    api_call::{CallError, call},
    control::Reconciler,
    shell::Shell,
};
use crate::account::{Session, SessionSettings};
use nuvo_client::{AccountTls, BaseUrl, Credential, Error, Identity};
use nuvo_core::{
    account::{
        AccountAct, AccountFacts, Availability, Publication, SecretRead, SecretValue, TlsRead, TlsSource, Verification, next, tls_sources,
    },
    backoff::Backoff,
    run::AccountHash,
};
use nuvo_crds::{
    NuvoAccount, NuvoAccountStatus, SecretRef,
    well_known::{CREDENTIAL_LABEL, FIELD_MANAGER},
};

/// How many accounts of a watch are reconciled at once. A reconcile can take as long as nuvo takes to answer, and must not delay
/// other accounts.
const CONCURRENCY: u16 = 32;

/// The error of such an account. The core does not verify it.
const UNKNOWN_TYPE: &str = "spec.licenseKey.identityType is not a word that this operator knows";

/// The controller of accounts.
pub struct AccountReconciler {
    shell: Arc<Shell>,
    /// By the uid of an account.
    memory: Mutex<HashMap<String, Memory>>,
}

/// What this process remembers of an account. Forgetting it costs a request, never safety.
#[derive(Default)]
struct Memory {
    /// The credential and spec of the verified session.
    verified: Option<Fingerprint>,
    /// How many consecutive reconciles found it not ready.
    failures: u32,
}

/// A hash of the spec and the credential of a verified session.
#[derive(Clone, PartialEq, Eq)]
struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(account: &NuvoAccount, credential: &SecretString, tls: &AccountTls) -> Self {
        let AccountTls { authorities, client_certificate } = tls;
        let mut hash = Sha256::new();
        // Debug of the spec names the Secret, never its value.
        hash.update(format!("{:?}\n", account.spec));
        for part in [authorities.as_deref(), client_certificate.as_ref().map(ExposeSecret::expose_secret)] {
            hash.update(Sha256::digest(part.unwrap_or_default()));
        }
        hash.update(credential.expose_secret());
        Self(hash.finalize().into())
    }
}

/// Which account it is, for what runs remember of their triggers: base URL and identity, or, of an access token, which shows no identity, where it is
/// kept. A rotated credential makes no other account.
fn account_hash(account: &NuvoAccount, base: &BaseUrl) -> AccountHash {
    let spec = &account.spec;
    let named = spec.license_key.as_ref().map(|key| format!("{:?} {}", key.identity_type, key.identifier));
    let kept = spec.access_token.as_ref().map(|token| format!("{} {}", token.secret_ref.name, token.secret_ref.key));
    let hash = Sha256::digest(format!("{}\n{}", base.as_str(), named.or(kept).unwrap_or_default()));
    AccountHash::of(hash.into())
}

impl Reconciler for AccountReconciler {
    type Object = NuvoAccount;
    type Error = CallError;

    const KIND: &'static str = "NuvoAccount";
    const BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));

    fn concurrency(&self) -> u16 {
        CONCURRENCY
    }

    /// Leaves out the operator's own status writes: each reconcile reads a Secret and may send requests to nuvo.
    fn predicate(&self, account: &NuvoAccount) -> Option<u64> {
        predicates::generation.combine(predicates::annotations).hash_property(account)
    }

    fn on_watch_event(&self, _namespace: Option<&str>, event: &watcher::Event<NuvoAccount>) {
        let accounts = &self.shell.accounts;
        match event {
            watcher::Event::Delete(account) => {
                accounts.remove(&ObjectRef::from_obj(account));
                self.forget_deleted(&account.namespace().unwrap_or_default(), &account.name_any());
            }
            watcher::Event::InitDone => {
                for key in accounts.remove_deleted() {
                    self.forget_deleted(&key.namespace, &key.name);
                }
                accounts.wake_runs_of_unavailable();
            }
            watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    fn forget(&self, account: &NuvoAccount) {
        self.memory.lock().remove(account.metadata.uid.as_deref().unwrap_or_default());
    }

    async fn reconcile(&self, account: Arc<NuvoAccount>) -> Result<Action, CallError> {
        let base_url_error = self.shell.origins.check(&account.spec.base_url).err().map(|error| error.to_string());
        let uid = account.uid().unwrap_or_default();
        let failures = self.memory.lock().get(&uid).map_or(0, |memory| memory.failures);
        let mut facts = AccountFacts::new(&account, self.shell.now(), base_url_error, failures);
        loop {
            let shown = facts.session().and_then(|session: &Arc<Session>| session.shown_identity());
            facts.shown_identity = shown.and_then(|identity| identity.text().map(str::to_owned));
            match next(&facts) {
                AccountAct::ReadTls(source) => facts.tls.push(self.read_tls(&account, &source).await?),
                AccountAct::ReadSecret(reference) => {
                    let tls = account_tls(&account, &facts.tls);
                    facts.secret = Some(self.read_secret(&account, &reference, &tls).await?);
                }
                AccountAct::Verify(credential) => {
                    let tls = account_tls(&account, &facts.tls);
                    facts.verification = Some(self.verify(&account, credential, tls, facts.known_identity()).await);
                }
                AccountAct::Publish(availability) => facts.publication = self.publish(&account, availability),
                AccountAct::WriteStatus(status) => {
                    let status = self.shell.definitions.fit(*status);
                    if account.status.as_ref() != Some(&status) {
                        self.write_status(&account, status).await?;
                    }
                    facts.status_written = true;
                }
                AccountAct::Done { again, failures } => {
                    if let Some(memory) = self.memory.lock().get_mut(&uid) {
                        memory.failures = failures;
                    }
                    return Ok(again.map_or_else(Action::await_change, Action::requeue));
                }
            }
        }
    }
}

impl AccountReconciler {
    /// Nothing is known of any account yet.
    #[must_use]
    pub fn new(shell: Arc<Shell>) -> Self {
        Self { shell, memory: Mutex::default() }
    }

    /// Forgets an account that was deleted, and others that no longer exist.
    fn forget_deleted(&self, namespace: &str, name: &str) {
        self.shell.metrics.forget_account(namespace, name);
        let left: HashSet<String> = self.shell.accounts.uids();
        self.memory.lock().retain(|uid, _| left.contains(uid));
    }

    async fn read_tls(&self, account: &NuvoAccount, source: &TlsSource) -> Result<TlsRead<SecretString>, CallError> {
        let namespace = account.namespace().unwrap_or_default();
        let (client, missing) = (self.shell.client.clone(), |key: &str| format!("it has no key {key}"));
        let read = match source {
            TlsSource::ConfigMapAuthorities(SecretRef { name, key }) => {
                let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
                let read = call("read the ConfigMap of the NuvoAccount", api.get_opt(name)).await;
                read.map(|found| found.map(|map| (None, map.data.and_then(|mut data| data.remove(key)).ok_or_else(|| missing(key)))))
            }
            TlsSource::SecretAuthorities(SecretRef { name, key }) => {
                let api: Api<Secret> = Api::namespaced(client, &namespace);
                let read = call("read the Secret of the NuvoAccount", api.get_opt(name)).await;
                read.map(|found| found.map(|secret| (label(&secret), text(&secret, key))))
            }
            TlsSource::ClientCertificate(name) => {
                let api: Api<Secret> = Api::namespaced(client, &namespace);
                let read = call("read the Secret of the NuvoAccount", api.get_opt(name)).await;
                let pem = |secret: &Secret| Ok(format!("{}\n{}", text(secret, "tls.crt")?, text(secret, "tls.key")?));
                read.map(|found| found.map(|secret| (label(&secret), pem(&secret))))
            }
        };
        match read {
            Ok(Some((label, value))) => {
                let checked = value.and_then(|pem| {
                    let pem = SecretString::from(pem);
                    match source {
                        TlsSource::ClientCertificate(_) => nuvo_client::check_client_certificate(&pem)?,
                        TlsSource::ConfigMapAuthorities(_) | TlsSource::SecretAuthorities(_) => {
                            nuvo_client::check_authorities(pem.expose_secret())?;
                        }
                    }
                    Ok(pem)
                });
                Ok(TlsRead::Found { label, value: checked })
            }
            Ok(None) => Ok(TlsRead::Missing),
            Err(error) if error.is_forbidden() => Ok(TlsRead::Forbidden),
            Err(error) => Err(error),
        }
    }

    async fn read_secret(
        &self,
        account: &NuvoAccount,
        reference: &SecretRef,
        tls: &AccountTls,
    ) -> Result<SecretRead<SecretString, Arc<Session>>, CallError> {
        let api: Api<Secret> = Api::namespaced(self.shell.client.clone(), &account.namespace().unwrap_or_default());
        let secret = match call("read the Secret of the NuvoAccount", api.get_opt(&reference.name)).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Ok(SecretRead::Missing),
            Err(error) if error.is_forbidden() => return Ok(SecretRead::Forbidden),
            Err(error) => return Err(error),
        };
        let label = label(&secret);
        let value = match secret.data.as_ref().and_then(|data| data.get(&reference.key)).map(|value| std::str::from_utf8(&value.0)) {
            None => SecretValue::KeyMissing,
            Some(Err(_)) => SecretValue::NotText,
            Some(Ok(text)) => {
                let credential = SecretString::from(text);
                SecretValue::Text { verified: self.verified_session(account, &credential, tls), credential }
            }
        };
        Ok(SecretRead::Found { label, source: identity_source(account, &secret), value })
    }

    /// The verified session with exactly this credential and spec.
    fn verified_session(&self, account: &NuvoAccount, credential: &SecretString, tls: &AccountTls) -> Option<Arc<Session>> {
        let session = self.shell.accounts.session(&ObjectRef::from_obj(account)).filter(|session| !session.is_rejected())?;
        let memory = self.memory.lock();
        let verified = memory.get(&account.uid().unwrap_or_default())?.verified.as_ref()?;
        (*verified == Fingerprint::of(account, credential, tls)).then_some(session)
    }

    /// Makes a session with a credential, and verifies that nuvo accepts it.
    async fn verify(
        &self,
        account: &NuvoAccount,
        secret: SecretString,
        tls: AccountTls,
        shown_identity: Option<String>,
    ) -> Verification<Arc<Session>> {
        let fingerprint = Fingerprint::of(account, &secret, &tls);
        let session = match self.session(account, secret, tls, shown_identity) {
            Ok(session) => session,
            Err(verification) => return verification,
        };
        match session.verify_credentials().await {
            Ok(()) => {
                let uid = account.uid().unwrap_or_default();
                self.memory.lock().entry(uid).or_default().verified = Some(fingerprint);
                Verification::Accepted(session)
            }
            Err(Error::Unauthorized) => Verification::Rejected,
            Err(Error::Forbidden) => Verification::PermissionMissing,
            Err(error) => {
                tracing::info!(%error, "the credentials cannot be verified");
                unknown(&error)
            }
        }
    }

    fn session(
        &self,
        account: &NuvoAccount,
        secret: SecretString,
        tls: AccountTls,
        shown_identity: Option<String>,
    ) -> Result<Arc<Session>, Verification<Arc<Session>>> {
        let malformed = |of_secret, error: &dyn std::error::Error| Verification::Malformed { of_secret, error: error.to_string() };
        let base = self.shell.origins.check(&account.spec.base_url).map_err(|error| malformed(false, &error))?;
        let credential =
            credential(account, secret).ok_or_else(|| Verification::Malformed { of_secret: false, error: UNKNOWN_TYPE.to_owned() })?;
        let credential = credential.validated().map_err(|error| malformed(error.is_of_secret(), &error))?;
        let admit_login = Some(self.shell.logins.admit(&base.origin()));
        let settings = nuvo_client::Settings { admit_login, tls, ..self.shell.nuvo_settings.clone() };
        let client = nuvo_client::Client::new(base, credential, settings).map_err(|error| unknown(&error))?;
        let deleted = || Verification::Unknown { error: "the NuvoAccount was deleted".to_owned(), retry_after: None };
        let requests = self.shell.accounts.requests(&ObjectRef::from_obj(account)).ok_or_else(deleted)?;
        let (announcements, mut announced) = tokio::sync::mpsc::channel(1);
        let (accounts, me) = (Arc::downgrade(&self.shell.accounts), ObjectRef::from_obj(account));
        tokio::spawn(async move {
            while let (Some(()), Some(accounts)) = (announced.recv().await, accounts.upgrade()) {
                accounts.wake(&me);
            }
        });
        let metrics = self.shell.metrics.clone();
        let settings = SessionSettings {
            requests_per_second: u32::try_from(account.spec.requests_per_second).unwrap_or(1),
            poll_period: Duration::from_secs(u64::try_from(account.spec.poll_period_seconds).unwrap_or(10)),
            observe_period: Duration::from_secs(u64::try_from(account.spec.observe_period_seconds).unwrap_or(60)),
            identity: account.spec.license_key.as_ref().map(|key| Identity::new(&key.identifier)),
            account: account_hash(account, client.base()),
            shown_identity: shown_identity.as_deref().map(Identity::new),
            breaker: self.shell.breakers.of(&account.namespace().unwrap_or_default(), &client.base().origin()),
            announcements,
            waited: Box::new(move |time| metrics.budget_wait(time)),
        };
        Ok(Arc::new(Session::new(client, requests, settings)))
    }

    fn publish(&self, account: &NuvoAccount, availability: Availability<Arc<Session>>) -> Publication {
        let (namespace, name) = (account.namespace().unwrap_or_default(), account.name_any());
        if !self.shell.term.is_begun() {
            self.shell.metrics.account_ready(&namespace, &name, matches!(availability, Availability::Ready(_)));
        }
        let state = match availability {
            Availability::Ready(session) => AccountState::Ready(session),
            Availability::NotReady(why) => AccountState::NotReady(why),
        };
        if self.shell.accounts.set_state(&ObjectRef::from_obj(account), state) {
            self.memory.lock().entry(account.uid().unwrap_or_default()).or_default();
            Publication::Published
        } else {
            self.forget_deleted(&namespace, &name);
            Publication::AccountGone
        }
    }

    async fn write_status(&self, account: &NuvoAccount, status: NuvoAccountStatus) -> Result<(), CallError> {
        let mut object = account.clone();
        object.metadata.managed_fields = None;
        object.status = Some(status);
        self.shell.metrics.kube_write("nuvoaccounts/status");
        let api: Api<NuvoAccount> = Api::namespaced(self.shell.client.clone(), &account.namespace().unwrap_or_default());
        let request = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match call("write the status of the NuvoAccount", api.replace_status(&account.name_any(), &request, &object)).await {
            // The watch will deliver the newer version, which is reconciled then.
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

fn unknown(error: &Error) -> Verification<Arc<Session>> {
    Verification::Unknown { error: error.to_string(), retry_after: error.retry_after() }
}

fn label(secret: &Secret) -> Option<String> {
    secret.labels().get(CREDENTIAL_LABEL).cloned()
}

fn text(secret: &Secret, key: &str) -> Result<String, String> {
    let value = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| format!("it has no key {key}"))?;
    String::from_utf8(value.0.clone()).map_err(|_| format!("its key {key} is not text"))
}

/// What names this version of the Secret, and how the account uses it. Nothing of what the Secret contains is in it.
fn identity_source(account: &NuvoAccount, secret: &Secret) -> String {
    let (spec, metadata) = (&account.spec, &secret.metadata);
    let used = serde_json::json!([spec.base_url, spec.license_key, spec.access_token, metadata.uid, metadata.resource_version]);
    Sha256::digest(used.to_string()).iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// What the objects that an account names say about TLS.
fn account_tls(account: &NuvoAccount, read: &[TlsRead<SecretString>]) -> AccountTls {
    let mut tls = AccountTls::default();
    for (source, read) in tls_sources(account).iter().zip(read) {
        let TlsRead::Found { value: Ok(pem), .. } = read else { continue };
        match source {
            TlsSource::ClientCertificate(_) => tls.client_certificate = Some(pem.clone()),
            TlsSource::ConfigMapAuthorities(_) | TlsSource::SecretAuthorities(_) => tls.authorities = Some(pem.expose_secret().to_owned()),
        }
    }
    tls
}

/// None if this operator does not know the identity type of the license key.
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

#[cfg(test)]
mod tests {
    use super::*;
    use nuvo_crds::{IdentityType, LicenseKey, NuvoAccountSpec};

    #[test]
    fn unknown_identity_type_makes_no_credential() {
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
