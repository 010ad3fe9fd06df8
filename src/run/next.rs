//! `next(observed) -> step`: the trigger protocol, one step at a time (protocol.md, sections 4 and 6).
//!
//! The shell carries a step out and hands the answer to [`Observed::learn`]. One call of [`next`] yields at most one irreversible act,
//! so every place where a process can die lies between two calls.

use std::time::Duration;

use super::ids::{ExecutionId, Nonce};
use super::outcome::{Outcome, Unexecuted};
use super::record::{Baseline, Entry, Evidence, Fate, Lock, Marker, Tenancy, Trigger};
use super::verdict::{Doubt, Takeover, Verdict, own_entry, settled, takeover, verdict};
use super::view::{Holder, Others, Run, Sighting};

/// The protocol's times. All are measured on this process's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// No POST later than this after the lock was asked for (5 s).
    pub fence: Duration,
    /// The whole deadline of a POST (60 s).
    pub post_deadline: Duration,
    /// How long the list is watched for an execution of a trigger in doubt (300 s).
    pub settle: Duration,
    /// How long a lock whose delivery may still have effects is left alone (900 s).
    pub quarantine: Duration,
    /// The time between two looks that must agree before executions are adopted (10 s).
    pub confirm: Duration,
}

/// Why a run waits before its trigger, as far as others decide it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It need not wait.
    Open,
    /// The process is shutting down: no new trigger.
    Draining,
    /// The account is missing or not ready.
    AccountNotReady(String),
    /// The breaker is open.
    NuvoUnavailable(String),
    /// The account's budget is used up or nuvo asked for a pause of this length.
    RateLimited(Duration),
    /// An older run of this pipeline goes first.
    BehindOlder(String),
}

/// A lock as one quorum read returned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LockRead {
    /// The Lease's resourceVersion; none if there is no Lease.
    pub version: Option<String>,
    /// What it says.
    pub lock: Lock,
}

/// What this task won by taking the lock. It lives in memory only, and it alone permits a POST.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    nonce: Nonce,
    tenure: Nonce,
    attempt: i32,
    /// Before W1. It is never restarted, so that the fence bounds the time from the lock to the POST.
    since: Duration,
    /// The lock was already ours: then W2 is not repeated.
    bump: bool,
    run_version: String,
}

/// Where this task is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Task {
    /// It has no permission.
    #[default]
    Idle,
    /// W1 was sent; whether it won is not known.
    Locking(Grant),
    /// W1 won.
    Locked(Grant),
    /// W2 was sent; whether it won is not known.
    Marking(Grant),
    /// W2 won.
    Marked(Grant),
    /// The POST's class is known, and W3 has not been confirmed.
    Posted(Grant, Outcome),
    /// W3 is confirmed, or the run is gone.
    Finished,
}

/// What this process remembers about a delivery in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inquiry {
    /// The delivery.
    pub doubt: Doubt,
    /// When this process first saw the doubt.
    pub since: Duration,
    /// nuvo said yes to the POST, but not with which ids.
    pub executed: bool,
    /// The candidates of the last look, and when that was.
    pub last: Option<(Duration, Vec<ExecutionId>)>,
}

/// What a process remembers between two passes over a run. Forgetting it costs time, never safety.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// The doubt that is being looked into.
    pub inquiry: Option<Inquiry>,
    /// The delivery of another holder that is waited for, and since when.
    pub quarantine: Option<(Nonce, Duration)>,
}

/// Everything that one pass has learned so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observed {
    /// The run as the cache has it. Nothing irreversible rests on it.
    pub cached: Run,
    /// Monotonic time since the process started; set before every call of [`next`].
    pub now: Duration,
    /// The protocol's times.
    pub limits: Limits,
    /// Whether a trigger may start; set before every call of [`next`].
    pub gate: Gate,
    /// A nonce that nobody has used; the shell replaces it after every [`Step::TakeLock`].
    pub spare: Nonce,
    /// What outlives the pass.
    pub memory: Memory,
    /// Where the task is.
    pub task: Task,
    run: Option<Run>,
    lock: Option<LockRead>,
    holder: Option<Holder>,
    others: Option<Others>,
    baseline: Option<Option<Baseline>>,
    candidates: Option<Option<Sighting>>,
    gone: bool,
}

