//! Generates parts of the Helm chart: the CRDs, the RBAC rules, and the reference of its values.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::PolicyRule;
use nuvo_operator::rbac;
use serde_json::Value;

const CHART: &str = "charts/nuvo-operator";

/// The generated files of the chart.
pub fn files(root: &Path) -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let chart = Path::new(CHART);
    let mut files = Vec::new();
    for (name, text) in nuvo_crds::crd_files()? {
        files.push((chart.join("templates/crds").join(&name), definition(&name, &text)?));
    }
    files.push((chart.join("templates/_rules.tpl"), rules()?));
    let values = fs::read_to_string(root.join(CHART).join("values.yaml"))?.replace("\r\n", "\n");
    files.push((chart.join("README.md"), readme(&values)?));
    Ok(files)
}

/// A definition as a template.
fn definition(name: &str, text: &str) -> Result<String, Box<dyn Error>> {
    if text.contains("{{") {
        return Err(format!("crds/{name} has {{{{, which Helm would take for its own").into());
    }
    let (head, rest) = text.split_once("metadata:\n").ok_or_else(|| format!("crds/{name} has no metadata"))?;
    Ok(format!(
        "{{{{- if .Values.crds.enabled }}}}\n\
         {head}metadata:\n\
         \x20 labels:\n\
         \x20   {{{{- include \"nuvo-operator.labels\" . | nindent 4 }}}}\n\
         \x20 {{{{- if .Values.crds.keep }}}}\n\
         \x20 annotations:\n\
         \x20   helm.sh/resource-policy: keep\n\
         \x20 {{{{- end }}}}\n\
         {rest}{{{{- end }}}}\n"
    ))
}

/// The rules of the operator as named templates.
fn rules() -> Result<String, Box<dyn Error>> {
    let define = |name: &str, rules: Vec<PolicyRule>| -> Result<String, serde_yaml::Error> {
        Ok(format!("\n{{{{- define \"nuvo-operator.rules.{name}\" -}}}}\n{}{{{{- end }}}}\n", serde_yaml::to_string(&rules)?))
    };
    Ok(format!(
        "{{{{- /* Made from src/rbac.rs by `cargo xtask generate`. Do not edit. */ -}}}}\n{}{}{}",
        define("whereItWatches", rbac::watched_namespace_rules())?,
        define("secrets", rbac::secret_rules())?,
        define("inItsOwnNamespace", rbac::operator_namespace_rules())?
    ))
}

/// A value of the chart that has a description.
struct Documented {
    path: Vec<String>,
    text: String,
}

/// The values that a comment describes, in their order.
fn documented(values: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut description: Option<String> = None;
    for line in values.lines() {
        let trimmed = line.trim_start();
        let indent = line.len().saturating_sub(trimmed.len());
        if let Some(comment) = trimmed.strip_prefix('#') {
            match (comment.trim().strip_prefix("-- "), &mut description) {
                (Some(first), _) => description = Some(first.to_owned()),
                (None, Some(text)) => {
                    text.push(' ');
                    text.push_str(comment.trim());
                }
                (None, None) => {}
            }
            continue;
        }
        let key = trimmed.split_once(':').map(|(key, _)| key).filter(|key| !key.is_empty() && key.chars().all(char::is_alphanumeric));
        if let Some(key) = key {
            above.retain(|(column, _)| *column < indent);
            above.push((indent, key.to_owned()));
            if let Some(text) = description.take() {
                found.push(Documented { path: above.iter().map(|(_, key)| key.clone()).collect(), text });
            }
        }
        description = None;
    }
    found
}

const HEAD: &str = "\
<!-- Made from values.yaml by `cargo xtask generate`. Do not edit. -->
# nuvo-operator

Runs [nuvo](https://www.getnuvo.com) data pipelines as Kubernetes objects. [docs/install.md](../../docs/install.md) explains how to install,
upgrade and remove this chart, [docs/operations.md](../../docs/operations.md) how to operate it.

Kubernetes 1.32 or newer. The tests of this repository run it with Helm 4.3.

| value | default | meaning |
|---|---|---|
";

/// The reference of the values.
fn readme(values: &str) -> Result<String, Box<dyn Error>> {
    let defaults: Value = serde_yaml::from_str(values)?;
    let mut text = HEAD.to_owned();
    let described = documented(values);
    for Documented { path, text: meaning } in &described {
        let default = path.iter().try_fold(&defaults, |value, key| value.get(key));
        let default = default.ok_or_else(|| format!("values.yaml: {} is not where its comment is", path.join(".")))?;
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(text, "| `{}` | `{}` | {} |", path.join("."), cell(&serde_json::to_string(default)?), cell(meaning))?;
    }
    let silent = undescribed(&defaults, &mut Vec::new(), &described);
    if silent.is_empty() { Ok(text) } else { Err(format!("values.yaml: no `# --` comment for {}", silent.join(", ")).into()) }
}

/// The values that neither have a description nor are part of one that has.
fn undescribed(value: &Value, path: &mut Vec<String>, described: &[Documented]) -> Vec<String> {
    if described.iter().any(|documented| documented.path == *path) {
        return Vec::new();
    }
    let Value::Object(fields) = value else { return vec![path.join(".")] };
    let mut silent = Vec::new();
    for (key, value) in fields {
        path.push(key.clone());
        silent.extend(undescribed(value, path, described));
        path.pop();
    }
    silent
}
