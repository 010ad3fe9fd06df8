//! A start that was decided and is not finished: before it is, no other slot is decided.

use jiff::{SignedDuration, Timestamp};
use nuvo_crds::{
    MAX_CLAIMS, MissedReason,
    conditions::{READY, Reason, ScheduleReason, find},
};

use super::{
    act::{Act, News},
    anchor::FUTURE,
    decision::{Decided, Decision},
    facts::Facts,
    hold::{decided_in_the_future, held, not_selected},
    record::{Claim, Pending},
    runs::{Progress, ScheduledRun},
    spread::after,
};

/// The waits between tries that the API server refuses: as long as it has refused already, within these bounds.
const TRIES: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_secs(300));

/// Finishes it: claims the run, has it created, or counts the slot as missed.
pub(super) fn finish(f: &Facts, decision: Decision, pending: &Pending) -> Decided {
    match f.looks.get(&pending.run) {
        None => Err(Act::ReadRun(pending.run.clone())),
        Some(Some(run)) if run.is_of(&f.schedule.uid) && run.slot == Some(pending.slot) => Ok(claim(f, decision, pending, run)),
        Some(other) => Ok(match ends(f, &decision, pending, other.is_some()) {
            Some(reason) => miss(decision, pending, reason),
            None if pending.slot > after(f.now, FUTURE) => decided_in_the_future(f, decision),
            None if other.is_some() => {
                let name = &pending.run;
                let message = format!(
                    "{name} exists and does not belong to this schedule, so the slot cannot start. Delete it, or rename the schedule."
                );
                wait(f, decision, pending, ScheduleReason::NameTaken, message)
            }
            None => create(f, decision, pending),
        }),
    }
}

/// Why the slot does not start any more, if it does not.
fn ends(f: &Facts, decision: &Decision, pending: &Pending, is_taken: bool) -> Option<MissedReason> {
    let is_past = decision.record.anchor.is_none_or(|anchor| pending.slot <= anchor);
    if f.schedule.spec.suspend || is_past {
        return Some(MissedReason::ScheduleChanged);
    }
    let kept_by = if is_taken { Some(MissedReason::CreateRefused) } else { kept_by(f) };
    is_too_late(f, pending.slot).then(|| kept_by.unwrap_or(MissedReason::TooLate))
}

/// S3. A claim that is there already is never changed.
fn claim(f: &Facts, mut decision: Decision, pending: &Pending, run: &ScheduledRun) -> Decision {
    if f.around.is_held && run.progress == Progress::Waits && !run.deleting {
        return held(decision);
    }
    decision.record.pending = None;
    if run.deleting && run.progress == Progress::Waits {
        decision.miss(1, false, pending.slot, MissedReason::Deleted);
        return decision.because(ScheduleReason::Scheduled, "");
    }
    if run.reason == Some(Reason::SlotNotClaimed) {
        decision.miss(1, false, pending.slot, MissedReason::SlotNotClaimed);
        return decision.because(ScheduleReason::Scheduled, "");
    }
    let claims = &mut decision.record.claims;
    if claims.len() < MAX_CLAIMS && claims.iter().all(|claim| claim.slot != pending.slot) {
        claims.push(Claim { slot: pending.slot, run: run.name.clone(), uid: run.uid.clone() });
    }
    decision.record.last_started = Some(pending.slot);
    decision.news.push(News::Started { slot: pending.slot, run: run.name.clone() });
    decision.because(ScheduleReason::Scheduled, "")
}

/// S2.
fn create(f: &Facts, mut decision: Decision, pending: &Pending) -> Decision {
    if !f.around.is_selected {
        return not_selected(decision).until(last_moment(f, pending.slot).map(just_after));
    }
    if f.around.is_held {
        return held(decision).until(last_moment(f, pending.slot).map(just_after));
    }
    if let Some(why) = &f.refused {
        let message = format!("The API server refuses run {}: {why}. It is tried again until the slot is too late.", pending.run);
        return wait(f, decision, pending, ScheduleReason::CreateRefused, message);
    }
    decision.creates = true;
    decision
}

/// The slot cannot start now. It is tried again until it is too late.
fn wait(f: &Facts, decision: Decision, pending: &Pending, reason: ScheduleReason, message: String) -> Decision {
    let refused_for = f.now.duration_since(pending.since).clamp(TRIES.0, TRIES.1);
    decision.because(reason, message).until([after(f.now, refused_for)])
}

fn miss(mut decision: Decision, pending: &Pending, reason: MissedReason) -> Decision {
    decision.record.pending = None;
    decision.miss(1, false, pending.slot, reason);
    decision.because(ScheduleReason::Scheduled, "")
}

pub(super) fn just_after(time: Timestamp) -> Timestamp {
    after(time, SignedDuration::from_secs(1))
}

/// The last moment at which a slot may start: a minute after its deadline, and before the next one is due.
pub(super) fn last_moment(f: &Facts, slot: Timestamp) -> Option<Timestamp> {
    let deadline = f.schedule.spec.starting_deadline_seconds.map(|seconds| {
        let late = SignedDuration::from_secs(seconds.saturating_add(60));
        after(f.schedule.due(slot), late)
    });
    let next = f.schedule.calendar.as_ref().ok().and_then(|calendar| calendar.next_after(slot));
    let next = next.map(|next| after(f.schedule.due(next), SignedDuration::from_secs(-1)));
    deadline.into_iter().chain(next).min()
}

pub(super) fn is_too_late(f: &Facts, slot: Timestamp) -> bool {
    last_moment(f, slot).is_some_and(|last| f.now > last)
}

/// What kept a slot from its start until now, as the status says.
pub(super) fn kept_by(f: &Facts) -> Option<MissedReason> {
    let ready = find(&f.schedule.status.conditions, READY)?;
    match ScheduleReason::parse(&ready.reason, &ready.status)? {
        ScheduleReason::BlockedByRun => Some(MissedReason::StillRunning),
        ScheduleReason::CreateRefused | ScheduleReason::NameTaken => Some(MissedReason::CreateRefused),
        ScheduleReason::TooManyUnresolved => Some(MissedReason::TooManyActive),
        ScheduleReason::Scheduled
        | ScheduleReason::Suspended
        | ScheduleReason::InvalidSchedule
        | ScheduleReason::InvalidTimeZone
        | ScheduleReason::NeverDue
        | ScheduleReason::NotSelected
        | ScheduleReason::ClockInDoubt => None,
    }
}