/// What the shell shall do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Quorum GET of the run.
    ReadRun,
    /// Quorum GET of the pipeline's lock.
    ReadLock,
    /// Quorum GET of the run that holds the lock.
    ReadHolder(Box<Tenancy>),
    /// Quorum LIST of the other runs of the pipeline.
    ReadOthers,
    /// A list of the account that was started after the lock was read.
    ReadBaseline,
    /// A list of the pipeline's executions.
    ReadCandidates,
    /// W1: write this lock over the version that was read (none: create it).
    TakeLock {
        /// What to write.
        lock: Box<Lock>,
        /// The version it replaces.
        over: Option<String>,
    },
    /// W2: write this marker over this version of the run.
    Mark {
        /// What to write.
        marker: Marker,
        /// The version it goes on.
        over: String,
    },
    /// P: exactly one POST with this nonce.
    Post(Nonce),
    /// W3, or the result of looking into a doubt: write the result over this version of the run (none: read it first).
    Record {
        /// The result.
        trigger: Trigger,
        /// The executions it started.
        executions: Vec<ExecutionId>,
        /// For people.
        message: String,
        /// nuvo refused for good, or the wait before another try.
        unexecuted: Option<Unexecuted>,
        /// The version it goes on.
        over: String,
    },
    /// Give the lock back: write this lock over this version.
    Release {
        /// What to write.
        lock: Box<Lock>,
        /// The version it replaces.
        over: String,
    },
    /// The run waits.
    Hold(Hold),
    /// The trigger is settled; what is left is to follow the executions.
    Follow,
    /// The run is gone, and nothing is left to do.
    Forget,
    /// Somebody else changed what this pass rests on: begin a new pass.
    Again,
}

/// Why a pass ends before the trigger is settled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hold {
    /// `spec.suspend`.
    Suspended,
    /// See [`Gate`].
    Gate(Gate),
    /// Another run holds the pipeline. Look again after this time at the latest.
    PipelineBusy(Box<Tenancy>, Option<Duration>),
    /// A trigger is in doubt. Look again after this time.
    Unconfirmed(Duration),
    /// Only a person can decide.
    Lost,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The run, or none if it is gone (or another object has its name).
    Run(Option<Box<Run>>),
    /// The lock.
    Lock(Box<LockRead>),
    /// The holder.
    Holder(Holder),
    /// The other runs.
    Others(Others),
    /// The baseline; none if the list cannot be trusted to show the newest executions.
    Baseline(Option<Baseline>),
    /// The candidates; none if the list failed or is incomplete, which concludes nothing.
    Candidates(Option<Sighting>),
    /// The write was applied; the object has this version now.
    Written(String),
    /// The write was refused (409), or its answer did not come: the object has to be read again.
    Unsure,
    /// The object of the write does not exist.
    Missing,
    /// What is known after the POST.
    Posted(Outcome),
}

impl Observed {
    /// Begins a pass.
    #[must_use]
    pub fn new(cached: Run, memory: Memory, limits: Limits, now: Duration, gate: Gate, spare: Nonce) -> Self {
        Self {
            cached,
            now,
            limits,
            gate,
            spare,
            memory,
            task: Task::Idle,
            run: None,
            lock: None,
            holder: None,
            others: None,
            baseline: None,
            candidates: None,
            gone: false,
        }
    }

