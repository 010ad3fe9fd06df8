//! Which executions a `NuvoPipeline` keeps as runs that only show them (`spec.mirror`).

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use nuvo_crds::{
    NuvoPipeline, PipelineRun, PipelineRunSpec, SeenExecution,
    well_known::{GROUP, PIPELINE_OBJECT_LABEL, VERSION},
};

/// The trigger type of executions that were started through the API: a run of the operator may have started them.
const MANUAL: &str = "MANUAL";

/// A run that shows an execution for this object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredRun {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The execution that it shows.
    pub execution: String,
}

impl MirroredRun {
    /// The run as a mirrored one; none if this very object is not its controller, or if it is being deleted already: a finalizer of others can hold
    /// it for long.
    #[must_use]
    pub fn of(run: &PipelineRun, object: &NuvoPipeline) -> Option<Self> {
        let uid = object.metadata.uid.as_deref().filter(|_| run.metadata.deletion_timestamp.is_none())?;
        let owners = run.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().find(|owner| owner.controller == Some(true) && owner.uid == uid)?;
        Some(Self {
            name: run.metadata.name.clone()?,
            uid: run.metadata.uid.clone()?,
            version: run.metadata.resource_version.clone()?,
            created: run.metadata.creation_timestamp.as_ref().map(|time| time.0),
            execution: run.spec.execution_id.clone()?,
        })
    }
}

/// What is known when it is decided what to mirror.
#[derive(Debug)]
pub struct MirrorFacts<'a> {
    /// The object.
    pub object: &'a NuvoPipeline,
    /// The executions that were seen first and are not mirrored yet, in that order.
    pub waiting: &'a [SeenExecution],
    /// Whether the runs that exist are to be looked at in any case.
    pub is_check_due: bool,
    /// The runs that this object has created; none before they were read.
    pub mirrored: Option<Vec<MirroredRun>>,
    /// The executions that runs show which trigger the pipeline, in all watched namespaces; none before they were read.
    pub triggered: Option<BTreeSet<String>>,
    /// A run of the pipeline may have a POST out whose outcome is not known.
    pub is_undecided: bool,
    /// For how long a trigger may have effects.
    pub quarantine: Duration,
    /// The time of day.
    pub now: Timestamp,
}

/// What is done next about mirrored runs.
#[derive(Debug, Clone, PartialEq)]
pub enum MirrorAct {
    /// Read the runs that this object has created.
    ReadMirrored,
    /// Read the runs of the pipeline in all watched namespaces.
    ReadTriggered,
    /// Create the run that shows this execution.
    Create(SeenExecution),
    /// This execution is not mirrored: a run that has started it shows it.
    Leave(SeenExecution),
    /// Delete this run, if it is still the one that was read.
    Delete(MirroredRun),
    /// Nothing now.
    Done,
}

/// The next act.
#[must_use]
pub fn next_mirror(facts: &MirrorFacts<'_>) -> MirrorAct {
    let mirror = &facts.object.spec.mirror;
    let limit = usize::try_from(mirror.history_limit).unwrap_or_default();
    let next = facts.waiting.iter().find(|execution| limit > 0 && facts.is_ripe(execution));
    if next.is_none() && !facts.is_check_due {
        return MirrorAct::Done;
    }
    let Some(mirrored) = &facts.mirrored else { return MirrorAct::ReadMirrored };
    let shows_manual = limit > 0 && mirror.trigger_types.iter().any(|trigger| trigger == MANUAL);
    if shows_manual && !mirrored.is_empty() || next.is_some_and(is_manual) {
        let Some(triggered) = &facts.triggered else { return MirrorAct::ReadTriggered };
        if let Some(adopted) = mirrored.iter().find(|run| triggered.contains(&run.execution)) {
            return MirrorAct::Delete(adopted.clone());
        }
        if let Some(execution) = next.filter(|execution| triggered.contains(&execution.id)) {
            return MirrorAct::Leave(execution.clone());
        }
    }
    // One that exists is not created again, and the new one counts.
    let is_new = next.is_some_and(|execution| !mirrored.iter().any(|run| run.execution == execution.id));
    if mirrored.len() > limit.saturating_sub(usize::from(is_new && limit > 0))
        && let Some(oldest) = mirrored.iter().min_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)))
    {
        return MirrorAct::Delete(oldest.clone());
    }
    match next {
        Some(execution) if is_new => MirrorAct::Create(execution.clone()),
        Some(execution) => MirrorAct::Leave(execution.clone()),
        None => MirrorAct::Done,
    }
}

