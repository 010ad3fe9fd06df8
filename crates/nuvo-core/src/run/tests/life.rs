//! The life of a run around its trigger, one rule at a time.

use super::*;
use crate::run::{Account, Begin, Beginning, Facts, Polled, Present, RetryWait, RunMemory};
use nuvo_crds::conditions::Reason;

const NOW: Duration = Duration::from_secs(1_000);

/// A run whose trigger nuvo has accepted under the nonce `n1`.
fn accepted() -> Run {
    let run = run("u1");
    Run {
        marker: Some(marker_of(&run, "n1", 1)),
        trigger: Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Answer))),
        executions: vec![execution("e1")],
        ..run
    }
}

fn ended() -> Run {
    Run { ended: true, ..accepted() }
}

pub(super) fn present(life: Life) -> Present {
    Present { uptime: NOW, life, account: Account::FREE, stopping_for: None, lock_is_known: true }
}

pub(super) fn facts(begin: Begin, run: Option<Run>, memory: RunMemory) -> Facts {
    Facts::new(Beginning {
        begin,
        run: Ok(run),
        memory,
        limits: limits(),
        uptime: NOW,
        spare: nonce("spare"),
        older: None,
        others_wait: false,
        polled: Polled::default(),
    })
}

fn rendered(change: Change) -> Answered {
    Answered::Rendered(Rendered { change, message_hash: 7, ends_lock_need: false })
}

/// Decides, answers renderings like this, gives the run its place, and returns the first act that is something else.
pub(super) fn decide(facts: &mut Facts, life: &Life, change: Change) -> Act {
    for _ in 0..10 {
        facts.refresh(present(life.clone()));
        let act = next(facts);
        match &act {
            Act::Render(_) => facts.learn(&act, rendered(change)),
            Act::Done { wishes: Some(Wishes { ask: Ask::Place, .. }), .. } => {
                facts.learn(&act, Answered::Account(AccountAnswer::Called));
            }
            _ => return act,
        }
    }
    panic!("it renders again and again: {facts:?}");
}

fn lock_answer(lock: Lock) -> Answered {
    Answered::Trigger(lock_read(lock))
}

const READ_LOCK: Act = Act::Trigger(Step::ReadLock);

#[test]
fn ended_run_with_pending_lock_releases_it_and_wakes_those_who_wait() {
    let run = ended();
    let life = Life::default();
    let mut f = facts(Begin::Changed, Some(run.clone()), RunMemory { lock_pending_release: true, ..RunMemory::default() });
    assert_eq!(decide(&mut f, &life, Change::None), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&run, "n1", "10")));
    let release = decide(&mut f, &life, Change::None);
    let Act::Trigger(Step::Release { lock, .. }) = &release else { panic!("{release:?}") };
    assert_eq!((&lock.holder, lock.ledger.len()), (&None, 1));
    f.learn(&release, Answered::Trigger(Answer::Written("8".into())));
    assert_eq!(decide(&mut f, &life, Change::None), Act::WakeWaiting);
    f.learn(&Act::WakeWaiting, Answered::Done);
    assert!(matches!(decide(&mut f, &life, Change::None), Act::Done { again: Again::OnChange, .. }));
    assert_eq!(remember(&f), RunMemory::default(), "nothing is owed any more");
}

/// The account has a place for the run.
fn take_place(f: &mut Facts) {
    let act = next(f);
    assert!(matches!(&act, Act::Done { wishes: Some(wishes), .. } if wishes.ask == Ask::Place), "{act:?}");
    f.learn(&act, Answered::Account(AccountAnswer::Called));
}

#[test]
fn run_reads_its_lock_only_when_its_account_has_a_place_for_it() {
    let mut f = facts(Begin::Changed, Some(run("u1")), RunMemory::default());
    f.refresh(present(Life::default()));
    let act = next(&f);
    f.learn(&act, Answered::Account(AccountAnswer::Queued(Duration::from_secs(3))));
    let waits = next(&f);
    assert!(matches!(&waits, Act::Done { wishes: Some(wishes), .. } if wishes.ask == Ask::StayInQueue), "{waits:?}");
}

