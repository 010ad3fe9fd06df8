//! What can happen next.

use nuvo_operator::run::{self, Step};

use super::{Course, State, Work, World, is_idle};
use crate::{
    action::{Action, StepCourse},
    alike::Shared,
};

impl World {
    /// Everything that can happen.
    pub fn happenings(&self, state: &State, actions: &mut Vec<Action>) {
        for (operator, works) in state.operators.iter().enumerate() {
            let is_busy = |work: &Shared<Work>| matches!(**work, Work::Busy(..));
            let busy = !state.left.concurrent && works.iter().any(is_busy);
            for (run, work) in works.iter().enumerate().filter(|(_, work)| !busy || is_busy(work)) {
                happenings_of(state, operator, run, work, actions);
            }
            if state.left.crashes > 0 && works.iter().any(|work| !is_idle(work)) {
                actions.push(Action::Crash { operator });
            }
            if state.left.leavers > 0 && state.operators.len() > 1 && !works.iter().any(is_busy) {
                actions.push(Action::Leave { operator });
            }
        }
        for (number, sent) in state.deliveries.iter().enumerate() {
            if sent.course == Course::InFlight {
                actions.extend(state.left.batches.iter().map(|count| Action::Land { delivery: number, executions: Some(*count) }));
                if state.left.unanswered > 0 {
                    actions.push(Action::Land { delivery: number, executions: None });
                }
            }
        }
        actions.extend((0..state.executions.len()).filter(|n| !state.executions[*n].listed).map(|execution| Action::List { execution }));
        actions.extend((0..state.late.len()).map(|write| Action::Arrive { write }));
        if (state.left.slow > 0 || !state.is_about_to_post()) && !(state.left.brisk && state.is_about_to_record()) {
            actions.push(Action::Tick { long: false });
            if state.is_settled_at_nuvo() {
                actions.push(Action::Tick { long: true });
            }
        }
        for (run, object) in state.runs.iter().enumerate() {
            actions.push(Action::Release { run });
            let Some(present) = &object.present else { continue };
            if run::settled(present) && state.left.reruns > 0 {
                actions.push(Action::Rerun { run });
            }
            if state.left.edits > 0 {
                actions.push(Action::Edit { run });
            }
            if state.left.deletions > 0 {
                actions.push(Action::Delete { run });
            }
            if state.left.status_wipes > 0 && (present.trigger.is_some() || present.attempt > 1) {
                actions.push(Action::WipeStatus { run });
            }
            if state.left.marker_wipes > 0 && present.marker.is_some() {
                actions.push(Action::WipeMarker { run });
            }
        }
        if state.left.lease_deletions > 0 && state.leases[0].read.version.is_some() {
            actions.push(Action::DeleteLease);
        }
        if state.left.ledger_losses > 0 && !state.lock().ledger.is_empty() {
            actions.push(Action::ForgetLedger);
        }
    }
}

fn happenings_of(state: &State, operator: usize, run: usize, work: &Work, actions: &mut Vec<Action>) {
    let left = &state.left;
    let pass = match work {
        Work::Resting(_) => {
            let object = &state.runs[run];
            if object.present.as_ref().is_some_and(|present| !run::settled(present)) {
                actions.push(Action::Begin { operator, run, stale: false });
            }
            if left.stale > 0 && object.present.as_ref() != Some(&object.first) {
                actions.push(Action::Begin { operator, run, stale: true });
            }
            return;
        }
        Work::Busy(pass) => pass,
    };
    if let Some(sent) = &pass.sent {
        let executed = state.deliveries.iter().any(|delivery| delivery.nonce == *sent && delivery.course == Course::Executed);
        if executed {
            actions.push(Action::Answer { operator, run, answered: true });
        }
        // One that was lost on its way has been accounted for.
        let lost = state.deliveries.iter().any(|delivery| delivery.nonce == *sent && delivery.course == Course::Dropped);
        if left.unanswered > 0 || lost {
            actions.push(Action::Answer { operator, run, answered: false });
        }
        return;
    }
    let mut add = |course| actions.push(Action::Step { operator, run, course });
    match pass.step {
        Step::Post(_) => {
            for count in left.batches {
                add(StepCourse::Executed(*count));
                if left.unanswered > 0 {
                    add(StepCourse::Garbled(*count));
                    add(StepCourse::Unanswered(*count));
                }
            }
            if left.unanswered > 0 {
                add(StepCourse::Dropped);
            }
            if left.late_posts > 0 {
                add(StepCourse::InFlight);
            }
            if left.refused > 0 {
                add(StepCourse::Refused { for_good: false });
                add(StepCourse::Refused { for_good: true });
            }
        }
        Step::TakeLock { .. } | Step::Mark { .. } | Step::Record { .. } | Step::Release { .. } => {
            add(StepCourse::Well);
            if left.lost > 0 {
                add(StepCourse::AnswerLost);
                add(StepCourse::RequestLost);
            }
            if left.late_writes > 0 {
                add(StepCourse::Late);
            }
        }
        _ => add(StepCourse::Well),
    }
}
