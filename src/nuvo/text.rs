//! Words and messages that come from nuvo: made safe for logs, status and terminals.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The longest message that is kept, in characters.
pub(crate) const MESSAGE: usize = 1_024;
/// The longest word that is kept, in characters.
pub(crate) const WORD: usize = 128;
const REDACTED: &str = "[redacted]";

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

    /// Removes control, format and bidirectional characters and terminal sequences, replaces secrets, and cuts to `max` characters.
    #[must_use]
    pub fn clean(&self, text: &str, max: usize) -> String {
        let mut text = strip(text);
        for secret in &self.0 {
            // The text was stripped, so the secret is compared in the same form.
            let secret = strip(secret.expose_secret());
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
    let [base64, base64url] = [BASE64, BASE64URL].map(|alphabet| SecretString::from(base64(bytes, alphabet)));
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    // Which characters are left as they are differs.
    let path = form.replace('+', "%20").replace("%7E", "~");
    [base64, base64url, SecretString::from(path), SecretString::from(form), secret]
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Without padding, so that it is found with and without.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let digit = |bits: u32| usize::try_from(bits & 63).ok().and_then(|at| alphabet.get(at)).map_or('=', |byte| char::from(*byte));
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.extend([18, 12, 6, 0].map(|shift| digit(bits >> shift)).into_iter().take(group.len().saturating_add(1)));
    }
    text
}

/// Text without control, format and bidirectional characters; a run of them (with white space) becomes one blank. A terminal sequence
/// goes as a whole.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.next();
            // A control sequence ends with a letter or one of @[\]^_`{|}~.
            while let Some(next) = chars.next_if(|n| matches!(n, ' '..='~')) {
                if matches!(next, '@'..='~') {
                    break;
                }
            }
        } else if c.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !(c.is_control() || invisible(c)) {
            out.push(c);
        }
    }
    out
}

fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_redacted_and_cut() {
        let redactor = Redactor::new([SecretString::from("s3cr3t-token"), SecretString::from("")]);
        assert_eq!(redactor.clean("a\u{1b}[31mred\u{1b}[0m\r\n\tb\u{202e}c\u{7}", 99), "ared bc");
        assert_eq!(redactor.clean("bad token s3cr3t\u{200b}-to\u{0}ken!", 99), "bad token [redacted]!");
        assert_eq!(redactor.clean(&"ä".repeat(5_000), MESSAGE).chars().count(), MESSAGE);
        assert_eq!(format!("{redactor:?}"), "Redactor(..)");
    }

    #[test]
    fn a_secret_is_recognized_in_the_forms_in_which_servers_repeat_it() {
        let redactor = Redactor::new([SecretString::from("a?b>c/d+~k~z~")]);
        for text in ["a?b>c/d+~k~z~", "YT9iPmMvZCt+a356fg==", "YT9iPmMvZCt-a356fg", "a%3Fb%3Ec%2Fd%2B~k~z~", "a%3Fb%3Ec%2Fd%2B%7Ek%7Ez%7E"]
        {
            let cleaned = redactor.clean(&format!("token={text}"), 99);
            assert_eq!(cleaned.trim_end_matches('='), "token=[redacted]", "{text}");
        }
        assert_eq!(["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes(), BASE64)), ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"]);
    }
}
