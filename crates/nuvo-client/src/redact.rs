//! Words and messages that come from nuvo: made safe for logs, status and terminals.

use std::fmt;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD},
};
use nuvo_core::text::printable;
use secrecy::{ExposeSecret, SecretString};

/// The longest message that is kept, in characters.
pub(crate) const MESSAGE: usize = 1_024;
/// The longest word that is kept, in characters.
pub(crate) const WORD: usize = 128;
const REDACTED: &str = "[redacted]";
/// In bytes; licence keys and tokens are far longer.
const SHORTEST_SECRET: usize = 8;

/// Removes the account's own secrets from text that comes from outside.
#[derive(Clone, Default)]
pub struct Redactor(Vec<SecretString>);

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(..)")
    }
}

impl Redactor {
    /// Redacts each of these, also as a part of a URL and in base64, as servers repeat them in the details of errors.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self(secrets.into_iter().filter(|s| !s.expose_secret().is_empty()).flat_map(forms).collect())
    }

    /// Whether a name that must be kept as it is would reveal a secret. A very short secret may be part of it by chance.
    pub(crate) fn reveals_secret(&self, name: &str) -> bool {
        self.0.iter().map(ExposeSecret::expose_secret).any(|secret| secret.len() >= SHORTEST_SECRET && name.contains(secret))
    }

    /// Removes control, format and bidirectional characters and terminal sequences, replaces secrets, and cuts to `max` characters.
    #[must_use]
    pub fn clean(&self, text: &str, max: usize) -> String {
        let mut text = printable(text);
        for secret in &self.0 {
            // The text was stripped, so the secret is compared in the same form.
            let secret = printable(secret.expose_secret());
            if !secret.is_empty() && text.contains(&secret) {
                text = text.replace(&secret, REDACTED);
            }
        }
        text.trim().chars().take(max).collect()
    }
}

/// The secret itself comes last: what holds it in another form is not torn apart before.
fn forms(secret: SecretString) -> [SecretString; 5] {
    let bytes = secret.expose_secret().as_bytes();
    // Without padding, so that it is found with and without.
    let [base64, base64url] = [STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|form| SecretString::from(form.encode(bytes)));
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    // Which characters are left as they are differs.
    let path = form.replace('+', "%20").replace("%7E", "~");
    [base64, base64url, SecretString::from(path), SecretString::from(form), secret]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_redacted_and_cut() {
        let redactor = Redactor::new([SecretString::from("s3cr3t-token"), SecretString::from("")]);
        assert_eq!(redactor.clean("a\u{1b}[31mred\u{1b}[0m\r\n\tb\u{202e}c\u{7}", 99), "ared bc");
        assert_eq!(redactor.clean("bad token s3cr3t\u{200b}-to\u{0}ken!", 99), "bad token [redacted]!");
        for ignorable in ['\u{34f}', '\u{115f}', '\u{3164}', '\u{fe0f}', '\u{ffa0}', '\u{e0100}'] {
            assert_eq!(redactor.clean(&format!("s3cr3t{ignorable}-token"), 99), "[redacted]");
        }
        assert_eq!(redactor.clean(&"ä".repeat(5_000), MESSAGE).chars().count(), MESSAGE);
        assert_eq!(format!("{redactor:?}"), "Redactor(..)");
    }

    #[test]
    fn secret_in_encoded_form_is_redacted() {
        let redactor = Redactor::new([SecretString::from("a?b>c/d+~k~z~")]);
        for text in ["a?b>c/d+~k~z~", "YT9iPmMvZCt+a356fg==", "YT9iPmMvZCt-a356fg", "a%3Fb%3Ec%2Fd%2B~k~z~", "a%3Fb%3Ec%2Fd%2B%7Ek%7Ez%7E"]
        {
            let cleaned = redactor.clean(&format!("token={text}"), 99);
            assert_eq!(cleaned.trim_end_matches('='), "token=[redacted]", "{text}");
        }
    }
}
