//! One call to the API server, with a timeout: kube itself waits without limit.

use std::time::Duration;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused, or could not be reached.
    #[error("{what}: {}", api_message(.source))]
    Kube {
        /// The call, such as `read the PipelineRun`.
        what: &'static str,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// No answer in time. A write may have been applied.
    #[error("{what}: the Kubernetes API server did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// The call, such as `read the PipelineRun`.
        what: &'static str,
    },
}

/// The message of the API server, or the client's error, without the text that the client adds around it.
#[must_use]
pub fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl CallError {
    fn status(&self) -> Option<u16> {
        match self {
            Self::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout { .. } => None,
        }
    }

    /// The object does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Another writer was first (409).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// An object of this name exists (409).
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Kube { source, .. } if matches!(source.as_ref(), kube::Error::Api(status) if status.reason == "AlreadyExists"))
    }

    /// Refused permanently: nothing was written, and the same write is refused until a permission or a policy changes.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.status(), Some(400 | 403 | 405 | 413 | 422))
    }

    /// A permission is missing (403).
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }
}

/// Waits for one call.
///
/// # Errors
/// [`CallError`].
pub async fn call<T>(what: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(CallError::Kube { what, source: Box::new(source) }),
        Err(_) => Err(CallError::Timeout { what }),
    }
}
