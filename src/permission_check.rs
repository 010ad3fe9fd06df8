//! Checks at start that this process has every permission that it will need, so that a missing one is an error at start and not a failure in
//! the middle of a run.

use futures::{StreamExt, pin_mut, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    rbac::v1::PolicyRule,
};
use kube::{Api, Client, api::PostParams};

use crate::rbac;

/// How many reviews are requested at once: enough for all of one namespace, and few enough to spare the API server when there are many.
const CONCURRENCY: usize = 16;

/// A permission that the operator needs: a verb on a resource in one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    /// Such as `update`.
    pub verb: String,
    /// Such as `pipelineruns.nuvo.dev/status`.
    pub resource: String,
    /// Such as `in namespace team`.
    pub scope: String,
    attributes: ResourceAttributes,
}

/// Every permission that the operator needs. An empty list of namespaces means all of them; `own` is the namespace of the locks.
#[must_use]
pub fn permissions(namespaces: &[String], own: &str) -> Vec<Permission> {
    let everywhere = [None];
    let watched: Vec<Option<&str>> =
        if namespaces.is_empty() { everywhere.to_vec() } else { namespaces.iter().map(|namespace| Some(namespace.as_str())).collect() };
    let watching = watched.into_iter().flat_map(|scope| required(rbac::watched_namespace_rules(), scope));
    watching.chain(required(rbac::operator_namespace_rules(), Some(own))).collect()
}

/// The scope in words.
#[must_use]
pub fn scope(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}"))
}

fn required(rules: Vec<PolicyRule>, namespace: Option<&str>) -> Vec<Permission> {
    let mut permissions = Vec::new();
    for rule in rules {
        let group = rule.api_groups.unwrap_or_default().into_iter().next().unwrap_or_default();
        for resource in rule.resources.unwrap_or_default() {
            for verb in &rule.verbs {
                permissions.push(permission(&group, &resource, verb, namespace));
            }
        }
    }
    permissions
}

fn permission(group: &str, resource: &str, verb: &str, namespace: Option<&str>) -> Permission {
    let (kind, part) = resource.split_once('/').map_or((resource, None), |(kind, part)| (kind, Some(part)));
    let group_name = if group.is_empty() { String::new() } else { format!(".{group}") };
    Permission {
        verb: verb.to_owned(),
        resource: format!("{kind}{group_name}{}", part.map_or_else(String::new, |part| format!("/{part}"))),
        scope: scope(namespace),
        attributes: ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(kind.to_owned()),
            subresource: part.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        },
    }
}

/// The first of these permissions that is missing. One that cannot be reviewed counts as granted: its use will fail if it is missing.
pub async fn first_missing(client: &Client, permissions: Vec<Permission>) -> Option<Permission> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = stream::iter(permissions).map(|permission| allowed(reviews.clone(), permission)).buffered(CONCURRENCY);
    let missing = asked.filter_map(std::future::ready);
    pin_mut!(missing);
    missing.next().await
}

/// None if it is allowed.
async fn allowed(reviews: Api<SelfSubjectAccessReview>, permission: Permission) -> Option<Permission> {
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(permission.attributes.clone()), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    match reviews.create(&PostParams::default(), &review).await {
        Ok(review) => review.status.is_some_and(|status| !status.allowed).then_some(permission),
        Err(error) => {
            tracing::debug!(%error, verb = permission.verb, resource = permission.resource, "the permission cannot be reviewed");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server that allows everything but this, and counts the most reviews that it was asked for at once.
    fn server(denied: Option<Permission>, most: Arc<AtomicUsize>) -> Client {
        let out = Arc::new(AtomicUsize::new(0));
        Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let (denied, out, most) = (denied.clone(), out.clone(), most.clone());
                async move {
                    most.fetch_max(out.fetch_add(1, Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
                    let body = request.into_body().collect_bytes().await.unwrap();
                    let mut review: SelfSubjectAccessReview = serde_json::from_slice(&body).unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    out.fetch_sub(1, Ordering::Relaxed);
                    let allowed = review.spec.resource_attributes != denied.map(|permission| permission.attributes);
                    review.status = Some(serde_json::from_value(serde_json::json!({ "allowed": allowed })).unwrap());
                    Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&review).unwrap())))
                }
            }),
            "operators",
        )
    }

    #[tokio::test]
    async fn missing_permission_is_named_with_verb_resource_and_scope() {
        for namespaces in [vec![], vec!["team-a".to_owned(), "team-b".to_owned()]] {
            let permissions = permissions(&namespaces, "operators");
            assert_eq!(permissions.len(), 13 * namespaces.len().max(1) + 3);
            for denied in &permissions {
                let missing = first_missing(&server(Some(denied.clone()), Arc::default()), permissions.clone()).await;
                assert_eq!(missing.as_ref(), Some(denied));
            }
            assert_eq!(first_missing(&server(None, Arc::default()), permissions).await, None);
        }
    }

    #[test]
    fn permission_is_written_as_kubectl_does() {
        let words = |permission: Permission| format!("{} {} {}", permission.verb, permission.resource, permission.scope);
        assert_eq!(
            words(permission("nuvo.dev", "pipelineruns/status", "update", Some("team"))),
            "update pipelineruns.nuvo.dev/status in namespace team"
        );
        assert_eq!(words(permission("", "secrets", "get", None)), "get secrets in all namespaces");
    }

    #[tokio::test]
    async fn permissions_of_many_namespaces_are_reviewed_concurrently_within_the_limit() {
        let namespaces: Vec<String> = (0..50).map(|number| format!("team-{number}")).collect();
        let most = Arc::new(AtomicUsize::new(0));
        assert_eq!(first_missing(&server(None, most.clone()), permissions(&namespaces, "operators")).await, None);
        assert_eq!(most.load(Ordering::Relaxed), CONCURRENCY);
    }
}
