//! What the status of a waiting run says.

use k8s_openapi::jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use super::{
    doubt_resolution::question,
    ids::ExecutionId,
    status::StatusInput,
    trigger::doubt::{LONGEST_SAID, SoFar, so_far},
    trigger::facts::TriggerFacts,
    trigger::run_view::Run,
    trigger::step::{Gate, Hold},
};
use crate::text::{sentence, truncated};
use nuvo_crds::conditions::Reason;

fn because(reason: Reason, message: impl Into<String>) -> StatusInput {
    StatusInput::Because(reason, message.into())
}

/// What to show while a run waits; nothing while the process shuts down, because the next one continues at once.
#[must_use]
pub fn waiting(o: &TriggerFacts, hold: &Hold, now: Timestamp) -> Option<StatusInput> {
    let run = o.run();
    Some(match hold {
        Hold::Suspended => because(Reason::Suspended, "spec.suspend is true. The run is not triggered until it is false."),
        Hold::Gate(Gate::Open | Gate::Draining) => return None,
        Hold::Gate(Gate::AccountNotReady(why)) => because(Reason::AccountNotReady, why),
        Hold::Gate(Gate::NuvoUnavailable(why)) => because(Reason::NuvoUnavailable, why),
        Hold::Gate(Gate::RateLimited(why)) => because(Reason::RateLimited, why),
        Hold::Gate(Gate::HeldOff(obstacle)) => {
            because(obstacle.reason(), "The last trigger was not carried out. The operator tries again shortly.")
        }
        Hold::Gate(Gate::BehindOlder(older)) => {
            because(Reason::PipelineBusy, format!("The older run {older} of the same pipeline is triggered first."))
        }
        Hold::PipelineBusy(lock_holder, quarantine) => {
            // A namespace does not learn the names in another one.
            let holder = if lock_holder.run.namespace == run.id.namespace {
                format!("run {}", lock_holder.run.name)
            } else {
                "a run of another namespace".to_owned()
            };
            let message = match quarantine {
                None => format!("The trigger of {holder} of the same pipeline is not confirmed yet. This run continues afterwards."),
                Some(_) => format!(
                    "The trigger of {holder} of the same pipeline may still take effect. This run continues after a quarantine \
                     (--quarantine-seconds), or as soon as the outcome of that trigger is known."
                ),
            };
            because(Reason::PipelineBusy, message)
        }
        Hold::Unconfirmed(_) => unconfirmed(run, &so_far(o), now),
        Hold::Overdue => because(
            Reason::DeadlineExceeded,
            "The deadline (spec.activeDeadlineSeconds) passed before the next attempt was triggered. Nothing was started for it. Set a new \
             spec.rerunToken to start another attempt.",
        ),
        Hold::PipelineRunning(executions) => because(Reason::PipelineRunning, running(executions)),
        Hold::Skipped(execution) => skipped(execution),
        Hold::TooLate => too_late(None),
        Hold::SlotUndecided => because(Reason::Pending, "The schedule that made this run has not claimed the slot for it yet."),
        Hold::SlotNotClaimed => because(
            Reason::SlotNotClaimed,
            "The schedule that made this run is gone, or has not claimed the slot for it: the run was created too late, or is a copy of another \
             one. Nothing was started for it.",
        ),
        Hold::Mirror => mirror(),
        Hold::Lost if run.unread_marker.is_some() => because(
            Reason::StatusLost,
            "The record of what this run triggered (the annotation nuvo.dev/trigger) cannot be read: a later version of the operator may have \
             written it. The run is not triggered again. Set a new spec.rerunToken to start another attempt.",
        ),
        Hold::Lost => because(
            Reason::StatusLost,
            "The record of what this run triggered is lost, or belongs to an earlier object of this name. The run is not triggered again.",
        ),
    })
}