    /// The newest read of the run in this pass.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.run.as_ref().unwrap_or(&self.cached)
    }

    /// Whether the run held the pipeline's lock when it was read last in this pass.
    #[must_use]
    pub fn holds_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|read| read.lock.held_by(&self.cached.me.uid).is_some())
    }

    /// Takes in the answer to a step.
    pub fn learn(&mut self, step: &Step, answer: Answer) {
        match (step, answer) {
            (_, Answer::Run(run)) => match run {
                Some(run) => self.run = Some(*run),
                None => self.gone(),
            },
            (_, Answer::Lock(lock)) => self.lock = Some(*lock),
            (_, Answer::Holder(holder)) => self.holder = Some(holder),
            (_, Answer::Others(others)) => self.others = Some(others),
            (_, Answer::Baseline(baseline)) => self.baseline = Some(baseline),
            (_, Answer::Candidates(candidates)) => {
                // A lock that was read before the list does not tell who has claimed what the list shows.
                self.lock = None;
                self.candidates = Some(candidates);
            }
            (Step::TakeLock { lock, .. }, answer) => self.locked(lock, &answer),
            (Step::Mark { .. }, answer) => self.marked(&answer),
            (Step::Post(_), Answer::Posted(outcome)) => {
                if let Task::Marked(grant) | Task::Marking(grant) = std::mem::take(&mut self.task) {
                    self.task = Task::Posted(grant, outcome);
                }
            }
            (Step::Record { .. }, Answer::Written(_)) => {
                self.memory.inquiry = None;
                self.task = Task::Finished;
            }
            (Step::Record { .. }, Answer::Missing) => self.gone(),
            (Step::Record { .. }, _) => self.run = None,
            (Step::Release { .. }, Answer::Unsure) => self.lock = None,
            (Step::Release { .. }, _) => self.task = Task::Finished,
            _ => {}
        }
    }

    /// The run is gone. A known outcome still goes into the ledger, so that nobody adopts what this run started.
    fn gone(&mut self) {
        self.gone = true;
        self.run = None;
        self.lock = None;
        if !matches!(self.task, Task::Posted(..)) {
            self.task = Task::Finished;
        }
    }

    fn locked(&mut self, lock: &Lock, answer: &Answer) {
        let Some(tenancy) = &lock.tenancy else { return };
        let grant = match std::mem::take(&mut self.task) {
            // A second W1 of the same task keeps its clock.
            Task::Marking(old) => {
                Grant { nonce: tenancy.nonce.clone(), tenure: tenancy.tenure.clone(), run_version: tenancy.run_version.clone(), ..old }
            }
            _ => Grant {
                nonce: tenancy.nonce.clone(),
                tenure: tenancy.tenure.clone(),
                attempt: self.run().attempt,
                since: self.now,
                bump: tenancy.nonce != tenancy.tenure,
                run_version: tenancy.run_version.clone(),
            },
        };
        if let Answer::Written(version) = answer {
            self.lock = Some(LockRead { version: Some(version.clone()), lock: lock.clone() });
            self.task = Task::Locked(grant);
        } else {
            self.lock = None;
            self.task = Task::Locking(grant);
        }
    }

    fn marked(&mut self, answer: &Answer) {
        let (Task::Locked(grant) | Task::Locking(grant)) = std::mem::take(&mut self.task) else { return };
        match answer {
            Answer::Written(version) => {
                if let Some(run) = &mut self.run {
                    run.version.clone_from(version);
                    run.marker = Some(marker(run, &grant));
                }
                self.task = Task::Marked(grant);
            }
            Answer::Missing => self.gone(),
            _ => {
                self.run = None;
                self.task = Task::Marking(grant);
            }
        }
    }
}

/// Decides what to do next.
#[must_use]
pub fn next(o: &Observed) -> Step {
    match &o.task {
        Task::Idle if o.memory.inquiry.is_some() || in_doubt_by_itself(&o.cached) => inquire(o),
        Task::Idle => start(o),
        Task::Locking(grant) => match &o.lock {
            None => Step::ReadLock,
            Some(read) if read.lock.tenancy.as_ref().is_some_and(|t| t.nonce == grant.nonce) => mark(o, grant),
            Some(_) => Step::Again,
        },
        Task::Locked(grant) => mark(o, grant),
        Task::Marking(grant) => after_unsure_mark(o, grant),
        Task::Marked(grant) => post(o, grant),
        Task::Posted(grant, outcome) => record_outcome(o, grant, outcome),
        Task::Finished if o.gone => Step::Forget,
        Task::Finished => Step::Follow,
    }
}

fn in_doubt_by_itself(run: &Run) -> bool {
    run.own_marker().is_some() && !super::verdict::decided(run)
}

