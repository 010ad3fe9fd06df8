//! Plays the passes of the operator over the run, as its reconciler does, with the objects of the file in place of an API server.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::jiff::SignedDuration;
use nuvo_core::run::{
    AccountAnswer, Act, Again, Answer, Answered, Ask, Begin, Beginning, Change, Facts, Failure, FailureKind, Lock, LockRead, Rendered,
    RunMemory, SlotClaim, StatusChange, Step, Wishes, at_rest, differs_only_in_wording, ends_lock_need, events_of_change, next, remember,
};
use nuvo_crds::PipelineRunStatus;

use super::{
    file::Case,
    trace::Trace,
    words::{acts, facts, objects},
    world::{LIMITS, World},
};

/// More acts than any pass takes.
const MAX_ACTS: u32 = 200;

/// Plays a case. What the operator would do, in words.
pub fn replay(case: Case) -> String {
    let passes = case.replay.passes.max(1);
    let world = World::new(case);
    let memory = world.replay.memory.at(world.uptime, world.parsed().ok().as_ref(), world.lock.as_ref().ok());
    let mut trace = Trace::default();
    objects::introduce(&mut trace, &world);
    let mut player = Player { world, trace, memory, written: None, changed: false, locked: None };
    for pass in 1..=passes {
        let Some(again) = player.pass(pass) else { break };
        if pass == passes || !player.world.exists {
            break;
        }
        match again {
            // The watch brings the run back at once.
            _ if player.changed => {}
            Again::After(wait) => player.world.pass(wait),
            Again::OnChange => break,
        }
    }
    player.trace.to_string()
}

struct Player {
    world: World,
    trace: Trace,
    memory: RunMemory,
    /// The status before the last write, and after it.
    written: Option<(Option<PipelineRunStatus>, PipelineRunStatus)>,
    /// This pass has written to the run.
    changed: bool,
    /// The lock as it was read last.
    locked: Option<LockRead>,
}

impl Player {
    /// One pass. None if the replay ends in it.
    fn pass(&mut self, number: u32) -> Option<Again> {
        let rests = self.world.exists && at_rest(&self.world.run, self.world.now);
        let begin = match (self.world.exists, rests) {
            (false, _) => Begin::Deleted,
            (true, true) => Begin::AtRest,
            (true, false) => Begin::Changed,
        };
        let state = match begin {
            Begin::Deleted => "the run was deleted",
            Begin::Unwatched => "the operator watches the run no longer",
            Begin::AtRest => "the run is at rest, and the operator has only its name in memory",
            Begin::Changed if number == 1 || self.changed => "the run has changed",
            Begin::Changed => "the wait is over",
        };
        self.trace.pass(&format!("Pass {number}, at {}: {state}", self.world.now));
        self.changed = false;
        let mut was_read = begin != Begin::AtRest;
        let mut facts = Facts::new(Beginning {
            begin,
            run: if was_read { self.world.parsed().map(Some) } else { Ok(None) },
            memory: self.memory.clone(),
            limits: LIMITS,
            uptime: self.world.uptime,
            spare: self.world.nonce(),
            older: self.world.older(),
            others_wait: self.world.others_wait(),
            polled: self.world.polled(),
        });
        for _ in 0..MAX_ACTS {
            let present = self.world.present(was_read);
            facts.refresh(present.clone());
            let act = next(&facts);
            self.trace.act(&acts::name(&act, &self.world.run.spec.pipeline_id));
            self.trace.facts(facts::list(&facts, &present));
            let answered = match &act {
                Act::Done { again, wishes } => match self.declare(wishes.as_ref()) {
                    Some(answer) => Answered::Account(answer),
                    None => {
                        self.end(&facts, *again, wishes.as_ref());
                        self.memory = remember(&facts);
                        return Some(*again);
                    }
                },
                act => {
                    facts.intend(act);
                    self.carry_out(act)?
                }
            };
            facts.learn(&act, answered);
            was_read |= act == Act::Trigger(Step::ReadRun);
            if matches!(act, Act::Trigger(Step::TakeLock { .. })) {
                facts.renew_spare(self.world.nonce());
            }
        }
        self.trace.detail("stop", "The pass does not come to an end.");
        None
    }

