//! The trigger in doubt that a person decides about: which one it is, what the status asks, and what it says about the answer
//! (docs/protocol.md, section 6).

use super::{
    ids::Nonce,
    parse::{Resolution, ResolutionAnswer, resolution},
    trigger::run_view::Run,
    trigger::stored::{Trigger, TriggerResult},
    trigger::verdict::decided,
};
use crate::text::truncated;
use nuvo_crds::{PipelineRun, well_known::RESOLVE_ANNOTATION};

/// The most characters in front of what a person can answer.
const LONGEST_WHY: usize = 700;

/// The trigger that a person is asked about, if there is one.
pub(super) fn trigger_in_doubt(run: &Run) -> Option<Trigger> {
    match &run.trigger {
        Some(trigger) if matches!(trigger.result, TriggerResult::Ambiguous { .. }) => Some(trigger.clone()),
        Some(trigger)
            if matches!(trigger.result, TriggerResult::Accepted(_) | TriggerResult::Observed) && run.ancestor_marker().is_none() =>
        {
            None
        }
        trigger => {
            if let Some(marker) = run.ancestor_marker() {
                return Some(Trigger {
                    nonce: marker.nonce.clone(),
                    attempt: marker.attempt,
                    result: TriggerResult::Ambiguous { executed: true },
                });
            }
            trigger.as_ref().filter(|_| run.own_marker().is_none()).cloned()
        }
    }
}

/// The nonce that a person's answer has to name, if one is asked for, or counts at all.
#[must_use]
pub fn nonce_in_doubt(run: &Run) -> Option<Nonce> {
    let marked = || run.own_marker().filter(|_| !decided(run)).map(|marker| marker.nonce.clone());
    trigger_in_doubt(run).map(|trigger| trigger.nonce).or_else(marked)
}

/// Whether a person has closed the run without finding out what its trigger started.
pub(super) fn abandoned(run: &Run) -> bool {
    run.abandoned.is_some() && trigger_in_doubt(run).map(|trigger| trigger.nonce) == run.abandoned
}

/// The message that asks a person to decide.
pub(super) fn question(nonce: &str, why: &str) -> String {
    // What to write stands at the end, and must not be cut off there.
    let why = truncated(why, LONGEST_WHY);
    format!(
        "{why} Check in nuvo whether the pipeline ran, then answer with the annotation {RESOLVE_ANNOTATION}: \"{nonce}:adopt=<execution id>\", \
         \"{nonce}:retry\" or \"{nonce}:abandon\" (kubectl annotate --overwrite)."
    )
}

/// The message about an answer that does not make the run continue, or not yet.
pub(super) fn reply(object: &PipelineRun, run: &Run) -> Option<String> {
    let trigger = trigger_in_doubt(run)?;
    let nonce = trigger.nonce.as_str();
    match resolution(object) {
        Ok(None) => None,
        Ok(Some(answer)) if answer.nonce != nonce => {
            let named: String = answer.nonce.chars().take(64).collect();
            let why =
                format!("The annotation {RESOLVE_ANNOTATION} names \"{named}\", which is not the trigger in doubt. Nothing was changed.");
            Some(question(nonce, &why))
        }
        Ok(Some(Resolution { answer: ResolutionAnswer::Abandon, .. })) => {
            Some(format!("A person closed this run without finding out what its trigger started ({RESOLVE_ANNOTATION}: abandon)."))
        }
        Ok(Some(Resolution { answer: ResolutionAnswer::Retry, .. })) => {
            let open_until = object.status.as_ref()?.trigger.as_ref()?.open_until.as_ref()?;
            Some(format!(
                "A person answered with retry ({RESOLVE_ANNOTATION}). The next attempt begins at {}: until then the trigger may still take \
                 effect (--quarantine-seconds).",
                open_until.0
            ))
        }
        Ok(Some(Resolution { answer: ResolutionAnswer::Adopt(_), .. })) => None,
        Err(message) => Some(question(nonce, &format!("{message}. Nothing was changed."))),
    }
}