/// Table 2 and section 4, steps 1 to 4.
fn start(o: &Observed) -> Step {
    if settled(&o.cached) {
        return Step::Follow;
    }
    if o.cached.deleting {
        return Step::Forget;
    }
    if let Some(hold) = held_back(o, o.run()) {
        return hold;
    }
    let Some(read) = &o.lock else { return Step::ReadLock };
    let entry = match clearance(o, read) {
        Ok(entry) => entry,
        Err(step) => return *step,
    };
    if read.version.is_none() && o.others.is_none() {
        return Step::ReadOthers;
    }
    let Some(baseline) = &o.baseline else { return Step::ReadBaseline };
    let Some(run) = &o.run else { return Step::ReadRun };
    if let Some(hold) = held_back(o, run) {
        return hold;
    }
    match verdict(run, &read.lock) {
        Verdict::Decided => Step::Follow,
        Verdict::Lost => Step::Hold(Hold::Lost),
        Verdict::InDoubt(_) => inquire(o),
        Verdict::Recorded(trigger, entry) => record_known(run, trigger, &entry),
        Verdict::New { resume } => {
            let held = read.lock.held_by(&run.me.uid);
            let (tenure, baseline, young, ledger) = match (resume, held) {
                (Some(tenure), Some(held)) => (tenure, held.baseline.clone(), held.young, read.lock.ledger.clone()),
                (_, Some(held)) => match own_entry(held, run, true) {
                    Some(entry) => (o.spare.clone(), baseline.clone(), false, read.lock.released(entry).ledger),
                    None => return Step::Again,
                },
                (_, None) => {
                    let ledger = entry.map_or_else(|| read.lock.ledger.clone(), |entry| read.lock.released(entry).ledger);
                    let young = read.version.is_none() && o.others.as_ref().is_none_or(|others| others.undecided);
                    (o.spare.clone(), baseline.clone(), young, ledger)
                }
            };
            let tenancy =
                Tenancy { holder: run.me.clone(), nonce: o.spare.clone(), tenure, run_version: run.version.clone(), baseline, young };
            Step::TakeLock { lock: Box::new(Lock { tenancy: Some(tenancy), ledger }), over: read.version.clone() }
        }
    }
}

fn held_back(o: &Observed, run: &Run) -> Option<Step> {
    if run.suspended {
        return Some(Step::Hold(Hold::Suspended));
    }
    match &o.gate {
        Gate::Open => None,
        gate => Some(Step::Hold(Hold::Gate(gate.clone()))),
    }
}

/// Section 3: whether another holder gives way, and what its delivery leaves in the ledger.
fn clearance(o: &Observed, read: &LockRead) -> Result<Option<Entry>, Box<Step>> {
    let Some(tenancy) = read.lock.tenancy.as_ref().filter(|tenancy| tenancy.holder.uid != o.cached.me.uid) else { return Ok(None) };
    let Some(holder) = &o.holder else { return Err(Box::new(Step::ReadHolder(Box::new(tenancy.clone())))) };
    let busy = |left| Err(Box::new(Step::Hold(Hold::PipelineBusy(Box::new(tenancy.clone()), left))));
    match takeover(tenancy, holder) {
        Takeover::Now(entry) => Ok(Some(entry)),
        Takeover::No => busy(None),
        Takeover::AfterQuarantine(entry) => {
            let waited = match &o.memory.quarantine {
                Some((nonce, since)) if nonce == &tenancy.nonce => o.now.saturating_sub(*since),
                _ => Duration::ZERO,
            };
            if waited >= o.limits.quarantine { Ok(Some(entry)) } else { busy(Some(o.limits.quarantine.saturating_sub(waited))) }
        }
    }
}

/// What the process shall remember after a pass that ended with this step.
#[must_use]
pub fn remember(o: &Observed, last: &Step) -> Memory {
    let mut memory = o.memory.clone();
    match last {
        Step::Hold(Hold::PipelineBusy(tenancy, _)) => {
            let quarantined = o.holder.as_ref().is_some_and(|holder| matches!(takeover(tenancy, holder), Takeover::AfterQuarantine(_)));
            let known = memory.quarantine.as_ref().is_some_and(|(nonce, _)| nonce == &tenancy.nonce);
            if !quarantined {
                memory.quarantine = None;
            } else if !known {
                memory.quarantine = Some((tenancy.nonce.clone(), o.now));
            }
        }
        Step::Hold(Hold::Unconfirmed(_)) => memory.inquiry = inquiry_after(o),
        Step::Follow | Step::Forget | Step::Hold(Hold::Lost) => memory = Memory::default(),
        _ => {}
    }
    memory
}

