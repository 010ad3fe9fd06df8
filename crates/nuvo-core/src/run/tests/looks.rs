//! Runs in doubt, and looks at what nuvo's list shows of them.

use super::*;

pub fn doubtful() -> (Run, Lock) {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    let mut lock = held(&run, "n1", "9");
    lock.holder.as_mut().unwrap().baseline = Some(Baseline { newest: Some(100), ids: vec!["h-known".into()] });
    (run, lock)
}

/// One look into the trigger in doubt at this time; the memory is carried on.
pub fn look(run: &Run, lock: &Lock, memory: &Memory, at: u64, list: Option<Vec<Candidate>>) -> (Step, Memory) {
    look_before(None, run, lock, memory, at, list)
}

/// The same, this long before the deadline.
pub fn look_before(
    deadline: Option<Duration>,
    run: &Run,
    lock: &Lock,
    memory: &Memory,
    at: u64,
    list: Option<Vec<Candidate>>,
) -> (Step, Memory) {
    look_at(deadline, run, lock, memory, at, list.map(|candidates| ListedCandidates { candidates, ..ListedCandidates::default() }))
}

/// The same, at any list.
pub fn look_at(
    deadline: Option<Duration>,
    run: &Run,
    lock: &Lock,
    memory: &Memory,
    at: u64,
    list: Option<ListedCandidates>,
) -> (Step, Memory) {
    let (step, memory, _) = look_counting_reads_of_others(deadline, run, lock, memory, at, list);
    (step, memory)
}

/// The same, with how often the other runs were read.
pub fn look_counting_reads_of_others(
    deadline: Option<Duration>,
    run: &Run,
    lock: &Lock,
    memory: &Memory,
    at: u64,
    list: Option<ListedCandidates>,
) -> (Step, Memory, usize) {
    let mut reads = 0_usize;
    let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), Gate::Open, nonce("spare"));
    o.deadline = deadline;
    loop {
        let step = next_step(&o);
        let answer = match &step {
            Step::ReadRun => Answer::Run(Some(Box::new(run.clone()))),
            Step::ReadLock => lock_read(lock.clone()),
            Step::ReadBaseline => Answer::Baseline(Some(Baseline::default())),
            Step::ReadCandidates => Answer::Candidates(list.clone()),
            Step::ReadClaimed => {
                reads = reads.saturating_add(1);
                Answer::Claimed(Some(BTreeSet::from([execution("claimed")])))
            }
            _ => {
                let memory = remember_trigger(&o, &step);
                return (step, memory, reads);
            }
        };
        o.learn(&step, answer);
    }
}

pub fn is_ambiguous(step: &Step) -> bool {
    matches!(step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: false })
}

/// The same under a lock that remembers an earlier delivery.
pub fn doubtful_again() -> (Run, Lock) {
    let (run, mut lock) = doubtful();
    lock.ledger.push_back(LedgerEntry {
        uid: Uid::new("u0").unwrap(),
        namespace: None,
        nonce: nonce("n0"),
        entry: LedgerOutcome::Nothing,
        later: Later::new(),
    });
    (run, lock)
}

/// What is adopted, and for how many seconds the trigger may have more effects.
pub fn adopted(step: &Step) -> (Vec<ExecutionId>, u64) {
    let Step::Record { trigger, executions, follow_up: FollowUp::OpenFor(left), .. } = step else { panic!("{step:?}") };
    assert_eq!(trigger.result, TriggerResult::Accepted(Evidence::Adopted));
    (executions.clone(), left.as_secs())
}

/// A run in doubt that triggers again, and its lock.
pub fn repeating() -> (Run, Lock) {
    let (run, lock) = doubtful();
    (Run { retriggers: true, ..run }, lock)
}

pub fn is_repeated(step: &Step) -> bool {
    let is_next = |step: &Step| matches!(step, Step::Record { follow_up: FollowUp::NextAttempt, .. });
    is_ambiguous(step) && is_next(step)
}
