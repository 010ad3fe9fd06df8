//! `artifacthub-repo.yml` and the annotations of the chart, as Artifact Hub documents them.

use serde_json::{Value, json};

use crate::yaml;

fn annotation(name: &str) -> String {
    yaml("charts/nuvo-operator/Chart.yaml")["annotations"][format!("artifacthub.io/{name}")].as_str().expect(name).to_owned()
}

#[test]
fn annotations_have_the_words_of_artifact_hub() {
    let words = |name: &str, allowed: &[&str]| assert!(allowed.contains(&annotation(name).as_str()), "{name}: {}", annotation(name));
    let categories = [
        "ai-machine-learning",
        "database",
        "integration-delivery",
        "monitoring-logging",
        "networking",
        "security",
        "storage",
        "streaming-messaging",
    ];
    words("category", &categories);
    words("operatorCapabilities", &["Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot"]);
    words("operator", &["true"]);
    words("prerelease", &[if crate::VERSION.contains('-') { "true" } else { "false" }]);
    assert_eq!(annotation("license"), env!("CARGO_PKG_LICENSE"));
}

#[test]
fn annotated_definitions_are_those_of_the_operator() {
    let listed: Value = serde_yaml::from_str(&annotation("crds")).unwrap();
    let listed: Vec<Value> = listed.as_array().unwrap().iter().map(|crd| json!([crd["kind"], crd["version"], crd["name"]])).collect();
    let crds = nuvo_crds::crds().unwrap().into_iter();
    let mut own: Vec<Value> = crds.map(|crd| json!([crd.spec.names.kind, crd.spec.versions[0].name, crd.metadata.name])).collect();
    own.sort_by_key(|crd| listed.iter().position(|listed| listed == crd));
    assert_eq!(listed, own);

    let examples: Value = serde_yaml::from_str(&annotation("crdsExamples")).unwrap();
    for example in examples.as_array().unwrap() {
        assert_eq!(example["kind"], "PipelineRun", "the only kind that is checked here");
        serde_json::from_value::<nuvo_crds::PipelineRun>(example.clone()).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
}

#[test]
fn repository_metadata_has_the_fields_of_artifact_hub() {
    let metadata = yaml("charts/artifacthub-repo.yml");
    let fields: Vec<&String> = metadata.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["owners", "repositoryID"]);
    let id = metadata["repositoryID"].as_str().unwrap();
    assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
    assert!(id.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit()), "{id}");
    for owner in metadata["owners"].as_array().unwrap() {
        assert!(owner["email"].as_str().unwrap().contains('@'), "{owner}");
    }
}
