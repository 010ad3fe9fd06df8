//! `next(facts) -> act`: the whole life of a run, one act at a time. Start reading here.
//!
//! The shell carries an act out and hands what came of it to [`Facts::learn`]. One call of [`next`] yields at most one irreversible act, so
//! every place where a process can die lies between two calls.

use std::time::Duration;

use super::{
    act::{Act, Again, Ask, FailureKind, Follow, Named, Wishes},
    facts::{Facts, Failed, LOCK_RECHECK, obstacle_gate},
    ids::ExecutionId,
    life::RetryWait,
    next_attempt::{Reopening, goes_on},
    observed::{Account, Begin},
    show::{ask, done, finish, show, show_if_free, try_again},
    status::{Following, PollFacts, StatusInput},
    status_change::StatusChange,
    trigger::deadlines::end_without_trigger,
    trigger::facts::{Look, Task, TriggerFacts},
    trigger::growth::{self, is_adopted},
    trigger::next_step,
    trigger::post_outcome::Obstacle,
    trigger::run_view::Run,
    trigger::step::{FollowUp, Gate, Hold, Step},
    trigger::stored::{Evidence, TriggerResult},
    trigger::unknown_streak::counted,
    trigger::verdict::{decided, settled, undecided},
    waiting_message::{self, waiting, without_account},
};
use crate::backoff::Backoff;
use nuvo_crds::conditions::Reason;

/// A wait for another run that is over sooner is not worth a status write.
const BUSY_STATUS_DELAY: Duration = Duration::from_secs(2);
/// A place in the queue of an account that comes up sooner is not worth a status write.
const QUEUE_STATUS_THRESHOLD: Duration = Duration::from_secs(15);
/// A run in the queue of its account, or of its pipeline, is also looked at without being woken.
const QUEUE_RECHECK: Duration = Duration::from_secs(300);
/// A run in doubt that waits for a look is also looked at without being woken.
const LOOK_RECHECK: Duration = Duration::from_secs(60);
/// A run that waits for a server that does not answer is looked at no more often than this.
const UNAVAILABLE_RECHECK: Duration = Duration::from_secs(2);
/// A run whose deadline has passed is looked at this often until nuvo has said how far it is.
const OVERDUE_RECHECK: Duration = Duration::from_secs(5);
/// After the deadline, so that the time of day, which is whole seconds, has passed it too.
const AFTER_DEADLINE: Duration = Duration::from_millis(100);
/// No wait for others is shorter, so that a run that waits does not keep the operator busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The waits after a pass that failed: doubled each time, from the first to the second.
pub(super) const FAILURE: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(60));
/// The waits after nuvo gave no list, without which no trigger starts.
const NO_LIST: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// From this failure on, the status says so.
const SHOWN_FAILURES: u32 = 3;

/// Decides what to do next.
#[must_use]
pub fn next(f: &Facts) -> Act {
    if let Some(wait) = f.pause {
        return Act::Pause(wait);
    }
    if f.unannounced {
        return Act::Announce;
    }
    if f.gone {
        return finish(f, Again::OnChange, Wishes::default());
    }
    if let Some((failed, failure)) = &f.failure {
        return after_failure(f, *failed, failure.kind, &failure.message);
    }
    if let Some(why) = &f.invalid {
        return refuse(f, why);
    }
    let Some(o) = &f.trigger else { return at_rest(f) };
    match f.begin {
        Begin::Deleted => deleted(f, o),
        Begin::Unwatched => unwatched(f, o),
        Begin::Changed | Begin::AtRest => live(f, o),
    }
}

/// The object cannot be a run.
fn refuse(f: &Facts, why: &str) -> Act {
    let message = format!("The object cannot be carried out: {why}. Create a corrected PipelineRun.");
    show(f, StatusChange::Refused(message)).unwrap_or_else(|| expire(f, Wishes::default(), None))
}

/// Nothing is known but a name. The object is read only if something is left to do for it.
fn at_rest(f: &Facts) -> Act {
    if f.memory.lock_pending_release || f.life.expiry.is_some_and(|left| left.is_zero()) {
        return Act::Trigger(Step::ReadRun);
    }
    done(Again::OnChange.or(f.life.expiry))
}

/// The object is gone. One that had ended gave its lock back at its end.
fn deleted(f: &Facts, o: &TriggerFacts) -> Act {
    let run = o.run();
    let release = if !run.ended && decided(run) { release(f, o) } else { None };
    release.unwrap_or_else(|| if f.woke_waiting { done(Again::OnChange) } else { Act::WakeWaiting })
}

