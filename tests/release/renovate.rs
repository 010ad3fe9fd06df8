//! The configuration of Renovate. It knows no rule about this repository by itself.

use serde_json::Value;

use crate::{read, strings};

fn configuration() -> Value {
    serde_json::from_str(&read("renovate.json")).unwrap()
}

/// Each of them is the one thing that its go.mod is for, and counts as indirect there.
#[test]
fn tools_of_the_go_modules_are_updated() {
    let configuration = configuration();
    let rules = configuration["packageRules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["matchDepTypes"] == serde_json::json!(["indirect"])).unwrap();
    assert_eq!(rule["enabled"], true);
    let enabled = strings(&rule["matchPackageNames"]);
    let of_node = ["dev/node/argo", "dev/node/kube-router", "dev/node/tekton"];
    let tools = ["dev/actionlint", "dev/helm", "dev/krew", "dev/kustomize-controller", "dev/promtool"];
    for folder in tools.into_iter().chain(of_node) {
        let module = read(&format!("{folder}/go.mod"));
        assert!(enabled.iter().any(|name| module.contains(&format!("\t{name} v"))), "{folder}: its tool is not among {enabled:?}");
    }
}

#[test]
fn texts_with_versions_are_found() {
    let configuration = configuration();
    for manager in configuration["customManagers"].as_array().unwrap() {
        let [pattern] = strings(&manager["managerFilePatterns"])[..] else { panic!("{manager}") };
        let path = pattern.trim_matches('/').trim_start_matches('^').trim_end_matches('$').replace('\\', "");
        let [line] = strings(&manager["matchStrings"])[..] else { panic!("{manager}") };
        let (before, after) = line.split_once(r"(?<currentValue>\S+)").unwrap();
        let text = read(&path);
        let found = text.split(before).nth(1).unwrap_or_else(|| panic!("{path} does not have {before}"));
        let (version, _) = found.split_once(after).unwrap();
        assert!(version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    }
}
