//! What a pass shows, and how it ends.

use std::time::Duration;

use super::{
    act::{Act, Again, Ask, Change, Wishes},
    facts::Facts,
    status_change::StatusChange,
    trigger::step::Step,
    trigger::verdict::resumable,
};

/// Messages that something else has replaced are written again after this time.
const REPEAT: Duration = Duration::from_secs(60);

/// Writes what is new about a run whose trigger is not settled.
///
/// After a crash between W1 and W2 the pipeline's lock speaks of the present version of the run. Then only an event says it, because a write
/// to the run would put a trigger that can still go on in doubt. The lock is read only when there is something new to say.
pub(super) fn show_if_free(f: &Facts, change: StatusChange) -> Option<Act> {
    let act = show(f, change)?;
    let Act::Show(change) = act else { return Some(act) };
    let o = f.trigger.as_ref().filter(|_| f.lock_is_known);
    match o.map(|o| (o.run(), &o.lock)) {
        Some((_, None)) => Some(Act::Trigger(Step::ReadLock)),
        Some((run, Some(read))) if resumable(run, &read.lock) => {
            let known = f.rendered.as_ref().is_some_and(|(_, rendered)| f.memory.announced == Some(rendered.message_hash));
            if known { None } else { Some(Act::AnnounceOnly(change)) }
        }
        _ => Some(Act::Show(change)),
    }
}

/// Writes a status that says something new; none if this pass has written it, or it says nothing new.
pub(super) fn show(f: &Facts, change: StatusChange) -> Option<Act> {
    if f.shown.as_ref() == Some(&change) {
        return None;
    }
    let Some((_, rendered)) = f.rendered.as_ref().filter(|(what, _)| *what == change) else { return Some(Act::Render(change)) };
    // Another operator that works on the same runs by mistake may see nuvo otherwise: they would go on to correct each other.
    let repeated = || f.memory.note_written.is_some_and(|(at, hash)| hash == rendered.message_hash && f.now.saturating_sub(at) < REPEAT);
    let is_news = match rendered.change {
        Change::None => false,
        Change::Messages => !repeated(),
        Change::Content => true,
    };
    is_news.then_some(Act::Show(change))
}

/// The pass is over. Whatever it did to the lock, those who wait for it look again; not if it changed nothing, because they would wake it again.
pub(super) fn finish(f: &Facts, again: Again, wishes: Wishes) -> Act {
    let is_news = f.touched_lock || f.lock_released || (f.memory.awaited.is_some() && f.shown.is_some());
    if is_news && !f.woke_waiting && f.trigger.is_some() {
        return Act::WakeWaiting;
    }
    Act::Done { again, wishes: Some(wishes) }
}

/// The pass is over, and nothing is wanted of others.
pub(super) fn done(again: Again) -> Act {
    Act::Done { again, wishes: Some(Wishes::default()) }
}

/// The pass did not get through, and what was wanted of others stays as it is.
pub(super) fn try_again(wait: Duration) -> Act {
    Act::Done { again: Again::After(wait), wishes: None }
}

/// The pass goes on when the account has answered.
pub(super) fn ask(ask: Ask) -> Act {
    Act::Done { again: Again::OnChange, wishes: Some(Wishes { ask, ..Wishes::default() }) }
}
