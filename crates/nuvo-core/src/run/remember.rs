//! What the process remembers of a run after a pass.

use std::time::Duration;

use super::{
    act::FailureKind,
    facts::{Facts, Failed},
    life::RetryWait,
    memory::RunMemory,
    next::{FAILURE, is_busy, is_late},
    trigger::facts::Task,
    trigger::next_step,
    trigger::step::Step,
    trigger::verdict::settled,
};

/// What the process remembers after a pass that ended now.
#[must_use]
pub fn remember(f: &Facts) -> RunMemory {
    let failed = RunMemory { failures: f.memory.failures.saturating_add(1), ..f.memory.clone() };
    let through = RunMemory { failures: 0, ..f.memory.clone() };
    if f.gone || !f.begin.is_watched() {
        return RunMemory::default();
    }
    match (&f.failure, &f.trigger) {
        (Some((Failed::Other, failure)), _) if failure.kind == FailureKind::Conflict => f.memory.clone(),
        (Some(_), _) => failed,
        (None, None) => f.memory.clone(),
        (None, Some(o)) if matches!(o.task, Task::Idle | Task::Finished) && settled(o.run()) => {
            if o.run().ended || f.life.retry != RetryWait::None {
                return RunMemory::default();
            }
            let overdue_since = is_late(f).then(|| f.memory.overdue_since.unwrap_or(f.began));
            RunMemory { trigger: super::Memory::default(), waiting_since: None, awaited: None, overdue_since, ..through }
        }
        (None, Some(_)) if f.account_stopping || f.queued.is_some() => f.memory.clone(),
        (None, Some(_)) if f.refused.is_some() => match &f.refused {
            Some((_, _, None)) => failed,
            _ => f.memory.clone(),
        },
        (None, Some(o)) => {
            let last = next_step::next_step(o);
            let memory = RunMemory { trigger: next_step::remember(o, &last), ..if last == Step::Restart { failed } else { through } };
            match &last {
                Step::Hold(hold) if is_busy(hold) => RunMemory { waiting_since: Some(memory.waiting_since.unwrap_or(f.began)), ..memory },
                _ => RunMemory { waiting_since: None, awaited: None, ..memory },
            }
        }
    }
}

/// What the process remembers after a pass that panicked, and the wait before the next one.
#[must_use]
pub fn after_panic(memory: &RunMemory) -> (RunMemory, Duration) {
    let wait = FAILURE.wait(memory.failures);
    (RunMemory { failures: memory.failures.saturating_add(1), ..memory.clone() }, wait)
}
