//! Generates `argocd-cm.yaml` from the Lua scripts for Argo CD.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The ConfigMap from which Argo CD reads the scripts.
pub fn text(customizations: &Path) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "# Made from gitops/argocd/resource_customizations by `cargo xtask generate`. Do not edit.\n\
         # docs/gitops.md explains how to install it.\n\
         apiVersion: v1\n\
         kind: ConfigMap\n\
         metadata:\n  name: argocd-cm\n  namespace: argocd\n  labels:\n    app.kubernetes.io/name: argocd-cm\n    \
         app.kubernetes.io/part-of: argocd\n\
         data:\n",
    );
    for group in folders(customizations)? {
        for kind in folders(&group)? {
            let key = format!("{}_{}", name(&group), name(&kind));
            text.push_str(&format!("  resource.customizations.health.{key}: |\n{}", indented(&script(&kind.join("health.lua"))?, 4)));
            let actions = kind.join("actions");
            if !actions.is_dir() {
                continue;
            }
            let discovery = indented(&script(&actions.join("discovery.lua"))?, 6);
            text.push_str(&format!("  resource.customizations.actions.{key}: |\n    discovery.lua: |\n{discovery}    definitions:\n"));
            for action in folders(&actions)? {
                // `testdata` lies beside the actions.
                if action.join("action.lua").is_file() {
                    let lines = indented(&script(&action.join("action.lua"))?, 8);
                    text.push_str(&format!("    - name: {}\n      action.lua: |\n{lines}", name(&action)));
                }
            }
        }
    }
    Ok(text)
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn script(path: &Path) -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.replace("\r\n", "\n"))
}

fn indented(text: &str, spaces: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:spaces$}{line}\n", "") };
    text.lines().map(line).collect()
}
