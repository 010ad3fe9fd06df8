//! How answers of nuvo change what is known, and which runs are woken for that.

use std::time::Duration;

use nuvo_client::{Error, ExecutionStatus};
use nuvo_core::run::{Absence, Known, Presence, PresenceJudgement, is_terminal, judge_presence};
use nuvo_crds::Execution;
use tokio::time::Instant;

use super::{
    Poller,
    read_answer::Answer,
    shown_execution::shown_execution,
    tracked::{Key, TrackedExecution, is_processing},
};

impl Poller {
    pub(super) fn answered(&self, key: &Key, asked: Instant, awaited: bool, answer: Result<Answer, Error>) {
        if let Some(entry) = self.state.lock().entries.get_mut(key) {
            entry.reading = false;
            if matches!(answer, Ok(_) | Err(Error::Malformed { .. })) {
                entry.missed = Some(asked);
            }
            if let Ok(Answer::Found(_, developer_mode)) = &answer {
                entry.developer_mode = *developer_mode;
            }
        }
        match answer {
            Ok(Answer::Found(execution, _)) => {
                // An execution that has ended always names its pipeline.
                let foreign = execution.pipeline.as_deref().filter(|pipeline| *pipeline != key.0.as_str());
                let presence = if foreign.is_some() { Presence::Foreign } else { Presence::Ours };
                match self.judge(key, presence) {
                    PresenceJudgement::Reported => {
                        self.remember_duration(key, &execution);
                        self.learn(key, Known::Report(Box::new(shown_execution(&execution))), Some(asked), awaited);
                    }
                    PresenceJudgement::Foreign => {
                        let pipeline = foreign.unwrap_or_default().to_owned();
                        self.learn(key, Known::Foreign(pipeline), Some(asked), awaited);
                    }
                    _ => {}
                }
            }
            Ok(Answer::Denied(absence)) => self.denied(key, absence),
            Err(error @ Error::Malformed { .. }) => tracing::warn!(execution = %key.1, %error, "nothing is concluded from this answer"),
            Err(error) => tracing::debug!(execution = %key.1, %error, "an execution cannot be read; trying again at the next poll"),
        }
    }

    fn remember_duration(&self, key: &Key, execution: &nuvo_client::Execution) {
        let mut state = self.state.lock();
        // An end is counted once.
        let news = execution.status.is_terminal() && state.entries.get(key).is_some_and(TrackedExecution::is_open);
        // By nuvo's own clock: when it ended, not when the operator noticed.
        let at = |time: &Option<nuvo_client::NuvoTime>| time.as_ref()?.at;
        if news
            && let (Some(created), Some(updated)) = (at(&execution.created_at), at(&execution.updated_at))
            && let Ok(took) = Duration::try_from(updated.duration_since(created))
        {
            state.past.add(&key.0, took);
        }
    }

    /// Records what is known of an execution. `asked` is when it was read by its id, if it was.
    pub(super) fn learn(&self, key: &Key, known: Known, asked: Option<Instant>, awaited: bool) {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.denied_since = None;
        // Together with `known`: a run that sees one must see the other.
        entry.asked = asked.or(entry.asked);
        // A first answer that shows a new execution as running changes nothing.
        let no_news = entry
            .known
            .as_ref()
            .map_or_else(|| entry.expected && is_processing(&known), |before| before == &known || same_open_status(before, &known));
        entry.known = Some(known);
        let runs = if no_news && !awaited { Vec::new() } else { entry.runs.clone() };
        drop(state);
        for run in &runs {
            self.notifier.wake(run);
        }
    }

    /// The list shows it as running, so it need not be read by its id.
    pub(super) fn listed(&self, key: &Key) {
        let news = self.state.lock().entries.get_mut(key).is_some_and(|entry| {
            (entry.denied_since, entry.missed) = (None, None);
            entry.known.is_none() && !entry.expected
        });
        if news {
            let status = Some(ExecutionStatus::Processing.as_str().to_owned());
            self.learn(key, Known::Report(Box::new(Execution { id: key.1.to_string(), status, ..Execution::default() })), None, false);
        }
    }

    /// What an answer about an execution means. The time since which the answers deny it is kept.
    fn judge(&self, key: &Key, presence: Presence) -> PresenceJudgement {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get_mut(key) else { return PresenceJudgement::Outdated };
        let judgement = judge_presence(presence, entry.denied_since.map(|since| since.elapsed()), entry.expected, self.grace);
        match judgement {
            PresenceJudgement::Denied => _ = entry.denied_since.get_or_insert_with(Instant::now),
            PresenceJudgement::DeniedAnew => entry.denied_since = Some(Instant::now()),
            _ => {}
        }
        judgement
    }

    /// nuvo denies that it exists.
    pub(super) fn denied(&self, key: &Key, absence: Absence) {
        if self.judge(key, Presence::Absent(absence)) == PresenceJudgement::Lost {
            self.learn(key, Known::Lost, None, false);
        }
    }
}

/// Whether both have the same status, and it is not the last one: of a running execution only the status is shown.
fn same_open_status(before: &Known, now: &Known) -> bool {
    match (before, now) {
        (Known::Report(before), Known::Report(now)) => before.status == now.status && !now.status.as_deref().is_some_and(is_terminal),
        _ => false,
    }
}
