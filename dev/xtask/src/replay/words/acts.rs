//! Acts, their answers, and what a run waits for.

use nuvo_core::run::{
    Act, Ask, Baseline, ExecutionId, ExecutionState, Facts, Follow, Hold, ListedCandidates, Named, PostOutcome, RunningExecutions,
    StatusChange, StatusInput, Step, Task, Unexecuted, Wishes, next_step, settled,
};

use super::{facts, objects};

/// What is done.
pub fn name(act: &Act, pipeline: &str) -> String {
    match act {
        Act::Trigger(step) => self::step(step, pipeline),
        Act::Render(change) => format!("Compare the status with what is to be said: {}.", self::change(change)),
        Act::Show(change) => format!("Write the status: {}.", self::change(change)),
        Act::AnnounceOnly(change) => format!(
            "Publish only the event: {}. A write would change the version of the run that the lock names, and a trigger that can still go on \
             would be in doubt.",
            self::change(change)
        ),
        Act::Delete => "Delete exactly this version of the run.".to_owned(),
        Act::Announce => "Publish the events of the status write.".to_owned(),
        Act::WakeWaiting => "Wake the runs that wait for the lock.".to_owned(),
        Act::WakeHolder(holder) => format!("Wake the run that holds the lock, {}/{}.", holder.namespace, holder.name),
        Act::Pause(wait) => format!("Wait {} and try again.", objects::span(*wait)),
        Act::Done { wishes, .. } => match wishes.as_ref().map(|wishes| &wishes.ask) {
            Some(Ask::Place) => "Ask the account for a place among its runs that are triggered.".to_owned(),
            Some(Ask::Turn) => "Ask the account for a turn: a new look at nuvo's list, and leave to send one POST.".to_owned(),
            Some(Ask::Candidates { .. }) => "Ask nuvo for the executions of the pipeline.".to_owned(),
            Some(Ask::Running(_)) => "Ask nuvo what is running.".to_owned(),
            Some(Ask::Execution(id)) => format!("Ask nuvo about execution {id}."),
            Some(Ask::Executions(ids)) => format!("Ask nuvo about the executions that a person named: {}.", objects::join(ids)),
            Some(Ask::Nothing | Ask::StayInQueue) | None => "Done: the pass is over.".to_owned(),
        },
    }
}

fn step(step: &Step, pipeline: &str) -> String {
    match step {
        Step::ReadRun => "Read the run from the API server.".to_owned(),
        Step::ReadLock => "Read the pipeline's lock.".to_owned(),
        Step::ReadHolder(lock_holder) => {
            format!("Read the run that holds the lock, {}/{}.", lock_holder.run.namespace, lock_holder.run.name)
        }
        Step::ReadUndecided => format!("Look for another run of pipeline {pipeline} that is in doubt."),
        Step::ReadClaimed => format!("Read which executions the other runs of pipeline {pipeline} show."),
        Step::ReadClaim(scheduled) => {
            format!("Read whether schedule {} has claimed slot {} for this run.", scheduled.schedule, scheduled.slot)
        }
        Step::ReadBaseline | Step::ReadCandidates | Step::ReadRunning(_) => "Read nuvo's list.".to_owned(),
        Step::ReadExecution(id) => format!("Read execution {id} from nuvo."),
        Step::TakeLock { over: Some(over), .. } => format!("Take the lock (W1), over its version {over}."),
        Step::TakeLock { over: None, .. } => "Create the lock and take it (W1).".to_owned(),
        Step::Mark { over, marker } if marker.executed => {
            format!("Write into the marker that nuvo started something, over version {over} of the run.")
        }
        Step::Mark { over, .. } => format!("Write the marker (W2), over version {over} of the run."),
        Step::Post(nonce) => format!("Send the POST for pipeline {pipeline} with nonce {nonce}."),
        Step::Record { trigger, executions, over, .. } => {
            format!("Write the {} (W3), over version {over} of the run.", objects::trigger(trigger, executions))
        }
        Step::Release { over, .. } => format!("Give the lock back, over its version {over}."),
        Step::Hold(_) => "Wait.".to_owned(),
        Step::Follow => "Follow the executions.".to_owned(),
        Step::Forget => "Forget the run.".to_owned(),
        Step::Restart => "Begin again with what is stored.".to_owned(),
    }
}

fn change(change: &StatusChange) -> String {
    match change {
        StatusChange::Present(StatusInput::Because(reason, _)) => reason.as_str().to_owned(),
        StatusChange::Present(StatusInput::Settled(..)) => "what its executions say".to_owned(),
        StatusChange::Refused(_) => "why the object cannot be a run".to_owned(),
        StatusChange::Noted(_) => "why a person's answer was not carried out".to_owned(),
        StatusChange::Unwatched => "the operator watches the run no longer".to_owned(),
        StatusChange::Attempt { attempt, automatic: true } => format!("attempt {attempt} begins, by itself"),
        StatusChange::Attempt { attempt, automatic: false } => format!("attempt {attempt} begins, because a person asked for it"),
        StatusChange::Result { trigger, executions, .. } => objects::trigger(trigger, executions),
    }
}

