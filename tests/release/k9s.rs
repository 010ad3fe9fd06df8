//! The view and the commands for k9s.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{read, strings, yaml};

const VIEWS: &str = "docs/examples/k9s/views.yaml";
const PLUGINS: &str = "docs/examples/k9s/plugins.yaml";

/// The columns that k9s has of every object, and those of the definition, which it shows in capitals.
fn columns(crd: &Value) -> BTreeSet<String> {
    let own = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let own = own.iter().map(|column| column["name"].as_str().unwrap().to_uppercase());
    own.chain(["NAMESPACE", "NAME", "AGE"].map(str::to_owned)).collect()
}

/// Whether the schema has the field of a path like `.spec.accountRef.name`, up to the first bracket.
fn has_field(crd: &Value, path: &str) -> bool {
    let mut schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for name in path.split('[').next().unwrap().split('.').skip(1) {
        schema = &schema["properties"][name];
    }
    !schema.is_null()
}

#[test]
fn columns_of_the_views_exist() {
    let views = yaml(VIEWS);
    let crds: Vec<Value> = nuvo_crds::crds().unwrap().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    assert_eq!(views["views"].as_object().unwrap().len(), crds.len(), "a view of each kind");
    for (name, view) in views["views"].as_object().unwrap() {
        let crd = crds.iter().find(|crd| *name == format!("nuvo.dev/v1alpha1/{}", crd["spec"]["names"]["plural"].as_str().unwrap()));
        let crd = crd.unwrap_or_else(|| panic!("{name}"));
        let known = columns(crd);
        for column in strings(&view["columns"]) {
            let (column, attributes) = column.rsplit_once('|').unwrap_or((column, ""));
            assert!(attributes.chars().all(|attribute| "NTWSLRH".contains(attribute)) && attributes.len() <= 3, "{column}|{attributes}");
            match column.split_once(':') {
                Some((_, path)) => assert!(has_field(crd, path), "{name}: {path}"),
                None => assert!(known.contains(column), "{name}: {column} is not among {known:?}"),
            }
        }
        if let Some(sorted) = view.get("sortColumn") {
            let column = sorted.as_str().unwrap().split(':').next().unwrap();
            assert!(known.contains(column), "{column}");
        }
    }
}

#[test]
fn commands_exist_and_those_that_change_something_ask_first() {
    let page = read("docs/kubectl-nuvo.md");
    let short_names = nuvo_crds::crds().unwrap().into_iter().flat_map(|crd| crd.spec.names.short_names.unwrap_or_default());
    let short_names: Vec<String> = short_names.collect();
    let mut keys = BTreeSet::new();
    for (name, plugin) in yaml(PLUGINS)["plugins"].as_object().unwrap() {
        assert!(keys.insert(plugin["shortCut"].as_str().unwrap().to_owned()), "{name}: its key is taken");
        // The plural is also that of Tekton.
        assert!(strings(&plugin["scopes"]).iter().all(|scope| short_names.contains(&(*scope).to_owned())), "{name}");
        let line = format!("{} {}", plugin["command"].as_str().unwrap(), strings(&plugin["args"]).join(" "));
        let words: Vec<&str> = line.split("nuvo ").nth(1).unwrap().split_whitespace().take(2).collect();
        let (command, whole) = if words[0] == "schedule" { (words[1], words.join(" ")) } else { (words[0], words[0].to_owned()) };
        assert!(page.contains(&format!("| `{whole} ")), "{name}: {whole} is not documented");
        for variable in ["$NAME", "$NAMESPACE", "$CONTEXT"] {
            assert!(line.contains(variable), "{name}: {variable}");
        }
        let only_reads = ["describe", "history", "list"].contains(&command);
        assert_eq!((&plugin["dangerous"] == true, &plugin["confirm"] == true), (!only_reads, !only_reads), "{name}");
    }
}
