//! The projection: from what is known of a run to its status. Equal knowledge gives an equal status, so nothing is written twice.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};

use super::{
    ids::ExecutionId,
    outcome::{Obstacle, Unexecuted},
    record::{self, Fate},
    reopen::{abandoned, doubtful, question, reply},
    view::Run,
};
use crate::api::{
    Evidence, Execution, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_HISTORY_IDS, MAX_INTEGER, MAX_STATUS_MESSAGE,
    OnNothingToProcess, PastAttempt, Phase, PipelineRun, PipelineRunStatus, Stats, Trigger, TriggerState,
    conditions::{ConditionStatus, FINISHED, READY, RECONCILING, Reason, STALLED, SUCCEEDED},
};

const PROCESSING: &str = "PROCESSING";
const SUCCESSFUL: &str = "SUCCESSFUL";
const FAILED: &str = "FAILED";
/// An answer of nuvo that comes within this time is not waited for in public.
const PROMPT: Duration = Duration::from_secs(15);

/// What is known of one execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// What nuvo said last.
    Report(Box<Execution>),
    /// nuvo has denied for the whole grace time that it exists.
    Lost,
    /// It belongs to this other pipeline.
    Foreign(String),
}

/// What is known of executions.
pub type Knowledge = BTreeMap<ExecutionId, Known>;

/// Where a run stands, besides what its own record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Situation {
    /// It waits, or it ended without a trigger.
    Because(Reason, String),
    /// Its trigger is settled: the executions tell.
    Settled(Following, Hearing),
}

/// How far what is known of executions can be relied on when the deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hearing {
    /// When nuvo was asked last about each of those that may still be running, and answered; none before that.
    pub asked: Option<Timestamp>,
    /// For how long this process has waited for such an answer since it saw that the deadline has passed.
    pub waited: Duration,
    /// For how long it waits.
    pub patience: Duration,
}

/// Whether nuvo is asked about the executions of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Following {
    /// It is.
    Active,
    /// This process does not know yet whether it can be: nothing is to be said about it before that.
    Undecided,
    /// It cannot be at present, and why.
    Halted(String),
}

/// Whether a status of nuvo ends an execution: only SUCCESSFUL and FAILED, to the letter.
#[must_use]
pub fn is_terminal(word: &str) -> bool {
    word == SUCCESSFUL || word == FAILED
}

/// The executions that a run follows: those of its trigger, or the one it was told to observe.
#[must_use]
pub fn followed(object: &PipelineRun, run: &Run) -> Vec<ExecutionId> {
    if let Some(id) = &object.spec.execution_id {
        return ExecutionId::new(id.clone()).into_iter().collect();
    }
    match &run.trigger {
        Some(trigger) if matches!(trigger.fate, Fate::Accepted(_)) && trigger.attempt == run.attempt => run.executions.clone(),
        _ => Vec::new(),
    }
}

/// The reason of the condition `Succeeded` that a status carries.
#[must_use]
pub fn reason(status: &PipelineRunStatus) -> Option<Reason> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == SUCCEEDED)?;
    Reason::parse(&condition.reason, &condition.status)
}

/// Whether the two say the same of a run, if perhaps in other words: only reasons and messages differ.
#[must_use]
pub fn same_but_for_words(one: &PipelineRunStatus, other: &PipelineRunStatus) -> bool {
    let bare = |status: &PipelineRunStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.reason.clear();
            condition.message.clear();
        }
        status
    };
    bare(one) == bare(other)
}

