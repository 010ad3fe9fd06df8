//! The settings of the client, and the observer of its requests.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::connections::{AccountTls, Connections};

/// The pause after 429 or 503 without `Retry-After`.
pub const PAUSE: Duration = Duration::from_secs(5);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Exchanging the license key for a token.
    Token,
    /// The POST that starts executions.
    Create,
    /// One execution.
    Read,
    /// A page of executions.
    List,
    /// One pipeline.
    Pipeline,
}

impl Operation {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Create => "create",
            Self::Read => "read",
            Self::List => "list",
            Self::Pipeline => "pipeline",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// With a whole answer of this status.
    Status(u16),
    /// No connection could be made: nothing was sent.
    Connect,
    /// Not within its time.
    Timeout,
    /// The connection broke, or the answer was no HTTP.
    Broken,
    /// The answer was larger than allowed.
    TooLarge,
    /// The answer, or a part of it, cannot be understood.
    Malformed,
    /// The caller cancelled the request, for instance at its own deadline.
    Cancelled,
}

impl Code {
    /// The metric label: a status from 100 to 599, or one of a fixed set of words.
    #[must_use]
    pub fn label(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Status(status @ 100..=599) => return Cow::Owned(status.to_string()),
            Self::Status(_) | Self::Malformed => "malformed",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Called once for each HTTP request.
pub type Observer = Arc<dyn Fn(Operation, Code, Duration) + Send + Sync>;

/// Says how long the client waits before it asks for an access token.
pub type AdmitLogin = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The settings of a client.
#[derive(Clone)]
pub struct Settings {
    /// The whole time of [`super::Client::create`], tokens and a second try after a 401 included.
    pub trigger_timeout: Duration,
    /// The time of any other single request.
    pub request_timeout: Duration,
    /// The time for DNS, TCP and TLS. For the POST it is at most a quarter of `trigger_timeout`.
    pub connect_timeout: Duration,
    /// Use the proxies that the environment names.
    pub use_env_proxy: bool,
    /// The TLS settings of this client only.
    pub tls: AccountTls,
    /// For metrics.
    pub observer: Option<Observer>,
    /// Limits how often the client asks for an access token; none: as often as it needs one.
    pub admit_login: Option<AdmitLogin>,
    /// Shared by all clients whose settings are copies of these.
    pub connections: Connections,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trigger_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            use_env_proxy: false,
            tls: AccountTls::default(),
            observer: None,
            admit_login: None,
            connections: Connections::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("trigger_timeout", &self.trigger_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("use_env_proxy", &self.use_env_proxy)
            .finish_non_exhaustive()
    }
}
