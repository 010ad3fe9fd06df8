//! Locks and markers of other versions of the operator.

use super::*;

/// Locks and markers are in clusters already, and an older operator may read them during an update.
#[test]
fn lock_and_marker_in_json_keep_their_names() {
    let run = run("u1");
    let lock = after(&held(&run, "n1", "10"), LedgerOutcome::Started(vec![execution("e1")]));
    let lock = Lock { holder: held(&run, "n2", "11").holder, ..lock };
    let expected = concat!(
        r#"{"v":1,"tenancy":{"holder":{"uid":"u1","namespace":"ns","name":"u1"},"nonce":"n2","tenure":"n2","runRV":"11","#,
        r#""baseline":{"newest":null,"ids":[]},"young":false},"#,
        r#""ledger":[{"uid":"u1","namespace":"ns","nonce":"n1","entry":{"started":["e1"]}}]}"#
    );
    assert_eq!(serde_json::to_string(&lock).unwrap(), expected);
    assert_eq!(Lock::parse(expected).unwrap(), lock);
    let mut earlier = lock;
    earlier.ledger[0].namespace = None;
    let first = expected.replace(r#""uid":"u1","namespace":"ns","nonce""#, r#""uid":"u1","nonce""#).replace(r#""v":1,"#, "");
    assert_eq!(Lock::parse(&first).unwrap(), earlier, "as the first releases wrote it");
    let marker = r#"{"uid":"u1","namespace":"ns","name":"u1","nonce":"n1","tenure":"n1","attempt":1,"v":1}"#;
    assert_eq!(serde_json::to_string(&marker_of(&run, "n1", 1)).unwrap(), marker);
    assert_eq!(serde_json::from_str::<Marker>(&marker.replace(r#","v":1"#, "")).unwrap(), marker_of(&run, "n1", 1));
}

/// As a later version may write them, before the operator goes back to this one.
#[test]
fn what_a_later_version_has_added_is_written_back() {
    let text = serde_json::json!({
        "v": 2, "hue": "red",
        "tenancy": {
            "holder": { "uid": "u1", "namespace": "ns", "name": "u1" }, "nonce": "n2", "tenure": "n2", "runRV": "10",
            "baseline": null, "young": false, "mood": ["calm"],
        },
        "ledger": [
            { "uid": "u3", "nonce": "n0", "entry": { "paused": { "until": 7 } } },
            { "uid": "u2", "namespace": "ns", "nonce": "n1", "entry": "nothing", "weight": 3 },
        ],
    });
    let lock = Lock::parse(&text.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&lock).unwrap(), text);
    let after = serde_json::to_value(after(&lock, LedgerOutcome::Unknown)).unwrap();
    assert_eq!((&after["v"], &after["hue"], &after["tenancy"]), (&text["v"], &text["hue"], &serde_json::Value::Null));
    assert_eq!((&after["ledger"][0], &after["ledger"][1]), (&text["ledger"][0], &text["ledger"][1]));
    assert_eq!(serde_json::to_value(lock.given_back()).unwrap()["hue"], "red");

    let taken = |me: &Run| {
        let mut o = pass(me);
        o.memory.quarantine = Some((nonce("n2"), Duration::ZERO));
        answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock.clone()));
        if matches!(next_step(&o), Step::ReadHolder(_)) {
            answer(&mut o, |s| matches!(s, Step::ReadHolder(_)), Answer::Holder(Holder::Gone));
        }
        answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(me.clone()))));
        let Step::TakeLock { lock, .. } = next_step(&o) else { panic!("{:?}", next_step(&o)) };
        serde_json::to_value(lock).unwrap()
    };
    let resumed = taken(&run("u1"));
    assert_eq!(
        (&resumed["hue"], &resumed["tenancy"]["mood"], &resumed["ledger"]),
        (&text["hue"], &text["tenancy"]["mood"], &text["ledger"])
    );
    let by_another = taken(&run("u4"));
    assert_eq!((&by_another["hue"], by_another["tenancy"].get("mood")), (&text["hue"], None), "it goes with its holder");

    let marker = r#"{"uid":"u1","namespace":"ns","name":"u1","nonce":"n1","tenure":"n1","attempt":1,"v":2,"hue":"red"}"#;
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Marker>(marker).unwrap()).unwrap(), marker);
}

