//! The file that is replayed.

use std::{error::Error, time::Duration};

use k8s_openapi::{
    api::coordination::v1::Lease,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use nuvo_core::run::{Account, ExecutionId, Lock, LockRead, lock_written};
use nuvo_crds::{
    Execution, NuvoAccount, PipelineRun,
    conditions::READY,
    well_known::{GROUP, LOCK_ANNOTATION},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::memory::MemoryOverrides;

const PIPELINE_ANNOTATION: &str = "nuvo.dev/pipeline-id";
const REPLAY_VERSION: &str = "nuvo.dev/replay";
/// Times in these fields are of the future, or say something else than when the object was changed.
const OTHER_TIMES: [&str; 4] = ["annotations", "labels", "nextTime", "spec"];

/// What the file says.
#[derive(Debug)]
pub struct Case {
    /// The run to replay.
    pub run: PipelineRun,
    /// Other runs.
    pub others: Vec<PipelineRun>,
    /// The pipeline's lock, or why it cannot be read.
    pub lock: Result<LockRead, String>,
    /// The account.
    pub account: Account,
    /// When it begins.
    pub now: Timestamp,
    /// What no object says.
    pub replay: Replay,
}

/// What no object says: the document of the kind `Replay`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Replay {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    now: Option<Time>,
    run: Option<String>,
    /// How many passes are played.
    pub passes: u32,
    /// The run was deleted.
    pub deleted: bool,
    uptime_seconds: u64,
    /// What the operator remembers.
    pub memory: MemoryOverrides,
    /// nuvo's list.
    pub list: Vec<Listed>,
    /// nuvo gives no list.
    pub list_unavailable: bool,
    /// What nuvo reports of executions.
    pub executions: Vec<Execution>,
    /// What comes of the POST; without it, it is not made.
    pub post_outcome: Option<AssumedOutcome>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            _api_version: String::new(),
            _kind: String::new(),
            now: None,
            run: None,
            passes: 1,
            deleted: false,
            uptime_seconds: 86_400,
            memory: MemoryOverrides::default(),
            list: Vec::new(),
            list_unavailable: false,
            executions: Vec::new(),
            post_outcome: None,
        }
    }
}

impl Replay {
    /// How long the operator has been running.
    pub const fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime_seconds)
    }
}

/// An execution in nuvo's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listed {
    /// Its id.
    pub id: ExecutionId,
    /// When nuvo created it.
    pub created: Option<Time>,
    /// It was started by hand or through the API.
    #[serde(default = "yes")]
    pub manual: bool,
    /// The account started it.
    #[serde(default = "yes")]
    pub by_us: bool,
    /// The hash of the id, as a lock's baseline has it.
    #[serde(default)]
    pub hash: String,
}

const fn yes() -> bool {
    true
}

/// What comes of the POST.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AssumedOutcome {
    /// nuvo has started these executions.
    Accepted(Vec<ExecutionId>),
    /// nuvo refuses for good.
    Refused,
    /// Nothing was started, and the next try follows after this time.
    TryAgainAfterSeconds(u64),
    /// No answer.
    Unknown,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut documents = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            flatten(Value::deserialize(document)?, &mut documents);
        }
        let (mut runs, mut leases, mut accounts, mut replays) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut newest = None;
        for document in documents {
            let word = |field| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (version, kind) = (word("apiVersion"), word("kind"));
            let (group, _) = version.split_once('/').unwrap_or_default();
            newest = newest.max(newest_time(&document));
            match (group, kind.as_str()) {
                _ if version == REPLAY_VERSION && kind == "Replay" => replays.push(read::<Replay>(document, &kind)?),
                (GROUP, "PipelineRun") => runs.push(read::<PipelineRun>(document, &kind)?),
                (GROUP, "NuvoAccount") => accounts.push(read::<NuvoAccount>(document, &kind)?),
                ("coordination.k8s.io", "Lease") => leases.push(read::<Lease>(document, &kind)?),
                _ => return Err(format!("an object of the kind {kind:?} ({version:?}) is of no use here").into()),
            }
        }
        let replay = at_most_one(replays, "Replay")?.unwrap_or_default();
        let wanted = |run: &PipelineRun| replay.run.is_none() || run.metadata.name == replay.run;
        let position = runs.iter().position(wanted).ok_or("it has no such PipelineRun")?;
        let run = runs.remove(position);
        let now = replay.now.as_ref().map(|time| time.0).or(newest).ok_or("it has no time: add a document `kind: Replay` with `now`")?;
        let lock = match at_most_one(leases, "Lease")? {
            Some(lease) => lock(&lease, &run, now)?,
            None => Ok(LockRead::default()),
        };
        let account = accounts.iter().find(|account| is_account_of(&account.metadata, &run)).map_or(Account::FREE, account_state);
        Ok(Self { run, others: runs, lock, account, now, replay })
    }
}

