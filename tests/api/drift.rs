//! `crds/` is what the code generates.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

#[test]
fn crd_files_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files = nuvo_crds::crd_files().unwrap();
    for (name, text) in &files {
        let old = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(old == *text, "crds/{name} is stale: run `cargo xtask generate` and commit the result");
    }
    let mut there: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    let mut made: Vec<_> = files.into_iter().map(|(name, _)| name).collect();
    made.sort();
    assert_eq!(there, made, "a file in crds/ that nothing generates");
}

#[test]
fn printed_definitions_equal_the_files() {
    let text = nuvo_crds::crds_yaml().unwrap();
    let printed: Vec<Value> = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect();
    let files: Vec<Value> = nuvo_crds::crd_files().unwrap().iter().map(|(_, text)| serde_yaml::from_str(text).unwrap()).collect();
    assert_eq!(printed, files);
    assert_eq!(printed[0]["kind"], "CustomResourceDefinition");
}
