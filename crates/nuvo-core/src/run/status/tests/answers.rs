//! Answers of a person, and what begins another attempt.

use super::*;

pub fn ambiguous(executed: bool) -> PipelineRun {
    let mut object = object();
    let marker = Marker {
        run: parse(&object).unwrap().id,
        nonce: Nonce::new("n1").unwrap(),
        acquisition: Nonce::new("n1").unwrap(),
        lock: None,
        account: None,
        attempt: 1,
        executed: false,
        format: Default::default(),
    };
    let text = serde_json::to_string(&marker).unwrap();
    object.metadata.annotations = Some([(nuvo_crds::well_known::TRIGGER_ANNOTATION.to_owned(), text)].into());
    let status = recorded(&object, &trigger(TriggerResult::Ambiguous { executed }), &[], "The answer was lost.", FollowUp::Nothing, at(0));
    with(object, status)
}

fn answered(mut object: PipelineRun, answer: &str) -> PipelineRun {
    object.metadata.annotations.get_or_insert_default().insert(RESOLVE_ANNOTATION.into(), answer.into());
    object
}

fn reopens(object: &PipelineRun) -> Option<Reopening> {
    reopening(object, &parse(object).unwrap(), at(100))
}

#[test]
fn answer_resolves_only_the_trigger_that_it_names() {
    let run = ambiguous(false);
    assert_eq!(run.status.as_ref().unwrap().phase, Some(Phase::Unresolved));
    assert!(message(run.status.as_ref().unwrap()).contains("\"n1:retry\""));
    assert_eq!(reopens(&run), None);
    assert_eq!(reopens(&answered(run.clone(), "n1:retry")), Some(Reopening::Attempt(2)));
    assert_eq!(reopens(&answered(run.clone(), "n0:retry")), None);
    assert_eq!(reopens(&answered(run.clone(), "n1:restart")), None);
    let adopted = reopens(&answered(run.clone(), "n1:adopt=e1, e2"));
    assert!(
        matches!(adopted, Some(Reopening::Adopt(trigger, ids)) if ids.len() == 2 && trigger.result == TriggerResult::Accepted(Evidence::Adopted))
    );
    assert_eq!(reopens(&answered(run.clone(), "n1:adopt=../e1")), None);

    let wrong = settle(&answered(run.clone(), "n0:retry"), &Knowledge::new(), at(9));
    assert!(message(&wrong).contains("\"n0\"") && message(&wrong).contains("n1:retry"), "{}", message(&wrong));
    assert!(message(&wrong).contains("--overwrite"), "kubectl refuses a second answer without it: {}", message(&wrong));
    let malformed = settle(&answered(run.clone(), "retry"), &Knowledge::new(), at(9));
    assert!(message(&malformed).contains("must be <nonce>:adopt"), "{}", message(&malformed));
    let closed = settle(&answered(run, "n1:abandon"), &Knowledge::new(), at(9));
    assert_eq!((closed.phase, reason(&closed)), (Some(Phase::Failed), Some(Reason::TriggerOutcomeUnknown)));
}

/// An object that was created from an export of one that is gone: its marker came along.
fn restored() -> PipelineRun {
    let mut object = ambiguous(false);
    object.status = None;
    object.metadata.uid = Some("u2".into());
    object
}

#[test]
fn adopting_for_a_restored_object_ends_its_run() {
    let object = restored();
    assert_eq!(verdict(&parse(&object).unwrap(), &Lock::default()), Verdict::Lost);
    let lost = with(object.clone(), show(&object, Reason::StatusLost, "It is lost.", at(0)));
    assert!(message(lost.status.as_ref().unwrap()).contains("\"n1:adopt="), "{}", message(lost.status.as_ref().unwrap()));
    let answered = answered(lost, "n1:adopt=e1");
    let Some(Reopening::Adopt(trigger, ids)) = reopens(&answered) else { panic!("{:?}", reopens(&answered)) };
    let adopted = with(answered.clone(), recorded(&answered, &trigger, &ids, "", FollowUp::Nothing, at(1)));
    let run = parse(&adopted).unwrap();
    assert!(settled(&run) && verdict(&run, &Lock::default()) == Verdict::Decided, "{run:?}");
    assert_eq!(followed(&adopted, &run), ids);
    let ended = with(adopted.clone(), settle(&adopted, &[report(&ids[0], "SUCCESSFUL", 5)].into(), at(2)));
    assert_eq!(reason(ended.status.as_ref().unwrap()), Some(Reason::Succeeded));
    assert_eq!((reopens(&ended), settle(&ended, &Knowledge::new(), at(3))), (None, ended.status.clone().unwrap()), "it is at rest");
}

#[test]
fn restored_status_never_permits_a_trigger() {
    let first = ambiguous(false);
    let decided = [
        TriggerResult::Accepted(Evidence::Answer),
        TriggerResult::Accepted(Evidence::Adopted),
        TriggerResult::NotExecuted,
        TriggerResult::Ambiguous { executed: false },
        TriggerResult::Ambiguous { executed: true },
    ];
    for result in decided {
        let old = with(first.clone(), recorded(&first, &trigger(result.clone()), &ids(1), "", FollowUp::Nothing, at(0)));
        // The backup was made when another attempt had been opened.
        for status in [old.status.clone().unwrap(), opened(&old, 2, false, at(1))] {
            let attempt = status.attempt;
            for marker in [true, false] {
                let mut back = with(restored(), status.clone());
                back.metadata.annotations = back.metadata.annotations.filter(|_| marker);
                let judged = verdict(&parse(&back).unwrap(), &Lock::default());
                assert!(matches!(judged, Verdict::Lost | Verdict::Decided), "{result:?} {attempt:?} {marker}: {judged:?}");
                let again = with(back.clone(), opened(&back, 3, false, at(2)));
                assert_eq!(
                    verdict(&parse(&again).unwrap(), &Lock::default()),
                    Verdict::New { resume: None },
                    "{result:?} {attempt:?} {marker}: a person decides"
                );
            }
        }
    }
}