/// The last word about a run that has not ended: it goes on only when the operator watches it again.
fn unwatched(f: &Facts, o: &TriggerFacts) -> Act {
    let last_word = if o.run().ended { None } else { show_if_free(f, StatusChange::Unwatched) };
    last_word.unwrap_or_else(|| done(Again::OnChange))
}

fn live(f: &Facts, o: &TriggerFacts) -> Act {
    let run = o.run();
    if !matches!(o.task, Task::Idle | Task::Finished) {
        return trigger(f, o);
    }
    if matches!(f.shown, Some(StatusChange::Attempt { .. } | StatusChange::Noted(_))) {
        return done(Again::OnChange);
    }
    if run.observes {
        return observe(f, o);
    }
    match goes_on(run, &f.life) {
        Some(Reopening::Attempt(attempt)) => Act::Show(StatusChange::Attempt { attempt, automatic: false }),
        Some(Reopening::Retry(attempt)) => Act::Show(StatusChange::Attempt { attempt, automatic: true }),
        Some(Reopening::Adopt(trigger, ids)) => {
            let message = "A person named the executions (nuvo.dev/resolve: adopt).".to_owned();
            adopt(f, &ids, StatusChange::Result { trigger, executions: ids.clone(), message, follow_up: FollowUp::Nothing })
        }
        Some(Reopening::Later(_)) => follow(f, o),
        None if settled(run) => grow(f, o).unwrap_or_else(|| follow(f, o)),
        None => trigger(f, o),
    }
}

/// A run that follows an execution which was there before: nothing is ever triggered.
fn observe(f: &Facts, o: &TriggerFacts) -> Act {
    let run = o.run();
    if f.life.begun || run.ended {
        return follow(f, o);
    }
    let why = match &f.account {
        Account::Unknown => return done(Again::OnChange),
        Account::Ready { .. } if !run.suspended => return follow(f, o),
        Account::Ready { .. } => "",
        Account::NotReady(why) => why,
    };
    show(f, StatusChange::Present(without_account(run, why))).unwrap_or_else(|| done(Again::OnChange))
}

/// A person named the executions of a trigger. They are taken if nuvo says that they belong to the pipeline.
fn adopt(f: &Facts, ids: &[ExecutionId], result: StatusChange) -> Act {
    if f.shown.as_ref() == Some(&result) {
        return done(Again::OnChange);
    }
    if !matches!(f.account, Account::Ready { .. }) || f.account_stopping {
        return done(Again::After(LOCK_RECHECK));
    }
    let Some(named) = &f.named else {
        return ask(Ask::Executions(ids.to_vec()));
    };
    let pipeline = f.run().map(|run| run.pipeline.to_string()).unwrap_or_default();
    for (id, named) in ids.iter().zip(named) {
        let why = match named {
            Named::Ours => continue,
            Named::Foreign => format!("Execution {id} does not belong to pipeline {pipeline}. Nothing was changed."),
            Named::Unknown => format!("nuvo does not know execution {id}. Nothing was changed."),
            Named::Unread(wait) => return done(Again::After(wait.unwrap_or(LOCK_RECHECK))),
        };
        return show(f, StatusChange::Noted(why)).unwrap_or_else(|| done(Again::OnChange));
    }
    Act::Show(result)
}

/// For how long the trigger of a run may still have effects or be answered, if its executions were found in nuvo's list.
fn open_for(f: &Facts, run: &Run) -> Option<Duration> {
    f.life.open.filter(|_| !run.ended && run.trigger.as_ref().is_some_and(is_adopted))
}

/// The next act towards executions of such a trigger that the list did not show before.
fn grow(f: &Facts, o: &TriggerFacts) -> Option<Act> {
    let Account::Ready { account, .. } = &f.account else { return None };
    let is_same = !o.run().is_of_another_account(account.as_ref());
    let can_look = is_same && f.lock_is_known && !f.look_is_later && !f.account_stopping && !f.draining;
    let open = open_for(f, o.run()).filter(|_| can_look)?;
    growth::grow(o, open).map(|step| match step {
        Step::ReadCandidates => look(o),
        step => Act::Trigger(step),
    })
}

fn look(o: &TriggerFacts) -> Act {
    ask(Ask::Candidates { by_pipeline: matches!(o.candidates, Look::Shown(_)) })
}