/// What to show of a trigger in doubt. The text changes only with what is known, so that a look that brings nothing new is not written.
fn unconfirmed(run: &Run, so_far: &SoFar, now: Timestamp) -> StatusInput {
    let SoFar { inquiry, left, is_repeated } = so_far;
    let said = truncated(&inquiry.said, LONGEST_SAID);
    let mut texts = vec![match said.as_str() {
        "" => "The trigger may have been carried out.".to_owned(),
        said => format!("The trigger may have been carried out: {}", sentence(said)),
    }];
    texts.push(match (inquiry.looks.made, inquiry.looks.complete) {
        (0, _) => "The operator looks for it in nuvo's list of executions.".to_owned(),
        (_, 0) => "The operator looks for it in nuvo's list of executions, but has seen no complete list so far.".to_owned(),
        _ => "The operator looks for it in nuvo's list of executions, which has shown nothing of it so far.".to_owned(),
    });
    if inquiry.looks.is_anonymous {
        texts.push("It is not known as whom nuvo shows the account, so no execution counts as its own.".to_owned());
    }
    let until = SignedDuration::try_from(*left).ok().and_then(|left| now.checked_add(left).ok());
    let until = until.unwrap_or(now).round(TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil)).unwrap_or(now);
    texts.push(match (is_repeated, left.is_zero()) {
        (true, false) => {
            format!("If nothing has been started by about {until}, the pipeline is triggered again (spec.onAmbiguousTrigger: Retrigger).")
        }
        (true, true) => "If nothing was started, the pipeline is triggered again (spec.onAmbiguousTrigger: Retrigger).".to_owned(),
        (false, false) => format!("If nothing is found by about {until}, a person has to decide. The trigger is not sent again."),
        (false, true) => "The trigger is not sent again.".to_owned(),
    });
    if let Some(marker) = run.own_marker() {
        texts.push(
            "If nuvo provides no list, a person can answer instead. The answer counts after the quarantine (--quarantine-seconds)."
                .to_owned(),
        );
        return because(Reason::TriggerUnconfirmed, question(marker.nonce.as_str(), &texts.join(" ")));
    }
    because(Reason::TriggerUnconfirmed, texts.join(" "))
}

fn running(executions: &[ExecutionId]) -> String {
    let named = executions.first().map_or_else(String::new, ToString::to_string);
    let subject = match executions.len() {
        0 | 1 => format!("Execution {named} of the pipeline runs in nuvo. This run is triggered when it has ended"),
        count => {
            format!("{count} executions of the pipeline run in nuvo, the first is {named}. This run is triggered when they have ended")
        }
    };
    format!("{subject} (spec.concurrencyPolicy).")
}

/// What to show when a run is not triggered because this execution runs.
#[must_use]
pub fn skipped(execution: &ExecutionId) -> StatusInput {
    let message = format!(
        "Execution {execution} of the pipeline was running, so this run was skipped (spec.concurrencyPolicy: Skip). Nothing was started for \
         it. Set a new spec.rerunToken to start another attempt."
    );
    because(Reason::Skipped, message)
}

/// What to show when a run was not triggered in time. `reason` is what its status says so far.
#[must_use]
pub fn too_late(reason: Option<Reason>) -> StatusInput {
    let waited = reason.filter(|reason| *reason != Reason::Pending);
    let waited = waited.map(|reason| format!(" It was waiting with reason {reason}.")).unwrap_or_default();
    let message = format!(
        "The run could not be triggered in time (spec.startDeadlineSeconds).{waited} Nothing was started for it. Set a new spec.rerunToken \
         to start another attempt."
    );
    because(Reason::StartDeadlineExceeded, message)
}

/// What to show when a run is not triggered because a `NuvoPipeline` is its controller.
#[must_use]
pub fn mirror() -> StatusInput {
    let message = "A NuvoPipeline is the controller of this run (metadata.ownerReferences), and such a run triggers nothing. Nothing was \
                   started for it. To follow an execution, create a run with spec.executionId; to start the pipeline, create one without \
                   that controller.";
    because(Reason::InvalidSpec, message)
}

/// What to show while older runs of the same account come first.
#[must_use]
pub fn queued(run: &Run) -> StatusInput {
    if in_doubt(run) {
        return because(
            Reason::TriggerUnconfirmed,
            "The trigger may have been carried out. The operator looks into older runs of the account first.",
        );
    }
    because(Reason::RateLimited, "Older runs of the account come first, as fast as its request budget allows (spec.requestsPerSecond).")
}

fn in_doubt(run: &Run) -> bool {
    run.own_marker().is_some() && !crate::run::trigger::verdict::decided(run)
}

/// What to show while the account of a run cannot be used.
#[must_use]
pub fn without_account(run: &Run, why: &str) -> StatusInput {
    if in_doubt(run) {
        let message = format!("The trigger may have been carried out. The operator needs the account to find out. {why}");
        return because(Reason::TriggerUnconfirmed, message);
    }
    if run.suspended {
        return because(Reason::Suspended, "spec.suspend is true. The run is not triggered until it is false.");
    }
    because(Reason::AccountNotReady, why)
}
