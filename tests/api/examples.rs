//! People copy the examples and the samples: each parses without an unknown field, and passes every rule.

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use nuvo_core::schedule::Calendar;
use nuvo_crds::{NuvoAccount, NuvoPipeline, PipelineRun, PipelineSchedule, well_known};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{accepted, schema};

fn documents(folder: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for document in serde_yaml::Deserializer::from_str(&fs::read_to_string(&path).unwrap()) {
            all.push((name.clone(), Value::deserialize(document).unwrap()));
        }
    }
    all
}

/// A field that the schema does not have would be dropped by the API server, silently for some clients.
fn known(path: &str, schema: &Value, value: &Value) {
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        known(&format!("{path}[{index}]"), &schema["items"], inner);
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        known(&path, field.unwrap_or_else(|| panic!("{path} is no field")), inner);
    }
}

fn parse<T: DeserializeOwned>(file: &str, value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn ours(file: &str, kind: &str, document: &Value) {
    assert_eq!(document["apiVersion"], format!("{}/{}", well_known::GROUP, well_known::VERSION), "{file}");
    known(file, &schema(kind)["properties"]["spec"], &document["spec"]);
    accepted(kind, &document["spec"], None);
}

#[test]
fn examples_parse_and_are_accepted() {
    let mut secrets = Vec::new();
    let mut accounts = Vec::new();
    let mut runs = Vec::new();
    let mut observed = Vec::new();
    let mut schedules = Vec::new();
    for (file, document) in documents("examples") {
        assert!(document["metadata"].get("namespace").is_none(), "{file}: an example is applied to the reader's namespace");
        let kind = document["kind"].as_str().unwrap_or_default();
        match kind {
            "Secret" => {
                secrets.push(parse::<Secret>(&file, &document));
                continue;
            }
            "NuvoAccount" => accounts.push(parse::<NuvoAccount>(&file, &document)),
            "PipelineRun" => runs.push(parse::<PipelineRun>(&file, &document)),
            "NuvoPipeline" => observed.push(parse::<NuvoPipeline>(&file, &document)),
            "PipelineSchedule" => schedules.push(parse::<PipelineSchedule>(&file, &document)),
            other => panic!("{file}: unexpected kind {other:?}"),
        }
        ours(&file, kind, &document);
    }

    let [account] = accounts.as_slice() else { panic!("one account, not {}", accounts.len()) };
    let [secret] = secrets.as_slice() else { panic!("one Secret, not {}", secrets.len()) };
    let reference = &account.spec.license_key.as_ref().unwrap().secret_ref;
    assert_eq!(secret.metadata.name.as_deref(), Some(reference.name.as_str()));
    assert!(secret.string_data.as_ref().unwrap().contains_key(&reference.key));
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(well_known::CREDENTIAL_LABEL));
    assert_eq!(label.map(String::as_str), Some(well_known::CREDENTIAL_LABEL_VALUE), "the operator would refuse this Secret");

    let mut pipelines: Vec<_> =
        runs.iter().filter(|run| run.spec.execution_id.is_none()).map(|run| run.spec.pipeline_id.as_str()).collect();
    pipelines.sort_unstable();
    assert_eq!(pipelines, ["archive", "customers", "invoices", "ledger", "orders", "orders"]);
    assert_eq!(runs.len(), 7);
    let observed_pipelines: Vec<_> = observed.iter().map(|pipeline| pipeline.spec.pipeline_id.as_str()).collect();
    assert_eq!(observed_pipelines, ["deliveries", "returns"]);
    assert_eq!(schedules.len(), 2);
    for schedule in &schedules {
        Calendar::parse(&schedule.spec.schedules, &schedule.spec.time_zone).unwrap();
    }
    let accounts = runs.iter().map(|run| &run.spec.account_ref).chain(observed.iter().map(|pipeline| &pipeline.spec.account_ref));
    let accounts = accounts.chain(schedules.iter().map(|schedule| &schedule.spec.run_template.spec.account_ref));
    for used in accounts {
        assert_eq!(Some(used.name.as_str()), account.metadata.name.as_deref());
    }
}

#[test]
fn gitops_samples_parse_and_are_accepted() {
    let mut found = Vec::new();
    for (file, document) in ["gitops/argocd/samples", "gitops/flux"].into_iter().flat_map(documents) {
        match document["kind"].as_str().unwrap_or_default() {
            kind @ "NuvoAccount" => {
                parse::<NuvoAccount>(&file, &document);
                ours(&file, kind, &document);
                found.push(file);
            }
            kind @ "PipelineRun" => {
                let run = parse::<PipelineRun>(&file, &document);
                ours(&file, kind, &document);
                let hook = document["metadata"]["annotations"].get("argocd.argoproj.io/hook").is_some();
                assert_eq!(run.metadata.generate_name.is_some(), hook, "{file}: hooks have a new name each time, and only they can");
                assert!(hook || run.spec.ttl_seconds_after_finished.is_none(), "{file}: it would be created, and triggered, again");
                found.push(file);
            }
            "Application" => {
                let policy = &document["spec"]["syncPolicy"];
                assert_eq!(
                    policy["retry"]["limit"], 0,
                    "{file}: five retries are the default, and each starts hooks with a fixed name again"
                );
                let options = policy["syncOptions"].as_array().unwrap();
                assert!(options.iter().all(|option| option != "Replace=true"), "{file}: it removes the records of the operator");
            }
            "Kustomization" => {
                let seconds = |field: &str| document["spec"][field].as_str().unwrap().trim_end_matches('m').parse::<u32>().unwrap() * 60;
                assert!(seconds("timeout") <= 600, "{file}: no later commit is applied before");
                assert!(seconds("retryInterval") <= seconds("timeout"), "{file}: a run that takes longer would be noticed late");
            }
            "GitRepository" => {}
            other => panic!("{file}: unexpected kind {other:?}"),
        }
    }
    found.sort_unstable();
    assert_eq!(found, ["hook.yaml", "run.yaml", "waves.yaml", "waves.yaml", "waves.yaml"]);
}
