//! The projection: from what is known of a run to its status. Equal knowledge gives an equal status, so nothing is written twice.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};

use super::{
    executions::{MEND, Part, detail, judge, part, unheard_of},
    expiry, fixes,
    ids::ExecutionId,
    outcome::{Obstacle, Unexecuted},
    record::{self, Fate},
    reopen::{abandoned, doubtful, question, reply},
    retry::{self, Prospect},
    view::Run,
};
use nuvo_crds::{
    Evidence, Execution, MAX_EXECUTION_IDS, MAX_HISTORY, MAX_HISTORY_IDS, MAX_STATUS_MESSAGE, PastAttempt, Phase, PipelineRun,
    PipelineRunStatus, RetryStatus, Trigger, TriggerState,
    conditions::{ConditionStatus, DELETION_BLOCKED, DEVELOPER_MODE, FINISHED, READY, RECONCILING, Reason, STALLED, SUCCEEDED},
};

use crate::vocabulary::ExecutionStatus;
pub(super) use crate::vocabulary::{FAILED, PROCESSING};

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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Situation {
    /// It waits, or it ended without a trigger.
    Because(Reason, String),
    /// Its trigger is settled: the executions tell.
    Settled(Following, Hearing),
}

/// What else nuvo has said, and how far what is known of executions can be relied on when the deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hearing {
    /// When nuvo was asked last about each of those that may still be running, and answered; none before that.
    pub asked: Option<Timestamp>,
    /// For how long this process has waited for such an answer since it saw that the deadline has passed.
    pub waited: Duration,
    /// For how long it waits.
    pub patience: Duration,
    /// nuvo has said that the pipeline is in developer mode.
    pub developer_mode: bool,
}

/// Whether nuvo is asked about the executions of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    ExecutionStatus::documented(word).is_some_and(|status| status.is_terminal())
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