#[test]
fn run_in_doubt_waits_for_a_look_between_two_passes_and_asks_for_its_pipeline_when_that_is_too_short() {
    let mut marked = run("u1");
    marked.marker = Some(marker_of(&marked, "n1", 1));
    let inquiry = Inquiry::new(Doubt { nonce: nonce("n1"), acquisition: nonce("n1"), attempt: 1 }, Duration::ZERO);
    let memory = || RunMemory { trigger: Memory { inquiry: Some(inquiry.clone()), quarantine: None }, ..RunMemory::default() };
    let ask = |by_pipeline| Act::Done {
        again: Again::OnChange,
        wishes: Some(Wishes { ask: Ask::Candidates { by_pipeline }, ..Wishes::default() }),
    };
    let asks = |f: &mut Facts| {
        f.refresh(present(Life::default()));
        assert_eq!(next(f), Act::Trigger(Step::ReadRun), "no place is needed");
        f.learn(&Act::Trigger(Step::ReadRun), Answered::Trigger(Answer::Run(Some(Box::new(marked.clone())))));
        assert_eq!(next(f), ask(false));
    };
    let mut f = facts(Begin::Changed, Some(marked.clone()), memory());
    asks(&mut f);
    f.learn(&ask(false), Answered::Account(AccountAnswer::Later));
    let says = next(&f);
    assert!(matches!(&says, Act::Render(StatusChange::Present(StatusInput::Because(Reason::TriggerUnconfirmed, _)))), "{says:?}");
    f.learn(&says, rendered(Change::None));
    let waits = next(&f);
    let Act::Done { again: Again::After(_), wishes: Some(wishes) } = &waits else { panic!("{waits:?}") };
    assert_eq!((&wishes.ask, remember(&f)), (&Ask::StayInQueue, memory()));

    let mut f = facts(Begin::Changed, Some(marked.clone()), memory());
    asks(&mut f);
    let short = ListedCandidates { of_account: true, ..ListedCandidates::of_nothing() };
    f.learn(&ask(false), Answered::Account(AccountAnswer::Looked(Answer::Candidates(Some(short)))));
    assert_eq!(next(&f), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&marked, "n1", "10")));
    assert_eq!(next(&f), ask(true));
}

/// Another task of the run may have taken the lock after this pass read it. The model found this one.
#[test]
fn lock_read_before_the_run_was_seen_settled_is_read_again_before_a_deletion() {
    let new = run("u1");
    let life = Life { expiry: Some(Duration::ZERO), ..Life::default() };
    let mut f = facts(Begin::Changed, Some(new.clone()), RunMemory::default());
    f.refresh(present(Life::default()));
    take_place(&mut f);
    assert_eq!(next(&f), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(Lock::default()));
    let turn = next(&f);
    assert!(matches!(&turn, Act::Done { wishes: Some(wishes), .. } if wishes.ask == Ask::Turn), "{turn:?}");
    f.learn(&turn, Answered::Account(AccountAnswer::Looked(Answer::Baseline(Some(Baseline::default())))));
    let read = next(&f);
    assert_eq!(read, Act::Trigger(Step::ReadRun));
    f.learn(&read, Answered::Trigger(Answer::Run(Some(Box::new(ended())))));
    assert_eq!(decide(&mut f, &life, Change::None), READ_LOCK);
}

#[test]
fn expired_run_gives_its_lock_back_before_it_is_deleted() {
    let run = ended();
    let life = Life { expiry: Some(Duration::ZERO), ..Life::default() };
    let mut f = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
    assert_eq!(decide(&mut f, &life, Change::None), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&run, "n1", "10")));
    let release = decide(&mut f, &life, Change::None);
    assert!(matches!(release, Act::Trigger(Step::Release { .. })), "{release:?}");
    let refused = Failure { kind: FailureKind::Refused, message: "forbidden".into() };
    f.learn(&release, Answered::Failed(refused));
    assert_eq!(decide(&mut f, &life, Change::None), Act::Delete, "a refusal holds nothing up: the next run takes the lock over");
    f.learn(&Act::Delete, Answered::Done);
    assert!(matches!(decide(&mut f, &life, Change::None), Act::WakeWaiting | Act::Done { .. }));
}