fn marker(run: &Run, grant: &Grant) -> Marker {
    Marker { run: run.me.clone(), nonce: grant.nonce.clone(), tenure: grant.tenure.clone(), attempt: grant.attempt }
}

fn mark(o: &Observed, grant: &Grant) -> Step {
    Step::Mark { marker: marker(o.run(), grant), over: grant.run_version.clone() }
}

/// Section 4, step 5.
fn after_unsure_mark(o: &Observed, grant: &Grant) -> Step {
    let Some(run) = &o.run else { return Step::ReadRun };
    if run.own_marker().is_some_and(|m| m.nonce == grant.nonce) {
        return if super::verdict::decided(run) { Step::Follow } else { post(o, grant) };
    }
    match &o.lock {
        Some(LockRead { version: Some(version), lock }) if !grant.bump => {
            let Some(tenancy) = lock.tenancy.as_ref().filter(|t| t.nonce == grant.nonce) else { return Step::Again };
            let before = Lock { tenancy: None, ledger: lock.ledger.clone() };
            if run.deleting || run.suspended || !matches!(verdict(run, &before), Verdict::New { .. }) || !fence_open(o, grant) {
                return Step::Again;
            }
            let tenancy = Tenancy { nonce: o.spare.clone(), tenure: o.spare.clone(), run_version: run.version.clone(), ..tenancy.clone() };
            Step::TakeLock { lock: Box::new(Lock { tenancy: Some(tenancy), ledger: lock.ledger.clone() }), over: Some(version.clone()) }
        }
        _ => Step::Again,
    }
}

fn fence_open(o: &Observed, grant: &Grant) -> bool {
    o.now.saturating_sub(grant.since) < o.limits.fence
}

/// Section 4, steps 6 and 7.
fn post(o: &Observed, grant: &Grant) -> Step {
    if fence_open(o, grant) && o.gate != Gate::Draining {
        return Step::Post(grant.nonce.clone());
    }
    let Some(run) = &o.run else { return Step::ReadRun };
    Step::Record {
        trigger: Trigger { nonce: grant.nonce.clone(), attempt: grant.attempt, fate: Fate::NotExecuted },
        executions: Vec::new(),
        message: "The trigger was not sent: writing the record that precedes it took too long, or the operator is stopping. It will be tried again."
            .to_owned(),
        unexecuted: Some(Unexecuted::RetryAfter(Duration::from_secs(1))),
        over: run.version.clone(),
    }
}

/// Section 4, step 8 and section 5.
fn record_outcome(o: &Observed, grant: &Grant, outcome: &Outcome) -> Step {
    let (fate, executions, message, unexecuted) = match outcome {
        Outcome::Accepted(ids) => (Fate::Accepted(Evidence::Answer), ids.clone(), String::new(), None),
        Outcome::NotExecuted { then, message } => (Fate::NotExecuted, Vec::new(), message.clone(), Some(*then)),
        // Nothing to write: the marker says that a POST may be out, and the list may still tell what it started.
        Outcome::ExecutedIdsUnknown { .. } | Outcome::Unknown { .. } => return if o.gone { Step::Forget } else { inquire(o) },
    };
    if o.gone {
        return release_gone(o, grant, &fate, executions);
    }
    let Some(run) = &o.run else { return Step::ReadRun };
    let trigger = Trigger { nonce: grant.nonce.clone(), attempt: grant.attempt, fate };
    if !run.trigger.as_ref().is_none_or(|present| yields(present, &trigger)) {
        return Step::Follow;
    }
    Step::Record { trigger, executions, message, unexecuted, over: run.version.clone() }
}

