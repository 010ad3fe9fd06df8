//! Values of the core that need not fit together, out of a small vocabulary, so that they often do.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nuvo_core::run::{
    Answer, Baseline, Candidate, Evidence, ExecutionId, ExecutionState, Format, Gate, Holder, Inquiry, Later, LedgerEntry, LedgerOutcome,
    Limits, ListedCandidates, Lock, LockHolder, LockRead, MadeBy, Marker, Memory, Nonce, Obstacle, PipelineId, PostOutcome, Run, RunRef,
    RunningExecutions, Scheduled, SlotClaim, Step, Trigger, TriggerResult, Uid, Unexecuted,
};
use nuvo_crds::ConcurrencyPolicy;

use crate::bytes::Bytes;

const ATTEMPTS: [i32; 8] = [1, 1, 2, 3, 0, -1, i32::MAX, i32::MIN];
const MILLISECONDS: [i64; 6] = [1, 2, 3, 0, i64::MIN, i64::MAX];
const SECONDS: [u64; 8] = [0, 1, 5, 10, 60, 300, 900, u64::MAX];

fn some<T>(bytes: &mut Bytes, value: impl FnOnce(&mut Bytes) -> T) -> Option<T> {
    bytes.flag().then(|| value(bytes))
}

fn several<T>(bytes: &mut Bytes, value: impl Fn(&mut Bytes) -> T) -> Vec<T> {
    (0..bytes.below(4)).map(|_| value(bytes)).collect()
}

pub fn seconds(bytes: &mut Bytes) -> Duration {
    Duration::from_secs(bytes.pick(&SECONDS))
}

fn version(bytes: &mut Bytes) -> String {
    bytes.pick(&["1", "2", "3"]).to_owned()
}

fn nonce(bytes: &mut Bytes, spares: u32) -> Nonce {
    match bytes.below(4) {
        // One that this process has made, if there is any.
        3 if spares > 0 => spare(u32::from(bytes.byte()) % spares),
        _ => Nonce::new(bytes.pick(&["n1", "n2", "n3"])).unwrap(),
    }
}

/// The nonces that the process makes; none is made twice.
pub fn spare(number: u32) -> Nonce {
    Nonce::new(format!("s{number}")).unwrap()
}

fn id(bytes: &mut Bytes) -> ExecutionId {
    ExecutionId::new(bytes.pick(&["e1", "e2", "e3"])).unwrap()
}

fn reference(bytes: &mut Bytes) -> RunRef {
    let uid = Uid::new(bytes.pick(&["a", "a", "b"])).unwrap();
    RunRef { uid, namespace: bytes.pick(&["default", "default", "other"]).into(), name: bytes.pick(&["run", "run", "another"]).into() }
}

fn result(bytes: &mut Bytes) -> TriggerResult {
    match bytes.below(6) {
        0 => TriggerResult::NotExecuted,
        1 => TriggerResult::Accepted(Evidence::Answer),
        2 => TriggerResult::Accepted(Evidence::Adopted),
        3 => TriggerResult::Ambiguous { executed: false },
        4 => TriggerResult::Ambiguous { executed: true },
        _ => TriggerResult::Observed,
    }
}

