//! A world in a few lines, for who reads how a promise was broken.

use std::fmt;

use nuvo_core::run::Run;

use super::{Lease, Object, State, Work};

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.runs {
            match &object.present {
                None => writeln!(f, "    gone")?,
                Some(run) => writeln!(f, "    {}", of_run(run))?,
            }
        }
        for lease in &self.leases {
            writeln!(f, "    {}", of_lease(lease))?;
        }
        for (operator, works) in self.operators.iter().enumerate() {
            for (work, object) in works.iter().zip(&self.runs) {
                writeln!(f, "    operator {operator} on {}: {}", name(object), of_work(work))?;
            }
        }
        Ok(())
    }
}

fn name(object: &Object) -> &str {
    &object.first.id.name
}

fn of_run(run: &Run) -> String {
    let marker = run
        .marker
        .as_ref()
        .map_or_else(String::new, |m| format!(", marker {} of tenure {} (attempt {})", m.nonce, m.acquisition, m.attempt));
    let trigger = run.trigger.as_ref().map_or_else(String::new, |t| format!(", {} is {:?} (attempt {})", t.nonce, t.result, t.attempt));
    let ended = if run.ended { ", ended" } else { "" };
    format!("{} at {}: attempt {}{marker}{trigger}{ended} {:?}", run.id.uid, run.version, run.attempt, run.executions)
}

fn of_lease(lease: &Lease) -> String {
    let holder = lease.read.lock.holder.as_ref().map_or_else(
        || "free".to_owned(),
        |t| {
            format!(
                "{}, nonce {}, tenure {}, run at {}, young {}, {:?}",
                t.run.uid, t.nonce, t.acquisition, t.run_version, t.ledger_may_be_lost, t.baseline
            )
        },
    );
    let ledger: Vec<_> = lease.read.lock.ledger.iter().map(|known| format!("{} {:?}", known.nonce, known.entry)).collect();
    format!("lock at {:?}: {holder}; {ledger:?}", lease.read.version)
}

fn of_work(work: &Work) -> String {
    match work {
        Work::Resting(memory) => format!("rests, inquiry {:?}, quarantine {:?}", memory.trigger.inquiry, memory.trigger.quarantine),
        Work::Busy(pass) if pass.sent.is_some() => format!("waits for {:?}", pass.sent),
        Work::Busy(pass) => format!("next {:?}", pass.act),
    }
}
