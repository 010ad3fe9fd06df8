//! What a status says if the triggers of a pipeline end in doubt one after the other: then it is the pipeline, and not the connection.

use crate::run::{
    trigger::step::{LockRead, Step},
    trigger::stored::{LedgerOutcome, Lock, Trigger, TriggerResult},
};

/// How many other triggers have had an unknown outcome since the last one that started something. Those that were not executed do not
/// count: nuvo said so, or they were not sent.
fn unknown_beside(lock: &Lock, trigger: &Trigger) -> usize {
    let newest_first = lock.ledger.iter().rev().filter(|entry| entry.nonce != trigger.nonce && entry.entry != LedgerOutcome::Nothing);
    newest_first.take_while(|entry| matches!(entry.entry, LedgerOutcome::Unknown | LedgerOutcome::Later(_))).count()
}

/// The same step. If it records that the outcome of a trigger is unknown, it says how many in a row are.
pub(in crate::run) fn counted(mut step: Step, lock: Option<&LockRead>) -> Step {
    if let (Some(read), Step::Record { trigger, message, .. }) = (lock, &mut step)
        && matches!(trigger.result, TriggerResult::Ambiguous { .. })
        && let others @ 1.. = unknown_beside(&read.lock, trigger)
    {
        let count = others.saturating_add(1);
        message.push_str(&format!(
            " It is trigger {count} in a row of this pipeline whose outcome is unknown: find out in nuvo why it cannot be started."
        ));
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{
        ids::{Nonce, Uid},
        trigger::step::FollowUp,
        trigger::stored::LedgerEntry,
    };

    fn entry(nonce: &str, entry: LedgerOutcome) -> LedgerEntry {
        LedgerEntry { uid: Uid::new("u1").unwrap(), namespace: None, nonce: Nonce::new(nonce).unwrap(), entry, later: Default::default() }
    }

    fn message(result: TriggerResult, ledger: &[LedgerEntry]) -> String {
        let step = Step::Record {
            trigger: Trigger { nonce: Nonce::new("mine").unwrap(), attempt: 1, result },
            executions: Vec::new(),
            message: "It is unknown.".to_owned(),
            follow_up: FollowUp::Nothing,
            over: "1".to_owned(),
        };
        let lock = Lock { ledger: ledger.iter().cloned().collect(), ..Lock::default() };
        let Step::Record { message, .. } = counted(step, Some(&LockRead { version: Some("1".to_owned()), lock, age: None })) else {
            panic!()
        };
        message
    }

    #[test]
    fn unknown_outcomes_are_counted_since_the_last_start() {
        let started = entry("n1", LedgerOutcome::Started(Vec::new()));
        let [unknown, again] = ["n2", "n3"].map(|nonce| entry(nonce, LedgerOutcome::Unknown));
        let (nothing, mine) = (entry("n4", LedgerOutcome::Nothing), entry("mine", LedgerOutcome::Unknown));
        let doubt = || TriggerResult::Ambiguous { executed: false };
        let ledger = [unknown.clone(), started.clone(), unknown.clone(), nothing, again, mine.clone()];
        assert!(message(doubt(), &ledger).contains(" It is trigger 3 in a row of this pipeline "), "{}", message(doubt(), &ledger));
        for ledger in [&[][..], &[mine], &[unknown.clone(), started]] {
            assert_eq!(message(doubt(), ledger), "It is unknown.");
        }
        assert_eq!(message(TriggerResult::NotExecuted, &[unknown]), "It is unknown.");
    }
}