/// The objects of a list, or the object itself.
fn flatten(document: Value, into: &mut Vec<Value>) {
    match document {
        Value::Null => {}
        Value::Object(mut fields) if fields.get("items").is_some_and(Value::is_array) => {
            if let Some(Value::Array(items)) = fields.remove("items") {
                items.into_iter().for_each(|item| flatten(item, into));
            }
        }
        document => into.push(document),
    }
}

fn read<T: DeserializeOwned>(document: Value, kind: &str) -> Result<T, Box<dyn Error>> {
    serde_json::from_value(document).map_err(|error| format!("a {kind} does not parse: {error}").into())
}

fn at_most_one<T>(mut all: Vec<T>, kind: &str) -> Result<Option<T>, Box<dyn Error>> {
    if all.len() > 1 {
        return Err(format!("it has {} objects of the kind {kind}, and one at most is of use", all.len()).into());
    }
    Ok(all.pop())
}

fn newest_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Array(items) => items.iter().filter_map(newest_time).max(),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !OTHER_TIMES.contains(&name.as_str())).filter_map(|(_, value)| newest_time(value)).max()
        }
        _ => None,
    }
}

/// What the operator reads of the lock now. One that it cannot read is a case of its own.
fn lock(lease: &Lease, run: &PipelineRun, now: Timestamp) -> Result<Result<LockRead, String>, Box<dyn Error>> {
    let annotation = |name| lease.metadata.annotations.as_ref().and_then(|all| all.get(name));
    if let Some(pipeline) = annotation(PIPELINE_ANNOTATION).filter(|pipeline| **pipeline != run.spec.pipeline_id) {
        return Err(format!("the Lease is the lock of pipeline {pipeline}, and the run is one of pipeline {}", run.spec.pipeline_id).into());
    }
    let Some(text) = annotation(LOCK_ANNOTATION) else { return Ok(Err(format!("the annotation {LOCK_ANNOTATION} is missing"))) };
    let age = lock_written(&lease.metadata).map(|written| Duration::try_from(now.duration_since(written)).unwrap_or_default());
    Ok(match Lock::parse(text) {
        Ok(lock) => Ok(LockRead { version: lease.metadata.resource_version.clone(), lock, age }),
        Err(error) => Err(format!("the annotation {LOCK_ANNOTATION} does not parse ({error})")),
    })
}

fn is_account_of(account: &ObjectMeta, run: &PipelineRun) -> bool {
    account.namespace == run.metadata.namespace && account.name.as_ref() == Some(&run.spec.account_ref.name)
}

fn account_state(account: &NuvoAccount) -> Account {
    let conditions = account.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.type_ == READY) {
        Some(ready) if ready.status == "True" => Account::FREE,
        Some(ready) => Account::NotReady(ready.message.clone()),
        None => Account::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "
apiVersion: nuvo.dev/v1alpha1
kind: PipelineRun
metadata: {name: a, namespace: team, uid: u-a, resourceVersion: '1', creationTimestamp: 2026-01-01T00:00:00Z}
spec: {pipelineId: orders, rerunToken: 2026-01-02T00:00:00Z}
status: {retry: {count: 1, nextTime: 2026-01-01T09:00:00Z}}
";

    fn error(text: &str) -> String {
        Case::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn time_is_the_newest_at_which_something_has_happened() {
        let case =
            Case::parse(&format!("{RUN}---\napiVersion: nuvo.dev/replay\nkind: Replay\nlist: [{{id: e1, created: 2026-01-01T00:00:07Z}}]"));
        assert_eq!(case.unwrap().now.to_string(), "2026-01-01T00:00:07Z");
    }

    #[test]
    fn named_run_is_replayed_and_the_first_without_a_name() {
        let two = format!("{RUN}---{}", RUN.replace("name: a", "name: b"));
        let name = |text: &str| Case::parse(text).unwrap().run.metadata.name;
        assert_eq!(name(&two).as_deref(), Some("a"));
        assert_eq!(name(&format!("{two}---\napiVersion: nuvo.dev/replay\nkind: Replay\nrun: b")).as_deref(), Some("b"));
    }

    #[test]
    fn file_that_does_not_fit_together_is_refused() {
        assert_eq!(error("{}"), "an object of the kind \"\" (\"\") is of no use here");
        assert_eq!(error(""), "it has no such PipelineRun");
        let lease = "---\napiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {annotations: {nuvo.dev/pipeline-id: other}}";
        assert!(error(&format!("{RUN}{lease}")).contains("lock of pipeline other"), "{}", error(&format!("{RUN}{lease}")));
        let unknown = "---\napiVersion: nuvo.dev/replay\nkind: Replay\nmemori: {}";
        assert!(error(&format!("{RUN}{unknown}")).contains("unknown field `memori`"));
        let tekton = RUN.replace("nuvo.dev/v1alpha1", "tekton.dev/v1");
        assert!(error(&tekton).contains("tekton.dev/v1"));
    }
}
