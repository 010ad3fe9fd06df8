//! The objects of the file, as the acts of the operator change them.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_core::run::{
    Account, Baseline, Candidate, ExecutionId, ExecutionState, Holder, Knowledge, Known, Life, Limits, ListedCandidates, Lock, LockRead,
    Marker, Named, Nonce, Obstacle, Polled, PostOutcome, Present, Run, RunRef, RunningExecutions, StatusChange, Unexecuted, awaits_trigger,
    expires, followed, is_terminal, parse, render, undecided,
};
use nuvo_crds::{PipelineRun, PipelineRunStatus, well_known::TRIGGER_ANNOTATION};

use super::file::{AssumedOutcome, Case, Listed, Replay};

/// The defaults of the operator.
pub const LIMITS: Limits = Limits {
    fence: Duration::from_secs(5),
    post_deadline: Duration::from_secs(60),
    settle: Duration::from_secs(300),
    quarantine: Duration::from_secs(900),
    answer: Duration::from_secs(10),
    confirm: Duration::from_secs(10),
    clock_margin: Duration::from_secs(60),
};

/// What exists.
pub struct World {
    /// The run as it was seen last.
    pub run: PipelineRun,
    /// It exists.
    pub exists: bool,
    /// The pipeline's lock, or why it cannot be read.
    pub lock: Result<LockRead, String>,
    /// The account.
    pub account: Account,
    /// The time of day.
    pub now: Timestamp,
    /// The time since the operator started.
    pub uptime: Duration,
    /// What no object says.
    pub replay: Replay,
    others: Vec<PipelineRun>,
    versions: u64,
    nonces: u128,
}

impl World {
    pub fn new(case: Case) -> Self {
        let Case { run, others, lock, account, now, replay } = case;
        let lock_version = lock.as_ref().ok().and_then(|read| read.version.clone());
        let versions = std::iter::once(&run).chain(&others).map(|run| run.metadata.resource_version.clone()).chain([lock_version]);
        let newest = versions.flatten().filter_map(|version| version.parse().ok()).max().unwrap_or(0);
        let exists = !replay.deleted;
        Self { run, exists, lock, account, now, uptime: replay.uptime(), replay, others, versions: newest, nonces: 0 }
    }

    /// A nonce that was never used: a counter, so that every replay says the same.
    pub fn nonce(&mut self) -> Nonce {
        self.nonces = self.nonces.saturating_add(1);
        Nonce::from_bits(self.nonces)
    }

    /// A resourceVersion that comes after all others.
    fn version(&mut self) -> String {
        self.versions = self.versions.saturating_add(1);
        self.versions.to_string()
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        self.uptime = self.uptime.saturating_add(time);
        let later = SignedDuration::try_from(time).ok().and_then(|time| self.now.checked_add(time).ok());
        self.now = later.unwrap_or(self.now);
        if let Ok(LockRead { age: Some(age), .. }) = &mut self.lock {
            *age = age.saturating_add(time);
        }
    }

    /// The run.
    pub fn parsed(&self) -> Result<Run, String> {
        parse(&self.run).map_err(|error| error.to_string())
    }

    /// What may have changed since the last act. Of a run at rest that was not read, only the time of its deletion is known.
    pub fn present(&self, was_read: bool) -> Present {
        let life = if was_read {
            Life::of(&self.run, self.parsed().ok().as_ref(), self.now)
        } else {
            let left = |then: Timestamp| Duration::try_from(then.duration_since(self.now)).unwrap_or_default();
            Life { expiry: expires(&self.run).map(left), ..Life::default() }
        };
        Present { uptime: self.uptime, life, account: self.account.clone(), stopping_for: None, lock_is_known: true }
    }

    /// The older run of the same pipeline and account that is triggered first.
    pub fn older(&self) -> Option<String> {
        let age = |run: &PipelineRun| (run.metadata.creation_timestamp.clone().map(|time| time.0), run.metadata.uid.clone());
        let same = |other: &&PipelineRun| {
            other.metadata.namespace == self.run.metadata.namespace
                && other.spec.account_ref == self.run.spec.account_ref
                && other.spec.pipeline_id == self.run.spec.pipeline_id
                && other.spec.execution_id.is_none()
                && parse(other).is_ok_and(|run| awaits_trigger(&run))
        };
        let first = self.others.iter().filter(same).min_by_key(|other| age(other))?;
        first.metadata.name.clone().filter(|_| age(first) < age(&self.run))
    }

    /// Whether another run of the pipeline waits for its trigger.
    pub fn others_wait(&self) -> bool {
        self.others_of_pipeline().any(|other| other.spec.execution_id.is_none() && parse(other).is_ok_and(|run| awaits_trigger(&run)))
    }

    fn known(&self, run: Option<&Run>) -> Knowledge {
        let executions = run.map(|run| followed(&self.run, run)).unwrap_or_default();
        let report = |id: ExecutionId| {
            let report = self.replay.executions.iter().find(|report| report.id == id.as_str())?;
            Some((id, Known::Report(Box::new(report.clone()))))
        };
        executions.into_iter().filter_map(report).collect()
    }

    /// What the account's polls say: nuvo has just been asked about what the file has reports of.
    pub fn polled(&self) -> Polled {
        let run = self.parsed().ok();
        let executions = run.as_ref().map(|run| followed(&self.run, run)).unwrap_or_default();
        let all = !executions.is_empty() && self.known(run.as_ref()).len() == executions.len();
        Polled { asked: all.then_some(self.now), developer_mode: false }
    }

    /// The status that says this.
    pub fn rendering(&self, change: &StatusChange) -> PipelineRunStatus {
        let run = self.parsed().ok();
        render(&self.run, run.as_ref(), change, &self.known(run.as_ref()), self.now)
    }

