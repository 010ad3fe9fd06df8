//! What can happen next.

use nuvo_core::run::{self, AccountAnswer, Act, Answered, Ask, Facts, Step, TriggerResult};

use super::life::asks_for_the_end;
use super::{Course, Object, State, Work, World, is_idle};
use crate::{
    action::{Action, Record, Resolution, StepCourse},
    symmetry::Shared,
};

impl World {
    /// Everything that can happen.
    pub fn happenings(&self, state: &State, actions: &mut Vec<Action>) {
        for (operator, works) in state.operators.iter().enumerate() {
            let is_busy = |work: &Shared<Work>| matches!(**work, Work::Busy(..));
            let busy = !state.left.concurrent && works.iter().any(is_busy);
            let may_read = |run: usize| !state.left.split || run == operator;
            for (run, work) in works.iter().enumerate().filter(|(run, work)| may_read(*run) && (!busy || is_busy(work))) {
                happenings_of(state, operator, run, work, actions);
                // Where no lock is ever deleted, no run is undecided before there is one, and a cache that is behind says so, too.
                let asks = matches!(&**work, Work::Busy(pass) if pass.act == Act::Trigger(Step::ReadUndecided));
                if asks && self.scope.lease_deletions > 0 {
                    actions.push(Action::Step { operator, run, course: StepCourse::Stale });
                }
            }
            if state.left.crashes > 0 && works.iter().any(|work| !is_idle(work)) {
                actions.push(Action::Crash { operator });
            }
            if state.left.leavers > 0 && state.operators.len() > 1 && !works.iter().any(is_busy) {
                actions.push(Action::Leave { operator });
            }
            if state.left.drains > 0 && works.iter().any(is_busy) {
                actions.push(Action::Drain { operator });
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
            done_to(state, run, object, actions);
        }
        if state.left.moves {
            actions.push(Action::Move);
        }
        if state.left.intruders > 0 {
            actions.push(Action::Intrude);
        }
        if state.left.lease_deletions > 0 && state.leases[0].read.version.is_some() {
            actions.push(Action::DeleteLease);
        }
        if state.left.sweeps > 0 && self.is_swept(state) {
            actions.push(Action::Sweep);
        }
        if state.left.garbled_entries > 0 && !state.lock().ledger.is_empty() {
            actions.push(Action::GarbleEntry);
        }
        if state.left.ledger_losses > 0 && !state.lock().ledger.is_empty() {
            actions.push(Action::ForgetLedger);
        }
    }
}

/// What people and other controllers do to a run.
fn done_to(state: &State, run: usize, object: &Object, actions: &mut Vec<Action>) {
    let left = &state.left;
    if !left.life {
        actions.push(Action::Release { run, late: false });
    }
    if left.late_writes > 0 {
        actions.push(Action::Release { run, late: true });
    }
    let Some(present) = &object.present else {
        if left.restores > 0 && object.last.as_ref().is_some_and(|last| last.marker.is_some() || last.trigger.is_some()) {
            actions.extend([true, false].map(|status| Action::Restore { run, status }));
        }
        return;
    };
    if left.reruns > 0 && !object.story.token && (present.ended || run::settled(present)) {
        actions.push(Action::Rerun { run });
    }
    let doubtful = present.trigger.as_ref().is_some_and(|trigger| matches!(trigger.result, TriggerResult::Ambiguous { .. }));
    if left.resolutions > 0 && doubtful && run::settled(present) && present.abandoned.is_none() {
        actions.push(Action::Resolve { run, answer: Resolution::Abandon });
        if state.is_settled_at_nuvo() {
            actions.push(Action::Resolve { run, answer: Resolution::Adopt });
        }
    }
    if left.account_losses > 0 && !object.story.no_account {
        actions.push(Action::LoseAccount { run });
    }
    if (present.suspended && !left.stays_suspended) || (!present.suspended && left.suspensions > 0) {
        actions.push(Action::Suspend { run, suspended: !present.suspended });
    }
    if left.mirrors > 0 && !present.is_mirror {
        actions.push(Action::Mirror { run });
    }
    if present.observes && present.executions.is_empty() {
        actions.extend((0..state.executions.len()).map(|execution| Action::Observe { execution }));
    }
    if left.edits > 0 {
        actions.push(Action::Edit { run });
    }
    if left.deletions > 0 || (present.deleting && !left.kept) {
        actions.push(Action::Delete { run });
    }
    if left.deletions > 0 && !present.deleting {
        actions.push(Action::Terminate { run });
    }
    if left.status_wipes > 0 && (present.trigger.is_some() || present.attempt > 1) {
        actions.push(Action::WipeStatus { run });
    }
    if left.marker_wipes > 0 && present.marker.is_some() {
        actions.push(Action::WipeMarker { run });
    }
    if left.garbled_markers > 0 && present.marker.is_some() {
        actions.push(Action::GarbleMarker { run });
    }
    if left.roll_backs > 0 {
        let whats = [Record::Marker, Record::Status, Record::Both];
        actions.extend((0..object.past.len()).flat_map(|to| whats.map(|what| Action::RollBack { run, to, what })));
    }
}

fn happenings_of(state: &State, operator: usize, run: usize, work: &Work, actions: &mut Vec<Action>) {
    let left = &state.left;
    let pass = match work {
        Work::Resting(_) => {
            let object = &state.runs[run];
            if object.present.as_ref().is_some_and(|present| !run::settled(present) || left.life || object.story.open.is_some()) {
                let has_start_deadline = left.start_deadline && object.present.as_ref().is_some_and(|present| !run::settled(present));
                // What has passed has passed.
                if !(has_start_deadline && object.story.late) {
                    actions.push(Action::Begin { operator, run, stale: false, late: false });
                }
                if left.life && (left.expire || object.story.retry || has_start_deadline) {
                    actions.push(Action::Begin { operator, run, stale: false, late: true });
                }
            }
            if left.stale > 0 && object.present.as_ref() != Some(&object.first) {
                actions.push(Action::Begin { operator, run, stale: true, late: false });
            }
            if left.life && object.present.is_none() && object.last.is_some() {
                actions.push(Action::CleanUp { operator, run });
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
    if left.broken_off > 0 {
        actions.push(Action::BreakOff { operator, run });
    }
    let mut add = |course| actions.push(Action::Step { operator, run, course });
    match &pass.act {
        Act::Trigger(Step::Post(_)) => {
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
        act if asks_for_the_end(act) => {
            add(StepCourse::Well);
            add(StepCourse::Ended { failed: false });
            if left.retries > 0 {
                add(StepCourse::Ended { failed: true });
            }
        }
        Act::Show(_) | Act::Delete => {
            add(StepCourse::Well);
            if left.lost > 0 {
                add(StepCourse::AnswerLost);
                add(StepCourse::RequestLost);
            }
        }
        Act::Trigger(step) if step.is_write() => {
            add(StepCourse::Well);
            if left.lost > 0 {
                add(StepCourse::AnswerLost);
                add(StepCourse::RequestLost);
            }
            if left.late_writes > 0 {
                add(StepCourse::Late);
            }
            if left.denied > 0 && matches!(step, Step::Mark { .. }) {
                add(StepCourse::Denied);
            }
        }
        act => {
            let ask = wish(act);
            let is_look = ask == Some(&Ask::Candidates { by_pipeline: false });
            let is_without_list = left.is_without_list();
            if !(is_look && is_without_list) {
                add(StepCourse::Well);
            }
            if is_look && (left.failed_lists > 0 || is_without_list) {
                add(StepCourse::NoList);
            }
            if is_look && left.short_lists > 0 {
                add(StepCourse::ShortList);
            }
            if matches!(ask, Some(Ask::Running(_))) {
                // It still shows what has ended.
                add(StepCourse::Stale);
            }
            if left.blind_lists > 0 && ask == Some(&Ask::Turn) {
                add(StepCourse::NoList);
            }
        }
    }
}

/// What a pass that is over for now wants of its account.
pub(super) fn wish(act: &Act) -> Option<&Ask> {
    match act {
        Act::Done { wishes: Some(wishes), .. } => {
            Some(&wishes.ask).filter(|ask| matches!(ask, Ask::Turn | Ask::Candidates { .. } | Ask::Running(_) | Ask::Execution(_)))
        }
        _ => None,
    }
}

/// The next act. A place is always free here.
pub(super) fn next_with_place(facts: &mut Facts) -> Act {
    let act = run::next(facts);
    if !matches!(&act, Act::Done { wishes: Some(wishes), .. } if wishes.ask == Ask::Place) {
        return act;
    }
    facts.learn(&act, Answered::Account(AccountAnswer::Called));
    run::next(facts)
}
