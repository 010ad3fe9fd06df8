//! Why nothing is started, whatever is due.

use jiff::SignedDuration;
use nuvo_crds::conditions::ScheduleReason;

use super::{decision::Decision, facts::Facts, spread::after};

/// A clock in doubt is looked at this often.
const CLOCK_RECHECK: SignedDuration = SignedDuration::from_secs(30);

/// The time is not to be trusted.
pub(super) fn clock_in_doubt(f: &Facts, decision: Decision, why: &str) -> Decision {
    let message = format!("{why} Nothing is started. Correct the clock.");
    decision.because(ScheduleReason::ClockInDoubt, message).until([after(f.now, CLOCK_RECHECK)])
}

/// A clock that was ahead has decided slots that are yet to come.
pub(super) fn decided_in_the_future(f: &Facts, decision: Decision) -> Decision {
    let until = decision.record.decided_until().unwrap_or_default();
    let message = format!(
        "Slots are decided until {until}, which lies in the future: a clock was ahead. Nothing is started before that time. To start earlier \
         slots, set spec.suspend to true, and then to false."
    );
    decision.because(ScheduleReason::ClockInDoubt, message).until([after(f.now, CLOCK_RECHECK)])
}

/// A person looks first, for example after etcd was put back to an older revision.
pub(super) fn held(decision: Decision) -> Decision {
    let message = "The operator was started with --hold-schedules: it starts no slots.";
    decision.because(ScheduleReason::Suspended, message)
}

/// The operator would not see what it starts.
pub(super) fn not_selected(decision: Decision) -> Decision {
    let message = "The operator watches only runs that its --label-selector selects, and spec.runTemplate.metadata.labels does not have what \
                   it asks for. Nothing is started.";
    decision.because(ScheduleReason::NotSelected, message)
}
