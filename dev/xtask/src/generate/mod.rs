//! `cargo xtask generate`: writes the files that are generated from the code, and checks that they are up to date.

mod api_reference;
mod argocd_config_map;
mod chart;
mod metrics_reference;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// Write nothing. Fail if a file is not up to date.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut stale = Vec::new();
    for (path, text) in files(&root)? {
        let full = root.join(&path);
        // A missing file is stale. Git may have converted the line ends.
        if fs::read_to_string(&full).is_ok_and(|old| old.replace("\r\n", "\n") == text) {
            continue;
        }
        if args.check {
            stale.push(path.display().to_string());
            continue;
        }
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&full, text).map_err(|error| format!("cannot write {}: {error}", full.display()))?;
        println!("wrote {}", path.display());
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("stale: {}; run `cargo xtask generate` and commit the result", stale.join(", ")).into())
    }
}

/// Every generated file: its path from the root of the repository, and its text.
fn files(root: &Path) -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let crds = nuvo_crds::crd_files()?;
    let mut files: Vec<(PathBuf, String)> = crds.into_iter().map(|(name, text)| (Path::new("crds").join(name), text)).collect();
    files.extend(chart::files(root)?);
    files.push((PathBuf::from("docs/metrics.md"), metrics_reference::markdown()));
    files.push((PathBuf::from("docs/api.md"), api_reference::markdown()?));
    files.push((
        PathBuf::from("gitops/argocd/argocd-cm.yaml"),
        argocd_config_map::text(&root.join("gitops/argocd/resource_customizations"))?,
    ));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        let outcome = run(&Args { check: true });
        assert!(outcome.is_ok(), "{}", outcome.err().map(|error| error.to_string()).unwrap_or_default());
    }
}
