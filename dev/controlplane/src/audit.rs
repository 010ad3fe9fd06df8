//! The audit log of the API server: who wrote what.

use serde::Deserialize;

/// What is logged: every write, without its body. Whoever asks what is allowed writes nothing.
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources: [{group: authorization.k8s.io}]
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
";

/// One write that the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Who wrote, such as `admin` or `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, such as `configmaps`.
    pub resource: String,
    /// Such as `status`; empty without one.
    pub subresource: String,
    /// Empty for a cluster-wide resource.
    pub namespace: String,
    /// The name in the request; empty where the server makes the name.
    pub name: String,
    /// The HTTP status of the answer; 0 when there was none.
    pub code: u16,
    /// When it was answered, in RFC 3339.
    pub time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    #[serde(default, rename = "requestURI")]
    uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// The events of a log, oldest first, without writes that were only tried. A last line that is still being written is left out.
pub(crate) fn parse(log: &str) -> Vec<AuditEvent> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.filter(|line| !line.uri.contains("dryRun=All")).map(AuditEvent::from).collect()
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let Line { verb, uri: _, user, user_agent, object_ref, response_status, stage_timestamp: time } = line;
        let ObjectRef { api_group: group, resource, subresource, namespace, name } = object_ref.unwrap_or_default();
        let code = response_status.map_or(0, |status| status.code);
        Self { verb, user: user.username, user_agent, group, resource, subresource, namespace, name, code, time }
    }
}