pub fn run(bytes: &mut Bytes, spares: u32) -> Run {
    let marker = |bytes: &mut Bytes| Marker {
        run: reference(bytes),
        nonce: nonce(bytes, spares),
        acquisition: nonce(bytes, spares),
        lock: None,
        account: None,
        attempt: bytes.pick(&ATTEMPTS),
        executed: bytes.one_in(4),
        format: Format::default(),
    };
    Run {
        id: reference(bytes),
        version: version(bytes),
        deleting: bytes.one_in(8),
        suspended: bytes.one_in(8),
        pipeline: PipelineId::new("orders").unwrap(),
        adopt_unproven: bytes.flag(),
        retriggers: bytes.flag(),
        concurrency: bytes.pick(&[ConcurrencyPolicy::Allow, ConcurrencyPolicy::Queue, ConcurrencyPolicy::Skip]),
        attempt: bytes.pick(&ATTEMPTS),
        ended: bytes.one_in(4),
        marker: some(bytes, marker),
        unread_marker: bytes.one_in(8).then(|| bytes.pick(&ATTEMPTS)),
        trigger: some(bytes, |b| Trigger { nonce: nonce(b, spares), attempt: b.pick(&ATTEMPTS), result: result(b) }),
        executions: several(bytes, id),
        abandoned: some(bytes, |b| nonce(b, spares)),
        answered: some(bytes, |b| nonce(b, spares)),
        made_by: made_by(bytes),
        observes: bytes.one_in(8),
        is_mirror: bytes.one_in(8),
    }
}

fn made_by(bytes: &mut Bytes) -> MadeBy {
    match bytes.below(8) {
        0 => MadeBy::Unreadable,
        1 => MadeBy::Schedule(Box::new(Scheduled { slot: Timestamp::UNIX_EPOCH, schedule: "s".to_owned(), uid: "u".to_owned() })),
        _ => MadeBy::Other,
    }
}

fn baseline(bytes: &mut Bytes) -> Baseline {
    Baseline { newest: some(bytes, |b| b.pick(&MILLISECONDS)), ids: several(bytes, |b| b.pick(&["h1", "h2"]).to_owned()) }
}

pub fn lock(bytes: &mut Bytes, spares: u32) -> LockRead {
    let lock_holder = |bytes: &mut Bytes| LockHolder {
        run: reference(bytes),
        nonce: nonce(bytes, spares),
        acquisition: nonce(bytes, spares),
        run_version: version(bytes),
        baseline: some(bytes, baseline),
        ledger_may_be_lost: bytes.one_in(4),
        later: Later::new(),
    };
    let entry = |bytes: &mut Bytes| LedgerEntry {
        uid: reference(bytes).uid,
        namespace: some(bytes, |b| reference(b).namespace),
        nonce: nonce(bytes, spares),
        entry: match bytes.below(7) {
            0 | 1 => LedgerOutcome::Nothing,
            2 | 3 => LedgerOutcome::Unknown,
            4 => LedgerOutcome::Later(serde_json::json!({ "tomorrow": true })),
            _ => LedgerOutcome::Started(several(bytes, id)),
        },
        later: Later::new(),
    };
    let lock = Lock {
        holder: some(bytes, lock_holder),
        ledger: several(bytes, entry).into(),
        ledger_may_be_lost: bytes.flag(),
        ..Lock::default()
    };
    LockRead { version: some(bytes, version), lock, age: some(bytes, seconds) }
}

fn candidate(bytes: &mut Bytes) -> Candidate {
    let hash = bytes.pick(&["h1", "h2", "h3"]).to_owned();
    Candidate {
        id: id(bytes),
        hash,
        created: some(bytes, |b| b.pick(&MILLISECONDS)),
        manual: bytes.below(4) < 3,
        by_us: bytes.below(4) < 3,
    }
}

fn outcome(bytes: &mut Bytes) -> PostOutcome {
    let message = String::new();
    match bytes.below(5) {
        0 => PostOutcome::Accepted(several(bytes, id)),
        1 => PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(seconds(bytes), Obstacle::RateLimited), message },
        2 => PostOutcome::NotExecuted { then: Unexecuted::Rejected, message },
        3 => PostOutcome::ExecutedIdsUnknown { message },
        _ => PostOutcome::Unknown { message },
    }
}

pub fn gate(bytes: &mut Bytes) -> Gate {
    match bytes.below(12) {
        0 => Gate::Draining,
        1 => Gate::AccountNotReady(String::new()),
        2 => Gate::NuvoUnavailable(String::new()),
        3 => Gate::RateLimited(String::new()),
        4 => Gate::HeldOff(Obstacle::Account),
        5 => Gate::BehindOlder(String::new()),
        _ => Gate::Open,
    }
}

