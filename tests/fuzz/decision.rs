//! The core's decisions, whatever the shell answers.

use std::time::Duration;

use nuvo_core::run::{Answer, Gate, Memory, Nonce, Step, TriggerFacts, decided, next_step, remember_trigger};

use crate::{any, bytes::Bytes, store};

/// The most reads in a row: each of the six kinds, and the lock and the run once more.
const READS: usize = 8;

/// An even first byte: answers that need not fit together. An odd one: a store that keeps its word.
pub fn check(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    if bytes.flag() { store::play(&mut bytes) } else { anything(&mut bytes) }
}

fn anything(bytes: &mut Bytes) {
    let mut memory = any::memory(bytes, Duration::ZERO);
    let mut now = any::seconds(bytes);
    let limits = any::limits(bytes);
    let mut spares = 0;
    for _ in 0..8 {
        let cached = any::run(bytes, spares);
        spares += 1;
        let observed = TriggerFacts::new(cached, memory, limits, now, any::gate(bytes), any::spare(spares - 1));
        let mut pass = Pass { observed, spares, reads: 0, lock_asked: None, posted: false, mark: Mark::None };
        memory = pass.play(bytes);
        (now, spares) = (pass.observed.now, pass.spares);
        if bytes.is_empty() {
            break;
        }
    }
}

/// What the marker of this pass has come to.
enum Mark {
    None,
    /// It is written: the very next step may be the POST with this nonce.
    Won(Nonce),
    /// It is not known; a read of the run will tell.
    Indeterminate(Nonce),
}

struct Pass {
    observed: TriggerFacts,
    spares: u32,
    reads: usize,
    /// When the pass asked for the lock first.
    lock_asked: Option<Duration>,
    posted: bool,
    mark: Mark,
}

impl Pass {
    fn play(&mut self, bytes: &mut Bytes) -> Memory {
        for _ in 0..64 {
            let wait = if bytes.one_in(8) { any::seconds(bytes) } else { Duration::ZERO };
            self.observed.now = self.observed.now.saturating_add(wait);
            if bytes.one_in(8) {
                // A process that is ending does not think better of it.
                let gate = any::gate(bytes);
                self.observed.gate = if self.observed.gate == Gate::Draining { Gate::Draining } else { gate };
                self.observed.deadline = bytes.flag().then(|| any::seconds(bytes));
            }
            let step = next_step(&self.observed);
            assert_eq!(step, next_step(&self.observed), "the same was observed");
            self.judge(&step);
            if matches!(step, Step::Follow | Step::Forget | Step::Restart | Step::Hold(_)) {
                return remember_trigger(&self.observed, &step);
            }
            let answer = any::answer(&step, &self.observed.run().id, bytes, self.spares);
            self.note(&step, &answer);
            self.observed.learn(&step, answer);
            if matches!(step, Step::TakeLock { .. }) {
                self.observed.spare = any::spare(self.spares);
                self.spares += 1;
            }
        }
        // Broken off.
        remember_trigger(&self.observed, &next_step(&self.observed))
    }

    fn judge(&mut self, step: &Step) {
        let is_read = matches!(
            step,
            Step::ReadRun
                | Step::ReadLock
                | Step::ReadHolder(_)
                | Step::ReadUndecided
                | Step::ReadClaimed
                | Step::ReadClaim(_)
                | Step::ReadBaseline
                | Step::ReadCandidates
        );
        self.reads = if is_read { self.reads + 1 } else { 0 };
        assert!(self.reads <= READS, "it reads and reads: {step:?}");
        let run = self.observed.run();
        match step {
            Step::TakeLock { lock, .. } => {
                let lock_holder = lock.holder.as_ref().expect("whoever takes a lock holds it");
                assert_eq!(lock_holder.nonce, self.observed.spare, "a permission with a nonce that is not new");
                assert!(run.own_marker().is_none() || decided(run), "its marker says that a POST may be out: {run:?}");
                assert!(!run.deleting && lock_holder.run_version == run.version);
                assert!(!self.posted, "a second permission in one pass");
            }
            Step::Mark { marker, over } => {
                assert_eq!(marker.run.uid, run.id.uid);
                assert!(!marker.executed || *over == run.version);
                assert!(marker.executed || !self.posted, "a marker after the POST");
            }
            Step::Post(nonce) => {
                assert!(!self.posted, "a second POST in one pass");
                self.posted = true;
                assert!(matches!(&self.mark, Mark::Won(won) if won == nonce), "the marker is not known to be there");
                let asked = self.lock_asked.expect("the lock comes before the POST");
                assert!(self.observed.now.saturating_sub(asked) < self.observed.limits.fence, "a POST beyond the fence");
                assert!(self.observed.gate != Gate::Draining && !run.suspended);
            }
            _ => {}
        }
    }

    fn note(&mut self, step: &Step, answer: &Answer) {
        self.mark = match (step, answer, std::mem::replace(&mut self.mark, Mark::None)) {
            (Step::Mark { marker, .. }, Answer::Written(_), _) if !marker.executed => Mark::Won(marker.nonce.clone()),
            (Step::Mark { marker, .. }, Answer::Indeterminate, _) if !marker.executed => Mark::Indeterminate(marker.nonce.clone()),
            (Step::ReadRun, Answer::Run(Some(run)), Mark::Indeterminate(nonce))
                if !decided(run) && run.own_marker().is_some_and(|marker| marker.nonce == nonce) =>
            {
                Mark::Won(nonce)
            }
            _ => Mark::None,
        };
        if matches!(step, Step::TakeLock { .. }) {
            self.lock_asked.get_or_insert(self.observed.now);
        }
    }
}
