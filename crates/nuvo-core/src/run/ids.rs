//! Identifiers. A value of these types has been checked, so it is safe in a URL path, a label and a message.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected 1 to {max} characters of A-Z, a-z, 0-9, '_' or '-'")]
pub struct InvalidId {
    kind: &'static str,
    max: usize,
}

fn well_formed(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl $name {
            /// Checks a text from outside.
            ///
            /// # Errors
            /// [`InvalidId`] when the text is empty, too long or has other characters than `[A-Za-z0-9_-]`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if well_formed(&text, $max) { Ok(Self(text)) } else { Err(InvalidId { kind: $kind, max: $max }) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A pipeline of nuvo: `spec.pipelineId`, 1 to 128 characters.
    PipelineId, "pipeline id", 128
);
id!(
    /// An execution of nuvo. The documentation gives no form; 128 safe characters hold every id seen and no path tricks.
    ExecutionId, "execution id", 128
);
id!(
    /// One delivery of one trigger: made in the memory of the one task that may POST for it (docs/protocol.md, section 1).
    Nonce, "nonce", 64
);
id!(
    /// The name of the Lease that is the lock of a pipeline.
    LockName, "lock name", 64
);
id!(
    /// A hash of the base URL and the identity that an account names.
    AccountHash, "account hash", 64
);
id!(
    /// `metadata.uid` of a Kubernetes object.
    Uid, "uid", 64
);

impl AccountHash {
    /// The beginning of a hash, which is enough to tell accounts apart.
    #[must_use]
    pub fn of(hash: [u8; 32]) -> Self {
        Self(hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Nonce {
    /// A nonce made of random bits, in the form of a UUID.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bits.to_be_bytes();
        Self(format!(
            "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-{g:02x}{h:02x}-{i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}"
        ))
    }
}
