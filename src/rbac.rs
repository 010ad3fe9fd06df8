//! The Kubernetes rights that the operator needs: the one list for all that grants or checks them.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// All rights that the operator needs, for one ClusterRole.
#[must_use]
pub fn rules() -> Vec<PolicyRule> {
    [watched_namespace_rules(), secret_rules(), operator_namespace_rules()].concat()
}

/// The rights in every watched namespace, besides those to what accounts name.
#[must_use]
pub fn watched_namespace_rules() -> Vec<PolicyRule> {
    vec![
        rule("nuvo.dev", &["pipelineruns"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("nuvo.dev", &["pipelineruns/status"], &["update"]),
        rule("nuvo.dev", &["pipelineschedules"], &["get", "list", "watch"]),
        rule("nuvo.dev", &["pipelineschedules/status"], &["update"]),
        rule("nuvo.dev", &["nuvoaccounts"], &["list", "watch"]),
        rule("nuvo.dev", &["nuvoaccounts/status"], &["update"]),
        rule("nuvo.dev", &["nuvopipelines"], &["list", "watch"]),
        rule("nuvo.dev", &["nuvopipelines/status"], &["update"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// The rights in every watched namespace, or in some of them, whose accounts can be used: to Secrets, and to ConfigMaps with the certificates of
/// authorities. Both are read by name only, so there is no right to list them.
#[must_use]
pub fn secret_rules() -> Vec<PolicyRule> {
    vec![rule("", &["secrets"], &["get"]), rule("", &["configmaps"], &["get"])]
}

/// The rights in the namespace of the locks and the leader lease.
#[must_use]
pub fn operator_namespace_rules() -> Vec<PolicyRule> {
    vec![rule("coordination.k8s.io", &["leases"], &["get", "list", "create", "update", "delete"])]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    PolicyRule { api_groups: Some(vec![group.to_owned()]), resources: Some(words(resources)), verbs: words(verbs), ..PolicyRule::default() }
}
