use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{
    AccessToken, AccountTls, CaBundle, IdentityType, LicenseKey, NuvoAccount, NuvoAccountSpec, NuvoAccountStatus, SecretRef, TlsObjectRef,
    conditions::{AccountReason, MAX_MESSAGE},
};

use super::*;

/// The credential and the session are opaque; words are enough.
type Facts<'a> = AccountFacts<'a, &'static str, &'static str>;
type Act = AccountAct<&'static str, &'static str>;

const SECRET: &str = "license key";
const SESSION: &str = "session";
const SOURCE: &str = "version 1 of the Secret";

fn secret_ref() -> SecretRef {
    SecretRef { name: "nuvo-credentials".into(), key: "license-key".into() }
}

fn account() -> NuvoAccount {
    let license_key = LicenseKey {
        secret_ref: secret_ref(),
        identifier: "me@example.com".into(),
        identity_type: Some(IdentityType::User),
        token_path: "auth/access-token".into(),
    };
    let mut account = NuvoAccount::new("default", NuvoAccountSpec { license_key: Some(license_key), ..NuvoAccountSpec::default() });
    account.metadata.generation = Some(3);
    account
}

fn facts(account: &NuvoAccount) -> Facts<'_> {
    AccountFacts::new(account, Timestamp::from_second(1_000).unwrap(), None, 0)
}

fn found(value: SecretValue<&'static str, &'static str>) -> Option<SecretRead<&'static str, &'static str>> {
    Some(SecretRead::Found { label: Some("true".into()), source: SOURCE.into(), value })
}

fn text(verified: Option<&'static str>) -> Option<SecretRead<&'static str, &'static str>> {
    found(SecretValue::Text { credential: SECRET, verified })
}

/// Facts with this answer of nuvo.
fn verified<'a>(account: &'a NuvoAccount, verification: Verification<&'static str>) -> Facts<'a> {
    Facts { secret: text(None), verification: Some(verification), ..facts(account) }
}

