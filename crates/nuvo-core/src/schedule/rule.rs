//! The rule: which slot, if any. Start reading here.
//!
//! It is applied to what caches know, and once more to what the API server answers before anything is written.

use jiff::{SignedDuration, Timestamp};
use nuvo_crds::{MAX_CLAIMS, MissedReason, Phase, ScheduleConcurrency, conditions::ScheduleReason};

use super::{
    act::Act,
    anchor::{FUTURE, count, move_anchor},
    calendar::{Calendar, CalendarError},
    decision::{Decided, Decision},
    facts::Facts,
    hold::{clock_in_doubt, decided_in_the_future, held, not_selected},
    pending::{finish, is_too_late, just_after, kept_by, last_moment},
    record::Pending,
    runs::{Progress, ScheduledRun},
    spread::after,
    template::run_name,
};
use crate::text::sentence;

/// Nothing is started while a person must decide about so many runs.
const MAX_UNRESOLVED: usize = 20;

/// Applies the rule.
pub(super) fn decide(f: &Facts) -> Decided {
    let mut decision = Decision::of(f.schedule.record.clone());
    if let Some(why) = &f.clock_in_doubt {
        return Ok(clock_in_doubt(f, decision, why));
    }
    move_anchor(f, &mut decision);
    end_claims(f, &mut decision)?;
    let calendar = f.schedule.calendar.as_ref();
    let suspended = f.schedule.spec.suspend;
    let next = calendar.ok().filter(|_| !suspended).and_then(|calendar| next_due(f, &decision, calendar));
    decision = Decision { next, ..decision }.until(next);
    if let Some(pending) = decision.record.pending.clone() {
        return finish(f, decision, &pending);
    }
    if suspended {
        return Ok(decision.because(ScheduleReason::Suspended, "spec.suspend is true: no new runs are started."));
    }
    match calendar {
        Err(error) => {
            let reason = match error {
                CalendarError::Line(_) => ScheduleReason::InvalidSchedule,
                CalendarError::Zone(_) => ScheduleReason::InvalidTimeZone,
            };
            Ok(decision.because(reason, format!("{} Correct the spec; nothing is started before.", sentence(&error.to_string()))))
        }
        Ok(calendar) => slots(f, decision, calendar),
    }
}

/// When the first slot is due that is neither due yet nor decided.
fn next_due(f: &Facts, decision: &Decision, calendar: &Calendar) -> Option<Timestamp> {
    let latest = Some(latest_due(f)).max(decision.record.decided_until())?;
    calendar.next_after(latest).map(|slot| f.schedule.due(slot))
}

/// Slots up to this time are due.
fn latest_due(f: &Facts) -> Timestamp {
    after(f.now, f.schedule.offset.checked_neg().unwrap_or_default())
}

/// Only the newest slot that is due can start. The ones before are counted.
fn slots(f: &Facts, mut decision: Decision, calendar: &Calendar) -> Decided {
    let decided = decision.record.decided_until().unwrap_or(f.now);
    if decided > after(f.now, FUTURE) {
        return Ok(decided_in_the_future(f, decision));
    }
    let Some(slot) = calendar.newest_until(latest_due(f)).filter(|slot| *slot > decided) else {
        return Ok(at_rest(f, decision, calendar));
    };
    let older = count(calendar, decided, |older| older < slot);
    if let Some(counted) = older.newest {
        let newest = calendar.newest_until(after(slot, SignedDuration::from_secs(-1))).unwrap_or(counted);
        // What is missed one by one was kept by something; of many, the operator has not seen most.
        let reason = kept_by(f).filter(|_| older.count == 1).unwrap_or(MissedReason::NotObserved);
        decision.miss(older.count, older.at_least, newest, reason);
        decision.record.last_slot = Some(newest);
    }
    if is_too_late(f, slot) {
        let reason = kept_by(f).filter(|_| older.count == 0).unwrap_or(MissedReason::TooLate);
        return Ok(miss(decision, slot, reason));
    }
    if !f.around.is_selected {
        return Ok(not_selected(decision).until(last_moment(f, slot).map(just_after)));
    }
    if f.around.is_held {
        return Ok(held(decision).until(last_moment(f, slot).map(just_after)));
    }
    if let Some((reason, message, until)) = waits_for(f) {
        return Ok(decision.because(reason, message).until(until).until(last_moment(f, slot).map(just_after)));
    }
    if !f.is_fresh {
        return Err(Act::ReadSchedule);
    }
    if !f.is_listed {
        return Err(Act::ListRuns);
    }
    if decision.record.claims.len() >= MAX_CLAIMS {
        return Ok(miss(decision, slot, MissedReason::TooManyActive));
    }
    decision.record.last_slot = Some(slot);
    decision.record.pending = Some(Pending { slot, run: run_name(&f.schedule.name, slot), since: f.now });
    Ok(decision.because(ScheduleReason::Scheduled, ""))
}

