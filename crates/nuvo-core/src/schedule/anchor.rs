//! The anchor: no slot at or before it is ever started. So no edit, resume, restore or new object starts a slot of the past.

use jiff::{SignedDuration, Timestamp};
use nuvo_crds::{MissedReason, ObservedSlots};

use super::{calendar::Calendar, decision::Decision, facts::Facts, spread::after};

/// A schedule that is younger begins with its creation: its first slot may come before the operator has seen it.
const NEW: SignedDuration = SignedDuration::from_secs(60);
/// A slot that lies further in the future was decided by a clock that was wrong.
pub(super) const FUTURE: SignedDuration = SignedDuration::from_secs(60);
/// The most slots that are counted at once.
const COUNTED: usize = 10_000;

/// Moves the anchor if the spec says something else of its slots than the record, and counts what is missed by it.
pub(super) fn move_anchor(f: &Facts, decision: &mut Decision) {
    let (schedule, now) = (&f.schedule, f.now);
    let wanted = schedule.wanted();
    let observed = decision.record.observed.replace(wanted.clone());
    let generation = std::mem::replace(&mut decision.record.generation, schedule.generation);
    let Some(anchor) = decision.record.anchor else {
        let is_new = now < after(schedule.created, NEW);
        decision.record.anchor = Some(if is_new { schedule.created.min(now) } else { now });
        if let (false, false, Ok(calendar)) = (is_new, schedule.spec.suspend, &schedule.calendar) {
            miss_between(decision, calendar, schedule.created, now, MissedReason::NotObserved);
        }
        return;
    };
    let Some(observed) = observed.filter(|observed| differs(observed, &wanted) && generation != schedule.generation) else { return };
    let was_suspended = observed.suspend == Some(true);
    if !was_suspended {
        let lines = observed.schedules.unwrap_or_else(|| schedule.spec.schedules.clone());
        let zone = observed.time_zone.unwrap_or_else(|| schedule.spec.time_zone.clone());
        if let Ok(calendar) = Calendar::parse(&lines, &zone) {
            let decided = decision.record.last_slot.map_or(anchor, |last| anchor.max(last));
            miss_between(decision, &calendar, decided, now, MissedReason::ScheduleChanged);
        }
    }
    let is_ahead = |time: &Timestamp| *time > after(now, FUTURE);
    // After a small step back, what is left out stays left out.
    decision.record.anchor = Some(if is_ahead(&anchor) { now } else { anchor.max(now) });
    if was_suspended && !schedule.spec.suspend && decision.record.last_slot.as_ref().is_some_and(is_ahead) {
        decision.record.last_slot = Some(now);
    }
}

/// Whether the record says something else. What it does not say is no difference: another version of the operator wrote it.
fn differs(record: &ObservedSlots, spec: &ObservedSlots) -> bool {
    fn other<T: PartialEq>(record: &Option<T>, spec: &Option<T>) -> bool {
        record.is_some() && record != spec
    }
    let ObservedSlots { schedules, time_zone, suspend, starting_deadline_seconds } = record;
    other(schedules, &spec.schedules)
        || other(time_zone, &spec.time_zone)
        || other(suspend, &spec.suspend)
        || other(starting_deadline_seconds, &spec.starting_deadline_seconds)
}

/// Counts the slots after one time, up to and including another one, as missed.
fn miss_between(decision: &mut Decision, calendar: &Calendar, after: Timestamp, until: Timestamp, reason: MissedReason) {
    let missed = count(calendar, after, |slot| slot <= until);
    if let Some(newest) = missed.newest {
        decision.miss(missed.count, missed.at_least, newest, reason);
    }
}

/// Some slots.
pub(super) struct Counted {
    /// How many.
    pub count: usize,
    /// There may be more.
    pub at_least: bool,
    /// The newest one that was counted.
    pub newest: Option<Timestamp>,
}

/// Counts the slots after a time for which this holds.
pub(super) fn count(calendar: &Calendar, after: Timestamp, holds: impl Fn(Timestamp) -> bool) -> Counted {
    let mut counted = Counted { count: 0, at_least: false, newest: None };
    for slot in calendar.slots_after(after).take_while(|slot| holds(*slot)) {
        if counted.count == COUNTED {
            counted.at_least = true;
            break;
        }
        (counted.count, counted.newest) = (counted.count.saturating_add(1), Some(slot));
    }
    counted
}
