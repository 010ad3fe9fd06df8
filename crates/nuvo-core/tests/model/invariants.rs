//! What must never be seen, whatever happens (docs/protocol.md, section 7).

use nuvo_core::run::{Evidence, Run, Trigger, TriggerResult, awaits_trigger, decided, settled, undecided};
use nuvo_crds::conditions::Reason;
use stateright::Property;

use crate::{
    bounds::Scope,
    symmetry::RUN_NAMES,
    world::{Course, Delivery, Execution, State, World, life::gave_back},
};

/// The promises that this world must keep.
pub fn promises(world: &World) -> Vec<Property<World>> {
    let scope = &world.scope;
    let mut all = vec![Property::always("P1: at most one POST for an attempt", |_, state: &State| one_post_for_each_attempt(state))];
    if scope.retrigger {
        all.push(Property::always("P1: nothing is started again by itself", |_, state: &State| nothing_is_started_again(state)));
    }
    if scope.locks_are_kept() {
        all.push(Property::always("P2: a run shows only what it started", |_, state: &State| own_executions(state)));
    }
    if scope.some_record_remains() {
        all.push(Property::always("P4: what was started is shown, or the doubt", |_, state: &State| nothing_is_silent(state)));
    }
    if scope.roll_backs == 0 {
        all.push(Property::always("P4: what nuvo has said is not forgotten", |_, state: &State| present(state).all(knows_that_it_ran)));
    }
    if scope.list_is_prompt() {
        all.push(Property::always("P4: all of it is shown", |_, state: &State| all_is_shown(state)));
    }
    // A lock is taken by time from a holder that cannot be read, and what is listed counts only for an identity that is known.
    let is_looked_at = [scope.short_lists, scope.account_losses] == [0; 2] && !(scope.overdue && scope.failed_lists > 0);
    if scope.list_is_prompt() && is_looked_at && !scope.split && !scope.anonymous {
        all.push(Property::always("P3: no doubt about what the list shows", |_, state: &State| no_doubt_about_what_is_listed(state)));
    }
    if scope.status_wipes == 0 {
        all.push(Property::always("P3: no doubt about what was written", |_, state: &State| no_doubt_about_what_was_written(state)));
    }
    if scope.no_doubt_can_arise() {
        all.push(Property::always("P3: no doubt without a cause", |_, state: &State| doubtful(state).next().is_none()));
    }
    all.push(Property::always("P5: an answer replaces what was found", |_, state: &State| {
        state.runs.iter().all(|run| !run.story.answer_lost)
    }));
    if scope.suspensions > 0 {
        all.push(Property::always("L8: no POST for a run that is held back", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.sent_held_back)
        }));
    }
    if scope.mirrors > 0 {
        all.push(Property::always("L9: no trigger for a run that belongs to a NuvoPipeline", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.mirror_acted)
        }));
    }
    if scope.life {
        all.push(Property::always("L7: no end while the trigger may be answered", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.ended_open)
        }));
        all.push(Property::always("L1: a run is deleted after its lock", |_, state: &State| !state.deleted_with_its_lock()));
        all.push(Property::always("L4: no POST for a run that is too late", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.sent_too_late)
        }));
        all.push(Property::always("L4: a run that ended too late has started nothing", |_, state: &State| too_late_means_nothing(state)));
        all.push(Property::always("L5: no POST for a queued run beside another execution", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.beside)
        }));
        all.push(Property::always("L2: no retry before its time", |_, state: &State| state.runs.iter().all(|run| !run.story.too_early)));
    }
    if scope.life && scope.operators == 1 {
        all.push(Property::always("L3: no note over a lock that is gone on with", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.spoiled)
        }));
        all.push(Property::always("L6: a run is skipped only while another execution runs", |_, state: &State| {
            state.runs.iter().all(|run| !run.story.skipped_in_vain)
        }));
    }
    all
}

fn one_post_for_each_attempt(state: &State) -> bool {
    let sent = |course: Course| course != Course::Refused;
    state.deliveries.iter().enumerate().all(|(number, one)| {
        state.deliveries.iter().skip(number + 1).all(|other| {
            one.nonce != other.nonce && !(one.run == other.run && one.attempt == other.attempt && sent(one.course) && sent(other.course))
        })
    })
}

/// A run whose trigger has started something is not triggered again.
fn nothing_is_started_again(state: &State) -> bool {
    state.deliveries.iter().enumerate().all(|(number, one)| {
        let is_repeated = state.deliveries.iter().skip(number + 1).any(|other| other.run == one.run);
        !is_repeated || started(state, one).next().is_none()
    })
}

fn too_late_means_nothing(state: &State) -> bool {
    state.runs.iter().filter(|object| object.story.says == Some(Reason::StartDeadlineExceeded)).all(|object| {
        object.present.as_ref().is_none_or(|run| {
            let sent = |sent: &Delivery| sent.run == run.id && sent.attempt == run.attempt && sent.course != Course::Refused;
            !state.deliveries.iter().any(sent)
        })
    })
}

