//! Who is told what, and when.

use super::*;
use nuvo_crds::PipelineRunSpec;

/// Of each name only the object with this uid exists.
#[derive(Default)]
struct Present(Mutex<Vec<(String, String)>>, &'static str);

fn uid(run: &ObjectRef<PipelineRun>) -> String {
    run.extra.uid.clone().unwrap_or_default()
}

impl Audience for Present {
    fn wake(&self, run: &ObjectRef<PipelineRun>) {
        self.0.lock().unwrap().push((run.name.clone(), uid(run)));
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

fn following(present: &'static str, run: ObjectRef<PipelineRun>) -> (Follower, Arc<Present>) {
    let audience = Arc::new(Present(Mutex::default(), present));
    let follower = Follower::new(audience.clone(), GRACE, 1.0);
    follower.follow(&interest(run));
    (follower, audience)
}

fn woken(audience: &Present) -> Vec<(String, String)> {
    std::mem::take(&mut *audience.0.lock().unwrap())
}

#[test]
fn an_object_that_was_created_anew_is_followed_in_place_of_the_one_before() {
    let (follower, audience) = following("new", run("orders", "old"));
    follower.follow(&interest(run("orders", "new")));
    follower.forget(&run("orders", "old"));
    follower.prune();
    follower.learn(&key(), says("SUCCESSFUL"), None, false);
    assert_eq!(woken(&audience), [("orders".to_owned(), "new".to_owned())]);
}

#[test]
fn who_joins_late_is_told_the_news_once() {
    let (follower, audience) = following("u", run("first", "u"));
    follower.learn(&key(), says("PROCESSING"), None, false);
    follower.follow(&interest(run("second", "u")));
    assert_eq!(woken(&audience), [], "what everybody expects is no news");
    follower.learn(&key(), says("FAILED"), None, false);
    assert_eq!(woken(&audience).len(), 2);
    for _ in 0..2 {
        follower.follow(&interest(run("third", "u")));
    }
    assert_eq!(woken(&audience), [("third".to_owned(), "u".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn only_a_denial_without_a_word_to_the_contrary_makes_an_execution_lost() {
    let (follower, audience) = following("u", run("orders", "u"));
    follower.denied(&key(), None);
    follower.listed(&key());
    follower.denied(&key(), Some(true));
    assert_eq!(woken(&audience), [], "the list has shown it meanwhile");
    follower.denied(&key(), None);
    tokio::time::advance(GRACE).await;
    follower.denied(&key(), Some(false));
    assert_eq!(woken(&audience), [], "the list of its pipeline has it");
    follower.denied(&key(), Some(true));
    assert_eq!(woken(&audience).len(), 1);
    assert_eq!(follower.knowledge(&key().0, &[key().1])[&key().1], Known::Lost);
}

fn answer(pipeline: &str, status: &str) -> Result<Answer, Error> {
    let body = format!(r#"{{"id":"e1","pipeline":"{pipeline}","status":"{status}"}}"#);
    nuvo_client::decode::one(body.as_bytes(), &key().1, &nuvo_client::Redactor::default())
        .map(|found| Answer::Found(Box::new(found), false))
}

#[tokio::test(start_paused = true)]
async fn one_answer_about_another_pipeline_does_not_undo_what_nuvo_has_said_before() {
    let (follower, audience) = following("u", run("orders", "u"));
    let says_another = || follower.answered(&key(), Instant::now(), false, answer("another", "SUCCESSFUL"));
    let known = || follower.knowledge(&key().0, &[key().1]).remove(&key().1);
    says_another();
    tokio::time::advance(GRACE / 2).await;
    says_another();
    assert_eq!((woken(&audience), known()), (vec![], None), "the answer to the trigger has said something else");
    follower.answered(&key(), Instant::now(), false, answer("orders", "PROCESSING"));
    tokio::time::advance(GRACE).await;
    says_another();
    assert!(matches!(known(), Some(Known::Report(_))));
    tokio::time::advance(GRACE).await;
    says_another();
    assert_eq!(known(), Some(Known::Foreign("another".to_owned())), "it says nothing else any more");
    assert_eq!(woken(&audience).len(), 1);
}

#[test]
fn what_a_person_has_named_and_belongs_to_another_pipeline_is_known_at_once() {
    let (follower, audience) = following("u", run("orders", "u"));
    follower.follow(&Interest { expected: false, ..interest(run("orders", "u")) });
    follower.answered(&key(), Instant::now(), false, answer("another", "PROCESSING"));
    assert_eq!(follower.knowledge(&key().0, &[key().1])[&key().1], Known::Foreign("another".to_owned()));
    assert_eq!(woken(&audience).len(), 1);
}