/// The status of a run that begins another attempt.
#[must_use]
pub fn opened(object: &PipelineRun, attempt: i32, now: Timestamp) -> PipelineRunStatus {
    let old = object.status.clone().unwrap_or_default();
    let past = PastAttempt {
        attempt: old.attempt.unwrap_or(1),
        result: old.conditions.iter().find(|condition| condition.type_ == SUCCEEDED).map(|condition| condition.reason.clone()),
        error_type: old.error.and_then(|error| error.error_type),
        start_time: old.start_time,
        completion_time: old.completion_time,
        execution_ids: old.execution_ids.into_iter().take(MAX_HISTORY_IDS).collect(),
    };
    let mut history = old.history;
    history.push(past);
    history.drain(..history.len().saturating_sub(MAX_HISTORY));
    let mut status = PipelineRunStatus {
        attempt: Some(attempt),
        rerun_token: object.spec.rerun_token.clone(),
        // What a backup brought back speaks of another object, and the person who opens this attempt has been told so.
        trigger: old.trigger.filter(|trigger| trigger.uid.is_none() || trigger.uid == object.metadata.uid),
        conditions: old.conditions,
        history,
        ..PipelineRunStatus::default()
    };
    conclude(&mut status, object, Reason::RetryScheduled, format!("Attempt {attempt} is about to start."), now);
    status
}

/// The status after it became known what a trigger led to.
#[must_use]
pub fn recorded(
    object: &PipelineRun,
    trigger: &record::Trigger,
    executions: &[ExecutionId],
    message: &str,
    unexecuted: Option<Unexecuted>,
    now: Timestamp,
) -> PipelineRunStatus {
    let mut status = begun(object);
    let (state, evidence) = match &trigger.fate {
        Fate::Accepted(record::Evidence::Answer) => (TriggerState::Accepted, Some(Evidence::Answer)),
        Fate::Accepted(record::Evidence::Adopted) => (TriggerState::Accepted, Some(Evidence::Adopted)),
        Fate::NotExecuted => (TriggerState::NotExecuted, None),
        Fate::Ambiguous { executed } => (TriggerState::Ambiguous, executed.then_some(Evidence::Answer)),
        Fate::Observed => (TriggerState::Observed, None),
    };
    let nonce = trigger.nonce.as_str();
    status.attempt = Some(status.attempt.unwrap_or(1).max(trigger.attempt));
    status.trigger = Some(Trigger {
        nonce: nonce.to_owned(),
        uid: object.metadata.uid.clone(),
        attempt: trigger.attempt,
        state,
        evidence,
        time: Some(Time(now)),
        message: cut(message),
    });
    match &trigger.fate {
        Fate::Accepted(_) => {
            status.completion_time = None;
            status.duration = None;
            status.start_time.get_or_insert(Time(now));
            status.execution_ids = executions.iter().take(MAX_EXECUTION_IDS).map(ToString::to_string).collect();
            status.execution_count = count(executions.len());
            settled(&mut status, object, &Knowledge::new(), &Following::Active, Hearing::default(), now);
        }
        Fate::NotExecuted => match unexecuted {
            Some(Unexecuted::Rejected) => {
                let advice = "Correct the pipeline or the account, then set a new spec.rerunToken.";
                let message = format!("nuvo refused to start the pipeline: {} {advice}", sentence(message));
                status.start_time.get_or_insert(Time(now));
                conclude(&mut status, object, Reason::TriggerRejected, message, now);
            }
            again => {
                let obstacle = if let Some(Unexecuted::RetryAfter(_, obstacle)) = again { obstacle } else { Obstacle::Operator };
                let prospect = match obstacle {
                    Obstacle::Account => "It will be tried again when the account is ready.",
                    Obstacle::RateLimited | Obstacle::Unavailable | Obstacle::Operator => "It will be tried again.",
                };
                // Somebody else may have ended the run in doubt meanwhile: whoever knows better opens it again.
                status.completion_time = None;
                status.duration = None;
                let message = format!("Nothing was started: {} {prospect}", sentence(message));
                conclude(&mut status, object, obstacle.reason(), message, now);
            }
        },
        Fate::Ambiguous { .. } => {
            status.start_time.get_or_insert(Time(now));
            conclude(&mut status, object, Reason::TriggerOutcomeUnknown, question(nonce, message), now);
        }
        Fate::Observed => {}
    }
    status
}