    /// Writes the status.
    pub fn write_status(&mut self, status: PipelineRunStatus) {
        self.run.status = Some(status);
        self.run.metadata.resource_version = Some(self.version());
    }

    /// W2. The version that the run has then.
    pub fn mark(&mut self, marker: &Marker) -> Result<String, String> {
        let text = serde_json::to_string(marker).map_err(|error| error.to_string())?;
        self.run.metadata.annotations.get_or_insert_default().insert(TRIGGER_ANNOTATION.to_owned(), text);
        let version = self.version();
        self.run.metadata.resource_version = Some(version.clone());
        Ok(version)
    }

    /// W1 and the release. The version that the lock has then.
    pub fn write_lock(&mut self, lock: &Lock) -> String {
        let version = self.version();
        self.lock = Ok(LockRead { version: Some(version.clone()), lock: lock.clone(), age: Some(Duration::ZERO) });
        version
    }

    /// The run that holds the lock.
    pub fn holder(&self, wanted: &RunRef) -> Holder {
        let found = self.others.iter().find(|run| run.metadata.uid.as_deref() == Some(wanted.uid.as_str()));
        found.map_or(Holder::Gone, |run| parse(run).map_or(Holder::Unreadable, |run| Holder::Present(Box::new(run))))
    }

    /// Whether another run of the pipeline is in doubt.
    pub fn another_is_undecided(&self) -> Result<bool, String> {
        let parsed: Result<Vec<Run>, _> = self.others_of_pipeline().map(parse).collect();
        let runs = parsed.map_err(|error| format!("another run of the pipeline cannot be read: {error}"))?;
        Ok(runs.iter().any(undecided))
    }

    /// The executions that other runs of the pipeline show.
    pub fn claimed(&self) -> Vec<ExecutionId> {
        let status = self.others_of_pipeline().filter_map(|object| object.status.as_ref());
        let shown =
            status.flat_map(|status| status.current.execution_ids.iter().chain(status.history.iter().flat_map(|past| &past.execution_ids)));
        shown.filter_map(|id| ExecutionId::new(id.clone()).ok()).collect()
    }

    fn others_of_pipeline(&self) -> impl Iterator<Item = &PipelineRun> {
        self.others.iter().filter(|other| other.spec.pipeline_id == self.run.spec.pipeline_id)
    }

    /// What exists in nuvo by now.
    fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.replay.list.iter().filter(|listed| listed.created.as_ref().is_none_or(|created| created.0 <= self.now))
    }

    /// What nuvo's list shows before a trigger.
    pub fn baseline(&self) -> Option<Baseline> {
        let newest = self.listed().filter_map(|listed| listed.created.as_ref()).map(|time| time.0.as_millisecond()).max();
        let ids = self.listed().map(|listed| listed.hash.clone()).filter(|hash| !hash.is_empty()).collect();
        (!self.replay.list_unavailable).then_some(Baseline { newest, ids })
    }

    /// What nuvo's list shows of the executions of the pipeline.
    pub fn candidates(&self) -> Option<ListedCandidates> {
        let candidates = self.listed().map(|listed| Candidate {
            id: listed.id.clone(),
            hash: listed.hash.clone(),
            created: listed.created.as_ref().map(|time| time.0.as_millisecond()),
            manual: listed.manual,
            by_us: listed.by_us,
        });
        (!self.replay.list_unavailable).then(|| ListedCandidates { candidates: candidates.collect(), ..ListedCandidates::default() })
    }

    fn reported(&self, id: &ExecutionId) -> Option<&str> {
        self.replay.executions.iter().find(|report| report.id == id.as_str())?.status.as_deref()
    }

    /// What runs before a trigger: what the file has reports of.
    pub fn running(&self, delivered: &[ExecutionId]) -> RunningExecutions {
        let listed = self.listed().map(|listed| listed.id.clone()).filter(|id| self.state(id) == ExecutionState::Processing).collect();
        let ended = delivered.iter().filter(|id| self.state(id) == ExecutionState::Over).cloned().collect();
        RunningExecutions { listed, ended }
    }

    /// What nuvo says of an execution.
    pub fn state(&self, id: &ExecutionId) -> ExecutionState {
        match self.reported(id) {
            Some("PROCESSING") => ExecutionState::Processing,
            Some(word) if is_terminal(word) => ExecutionState::Over,
            _ => ExecutionState::Unclear,
        }
    }

    /// What nuvo says of an execution that a person named.
    pub fn named(&self, id: &ExecutionId) -> Named {
        let listed = self.replay.list.iter().any(|listed| listed.id == *id);
        let reported = self.replay.executions.iter().any(|report| report.id == id.as_str());
        if listed || reported { Named::Ours } else { Named::Unknown }
    }

    /// What comes of the POST; none if the file does not say.
    pub fn outcome(&self) -> Option<PostOutcome> {
        Some(match self.replay.post_outcome.as_ref()? {
            AssumedOutcome::Accepted(ids) => PostOutcome::Accepted(ids.clone()),
            AssumedOutcome::Refused => {
                PostOutcome::NotExecuted { then: Unexecuted::Rejected, message: "nuvo refused the trigger.".to_owned() }
            }
            AssumedOutcome::TryAgainAfterSeconds(wait) => PostOutcome::NotExecuted {
                then: Unexecuted::RetryAfter(Duration::from_secs(*wait), Obstacle::Unavailable),
                message: "nuvo did not carry the trigger out.".to_owned(),
            },
            AssumedOutcome::Unknown => PostOutcome::Unknown { message: "The answer to the trigger did not come.".to_owned() },
        })
    }
}
