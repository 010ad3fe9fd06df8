//! `next(facts) -> act`: the whole life of a schedule, one act at a time.

use jiff::SignedDuration;
use nuvo_crds::conditions::{READY, ScheduleReason, find};

use super::{
    act::{Act, Change, News},
    decision::Decision,
    facts::Facts,
    history::surplus,
    rule::decide,
    spread::after,
    status::status,
    template::run_of,
};

/// A pass that was broken off is followed by another one. What has changed meanwhile wakes the schedule earlier.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

/// Decides what to do next.
///
/// What is decided is written before it is done, over the version that it was decided for.
#[must_use]
pub fn next(f: &Facts) -> Act {
    if f.gone || f.schedule.deleting {
        return Act::Done { wake: None };
    }
    if f.broken_off {
        return Act::Done { wake: Some(after(f.now, RETRY)) };
    }
    let decision = match decide(f) {
        Ok(decision) => decision,
        Err(read) => return if f.is_fresh { read } else { Act::ReadSchedule },
    };
    let status = status(f, &decision);
    let is_said = status == f.schedule.status;
    let removes = surplus(f).filter(|_| is_said);
    if is_said && !decision.creates && removes.is_none() {
        return Act::Done { wake: decision.wake };
    }
    if !f.is_fresh {
        return Act::ReadSchedule;
    }
    if !is_said {
        let news = news(f, &decision);
        return Act::Write(Box::new(Change { status, news }));
    }
    match (&decision.record.pending, removes) {
        (Some(pending), _) if decision.creates => Act::Create(Box::new(run_of(f, pending, decision.next))),
        (_, Some(removes)) => removes,
        _ => Act::Done { wake: decision.wake },
    }
}

fn news(f: &Facts, decision: &Decision) -> Vec<News> {
    let said = find(&f.schedule.status.conditions, READY).and_then(|ready| ScheduleReason::parse(&ready.reason, &ready.status));
    let unwell = decision.ready.clone().filter(|(reason, _)| {
        let speaks = matches!(
            reason,
            ScheduleReason::InvalidSchedule
                | ScheduleReason::InvalidTimeZone
                | ScheduleReason::NeverDue
                | ScheduleReason::NameTaken
                | ScheduleReason::CreateRefused
        );
        speaks && said != Some(*reason)
    });
    decision.news.iter().cloned().chain(unwell.map(|(reason, message)| News::Unwell(reason, message))).collect()
}
