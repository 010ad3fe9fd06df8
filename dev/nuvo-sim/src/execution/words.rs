//! The words of nuvo about the status of an execution.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pipeline::Ending;

/// The status of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// `PROCESSING`.
    #[default]
    Processing,
    /// `SUCCESSFUL`.
    Successful,
    /// `FAILED`.
    Failed,
    /// A word the documentation does not know.
    Other(String),
}

impl Status {
    /// nuvo's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "PROCESSING" => Self::Processing,
            "SUCCESSFUL" => Self::Successful,
            "FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<Ending> for Status {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Successful => Self::Successful,
            Ending::Failed => Self::Failed,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