/// The status of a run that begins another attempt. `retry`: by itself, so that it goes on with what it has left of its time and attempts.
#[must_use]
pub fn opened(object: &PipelineRun, attempt: i32, retry: bool, now: Timestamp) -> PipelineRunStatus {
    let mut old = object.status.clone().unwrap_or_default();
    if !retry::is_awaited(&old) {
        let result = old.conditions.iter().find(|condition| condition.type_ == SUCCEEDED).map(|condition| condition.reason.clone());
        remember(&mut old, result, None);
    }
    // It was about the executions of another attempt.
    old.conditions.retain(|condition| condition.type_ != DEVELOPER_MODE);
    let mut status = PipelineRunStatus {
        attempt: Some(attempt),
        retry: old.retry.filter(|_| retry).map(|made| RetryStatus { next_time: None, ..made }),
        rerun_token: if retry { old.rerun_token } else { object.spec.rerun_token.clone() },
        // What a backup brought back speaks of another object, and the person who opens this attempt has been told so.
        trigger: old.trigger.filter(|trigger| trigger.uid.is_none() || trigger.uid == object.metadata.uid),
        conditions: old.conditions,
        history: old.history,
        start_time: old.start_time.filter(|_| retry),
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
            // A status that was put back may still show another attempt.
            (status.executions, status.error, status.stats) = (Vec::new(), None, None);
            status.retry = status.retry.take().map(|made| RetryStatus { next_time: None, ..made });
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
        Situation::Settled(_, hearing) if fixes::mended(&mut status, object, known, hearing.developer_mode, now) => {}
        _ if status.completion_time.is_some() => reviewed(&mut status, object, run, now),
        Situation::Because(Reason::StatusLost, why) => {
            let asked = || doubtful(run).map_or_else(|| why.clone(), |trigger| question(trigger.nonce.as_str(), why));
            let message = reply(object, run).unwrap_or_else(asked);
            conclude(&mut status, object, Reason::StatusLost, message, now);
        }
        Situation::Because(present, message) => {
            // Only what is waited for is worth a write, not another way to say it; except for an account, where it tells what to mend, also
            // if a doubt cannot be looked into because of that.
            let telling = matches!(present, Reason::AccountNotReady | Reason::TriggerUnconfirmed);
            let kept = present_message(&status).filter(|_| reason(&status) == Some(*present) && !telling);
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

pub(super) fn present_message(status: &PipelineRunStatus) -> Option<String> {
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
        expiry::note(status, object, now);
    }
}

/// Keeps the present attempt in the history. `completed` is when it ended, if the status does not say.
fn remember(status: &mut PipelineRunStatus, result: Option<String>, completed: Option<Time>) {
    // A retry has the start of the first attempt, and its own trigger.
    let began = status.trigger.as_ref().filter(|_| status.retry.is_some()).and_then(|trigger| trigger.time.clone());
    status.history.push(PastAttempt {
        attempt: status.attempt.unwrap_or(1),
        result,
        error_type: status.error.as_ref().and_then(|error| error.error_type.clone()),
        start_time: began.or_else(|| status.start_time.clone()),
        completion_time: completed.or_else(|| status.completion_time.clone()),
        execution_ids: status.execution_ids.iter().take(MAX_HISTORY_IDS).cloned().collect(),
    });
    let surplus = status.history.len().saturating_sub(MAX_HISTORY);
    status.history.drain(..surplus);
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
    // Of the attempt that failed, the status has all that matters, and nuvo is not asked any more.
    let waits = retry::is_awaited(status);
    let parts: Vec<Part> = if waits {
        status.executions.iter().map(Part::stored).collect()
    } else {
        status.execution_ids.iter().map(|id| part(id, status, object, known)).collect()
    };
    let (reason, mut message) = judge(status, object, &parts, following, hearing, now);
    if reason == Reason::ExecutionFailed {
        match retry::prospect(status, object, &parts, now) {
            Prospect::Again(next) => return await_retry(status, object, parts, next, &message, now),
            Prospect::Never(why) => {
                message = [Some(message), why, Some(MEND.to_owned())].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        }
    }
    if waits {
        // The attempt that was announced is not made.
        status.history.pop();
        status.retry = status.retry.take().map(|made| RetryStatus { count: made.count.saturating_sub(1), next_time: None });
    }
    if hearing.developer_mode && reason.is_final() {
        warn_of_developer_mode(status, now);
    }
    // Progress of a part of the executions is not worth a write; the end, a word that nobody knows, and that an execution which a
    // person named exists at all, are.
    let unknown_word = |part: &Part| part.report.status.as_deref().is_some_and(|word| word != PROCESSING && !is_terminal(word));
    let found = object.spec.execution_id.is_some() && status.executions.is_empty() && !parts.iter().any(unheard_of);
    if !waits && (reason.is_final() || found || parts.iter().any(unknown_word)) {
        detail(status, parts);
    }
    conclude(status, object, reason, message, now);
}

/// The attempt has failed, and another one follows. Until then the status shows what failed.
fn await_retry(status: &mut PipelineRunStatus, object: &PipelineRun, parts: Vec<Part>, next: RetryStatus, failure: &str, now: Timestamp) {
    if !retry::is_awaited(status) {
        detail(status, parts);
        remember(status, Some(Reason::ExecutionFailed.to_string()), Some(Time(now)));
    }
    let message = format!("{failure} {}", retry::announcement(status, object, &next));
    status.retry = Some(next);
    conclude(status, object, Reason::RetryScheduled, message, now);
}

/// `conclude` keeps the condition as long as the attempt lasts, and says which generation it is about.
pub(super) fn warn_of_developer_mode(status: &mut PipelineRunStatus, now: Timestamp) {
    if status.conditions.iter().all(|condition| condition.type_ != DEVELOPER_MODE) {
        status.conditions.push(Condition {
            type_: DEVELOPER_MODE.to_owned(),
            status: ConditionStatus::True.to_string(),
            reason: DEVELOPER_MODE.to_owned(),
            message: "The pipeline is in developer mode: nuvo delivers only the first 100 rows. Switch it off in nuvo, then set a new \
                      spec.rerunToken to deliver all of them."
                .to_owned(),
            observed_generation: None,
            last_transition_time: Time(now),
        });
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

pub(super) fn due(status: &PipelineRunStatus, object: &PipelineRun) -> Option<Timestamp> {
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
pub(super) fn conclude(status: &mut PipelineRunStatus, object: &PipelineRun, reason: Reason, message: String, now: Timestamp) {
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
    let kept: Vec<Condition> = status
        .conditions
        .iter()
        .filter(|condition| condition.type_ == DEVELOPER_MODE)
        .map(|condition| Condition { observed_generation: generation, ..condition.clone() })
        .collect();
    let blocked = status.conditions.iter().find(|condition| condition.type_ == DELETION_BLOCKED).cloned();
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
        .chain(kept)
        .chain(blocked)
        .collect();
    expiry::note(status, object, now);
}

fn count(length: usize) -> Option<i32> {
    i32::try_from(length).ok()
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_STATUS_MESSAGE).collect()
}

pub(super) fn sentence(text: &str) -> String {
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