/// The status of a run.
#[must_use]
pub fn project(object: &PipelineRun, run: &Run, situation: &Situation, known: &Knowledge, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    match situation {
        _ if status.completion_time.is_some() => reviewed(&mut status, object, run, now),
        Situation::Because(Reason::StatusLost, why) => {
            let message = doubtful(run).map_or_else(|| why.clone(), |trigger| question(trigger.nonce.as_str(), why));
            conclude(&mut status, object, Reason::StatusLost, message, now);
        }
        Situation::Because(present, message) => {
            // Only what is waited for is worth a write, not another way to say it; except for an account, where it tells what to mend.
            let kept = present_message(&status).filter(|_| reason(&status) == Some(*present) && *present != Reason::AccountNotReady);
            let message = kept.unwrap_or_else(|| message.clone());
            conclude(&mut status, object, *present, message, now);
        }
        Situation::Settled(following, hearing) => settled(&mut status, object, known, following, *hearing, now),
    }
    status
}

/// The status of an object that cannot be a run.
#[must_use]
pub fn refused(object: &PipelineRun, message: String, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    conclude(&mut status, object, Reason::InvalidSpec, message, now);
    status
}

fn begun(object: &PipelineRun) -> PipelineRunStatus {
    let mut status = object.status.clone().unwrap_or_default();
    if status.attempt.is_none() {
        status.attempt = Some(1);
        status.rerun_token.clone_from(&object.spec.rerun_token);
    }
    status
}

fn present_message(status: &PipelineRunStatus) -> Option<String> {
    status.conditions.iter().find(|condition| condition.type_ == SUCCEEDED).map(|condition| condition.message.clone())
}

/// An ended run changes only in what its spec and a person's answer change.
fn reviewed(status: &mut PipelineRunStatus, object: &PipelineRun, run: &Run, now: Timestamp) {
    let Some(reason) = reason(status) else { return };
    let present = present_message(status);
    let asked = matches!(reason, Reason::TriggerOutcomeUnknown | Reason::StatusLost);
    let message = if asked { reply(object, run) } else { None }.or(present).unwrap_or_default();
    conclude(status, object, reason, message, now);
    if asked && abandoned(run) {
        status.phase = Some(Phase::Failed);
    }
}

/// What one execution contributes.
struct Part {
    report: Execution,
    end: End,
}

enum End {
    Open,
    Reported,
    Lost,
    Foreign(String),
}

