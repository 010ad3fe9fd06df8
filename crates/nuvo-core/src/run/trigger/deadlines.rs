//! What becomes of a run whose deadline comes before its trigger.

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

/// Whether the run was not triggered in time, and nothing that it says of itself speaks against its end.
#[must_use]
pub(in crate::run) fn is_too_late(o: &TriggerFacts) -> bool {
    let run = o.run();
    let waits = o.task == Task::Idle && o.memory.inquiry.is_none() && awaits_trigger(run) && o.gate != Gate::Draining;
    let is_new = || matches!(verdict(run, &Lock::default()), Verdict::New { .. });
    waits && o.start_deadline.is_some_and(|left| left.is_zero()) && is_new()
}

/// The run ends, unless the lock knows of a delivery that the run does not.
pub(super) fn too_late(o: &TriggerFacts) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    ends_unless_known(o, o.run(), read, Hold::TooLate)
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