/// Why the trigger of the run waits; none if it is settled.
pub fn hold(facts: &Facts) -> Option<String> {
    let o = facts.observed()?;
    if settled(o.run()) || o.task != Task::Idle {
        return None;
    }
    let Step::Hold(hold) = next_step(o) else { return None };
    Some(match hold {
        Hold::Suspended => "Until spec.suspend is false.".to_owned(),
        Hold::Gate(gate) => facts::gate(&gate).unwrap_or_else(|| "No more.".to_owned()),
        Hold::PipelineBusy(lock_holder, None) => format!("Until the outcome of the trigger of run {} is known.", lock_holder.run.name),
        Hold::PipelineBusy(lock_holder, Some(left)) => {
            format!("For the quarantine after the trigger of run {}, {} more.", lock_holder.run.name, objects::span(left))
        }
        Hold::PipelineRunning(executions) => format!("Until these executions have ended: {}.", objects::join(&executions)),
        Hold::Skipped(id) => format!("No more: execution {id} is running."),
        Hold::Unconfirmed(left) => format!("Until the outcome of its trigger is known. The next look comes in {}.", objects::span(left)),
        Hold::Overdue => "No more: the deadline has passed before the trigger.".to_owned(),
        Hold::Mirror => "No more: a NuvoPipeline is its controller.".to_owned(),
        Hold::TooLate => "No more: the start deadline has passed before the trigger.".to_owned(),
        Hold::SlotUndecided => "Until its schedule has claimed the slot for it.".to_owned(),
        Hold::SlotNotClaimed => "No more: its schedule has not claimed the slot for it.".to_owned(),
        Hold::Lost => "For a person.".to_owned(),
    })
}

/// What is known of what runs before a trigger.
pub fn running(running: &RunningExecutions) -> String {
    let open: Vec<_> = running.listed.difference(&running.ended).cloned().collect();
    if open.is_empty() {
        "It shows that no other execution of the pipeline runs.".to_owned()
    } else {
        format!("These run: {}.", objects::join(&open))
    }
}

/// What nuvo says of an execution.
pub fn state(id: &ExecutionId, state: ExecutionState) -> String {
    match state {
        ExecutionState::Processing => format!("Execution {id} is running."),
        ExecutionState::Over => format!("Execution {id} has ended."),
        ExecutionState::Unclear => format!("It is not known whether execution {id} has ended."),
    }
}

/// What the run wants of others until the next pass.
pub fn wishes(wishes: Option<&Wishes>) -> String {
    let Some(Wishes { ask, follow, waits_for_lock }) = wishes else { return "The same as before.".to_owned() };
    let mut parts = Vec::new();
    if *ask == Ask::StayInQueue {
        parts.push("To keep its place in the queue of the account.".to_owned());
    }
    if let Some(follow) = follow {
        parts.push(self::follow(follow));
    }
    if *waits_for_lock {
        parts.push("To be woken when the lock may be free.".to_owned());
    }
    if parts.is_empty() { "Nothing of others.".to_owned() } else { parts.join(" ") }
}

fn follow(follow: &Follow) -> String {
    let Follow { executions, late, ended_for, .. } = follow;
    let ids = objects::join(executions);
    match ended_for {
        Some(_) => format!("To be told of a repair made in nuvo, of the executions: {ids}."),
        None if *late => format!("nuvo's next answer about the executions, because the deadline has passed: {ids}."),
        None => format!("To be told of the executions: {ids}."),
    }
}

/// What nuvo's list showed before a trigger.
pub fn baseline(baseline: Option<&Baseline>) -> String {
    match baseline {
        None => "The list cannot be relied on, so nothing will be adopted by it.".to_owned(),
        Some(Baseline { newest: None, .. }) => "It has its turn. The list shows no execution.".to_owned(),
        Some(Baseline { newest: Some(newest), .. }) => {
            let newest =
                k8s_openapi::jiff::Timestamp::from_millisecond(*newest).map_or_else(|_| newest.to_string(), |time| time.to_string());
            format!("It has its turn. The newest execution in the list is of {newest}.")
        }
    }
}

/// What nuvo's list shows of the executions of the pipeline.
pub fn sighting(sighting: Option<&ListedCandidates>) -> String {
    let Some(sighting) = sighting else { return "nuvo gives no list. Nothing is concluded from that.".to_owned() };
    let ids: Vec<_> = sighting.candidates.iter().map(|candidate| &candidate.id).collect();
    format!("The list shows: {}.", objects::join(&ids))
}

/// What nuvo says of an execution that a person named.
pub fn named(id: &ExecutionId, named: Named) -> String {
    match named {
        Named::Ours => format!("{id} belongs to the pipeline."),
        Named::Foreign => format!("{id} does not belong to the pipeline."),
        Named::Unknown => format!("nuvo does not know {id} (it is neither in list nor in executions)."),
        Named::Unread(_) => format!("nuvo cannot be asked about {id}."),
    }
}

/// What came of a POST.
pub fn outcome(outcome: &PostOutcome) -> String {
    match outcome {
        PostOutcome::Accepted(ids) => format!("nuvo accepts, and has started the executions: {}.", objects::join(ids)),
        PostOutcome::NotExecuted { then: Unexecuted::Rejected, .. } => "nuvo refuses for good. Nothing was started.".to_owned(),
        PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(wait, _), .. } => {
            format!("Nothing was started. The next try may follow after {}.", objects::span(*wait))
        }
        PostOutcome::ExecutedIdsUnknown { .. } => "nuvo has started something, but does not say what.".to_owned(),
        PostOutcome::Unknown { .. } => "No answer. Whether something was started is not known.".to_owned(),
    }
}