fn part(id: &str, status: &PipelineRunStatus, object: &PipelineRun, known: &Knowledge) -> Part {
    // nuvo has said that it runs what it started for us; of an execution that a person named it has said nothing yet.
    let word = object.spec.execution_id.is_none().then(|| PROCESSING.to_owned());
    let unheard = || Execution { id: id.to_owned(), status: word, ..Execution::default() };
    let earlier = || status.executions.iter().find(|execution| execution.id == id).cloned().unwrap_or_else(unheard);
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

fn end(report: &Execution) -> End {
    if report.status.as_deref().is_some_and(is_terminal) { End::Reported } else { End::Open }
}

fn settled(
    status: &mut PipelineRunStatus,
    object: &PipelineRun,
    known: &Knowledge,
    following: &Following,
    hearing: Hearing,
    now: Timestamp,
) {
    if let Some(id) = &object.spec.execution_id {
        status.execution_ids = vec![id.clone()];
        status.execution_count = Some(1);
        status.start_time.get_or_insert(Time(now));
        status.trigger.get_or_insert_with(|| Trigger {
            attempt: 1,
            state: TriggerState::Observed,
            time: Some(Time(now)),
            ..Trigger::default()
        });
    }
    let parts: Vec<Part> = status.execution_ids.iter().map(|id| part(id, status, object, known)).collect();
    let (reason, message) = judge(status, object, &parts, following, hearing, now);
    // Progress of a part of the executions is not worth a write; the end, a word that nobody knows, and that an execution which a
    // person named exists at all, are.
    let unknown_word = |part: &Part| part.report.status.as_deref().is_some_and(|word| word != PROCESSING && !is_terminal(word));
    let found = object.spec.execution_id.is_some() && status.executions.is_empty() && !parts.iter().any(unheard_of);
    if reason.is_final() || found || parts.iter().any(unknown_word) {
        detail(status, parts);
    }
    conclude(status, object, reason, message, now);
}

/// nuvo has not said a word about it.
const fn unheard_of(part: &Part) -> bool {
    part.report.status.is_none()
}

fn judge(
    status: &PipelineRunStatus,
    object: &PipelineRun,
    parts: &[Part],
    following: &Following,
    hearing: Hearing,
    now: Timestamp,
) -> (Reason, String) {
    let again = "a new spec.rerunToken starts another attempt";
    if parts.is_empty() {
        return nothing_to_process(object);
    }
    if parts.iter().any(|part| matches!(part.end, End::Open)) {
        let running = running(status, parts, following);
        let Some(deadline) = due(status, object).filter(|deadline| now >= *deadline) else { return (Reason::Running, running) };
        let seconds = object.spec.active_deadline_seconds;
        // What was running before the deadline, as far as anybody knows, may have ended in time: so nuvo is asked once more.
        let confirmed = hearing.asked.is_some_and(|asked| asked >= deadline);
        if confirmed || hearing.waited >= hearing.patience {
            let fact = if confirmed {
                format!("The run has not ended within {seconds} s (spec.activeDeadlineSeconds).")
            } else {
                format!(
                    "Whether the run has ended within {seconds} s (spec.activeDeadlineSeconds) is not known: nuvo could not be asked for {} s \
                     after that.",
                    hearing.patience.as_secs()
                )
            };
            let message = format!("{fact} nuvo has no cancel: what it runs may still end there, and is not followed any more; {again}.");
            return (Reason::DeadlineExceeded, message);
        }
        if hearing.waited < PROMPT {
            // The answer is on its way, and not worth a write.
            return (Reason::Running, running);
        }
        let waiting = format!(
            "The deadline has passed ({seconds} s, spec.activeDeadlineSeconds), and nuvo has not said since how far the run is: it ends when \
             nuvo does, or when nuvo could not be asked for {} s.",
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
                    "Execution {id} belongs to pipeline {pipeline}, not to {wanted}: create a new PipelineRun with a pipelineId and an \
                     executionId that belong together."
                );
                return (Reason::InvalidSpec, message);
            }
            End::Lost => {
                return (Reason::ExecutionLost, format!("nuvo says that execution {id} does not exist. Look for it in nuvo; {again}."));
            }
            End::Open | End::Reported => {}
        }
    }
    match parts.iter().find(|part| part.report.status.as_deref() == Some(FAILED)) {
        Some(part) => (Reason::ExecutionFailed, failure(&part.report, parts.len())),
        None => (Reason::Succeeded, success(parts)),
    }
}

fn detail(status: &mut PipelineRunStatus, parts: Vec<Part>) {
    let mut executions: Vec<Execution> = parts.into_iter().map(|part| part.report).collect();
    let failed = |execution: &Execution| execution.status.as_deref() == Some(FAILED);
    status.error = executions.iter().find(|execution| failed(execution)).and_then(|execution| execution.error.clone());
    status.stats = executions.iter().filter_map(|execution| execution.stats).reduce(|a, b| Stats {
        total_rows: plus(a.total_rows, b.total_rows),
        total_cells: plus(a.total_cells, b.total_cells),
        total_error_cells: plus(a.total_error_cells, b.total_error_cells),
        total_error_rows: plus(a.total_error_rows, b.total_error_rows),
        duration_milliseconds: plus(a.duration_milliseconds, b.duration_milliseconds),
    });
    executions.sort_by_key(|execution| !failed(execution));
    executions.truncate(MAX_EXECUTIONS);
    status.executions = executions;
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
            format!("{found} spec.onNothingToProcess is Fail: provide input for the pipeline, then set a new spec.rerunToken."),
        ),
    }
}