/// A run whose trigger is settled: its status follows from what nuvo says of its executions.
fn follow(f: &Facts, o: &TriggerFacts) -> Act {
    let run = o.run();
    if let RetryWait::Scheduled(left) = f.life.retry {
        // nuvo is not asked meanwhile; what the spec says of the retry may change.
        let waits = StatusChange::Present(StatusInput::Settled(Following::Undecided, PollFacts::default()));
        let again = if run.deleting { Again::OnChange } else { Again::After(left) };
        return show(f, waits).unwrap_or_else(|| finish(f, again, Wishes::default()));
    }
    let following = match &f.account {
        Account::Ready { .. } => Following::Active,
        Account::Unknown => Following::Undecided,
        Account::NotReady(why) => Following::Halted(why.clone()),
    };
    let late = is_late(f);
    let facts = PollFacts {
        asked: f.polled.asked,
        waited: if late { f.began.saturating_sub(f.memory.overdue_since.unwrap_or(f.began)) } else { Duration::ZERO },
        patience: f.limits.quarantine,
        is_open: open_for(f, run).is_some(),
        developer_mode: f.polled.developer_mode,
    };
    if let Some(act) = show(f, StatusChange::Present(StatusInput::Settled(following, facts))) {
        return act;
    }
    let wish = Follow {
        executions: f.life.followed.clone(),
        age: f.life.age,
        ours: run.trigger.as_ref().is_some_and(|trigger| trigger.result == TriggerResult::Accepted(Evidence::Answer)),
        expected: !run.observes || f.life.shows_executions,
        late,
        ended_for: None,
    };
    if run.ended {
        let repairs = f.life.watched.map(|_| Follow {
            executions: f.life.repairable.clone(),
            late: false,
            ended_for: Some(f.life.ended_for),
            ..wish
        });
        if f.memory.lock_pending_release
            && let Some(act) = release(f, o)
        {
            return act;
        }
        // An answer of a person may count only from then on.
        let open = f.life.open.filter(|_| run.answered.is_some());
        let again = f.life.watched.into_iter().chain(open).min();
        return expire(f, Wishes { follow: repairs, ..Wishes::default() }, again);
    }
    // A run that is being deleted may stay for long, because of a finalizer: it is followed until it is gone.
    let again = if late {
        Again::After(OVERDUE_RECHECK)
    } else {
        Again::OnChange.or(f.life.deadline.map(|left| left.saturating_add(AFTER_DEADLINE)))
    };
    // The next look follows when there was one.
    let open = open_for(f, run).map(|left| left.saturating_add(AFTER_DEADLINE));
    let again = again.or(open.map(|left| if f.look_is_later { left } else { left.min(f.limits.confirm) }));
    let ask = if f.look_is_later && open.is_some() { Ask::StayInQueue } else { Ask::Nothing };
    finish(f, again, Wishes { follow: Some(wish), ask, ..Wishes::default() })
}

pub(super) fn is_late(f: &Facts) -> bool {
    f.life.deadline.is_some_and(|left| left.is_zero())
}

/// Deletes a run that has ended and whose time is over, after its lock was given back: nothing could do that afterwards, and the next run of
/// the pipeline would wait for the quarantine.
fn expire(f: &Facts, wishes: Wishes, again: Option<Duration>) -> Act {
    if f.life.expiry.is_none_or(|left| !left.is_zero()) {
        return finish(f, Again::OnChange.or(again).or(f.life.expiry), wishes);
    }
    f.trigger.as_ref().and_then(|o| release(f, o)).unwrap_or(Act::Delete)
}

/// Gives the pipeline's lock back, if the run holds it and nothing can come of its trigger any more; none if that is done.
fn release(f: &Facts, o: &TriggerFacts) -> Option<Act> {
    let run = o.run();
    let marker = run.own_marker().filter(|_| f.lock_is_known && !f.lock_released)?;
    let Some(read) = &o.lock else { return Some(Act::Trigger(Step::ReadLock)) };
    next_step::release(run, &marker.acquisition, read).map(Act::Trigger)
}