#[test]
fn repeated_trigger_begins_the_next_attempt_with_the_same_write_and_once() {
    let mut object = ambiguous(false);
    object.spec.on_ambiguous_trigger = OnAmbiguousTrigger::Retrigger;
    object.status = Some(show(&object, Reason::TriggerUnconfirmed, "It is looked for.", at(0)));
    let doubt = trigger(TriggerResult::Ambiguous { executed: false });
    let before = object.status.clone();
    assert!(parse(&object).unwrap().retriggers);
    let status = recorded(&object, &doubt, &[], "Nothing was shown.", FollowUp::NextAttempt, at(9));
    assert_eq!((reason(&status), status.phase, status.attempt), (Some(Reason::RetryScheduled), Some(Phase::Pending), Some(2)));
    assert!(message(&status).contains("Nothing was shown.") && message(&status).contains("Retrigger"), "{}", message(&status));
    assert_eq!(ending(before.as_ref(), &status), None, "it has not ended");
    let words: Vec<&str> = events_of_change(before.as_ref(), &status).iter().map(|event| event.reason).collect();
    assert_eq!(words, ["RetryScheduled"], "and no person is asked");
    let past = &status.history[0];
    assert_eq!((past.attempt, past.result.as_deref(), past.completion_time.clone()), (1, Some("TriggerOutcomeUnknown"), Some(Time(at(9)))));
    let object = with(object, status);
    let run = parse(&object).unwrap();
    assert!(!run.ended && !run.retriggers && decided(&run) && !settled(&run), "{run:?}");

    let retriggers = |change: &dyn Fn(&mut PipelineRunStatus)| {
        let mut object = object.clone();
        change(object.status.as_mut().unwrap());
        parse(&object).unwrap().retriggers
    };
    assert!(!retriggers(&|status| status.series.request_time = Some(Time(at(9)))), "in the same second");
    assert!(retriggers(&|status| status.series.request_time = Some(Time(at(10)))), "a person has asked for the run since");
    let other = PastAttempt { attempt: 1, completion_time: Some(Time(at(9))), ..PastAttempt::default() };
    assert!(retriggers(&|status| status.history = vec![other.clone(); MAX_HISTORY - 1]));
    assert!(!retriggers(&|status| status.history = vec![other.clone(); MAX_HISTORY]), "what it has forgotten may have been in doubt");
}

#[test]
fn answer_retry_counts_when_the_trigger_has_no_more_effects_and_says_until_when() {
    let mut object = object();
    let doubt = trigger(TriggerResult::Ambiguous { executed: false });
    let status = recorded(&object, &doubt, &[], "The answer was lost.", FollowUp::OpenFor(Duration::from_millis(98_500)), at(0));
    // Times are whole seconds, rounded down.
    assert_eq!(status.trigger.as_ref().unwrap().open_until, Some(Time(at(100))));
    assert!(message(&status).contains(&format!("retry counts from {}", at(100))), "{}", message(&status));
    object = answered(with(object, status), "n1:retry");
    let run = parse(&object).unwrap();
    assert_eq!(reopening(&object, &run, at(40)), Some(Reopening::Later(Duration::from_secs(60))));
    assert!(!at_rest(&object, at(40)), "it is looked at again");
    let waits = settle(&object, &Knowledge::new(), at(40));
    assert!(message(&waits).contains(&format!("begins at {}", at(100))), "{}", message(&waits));
    assert_eq!(waits.phase, Some(Phase::Unresolved));
    assert_eq!(reopening(&object, &run, at(100)), Some(Reopening::Attempt(2)));
    for (answer, goes_on) in [("n1:abandon", false), ("n1:adopt=e1", true)] {
        let object = answered(object.clone(), answer);
        assert_eq!(reopening(&object, &run, at(40)).is_some(), goes_on, "{answer} counts at once");
    }
}

#[test]
fn changed_token_alone_reopens_an_ended_run() {
    let token = |mut object: PipelineRun, token: &str| {
        object.spec.rerun_token = Some(token.into());
        object
    };
    let running = token(accepted(1), "a");
    assert_eq!(reopens(&running), None, "not while it runs");
    let known: Knowledge = [report(&ids(1)[0], "SUCCESSFUL", 5)].into();
    let ended = with(running.clone(), settle(&running, &known, at(1)));
    assert_eq!(reopens(&ended), Some(Reopening::Attempt(2)), "the token came while it ran");
    let mut acted_on = ended.clone();
    acted_on.status.as_mut().unwrap().series.rerun_token = Some("a".into());
    assert_eq!(reopens(&acted_on), None);
    assert_eq!(reopens(&token(acted_on.clone(), "b")), Some(Reopening::Attempt(2)));
    acted_on.spec.rerun_token = None;
    assert_eq!(reopens(&acted_on), None, "removing it triggers nothing");
}
