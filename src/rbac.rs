//! What the operator must be allowed to do: one list for everything that sets it up.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// All that the operator needs, for a ClusterRole.
#[must_use]
pub fn rules() -> Vec<PolicyRule> {
    let mut rules = where_it_watches();
    rules.extend(in_its_own_namespace());
    rules
}

/// What it needs in every namespace that it watches. It reads Secrets by name only, and needs no right to list them.
#[must_use]
pub fn where_it_watches() -> Vec<PolicyRule> {
    vec![
        rule("nuvo.dev", &["pipelineruns"], &["get", "list", "watch", "patch", "delete"]),
        rule("nuvo.dev", &["pipelineruns/status"], &["update"]),
        rule("nuvo.dev", &["nuvoaccounts"], &["list", "watch"]),
        rule("nuvo.dev", &["nuvoaccounts/status"], &["update"]),
        rule("", &["secrets"], &["get"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// What it needs in the namespace of the locks and the leader lease.
#[must_use]
pub fn in_its_own_namespace() -> Vec<PolicyRule> {
    vec![rule("coordination.k8s.io", &["leases"], &["get", "create", "update"])]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    PolicyRule { api_groups: Some(vec![group.to_owned()]), resources: Some(words(resources)), verbs: words(verbs), ..PolicyRule::default() }
}
