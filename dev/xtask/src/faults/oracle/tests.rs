//! The oracle reports each violation in the evidence.

use serde_json::{Value, json};

use super::super::evidence::{Attempt, Delivery, Evidence};
use super::*;

fn run(name: &str, reason: &str, executions: &[&str]) -> PipelineRun {
    let status = if reason == "Succeeded" { "True" } else { "False" };
    serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": name, "uid": name },
        "spec": { "pipelineId": "orders" },
        "status": {
            "conditions": [{
                "type": "Succeeded", "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "executionIds": executions.iter().map(|id| Value::from(*id)).collect::<Vec<_>>(),
        },
    }))
    .unwrap()
}

fn sent(nonce: &str, answer: Option<u16>) -> Delivery {
    Delivery { nonce: nonce.to_owned(), answer }
}

/// One run that was started once and succeeded.
fn good() -> Evidence {
    Evidence {
        injected: true,
        incident_over: true,
        runs: vec![run("a", "Succeeded", &["e1"])],
        deliveries: vec![sent("n1", Some(201))],
        markers: [("n1".to_owned(), Attempt { uid: "a".to_owned(), attempt: 1 })].into(),
        executions: [("e1".to_owned(), Some("n1".to_owned()))].into(),
        carried_out: [("n1".to_owned(), 1)].into(),
        ..Evidence::default()
    }
}

fn judged(plan: &str, evidence: &Evidence) -> Result<Verdict, String> {
    judge(&plan.parse().unwrap(), evidence, &good()).map_err(|broken| broken.join("; "))
}

#[test]
fn plan_that_ends_like_the_reference_is_accepted() {
    assert_eq!(judged("one/nuvo-create.1/answer-lost", &good()), Ok(Verdict::AsReference));
    assert_eq!(judged("one/nuvo-create.1/answer-lost", &Evidence { injected: false, ..good() }), Ok(Verdict::NotInjected));
}

#[test]
fn second_post_is_a_violation_unless_the_first_was_refused() {
    let mut evidence = good();
    evidence.deliveries.push(sent("n1", None));
    assert!(judged("one/nuvo-create.1/answer-lost", &evidence).unwrap_err().contains("P1: 2 POSTs"));
    evidence.deliveries = vec![sent("n1", Some(429)), sent("n1", Some(201))];
    assert_eq!(judged("one/nuvo-create.1/429", &evidence), Ok(Verdict::AsReference));
    evidence.carried_out.insert("n1".to_owned(), 2);
    assert!(judged("one/nuvo-create.1/429", &evidence).unwrap_err().contains("ran 2 times"));
    assert_eq!(judged("one/nuvo-create.1/twice", &evidence), Ok(Verdict::AsReference), "the network's doing");
    evidence.deliveries.push(sent("n2", None));
    assert!(judged("one/nuvo-create.1/twice", &evidence).unwrap_err().contains("never announced"));
}

#[test]
fn execution_of_another_run_is_a_violation() {
    let mut evidence = good();
    evidence.markers.insert("n2".to_owned(), Attempt { uid: "b".to_owned(), attempt: 1 });
    evidence.executions.insert("e2".to_owned(), Some("n2".to_owned()));
    evidence.runs.push(run("b", "Succeeded", &["e1"]));
    let broken = judged("two/nuvo-create.1/answer-lost", &evidence).unwrap_err();
    assert!(broken.contains("P2: b shows e1, which it has not started") && broken.contains("e1 is shown twice"), "{broken}");
}

#[test]
fn run_in_doubt_is_accepted_only_if_the_outcome_is_unknowable() {
    let doubt = Evidence { runs: vec![run("a", "TriggerOutcomeUnknown", &[])], executions: [].into(), carried_out: [].into(), ..good() };
    assert_eq!(judged("one/nuvo-create.1/request-lost", &doubt), Ok(Verdict::InDoubt));
    assert!(judged("one/patch-pipelineruns.1/crash-after", &doubt).unwrap_err().contains("could be known"));
    let unsent = Evidence { runs: doubt.runs.clone(), deliveries: Vec::new(), executions: [].into(), carried_out: [].into(), ..good() };
    assert_eq!(judged("one/patch-pipelineruns.1/crash-after", &unsent), Ok(Verdict::InDoubt), "it died before it could send");
    assert!(judged("one/nuvo-create.1/answer-lost", &doubt).unwrap_err().contains("could be known"));
    assert!(judged("one/update-leases.1/crash-after", &doubt).unwrap_err().contains("could be known"));
    assert_eq!(judged("expiry/nuvo-create.1/answer-lost", &doubt), Ok(Verdict::InDoubt), "the answer was 401");
    assert!(judged("expiry/nuvo-create.2/answer-lost", &doubt).unwrap_err().contains("could be known"));
    let vain = Evidence { carried_out: [("n1".to_owned(), 1)].into(), ..doubt };
    assert!(judged("one/nuvo-create.1/500", &vain).unwrap_err().contains("P3"));
    assert_eq!(doubted_in_vain(&vain), 1);
}

#[test]
fn attack_is_no_reason_for_a_doubt_unless_it_claims_what_a_lost_answer_would_have_told() {
    let vain = Evidence { runs: vec![run("a", "TriggerOutcomeUnknown", &[])], ..good() };
    assert_eq!(judged("tenant/nuvo-create.1/claim-crash", &vain), Ok(Verdict::InDoubt));
    for plan in ["tenant/nuvo-create.1/claim", "tenant/nuvo-create.1/copy-crash", "tenant/nuvo-create.1/flood"] {
        assert!(judged(plan, &vain).unwrap_err().contains("P3: a is in doubt"), "{plan}");
    }
}

#[test]
fn run_of_a_tenant_that_shows_an_execution_of_the_victim_is_a_violation() {
    let mut evidence = Evidence { tenant_runs: vec![run("copy", "Succeeded", &["e1"])], ..good() };
    let broken = judged("tenant/nuvo-create.1/copy", &evidence).unwrap_err();
    assert!(broken.contains("P2: copy shows e1, which it has not started"), "{broken}");
    // What else a tenant's runs become is its own affair.
    evidence.tenant_runs = vec![run("copy", "TriggerOutcomeUnknown", &[])];
    assert_eq!(judged("tenant/nuvo-create.1/copy", &evidence), Ok(Verdict::AsReference));
    evidence.runs = vec![run("a", "TriggerRejected", &[])];
    assert!(judged("tenant/nuvo-create.1/copy", &evidence).unwrap_err().contains("ended differently"));
}

#[test]
fn different_end_complaint_excess_write_or_panic_is_a_violation() {
    let failed = Evidence { runs: vec![run("a", "TriggerRejected", &[])], ..good() };
    assert!(judged("one/nuvo-list.1/500", &failed).unwrap_err().contains("ended differently"));
    let stuck = Evidence { complaints: vec!["not ended".to_owned()], ..good() };
    assert_eq!(judged("one/nuvo-list.1/500", &stuck).unwrap_err(), "not ended");
    let busy = Evidence { sequence: vec!["update-leases.1".parse().unwrap(); 9], ..good() };
    assert!(judged("one/nuvo-list.1/500", &busy).unwrap_err().contains("9 writes"));
    let panicked = Evidence { logs: "thread 'main' panicked at".to_owned(), ..good() };
    assert!(judged("one/nuvo-list.1/500", &panicked).unwrap_err().contains("panicked"));
}
