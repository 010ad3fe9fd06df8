//! What an account says about TLS: which objects it is in, and what is wrong with them.

use nuvo_crds::{
    NuvoAccount, SecretRef,
    conditions::AccountReason,
    well_known::{CREDENTIAL_LABEL, CREDENTIAL_LABEL_VALUE},
};

use super::facts::TlsRead;

/// Where something about TLS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// Authorities, in a ConfigMap.
    ConfigMapAuthorities(SecretRef),
    /// Authorities, in a Secret.
    SecretAuthorities(SecretRef),
    /// A client certificate and its key, in the Secret of this name.
    ClientCertificate(String),
}

/// Where everything is that an account says about TLS.
#[must_use]
pub fn tls_sources(account: &NuvoAccount) -> Vec<TlsSource> {
    let Some(tls) = &account.spec.tls else { return Vec::new() };
    let authorities = tls.ca_bundle.as_ref().and_then(|bundle| {
        let reference = |name: &str| SecretRef { name: name.to_owned(), key: bundle.key.clone() };
        let of_config_map = bundle.config_map_ref.as_ref().map(|object| TlsSource::ConfigMapAuthorities(reference(&object.name)));
        of_config_map.or_else(|| bundle.secret_ref.as_ref().map(|object| TlsSource::SecretAuthorities(reference(&object.name))))
    });
    let certificate = tls.client_certificate_secret_ref.as_ref().map(|object| TlsSource::ClientCertificate(object.name.clone()));
    authorities.into_iter().chain(certificate).collect()
}

/// Why the object cannot be used; none if it can.
pub(super) fn problem<C>(source: &TlsSource, read: &TlsRead<C>) -> Option<(AccountReason, String)> {
    use AccountReason::{SecretInvalid, SecretNotFound};

    let (kind, name, field) = match source {
        TlsSource::ConfigMapAuthorities(reference) => ("ConfigMap", &reference.name, "spec.tls.caBundle"),
        TlsSource::SecretAuthorities(reference) => ("Secret", &reference.name, "spec.tls.caBundle"),
        TlsSource::ClientCertificate(name) => ("Secret", name, "spec.tls.clientCertificateSecretRef"),
    };
    match read {
        TlsRead::Missing => {
            Some((SecretNotFound, format!("There is no {kind} {name} in this namespace ({field}): create it, or correct the account.")))
        }
        TlsRead::Forbidden => {
            let resource = if kind == "Secret" { "secrets" } else { "configmaps" };
            Some((
                SecretNotFound,
                format!("The operator may not read {kind} {name} ({field}): grant it get on {resource} in this namespace."),
            ))
        }
        // As for the credential: an account is no permission to use any Secret of the namespace.
        TlsRead::Found { label, .. } if kind == "Secret" && label.as_deref() != Some(CREDENTIAL_LABEL_VALUE) => Some((
            SecretNotFound,
            format!(
                "Secret {name} ({field}) lacks the label {CREDENTIAL_LABEL}: \"{CREDENTIAL_LABEL_VALUE}\", so it is not used: set the label \
                 if the Secret is meant for nuvo."
            ),
        )),
        TlsRead::Found { value: Err(error), .. } => Some((SecretInvalid, format!("{kind} {name} ({field}): {error}. Correct it."))),
        TlsRead::Found { value: Ok(_), .. } => None,
    }
}
