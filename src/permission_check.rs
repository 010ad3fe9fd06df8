//! Whether this process may do what it will have to do: asked at start, so that a missing permission is one line then, and not a riddle
//! in the middle of a run.

use futures::{StreamExt, pin_mut, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    rbac::v1::PolicyRule,
};
use kube::{Api, Client, api::PostParams};

use crate::rbac;

/// How many questions are out at once: all of one namespace in one go, and many namespaces without a flood.
const AT_ONCE: usize = 16;

/// One thing that is done in one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Such as `update`.
    pub verb: String,
    /// Such as `pipelineruns.nuvo.dev/status`.
    pub resource: String,
    /// Such as `in namespace team`.
    pub place: String,
    attributes: ResourceAttributes,
}

/// Everything that the operator does, where it does it. No namespaces stand for all of them.
#[must_use]
pub fn acts(namespaces: &[String], own: &str) -> Vec<Act> {
    let everywhere = [None];
    let watched: Vec<Option<&str>> =
        if namespaces.is_empty() { everywhere.to_vec() } else { namespaces.iter().map(|namespace| Some(namespace.as_str())).collect() };
    let watching = watched.into_iter().flat_map(|place| in_place(rbac::where_it_watches(), place));
    watching.chain(in_place(rbac::in_its_own_namespace(), Some(own))).collect()
}

/// In words, where something is done.
#[must_use]
pub fn place(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}"))
}

fn in_place(rules: Vec<PolicyRule>, namespace: Option<&str>) -> Vec<Act> {
    let mut acts = Vec::new();
    for rule in rules {
        let group = rule.api_groups.unwrap_or_default().into_iter().next().unwrap_or_default();
        for resource in rule.resources.unwrap_or_default() {
            for verb in &rule.verbs {
                acts.push(act(&group, &resource, verb, namespace));
            }
        }
    }
    acts
}

fn act(group: &str, resource: &str, verb: &str, namespace: Option<&str>) -> Act {
    let (kind, part) = resource.split_once('/').map_or((resource, None), |(kind, part)| (kind, Some(part)));
    let group_name = if group.is_empty() { String::new() } else { format!(".{group}") };
    Act {
        verb: verb.to_owned(),
        resource: format!("{kind}{group_name}{}", part.map_or_else(String::new, |part| format!("/{part}"))),
        place: place(namespace),
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

/// The first of these that is not allowed. What cannot be asked counts as allowed: it is found out by trying.
pub async fn first_missing(client: &Client, acts: Vec<Act>) -> Option<Act> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = stream::iter(acts).map(|act| allowed(reviews.clone(), act)).buffered(AT_ONCE);
    let missing = asked.filter_map(std::future::ready);
    pin_mut!(missing);
    missing.next().await
}

/// None if it is allowed.
async fn allowed(reviews: Api<SelfSubjectAccessReview>, act: Act) -> Option<Act> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(act.attributes.clone()), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    match reviews.create(&PostParams::default(), &review).await {
        Ok(review) => review.status.is_some_and(|status| !status.allowed).then_some(act),
        Err(error) => {
            tracing::debug!(%error, verb = act.verb, resource = act.resource, "cannot ask for the permission");
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

    /// An API server that allows everything but this, takes its time, and counts the questions that are out at once.
    fn server(denied: Option<Act>, most: Arc<AtomicUsize>) -> Client {
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
                    let allowed = review.spec.resource_attributes != denied.map(|act| act.attributes);
                    review.status = Some(serde_json::from_value(serde_json::json!({ "allowed": allowed })).unwrap());
                    Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&review).unwrap())))
                }
            }),
            "operators",
        )
    }

    #[tokio::test]
    async fn every_verb_that_is_missing_is_named_with_its_resource_and_place() {
        for namespaces in [vec![], vec!["team-a".to_owned(), "team-b".to_owned()]] {
            let acts = acts(&namespaces, "operators");
            assert_eq!(acts.len(), 12 * namespaces.len().max(1) + 3);
            for denied in &acts {
                let missing = first_missing(&server(Some(denied.clone()), Arc::default()), acts.clone()).await;
                assert_eq!(missing.as_ref(), Some(denied));
            }
            assert_eq!(first_missing(&server(None, Arc::default()), acts).await, None);
        }
    }

    #[test]
    fn an_act_reads_like_kubectl_says_it() {
        let words = |act: Act| format!("{} {} {}", act.verb, act.resource, act.place);
        assert_eq!(
            words(act("nuvo.dev", "pipelineruns/status", "update", Some("team"))),
            "update pipelineruns.nuvo.dev/status in namespace team"
        );
        assert_eq!(words(act("", "secrets", "get", None)), "get secrets in all namespaces");
    }

    #[tokio::test]
    async fn many_namespaces_are_asked_about_side_by_side_but_not_all_at_once() {
        let namespaces: Vec<String> = (0..50).map(|number| format!("team-{number}")).collect();
        let most = Arc::new(AtomicUsize::new(0));
        assert_eq!(first_missing(&server(None, most.clone()), acts(&namespaces, "operators")).await, None);
        assert_eq!(most.load(Ordering::Relaxed), AT_ONCE);
    }
}