fn miss(mut decision: Decision, slot: Timestamp, reason: MissedReason) -> Decision {
    decision.record.last_slot = Some(slot);
    decision.miss(1, false, slot, reason);
    decision.because(ScheduleReason::Scheduled, "")
}

/// No slot is due.
fn at_rest(f: &Facts, decision: Decision, calendar: &Calendar) -> Decision {
    if !f.around.is_selected {
        return not_selected(decision);
    }
    if f.around.is_held {
        return held(decision);
    }
    let line = |index: &usize| f.schedule.spec.schedules.get(*index).cloned().unwrap_or_default();
    let never: Vec<String> = calendar.never_due().iter().map(line).collect();
    match (decision.next, never.as_slice()) {
        (None, _) => {
            let message = "No line of spec.schedules names a date that exists. Correct it; nothing is started before.";
            decision.because(ScheduleReason::NeverDue, message)
        }
        (Some(_), []) => decision.because(ScheduleReason::Scheduled, ""),
        (Some(_), never) => {
            let message = format!("Of spec.schedules, this names no date that exists: {}.", never.join("; "));
            decision.because(ScheduleReason::Scheduled, message)
        }
    }
}

/// What the slot waits for, and until when at most.
fn waits_for(f: &Facts) -> Option<(ScheduleReason, String, Option<Timestamp>)> {
    let unresolved = f.runs.iter().filter(|run| run.phase == Some(Phase::Unresolved)).count();
    if unresolved >= MAX_UNRESOLVED {
        let message =
            format!("A person must decide about {unresolved} runs of this schedule (phase Unresolved). Nothing is started before.");
        return Some((ScheduleReason::TooManyUnresolved, message, None));
    }
    if f.schedule.spec.concurrency_policy == ScheduleConcurrency::Allow {
        return None;
    }
    let blocking = f.known_runs().filter_map(|run| Some((run, run.blocks(f.now)?)));
    let (run, until) = blocking.min_by_key(|(run, _)| (run.created, run.name.clone()))?;
    let message = format!("A slot is due and waits for the end of run {} (spec.concurrencyPolicy is Forbid).", run.name);
    Some((ScheduleReason::BlockedByRun, message, until))
}

/// A claim goes when its run has ended or is gone. A run that was skipped has started nothing, so its slot is missed.
fn end_claims(f: &Facts, decision: &mut Decision) -> Result<(), Act> {
    for claim in f.schedule.record.claims.clone() {
        let is_it = |run: &&ScheduledRun| run.name == claim.run && run.uid == claim.uid;
        let known = f.runs.iter().find(is_it);
        let run = match (known, f.looks.get(&claim.run)) {
            (Some(run), _) => Some(run),
            (None, Some(look)) => look.as_ref().filter(is_it),
            (None, None) => return Err(Act::ReadRun(claim.run)),
        };
        let is_over = run.is_none_or(|run| matches!(run.progress, Progress::Ended(_) | Progress::Unresolved(_)));
        if is_over {
            decision.record.claims.retain(|present| *present != claim);
            if run.is_some_and(ScheduledRun::counts_for_nothing) {
                decision.miss(1, false, claim.slot, MissedReason::PipelineRunning);
            }
        }
    }
    Ok(())
}
