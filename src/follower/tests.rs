//! Who is told what, and when.

use super::*;
use crate::api::PipelineRunSpec;

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