/// Whether a run of the operator may have started it.
#[must_use]
pub fn is_manual(execution: &SeenExecution) -> bool {
    execution.trigger_type.as_deref().is_none_or(|trigger| trigger == MANUAL)
}

impl MirrorFacts<'_> {
    /// Whether no run of the operator can claim it as its own any more.
    fn is_ripe(&self, execution: &SeenExecution) -> bool {
        let is_old = || {
            let created = execution.created_at.as_ref().and_then(|created| created.0.checked_add(self.quarantine).ok());
            created.is_some_and(|ripe| ripe < self.now)
        };
        !is_manual(execution) || (!self.is_undecided && is_old())
    }
}

/// The run that shows an execution. It triggers nothing.
#[must_use]
pub fn mirror_run(object: &NuvoPipeline, execution: &SeenExecution, name: String) -> PipelineRun {
    let owner = OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "NuvoPipeline".to_owned(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    };
    let label = (PIPELINE_OBJECT_LABEL.to_owned(), owner.name.clone());
    PipelineRun {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.metadata.namespace.clone(),
            labels: Some([label].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: PipelineRunSpec {
            pipeline_id: object.spec.pipeline_id.clone(),
            account_ref: object.spec.account_ref.clone(),
            execution_id: Some(execution.id.clone()),
            ..PipelineRunSpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use nuvo_crds::Mirror;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn object(limit: i32, triggers: &[&str]) -> NuvoPipeline {
        let mut object: NuvoPipeline = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "orders", "namespace": "team", "uid": "u" },
            "spec": { "pipelineId": "orders" },
        }))
        .unwrap();
        object.spec.mirror = Mirror { history_limit: limit, trigger_types: triggers.iter().map(|trigger| (*trigger).to_owned()).collect() };
        object
    }

    fn execution(id: &str, trigger: &str) -> SeenExecution {
        SeenExecution {
            id: id.to_owned(),
            trigger_type: Some(trigger.to_owned()),
            created_at: Some(Time(at(1_000))),
            ..SeenExecution::default()
        }
    }

    fn mirrored(execution: &str, created: i64) -> MirroredRun {
        MirroredRun {
            name: format!("orders-{execution}"),
            uid: execution.to_owned(),
            version: "1".to_owned(),
            created: Some(at(created)),
            execution: execution.to_owned(),
        }
    }

    fn facts<'a>(object: &'a NuvoPipeline, waiting: &'a [SeenExecution]) -> MirrorFacts<'a> {
        MirrorFacts {
            object,
            waiting,
            is_check_due: false,
            mirrored: Some(Vec::new()),
            triggered: None,
            is_undecided: false,
            quarantine: Duration::from_secs(360),
            now: at(2_000),
        }
    }

    #[test]
    fn execution_of_a_schedule_is_mirrored_once_without_a_look_at_other_runs() {
        let (object, waiting) = (object(2, &["SCHEDULED"]), [execution("e1", "SCHEDULED")]);
        let unread = MirrorFacts { mirrored: None, is_undecided: true, ..facts(&object, &waiting) };
        assert_eq!(next_mirror(&unread), MirrorAct::ReadMirrored);
        assert_eq!(next_mirror(&facts(&object, &waiting)), MirrorAct::Create(waiting[0].clone()));
        let exists = MirrorFacts { mirrored: Some(vec![mirrored("e1", 1)]), ..facts(&object, &waiting) };
        assert_eq!(next_mirror(&exists), MirrorAct::Leave(waiting[0].clone()));
        assert_eq!(next_mirror(&facts(&object, &[])), MirrorAct::Done);
    }

    #[test]
    fn execution_through_the_api_is_mirrored_only_if_no_run_can_claim_it() {
        let (object, waiting) = (object(2, &["MANUAL"]), [execution("e1", "MANUAL")]);
        let ripe = facts(&object, &waiting);
        assert_eq!(next_mirror(&ripe), MirrorAct::ReadTriggered);
        assert_eq!(next_mirror(&MirrorFacts { is_undecided: true, ..facts(&object, &waiting) }), MirrorAct::Done);
        assert_eq!(next_mirror(&MirrorFacts { now: at(1_360), ..facts(&object, &waiting) }), MirrorAct::Done);
        let of_a_run = Some(BTreeSet::from(["e1".to_owned()]));
        assert_eq!(next_mirror(&MirrorFacts { triggered: of_a_run, ..facts(&object, &waiting) }), MirrorAct::Leave(waiting[0].clone()));
        let of_no_run = Some(BTreeSet::new());
        assert_eq!(next_mirror(&MirrorFacts { triggered: of_no_run, ..facts(&object, &waiting) }), MirrorAct::Create(waiting[0].clone()));
    }

    #[test]
    fn mirrored_run_of_an_execution_that_a_run_has_adopted_is_deleted() {
        let object = object(2, &["MANUAL"]);
        let adopted = MirrorFacts {
            is_check_due: true,
            mirrored: Some(vec![mirrored("e1", 1)]),
            triggered: Some(BTreeSet::from(["e1".to_owned()])),
            ..facts(&object, &[])
        };
        assert_eq!(next_mirror(&adopted), MirrorAct::Delete(mirrored("e1", 1)));
    }

    #[test]
    fn oldest_mirrored_run_goes_before_a_new_one_is_created_and_all_go_when_it_is_off() {
        let waiting = [execution("e3", "EVENT")];
        let two = || Some(vec![mirrored("e2", 2), mirrored("e1", 1)]);
        let full = object(2, &["EVENT"]);
        assert_eq!(next_mirror(&MirrorFacts { mirrored: two(), ..facts(&full, &waiting) }), MirrorAct::Delete(mirrored("e1", 1)));
        assert_eq!(next_mirror(&MirrorFacts { mirrored: two(), is_check_due: true, ..facts(&full, &[]) }), MirrorAct::Done);
        let off = object(0, &["EVENT"]);
        assert_eq!(
            next_mirror(&MirrorFacts { mirrored: two(), is_check_due: true, ..facts(&off, &[]) }),
            MirrorAct::Delete(mirrored("e1", 1))
        );
        assert_eq!(next_mirror(&MirrorFacts { mirrored: Some(Vec::new()), is_check_due: true, ..facts(&off, &waiting) }), MirrorAct::Done);
    }

    #[test]
    fn mirrored_run_names_its_execution_and_its_controller_and_is_ours_only_then() {
        let object = object(2, &["EVENT"]);
        let mut run = mirror_run(&object, &execution("e1", "EVENT"), "orders-1".to_owned());
        assert_eq!((run.spec.execution_id.as_deref(), run.spec.pipeline_id.as_str()), (Some("e1"), "orders"));
        (run.metadata.uid, run.metadata.resource_version) = (Some("r".to_owned()), Some("1".to_owned()));
        assert!(MirroredRun::of(&run, &object).is_some());
        let ends = PipelineRun { metadata: ObjectMeta { deletion_timestamp: Some(Time(at(1))), ..run.metadata.clone() }, ..run.clone() };
        assert_eq!(MirroredRun::of(&ends, &object), None, "it is not deleted once more");
        run.metadata.owner_references.as_mut().unwrap()[0].uid = "another".to_owned();
        assert_eq!(MirroredRun::of(&run, &object), None);
        assert_eq!(run.metadata.labels.unwrap()[PIPELINE_OBJECT_LABEL], "orders");
    }
}
