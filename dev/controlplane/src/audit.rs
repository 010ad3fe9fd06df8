//! The audit log of the API server: who wrote what, and if asked for, who read what.

use serde::Deserialize;

/// The verbs of writes.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// What is logged: every write, without its body, and if asked for, what ServiceAccounts read. Whoever asks what is allowed writes nothing.
pub(crate) fn policy(reads: bool) -> String {
    // A watch is logged when it has ended: once.
    let reads = if reads { "  - level: Metadata\n    userGroups: [system:serviceaccounts]\n    verbs: [get, list, watch]\n" } else { "" };
    format!(
        "apiVersion: audit.k8s.io/v1\n\
         kind: Policy\n\
         omitStages: [RequestReceived, ResponseStarted]\n\
         rules:\n\
         {none}\x20   resources: [{{group: authorization.k8s.io}}]\n\
         \x20 - level: Metadata\n\
         \x20   verbs: [{}]\n\
         {reads}\
         {none}",
        WRITES.join(", "),
        none = "  - level: None\n",
    )
}

/// One request that the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Such as `create` or `watch`.
    pub verb: String,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Who asked, such as `admin` or `system:serviceaccount:NAMESPACE:NAME`.
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

/// The events of a log, oldest first. A last line that is still being written is left out.
pub(crate) fn parse(log: &str) -> Vec<AuditEvent> {
    log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()).map(AuditEvent::from).collect()
}

impl AuditEvent {
    /// Whether it may have changed something.
    pub(crate) fn is_write(&self) -> bool {
        !self.dry_run && WRITES.contains(&self.verb.as_str())
    }
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let Line { verb, uri, user, user_agent, object_ref, response_status, stage_timestamp: time } = line;
        let ObjectRef { api_group: group, resource, subresource, namespace, name } = object_ref.unwrap_or_default();
        let code = response_status.map_or(0, |status| status.code);
        let dry_run = uri.contains("dryRun=All");
        Self { verb, dry_run, user: user.username, user_agent, group, resource, subresource, namespace, name, code, time }
    }
}