#[test]
fn run_at_rest_costs_nothing_until_its_time_comes() {
    let waits = Life { expiry: Some(Duration::from_secs(60)), ..Life::default() };
    let mut f = facts(Begin::AtRest, None, RunMemory::default());
    assert!(matches!(decide(&mut f, &waits, Change::None), Act::Done { again: Again::After(left), .. } if left.as_secs() == 60));
    let due = Life { expiry: Some(Duration::ZERO), ..Life::default() };
    assert_eq!(decide(&mut f, &due, Change::None), Act::Trigger(Step::ReadRun));
    f.learn(&Act::Trigger(Step::ReadRun), Answered::Trigger(Answer::Run(None)));
    assert!(matches!(decide(&mut f, &due, Change::None), Act::Done { .. }), "it is gone already");
}

#[test]
fn deleted_run_that_had_not_ended_gives_its_lock_back() {
    let run = accepted();
    let mut f = facts(Begin::Deleted, Some(run.clone()), RunMemory::default());
    assert_eq!(decide(&mut f, &Life::default(), Change::None), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&run, "n1", "10")));
    assert!(matches!(decide(&mut f, &Life::default(), Change::None), Act::Trigger(Step::Release { .. })));
    let mut f = facts(Begin::Deleted, Some(ended()), RunMemory::default());
    assert_eq!(decide(&mut f, &Life::default(), Change::None), Act::WakeWaiting, "one that had ended has given it back at its end");
}

#[test]
fn run_that_is_no_longer_watched_says_so_once_unless_it_has_ended() {
    let mut f = facts(Begin::Unwatched, Some(accepted()), RunMemory::default());
    assert_eq!(decide(&mut f, &Life::default(), Change::Content), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&accepted(), "n1", "10")));
    assert_eq!(decide(&mut f, &Life::default(), Change::Content), Act::Show(StatusChange::Unwatched));
    let mut f = facts(Begin::Unwatched, Some(accepted()), RunMemory::default());
    assert!(matches!(decide(&mut f, &Life::default(), Change::None), Act::Done { .. }), "it says so already");
    let mut f = facts(Begin::Unwatched, Some(ended()), RunMemory::default());
    assert!(matches!(decide(&mut f, &Life::default(), Change::Content), Act::Done { .. }));
}

#[test]
fn run_that_is_no_longer_watched_is_not_written_while_the_lock_can_be_gone_on_with() {
    let mut f = facts(Begin::Unwatched, Some(run("u1")), RunMemory::default());
    assert_eq!(decide(&mut f, &Life::default(), Change::Content), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&run("u1"), "n1", "10")));
    assert!(matches!(decide(&mut f, &Life::default(), Change::Content), Act::AnnounceOnly(_)));
}

/// A write would change the version that the lock names, and a trigger that can still go on would be in doubt.
#[test]
fn reason_to_wait_is_only_announced_and_once_while_the_lock_can_be_gone_on_with() {
    let run = Run { suspended: true, ..run("u1") };
    let life = Life::default();
    let mut f = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
    assert_eq!(decide(&mut f, &life, Change::Content), READ_LOCK, "only because there is something new to say");
    f.learn(&READ_LOCK, lock_answer(held(&run, "n1", "10")));
    let only = decide(&mut f, &life, Change::Content);
    assert!(matches!(only, Act::AnnounceOnly(_)), "{only:?}");
    f.learn(&only, Answered::Done);
    assert!(matches!(decide(&mut f, &life, Change::Content), Act::Done { .. }));
    let mut f = facts(Begin::Changed, Some(run.clone()), remember(&f));
    assert_eq!(decide(&mut f, &life, Change::Content), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(held(&run, "n1", "10")));
    assert!(matches!(decide(&mut f, &life, Change::Content), Act::Done { .. }), "the same is not announced again");
}

