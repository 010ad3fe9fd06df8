//! From why a run waits to what its status says.

use super::{
    doubt_resolution::question,
    status::StatusInput,
    step::{Gate, Hold},
    view::Run,
};
use nuvo_crds::conditions::Reason;

fn because(reason: Reason, message: impl Into<String>) -> StatusInput {
    StatusInput::Because(reason, message.into())
}

/// What to show while a run waits; nothing while the process is shutting down, because the next one goes on at once.
#[must_use]
pub fn waiting(run: &Run, hold: &Hold) -> Option<StatusInput> {
    Some(match hold {
        Hold::Suspended => because(Reason::Suspended, "spec.suspend is true: nothing is triggered until it is false."),
        Hold::Gate(Gate::Open | Gate::Draining) => return None,
        Hold::Gate(Gate::AccountNotReady(why)) => because(Reason::AccountNotReady, why),
        Hold::Gate(Gate::NuvoUnavailable(why)) => because(Reason::NuvoUnavailable, why),
        Hold::Gate(Gate::RateLimited(why)) => because(Reason::RateLimited, why),
        Hold::Gate(Gate::HeldOff(obstacle)) => {
            because(obstacle.reason(), "The last trigger was not carried out: the next one follows shortly.")
        }
        Hold::Gate(Gate::BehindOlder(older)) => {
            because(Reason::PipelineBusy, format!("The older run {older} of the same pipeline is triggered first."))
        }
        Hold::PipelineBusy(tenancy, quarantine) => {
            // A namespace does not learn the names in another one.
            let holder = if tenancy.holder.namespace == run.me.namespace {
                format!("run {}", tenancy.holder.name)
            } else {
                "a run of another namespace".to_owned()
            };
            let message = match quarantine {
                None => format!("The trigger of {holder} of the same pipeline is not confirmed yet: this run goes on after it."),
                Some(_) => format!(
                    "The trigger of {holder} of the same pipeline may still have effects: this run goes on after a quarantine \
                     (--quarantine-seconds), or as soon as the doubt is resolved."
                ),
            };
            because(Reason::PipelineBusy, message)
        }
        Hold::Unconfirmed(_) => {
            let watched = "The trigger may have been carried out: nuvo's list of executions is watched to find out. It is not sent again.";
            let answer = run.own_marker().map(|marker| {
                let why = "Should nuvo give no list, a person can answer, which counts when the trigger has had the time that a late effect is \
                           given (--quarantine-seconds).";
                format!(" {}", question(marker.nonce.as_str(), why))
            });
            because(Reason::TriggerUnconfirmed, format!("{watched}{}", answer.unwrap_or_default()))
        }
        Hold::Overdue => because(
            Reason::DeadlineExceeded,
            "The deadline (spec.activeDeadlineSeconds) came before the next attempt was triggered, and nothing was started for it. Set a new \
             spec.rerunToken to start again.",
        ),
        Hold::Lost => because(
            Reason::StatusLost,
            "The record of what this run has triggered is lost, or belongs to an earlier object of this name. It is not triggered again.",
        ),
    })
}

/// What to show while older runs of the same account come first.
#[must_use]
pub fn queued(run: &Run) -> StatusInput {
    if in_doubt(run) {
        return because(
            Reason::TriggerUnconfirmed,
            "The trigger may have been carried out: older runs of the account are looked into first.",
        );
    }
    because(Reason::RateLimited, "Older runs of the account come first, as fast as its request budget allows (spec.requestsPerSecond).")
}

fn in_doubt(run: &Run) -> bool {
    run.own_marker().is_some() && !super::verdict::decided(run)
}

/// What to show while the account of a run cannot be used.
#[must_use]
pub fn without_account(run: &Run, why: &str) -> StatusInput {
    if in_doubt(run) {
        let message = format!("The trigger may have been carried out; this can only be found out with the account. {why}");
        return because(Reason::TriggerUnconfirmed, message);
    }
    if run.suspended {
        return because(Reason::Suspended, "spec.suspend is true: nothing is triggered until it is false.");
    }
    because(Reason::AccountNotReady, why)
}