pub fn limits(bytes: &mut Bytes) -> Limits {
    if bytes.below(4) < 3 {
        let [fence, post_deadline, settle, quarantine, confirm, clock_margin] = [5, 60, 300, 900, 10, 60].map(Duration::from_secs);
        return Limits { fence, post_deadline, settle, quarantine, answer: confirm, confirm, clock_margin };
    }
    let [fence, post_deadline, settle, quarantine, confirm, clock_margin] = [(); 6].map(|()| seconds(bytes));
    Limits { fence, post_deadline, settle, quarantine, answer: confirm, confirm, clock_margin }
}

pub fn memory(bytes: &mut Bytes, now: Duration) -> Memory {
    let inquiry = |bytes: &mut Bytes| Inquiry {
        executed: bytes.one_in(4),
        last: some(bytes, |b| (now.saturating_sub(seconds(b)), several(b, id))),
        absent: some(bytes, |b| now.saturating_sub(seconds(b))),
        ..Inquiry::new(
            nuvo_core::run::Doubt { nonce: nonce(bytes, 0), acquisition: nonce(bytes, 0), attempt: bytes.pick(&ATTEMPTS) },
            now.saturating_sub(seconds(bytes)),
        )
    };
    Memory { inquiry: some(bytes, inquiry), quarantine: some(bytes, |b| (nonce(b, 0), now.saturating_sub(seconds(b)))) }
}

/// An answer of the kind that the step asks for. A read by name and uid gives that object, or none.
pub fn answer(step: &Step, reference: &RunRef, bytes: &mut Bytes, spares: u32) -> Answer {
    match step {
        Step::ReadRun => Answer::Run((!bytes.one_in(8)).then(|| Box::new(Run { id: reference.clone(), ..run(bytes, spares) }))),
        Step::ReadLock => Answer::Lock(Box::new(lock(bytes, spares))),
        Step::ReadHolder(_) if bytes.one_in(4) => Answer::Holder(if bytes.flag() { Holder::Gone } else { Holder::Unreadable }),
        Step::ReadHolder(lock_holder) => {
            Answer::Holder(Holder::Present(Box::new(Run { id: lock_holder.run.clone(), ..run(bytes, spares) })))
        }
        Step::ReadUndecided => Answer::Undecided(bytes.flag()),
        Step::ReadClaim(_) => Answer::Claim(bytes.pick(&[SlotClaim::Claimed, SlotClaim::Undecided, SlotClaim::NotClaimed])),
        Step::ReadClaimed => Answer::Claimed(some(bytes, |bytes| several(bytes, id).into_iter().collect())),
        Step::ReadBaseline => Answer::Baseline(some(bytes, baseline)),
        Step::ReadCandidates => Answer::Candidates(some(bytes, |b| ListedCandidates {
            candidates: several(b, candidate),
            after: some(b, |b| b.pick(&MILLISECONDS)),
            of_account: b.flag(),
            age: seconds(b),
            account: None,
            is_anonymous: b.flag(),
        })),
        Step::ReadRunning(_) => Answer::Running(RunningExecutions {
            listed: several(bytes, id).into_iter().collect(),
            ended: several(bytes, id).into_iter().collect(),
        }),
        Step::ReadExecution(wanted) => {
            let states = [ExecutionState::Processing, ExecutionState::Over, ExecutionState::Unclear];
            Answer::Execution(wanted.clone(), bytes.pick(&states))
        }
        Step::Post(_) => Answer::Posted(outcome(bytes)),
        _ => match bytes.below(8) {
            0 => Answer::Missing,
            1 => Answer::Refused,
            2 | 3 => Answer::Indeterminate,
            _ => Answer::Written(version(bytes)),
        },
    }
}
