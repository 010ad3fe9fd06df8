//! The result of a run's executions: whether it has ended, how, and the message about it.

use k8s_openapi::jiff::Timestamp;

use super::{
    input::{FAILED, Following, Knowledge, Known, PROCESSING, PollFacts, is_terminal},
    read::{reason, stored_message},
};
use crate::{
    quality_gate::shortfall,
    run::{deadline::due, ids::ExecutionId},
    text::sentence,
};
use nuvo_crds::{Execution, MAX_EXECUTIONS, MAX_INTEGER, OnNothingToProcess, PipelineRun, PipelineRunStatus, Stats, conditions::Reason};

/// Within this time, the status does not mention that the operator waits for an answer of nuvo.
const PROMPT: std::time::Duration = std::time::Duration::from_secs(15);
/// What a person can do about a run that ended.
const AGAIN: &str = "Set a new spec.rerunToken to start another attempt.";
/// What a person can do about a run that failed.
pub(super) const FIX_AND_RERUN: &str = "Fix the cause, then set a new spec.rerunToken to start another attempt.";

/// What one execution contributes.
pub(super) struct Part {
    pub(super) report: Execution,
    end: End,
}

pub(super) enum End {
    Open,
    Reported,
    Lost,
    Foreign(String),
}

pub(super) fn part(id: &str, status: &PipelineRunStatus, object: &PipelineRun, known: &Knowledge) -> Part {
    // nuvo has said that it runs what it started for us; of an execution that a person named it has said nothing yet.
    let word = object.spec.execution_id.is_none().then(|| PROCESSING.to_owned());
    let unheard = || Execution { id: id.to_owned(), status: word, ..Execution::default() };
    let earlier = || status.current.executions.iter().find(|execution| execution.id == id).cloned().unwrap_or_else(unheard);
    match ExecutionId::new(id).ok().and_then(|id| known.get(&id)) {
        Some(Known::Lost) => Part { report: earlier(), end: End::Lost },
        Some(Known::Foreign(pipeline)) => Part { report: earlier(), end: End::Foreign(pipeline.clone()) },
        Some(Known::Report(report)) => Part { end: end(report), report: (**report).clone() },
        None => {
            let report = earlier();
            Part { end: end(&report), report }
        }
    }
}

impl Part {
    /// As the status has it.
    pub(super) fn stored(report: &Execution) -> Self {
        Self { end: end(report), report: report.clone() }
    }

    /// Whether nuvo says of it that it failed.
    pub(super) fn failed(&self) -> bool {
        has_failed(&self.report)
    }
}

/// Whether nuvo says of an execution that it failed.
pub(super) fn has_failed(execution: &Execution) -> bool {
    execution.status.as_deref() == Some(FAILED)
}

fn end(report: &Execution) -> End {
    if report.status.as_deref().is_some_and(is_terminal) { End::Reported } else { End::Open }
}

/// nuvo has not said a word about it.
pub(super) const fn unheard_of(part: &Part) -> bool {
    part.report.status.is_none()
}

pub(super) fn judge(
    status: &PipelineRunStatus,
    object: &PipelineRun,
    parts: &[Part],
    following: &Following,
    hearing: PollFacts,
    now: Timestamp,
) -> (Reason, String) {
    if parts.is_empty() {
        return nothing_to_process(object);
    }
    if parts.iter().any(|part| matches!(part.end, End::Open)) {
        let running = running(status, parts, following);
        let Some(deadline) = due(status, object).filter(|deadline| now >= *deadline) else { return (Reason::Running, running) };
        let seconds = object.spec.active_deadline_seconds;
        // An execution that ran when nuvo last answered may have ended before the deadline, so nuvo is asked once more.
        let confirmed = hearing.asked.is_some_and(|asked| asked >= deadline);
        if confirmed || hearing.waited >= hearing.patience {
            let fact = if confirmed {
                format!("The run did not end within {seconds} s (spec.activeDeadlineSeconds).")
            } else {
                format!(
                    "It is not known whether the run ended within {seconds} s (spec.activeDeadlineSeconds), because nuvo could not be asked \
                     for {} s afterwards.",
                    hearing.patience.as_secs()
                )
            };
            let message =
                format!("{fact} nuvo cannot cancel an execution. It may still end there, but the operator no longer follows it. {AGAIN}");
            return (Reason::DeadlineExceeded, message);
        }
        if hearing.waited < PROMPT {
            // The answer is on its way, and not worth a write.
            return (Reason::Running, running);
        }
        let waiting = format!(
            "The deadline has passed ({seconds} s, spec.activeDeadlineSeconds), but nuvo has not reported on the run since. The run ends when \
             nuvo answers, or after {} s without an answer.",
            hearing.patience.as_secs()
        );
        return (Reason::Running, format!("{running} {waiting}"));
    }
    for part in parts {
        let id = &part.report.id;
        match &part.end {
            End::Foreign(pipeline) => {
                let wanted = &object.spec.pipeline_id;
                let message = format!(
                    "Execution {id} belongs to pipeline {pipeline}, not to {wanted}. Create a new PipelineRun whose pipelineId and \
                     executionId belong together."
                );
                return (Reason::InvalidSpec, message);
            }
            End::Lost => {
                return (Reason::ExecutionLost, format!("nuvo reports that execution {id} does not exist. Look for it in nuvo. {AGAIN}"));
            }
            End::Open | End::Reported => {}
        }
    }
    finished(object, parts, status.current.execution_ids.len().max(parts.len()))
}

