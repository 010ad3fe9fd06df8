//! What is read of the metadata of a run. Whoever may create runs decides how large the rest is, and no cache keeps it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    made_by::{pipeline_of, schedule_of},
    status::{reads_annotation, reads_label},
};
use nuvo_crds::well_known::{RESOLVE_ANNOTATION, SCHEDULED_AT_ANNOTATION, TRIGGER_ANNOTATION};

/// The longest value of an annotation that is read, in bytes: an answer that names a hundred executions.
pub const LONGEST_ANNOTATION: usize = 4_096;

/// The part of the metadata that decisions depend on. A value that is too long to be read stays too long.
#[must_use]
pub fn kept_metadata(metadata: ObjectMeta) -> ObjectMeta {
    let controller = pipeline_of(&metadata).or_else(|| schedule_of(&metadata)).cloned();
    let ObjectMeta {
        name, namespace, uid, resource_version, generation, creation_timestamp, deletion_timestamp, labels, annotations, ..
    } = metadata;
    let is_ours = |key: &str| [RESOLVE_ANNOTATION, SCHEDULED_AT_ANNOTATION, TRIGGER_ANNOTATION].contains(&key);
    let annotations = annotations.map(|all| kept(all, |key| is_ours(key) || reads_annotation(key)));
    let labels = labels.map(|all| kept(all, reads_label));
    ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        generation,
        creation_timestamp,
        deletion_timestamp,
        labels: labels.filter(|labels| !labels.is_empty()),
        annotations: annotations.filter(|annotations| !annotations.is_empty()),
        owner_references: controller.map(|controller| vec![controller]),
        ..ObjectMeta::default()
    }
}

fn kept(all: BTreeMap<String, String>, is_read: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let kept = all.into_iter().filter(|(key, _)| is_read(key));
    kept.map(|(key, value)| (key, value.chars().take(LONGEST_ANNOTATION.saturating_add(1)).collect())).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;
    use crate::run::made_by::is_mirror;

    fn texts(all: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        Some(all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn only_what_decisions_depend_on_is_kept() {
        let tracked = [("argocd.argoproj.io/tracking-id", "app"), (RESOLVE_ANNOTATION, "n1:retry"), (TRIGGER_ANNOTATION, "{}")];
        let metadata = ObjectMeta {
            name: Some("orders".to_owned()),
            annotations: texts(&[&tracked[..], &[("kubectl.kubernetes.io/last-applied-configuration", "{}")]].concat()),
            labels: texts(&[("team", "a"), ("kustomize.toolkit.fluxcd.io/name", "apps")]),
            finalizers: Some(vec!["example.com/keep".to_owned()]),
            managed_fields: Some(Vec::new()),
            ..ObjectMeta::default()
        };
        let kept = kept_metadata(metadata);
        assert_eq!(kept.annotations, texts(&tracked));
        assert_eq!(kept.labels, texts(&[("kustomize.toolkit.fluxcd.io/name", "apps")]));
        assert_eq!((kept.name.as_deref(), kept.finalizers, kept.managed_fields), (Some("orders"), None, None));
    }

    #[test]
    fn run_is_a_mirror_only_of_a_controller_that_is_a_pipeline_of_nuvo() {
        let owner = |api_version: &str, kind: &str, controller| OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: "orders".to_owned(),
            controller,
            ..OwnerReference::default()
        };
        for (owner, wanted) in [
            (owner("nuvo.dev/v1alpha1", "NuvoPipeline", Some(true)), true),
            (owner("nuvo.dev/v2", "NuvoPipeline", Some(true)), true),
            (owner("nuvo.dev/v1alpha1", "NuvoPipeline", Some(false)), false),
            (owner("nuvo.dev/v1alpha1", "NuvoPipeline", None), false),
            (owner("nuvo.dev/v1alpha1", "PipelineSchedule", Some(true)), false),
            (owner("example.com/v1", "NuvoPipeline", Some(true)), false),
            (owner("NuvoPipeline", "NuvoPipeline", Some(true)), false),
        ] {
            let others = [OwnerReference::default(), owner.clone()];
            let metadata = ObjectMeta { owner_references: Some(others.to_vec()), ..ObjectMeta::default() };
            assert_eq!(is_mirror(&metadata), wanted, "{owner:?}");
            let is_scheduled = owner.kind == "PipelineSchedule";
            assert_eq!(schedule_of(&metadata).map(|owner| owner.name.as_str()), is_scheduled.then_some("orders"), "{owner:?}");
            let kept = kept_metadata(metadata);
            let controllers = kept.owner_references.as_ref().map_or(0, Vec::len);
            assert_eq!((is_mirror(&kept), controllers), (wanted, usize::from(wanted || is_scheduled)), "{owner:?}");
        }
    }

    #[test]
    fn annotation_that_is_too_long_to_be_read_stays_too_long() {
        let long = "n1:retry".repeat(10_000);
        let kept = kept_metadata(ObjectMeta { annotations: texts(&[(RESOLVE_ANNOTATION, &long)]), ..ObjectMeta::default() });
        assert_eq!(kept.annotations.and_then(|all| all.get(RESOLVE_ANNOTATION).map(String::len)), Some(LONGEST_ANNOTATION + 1));
    }
}
