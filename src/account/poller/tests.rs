//! Which runs are woken for what, and when.

use nuvo_client::Error;
use nuvo_core::run::Known;
use nuvo_crds::{Execution, PipelineRunSpec};

use super::*;
use nuvo_core::run::Absence;
use read_answer::Answer;
use tracked::Key;

/// Of each name only the object with this uid exists.
#[derive(Default)]
struct Present(Mutex<Vec<(String, String)>>, &'static str);

fn uid(run: &ObjectRef<PipelineRun>) -> String {
    run.extra.uid.clone().unwrap_or_default()
}

impl RunNotifier for Present {
    fn wake(&self, run: &ObjectRef<PipelineRun>) {
        self.0.lock().push((run.name.clone(), uid(run)));
    }

    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
        uid(run) == self.1
    }
}

const GRACE: Duration = Duration::from_secs(300);

fn key() -> Key {
    (PipelineId::new("orders").unwrap(), ExecutionId::new("e1").unwrap())
}

fn run(name: &str, uid: &str) -> ObjectRef<PipelineRun> {
    let mut object = PipelineRun::new(name, PipelineRunSpec::default());
    object.metadata.uid = Some(uid.into());
    ObjectRef::from_obj(&object)
}

fn interest(run: ObjectRef<PipelineRun>) -> Interest {
    let (pipeline, id) = key();
    Interest { run, pipeline, executions: vec![id], age: Duration::ZERO, ours: false, expected: true, late: false, ended_for: None }
}

fn says(word: &str) -> Known {
    Known::Report(Box::new(Execution { id: "e1".into(), status: Some(word.into()), ..Execution::default() }))
}

fn polling(present: &'static str, run: ObjectRef<PipelineRun>) -> (Poller, Arc<Present>) {
    let notifier = Arc::new(Present(Mutex::default(), present));
    let poller = Poller::new(notifier.clone(), GRACE, 1.0);
    poller.follow(&interest(run));
    (poller, notifier)
}

fn woken(notifier: &Present) -> Vec<(String, String)> {
    std::mem::take(&mut *notifier.0.lock())
}

#[test]
fn recreated_object_replaces_the_one_before() {
    let (poller, notifier) = polling("new", run("orders", "old"));
    poller.follow(&interest(run("orders", "new")));
    poller.forget(&run("orders", "old"));
    poller.prune();
    poller.learn(&key(), says("SUCCESSFUL"), None, false);
    assert_eq!(woken(&notifier), [("orders".to_owned(), "new".to_owned())]);
}

#[test]
fn run_that_joins_late_is_woken_once() {
    let (poller, notifier) = polling("u", run("first", "u"));
    poller.learn(&key(), says("PROCESSING"), None, false);
    poller.follow(&interest(run("second", "u")));
    assert_eq!(woken(&notifier), [], "what is expected anyway is no news");
    poller.learn(&key(), says("FAILED"), None, false);
    assert_eq!(woken(&notifier).len(), 2);
    for _ in 0..2 {
        poller.follow(&interest(run("third", "u")));
    }
    assert_eq!(woken(&notifier), [("third".to_owned(), "u".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn execution_is_lost_only_after_uncontradicted_denials() {
    let (poller, notifier) = polling("u", run("orders", "u"));
    poller.denied(&key(), Absence::Unconfirmed);
    poller.listed(&key());
    poller.denied(&key(), Absence::Confirmed);
    assert_eq!(woken(&notifier), [], "the list has shown it meanwhile");
    poller.denied(&key(), Absence::Unconfirmed);
    tokio::time::advance(GRACE).await;
    poller.denied(&key(), Absence::Contradicted);
    assert_eq!(woken(&notifier), [], "the list of its pipeline has it");
    poller.denied(&key(), Absence::Confirmed);
    assert_eq!(woken(&notifier).len(), 1);
    assert_eq!(poller.knowledge(&key().0, &[key().1])[&key().1], Known::Lost);
}

fn answer(pipeline: &str, status: &str) -> Result<Answer, Error> {
    let body = format!(r#"{{"id":"e1","pipeline":"{pipeline}","status":"{status}"}}"#);
    nuvo_client::decode::one(body.as_bytes(), &key().1, &nuvo_client::Redactor::default())
        .map(|found| Answer::Found(Box::new(found), false))
}

#[tokio::test(start_paused = true)]
async fn answer_about_another_pipeline_counts_only_after_the_grace_time() {
    let (poller, notifier) = polling("u", run("orders", "u"));
    let says_another = || poller.answered(&key(), Instant::now(), false, answer("another", "SUCCESSFUL"));
    let known = || poller.knowledge(&key().0, &[key().1]).remove(&key().1);
    says_another();
    tokio::time::advance(GRACE / 2).await;
    says_another();
    assert_eq!((woken(&notifier), known()), (vec![], None), "the answer to the trigger has said something else");
    poller.answered(&key(), Instant::now(), false, answer("orders", "PROCESSING"));
    tokio::time::advance(GRACE).await;
    says_another();
    assert!(matches!(known(), Some(Known::Report(_))));
    tokio::time::advance(GRACE).await;
    says_another();
    assert_eq!(known(), Some(Known::Foreign("another".to_owned())), "it says nothing else any more");
    assert_eq!(woken(&notifier).len(), 1);
}

#[test]
fn named_execution_of_another_pipeline_is_foreign_at_once() {
    let (poller, notifier) = polling("u", run("orders", "u"));
    poller.follow(&Interest { expected: false, ..interest(run("orders", "u")) });
    poller.answered(&key(), Instant::now(), false, answer("another", "PROCESSING"));
    assert_eq!(poller.knowledge(&key().0, &[key().1])[&key().1], Known::Foreign("another".to_owned()));
    assert_eq!(woken(&notifier).len(), 1);
}
