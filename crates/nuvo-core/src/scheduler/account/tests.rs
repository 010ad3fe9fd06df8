use super::*;

const START: Duration = Duration::from_secs(1_000);

fn after(seconds: f64) -> Duration {
    START.saturating_add(Duration::from_secs_f64(seconds))
}

fn scheduler(rate: u32) -> AccountScheduler<&'static str> {
    let mut scheduler = AccountScheduler::new(Duration::ZERO, 0.0, Duration::from_secs(10), Duration::from_secs(360), START);
    scheduler.renew(rate, START);
    scheduler
}

/// The tickets of the turns that come now, with what their looks have shown. A look that is begun has shown this at once.
fn turns(scheduler: &mut AccountScheduler<&'static str>, now: Duration, shown: &Shown<&'static str>) -> Vec<(Ticket, bool)> {
    let mut turns = Vec::new();
    loop {
        match scheduler.next(now, None) {
            Next::Turn(ticket, ..) => turns.push((ticket, true)),
            Next::LookFailed(ticket, _) => turns.push((ticket, false)),
            Next::Begin(Work::LookForTurns) => scheduler.looked_for_turns(now, shown.clone()),
            Next::Sleep(_) => return turns,
            next => panic!("{next:?}"),
        }
    }
}

#[test]
fn turns_share_a_look_that_began_after_each_has_read_its_lock() {
    let mut scheduler = scheduler(100);
    let early = [0.0, 0.1].map(|at| scheduler.turn(after(at), after(0.1)).unwrap());
    assert!(matches!(scheduler.next(after(0.1), None), Next::Begin(Work::LookForTurns)));
    let late = scheduler.turn(after(0.2), after(0.2)).unwrap();
    assert!(matches!(scheduler.next(after(0.2), None), Next::Sleep(None)), "one look at a time");
    scheduler.looked_for_turns(after(0.1), Ok(None));
    assert_eq!(turns(&mut scheduler, after(0.3), &Err("there is another look")), [(early[0], true), (early[1], true), (late, false)]);
}

#[test]
fn turn_whose_look_is_too_old_gets_another_look() {
    let mut scheduler = scheduler(1);
    assert_eq!(scheduler.request(Purpose::Ending, START), Ok(None));
    let ticket = scheduler.turn(START, START).unwrap();
    assert!(matches!(scheduler.next(START, None), Next::Begin(Work::LookForTurns)));
    scheduler.looked_for_turns(START, Ok(None));
    assert!(matches!(scheduler.next(after(0.5), None), Next::Sleep(Some(_))), "it waits for its request");
    let mut looks = 0;
    loop {
        match scheduler.next(after(10.0), None) {
            Next::Begin(Work::LookForTurns) => {
                looks += 1;
                scheduler.looked_for_turns(after(10.0), Ok(None));
            }
            Next::Turn(of, ..) if of == ticket => break,
            next => panic!("{next:?}"),
        }
    }
    assert_eq!(looks, 1);
}

#[test]
fn look_that_failed_late_is_told_to_those_that_waited() {
    let mut scheduler = scheduler(100);
    let ticket = scheduler.turn(START, START).unwrap();
    assert!(matches!(scheduler.next(START, None), Next::Begin(Work::LookForTurns)));
    scheduler.looked_for_turns(START, Err("no answer"));
    assert!(matches!(scheduler.next(after(60.0), None), Next::LookFailed(of, "no answer") if of == ticket));
}

#[test]
fn turns_that_have_come_are_few_until_their_posts_are_sent() {
    let mut scheduler = scheduler(100);
    let tickets = [(); 30].map(|()| scheduler.turn(START, START).unwrap());
    let mut come = turns(&mut scheduler, START, &Ok(None));
    come.extend(turns(&mut scheduler, after(1.0), &Ok(None)));
    assert_eq!(come, tickets[..25].iter().map(|ticket| (*ticket, true)).collect::<Vec<_>>());
    scheduler.turn_over();
    assert_eq!(turns(&mut scheduler, after(1.0), &Ok(None)), [(tickets[25], true)]);
}

#[test]
fn turns_leave_a_part_of_the_rate_to_looks() {
    let mut scheduler = scheduler(100);
    for _ in 0..200 {
        scheduler.turn(START, START).unwrap();
    }
    let mut come = 0;
    for tick in 0..100 {
        for _ in turns(&mut scheduler, after(f64::from(tick) / 100.0), &Ok(None)) {
            come += 1;
            scheduler.turn_over();
        }
    }
    assert!((110..125).contains(&come), "{come}: 95 and what may come at once, though 190 requests were there");
}

#[test]
fn turns_of_a_small_budget_come_one_after_the_other() {
    let mut scheduler = scheduler(1);
    let tickets = [(); 2].map(|()| scheduler.turn(START, START).unwrap());
    assert_eq!(turns(&mut scheduler, START, &Ok(None)), [(tickets[0], true)]);
    assert_eq!(turns(&mut scheduler, after(5.0), &Ok(None)), []);
    scheduler.turn_over();
    assert_eq!(turns(&mut scheduler, after(5.0), &Ok(None)), [(tickets[1], true)]);
}

