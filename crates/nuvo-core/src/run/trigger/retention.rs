//! When a lock that is not used any more may be deleted (docs/protocol.md, section 9).

use std::time::Duration;

use crate::run::{
    ids::Uid,
    trigger::step::{Limits, LockRead},
    trigger::stored::LedgerOutcome,
};

/// How long a lock is kept that is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// One under which nothing was started, as far as it remembers. Far longer than any pass lives: whoever creates a lock cannot tell whether
    /// there never was one, or one was deleted meanwhile (an hour).
    pub blank: Duration,
    /// Any other (30 days).
    pub used: Duration,
}

/// Whether a lock may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposal {
    /// Not now.
    No,
    /// Yes.
    Yes,
    /// Unless one of the runs that it remembers still exists. It may need what the lock remembers.
    UnlessOneExists(Vec<Remembered>),
}

/// A run that a lock remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Remembered {
    /// Its uid.
    pub uid: Uid,
    /// Its namespace; none if that is not known.
    pub namespace: Option<String>,
}

/// Judges a lock by a read of it.
#[must_use]
pub fn disposal(read: &LockRead, limits: &Limits, retention: &Retention) -> Disposal {
    let age = read.certain_age(limits);
    if read.version.is_none() {
        return Disposal::No;
    }
    let started_nothing = read.lock.ledger.iter().all(|entry| entry.entry == LedgerOutcome::Nothing);
    if read.lock.holder.is_none() && started_nothing && age >= retention.blank {
        return Disposal::Yes;
    }
    if age < retention.blank.max(retention.used) {
        return Disposal::No;
    }
    let holder =
        read.lock.holder.iter().map(|holder| Remembered { uid: holder.run.uid.clone(), namespace: Some(holder.run.namespace.clone()) });
    let ledger = read.lock.ledger.iter().map(|entry| Remembered { uid: entry.uid.clone(), namespace: entry.namespace.clone() });
    let mut remembered: Vec<_> = holder.chain(ledger).collect();
    remembered.sort();
    remembered.dedup();
    Disposal::UnlessOneExists(remembered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{
        ids::Nonce,
        trigger::stored::{Later, LedgerEntry, Lock, LockHolder, RunRef},
    };

    const RETENTION: Retention = Retention { blank: Duration::from_secs(3_600), used: Duration::from_secs(100_000) };
    const ZERO: Duration = Duration::ZERO;
    const LIMITS: Limits = Limits {
        fence: ZERO,
        post_deadline: ZERO,
        settle: ZERO,
        quarantine: ZERO,
        answer: ZERO,
        confirm: ZERO,
        clock_margin: Duration::from_secs(60),
    };

    fn entry(uid: &str, namespace: Option<&str>, entry: LedgerOutcome) -> LedgerEntry {
        LedgerEntry {
            uid: Uid::new(uid).unwrap(),
            namespace: namespace.map(str::to_owned),
            nonce: Nonce::new("n").unwrap(),
            entry,
            later: Later::new(),
        }
    }

    fn holder(uid: &str) -> LockHolder {
        let nonce = || Nonce::new("n").unwrap();
        LockHolder {
            run: RunRef { uid: Uid::new(uid).unwrap(), namespace: "team".to_owned(), name: uid.to_owned() },
            nonce: nonce(),
            acquisition: nonce(),
            run_version: "1".to_owned(),
            baseline: None,
            ledger_may_be_lost: false,
            later: Later::new(),
        }
    }

    fn judged(holder: Option<LockHolder>, ledger: &[LedgerEntry], age: Option<u64>) -> Disposal {
        let lock = Lock { holder, ledger: ledger.iter().cloned().collect(), ..Lock::default() };
        disposal(&LockRead { version: Some("1".to_owned()), lock, age: age.map(Duration::from_secs) }, &LIMITS, &RETENTION)
    }

    fn remembered(uid: &str, namespace: Option<&str>) -> Remembered {
        Remembered { uid: Uid::new(uid).unwrap(), namespace: namespace.map(str::to_owned) }
    }

    #[test]
    fn lock_under_which_nothing_was_started_is_kept_for_an_hour() {
        let rejected = [entry("u1", Some("team"), LedgerOutcome::Nothing)];
        for ledger in [&[][..], &rejected] {
            let at = |age| judged(None, ledger, age);
            assert_eq!([Some(3_659), Some(3_660)].map(at), [Disposal::No, Disposal::Yes]);
            assert_eq!(at(None), Disposal::No, "its age is not known");
        }
        assert_eq!(judged(Some(holder("u1")), &[], Some(3_660)), Disposal::No, "its holder may go on");
        for outcome in [LedgerOutcome::Unknown, LedgerOutcome::Started(Vec::new())] {
            assert_eq!(judged(None, &[entry("u1", None, outcome)], Some(3_660)), Disposal::No);
        }
    }

    #[test]
    fn any_other_lock_is_kept_as_long_as_a_run_exists_that_it_remembers() {
        let started = |uid, namespace| entry(uid, namespace, LedgerOutcome::Started(Vec::new()));
        let ledger = [started("u2", Some("team")), started("u1", None), started("u2", Some("team"))];
        let all = vec![remembered("u1", None), remembered("u2", Some("team")), remembered("u3", Some("team"))];
        assert_eq!(judged(Some(holder("u3")), &ledger, Some(100_059)), Disposal::No);
        assert_eq!(judged(Some(holder("u3")), &ledger, Some(100_060)), Disposal::UnlessOneExists(all));
        let holder = judged(Some(holder("u3")), &[], Some(100_060));
        assert_eq!(holder, Disposal::UnlessOneExists(vec![remembered("u3", Some("team"))]), "also if only its holder is known");
    }

    #[test]
    fn lock_that_is_not_there_is_not_deleted() {
        let none = LockRead { age: Some(Duration::from_secs(1_000_000)), ..LockRead::default() };
        assert_eq!(disposal(&none, &LIMITS, &RETENTION), Disposal::No);
    }
}