/// What it comes to when all have ended; `count` is how many there are, also if not all are shown.
pub(super) fn finished(object: &PipelineRun, parts: &[Part], count: usize) -> (Reason, String) {
    if let Some(part) = parts.iter().find(|part| part.failed()) {
        return (Reason::ExecutionFailed, failure(&part.report, count));
    }
    match object.spec.quality_gate.and_then(|gate| shortfall(&gate, parts.iter().map(|part| part.report.stats))) {
        Some(shortfall) => (Reason::QualityGateFailed, gate_message(&shortfall)),
        None => (Reason::Succeeded, success(parts)),
    }
}

fn gate_message(shortfall: &str) -> String {
    format!(
        "nuvo reports success, but the run fails its quality gate: {shortfall}. The data that nuvo delivered stays delivered. Fix the data or the \
         gate, then set a new spec.rerunToken to start another attempt."
    )
}

pub(super) fn detail(status: &mut PipelineRunStatus, parts: Vec<Part>) {
    let mut executions: Vec<Execution> = parts.into_iter().map(|part| part.report).collect();
    status.current.error = executions.iter().find(|execution| has_failed(execution)).and_then(|execution| execution.error.clone());
    status.current.stats = executions.iter().filter_map(|execution| execution.stats).reduce(|a, b| Stats {
        total_rows: plus(a.total_rows, b.total_rows),
        total_cells: plus(a.total_cells, b.total_cells),
        total_error_cells: plus(a.total_error_cells, b.total_error_cells),
        total_error_rows: plus(a.total_error_rows, b.total_error_rows),
        duration_milliseconds: plus(a.duration_milliseconds, b.duration_milliseconds),
    });
    executions.sort_by_key(|execution| !has_failed(execution));
    executions.truncate(MAX_EXECUTIONS);
    status.current.executions = executions;
}

fn plus(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b).min(MAX_INTEGER)),
        (a, b) => a.or(b),
    }
}

fn nothing_to_process(object: &PipelineRun) -> (Reason, String) {
    let found = "nuvo accepted the trigger and found nothing to process.";
    match object.spec.on_nothing_to_process {
        OnNothingToProcess::Succeed => (Reason::NothingToProcess, found.to_owned()),
        OnNothingToProcess::Fail => (
            Reason::NothingToProcessFailed,
            format!(
                "{found} The run fails because spec.onNothingToProcess is Fail. Provide input for the pipeline, then set a new spec.rerunToken."
            ),
        ),
    }
}

/// Why a run failed, without what can be done about it.
fn failure(execution: &Execution, count: usize) -> String {
    let error = execution.error.clone().unwrap_or_default();
    let what = match (error.error_type, error.message) {
        (Some(word), Some(message)) => format!("{word}: {message}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "nuvo gave no reason".to_owned(),
    };
    let of = if count > 1 { format!(" (of {count})") } else { String::new() };
    // The advice after it must fit in behind a long message of nuvo.
    let head: String = format!("Execution {}{of} failed: {what}", execution.id).chars().take(700).collect();
    sentence(&head)
}

fn success(parts: &[Part]) -> String {
    let rows = parts.iter().filter_map(|part| part.report.stats).map(|stats| stats.total_rows).reduce(plus).flatten();
    let rows = rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
    match parts.len() {
        1 => format!("The execution succeeded{rows}."),
        count => format!("All {count} executions succeeded{rows}."),
    }
}

fn running(status: &PipelineRunStatus, parts: &[Part], following: &Following) -> String {
    let subject = match parts {
        [part] => format!("Execution {}", part.report.id),
        parts => format!("{} executions", parts.len()),
    };
    let verb = |one: &'static str, many: &'static str| if parts.len() == 1 { one } else { many };
    let unheard = parts.iter().any(unheard_of);
    match following {
        Following::Halted(why) => {
            let last = if unheard {
                verb("has not been looked up yet", "have not been looked up yet")
            } else {
                verb("was running when nuvo last answered", "were running when nuvo last answered")
            };
            format!(
                "{subject} {last}. The operator cannot ask nuvo at present: {} The run continues by itself when the account is ready.",
                sentence(why)
            )
        }
        Following::Undecided if reason(status) == Some(Reason::Running) => stored_message(status).unwrap_or_default(),
        Following::Active | Following::Undecided if unheard => format!("{subject} {} being looked up in nuvo.", verb("is", "are")),
        Following::Active | Following::Undecided => format!("{subject} {} running.", verb("is", "are")),
    }
}