    fn end(&mut self, facts: &Facts, again: Again, wishes: Option<&Wishes>) {
        if let Some(why) = acts::hold(facts) {
            self.trace.detail("waiting", &why);
        }
        if let Some(why) = facts.failure() {
            self.trace.detail("failed", why);
        }
        let then = match again {
            _ if !self.world.exists => "Never: the run is gone.".to_owned(),
            Again::OnChange => "When the run changes, or something wakes it.".to_owned(),
            Again::After(wait) => {
                let then = SignedDuration::try_from(wait).ok().and_then(|wait| self.world.now.checked_add(wait).ok());
                let then = then.map(|then| format!(", at {then}")).unwrap_or_default();
                format!("After {} at the latest{then}.", objects::span(wait))
            }
        };
        self.trace.detail("next look", &then);
        self.trace.detail("wants", &acts::wishes(wishes));
    }

    /// The account's answer, if the run wants one.
    fn declare(&mut self, wishes: Option<&Wishes>) -> Option<AccountAnswer> {
        let (answer, words) = match &wishes?.ask {
            Ask::Nothing | Ask::StayInQueue => return None,
            Ask::Place => (AccountAnswer::Called, "No older run comes first.".to_owned()),
            Ask::Turn => {
                let baseline = self.world.baseline();
                let words = acts::baseline(baseline.as_ref());
                (AccountAnswer::Looked(Answer::Baseline(baseline)), words)
            }
            Ask::Candidates { .. } => {
                let sighting = self.world.candidates();
                let words = acts::sighting(sighting.as_ref());
                (AccountAnswer::Looked(Answer::Candidates(sighting)), words)
            }
            Ask::Running(delivered) => {
                let running = self.world.running(delivered);
                let words = acts::running(&running);
                (AccountAnswer::Looked(Answer::Running(running)), words)
            }
            Ask::Execution(id) => {
                let state = self.world.state(id);
                (AccountAnswer::Looked(Answer::Execution(id.clone(), state)), acts::state(id, state))
            }
            Ask::Executions(ids) => {
                let named: Vec<_> = ids.iter().map(|id| self.world.named(id)).collect();
                let words = ids.iter().zip(&named).map(|(id, named)| acts::named(id, *named)).collect::<Vec<_>>().join(" ");
                (AccountAnswer::Executions(named), words)
            }
        };
        self.trace.detail("answer", &words);
        Some(answer)
    }

    /// Carries out one act. None if the replay ends before it.
    fn carry_out(&mut self, act: &Act) -> Option<Answered> {
        Some(match act {
            Act::Trigger(step) => match self.step(step)? {
                Ok(answered) => answered,
                Err(message) => {
                    self.trace.detail("answer", &format!("It fails: {message}."));
                    Answered::Failed(Failure { kind: FailureKind::Refused, message })
                }
            },
            Act::Render(change) => Answered::Rendered(self.render(change)),
            Act::Show(change) => self.write_status(change),
            Act::AnnounceOnly(change) => {
                let status = self.world.rendering(change);
                self.trace.detail("says", &objects::status(&status));
                self.events(self.world.run.status.clone().as_ref(), &status);
                Answered::Done
            }
            Act::Announce => {
                if let Some((before, after)) = self.written.take() {
                    self.events(before.as_ref(), &after);
                }
                Answered::Done
            }
            Act::Delete => {
                self.world.exists = false;
                Answered::Done
            }
            Act::Pause(wait) => {
                self.world.pass(*wait);
                Answered::Done
            }
            Act::WakeWaiting | Act::WakeHolder(_) | Act::Done { .. } => Answered::Done,
        })
    }

