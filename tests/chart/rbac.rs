//! The rights that the chart grants: exactly those of `src/rbac.rs`, where they are needed. tests/e2e/rbac.rs shows that they are used.

use k8s_openapi::api::rbac::v1::PolicyRule;
use nuvo_operator::rbac;
use serde_json::{Value, json};

use crate::{NAME, NAMESPACE, everything, kind, rendered, value_sets};

fn rules(object: &Value) -> Vec<PolicyRule> {
    serde_json::from_value(object["rules"].clone()).unwrap()
}

/// The roles that are bound to the ServiceAccount: kind, namespace and rules.
fn granted(values: &Value, account: &str) -> Vec<(String, Option<String>, Vec<PolicyRule>)> {
    let objects = rendered(values);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut granted = Vec::new();
    for binding in objects.iter().filter(|object| kind(object).ends_with("RoleBinding")) {
        assert_eq!(binding["subjects"], json!([{ "kind": "ServiceAccount", "name": account, "namespace": NAMESPACE }]));
        let role = &binding["roleRef"];
        let namespace = text(&binding["metadata"]["namespace"]);
        let same = |object: &&Value| {
            kind(object) == role["kind"]
                && object["metadata"]["name"] == role["name"]
                && text(&object["metadata"]["namespace"]) == namespace
        };
        let found: Vec<_> = objects.iter().filter(same).collect();
        assert_eq!(found.len(), 1, "{binding}");
        granted.push((kind(found[0]).to_owned(), namespace, rules(found[0])));
    }
    granted
}

#[test]
fn operator_is_granted_its_rules_where_it_needs_them() {
    let place = |kind: &str, namespace: Option<&str>, rules| (kind.to_owned(), namespace.map(str::to_owned), rules);
    let watching = rbac::watched_namespace_rules;
    let with_secrets = || [watching(), rbac::secret_rules()].concat();
    let locks = |namespace| place("Role", Some(namespace), rbac::operator_namespace_rules());
    let secrets = |namespace| place("Role", Some(namespace), rbac::secret_rules());
    assert_eq!(granted(&json!({}), NAME), [place("ClusterRole", None, with_secrets()), locks(NAMESPACE)]);
    assert_eq!(
        granted(&json!({ "watchNamespaces": ["a", "b"] }), NAME),
        [place("Role", Some("a"), with_secrets()), place("Role", Some("b"), with_secrets()), locks(NAMESPACE)]
    );
    assert_eq!(
        granted(&json!({ "rbac": { "secretNamespaces": ["a", "b"] } }), NAME),
        [place("ClusterRole", None, watching()), secrets("a"), secrets("b"), locks(NAMESPACE)]
    );
    assert_eq!(
        granted(&everything(), "runner"),
        [place("Role", Some("team-a"), watching()), place("Role", Some("team-b"), watching()), secrets("team-b"), locks("locks")]
    );
    assert!(granted(&json!({ "rbac": { "create": false } }), NAME).is_empty());
}

#[test]
fn rules_are_narrow_and_without_wildcards() {
    for (name, values) in value_sets() {
        for object in rendered(&values).iter().filter(|object| object.get("rules").is_some()) {
            for rule in rules(object) {
                let PolicyRule { api_groups, non_resource_urls, resource_names: _, resources, verbs } = &rule;
                let words = [api_groups, resources].into_iter().flatten().flatten().chain(verbs);
                assert!(words.clone().all(|word| !word.contains('*')), "{name}: a wildcard in {rule:?}");
                assert!(non_resource_urls.is_none(), "{name}: {rule:?}");
                let resources = resources.as_ref().unwrap();
                let touches = |resource: &str| resources.iter().any(|own| own == resource);
                assert!(!touches("secrets") || *verbs == ["get"], "{name}: {rule:?}");
                assert!(!touches("leases") || kind(object) == "Role", "{name}: leases of all namespaces in {rule:?}");
            }
        }
    }
}

#[test]
fn user_roles_are_aggregated() {
    let objects = rendered(&json!({}));
    let of = |label: &str| {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{label}");
        let roles = objects.iter().filter(|object| object["metadata"]["labels"][&label] == json!("true"));
        let mut can: Vec<String> = roles
            .flat_map(rules)
            .flat_map(|rule| {
                let verbs = rule.verbs;
                rule.resources.unwrap().into_iter().flat_map(move |of| verbs.clone().into_iter().map(move |verb| format!("{verb} {of}")))
            })
            .collect();
        can.sort();
        can
    };
    let all = |verbs: &[&str], of: &str| verbs.iter().map(|verb| format!("{verb} {of}")).collect::<Vec<_>>();
    let (reads, writes) = (["get", "list", "watch"], ["create", "delete", "deletecollection", "patch", "update"]);
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    let view =
        [all(&reads, "pipelineruns"), all(&reads, "pipelineschedules"), all(&reads, "nuvopipelines"), all(&reads, "nuvoaccounts")].concat();
    let edit = [view.clone(), all(&writes, "pipelineruns"), all(&writes, "pipelineschedules"), all(&writes, "nuvopipelines")].concat();
    let admin = [edit.clone(), all(&writes, "nuvoaccounts")].concat();
    assert_eq!((of("view"), of("edit"), of("admin")), (sorted(view), sorted(edit), sorted(admin)));
}