fn present(state: &State) -> impl Iterator<Item = &Run> {
    state.runs.iter().filter_map(|object| object.present.as_deref())
}

fn own_executions(state: &State) -> bool {
    state.runs.iter().enumerate().all(|(number, object)| {
        let shown = object.present.iter().filter(|run| !run.observes).flat_map(|run| &run.executions);
        shown
            .into_iter()
            .all(|id| state.executions.iter().any(|execution| execution.id == *id && id.as_str().starts_with(RUN_NAMES[number])))
    })
}

fn doubtful(state: &State) -> impl Iterator<Item = &Trigger> {
    present(state).filter_map(|run| run.trigger.as_ref()).filter(|trigger| matches!(trigger.result, TriggerResult::Ambiguous { .. }))
}

/// Else a run might trigger again by itself, though its marker says that something was started.
fn knows_that_it_ran(run: &Run) -> bool {
    let Some((marker, trigger)) = run.own_marker().zip(run.trigger.as_ref()) else { return true };
    !(marker.executed && marker.nonce == trigger.nonce && trigger.result == TriggerResult::Ambiguous { executed: false })
}

fn started<'a>(state: &'a State, sent: &Delivery) -> impl Iterator<Item = &'a Execution> {
    let prefix = format!("{}-", sent.nonce);
    state.executions.iter().filter(move |execution| execution.id.as_str().starts_with(&prefix))
}

fn no_doubt_about_what_is_listed(state: &State) -> bool {
    doubtful(state)
        .all(|trigger| state.deliveries.iter().filter(|sent| sent.nonce == trigger.nonce).all(|sent| started(state, sent).next().is_none()))
}

fn no_doubt_about_what_was_written(state: &State) -> bool {
    doubtful(state).all(|trigger| !state.deliveries.iter().any(|sent| sent.nonce == trigger.nonce && sent.written))
}

/// The runs with the newest of what was sent for each.
fn newest(state: &State) -> impl Iterator<Item = (&Run, &Delivery)> {
    present(state).filter_map(|run| Some((run, state.deliveries.iter().rfind(|sent| sent.run.name == run.id.name)?)))
}

/// A run that says that nothing was started must know it, and one that has ended must show what was started, or that this is not known.
fn nothing_is_silent(state: &State) -> bool {
    newest(state).all(|(run, sent)| {
        let Some(trigger) = &run.trigger else { return true };
        if trigger.nonce == sent.nonce
            && trigger.result == TriggerResult::NotExecuted
            && matches!(sent.course, Course::Executed | Course::InFlight)
        {
            return false;
        }
        // Another attempt that is not sent yet has nothing to show, and who has ended without a result says that it is lost.
        let speaks = decided(run) && settled(run) && run.attempt <= sent.attempt;
        let mut shown = started(state, sent).map(|execution| run.executions.contains(&execution.id));
        !speaks
            || match trigger.result {
                TriggerResult::Ambiguous { .. } => true,
                TriggerResult::Accepted(Evidence::Answer) => shown.all(|shown| shown),
                // By a list that lags: its status says that it was adopted.
                TriggerResult::Accepted(Evidence::Adopted) => shown.any(|shown| shown),
                TriggerResult::NotExecuted | TriggerResult::Observed => shown.next().is_none(),
            }
    })
}

fn all_is_shown(state: &State) -> bool {
    newest(state).all(|(run, sent)| {
        let accepted = run.trigger.as_ref().is_some_and(|trigger| matches!(trigger.result, TriggerResult::Accepted(_)));
        !(accepted && settled(run) && run.attempt <= sent.attempt)
            || started(state, sent).all(|execution| run.executions.contains(&execution.id))
    })
}

/// Whether every run has come to an end of its trigger: by a result, or by a question that only a person can answer. Where their life is
/// explored, too: whether they have ended, are deleted if they expire, and have given their lock back, unless a process died with the
/// knowledge that they must.
pub fn is_over(state: &State, scope: &Scope) -> bool {
    let remembered = [scope.crashes, scope.status_wipes, scope.marker_wipes, scope.unanswered] == [0; 4];
    // A run that is being deleted starts nothing, however long a finalizer keeps it.
    let is_waited_for = |run: &Run| present(state).any(|other| other.id != run.id && awaits_trigger(other));
    // Without a list a run in doubt goes on until its deadline, unless another one waits.
    let may_go_on = |run: &Run| scope.never_listed && undecided(run) && !is_waited_for(run);
    let is_held_back = |run: &Run| {
        state.runs.iter().any(|object| object.story.no_account && object.present.as_deref() == Some(run))
            || (scope.stays_suspended && run.suspended)
    };
    let settles = |run: &Run| is_held_back(run) || settled(run) || (scope.kept && run.deleting) || may_go_on(run);
    present(state).all(settles) && (!scope.life || (state.lives_are_over(scope.expire) && (!remembered || gave_back(state))))
}