#[test]
fn entry_of_a_later_version_counts_as_unknown() {
    let later = LedgerOutcome::Later(serde_json::json!({ "paused": { "until": 7 } }));
    let me = run("u1");
    let lock = after(&held(&me, "n1", "9"), later);
    let ambiguous = trigger("n1", 1, TriggerResult::Ambiguous { executed: false });
    assert!(matches!(verdict(&me, &lock), Verdict::Recorded(known, _) if known == ambiguous));
    // Ids that cannot be read, too: they are not lost.
    let text = r#"{"tenancy":null,"ledger":[{"uid":"u1","nonce":"n1","entry":{"started":["../x"]}}]}"#;
    assert!(matches!(Lock::parse(text).unwrap().ledger[0].entry, LedgerOutcome::Later(_)));
}

#[test]
fn lock_of_a_later_version_that_cannot_be_read_says_so() {
    let error = |text: &str| Lock::parse(text).unwrap_err();
    assert!(matches!(error(r#"{"v": 7, "tenancy": {"holders": []}, "ledger": []}"#), UnreadableLock::Later(7)));
    for malformed in ["", "{", r#"{"v": 1, "tenancy": 3, "ledger": []}"#, r#"{"v": "7", "ledger": 1}"#] {
        assert!(matches!(error(malformed), UnreadableLock::Malformed(_)), "{malformed}");
    }
}

#[test]
fn marker_that_cannot_be_read_never_makes_a_run_new() {
    let unread = Run { unread_marker: Some(1), ..run("u1") };
    assert_eq!(verdict(&unread, &Lock::default()), Verdict::Lost);
    assert_eq!(verdict(&unread, &held(&unread, "n1", "10")), Verdict::Lost, "the same version");
    assert!(matches!(verdict(&unread, &held(&unread, "n1", "9")), Verdict::InDoubt(_)), "what the lock knows");
    let remembered = after(&held(&unread, "n1", "9"), LedgerOutcome::Started(vec![execution("e1")]));
    assert!(matches!(verdict(&unread, &remembered), Verdict::Recorded(..)));
    // A result that is there counts, until another attempt is wanted.
    let decided = Run { trigger: Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Answer))), ..unread.clone() };
    assert_eq!(verdict(&decided, &Lock::default()), Verdict::Decided);
    let next = Run { attempt: 2, unread_marker: Some(2), ..decided };
    assert_eq!(verdict(&next, &Lock::default()), Verdict::Lost, "a POST of the second attempt may be out");
    // A person asks for another attempt.
    assert_eq!(following_attempt(&Run { unread_marker: Some(3), ..unread.clone() }), 4);
    let asked = Run { attempt: 2, ..unread };
    assert_eq!(verdict(&asked, &Lock::default()), Verdict::New { resume: None });
}

#[test]
fn marker_that_cannot_be_read_is_not_taken_for_none() {
    let unread = |text: &str| {
        let object = serde_json::from_value(serde_json::json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {
                "name": "a", "namespace": "ns", "uid": "u1", "resourceVersion": "1", "annotations": { "nuvo.dev/trigger": text },
            },
            "spec": { "pipelineId": "orders" },
        }));
        let run = parse(&object.unwrap()).unwrap();
        (run.marker.is_some(), run.unread_marker)
    };
    let readable = r#"{"uid":"u1","namespace":"ns","name":"a","nonce":"n1","tenure":"n1","attempt":1}"#;
    assert_eq!(unread(readable), (true, None));
    for (text, attempt) in [
        ("", Some(1)),
        ("tomorrow", Some(1)),
        (r#"{"v":2,"attempt":3}"#, Some(3)),
        (r#"{"v":2,"attempt":-3}"#, Some(1)),
        (r#"{"v":2,"namespace":"ns","name":"a","attempt":3}"#, Some(3)),
        // A manifest that was copied.
        (r#"{"v":2,"namespace":"ns","name":"b","attempt":3}"#, None),
        (r#"{"v":2,"namespace":"other","name":"a","attempt":3}"#, None),
    ] {
        assert_eq!(unread(text), (false, attempt), "{text}");
    }
    assert_eq!(unread(&"x".repeat(5_000)), (false, Some(1)), "too long to be read");
}