#[test]
fn reason_to_wait_is_written_and_announced_when_the_lock_is_free() {
    let run = Run { suspended: true, ..run("u1") };
    let life = Life::default();
    let mut f = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
    assert_eq!(decide(&mut f, &life, Change::Content), READ_LOCK);
    f.learn(&READ_LOCK, lock_answer(Lock::default()));
    let show = decide(&mut f, &life, Change::Content);
    assert!(matches!(show, Act::Show(StatusChange::Present(StatusInput::Because(Reason::Suspended, _)))), "{show:?}");
    f.learn(&show, Answered::Written(Box::new(Run { version: "11".into(), ..run })));
    assert_eq!(decide(&mut f, &life, Change::None), Act::Announce);
    f.learn(&Act::Announce, Answered::Done);
    assert!(matches!(decide(&mut f, &life, Change::None), Act::Done { .. }));
}

#[test]
fn messages_written_a_moment_ago_are_not_written_again() {
    let memory = |age| RunMemory { note_written: Some((NOW.saturating_sub(Duration::from_secs(age)), 7)), ..RunMemory::default() };
    let mut f = facts(Begin::Changed, Some(accepted()), memory(59));
    assert!(matches!(decide(&mut f, &Life::default(), Change::Messages), Act::Done { .. }));
    let mut f = facts(Begin::Changed, Some(accepted()), memory(60));
    assert!(matches!(decide(&mut f, &Life::default(), Change::Messages), Act::Show(_)));
    let mut f = facts(Begin::Changed, Some(accepted()), memory(1));
    assert!(matches!(decide(&mut f, &Life::default(), Change::Content), Act::Show(_)), "what it says has changed");
}

#[test]
fn conflict_on_a_status_write_leaves_the_wishes_as_they_are() {
    let mut f = facts(Begin::Changed, Some(accepted()), RunMemory::default());
    let show = decide(&mut f, &Life::default(), Change::Content);
    f.learn(&show, Answered::Failed(Failure { kind: FailureKind::Conflict, message: "changed".into() }));
    assert!(matches!(decide(&mut f, &Life::default(), Change::Content), Act::Done { again: Again::After(_), wishes: None }));
    assert_eq!(remember(&f).failures, 0, "it is no failure");
}

#[test]
fn lock_that_cannot_be_read_is_shown_from_the_third_failure_on() {
    let fail = |failures| {
        let mut f = facts(Begin::Changed, Some(run("u1")), RunMemory { failures, ..RunMemory::default() });
        assert_eq!(decide(&mut f, &Life::default(), Change::Content), READ_LOCK);
        f.learn(&READ_LOCK, Answered::Failed(Failure { kind: FailureKind::Refused, message: "lock nuvo-1: forbidden".into() }));
        (decide(&mut f, &Life::default(), Change::Content), remember(&f).failures)
    };
    let (act, failures) = fail(1);
    assert!(matches!(act, Act::Done { again: Again::After(wait), .. } if wait == Duration::from_secs(1)), "{act:?}");
    assert_eq!(failures, 2);
    let (act, _) = fail(2);
    let Act::Show(StatusChange::Present(StatusInput::Because(Reason::Pending, message))) = &act else { panic!("{act:?}") };
    assert!(message.contains("lock nuvo-1: forbidden"), "{message}");
}

#[test]
fn retry_waits_for_its_time_and_then_opens_the_next_attempt() {
    let failed = Life { retry: RetryWait::Scheduled(Duration::from_secs(30)), ..Life::default() };
    let mut f = facts(Begin::Changed, Some(accepted()), RunMemory::default());
    let act = decide(&mut f, &failed, Change::None);
    assert!(matches!(act, Act::Done { again: Again::After(left), .. } if left.as_secs() == 30), "{act:?}");
    let due = Life { retry: RetryWait::Due, ..Life::default() };
    let act = decide(&mut f, &due, Change::None);
    assert_eq!(act, Act::Show(StatusChange::Attempt { attempt: 2, automatic: true }));
    f.learn(&act, Answered::Written(Box::new(Run { attempt: 2, version: "11".into(), ..accepted() })));
    f.learn(&Act::Announce, Answered::Done);
    assert!(matches!(decide(&mut f, &Life::default(), Change::None), Act::Done { again: Again::OnChange, .. }), "the watch brings it back");
}

