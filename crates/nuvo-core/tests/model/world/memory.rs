//! What a run and a process remember.

use std::time::Duration;

use nuvo_core::run::*;

use super::*;

/// What a recorded result makes of a run. The test `recorded_result_reads_the_same_in_the_model` holds it against the operator's.
pub fn record(run: &mut Run, trigger: &Trigger, executions: &[ExecutionId], follow_up: FollowUp) {
    run.attempt = run.attempt.max(trigger.attempt);
    match trigger.result {
        TriggerResult::Accepted(_) => {
            run.executions = executions.to_vec();
            run.ended = executions.is_empty();
        }
        TriggerResult::Ambiguous { .. } if follow_up == FollowUp::NextAttempt => {
            run.attempt += 1;
            (run.ended, run.retriggers) = (false, false);
        }
        TriggerResult::Ambiguous { .. } => run.ended = true,
        TriggerResult::NotExecuted => {
            run.executions.clear();
            run.ended = follow_up == FollowUp::Unexecuted(Unexecuted::Rejected);
        }
        TriggerResult::Observed => {}
    }
    run.trigger = Some(trigger.clone());
}

/// Times as ages, so that two memories that no rule can tell apart are the same. The quarantine of its own doubt counts only for a run that
/// may trigger again because of it, or whose account is gone.
pub fn aged(memory: &RunMemory, now: Duration, passed: Duration, scope: &Scope) -> RunMemory {
    let age = |at: Duration| now.saturating_sub(at).saturating_add(passed);
    let is_asked = scope.retrigger || scope.account_losses > 0;
    let shift = |at: Duration| {
        let over = [SHORT.saturating_add(LONG), LONG].into_iter().find(|over| is_asked && age(at) >= *over);
        BEGIN.saturating_sub(over.unwrap_or(age(at).min(SHORT)))
    };
    let long_ago = |at: Duration| BEGIN.saturating_sub(if age(at) >= LONG { LONG } else { Duration::ZERO });
    let trigger = Memory {
        inquiry: memory.trigger.inquiry.as_ref().map(|inquiry| Inquiry {
            since: shift(inquiry.since),
            first_seen: BEGIN.saturating_sub(age(inquiry.first_seen).min(SHORT)),
            last: inquiry.last.as_ref().map(|(_, ids)| (BEGIN, ids.clone())),
            absent: inquiry.absent.map(|_| BEGIN),
            knows_others: inquiry.knows_others && scope.open,
            looks: Looks::default(),
            ..inquiry.clone()
        }),
        quarantine: memory.trigger.quarantine.as_ref().map(|(nonce, at)| (nonce.clone(), long_ago(*at))),
    };
    // The rest says when a run is looked at again, which may happen at any time.
    RunMemory { trigger, lock_pending_release: memory.lock_pending_release, ..RunMemory::default() }
}