/// A run whose trigger is not settled: one step of the trigger protocol, or what the run waits for.
fn trigger(f: &Facts, o: &TriggerFacts) -> Act {
    let run = o.run();
    if f.look_is_later {
        let waits = waiting(o, &Hold::Unconfirmed(Duration::ZERO), f.life.now);
        if let Some(act) = waits.and_then(|situation| show_if_free(f, StatusChange::Present(situation))) {
            return act;
        }
        let wishes = Wishes { ask: Ask::StayInQueue, ..Wishes::default() };
        return finish(f, Again::After(LOOK_RECHECK).or(until_deadline(f)), wishes);
    }
    let end = end_without_trigger(o);
    if o.task == Task::Idle {
        match &f.account {
            Account::Unknown => return done(Again::OnChange),
            Account::NotReady(_) if f.draining || run.deleting => return done(Again::OnChange),
            _ if f.account_stopping => return done(Again::OnChange),
            _ => {}
        }
    }
    if o.task == Task::Idle && end.is_none() {
        if let Some((obstacle, message, wait)) = &f.refused {
            return without_list(f, *obstacle, message, *wait);
        }
        if let Some(wait) = f.queued {
            return queued(f, run, wait);
        }
        // Before the lock is read, so that a run that has to wait reads it once. A run in doubt is not to be triggered.
        let is_in_doubt = o.memory.inquiry.is_some() || undecided(run);
        if o.gate == Gate::Open && !is_in_doubt && !f.called && matches!(f.account, Account::Ready { .. }) {
            return ask(Ask::Place);
        }
    }
    match next_step::next_step(o) {
        // Without the account the lock is not known either.
        Step::ReadLock if !f.lock_is_known => wait(f, o, &end.unwrap_or_else(|| Hold::Gate(o.gate.clone()))),
        Step::ReadBaseline => ask(Ask::Turn),
        Step::ReadRunning(delivered) => ask(Ask::Running(delivered)),
        Step::ReadExecution(id) => ask(Ask::Execution(id)),
        Step::ReadCandidates => look(o),
        Step::Follow if settled(run) => follow(f, o),
        Step::Follow => finish(f, Again::After(f.retry_after), Wishes::default()),
        Step::Forget => finish(f, Again::OnChange, Wishes::default()),
        Step::Restart => restart(f, o),
        Step::Hold(hold) => wait(f, o, &hold),
        step => Act::Trigger(counted(step, o.lock.as_ref())),
    }
}

/// Without a list of nuvo no trigger starts.
fn without_list(f: &Facts, obstacle: Obstacle, message: &str, retry_after: Option<Duration>) -> Act {
    let wait = retry_after.unwrap_or_else(|| NO_LIST.wait(f.memory.failures));
    let situation = f.trigger.as_ref().and_then(|o| waiting(o, &Hold::Gate(obstacle_gate(obstacle, message)), f.life.now));
    let shown = situation.and_then(|situation| show_if_free(f, StatusChange::Present(situation)));
    shown.unwrap_or_else(|| finish(f, Again::After(wait).or(until_deadline(f)), Wishes::default()))
}

/// Older runs of the account come first.
fn queued(f: &Facts, run: &Run, wait: Duration) -> Act {
    if wait > QUEUE_STATUS_THRESHOLD
        && let Some(act) = show_if_free(f, StatusChange::Present(waiting_message::queued(run)))
    {
        return act;
    }
    let again = Again::After(QUEUE_RECHECK).or(until_deadline(f));
    finish(f, again, Wishes { ask: Ask::StayInQueue, ..Wishes::default() })
}

/// Something else changed what the pass rests on, or the marker was refused.
fn restart(f: &Facts, o: &TriggerFacts) -> Act {
    match &f.marker_refused {
        Some(why) => after_failure(f, Failed::Marker { held: o.holds_lock() }, FailureKind::Refused, why),
        None => finish(f, Again::After(FAILURE.wait(f.memory.failures)), Wishes::default()),
    }
}

/// The wait after a pass that failed, and what the status says about it in the long run.
fn after_failure(f: &Facts, failed: Failed, kind: FailureKind, why: &str) -> Act {
    if failed == Failed::Other && kind == FailureKind::Conflict {
        // The cache was behind. What it was behind of is on its way, and is looked at when it comes.
        return try_again(LOCK_RECHECK);
    }
    // A write would change the version that a held lock speaks of.
    let free = match failed {
        Failed::Marker { held } => !held,
        Failed::Lock => f.run().is_some_and(|run| run.marker.is_none() && run.trigger.is_none() && !run.ended),
        Failed::Other => false,
    };
    if free && f.memory.failures.saturating_add(1) >= SHOWN_FAILURES {
        let message = format!("The operator cannot go on: {why}. Grant it what it lacks, or fix what refuses; it keeps trying.");
        if let Some(act) = show(f, StatusChange::Present(StatusInput::Because(Reason::Pending, message))) {
            return act;
        }
    }
    try_again(FAILURE.wait(f.memory.failures))
}

