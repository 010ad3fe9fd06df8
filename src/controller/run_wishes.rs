//! What a run wants of its account and of other runs, now and until its next reconcile.

use std::{sync::Arc, time::Duration};

use nuvo_client::{Error, ExecutionStatus};
use nuvo_core::{
    run::{AccountAnswer, Answer, Ask, ExecutionId, ExecutionState, Named, PipelineId, RunningExecutions, Wishes},
    scheduler::Purpose,
};

use super::{account_registry::AccountState, run_pass::Pass, shell::Shell};
use crate::account::{AccountKey, QueueKey, Session};

impl Pass<'_> {
    /// Registers what the run wants until its next reconcile. Returns the answer of its account, if it wants one now.
    pub async fn declare(&mut self, wishes: Option<&Wishes>) -> Option<AccountAnswer> {
        let wishes = wishes?;
        let (work, shell) = (self.work.as_ref()?, self.shell);
        let reference = self.reference();
        if let (Some(driver), Some(pipeline)) = (shell.accounts.driver(&work.account), &work.pipeline) {
            // A run that asks for something goes on, and may need what is known of the executions that it waits for.
            if wishes.ask == Ask::Nothing || wishes.follow.is_some() {
                driver.follow(&self.id, pipeline, wishes.follow.as_ref());
            }
            if wishes.ask == Ask::Nothing {
                driver.forget_doubt(&self.id);
            }
        }
        if let (Some(pipeline), Ask::Nothing | Ask::StayInQueue) = (&work.pipeline, &wishes.ask) {
            if wishes.waits_for_lock {
                shell.lock_waiters.add(pipeline, reference);
            } else {
                shell.lock_waiters.remove(pipeline, &reference);
            }
        }
        if wishes.ask == Ask::Nothing {
            shell.trigger_queue.leave(&work.account, &QueueKey::of(&work.object));
            self.place = None;
        }
        self.ask(&wishes.ask).await
    }

    async fn ask(&mut self, ask: &Ask) -> Option<AccountAnswer> {
        if matches!(ask, Ask::Nothing | Ask::StayInQueue) {
            return None;
        }
        let work = self.work.as_ref()?;
        let AccountState::Ready(session) = work.state.clone() else { return Some(AccountAnswer::Stopping) };
        let pipeline = work.pipeline.clone()?;
        if *ask == Ask::Place {
            return Some(match self.shell.trigger_queue.try_acquire(&work.account, session.most_places(), &QueueKey::of(&work.object)) {
                Ok(place) => {
                    self.place = Some(place);
                    AccountAnswer::Called
                }
                Err(ahead) => AccountAnswer::Queued(wait_for(ahead, &session)),
            });
        }
        if let Ask::Candidates { by_pipeline } = ask {
            let shown = self.shell.accounts.driver(&work.account)?.candidates(&self.id, &pipeline, *by_pipeline);
            return Some(shown.map_or(AccountAnswer::Later, |listed| AccountAnswer::Looked(Answer::Candidates(listed))));
        }
        // Other runs can work while this one waits for nuvo, and it must not wait for them afterwards.
        self.slot = None;
        Some(match ask {
            // With a reservation for the POST, which must not wait once the lock is taken.
            Ask::Turn => {
                // One that had its turn before, and could not use it, does not keep the turn from itself.
                self.turn = None;
                match session.turn(self.lock_read).await {
                    Ok((turn, baseline)) if is_current(self.shell, &work.account, &session) => {
                        self.turn = Some(turn);
                        AccountAnswer::Looked(Answer::Baseline(baseline))
                    }
                    // What the list of another account shows is no baseline.
                    Ok(_) => AccountAnswer::Stopping,
                    Err(error) => refused(&error),
                }
            }
            Ask::Running(delivered) => match session.processing(&pipeline, self.lock_read).await {
                Ok(listed) => {
                    let all = listed.iter().chain(delivered).cloned().collect();
                    let ended = self.shell.accounts.driver(&work.account)?.ended(&pipeline, &all);
                    AccountAnswer::Looked(Answer::Running(RunningExecutions { listed, ended }))
                }
                Err(error) => refused(&error),
            },
            Ask::Execution(id) => match state_of(&session, id, &pipeline).await {
                Ok(state) => AccountAnswer::Looked(Answer::Execution(id.clone(), state)),
                Err(error) => refused(&error),
            },
            Ask::Executions(ids) => {
                let mut named = Vec::with_capacity(ids.len());
                for id in ids {
                    named.push(read(&session, id, pipeline.as_str()).await);
                    if named.last() != Some(&Named::Ours) {
                        break;
                    }
                }
                AccountAnswer::Executions(named)
            }
            Ask::Nothing | Ask::StayInQueue | Ask::Place | Ask::Candidates { .. } => return None,
        })
    }
}

/// Whether the account still has this session, so that what its driver has seen meanwhile is what the session would have shown.
fn is_current(shell: &Shell, account: &AccountKey, session: &Arc<Session>) -> bool {
    matches!(shell.accounts.state(account), AccountState::Ready(current) if Arc::ptr_eq(&current, session))
}

/// What nuvo says of an execution that may keep a run from its trigger.
async fn state_of(session: &Session, id: &ExecutionId, pipeline: &PipelineId) -> Result<ExecutionState, Error> {
    Ok(match session.read(id, Purpose::Baseline).await {
        Ok(execution) if execution.pipeline.as_deref().is_some_and(|named| named != pipeline.as_str()) => ExecutionState::Over,
        Ok(execution) if execution.status.is_terminal() => ExecutionState::Over,
        Ok(execution) if execution.status == ExecutionStatus::Processing => ExecutionState::Processing,
        Ok(_) | Err(Error::NotFound) => ExecutionState::Unclear,
        Err(error) => return Err(error),
    })
}

async fn read(session: &Session, id: &ExecutionId, pipeline: &str) -> Named {
    match session.read(id, Purpose::Import).await {
        Ok(execution) if execution.pipeline.as_deref() == Some(pipeline) => Named::Ours,
        Ok(_) => Named::Foreign,
        Err(Error::NotFound) => Named::Unknown,
        Err(error) => {
            tracing::info!(%error, execution = %id, "the named execution cannot be read yet");
            Named::Unread(if let Error::Paused(pause) = error { Some(pause.left) } else { None })
        }
    }
}

fn refused(error: &Error) -> AccountAnswer {
    tracing::info!(%error, "no trigger without a list of nuvo's executions");
    let retry_after = if let Error::Paused(pause) = error { Some(pause.left) } else { None };
    match error {
        Error::Stopping => AccountAnswer::Stopping,
        _ => AccountAnswer::Refused { obstacle: error.obstacle(), message: error.to_string(), retry_after },
    }
}

/// How long this many older runs take at the rate limit of the account.
fn wait_for(ahead: usize, session: &Session) -> Duration {
    let ahead = f64::from(u32::try_from(ahead).unwrap_or(u32::MAX));
    Duration::try_from_secs_f64(ahead / session.rate()).unwrap_or(Duration::MAX)
}
