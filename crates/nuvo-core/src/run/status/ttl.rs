//! When the object of a run that has ended is deleted (`spec.ttlSecondsAfterFinished`), and what prevents it.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{run::made_by::schedule_of, text::truncated};
use nuvo_crds::{
    MAX_STATUS_MESSAGE, Phase, PipelineRun, PipelineRunStatus,
    conditions::{ConditionState, ConditionStatus, DELETION_BLOCKED, remove, set},
};

/// The labels and annotations by which tools track the objects of a repository or a chart: the kind of mark, its key, and the tool.
///
/// Sources: Argo CD "Resource Tracking" (annotation since 3.0, label before, the key of the label can be chosen), Flux "Labels and annotations"
/// of Kustomization and HelmRelease, Helm "Labels and Annotations".
const TRACKS: [(Mark, &str, Tracker); 6] = [
    (Mark::Annotation, "argocd.argoproj.io/tracking-id", Tracker::ArgoCd),
    (Mark::Label, "argocd.argoproj.io/instance", Tracker::ArgoCd),
    (Mark::Label, "kustomize.toolkit.fluxcd.io/name", Tracker::Flux),
    (Mark::Label, "helm.toolkit.fluxcd.io/name", Tracker::Flux),
    (Mark::Annotation, "meta.helm.sh/release-name", Tracker::Helm),
    (Mark::Label, COMMON, Tracker::ArgoCd),
];

/// The label by which Argo CD tracked before 3.0, and still does where it is configured to. Other tools set it, too.
const COMMON: &str = "app.kubernetes.io/instance";

/// The phases of Argo CD's hooks. `Skip` is none: it keeps a resource out of every sync.
const HOOKS: [&str; 6] = ["PreSync", "Sync", "PostSync", "SyncFail", "PreDelete", "PostDelete"];

/// The annotations that mark a hook of Argo CD, and of Helm.
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const HELM_HOOK: &str = "helm.sh/hook";

/// How long a hook stays after its end at least. Argo CD learns the result of a hook from its object, every few seconds; after an
/// interruption when it compares the application the next time, three minutes later by default.
const HOOK_STAYS: SignedDuration = SignedDuration::from_mins(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Label,
    Annotation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracker {
    ArgoCd,
    Flux,
    Helm,
}

impl Tracker {
    const fn reason(self) -> &'static str {
        match self {
            Self::ArgoCd => "TrackedByArgoCD",
            Self::Flux => "TrackedByFlux",
            Self::Helm => "TrackedByHelm",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
            Self::Helm => "Helm",
        }
    }
}

/// Whether the deletion depends on this annotation.
#[must_use]
pub fn reads_annotation(key: &str) -> bool {
    key == ARGO_HOOK || key == HELM_HOOK || TRACKS.iter().any(|(mark, tracks, _)| *mark == Mark::Annotation && *tracks == key)
}

/// Whether the deletion depends on this label.
#[must_use]
pub fn reads_label(key: &str) -> bool {
    TRACKS.iter().any(|(mark, tracks, _)| *mark == Mark::Label && *tracks == key)
}

/// When the object is to be deleted; none if it is not, or if something prevents it.
#[must_use]
pub fn expires(object: &PipelineRun) -> Option<Timestamp> {
    let status = object.status.as_ref()?;
    if object.metadata.deletion_timestamp.is_some() || obstacle(status, object).is_some() {
        return None;
    }
    let ttl = SignedDuration::from_secs(object.spec.ttl_seconds_after_finished?);
    let ttl = if is_argo_hook(object) || is_helm_hook(object) { ttl.max(HOOK_STAYS) } else { ttl };
    status.current.completion_time.as_ref()?.0.checked_add(ttl).ok()
}

/// Sets or removes the condition `DeletionBlocked`.
pub(super) fn set_deletion_blocked(status: &mut PipelineRunStatus, object: &PipelineRun, now: Timestamp) {
    let wanted = status.current.completion_time.is_some() && object.spec.ttl_seconds_after_finished.is_some();
    let Some((reason, message)) = obstacle(status, object).filter(|_| wanted) else {
        remove(&mut status.conditions, DELETION_BLOCKED);
        return;
    };
    let message = truncated(&message, MAX_STATUS_MESSAGE);
    let state =
        ConditionState { status: ConditionStatus::True, reason, message: &message, observed_generation: object.metadata.generation };
    set(&mut status.conditions, DELETION_BLOCKED, &state, now);
}

/// What prevents the deletion of a run that has ended.
fn obstacle(status: &PipelineRunStatus, object: &PipelineRun) -> Option<(&'static str, String)> {
    if status.phase == Some(Phase::Unresolved) {
        let message = "The object is not deleted (spec.ttlSecondsAfterFinished) until a person has decided about its trigger, because the \
                       record of that trigger would be deleted with it.";
        return Some(("Unresolved", message.to_owned()));
    }
    // A schedule does not make a run anew that was deleted: its slot is decided.
    if schedule_of(&object.metadata).is_some() {
        return None;
    }
    let (mark, key, tracker) = TRACKS.into_iter().find(|(mark, key, tracker)| has(object, *mark, key) && !is_exempt(object, *tracker))?;
    let kind = if mark == Mark::Label { "label" } else { "annotation" };
    let who = tracker.name();
    let tracks = if key == COMMON { "may track" } else { "tracks" };
    let message = format!(
        "The object is not deleted (spec.ttlSecondsAfterFinished), because {who} {tracks} it ({kind} {key}) and would create it again, which \
         would trigger the pipeline again. Remove spec.ttlSecondsAfterFinished, or create such runs outside of what {who} syncs and \
         without that {kind}, for example as a hook of Argo CD."
    );
    Some((tracker.reason(), message))
}

fn value<'a>(object: &'a PipelineRun, mark: Mark, key: &str) -> Option<&'a str> {
    let marks = if mark == Mark::Label { &object.metadata.labels } else { &object.metadata.annotations };
    marks.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn has(object: &PipelineRun, mark: Mark, key: &str) -> bool {
    value(object, mark, key).is_some()
}

/// A hook that has been deleted is not created again before the next sync or release, which would start it again in any case.
/// Flux does not know the hooks of Argo CD.
fn is_exempt(object: &PipelineRun, tracker: Tracker) -> bool {
    match tracker {
        Tracker::ArgoCd => is_argo_hook(object) || is_helm_hook(object),
        Tracker::Helm => is_helm_hook(object),
        Tracker::Flux => false,
    }
}

fn is_argo_hook(object: &PipelineRun) -> bool {
    value(object, Mark::Annotation, ARGO_HOOK).is_some_and(|hooks| hooks.split(',').any(|hook| HOOKS.contains(&hook.trim())))
}

/// Argo CD, too, takes it for a hook.
fn is_helm_hook(object: &PipelineRun) -> bool {
    has(object, Mark::Annotation, HELM_HOOK)
}