/// Shows why a run waits, and says when it is looked at again at the latest.
fn wait(f: &Facts, o: &TriggerFacts, hold: &Hold) -> Act {
    let run = o.run();
    let ends = match hold {
        Hold::Overdue | Hold::SlotNotClaimed => waiting(o, hold, f.life.now),
        Hold::TooLate => Some(waiting_message::too_late(f.life.reason)),
        Hold::Mirror => Some(waiting_message::mirror()),
        Hold::Skipped(id) => Some(waiting_message::skipped(id)),
        _ => None,
    };
    if let Some(ends) = ends {
        return release(f, o).or_else(|| show(f, StatusChange::Present(ends))).unwrap_or_else(|| done(Again::OnChange));
    }
    // A person decides about what is lost, with or without the account.
    if let Account::NotReady(why) = &f.account
        && *hold != Hold::Lost
    {
        let again = if let Hold::Unconfirmed(left) = hold { Again::After(*left) } else { Again::OnChange.or(until_deadline(f)) };
        let shown = show_if_free(f, StatusChange::Present(without_account(run, why)));
        return shown.unwrap_or_else(|| finish(f, again, Wishes::default()));
    }
    let again = match hold {
        Hold::PipelineRunning(_) => Some(QUEUE_RECHECK),
        Hold::SlotUndecided => Some(LOCK_RECHECK),
        Hold::Suspended
        | Hold::Lost
        | Hold::Overdue
        | Hold::TooLate
        | Hold::SlotNotClaimed
        | Hold::Mirror
        | Hold::Skipped(_)
        | Hold::Gate(Gate::Open | Gate::Draining) => None,
        Hold::Gate(Gate::AccountNotReady(_)) => Some(LOCK_RECHECK),
        Hold::Gate(gate @ (Gate::NuvoUnavailable(_) | Gate::RateLimited(_) | Gate::HeldOff(_))) => {
            // While one request finds out whether nuvo is back, all others would ask again and again.
            let least = if matches!(gate, Gate::NuvoUnavailable(_)) { UNAVAILABLE_RECHECK } else { SHORTEST_WAIT };
            Some(held_for(f).max(least))
        }
        Hold::Gate(Gate::BehindOlder(_)) | Hold::PipelineBusy(..) => {
            if let (Hold::PipelineBusy(lock_holder, _), false) = (hold, f.woke_holder) {
                return Act::WakeHolder(lock_holder.run.clone());
            }
            let waited = f.memory.waiting_since.map_or(Duration::ZERO, |since| f.now.saturating_sub(since));
            if waited < BUSY_STATUS_DELAY && f.life.reason != Some(Reason::PipelineBusy) {
                return wait_for_lock(hold, Again::After(BUSY_STATUS_DELAY.saturating_sub(waited)));
            }
            let left = if let Hold::PipelineBusy(_, Some(left)) = hold { *left } else { LOCK_RECHECK };
            Some(left.clamp(Duration::from_millis(500), LOCK_RECHECK))
        }
        Hold::Unconfirmed(left) => Some((*left).max(SHORTEST_WAIT)),
    };
    if let Some(act) = waiting(o, hold, f.life.now).and_then(|situation| show_if_free(f, StatusChange::Present(situation))) {
        return act;
    }
    let again = Again::OnChange.or(again).or(until_deadline(f));
    match hold {
        Hold::PipelineRunning(executions) => {
            let wish = Follow { executions: executions.clone(), expected: true, ..Follow::default() };
            finish(f, again, Wishes { follow: Some(wish), ..Wishes::default() })
        }
        hold if is_busy(hold) => wait_for_lock(hold, again),
        _ => finish(f, again, Wishes::default()),
    }
}

pub(super) fn is_busy(hold: &Hold) -> bool {
    matches!(hold, Hold::PipelineBusy(..) | Hold::Gate(Gate::BehindOlder(_)))
}

fn wait_for_lock(hold: &Hold, again: Again) -> Act {
    Act::Done { again, wishes: Some(Wishes { waits_for_lock: matches!(hold, Hold::PipelineBusy(..)), ..Wishes::default() }) }
}

/// For how long nothing is triggered, as far as that is known.
fn held_for(f: &Facts) -> Duration {
    let paused = if let Account::Ready { trigger_pause: Some(pause), .. } = &f.account { pause.left } else { Duration::ZERO };
    let held_off = f.memory.held_off.map_or(Duration::ZERO, |(until, _)| until.saturating_sub(f.now));
    paused.max(held_off)
}

/// A run that waits is not triggered after its deadline, which has to be noticed.
fn until_deadline(f: &Facts) -> Option<Duration> {
    let deadlines = f.life.deadline.into_iter().chain(f.life.start_deadline);
    deadlines.filter(|left| !left.is_zero()).min()
}