/// What the runs get to know.
fn published(facts: &Facts<'_>) -> Availability<&'static str> {
    match next(facts) {
        AccountAct::Publish(availability) => availability,
        act => panic!("{act:?}"),
    }
}

/// The status that is written, and what is done after it.
fn concluded(facts: &Facts<'_>) -> (Option<NuvoAccountStatus>, Act) {
    let mut facts = facts.clone();
    facts.publication = Publication::Published;
    let status = match next(&facts) {
        AccountAct::WriteStatus(status) => Some(*status),
        act => return (None, act),
    };
    facts.status_written = true;
    (status, next(&facts))
}

fn reason(facts: &Facts<'_>) -> (String, String) {
    let status = concluded(facts).0.expect("a status");
    (status.conditions[0].reason.clone(), status.conditions[0].message.clone())
}

#[test]
fn new_credentials_are_read_verified_published_and_noted() {
    let account = account();
    let mut facts = facts(&account);
    assert_eq!(next(&facts), AccountAct::ReadSecret(secret_ref()));
    facts.secret = text(None);
    assert_eq!(next(&facts), AccountAct::Verify(SECRET));
    facts.verification = Some(Verification::Accepted(SESSION));
    assert_eq!(next(&facts), AccountAct::Publish(Availability::Ready(SESSION)));
    facts.publication = Publication::Published;
    let AccountAct::WriteStatus(status) = next(&facts) else { panic!("no status") };
    assert_eq!((status.identity.as_deref(), status.observed_generation), (Some("me@example.com"), Some(3)));
    facts.status_written = true;
    assert_eq!(next(&facts), AccountAct::Done { again: Some(Duration::from_secs(600)), failures: 0 });
}

#[test]
fn credentials_that_nuvo_has_accepted_are_not_verified_again() {
    let account = account();
    let facts = Facts { secret: text(Some(SESSION)), ..facts(&account) };
    assert_eq!(published(&facts), Availability::Ready(SESSION));
}

/// An account with a token, whose status keeps an identity for these credentials.
fn token_account(identity: &str, source: &str) -> NuvoAccount {
    let access_token = Some(AccessToken { secret_ref: secret_ref() });
    let mut account = NuvoAccount::new("default", NuvoAccountSpec { access_token, ..NuvoAccountSpec::default() });
    let (identity, identity_source) = (Some(identity.to_owned()), Some(source.to_owned()));
    account.status = Some(NuvoAccountStatus { identity, identity_source, ..NuvoAccountStatus::default() });
    account
}

fn identity(facts: &Facts<'_>) -> (Option<String>, Option<String>) {
    let status = concluded(facts).0.expect("a status");
    (status.identity, status.identity_source)
}

#[test]
fn identity_that_nuvo_has_shown_counts_for_the_same_credentials_only() {
    let owned = |identity: &str| (Some(identity.to_owned()), Some(SOURCE.to_owned()));
    let same = token_account("us@example.com", SOURCE);
    let facts = verified(&same, Verification::Accepted(SESSION));
    assert_eq!((facts.known_identity(), identity(&facts)), (Some("us@example.com".to_owned()), owned("us@example.com")));
    let newer = Facts { shown_identity: Some("we@example.com".into()), ..facts };
    assert_eq!((newer.known_identity(), identity(&newer)), (Some("we@example.com".to_owned()), owned("we@example.com")));

    let other = token_account("us@example.com", "version 1 of another Secret");
    let facts = verified(&other, Verification::Accepted(SESSION));
    assert_eq!((facts.known_identity(), identity(&facts)), (None, (None, None)));
    // While nuvo is away nothing is known anew, and nothing is forgotten.
    let away = verified(&same, Verification::Unknown { error: "it is away".into(), retry_after: None });
    assert_eq!(identity(&away), owned("us@example.com"));
    // One that the account names is not bound to anything.
    let mut unbound = token_account("us@example.com", SOURCE);
    unbound.status.as_mut().unwrap().identity_source = None;
    assert_eq!(verified(&unbound, Verification::Accepted(SESSION)).known_identity(), None);
}

#[test]
fn identity_other_than_the_named_one_is_said() {
    let account = account();
    for (shown, words) in [("ME@example.com", "nuvo accepts the credentials."), ("u-17", "shows u-17 as the creator of what the account")] {
        let facts = Facts { shown_identity: Some(shown.into()), ..verified(&account, Verification::Accepted(SESSION)) };
        let status = concluded(&facts).0.expect("a status");
        assert!(status.conditions[0].message.contains(words), "{}", status.conditions[0].message);
        assert_eq!((status.identity.as_deref(), status.identity_source.as_deref()), (Some(shown), Some(SOURCE)));
    }
}

#[test]
fn origin_that_is_not_allowed_reads_no_secret() {
    let account = account();
    let facts = Facts { base_url_error: Some("its origin is not allowed".into()), failures: 4, ..facts(&account) };
    let Availability::NotReady(why) = published(&facts) else { panic!("ready") };
    assert!(why.starts_with("NuvoAccount default is not ready (OriginNotAllowed): spec.baseUrl: its origin"), "{why}");
    let again = Some(Duration::from_secs(600));
    assert_eq!(
        concluded(&facts).1,
        AccountAct::Done { again, failures: 4 },
        "looking again does not help, so it is not a failure in a row"
    );
}

#[test]
fn account_without_credentials_is_invalid() {
    let account = NuvoAccount::new("default", NuvoAccountSpec::default());
    assert_eq!(reason(&facts(&account)).0, "SecretInvalid");
}

#[test]
fn secret_that_cannot_be_used_is_never_sent() {
    let account = account();
    let unlabelled = |label: Option<&str>| SecretRead::Found {
        label: label.map(str::to_owned),
        source: SOURCE.into(),
        value: SecretValue::Text { credential: SECRET, verified: Some(SESSION) },
    };
    for (secret, expected, word) in [
        (SecretRead::Missing, "SecretNotFound", "There is no Secret nuvo-credentials"),
        (SecretRead::Forbidden, "SecretNotFound", "may not read Secret nuvo-credentials"),
        (unlabelled(None), "SecretNotFound", "lacks the label nuvo.dev/credential"),
        (unlabelled(Some("false")), "SecretNotFound", "lacks the label nuvo.dev/credential"),
        (found(SecretValue::KeyMissing).unwrap(), "SecretNotFound", "has no key license-key"),
        (found(SecretValue::NotText).unwrap(), "SecretInvalid", "is not text"),
    ] {
        let facts = Facts { secret: Some(secret), failures: 2, ..facts(&account) };
        let (reason, message) = reason(&facts);
        assert!(reason == expected && message.contains(word), "{reason}: {message}");
        assert!(matches!(published(&facts), Availability::NotReady(why) if why.contains(word)));
        assert_eq!(concluded(&facts).1, AccountAct::Done { again: Some(Duration::from_secs(4)), failures: 3 });
    }
}

/// A word of a newer version of the API is not guessed.
#[test]
fn unknown_identity_type_is_not_verified() {
    let mut account = account();
    account.spec.license_key.as_mut().unwrap().identity_type = None;
    let facts = Facts { secret: text(None), ..facts(&account) };
    let (reason, message) = reason(&facts);
    assert!(reason == "SecretInvalid" && message.contains("identityType"), "{reason}: {message}");
}

#[test]
fn answer_of_nuvo_decides_the_reason_and_the_wait() {
    let account = account();
    let error = || "it failed".to_owned();
    for (verification, expected, waits) in [
        (Verification::Rejected, AccountReason::CredentialsRejected, [10, 900]),
        (Verification::PermissionMissing, AccountReason::PermissionMissing, [10, 300]),
        (Verification::Unknown { error: error(), retry_after: None }, AccountReason::NuvoUnavailable, [10, 300]),
        (Verification::Unknown { error: error(), retry_after: Some(Duration::from_secs(77)) }, AccountReason::NuvoUnavailable, [77, 300]),
        (Verification::Malformed { of_secret: true, error: error() }, AccountReason::SecretInvalid, [2, 60]),
        (Verification::Malformed { of_secret: false, error: error() }, AccountReason::SecretInvalid, [2, 60]),
    ] {
        for (failures, wait) in [1, 20].into_iter().zip(waits) {
            let facts = Facts { failures, ..verified(&account, verification.clone()) };
            assert_eq!(reason(&facts).0, expected.as_str());
            let done = AccountAct::Done { again: Some(Duration::from_secs(wait)), failures: failures + 1 };
            assert_eq!(concluded(&facts).1, done, "{expected}");
        }
    }
    let of = |of_secret| reason(&verified(&account, Verification::Malformed { of_secret, error: error() })).1;
    assert!(of(true).contains("Correct the Secret") && of(false).contains("Correct the account"));
}

#[test]
fn access_token_has_no_identity() {
    let token = AccessToken { secret_ref: secret_ref() };
    let account = NuvoAccount::new("default", NuvoAccountSpec { access_token: Some(token), ..NuvoAccountSpec::default() });
    assert_eq!(next(&facts(&account)), AccountAct::ReadSecret(secret_ref()));
    assert_eq!(concluded(&verified(&account, Verification::Accepted(SESSION))).0.unwrap().identity, None);
}

#[test]
fn deleted_account_gets_no_status() {
    let account = account();
    let facts = Facts { publication: Publication::AccountGone, failures: 1, ..verified(&account, Verification::Rejected) };
    assert_eq!(next(&facts), AccountAct::Done { again: None, failures: 1 });
}

#[test]
fn equal_status_is_not_written() {
    let mut account = account();
    account.status = concluded(&verified(&account.clone(), Verification::Accepted(SESSION))).0;
    let later = Timestamp::from_second(2_000).unwrap();
    let facts = Facts { now: later, ..verified(&account, Verification::Accepted(SESSION)) };
    assert_eq!(concluded(&facts), (None, AccountAct::Done { again: Some(Duration::from_secs(600)), failures: 0 }));
}

#[test]
fn transition_time_changes_with_the_condition_status_only() {
    let mut account = account();
    let times = |status: &NuvoAccountStatus| -> Vec<i64> {
        status.conditions.iter().map(|condition| condition.last_transition_time.0.as_second()).collect()
    };
    let at = |account: &NuvoAccount, second, verification| {
        concluded(&Facts { now: Timestamp::from_second(second).unwrap(), ..verified(account, verification) }).0.unwrap()
    };
    account.status = Some(at(&account, 1, Verification::Rejected));
    account.status = Some(at(&account, 2, Verification::PermissionMissing));
    assert_eq!(times(account.status.as_ref().unwrap()), [1, 1], "Ready is still False, and Stalled still True");
    account.status = Some(at(&account, 3, Verification::Unknown { error: "it failed".into(), retry_after: None }));
    let status = account.status.as_ref().unwrap();
    let kinds: Vec<(&str, &str)> =
        status.conditions.iter().map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect();
    assert_eq!((times(status), kinds), (vec![3, 3], vec![("Ready", "Unknown"), ("Reconciling", "True")]));
}

#[test]
fn identity_is_that_of_the_credentials_that_work() {
    let mut account = account();
    let mut identity_after = |verification| {
        account.status = concluded(&verified(&account, verification)).0;
        account.status.as_ref().unwrap().identity.clone()
    };
    let person = Some("me@example.com".to_owned());
    assert_eq!(identity_after(Verification::Accepted(SESSION)), person);
    assert_eq!(identity_after(Verification::Rejected), person, "whose credentials are rejected");
    let token = AccessToken { secret_ref: secret_ref() };
    account.spec = NuvoAccountSpec { access_token: Some(token), ..NuvoAccountSpec::default() };
    let status = concluded(&verified(&account, Verification::Accepted(SESSION))).0.unwrap();
    assert_eq!(status.identity, None, "an access token does not say whose it is");
}

#[test]
fn long_message_is_cut() {
    let account = account();
    let facts = verified(&account, Verification::Unknown { error: "ä".repeat(2 * MAX_MESSAGE), retry_after: None });
    assert_eq!(reason(&facts).1.chars().count(), MAX_MESSAGE);
}

fn named(name: &str) -> Option<TlsObjectRef> {
    Some(TlsObjectRef { name: name.into() })
}

/// An account with authorities and a client certificate.
fn account_with_tls(bundle: CaBundle) -> NuvoAccount {
    let mut account = account();
    account.spec.tls = Some(AccountTls { ca_bundle: Some(bundle), client_certificate_secret_ref: named("client") });
    account
}

fn authorities_in_a_secret() -> CaBundle {
    CaBundle { secret_ref: named("authorities"), key: "ca.crt".into(), ..CaBundle::default() }
}

fn pem(label: Option<&str>, value: Result<&'static str, &str>) -> TlsRead<&'static str> {
    TlsRead::Found { label: label.map(str::to_owned), value: value.map_err(str::to_owned) }
}

#[test]
fn objects_about_tls_are_read_before_the_secret() {
    let reference = |name: &str| SecretRef { name: name.into(), key: "ca.crt".into() };
    let in_config_map = CaBundle { config_map_ref: named("authorities"), key: "ca.crt".into(), ..CaBundle::default() };
    for (bundle, label, source) in [
        (in_config_map, None, TlsSource::ConfigMapAuthorities(reference("authorities"))),
        (authorities_in_a_secret(), Some("true"), TlsSource::SecretAuthorities(reference("authorities"))),
    ] {
        let account = account_with_tls(bundle);
        let mut facts = facts(&account);
        assert_eq!(next(&facts), AccountAct::ReadTls(source));
        facts.tls.push(pem(label, Ok("authorities")));
        assert_eq!(next(&facts), AccountAct::ReadTls(TlsSource::ClientCertificate("client".into())));
        facts.tls.push(pem(Some("true"), Ok("certificate")));
        assert_eq!(next(&facts), AccountAct::ReadSecret(secret_ref()));
    }
}

#[test]
fn object_about_tls_that_cannot_be_used_says_why() {
    let account = account_with_tls(authorities_in_a_secret());
    let good = || pem(Some("true"), Ok("authorities"));
    for (tls, wanted, words) in [
        (vec![TlsRead::Missing], "SecretNotFound", "There is no Secret authorities in this namespace (spec.tls.caBundle)"),
        (vec![TlsRead::Forbidden], "SecretNotFound", "grant it get on secrets"),
        (vec![pem(None, Ok("authorities"))], "SecretNotFound", "lacks the label nuvo.dev/credential: \"true\""),
        (vec![pem(Some("true"), Err("there is no certificate in it"))], "SecretInvalid", "there is no certificate in it. Correct it."),
        (vec![good(), TlsRead::Missing], "SecretNotFound", "no Secret client in this namespace (spec.tls.clientCertificateSecretRef)"),
        (vec![good(), pem(Some("false"), Ok("certificate"))], "SecretNotFound", "lacks the label"),
        (vec![good(), pem(Some("true"), Err("it has no key tls.key"))], "SecretInvalid", "Secret client"),
    ] {
        let (reason, message) = reason(&Facts { tls, ..facts(&account) });
        assert!(reason == wanted && message.contains(words), "{reason}: {message}");
    }
}