#[test]
fn token_on_an_ended_run_opens_an_attempt_and_on_an_active_one_waits() {
    let token = Life { token: true, ..Life::default() };
    let mut f = facts(Begin::Changed, Some(ended()), RunMemory::default());
    assert_eq!(decide(&mut f, &token, Change::None), Act::Show(StatusChange::Attempt { attempt: 2, automatic: false }));
    let mut f = facts(Begin::Changed, Some(accepted()), RunMemory::default());
    assert!(matches!(decide(&mut f, &token, Change::None), Act::Done { .. }));
}

#[test]
fn executions_a_person_names_are_read_before_they_are_taken() {
    let doubtful = Run {
        ended: true,
        marker: Some(marker_of(&run("u1"), "n1", 1)),
        trigger: Some(trigger("n1", 1, TriggerResult::Ambiguous { executed: false })),
        ..run("u1")
    };
    let answer = Resolution { nonce: "n1".into(), answer: ResolutionAnswer::Adopt(vec![execution("e1"), execution("e2")]) };
    let life = Life { answer: Some(answer), ..Life::default() };
    let ask = |named: Vec<Named>| {
        let mut f = facts(Begin::Changed, Some(doubtful.clone()), RunMemory::default());
        let act = decide(&mut f, &life, Change::Content);
        assert!(matches!(&act, Act::Done { wishes: Some(Wishes { ask: Ask::Executions(ids), .. }), .. } if ids.len() == 2), "{act:?}");
        f.learn(&act, Answered::Account(AccountAnswer::Executions(named)));
        decide(&mut f, &life, Change::Content)
    };
    assert!(matches!(ask(vec![Named::Ours, Named::Ours]), Act::Show(StatusChange::Result { executions, .. }) if executions.len() == 2));
    let Act::Show(StatusChange::Noted(why)) = ask(vec![Named::Ours, Named::Foreign]) else { panic!("it takes what is not its own") };
    assert!(why.contains("e2 does not belong"), "{why}");
    let wait = Duration::from_secs(3);
    assert!(matches!(ask(vec![Named::Unread(Some(wait))]), Act::Done { again: Again::After(left), .. } if left == wait));
}

#[test]
fn account_that_was_not_looked_at_yet_says_nothing_about_its_runs() {
    let mut f = facts(Begin::Changed, Some(run("u1")), RunMemory::default());
    f.refresh(Present { account: Account::Unknown, ..present(Life::default()) });
    assert!(matches!(next(&f), Act::Done { again: Again::OnChange, .. }));
}

/// Within two seconds most locks are given back: that is not worth a write.
#[test]
fn busy_pipeline_is_shown_after_two_seconds() {
    let other = run("u2");
    let busy = |waiting_since| {
        let mut f = facts(Begin::Changed, Some(run("u1")), RunMemory { waiting_since, ..RunMemory::default() });
        assert_eq!(decide(&mut f, &Life::default(), Change::Content), READ_LOCK);
        f.learn(&READ_LOCK, lock_answer(held(&other, "n2", "10")));
        let read = decide(&mut f, &Life::default(), Change::Content);
        f.learn(&read, Answered::Trigger(Answer::Holder(Holder::Present(Box::new(other.clone())))));
        assert!(matches!(decide(&mut f, &Life::default(), Change::Content), Act::WakeHolder(holder) if holder == other.id));
        f.learn(&Act::WakeHolder(other.id.clone()), Answered::Done);
        (decide(&mut f, &Life::default(), Change::Content), remember(&f).waiting_since)
    };
    let (act, since) = busy(None);
    assert!(matches!(&act, Act::Done { again: Again::After(_), wishes: Some(wishes) } if wishes.waits_for_lock), "{act:?}");
    assert_eq!(since, Some(NOW));
    let (act, _) = busy(Some(NOW.saturating_sub(Duration::from_secs(3))));
    assert!(matches!(act, Act::Show(StatusChange::Present(StatusInput::Because(Reason::PipelineBusy, _)))), "{act:?}");
}
