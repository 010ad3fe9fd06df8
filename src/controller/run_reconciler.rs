//! The reconciler of runs: one loop that asks the core for the next act of a run, and has it carried out. Nothing is decided here.

use std::sync::Arc;

use kube::{
    Resource, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use nuvo_core::run::{self, Act, Again, Answered, Ask, Begin, Beginning, Facts, Nonce, RunRef, Step, Wishes, after_panic, remember};
use nuvo_crds::PipelineRun;
use tokio::sync::SemaphorePermit;

use super::{Shell, cache::CachedRun, run_pass::Pass};

/// The permission to work. A pass that waits for nuvo gives it up, so that others can work.
pub type Slot<'a> = SemaphorePermit<'a>;

/// Looks at one run.
pub async fn reconcile(cached: &CachedRun, slot: Slot<'_>, shell: &Shell) -> Action {
    let metadata = cached.meta();
    let (Ok(uid), Some(namespace), Some(name)) =
        (run::Uid::new(metadata.uid.clone().unwrap_or_default()), metadata.namespace.clone(), metadata.name.clone())
    else {
        tracing::warn!("an object without uid, namespace or name");
        return Action::await_change();
    };
    let id = RunRef { uid, namespace, name };
    let begin = if cached.whole().is_some() { Begin::Changed } else { Begin::AtRest };
    let again = drive(begin, Pass::new(shell, id, cached.whole().cloned(), cached.expires(), Some(slot))).await;
    // What is noted of a run that was deleted meanwhile would stay.
    if !shell.runs.exists(&ObjectRef::from_obj(cached)) {
        shell.memories.forget(cached.uid().unwrap_or_default().as_str());
    }
    match again {
        Again::OnChange => Action::await_change(),
        Again::After(wait) => Action::requeue(wait),
    }
}

/// Looks after what a deleted run leaves behind: a lock that is given back at once spares the next run the quarantine.
pub async fn clean_up(id: RunRef, object: Arc<PipelineRun>, shell: &Shell) {
    drive(Begin::Deleted, Pass::new(shell, id, Some(object), None, None)).await;
}

/// The wait after a reconcile that panicked.
pub fn after_a_panic(uid: &str, shell: &Shell) -> Action {
    let (memory, wait) = after_panic(&shell.memories.get(uid));
    shell.memories.set(uid, memory);
    Action::requeue(wait)
}

fn new_nonce() -> Nonce {
    Nonce::from_bits(uuid::Uuid::new_v4().as_u128())
}

/// One pass over a run: acts until the core says that it is done.
async fn drive(begin: Begin, mut pass: Pass<'_>) -> Again {
    let shell = pass.shell;
    let uid = pass.id.uid.to_string();
    let mut facts = Facts::new(Beginning {
        begin,
        run: pass.parsed(),
        memory: shell.memories.get(&uid),
        limits: shell.limits,
        uptime: shell.uptime(),
        spare: new_nonce(),
        older: pass.older(),
        polled: pass.polled(),
    });
    loop {
        facts.refresh(pass.present());
        let act = run::next(&facts);
        tracing::debug!(act = name(&act), "next");
        if let Act::Done { again, wishes } = &act {
            match pass.declare(wishes.as_ref()).await {
                Some(answer) => facts.learn(&act, Answered::Account(answer)),
                None => {
                    if begin != Begin::Deleted {
                        shell.memories.set(&uid, remember(&facts));
                    }
                    return *again;
                }
            }
        } else {
            facts.intend(&act);
            shell.memories.set(&uid, facts.memory().clone());
            let answered = pass.carry_out(&act).await;
            facts.learn(&act, answered);
        }
        shell.memories.set(&uid, facts.memory().clone());
        if matches!(act, Act::Trigger(Step::TakeLock { .. })) {
            facts.renew_spare(new_nonce());
        }
    }
}

/// The name of an act, for logs.
const fn name(act: &Act) -> &'static str {
    match act {
        Act::Trigger(step) => step.name(),
        Act::Render(_) => "render status",
        Act::Show(_) => "show status",
        Act::AnnounceOnly(_) => "announce only",
        Act::Delete => "delete",
        Act::Announce => "announce",
        Act::WakeWaiting => "wake waiting",
        Act::WakeHolder(_) => "wake holder",
        Act::Pause(_) => "pause",
        Act::Done { again: Again::After(_), wishes: Some(Wishes { ask: Ask::Nothing, follow: None, .. }) } => "wait",
        Act::Done { wishes: Some(Wishes { ask: Ask::Turn, .. }), .. } => "ask for a turn",
        Act::Done { wishes: Some(Wishes { ask: Ask::Candidates, .. }), .. } => "look for candidates",
        Act::Done { .. } => "done",
    }
}