#[test]
fn look_at_what_is_running_is_shared_by_all_that_asked_before_it_began() {
    let mut scheduler = scheduler(100);
    let early = [START, after(0.1)].map(|read| scheduler.running(read, after(0.1)).unwrap());
    assert!(matches!(scheduler.next(after(0.1), None), Next::Begin(Work::LookForRunning)));
    let late = scheduler.running(after(0.2), after(0.2)).unwrap();
    assert!(matches!(scheduler.next(after(0.2), None), Next::Sleep(None)), "one look at a time");
    let running: Running = Some(Arc::new([]));
    scheduler.looked_for_running(after(0.1), Ok(running.clone()));
    for ticket in early {
        assert!(matches!(scheduler.next(after(60.0), None), Next::Running(of, shown) if of == ticket && shown == running));
    }
    assert!(matches!(scheduler.next(after(60.0), None), Next::Begin(Work::LookForRunning)), "the first began too early");
    scheduler.looked_for_running(after(60.0), Err("no answer"));
    assert!(matches!(scheduler.next(after(60.0), None), Next::LookFailed(of, "no answer") if of == late));
    scheduler.pause(Duration::from_secs(30), Obstacle::RateLimited, after(60.0));
    assert!(scheduler.running(after(60.0), after(60.0)).is_err());
}

#[test]
fn pause_refuses_the_turns_and_requests_that_wait() {
    let mut scheduler = scheduler(1);
    assert_eq!(scheduler.request(Purpose::Ending, START), Ok(None));
    let waiting = [scheduler.request(Purpose::Ending, START).unwrap().unwrap(), scheduler.turn(START, START).unwrap()];
    scheduler.pause(Duration::from_secs(30), Obstacle::RateLimited, START);
    let mut refused = Vec::new();
    while let Next::Refuse(ticket, pause) = scheduler.next(START, None) {
        assert_eq!(pause.left, Duration::from_secs(30));
        refused.push(ticket);
    }
    assert_eq!(refused, waiting);
    assert!(scheduler.turn(START, START).is_err() && scheduler.request(Purpose::Mode, START).is_err());
}

fn accepted() -> PostOutcome {
    PostOutcome::Accepted(Vec::new())
}

#[test]
fn credentials_that_were_replaced_while_a_post_was_out_pause_nothing() {
    let mut scheduler = scheduler(100);
    let rejected =
        || PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(Duration::from_secs(60), Obstacle::Account), message: String::new() };
    let before = scheduler.credentials;
    scheduler.post_sent(START);
    let now = scheduler.renew(100, START);
    scheduler.post_ended(START, before, Some(&rejected()), START);
    assert!(scheduler.turn(START, START).is_ok());
    scheduler.post_sent(START);
    scheduler.post_ended(START, now, Some(&rejected()), START);
    assert!(scheduler.turn(START, START).is_err());
}

#[test]
fn only_one_turn_comes_after_a_quota_was_exceeded() {
    let mut scheduler = scheduler(100);
    scheduler.post_sent(START);
    let then = Unexecuted::RetryAfter(Duration::from_secs(30), Obstacle::RateLimited);
    scheduler.post_ended(START, scheduler.credentials, Some(&PostOutcome::NotExecuted { then, message: String::new() }), START);
    assert!(scheduler.turn(START, after(29.0)).is_err());
    let tickets = [(); 3].map(|()| scheduler.turn(START, after(30.0)).unwrap());
    assert!(matches!(scheduler.next(after(30.0), None), Next::Begin(Work::LookForTurns)));
    scheduler.looked_for_turns(after(30.0), Ok(None));
    assert!(matches!(scheduler.next(after(30.0), None), Next::Turn(of, ..) if of == tickets[0]));
    for other in &tickets[1..] {
        assert!(matches!(scheduler.next(after(30.0), None), Next::Refuse(of, _) if of == *other));
    }
    scheduler.post_sent(after(30.0));
    scheduler.post_ended(after(30.0), scheduler.credentials, Some(&accepted()), after(31.0));
    assert!(scheduler.turn(after(31.0), after(31.0)).is_ok());
}

#[test]
fn post_without_an_answer_holds_off_triggers_until_another_is_answered() {
    let mut scheduler = scheduler(100);
    scheduler.post_sent(START);
    assert_eq!(scheduler.paused(Purpose::Trigger, after(9.9)), None);
    let pause = scheduler.paused(Purpose::Trigger, after(10.0)).unwrap();
    assert_eq!((pause.obstacle, scheduler.paused(Purpose::Ending, after(10.0))), (Obstacle::Unavailable, None));
    scheduler.post_sent(after(5.0));
    scheduler.post_ended(after(5.0), scheduler.credentials, Some(&accepted()), after(11.0));
    assert_eq!(scheduler.paused(Purpose::Trigger, after(12.0)), None, "nuvo answers others");
    scheduler.post_ended(START, scheduler.credentials, None, after(30.0));
    assert_eq!(scheduler.paused(Purpose::Trigger, after(100.0)), None);
}

#[test]
fn account_without_wishes_sleeps() {
    let mut scheduler = scheduler(100);
    scheduler.set_pace(Some((Duration::from_secs(10), Duration::from_secs(60))));
    assert!(matches!(scheduler.next(START, None), Next::Sleep(None)));
}