/// Whether what the task knows replaces what the status says: an older result, or a guess about the same delivery.
fn yields(present: &Trigger, known: &Trigger) -> bool {
    if present.nonce == known.nonce {
        matches!(present.fate, Fate::Ambiguous { .. })
    } else {
        present.attempt < known.attempt || (present.attempt == known.attempt && !matches!(present.fate, Fate::Accepted(_)))
    }
}

fn release_gone(o: &Observed, grant: &Grant, fate: &Fate, executions: Vec<ExecutionId>) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    let held = read.lock.tenancy.as_ref().is_some_and(|t| t.nonce == grant.nonce);
    let entry = if *fate == Fate::NotExecuted { Entry::Nothing } else { Entry::Started(executions) };
    match &read.version {
        Some(version) if held => Step::Release { lock: Box::new(read.lock.released(entry)), over: version.clone() },
        _ => Step::Forget,
    }
}

/// Gives back the lock of a run whose trigger is settled, or says that there is nothing to give back.
///
/// `tenure` is the tenure that this process knows of; a lock of another one is not touched.
#[must_use]
pub fn release(run: &Run, tenure: &Nonce, read: &LockRead) -> Option<Step> {
    let tenancy = read.lock.held_by(&run.me.uid).filter(|tenancy| &tenancy.tenure == tenure)?;
    let entry = own_entry(tenancy, run, false)?;
    Some(Step::Release { lock: Box::new(read.lock.released(entry)), over: read.version.clone()? })
}

/// Section 6.
fn inquire(o: &Observed) -> Step {
    let Some(run) = &o.run else { return Step::ReadRun };
    if super::verdict::decided(run) {
        return if settled(run) { Step::Follow } else { Step::Again };
    }
    let inquiry = current_inquiry(o);
    let ripe = inquiry.since.saturating_add(o.limits.post_deadline).saturating_add(o.limits.fence);
    if o.now < ripe {
        return unconfirmed(ripe.saturating_sub(o.now));
    }
    // List first, then the lock: whoever took the lock in between has left a ledger entry.
    let Some(candidates) = &o.candidates else { return Step::ReadCandidates };
    let Some(read) = &o.lock else { return Step::ReadLock };
    let doubt = match verdict(run, &read.lock) {
        Verdict::InDoubt(doubt) => doubt,
        Verdict::Recorded(trigger, entry) => return record_known(run, trigger, &entry),
        Verdict::Lost => return Step::Hold(Hold::Lost),
        Verdict::Decided | Verdict::New { .. } => return Step::Again,
    };
    let Some(tenancy) = read.lock.held_by(&run.me.uid).filter(|tenancy| tenancy.tenure == doubt.tenure) else {
        return ambiguous(
            run,
            &doubt,
            inquiry.executed,
            "the lock that preceded the trigger is gone, so nothing in nuvo's list can be attributed to it",
        );
    };
    let Some(others) = &o.others else { return Step::ReadOthers };
    let Some(sighting) = candidates.as_ref().filter(|sighting| covers(sighting, tenancy)) else { return unconfirmed(o.limits.confirm) };
    let found = attributable(run, read, tenancy, others, sighting);
    let agreed = inquiry.last.as_ref().filter(|(_, ids)| !found.is_empty() && ids == &found).map(|(at, _)| *at);
    match agreed {
        Some(at) if o.now.saturating_sub(at) >= o.limits.confirm => Step::Record {
            trigger: Trigger { nonce: doubt.nonce, attempt: doubt.attempt, fate: Fate::Accepted(Evidence::Adopted) },
            executions: found,
            message: "The answer to the trigger was lost; its executions were found in nuvo's list.".to_owned(),
            unexecuted: None,
            over: run.version.clone(),
        },
        Some(at) => unconfirmed(at.saturating_add(o.limits.confirm).saturating_sub(o.now)),
        None if found.is_empty() && o.now >= ripe.saturating_add(o.limits.settle) => {
            ambiguous(run, &doubt, inquiry.executed, "nuvo's list has shown no execution that can be attributed to it")
        }
        None => unconfirmed(o.limits.confirm),
    }
}

fn unconfirmed(wait: Duration) -> Step {
    Step::Hold(Hold::Unconfirmed(wait))
}

