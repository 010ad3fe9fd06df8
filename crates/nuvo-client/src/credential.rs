//! What an account authenticates with.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What the identifier of a license key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityType {
    /// A person.
    User,
    /// A part of an organisation.
    SubOrg,
}

impl IdentityType {
    /// nuvo's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::SubOrg => "SUB_ORG",
        }
    }
}

const MAX_SECRET: usize = 8_192;
const MAX_NAME: usize = 320;
const MAX_PATH: usize = 256;

/// Why a credential is not usable. Its value is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nothing is left after trimming.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Longer than any credential known.
    #[error("the {0} is too long")]
    TooLong(&'static str),
    /// A line break or another character that no HTTP header can carry.
    #[error("the {0} contains a character that is not allowed (line break, control or non-ASCII character)")]
    Character(&'static str),
    /// Not what nuvo can show as an identifier.
    #[error("spec.licenseKey.identifier must be one line of 1 to {MAX_NAME} bytes")]
    Identifier,
    /// The token path would leave the base URL.
    #[error(
        "spec.licenseKey.tokenPath must be a relative path of plain segments, at most {MAX_PATH} characters, for instance auth/access-token"
    )]
    TokenPath,
}

impl CredentialError {
    /// Whether the Secret is what has to be corrected, and not a field of the account.
    #[must_use]
    pub const fn is_of_secret(self) -> bool {
        match self {
            Self::Empty(_) | Self::TooLong(_) | Self::Character(_) => true,
            Self::Identifier | Self::TokenPath => false,
        }
    }
}

/// What an account authenticates with. `Debug` shows nothing.
#[derive(Clone)]
pub enum Credential {
    /// Exchanged for a token.
    LicenseKey {
        /// The license key.
        key: SecretString,
        /// E-mail address or identifier of a sub-organization.
        identifier: String,
        /// What the identifier names.
        identity_type: IdentityType,
        /// Relative to the base URL: `auth/access-token`, or `access/token` in the Ingestro edition.
        token_path: String,
    },
    /// A token made elsewhere; it cannot be renewed.
    AccessToken(SecretString),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LicenseKey { .. } => "LicenseKey(..)",
            Self::AccessToken(_) => "AccessToken(..)",
        })
    }
}

impl Credential {
    /// Trims the parts and checks them.
    ///
    /// # Errors
    /// [`CredentialError`] when a part is empty, too long or has characters that cannot be sent.
    pub fn validated(self) -> Result<Self, CredentialError> {
        Ok(match self {
            Self::LicenseKey { key, identifier, identity_type, token_path } => {
                let identifier = identifier.trim();
                if identifier.is_empty() || identifier.len() > MAX_NAME || identifier.chars().any(char::is_control) {
                    return Err(CredentialError::Identifier);
                }
                Self::LicenseKey {
                    key: checked(&key, "license key")?,
                    identifier: identifier.to_owned(),
                    identity_type,
                    token_path: checked_path(&token_path)?,
                }
            }
            Self::AccessToken(token) => Self::AccessToken(checked(&token, "access token")?),
        })
    }
}

/// A secret that fits into a header: trimmed, printable ASCII without blanks.
pub(crate) fn checked(secret: &SecretString, what: &'static str) -> Result<SecretString, CredentialError> {
    let text = secret.expose_secret().trim();
    if text.is_empty() {
        return Err(CredentialError::Empty(what));
    }
    if text.len() > MAX_SECRET {
        return Err(CredentialError::TooLong(what));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(CredentialError::Character(what));
    }
    Ok(SecretString::from(text))
}

fn checked_path(path: &str) -> Result<String, CredentialError> {
    let path = path.trim().trim_matches('/');
    let plain = |s: &str| {
        !s.is_empty() && !matches!(s, "." | "..") && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
    };
    if path.len() > MAX_PATH || !path.split('/').all(plain) { Err(CredentialError::TokenPath) } else { Ok(path.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, path: &str) -> Credential {
        Credential::LicenseKey {
            key: SecretString::from(key),
            identifier: " a@b.example ".into(),
            identity_type: IdentityType::User,
            token_path: path.into(),
        }
    }

    #[test]
    fn secret_is_trimmed_checked_and_not_shown() {
        let Credential::LicenseKey { key: k, identifier, token_path, .. } = key(" abc\n", "/auth/access-token").validated().unwrap() else {
            panic!("another kind")
        };
        assert_eq!((k.expose_secret(), identifier.as_str(), token_path.as_str()), ("abc", "a@b.example", "auth/access-token"));
        assert_eq!(key(" \n", "a").validated().unwrap_err(), CredentialError::Empty("license key"));
        assert_eq!(key("a\nb", "a").validated().unwrap_err(), CredentialError::Character("license key"));
        assert_eq!(key(&"a".repeat(9_000), "a").validated().unwrap_err(), CredentialError::TooLong("license key"));
        for path in ["", "..", "a/../b", "./a", "https://evil.example/x", "a?b", "a//b", &"a".repeat(257)] {
            assert_eq!(key("abc", path).validated().unwrap_err(), CredentialError::TokenPath, "{path}");
        }
        let shown = format!("{:?} {:?}", key("s3cr3t", "a"), Credential::AccessToken(SecretString::from("s3cr3t")));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
