//! The status of a schedule: what was decided, and what its runs show.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nuvo_crds::{
    ActiveRun, LastRun, MAX_ACTIVE, PipelineScheduleStatus,
    conditions::{
        self, ALSO_SCHEDULED_IN_NUVO, ConditionState, ConditionStatus, LAST_RUN_SUCCEEDED, MAX_MESSAGE, READY, RECONCILING, STALLED,
        ScheduleReason,
    },
};

use super::{
    anchor::FUTURE,
    decision::Decision,
    facts::Facts,
    runs::{Progress, ScheduledRun},
    spread::after,
};
use nuvo_crds::conditions::Reason;

/// What stands for the result of a run that is gone and had not ended.
const DELETED: &str = "Deleted";

/// The status that says this.
pub(super) fn status(f: &Facts, decision: &Decision) -> PipelineScheduleStatus {
    let is_own = f.schedule.status.anchor.as_ref().is_none_or(|anchor| anchor.uid == f.schedule.uid);
    // What was restored with another object says nothing about this one.
    let mut status = if is_own { f.schedule.status.clone() } else { PipelineScheduleStatus::default() };
    decision.record.write(&mut status, &f.schedule.uid);
    status.next_schedule_time = decision.next.map(Time);
    show_active(f, &mut status);
    show_last_run(f, decision, &mut status);
    show_results(f, &mut status);
    show_ready(f, decision, &mut status);
    show_schedule_in_nuvo(f, &mut status);
    status
}

fn show_active(f: &Facts, status: &mut PipelineScheduleStatus) {
    let mut active: Vec<&ScheduledRun> = f.known_runs().filter(|run| !run.has_ended()).collect();
    active.sort_by_key(|run| (run.created, run.name.clone()));
    status.active_count = i32::try_from(active.len()).ok();
    let shown = active.into_iter().take(MAX_ACTIVE);
    status.active = shown.map(|run| ActiveRun { name: run.name.clone(), slot: run.slot.map(Time) }).collect();
}

fn show_last_run(f: &Facts, decision: &Decision, status: &mut PipelineScheduleStatus) {
    let Some(slot) = decision.record.last_started else { return };
    // A run of the slot that is not claimed was created late, or is a copy.
    let is_claimed = |run: &ScheduledRun| decision.record.claims.iter().any(|claim| claim.uid == run.uid);
    let has_begun = |run: &ScheduledRun| run.progress != Progress::Waits && run.reason != Some(Reason::SlotNotClaimed);
    let is_it = |run: &&ScheduledRun| run.slot == Some(slot) && run.is_of(&f.schedule.uid) && (is_claimed(run) || has_begun(run));
    if let Some(run) = f.known_runs().find(is_it) {
        // How an active run gets on is in its own status: a write for each step of it would be too many.
        let is_over = !matches!(run.progress, Progress::Waits | Progress::Runs(_));
        let reason = run.reason.filter(|_| is_over).map(|reason| reason.as_str().to_owned());
        status.last_run = Some(LastRun { name: run.name.clone(), slot: Time(slot), phase: run.phase.filter(|_| is_over), reason });
        return;
    }
    // Its result was shown before it went. A run with a claim may be too new for a cache.
    let is_claimed = |name: &str| decision.record.claims.iter().any(|claim| claim.run == name);
    if let Some(last) = status.last_run.as_mut().filter(|last| last.slot.0 == slot && is_open(last.phase) && !is_claimed(&last.name)) {
        last.reason = Some(DELETED.to_owned());
    }
}

const fn is_open(phase: Option<nuvo_crds::Phase>) -> bool {
    !matches!(phase, Some(nuvo_crds::Phase::Succeeded | nuvo_crds::Phase::Failed))
}

/// A skipped run is no result. A result stays when its run goes. What has ended in the future has ended by a clock that was ahead: it must
/// not hide what follows.
fn show_results(f: &Facts, status: &mut PipelineScheduleStatus) {
    let is_past = |time: Timestamp| time <= after(f.now, FUTURE);
    let own = f.runs.iter().filter(|run| run.is_of(&f.schedule.uid) && !run.counts_for_nothing());
    let ended = own.filter_map(|run| match (run.progress, run.reason) {
        (Progress::Ended(time), Some(reason)) if is_past(time) && reason.status() != ConditionStatus::Unknown => Some((time, run, reason)),
        _ => None,
    });
    let known = [&status.last_successful_time, &status.last_failed_time];
    let newest_known = known.into_iter().flatten().map(|time| time.0).filter(|time| is_past(*time)).max();
    // Of those that have ended at once, one only is the newest.
    let newest = ended.clone().max_by_key(|(time, run, _)| (*time, run.slot, &run.name)).filter(|(time, ..)| Some(*time) > newest_known);
    for (time, _, reason) in ended {
        let result = if reason.status() == ConditionStatus::True { &mut status.last_successful_time } else { &mut status.last_failed_time };
        let known = result.as_ref().map(|known| known.0).filter(|known| is_past(*known));
        *result = known.max(Some(time)).map(Time);
    }
    if let Some((_, run, reason)) = newest {
        let message = format!("Run {} has ended with reason {reason}.", run.name);
        let state = ConditionState {
            status: reason.status(),
            reason: reason.as_str(),
            message: &message,
            observed_generation: f.schedule.generation,
        };
        conditions::set(&mut status.conditions, LAST_RUN_SUCCEEDED, &state, f.now);
    }
}

fn show_ready(f: &Facts, decision: &Decision, status: &mut PipelineScheduleStatus) {
    let (reason, message) = decision.ready.clone().or_else(|| said(status)).unwrap_or((ScheduleReason::Scheduled, String::new()));
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    let holds = reason.status();
    let is_false = holds == ConditionStatus::False;
    let wanted = [
        (READY, Some(holds)),
        (RECONCILING, (is_false && !reason.is_stalled()).then_some(ConditionStatus::True)),
        (STALLED, (is_false && reason.is_stalled()).then_some(ConditionStatus::True)),
    ];
    for (type_, wanted) in wanted {
        let state =
            |status| ConditionState { status, reason: reason.as_str(), message: &message, observed_generation: f.schedule.generation };
        match wanted {
            Some(holds) => conditions::set(&mut status.conditions, type_, &state(holds), f.now),
            None => conditions::remove(&mut status.conditions, type_),
        }
    }
}

/// Two schedules start the pipeline twice. What nuvo has not told stays as it is.
fn show_schedule_in_nuvo(f: &Facts, status: &mut PipelineScheduleStatus) {
    match &f.around.in_nuvo {
        None => {}
        Some(None) => conditions::remove(&mut status.conditions, ALSO_SCHEDULED_IN_NUVO),
        Some(Some(schedule)) => {
            let message = format!("nuvo starts the pipeline by a schedule of its own, too ({schedule}). Remove one of the two schedules.");
            let message: String = message.chars().take(MAX_MESSAGE).collect();
            let state = ConditionState {
                status: ConditionStatus::True,
                reason: ALSO_SCHEDULED_IN_NUVO,
                message: &message,
                observed_generation: f.schedule.generation,
            };
            conditions::set(&mut status.conditions, ALSO_SCHEDULED_IN_NUVO, &state, f.now);
        }
    }
}

/// Why `Ready` is what it is, as the status says.
fn said(status: &PipelineScheduleStatus) -> Option<(ScheduleReason, String)> {
    let ready = conditions::find(&status.conditions, READY)?;
    Some((ScheduleReason::parse(&ready.reason, &ready.status)?, ready.message.clone()))
}