fn current_inquiry(o: &Observed) -> Inquiry {
    let doubt =
        o.run().own_marker().map(|m| Doubt { nonce: m.nonce.clone(), tenure: m.tenure.clone(), attempt: m.attempt }).or_else(|| {
            let tenancy = o.lock.as_ref()?.lock.held_by(&o.cached.me.uid)?;
            Some(Doubt { nonce: tenancy.nonce.clone(), tenure: tenancy.tenure.clone(), attempt: o.run().attempt })
        });
    let executed = matches!(&o.task, Task::Posted(_, Outcome::ExecutedIdsUnknown { .. }));
    match (&o.memory.inquiry, doubt) {
        (Some(inquiry), None) => inquiry.clone(),
        (Some(inquiry), Some(doubt)) if inquiry.doubt == doubt => inquiry.clone(),
        (_, Some(doubt)) => Inquiry { doubt, since: o.now, executed, last: None },
        // No marker and no lock: the nonce is not known, and the time of the doubt is all that is kept.
        (None, None) => Inquiry {
            doubt: Doubt { nonce: o.spare.clone(), tenure: o.spare.clone(), attempt: o.run().attempt },
            since: o.now,
            executed,
            last: None,
        },
    }
}

fn inquiry_after(o: &Observed) -> Option<Inquiry> {
    let mut inquiry = current_inquiry(o);
    if let (Some(Some(sighting)), Some(read), Some(others)) = (&o.candidates, &o.lock, &o.others)
        && let Some(tenancy) = read.lock.held_by(&o.cached.me.uid)
        && covers(sighting, tenancy)
    {
        let found = attributable(o.run(), read, tenancy, others, sighting);
        let unchanged = inquiry.last.as_ref().is_some_and(|(_, ids)| ids == &found);
        if !unchanged {
            inquiry.last = Some((o.now, found));
        }
    }
    Some(inquiry)
}

/// Whether a look reaches back to the time before the trigger.
fn covers(sighting: &Sighting, tenancy: &Tenancy) -> bool {
    let baseline = tenancy.baseline.as_ref().and_then(|baseline| baseline.newest);
    sighting.after.is_none_or(|after| baseline.is_some_and(|newest| newest > after))
}

fn attributable(run: &Run, read: &LockRead, tenancy: &Tenancy, others: &Others, sighting: &Sighting) -> Vec<ExecutionId> {
    let Some(baseline) = tenancy.baseline.as_ref().filter(|_| !tenancy.young || run.adopt_unproven) else { return Vec::new() };
    let mut found: Vec<ExecutionId> = sighting
        .candidates
        .iter()
        .filter(|c| c.manual && (c.by_us || run.adopt_unproven))
        .filter(|c| baseline.newest.is_none_or(|newest| c.created.is_some_and(|created| created >= newest)))
        .filter(|c| !baseline.ids.contains(&c.hash) && !read.lock.remembers(&c.id) && !others.claimed.contains(&c.id))
        .map(|c| c.id.clone())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn ambiguous(run: &Run, doubt: &Doubt, executed: bool, why: &str) -> Step {
    Step::Record {
        trigger: Trigger { nonce: doubt.nonce.clone(), attempt: doubt.attempt, fate: Fate::Ambiguous { executed } },
        executions: Vec::new(),
        message: format!("The outcome of the trigger is unknown: {why}."),
        unexecuted: None,
        over: run.version.clone(),
    }
}

fn record_known(run: &Run, trigger: Trigger, entry: &Entry) -> Step {
    let (executions, message) = match entry {
        Entry::Started(ids) => (ids.clone(), "The pipeline's lock remembered the executions of this trigger."),
        Entry::Nothing => (Vec::new(), "The pipeline's lock remembered that this trigger started nothing."),
        Entry::Unknown => {
            (Vec::new(), "The outcome of the trigger is unknown: another run took over the pipeline's lock before it was found out.")
        }
    };
    let unexecuted = (*entry == Entry::Nothing).then_some(Unexecuted::RetryAfter(Duration::from_secs(1)));
    Step::Record { trigger, executions, message: message.to_owned(), unexecuted, over: run.version.clone() }
}