fn failure(execution: &Execution, count: usize) -> String {
    let error = execution.error.clone().unwrap_or_default();
    let what = match (error.error_type, error.message) {
        (Some(word), Some(message)) => format!("{word}: {message}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "nuvo gave no reason".to_owned(),
    };
    let of = if count > 1 { format!(" (of {count})") } else { String::new() };
    let advice = "Mend the cause, then set a new spec.rerunToken to start another attempt.";
    // The advice must survive a long message of nuvo.
    let head: String = format!("Execution {}{of} failed: {what}", execution.id).chars().take(900).collect();
    format!("{} {advice}", sentence(&head))
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
                verb("was running when nuvo was asked last", "were running when nuvo was asked last")
            };
            format!(
                "{subject} {last}. At present nuvo is not asked: {} The run goes on by itself when the account is ready.",
                sentence(why)
            )
        }
        Following::Undecided if reason(status) == Some(Reason::Running) => present_message(status).unwrap_or_default(),
        Following::Active | Following::Undecided if unheard => format!("{subject} {} being looked up in nuvo.", verb("is", "are")),
        Following::Active | Following::Undecided => format!("{subject} {} running.", verb("is", "are")),
    }
}

/// The status of a run that ended, with a note for the person whose answer cannot be carried out.
#[must_use]
pub fn noted(object: &PipelineRun, run: &Run, note: &str, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    if let (Some(reason), Some(trigger)) = (reason(&status), doubtful(run)) {
        conclude(&mut status, object, reason, question(trigger.nonce.as_str(), note), now);
    }
    status
}

/// The time until the run's deadline; none before it has started.
#[must_use]
pub fn deadline(object: &PipelineRun, now: Timestamp) -> Option<Duration> {
    deadline_left(object.status.as_ref()?, object, now)
}

/// The time until the deadline of a run with this status; none before it has started.
#[must_use]
pub fn deadline_left(status: &PipelineRunStatus, object: &PipelineRun, now: Timestamp) -> Option<Duration> {
    Some(Duration::try_from(due(status, object)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn due(status: &PipelineRunStatus, object: &PipelineRun) -> Option<Timestamp> {
    let start = status.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::from_secs(object.spec.active_deadline_seconds)).ok()
}

const fn phase(reason: Reason) -> Phase {
    match (reason.status(), reason) {
        (ConditionStatus::True, _) => Phase::Succeeded,
        (ConditionStatus::False, Reason::TriggerOutcomeUnknown | Reason::StatusLost) => Phase::Unresolved,
        (ConditionStatus::False, _) => Phase::Failed,
        (ConditionStatus::Unknown, Reason::Suspended) => Phase::Suspended,
        (ConditionStatus::Unknown, Reason::TriggerUnconfirmed) => Phase::Triggering,
        (ConditionStatus::Unknown, Reason::Running) => Phase::Running,
        (ConditionStatus::Unknown, _) => Phase::Pending,
    }
}

/// Sets everything that follows from the reason: phase, conditions, times.
fn conclude(status: &mut PipelineRunStatus, object: &PipelineRun, reason: Reason, message: String, now: Timestamp) {
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    status.phase = Some(phase(reason));
    if reason == Reason::TriggerUnconfirmed {
        status.start_time.get_or_insert(Time(now));
    }
    let ended = reason.is_final();
    if ended && status.completion_time.is_none() {
        status.completion_time = Some(Time(now));
        status.duration = status.start_time.as_ref().map(|start| human(now.duration_since(start.0)));
    }
    let yes_if = |holds: bool| if holds { ConditionStatus::True } else { ConditionStatus::False };
    let success = reason.status() == ConditionStatus::True;
    let failure = reason.status() == ConditionStatus::False;
    let wanted = [
        (SUCCEEDED, Some(reason.status())),
        (FINISHED, Some(yes_if(ended))),
        (READY, Some(yes_if(success))),
        (RECONCILING, (!ended).then_some(ConditionStatus::True)),
        (STALLED, failure.then_some(ConditionStatus::True)),
    ];
    let message = cut(&message);
    status.conditions = wanted
        .into_iter()
        .filter_map(|(kind, holds)| {
            let holds = holds?.as_str();
            let same = status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == holds);
            Some(Condition {
                type_: kind.to_owned(),
                status: holds.to_owned(),
                reason: reason.as_str().to_owned(),
                message: message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
            })
        })
        .collect();
}

fn count(length: usize) -> Option<i32> {
    i32::try_from(length).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_STATUS_MESSAGE).collect()
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A duration as people write it: `12s`, `1m32s`, `2h03m`.
#[must_use]
pub fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest:02}s"),
        _ => format!("{hours}h{minutes:02}m"),
    }
}
