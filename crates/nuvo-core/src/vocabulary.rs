//! The words of nuvo's Execution API that decisions depend on. Everything else that nuvo says is shown as it is.

/// The word for an execution that is running.
pub const PROCESSING: &str = "PROCESSING";
/// The word for an execution that has ended well.
pub const SUCCESSFUL: &str = "SUCCESSFUL";
/// The word for an execution that has failed.
pub const FAILED: &str = "FAILED";

/// The status of an execution, or of one of its runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExecutionStatus {
    /// `PROCESSING`.
    Processing,
    /// `SUCCESSFUL`.
    Successful,
    /// `FAILED`. A person can still fix it in nuvo.
    Failed,
    /// A word that is not documented. Not an end.
    Other(String),
}

impl ExecutionStatus {
    /// The status of a documented word, to the letter; none of any other word.
    #[must_use]
    pub fn documented(word: &str) -> Option<Self> {
        match word {
            PROCESSING => Some(Self::Processing),
            SUCCESSFUL => Some(Self::Successful),
            FAILED => Some(Self::Failed),
            _ => None,
        }
    }

    /// The word of the API.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match self {
            Self::Processing => PROCESSING,
            Self::Successful => SUCCESSFUL,
            Self::Failed => FAILED,
            Self::Other(word) => word.as_str(),
        }
    }

    /// Whether the execution has ended: exactly `SUCCESSFUL` or `FAILED`.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Successful | Self::Failed)
    }
}

impl From<&str> for ExecutionStatus {
    fn from(word: &str) -> Self {
        Self::documented(word).unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_a_word_is_the_word_again() {
        for word in [PROCESSING, SUCCESSFUL, FAILED, "PAUSED", "successful", "FAILED ", ""] {
            assert_eq!(ExecutionStatus::from(word).as_str(), word);
        }
    }

    #[test]
    fn status_is_terminal_only_to_the_letter() {
        for word in [SUCCESSFUL, FAILED] {
            assert!(ExecutionStatus::from(word).is_terminal(), "{word}");
        }
        for word in [PROCESSING, "PAUSED", "Successful", "SUCCESSFUL ", "failed", ""] {
            assert!(!ExecutionStatus::from(word).is_terminal(), "{word}");
        }
    }
}
