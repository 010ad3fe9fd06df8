//! What becomes of a run that ends without its trigger: its deadline came first, or it is not to be triggered at all.

use crate::run::{
    trigger::doubt::new_or_else,
    trigger::facts::{Source, Task, TriggerFacts},
    trigger::run_view::Run,
    trigger::step::{Gate, Hold, LockRead, Step},
    trigger::stored::{Lock, LockHolder},
    trigger::verdict::{Verdict, awaits_trigger, decided, verdict},
};

/// Only a run that has begun has a deadline: this is another attempt of it.
pub(super) fn is_overdue(o: &TriggerFacts) -> bool {
    decided(&o.cached) && o.deadline.is_some_and(|left| left.is_zero())
}

/// The run ends, unless the lock knows of a delivery that the run does not: that one is looked into.
pub(super) fn overdue(o: &TriggerFacts) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    let Some(run) = &o.run else { return Step::ReadRun };
    ends_unless_known(o, run, read, Hold::Overdue)
}

/// Why the run ends without its trigger, if nothing that it says of itself speaks against that: it was not triggered in time, or a
/// `NuvoPipeline` controls it, which triggers nothing.
#[must_use]
pub(in crate::run) fn end_without_trigger(o: &TriggerFacts) -> Option<Hold> {
    let run = o.run();
    let is_too_late = || o.start_deadline.is_some_and(|left| left.is_zero());
    let end = if run.is_mirror { Some(Hold::Mirror) } else { is_too_late().then_some(Hold::TooLate) };
    let waits = o.task == Task::Idle && o.memory.inquiry.is_none() && awaits_trigger(run) && o.gate != Gate::Draining;
    end.filter(|_| waits && matches!(verdict(run, &Lock::default()), Verdict::New { .. }))
}

/// The run ends, unless the lock knows of a delivery that the run does not.
pub(super) fn ends(o: &TriggerFacts, end: Hold) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    ends_unless_known(o, o.run(), read, end)
}

/// Under a lock that speaks of this very version of the run, another task may still be about to send the POST. That is settled as always, by
/// the marker: this task announces a delivery, does not make it, and records that.
pub(super) fn ends_unless_known(o: &TriggerFacts, run: &Run, read: &LockRead, end: Hold) -> Step {
    new_or_else(o, run, &read.lock, |resume| {
        let Some(acquisition) = resume else { return Step::Hold(end) };
        let Some(run) = o.run.as_ref().filter(|_| o.source == Source::Server) else { return Step::ReadRun };
        let Some(held) = read.lock.held_by(&run.id.uid) else { return Step::Restart };
        let lock_holder = LockHolder { nonce: o.spare.clone(), acquisition, run_version: run.version.clone(), ..held.clone() };
        Step::TakeLock { lock: Box::new(Lock { holder: Some(lock_holder), ..read.lock.clone() }), over: read.version.clone() }
    })
}
