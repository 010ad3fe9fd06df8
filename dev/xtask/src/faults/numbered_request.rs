//! Names for an operator's requests to the two servers that are the same in every run.

use std::fmt;
use std::str::FromStr;

use controlplane::proxy::RequestInfo;

/// Which server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// The API server of Kubernetes.
    Kubernetes,
    /// The simulator.
    Nuvo,
}

/// A kind of request, such as `update-leases` or `nuvo-create`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKind(String);

/// The n-th request of a kind, counted from 1. A number among all requests would name another request whenever a poll comes a little
/// earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberedRequest {
    pub kind: RequestKind,
    pub occurrence: usize,
}

impl RequestKind {
    /// What this request is.
    pub fn of(server: Server, request: &RequestInfo) -> Self {
        Self(match server {
            Server::Kubernetes => kubernetes(request),
            Server::Nuvo => format!("nuvo-{}", nuvo(request)),
        })
    }

    /// Whether the simulator is asked.
    pub fn is_nuvo(&self) -> bool {
        self.0.starts_with("nuvo-")
    }

    /// Whether this is a watch.
    pub fn is_watch(&self) -> bool {
        self.0.starts_with("watch-")
    }

    /// Whether something is changed in the API server; an event is not among what is counted.
    pub fn is_write(&self) -> bool {
        let changes = ["create-", "update-", "patch-"].iter().any(|verb| self.0.starts_with(verb));
        changes && !self.0.ends_with("-events") && !self.is_question()
    }

    /// Whether the operator asks if it has a permission. It asks many alike at once.
    pub fn is_question(&self) -> bool {
        self.0 == "create-selfsubjectaccessreviews"
    }

    /// The one POST of an attempt.
    pub fn is_trigger(&self) -> bool {
        self.0 == "nuvo-create"
    }

    /// The trade of a license key for a token.
    pub fn is_renewal(&self) -> bool {
        self.0 == "nuvo-token"
    }
}

fn kubernetes(request: &RequestInfo) -> String {
    let mut segments = request.path.split('/').filter(|segment| !segment.is_empty());
    let group = if segments.next() == Some("api") { 1 } else { 2 };
    let mut rest: Vec<&str> = segments.skip(group).collect();
    if rest.first() == Some(&"namespaces") && rest.len() > 2 {
        rest.drain(..2);
    }
    let resource = rest.first().copied().unwrap_or_default();
    let verb = match request.method.as_str() {
        "GET" if request.is_watch() => "watch",
        "GET" if rest.len() < 2 => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        other => other,
    };
    match rest.get(2) {
        Some(subresource) => format!("{verb}-{resource}-{subresource}"),
        None => format!("{verb}-{resource}"),
    }
}

fn nuvo(request: &RequestInfo) -> &'static str {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    match (request.method.as_str(), last) {
        ("POST", "") => "create",
        ("POST", _) => "token",
        ("GET", "") => "list",
        _ => "read",
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NumberedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.occurrence)
    }
}

impl FromStr for NumberedRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('.').and_then(|(kind, number)| Some((kind, number.parse().ok()?)));
        let (kind, occurrence) = parts.ok_or_else(|| format!("{text}: expected an operation, such as nuvo-create.1"))?;
        Ok(Self { kind: RequestKind(kind.to_owned()), occurrence })
    }
}