    fn step(&mut self, step: &Step) -> Option<Result<Answered, String>> {
        let answer = match step {
            Step::ReadRun => self.read_run(),
            Step::ReadLock => self.world.lock.clone().map(|read| {
                self.trace.detail("answer", &objects::lock(&read, &self.world.run));
                self.locked = Some(read.clone());
                Answer::Lock(Box::new(read))
            }),
            Step::ReadHolder(lock_holder) => {
                let holder = self.world.holder(&lock_holder.run);
                self.trace.detail("answer", &objects::holder(&holder));
                Ok(Answer::Holder(holder))
            }
            Step::ReadUndecided => self.world.another_is_undecided().map(|undecided| {
                self.trace.detail("answer", if undecided { "One of them is in doubt." } else { "None of them is in doubt." });
                Answer::Undecided(undecided)
            }),
            Step::ReadClaim(_) => {
                self.trace.detail("answer", "The slot is claimed for this run.");
                Ok(Answer::Claim(SlotClaim::Claimed))
            }
            Step::ReadClaimed => {
                let claimed = self.world.claimed();
                self.trace.detail("answer", &format!("They show: {}.", objects::join(&claimed)));
                Ok(Answer::Claimed(Some(claimed.into_iter().collect())))
            }
            Step::TakeLock { lock, .. } | Step::Release { lock, .. } => Ok(Answer::Written(self.write_lock(lock))),
            Step::Mark { marker, .. } => self.world.mark(marker).map(|version| {
                self.changed = true;
                self.trace.detail("writes", &format!("{}. The run has version {version} now.", objects::marker(marker)));
                Answer::Written(version)
            }),
            Step::Post(nonce) => {
                let Some(outcome) = self.world.outcome() else {
                    let pipeline = &self.world.run.spec.pipeline_id;
                    let stop = format!("The operator would now send exactly one POST for pipeline {pipeline}, with the nonce {nonce}.");
                    self.trace.detail("stop", &stop);
                    self.trace.detail("to go on", "Add `postOutcome` to a document `kind: Replay`.");
                    return None;
                };
                self.trace.detail("answer", &acts::outcome(&outcome));
                Ok(Answer::Posted(outcome))
            }
            Step::Record { trigger, executions, message, follow_up, .. } => {
                let (trigger, executions, message) = (trigger.clone(), executions.clone(), message.clone());
                return Some(Ok(self.write_status(&StatusChange::Result { trigger, executions, message, follow_up: *follow_up })));
            }
            Step::ReadBaseline
            | Step::ReadCandidates
            | Step::ReadRunning(_)
            | Step::ReadExecution(_)
            | Step::Hold(_)
            | Step::Follow
            | Step::Forget
            | Step::Restart => Ok(Answer::Indeterminate),
        };
        Some(answer.map(Answered::Trigger))
    }

    fn read_run(&mut self) -> Result<Answer, String> {
        if !self.world.exists {
            self.trace.detail("answer", "The run does not exist any more.");
            return Ok(Answer::Run(None));
        }
        let run = self.world.parsed()?;
        self.trace.detail("answer", &objects::run(&run));
        Ok(Answer::Run(Some(Box::new(run))))
    }

    fn write_lock(&mut self, lock: &Lock) -> String {
        let version = self.world.write_lock(lock);
        let before = self.locked.take().unwrap_or_default();
        let after = LockRead { version: Some(version.clone()), lock: lock.clone(), age: None };
        self.trace.detail("writes", &objects::lock(&after, &self.world.run));
        if let Some(entry) = lock.ledger.back().filter(|entry| before.lock.ledger.back() != Some(entry)) {
            self.trace.detail("ledger", &format!("New entry: {}.", objects::entry(entry)));
        }
        self.locked = Some(after);
        version
    }

    fn render(&mut self, change: &StatusChange) -> Rendered {
        let status = self.world.rendering(change);
        let present = self.world.run.status.as_ref();
        let differs = match present {
            Some(present) if *present == status => Change::None,
            Some(present) if differs_only_in_wording(present, &status) => Change::Messages,
            _ => Change::Content,
        };
        let words = match differs {
            Change::None => "The status says this already".to_owned(),
            Change::Messages => "The status says the same in other words".to_owned(),
            Change::Content => "This is news".to_owned(),
        };
        let ends_lock_need = ends_lock_need(present, &status);
        self.trace.detail("answer", &format!("{words} ({}).", objects::headline(&status)));
        Rendered { change: differs, message_hash: message_hash(&status), ends_lock_need }
    }

    /// The one way in which a status is written.
    fn write_status(&mut self, change: &StatusChange) -> Answered {
        if !self.world.exists {
            self.trace.detail("answer", "The run does not exist any more.");
            return Answered::Missing;
        }
        let (before, after) = (self.world.run.status.clone(), self.world.rendering(change));
        self.trace.detail("writes", &objects::status(&after));
        self.world.write_status(after.clone());
        self.changed = true;
        self.written = Some((before, after));
        match self.world.parsed() {
            Ok(run) => {
                self.trace.detail("result", &format!("The run has version {} now.", run.version));
                Answered::Written(Box::new(run))
            }
            Err(message) => Answered::Failed(Failure { kind: FailureKind::Refused, message }),
        }
    }

    fn events(&mut self, before: Option<&PipelineRunStatus>, after: &PipelineRunStatus) {
        let events = events_of_change(before, after);
        if events.is_empty() {
            self.trace.detail("event", "None: this change is not worth one.");
        }
        for event in events {
            let kind = if event.warning { "Warning" } else { "Normal" };
            self.trace.detail("event", &format!("{kind} {}: {}", event.reason, event.note));
        }
    }
}

fn message_hash(status: &PipelineRunStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    for condition in &status.conditions {
        (&condition.reason, &condition.message).hash(&mut hasher);
    }
    hasher.finish()
}
